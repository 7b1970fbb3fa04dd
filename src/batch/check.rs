//! What a batch must be before it is believed: everything that the header and the checksum can
//! tell, and nothing that would need a look at the records.

use super::compression::Compression;
use super::error::BatchError;
use super::header::{BatchHeader, HEADER_BYTES, TimestampType};
use crate::ids::Offset;

/// Position of the first byte the checksum covers: the attributes.
pub(super) const CRC_START: usize = 21;

/// Bytes of the smallest record: its length, attributes, two deltas, and no key, value or headers.
const RECORD_BYTES_MIN: u64 = 7;

/// The checksum the bytes of one batch ought to carry.
pub(super) fn computed_crc(batch: &[u8]) -> u32 {
    crc32c::crc32c(batch.get(CRC_START..).unwrap_or_default())
}

/// The header, if exactly one whole and undamaged batch fills `bytes`.
fn intact(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(bytes)?;
    let size = header.size();
    if bytes.len() < size {
        return Err(BatchError::Truncated { needed: size, present: bytes.len() });
    }
    // First the checksum: a length that was damaged leaves bytes behind the batch, too.
    let computed = computed_crc(bytes.get(..size).unwrap_or_default());
    if header.crc != computed {
        return Err(BatchError::CrcMismatch { stored: header.crc, computed });
    }
    if size < bytes.len() {
        return Err(BatchError::TrailingBytes { batch_bytes: size, present: bytes.len() });
    }
    Ok(header)
}

/// The rules that hold for every batch, wherever it comes from.
fn sound(header: &BatchHeader) -> Result<(), BatchError> {
    let BatchHeader { base_offset, last_offset_delta, record_count, .. } = *header;
    header.compression()?;
    // The offset after the last must exist, too.
    let last_offset_max = i64::MAX - 1;
    if base_offset.0 < 0
        || last_offset_delta < 0
        || last_offset_max - i64::from(last_offset_delta) < base_offset.0
    {
        return Err(BatchError::OffsetRange { base_offset, last_offset_delta });
    }
    if record_count < 0 || i64::from(last_offset_delta) + 1 < i64::from(record_count) {
        return Err(BatchError::RecordCount { record_count, last_offset_delta });
    }
    if header.producer().is_some() && !header.is_control() && header.base_sequence.0 < 0 {
        return Err(BatchError::SequenceMissing { base_sequence: header.base_sequence.0 });
    }
    Ok(())
}

/// Checks that exactly one sound batch fills `bytes`, as replication and recovery need it: format,
/// length, checksum, compression id, offsets, count and sequence. A compacted batch may hold fewer
/// records than its offset range, down to none.
///
/// # Errors
/// The first rule that is broken. Damage is reported before nonsense, so that a batch that was hit
/// on the way is `CORRUPT_MESSAGE` and is sent again, not `INVALID_RECORD` and given up.
pub fn check(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = intact(bytes)?;
    sound(&header)?;
    Ok(header)
}

/// Checks a batch as a client may produce it: all of [`check`], and the rules for clients of
/// Kafka's `UnifiedLog.analyzeAndValidateRecords` and `LogValidator.validateBatch`. The caller
/// compares [`BatchHeader::size`] with `max.message.bytes` (`MESSAGE_TOO_LARGE`) before it calls,
/// as Kafka does, so that an oversized batch is not read through first.
///
/// # Errors
/// The first rule that is broken.
pub fn check_produce(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = intact(bytes)?;
    if header.base_offset != Offset(0) {
        return Err(BatchError::BaseOffsetNotZero { base_offset: header.base_offset });
    }
    if header.is_control() {
        return Err(BatchError::ControlFromClient);
    }
    sound(&header)?;
    let BatchHeader { last_offset_delta, record_count, .. } = header;
    if i64::from(record_count) != i64::from(last_offset_delta) + 1 {
        return Err(BatchError::RecordCount { record_count, last_offset_delta });
    }
    // The smallest record has seven bytes. Without this, a header alone could claim two thousand
    // million offsets that no record has.
    let body_bytes = bytes.len().saturating_sub(HEADER_BYTES) as u64;
    let plain = header.compression()? == Compression::None;
    if plain && u64::from(record_count.unsigned_abs()) * RECORD_BYTES_MIN > body_bytes {
        return Err(BatchError::RecordCount { record_count, last_offset_delta });
    }
    if header.is_transactional() && header.producer().is_none() {
        return Err(BatchError::TransactionalWithoutProducer);
    }
    if header.has_delete_horizon() {
        return Err(BatchError::DeleteHorizonFromClient);
    }
    if header.timestamp_type() == TimestampType::LogAppendTime {
        return Err(BatchError::AppendTimeFromClient);
    }
    Ok(header)
}
