//! Gzip: one member, or several that follow each other.

use std::io::{Read, Write};

use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;

use super::{Compression, DecompressError, reserve};

/// Most members in one batch. Clients write one; each costs the decoder a fresh 32-KiB window,
/// which an empty member of 20 bytes does not pay for.
const MEMBERS_MAX: usize = 64;
/// First guess at the output, in bytes.
const OUTPUT_BYTES_MIN: usize = 4096;

const MALFORMED: DecompressError = DecompressError::Malformed(Compression::Gzip);

pub(super) fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let mut out = Vec::new();
    // Bytes of `out` that are output; those behind are room that is cleared once, not once for
    // each member.
    let mut filled = 0;
    let mut rest = bytes;
    for _ in 0..MEMBERS_MAX {
        let mut member = GzDecoder::new(rest);
        loop {
            if filled == out.len() {
                // One byte more than the limit tells "full" from "too large".
                let room = limit.saturating_add(1) - filled;
                if room == 0 {
                    return Err(DecompressError::TooLarge { limit });
                }
                let step = filled.max(bytes.len()).max(OUTPUT_BYTES_MIN).min(room);
                reserve(&mut out, step, room);
                out.resize(filled + step, 0);
            }
            let slot = out.get_mut(filled..).unwrap_or_default();
            match member.read(slot).map_err(|_| MALFORMED)? {
                0 => break,
                count => filled += count,
            }
        }
        if limit < filled {
            return Err(DecompressError::TooLarge { limit });
        }
        rest = member.into_inner();
        if rest.is_empty() {
            out.truncate(filled);
            return Ok(out);
        }
    }
    Err(MALFORMED)
}

pub(super) fn compress(bytes: &[u8], level: Option<i32>) -> Vec<u8> {
    let level = match level {
        None => flate2::Compression::default(),
        // Kafka's -1 is the codec's default, too.
        Some(..0) => flate2::Compression::default(),
        Some(level) => flate2::Compression::new(level.clamp(0, 9).unsigned_abs()),
    };
    let mut encoder = GzEncoder::new(Vec::new(), level);
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("writing to memory does not fail")
}
