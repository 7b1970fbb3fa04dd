//! Gzip: one member, or several that follow each other.

use std::io::{Read, Write};

use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;

use super::{Compression, DecompressError};

/// Most members in one batch. Clients write one; each costs the decoder a fresh 32-KiB window,
/// which an empty member of 20 bytes does not pay for.
const MEMBERS_MAX: usize = 64;
/// First guess at the output, in bytes.
const OUTPUT_BYTES_MIN: usize = 4096;

const MALFORMED: DecompressError = DecompressError::Malformed(Compression::Gzip);

pub(super) fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let mut out = Vec::new();
    let mut rest = bytes;
    for _ in 0..MEMBERS_MAX {
        let mut member = GzDecoder::new(rest);
        read_bounded(&mut member, &mut out, bytes.len(), limit)?;
        rest = member.into_inner();
        if rest.is_empty() {
            return Ok(out);
        }
    }
    Err(MALFORMED)
}

/// Reads to the end into `out`, which grows by doubling but not past the limit.
fn read_bounded(
    reader: &mut impl Read,
    out: &mut Vec<u8>,
    input_bytes: usize,
    limit: usize,
) -> Result<(), DecompressError> {
    loop {
        let filled = out.len();
        // One byte more than the limit tells "full" from "too large".
        let room = limit.saturating_add(1) - filled;
        let step = filled.max(input_bytes).max(OUTPUT_BYTES_MIN).min(room);
        out.reserve_exact(step);
        out.resize(filled + step, 0);
        let mut slot = out.get_mut(filled..).unwrap_or_default();
        while !slot.is_empty() {
            let count = reader.read(slot).map_err(|_| MALFORMED)?;
            if count == 0 {
                let unfilled = slot.len();
                out.truncate(out.len() - unfilled);
                return Ok(());
            }
            slot = slot.get_mut(count..).unwrap_or_default();
        }
        if limit < out.len() {
            return Err(DecompressError::TooLarge { limit });
        }
    }
}

pub(super) fn compress(bytes: &[u8], level: Option<i32>) -> Vec<u8> {
    let level = match level {
        None => flate2::Compression::default(),
        Some(level) => flate2::Compression::new(level.clamp(0, 9).unsigned_abs()),
    };
    let mut encoder = GzEncoder::new(Vec::new(), level);
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("writing to memory does not fail")
}
