//! Validation that has to look at every record, where the topic asks for it, and the search by
//! timestamp.
//!
//! Kafka walks the records of every produced batch, compressed or not (`LogValidator`); this house
//! does so only where it would change the answer: keys on compacted topics, and bounds on
//! timestamps that the header's claim does not already satisfy.

use super::error::{BatchError, RecordFault};
use super::header::{BatchHeader, NO_TIMESTAMP};
use super::records::Records;
use crate::ids::Offset;
use crate::limits;
use crate::time::Timestamp;

/// What to demand of the records of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidateOptions {
    /// Every record needs a key (`cleanup.policy` has `compact`).
    pub keys_required: bool,
    /// Earliest and latest timestamp allowed, both included: now less
    /// `message.timestamp.before.max.ms`, and now plus `message.timestamp.after.max.ms`. A record
    /// without a timestamp (-1) passes. `None` where the topic has `LogAppendTime`.
    pub timestamps: Option<(Timestamp, Timestamp)>,
    /// Offsets must be 0, 1, 2 and so on without gaps, as in every produced batch. (Kafka writes a
    /// compressed batch anew where they are not, and lets an uncompressed one pass.)
    pub offsets_contiguous: bool,
    /// Most bytes the records may decompress to.
    pub decompressed_bytes_max: usize,
}

/// What a walk over all records found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validated {
    /// Largest timestamp; [`NO_TIMESTAMP`] if no record has one.
    pub max_timestamp: Timestamp,
    /// Offset of the first record that has it; `None` if there are no records.
    pub offset_of_max_timestamp: Option<Offset>,
    /// Size of the records, decompressed, in bytes.
    pub body_bytes: usize,
}

/// Walks all records of a batch that [`check`](super::check) or
/// [`check_produce`](super::check_produce) has passed, and demands what `options` say.
///
/// # Errors
/// The first record at fault; what [`Records::open`] reports.
pub fn validate_records(
    bytes: &[u8],
    header: &BatchHeader,
    options: &ValidateOptions,
) -> Result<Validated, BatchError> {
    let records = Records::open(bytes, options.decompressed_bytes_max)?;
    debug_assert_eq!(records.header(), header, "the header belongs to the bytes");
    let mut max: Option<(Timestamp, Offset)> = None;
    for (index, record) in (0_i32..).zip(&records) {
        let record = record?;
        if options.offsets_contiguous && record.offset.0 - header.base_offset.0 != i64::from(index)
        {
            return Err(BatchError::Record { index, fault: RecordFault::OffsetDelta });
        }
        if options.keys_required && record.key.is_none() {
            return Err(BatchError::KeyMissing { index });
        }
        let timestamp = record.timestamp;
        if let Some((earliest, latest)) = options.timestamps
            && timestamp != NO_TIMESTAMP
            && (timestamp < earliest || latest < timestamp)
        {
            return Err(BatchError::TimestampOutOfRange { index, timestamp });
        }
        if max.is_none_or(|(max_timestamp, _)| max_timestamp < timestamp) {
            max = Some((timestamp, record.offset));
        }
    }
    Ok(Validated {
        max_timestamp: max.map_or(NO_TIMESTAMP, |(timestamp, _)| timestamp),
        offset_of_max_timestamp: max.map(|(_, offset)| offset),
        body_bytes: records.body_bytes(),
    })
}

/// The first record of the batch whose timestamp is `target` or later (ListOffsets by timestamp),
/// without decompressing where the header already rules it out.
///
/// # Errors
/// What is wrong with the batch or with a record before the one looked for.
pub fn find_timestamp(
    bytes: &[u8],
    target: Timestamp,
) -> Result<Option<(Offset, Timestamp)>, BatchError> {
    let header = BatchHeader::parse(bytes)?;
    if header.max_timestamp < target {
        return Ok(None);
    }
    let records = Records::open(bytes, limits::DECOMPRESSED_BYTES_MAX)?;
    for record in &records {
        let record = record?;
        if target <= record.timestamp {
            return Ok(Some((record.offset, record.timestamp)));
        }
    }
    Ok(None)
}
