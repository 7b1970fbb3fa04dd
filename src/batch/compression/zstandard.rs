//! Zstandard, decoded in one call straight into the output. That needs no window besides, so a
//! frame's demand for a window costs nothing; it is still refused where no Kafka client could meet
//! it.

use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd::zstd_safe::{CCtx, DCtx, compress_bound, get_frame_content_size};

use super::{Compression, DecompressError};
use crate::limits::DECOMPRESSED_BYTES_MAX;

/// Largest window a frame may demand, in bytes: the decoder default that every client lives with,
/// and what level 22 of the Java client asks for.
pub const ZSTD_WINDOW_BYTES_MAX: u64 = 1 << 27;

const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
/// Output first tried for a frame that does not state its size, in bytes.
const OUTPUT_BYTES_MIN: usize = 64 * 1024;
const OUTPUT_TOO_SMALL: usize =
    (ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall as usize).wrapping_neg();

const MALFORMED: DecompressError = DecompressError::Malformed(Compression::Zstd);

pub(super) fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let window_bytes = window_bytes(bytes).ok_or(MALFORMED)?;
    if ZSTD_WINDOW_BYTES_MAX < window_bytes {
        return Err(DecompressError::Window { window_bytes });
    }
    let stated = get_frame_content_size(bytes).map_err(|_| MALFORMED)?;
    if stated.is_some_and(|stated| (limit as u64) < stated) {
        return Err(DecompressError::TooLarge { limit });
    }
    // A size that is stated may be a lie, and one that is not is unknown: start with what the
    // input makes plausible, and try again with more.
    let plausible = bytes.len().saturating_mul(16).max(OUTPUT_BYTES_MIN);
    let stated = stated.and_then(|stated| usize::try_from(stated).ok()).unwrap_or(usize::MAX);
    let mut capacity = stated.min(plausible).min(limit);
    let mut context = DCtx::create();
    let mut out = Vec::new();
    loop {
        out.reserve_exact(capacity);
        match context.decompress(&mut out, bytes) {
            Ok(count) if limit < count => return Err(DecompressError::TooLarge { limit }),
            Ok(_) => return Ok(out),
            Err(OUTPUT_TOO_SMALL) if limit <= capacity => {
                return Err(DecompressError::TooLarge { limit });
            }
            // Only what is written to takes memory.
            Err(OUTPUT_TOO_SMALL) => {
                capacity = capacity.saturating_mul(8).max(DECOMPRESSED_BYTES_MAX).min(limit);
            }
            Err(_) => return Err(MALFORMED),
        }
        // Freed first, so that no two attempts are held at once.
        out = Vec::new();
    }
}

/// The window that the first frame's header demands (RFC 8878, 3.1.1.1). A frame of one segment
/// demands its content size.
fn window_bytes(bytes: &[u8]) -> Option<u64> {
    let [descriptor, window_descriptor] = *bytes.strip_prefix(&MAGIC)?.first_chunk()?;
    if descriptor & 0x20 != 0 {
        return Some(0);
    }
    let base = 1_u64 << (10 + (window_descriptor >> 3));
    Some(base + base / 8 * u64::from(window_descriptor & 7))
}

pub(super) fn compress(bytes: &[u8], level: Option<i32>) -> Vec<u8> {
    let level = level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL);
    let mut out = Vec::with_capacity(compress_bound(bytes.len()));
    let written = CCtx::create().compress(&mut out, bytes, level);
    assert!(written.is_ok(), "the bound of the output is large enough");
    out
}
