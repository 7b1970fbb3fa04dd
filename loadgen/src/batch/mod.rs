//! Record batches (format v2) as a load generator needs them.
//!
//! Written: the records of a batch are encoded once and shared by every request that carries them
//! ([`Body`]); the head in front of them ([`BatchHead`]) is written anew for each request, with
//! time, producer and sequence. The CRC covers part of the head and all records, yet is never
//! computed over the records again: CRC-32C is linear, so the CRC of the new head, moved past the
//! known length of the records, is combined with the records' own CRC.
//!
//! Read: heads are walked for counting ([`walk`]), records only where a caller asks ([`BatchView`]).
//!
//! Independent of the broker's own batch room on purpose: the checker must not share its mistakes.

mod payload;
mod read;
mod write;

pub(crate) use payload::{Payloads, Templates};
pub(crate) use read::{BatchView, walk};
pub(crate) use write::{BatchHead, Body, RecordsWriter};

/// Bytes of a batch in front of its records.
pub(crate) const HEAD_BYTES: usize = 61;
/// First byte that the CRC covers.
const CRC_FROM: usize = 21;
