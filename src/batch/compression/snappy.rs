//! Snappy, as clients write it: the Java client and most others in xerial's framing (a 16-byte
//! header, then blocks, each with its length in front), some as one bare block.

use super::{Compression, DecompressError, reserve};

/// Xerial's magic: `0x82 "SNAPPY" 0`. No bare block of use starts so: its length varint would be
/// followed by a copy from before the start.
const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// Version and lowest compatible version, both 1.
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
/// Size of the blocks written, in bytes uncompressed: the Java client's.
const BLOCK_BYTES: usize = 32 * 1024;

const MALFORMED: DecompressError = DecompressError::Malformed(Compression::Snappy);

pub(super) fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let mut decoder = snap::raw::Decoder::new();
    let mut out = Vec::new();
    let Some(mut rest) = after_header(bytes) else {
        append_block(&mut decoder, bytes, &mut out, limit)?;
        return Ok(out);
    };
    while !rest.is_empty() {
        // Streams that were glued together have a header in the middle.
        if let Some(after) = after_header(rest) {
            rest = after;
            continue;
        }
        let (length, after) = rest.split_first_chunk().ok_or(MALFORMED)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| MALFORMED)?;
        let (block, after) = after.split_at_checked(length).ok_or(MALFORMED)?;
        append_block(&mut decoder, block, &mut out, limit)?;
        rest = after;
    }
    Ok(out)
}

/// What follows xerial's header, if `bytes` open with one.
fn after_header(bytes: &[u8]) -> Option<&[u8]> {
    let (_versions, blocks) = bytes.strip_prefix(&MAGIC)?.split_first_chunk::<8>()?;
    Some(blocks)
}

fn append_block(
    decoder: &mut snap::raw::Decoder,
    block: &[u8],
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<(), DecompressError> {
    let claimed = snap::raw::decompress_len(block).map_err(|_| MALFORMED)?;
    if limit - out.len() < claimed {
        return Err(DecompressError::TooLarge { limit });
    }
    // The densest element is a copy of 64 bytes in three: a block that claims more lies, and is
    // found out before memory is taken for it.
    if block.len().saturating_mul(22) < claimed {
        return Err(MALFORMED);
    }
    let start = out.len();
    reserve(out, claimed, limit - start);
    out.resize(start + claimed, 0);
    let slot = out.get_mut(start..).unwrap_or_default();
    let written = decoder.decompress(block, slot).map_err(|_| MALFORMED)?;
    if written == claimed { Ok(()) } else { Err(MALFORMED) }
}

pub(super) fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = snap::raw::Encoder::new();
    let mut out = Vec::new();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSIONS);
    for chunk in bytes.chunks(BLOCK_BYTES) {
        let block = encoder.compress_vec(chunk).expect("a block of 32 KiB is within the format");
        out.extend_from_slice(&(block.len() as u32).to_be_bytes());
        out.extend_from_slice(&block);
    }
    out
}
