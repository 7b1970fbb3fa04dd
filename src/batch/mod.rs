//! Record batches, format v2 (magic 2, KIP-98), over plain byte slices.
//!
//! What it is: the one place that reads and writes the bytes of a batch. The hot path works on the
//! 61-byte header and the checksum only ([`check_produce`], [`stamp`]); records inside are walked
//! ([`Records`], [`validate_records`], [`find_timestamp`]) only where the topic or the request
//! needs it, and then within a bound on what they may decompress to.
//!
//! What it does not know: topics, partitions, logs, connections, and Kafka's error codes. It says
//! which of Kafka's refusals a fault belongs to ([`BatchError::refusal`]); `api` turns that into a
//! code. It keeps no state between calls.
//!
//! Invariants:
//! - No input makes it panic, loop without progress, or allocate more than the given limit plus a
//!   small constant.
//! - A header that came from [`BatchHeader::parse`] has a batch length that covers the header.
//! - A header that came from [`check`] has offsets, counts and a compression id that fit together,
//!   so none of its methods needs a fallback.
//! - The base offset and the leader epoch lie outside the checksum; stamping them never touches it.

#![warn(clippy::indexing_slicing)]

mod error;
mod header;

mod check;
mod recompress;
mod stamp;

mod compression;

mod records;
mod validate;
mod varint;

mod builder;
mod control;

mod scan;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod hostile;

pub use builder::BatchBuilder;
pub use check::{check, check_produce};
pub use compression::{Compression, DecompressError, ZSTD_WINDOW_BYTES_MAX, compress, decompress};
pub use control::{ControlRecord, LeaderChange, control_batch, control_record};
pub use error::{BatchError, RecordFault, Refusal};
pub use header::{
    BatchHeader, HEADER_BYTES, LENGTH_PREFIX_BYTES, MAGIC, NO_LEADER_EPOCH, NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP, ProducerStamp, TimestampType,
};
pub use recompress::recompress;
pub use records::{Header, Headers, Record, Records, RecordsIter};
pub use scan::{Batches, Located};
pub use stamp::{carried_checksum, stamp, stamp_append_time, stamp_timestamps};
pub use validate::{ValidateOptions, Validated, find_timestamp, validate_records};
