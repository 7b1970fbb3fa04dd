//! What can be wrong with a batch, and which of Kafka's refusals that amounts to.

use std::fmt;

use super::compression::DecompressError;
use crate::ids::Offset;
use crate::time::Timestamp;

/// Which of Kafka's errors a faulty batch is answered with. `api` maps it to the code of the same
/// name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `CORRUPT_MESSAGE`: the bytes were damaged on the way. Clients send them again.
    CorruptMessage,
    /// `INVALID_RECORD`: the bytes are what the client meant, and it must not mean that. Clients
    /// give up.
    InvalidRecord,
    /// `INVALID_TIMESTAMP`.
    InvalidTimestamp,
    /// `UNSUPPORTED_COMPRESSION_TYPE`.
    UnsupportedCompressionType,
}

/// Why a batch is refused. Each variant says what Kafka answers a producer in that case, and where
/// its source decides so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// The bytes end before the batch does. Kafka's batch iterator then finds no batch at all, and
    /// `ProduceRequest.validateRecords` answers `INVALID_RECORD`.
    Truncated {
        /// Bytes that the header, or the whole batch, would need.
        needed: usize,
        /// Bytes that are there.
        present: usize,
    },
    /// The length field is too small for a header. `ByteBufferLogInputStream` and
    /// `DefaultRecordBatch.ensureValid`: `CORRUPT_MESSAGE`.
    LengthTooSmall {
        /// The field as read.
        batch_length: i32,
    },
    /// A message set of format v0 or v1. Produce requests from version 3 on may not carry them
    /// (`ProduceRequest.validateRecords`): `INVALID_RECORD`.
    LegacyMagic {
        /// 0 or 1.
        magic: i8,
    },
    /// A magic byte that no format has. `ByteBufferLogInputStream`: `CORRUPT_MESSAGE`.
    UnknownMagic {
        /// The byte as read.
        magic: i8,
    },
    /// More bytes than one batch: a second batch, or garbage. A second batch is `INVALID_RECORD`
    /// (`ProduceRequest.validateRecords`); Kafka would cut off an incomplete one in silence, we
    /// refuse it alike.
    TrailingBytes {
        /// Where the first batch ends.
        batch_bytes: usize,
        /// Bytes that are there.
        present: usize,
    },
    /// The checksum does not match. `UnifiedLog.analyzeAndValidateRecords`: `CORRUPT_MESSAGE`.
    CrcMismatch {
        /// The field as read.
        stored: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// A compression id that no codec has. Kafka trips over it (`CompressionType.forId`) and
    /// answers `UNKNOWN_SERVER_ERROR`, which tells nobody anything; we answer
    /// `UNSUPPORTED_COMPRESSION_TYPE`.
    UnknownCompression {
        /// The low three attribute bits: 5, 6 or 7.
        id: u8,
    },
    /// A producer must leave the base offset at 0. `UnifiedLog.analyzeAndValidateRecords`:
    /// `INVALID_RECORD`.
    BaseOffsetNotZero {
        /// The field as read.
        base_offset: Offset,
    },
    /// Offsets that are negative, run backwards or pass the largest. `LogValidator.validateBatch`:
    /// `INVALID_RECORD`.
    OffsetRange {
        /// The field as read.
        base_offset: Offset,
        /// The field as read.
        last_offset_delta: i32,
    },
    /// A record count that does not fit the offset range. `LogValidator.validateBatch`:
    /// `INVALID_RECORD`.
    RecordCount {
        /// The field as read.
        record_count: i32,
        /// The field as read.
        last_offset_delta: i32,
    },
    /// Clients may not write control batches. `LogValidator.validateBatch`: `INVALID_RECORD`.
    ControlFromClient,
    /// A producer id without a base sequence. `LogValidator.validateBatch`: `INVALID_RECORD`.
    SequenceMissing {
        /// The field as read, negative.
        base_sequence: i32,
    },
    /// Transactional, but no producer id: it could never be committed or aborted. Kafka checks the
    /// request's transactional id only and lets it through; we answer `INVALID_RECORD`.
    TransactionalWithoutProducer,
    /// The delete horizon (KIP-534) is the log cleaner's to set. Kafka lets it through, and the
    /// client's tombstones then vanish early; we answer `INVALID_RECORD`.
    DeleteHorizonFromClient,
    /// `LogAppendTime` is the broker's to set. `LogValidator.validateTimestamp`:
    /// `INVALID_TIMESTAMP`.
    AppendTimeFromClient,
    /// The records do not decompress, or to more than is allowed. `INVALID_RECORD`: the checksum
    /// has shown that these are the bytes the client meant, so sending them again cannot help.
    Decompress(DecompressError),
    /// A record is not well formed. `DefaultRecord.readFrom`: `INVALID_RECORD`.
    Record {
        /// Index of the record in its batch, from 0 (`batch_index` of `RecordErrors`, KIP-467).
        index: i32,
        /// What is wrong with it.
        fault: RecordFault,
    },
    /// More bytes follow the last record. `DefaultRecordBatch.RecordIterator`: `INVALID_RECORD`.
    BytesAfterRecords {
        /// How many.
        count: usize,
    },
    /// A compacted topic takes no record without a key. `LogValidator.validateKey`:
    /// `INVALID_RECORD`.
    KeyMissing {
        /// Index of the record in its batch, from 0.
        index: i32,
    },
    /// Further from now than the topic allows (`message.timestamp.before.max.ms`,
    /// `message.timestamp.after.max.ms`). `LogValidator.validateTimestamp`: `INVALID_TIMESTAMP`.
    TimestampOutOfRange {
        /// Index of the record in its batch, from 0.
        index: i32,
        /// The record's timestamp.
        timestamp: Timestamp,
    },
}

/// What is wrong with one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordFault {
    /// The batch, or the record's own length, ends in the middle of a field; or the record is
    /// missing altogether, though the header counts it.
    Truncated,
    /// A varint of more bytes or more bits than its type has.
    VarintTooLong,
    /// A negative length where null is not allowed, or one below -1.
    Length,
    /// The offset delta is negative, past the batch's last, or not above the one before.
    OffsetDelta,
    /// The number of headers is negative or more than the record has room for.
    HeaderCount,
    /// The record's length says more than its fields use.
    BytesLeft,
    /// A control record whose key or value is not what its type demands.
    Control,
}

impl BatchError {
    /// Which of Kafka's errors a producer gets for this.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self {
            BatchError::LengthTooSmall { .. }
            | BatchError::UnknownMagic { .. }
            | BatchError::CrcMismatch { .. } => Refusal::CorruptMessage,
            BatchError::UnknownCompression { .. } => Refusal::UnsupportedCompressionType,
            BatchError::AppendTimeFromClient | BatchError::TimestampOutOfRange { .. } => {
                Refusal::InvalidTimestamp
            }
            BatchError::Truncated { .. }
            | BatchError::LegacyMagic { .. }
            | BatchError::TrailingBytes { .. }
            | BatchError::BaseOffsetNotZero { .. }
            | BatchError::OffsetRange { .. }
            | BatchError::RecordCount { .. }
            | BatchError::ControlFromClient
            | BatchError::SequenceMissing { .. }
            | BatchError::TransactionalWithoutProducer
            | BatchError::DeleteHorizonFromClient
            | BatchError::Decompress(_)
            | BatchError::Record { .. }
            | BatchError::BytesAfterRecords { .. }
            | BatchError::KeyMissing { .. } => Refusal::InvalidRecord,
        }
    }

    /// The record that is at fault, as an index into its batch from 0, if a single one is
    /// (KIP-467).
    #[must_use]
    pub fn record_index(&self) -> Option<i32> {
        match self {
            BatchError::Record { index, .. }
            | BatchError::KeyMissing { index }
            | BatchError::TimestampOutOfRange { index, .. } => Some(*index),
            _ => None,
        }
    }
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BatchError::Truncated { needed, present } => {
                write!(f, "the batch needs {needed} bytes, {present} are there")
            }
            BatchError::LengthTooSmall { batch_length } => {
                write!(f, "the batch length {batch_length} is too small for a header")
            }
            BatchError::LegacyMagic { magic } => {
                write!(f, "message format v{magic} is not supported; only v2 is")
            }
            BatchError::UnknownMagic { magic } => write!(f, "unknown magic byte {magic}"),
            BatchError::TrailingBytes { batch_bytes, present } => {
                write!(
                    f,
                    "exactly one batch is allowed; it ends after {batch_bytes} bytes of {present}"
                )
            }
            BatchError::CrcMismatch { stored, computed } => {
                write!(f, "stored crc {stored:#010x}, computed crc {computed:#010x}")
            }
            BatchError::UnknownCompression { id } => write!(f, "unknown compression id {id}"),
            BatchError::BaseOffsetNotZero { base_offset } => {
                write!(f, "a produced batch must have base offset 0, not {base_offset}")
            }
            BatchError::OffsetRange { base_offset, last_offset_delta } => {
                write!(f, "invalid offsets: base {base_offset}, last delta {last_offset_delta}")
            }
            BatchError::RecordCount { record_count, last_offset_delta } => {
                write!(
                    f,
                    "{record_count} records do not fit a last offset delta of {last_offset_delta}"
                )
            }
            BatchError::ControlFromClient => f.write_str("clients may not write control records"),
            BatchError::SequenceMissing { base_sequence } => {
                write!(f, "a producer id needs a sequence, not {base_sequence}")
            }
            BatchError::TransactionalWithoutProducer => {
                f.write_str("a transactional batch needs a producer id")
            }
            BatchError::DeleteHorizonFromClient => {
                f.write_str("clients may not set a delete horizon")
            }
            BatchError::AppendTimeFromClient => {
                f.write_str("a producer must not set the timestamp type to LogAppendTime")
            }
            BatchError::Decompress(error) => error.fmt(f),
            BatchError::Record { index, fault } => write!(f, "record {index}: {fault}"),
            BatchError::BytesAfterRecords { count } => {
                write!(f, "{count} bytes follow the last record")
            }
            BatchError::KeyMissing { index } => {
                write!(f, "record {index}: a compacted topic needs keys")
            }
            BatchError::TimestampOutOfRange { index, timestamp } => {
                write!(f, "record {index}: timestamp {timestamp} is out of range")
            }
        }
    }
}

impl std::error::Error for BatchError {}

impl From<DecompressError> for BatchError {
    fn from(error: DecompressError) -> BatchError {
        BatchError::Decompress(error)
    }
}

impl fmt::Display for RecordFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecordFault::Truncated => "ends before its last field",
            RecordFault::VarintTooLong => "has a varint that is too long",
            RecordFault::Length => "has an invalid length",
            RecordFault::OffsetDelta => "has an offset out of order or out of range",
            RecordFault::HeaderCount => "has an invalid number of headers",
            RecordFault::BytesLeft => "has bytes after its last field",
            RecordFault::Control => "is not a valid control record",
        })
    }
}
