//! LZ4 frames, read as strictly as Kafka's `Lz4BlockInputStream` reads them: version 1,
//! independent blocks, no dictionary, a correct header checksum. Block and content checksums are
//! passed over, since the checksum of the batch covers the same bytes.
//!
//! The frame is taken apart here, not by the codec's own frame reader, because that sets aside up to
//! twice the declared block size (4 MiB) however short the input is.

use std::io::Write;

use lz4_flex::block::{DecompressError as BlockError, decompress_into};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use super::{Compression, DecompressError, reserve};

const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();
const FLAG_RESERVED: u8 = 0x03;
const FLAG_CONTENT_CHECKSUM: u8 = 0x04;
const FLAG_CONTENT_SIZE: u8 = 0x08;
const FLAG_BLOCK_CHECKSUM: u8 = 0x10;
const FLAG_INDEPENDENT: u8 = 0x20;
const FLAG_VERSION: u8 = 0xc0;
const FLAG_VERSION_1: u8 = 0x40;
const UNCOMPRESSED_BIT: u32 = 0x8000_0000;
/// Most bytes one byte of an LZ4 block can stand for (a length byte of 255).
const EXPANSION_MAX: usize = 255;

const MALFORMED: DecompressError = DecompressError::Malformed(Compression::Lz4);

struct Frame {
    block_bytes_max: usize,
    block_checksums: bool,
    content_checksum: bool,
}

pub(super) fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let mut rest = bytes;
    let frame = read_header(&mut rest)?;
    let mut out = Vec::new();
    loop {
        let word = u32::from_le_bytes(*take(&mut rest)?);
        let length = (word & !UNCOMPRESSED_BIT) as usize;
        if length == 0 {
            if frame.content_checksum {
                take::<4>(&mut rest)?;
            }
            break;
        }
        if frame.block_bytes_max < length {
            return Err(MALFORMED);
        }
        let (block, after) = rest.split_at_checked(length).ok_or(MALFORMED)?;
        rest = after;
        if frame.block_checksums {
            take::<4>(&mut rest)?;
        }
        if word & UNCOMPRESSED_BIT != 0 {
            grow(&mut out, block.len(), limit)?;
            out.extend_from_slice(block);
        } else {
            append_block(block, frame.block_bytes_max, &mut out, limit)?;
        }
    }
    if rest.is_empty() { Ok(out) } else { Err(MALFORMED) }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], DecompressError> {
    let (field, after) = rest.split_first_chunk().ok_or(MALFORMED)?;
    *rest = after;
    Ok(field)
}

fn read_header(rest: &mut &[u8]) -> Result<Frame, DecompressError> {
    if *take(rest)? != MAGIC {
        return Err(MALFORMED);
    }
    let descriptor = *rest;
    let [flags, block_descriptor] = *take(rest)?;
    if flags & FLAG_VERSION != FLAG_VERSION_1
        || flags & FLAG_RESERVED != 0
        || flags & FLAG_INDEPENDENT == 0
        || block_descriptor & 0x8f != 0
    {
        return Err(MALFORMED);
    }
    let block_bytes_max = match block_descriptor >> 4 {
        4 => 64 << 10,
        5 => 256 << 10,
        6 => 1 << 20,
        7 => 4 << 20,
        _ => return Err(MALFORMED),
    };
    if flags & FLAG_CONTENT_SIZE != 0 {
        take::<8>(rest)?;
    }
    let covered = descriptor.len() - rest.len();
    let [checksum] = *take(rest)?;
    let computed = xxh32_short(descriptor.get(..covered).unwrap_or_default()).to_le_bytes()[1];
    if checksum != computed {
        return Err(MALFORMED);
    }
    Ok(Frame {
        block_bytes_max,
        block_checksums: flags & FLAG_BLOCK_CHECKSUM != 0,
        content_checksum: flags & FLAG_CONTENT_CHECKSUM != 0,
    })
}

/// Makes room for `count` more bytes, but not past the limit.
fn grow(out: &mut Vec<u8>, count: usize, limit: usize) -> Result<(), DecompressError> {
    let room = limit - out.len();
    if room < count {
        return Err(DecompressError::TooLarge { limit });
    }
    reserve(out, count, room);
    Ok(())
}

fn append_block(
    block: &[u8],
    block_bytes_max: usize,
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<(), DecompressError> {
    let start = out.len();
    let possible = block.len().saturating_mul(EXPANSION_MAX).min(block_bytes_max);
    let room = possible.min(limit - start);
    grow(out, room, limit)?;
    out.resize(start + room, 0);
    let slot = out.get_mut(start..).unwrap_or_default();
    let written = decompress_into(block, slot).map_err(|error| match error {
        BlockError::OutputTooSmall { .. } if room < possible => DecompressError::TooLarge { limit },
        _ => MALFORMED,
    })?;
    out.truncate(start + written);
    Ok(())
}

/// XXH32 with seed 0 of fewer than 16 bytes, which is all a frame header has.
fn xxh32_short(bytes: &[u8]) -> u32 {
    const PRIMES: [u32; 5] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f, 0x1656_67b1];
    debug_assert!(bytes.len() < 16);
    let mut hash = PRIMES[4].wrapping_add(bytes.len() as u32);
    let (words, tail) = bytes.as_chunks::<4>();
    for word in words {
        hash = hash.wrapping_add(u32::from_le_bytes(*word).wrapping_mul(PRIMES[2]));
        hash = hash.rotate_left(17).wrapping_mul(PRIMES[3]);
    }
    for byte in tail {
        hash = hash.wrapping_add(u32::from(*byte).wrapping_mul(PRIMES[4]));
        hash = hash.rotate_left(11).wrapping_mul(PRIMES[0]);
    }
    hash = (hash ^ (hash >> 15)).wrapping_mul(PRIMES[1]);
    hash = (hash ^ (hash >> 13)).wrapping_mul(PRIMES[2]);
    hash ^ (hash >> 16)
}

pub(super) fn compress(bytes: &[u8]) -> Vec<u8> {
    let frame = FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
    encoder.write_all(bytes).expect("writing to memory does not fail");
    encoder.finish().expect("writing to memory does not fail")
}
