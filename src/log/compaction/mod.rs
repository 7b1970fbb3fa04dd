//! Log compaction: of every key only the newest record is kept (`cleanup.policy=compact`).
//!
//! Three steps, so that a crash at any moment leaves either the old segments or the new ones:
//!
//! 1. [`Log::compaction_plan`] decides which closed segments are read. [`Cleaning`] reads them
//!    twice, first to learn the newest offset of each key, then to write what stays to new files
//!    beside them. It runs in slices and can be dropped at any of them.
//! 2. The new files are flushed, and a checkpoint that names them instead of the old segments is
//!    made durable ([`Log::prepare_replacement`]).
//! 3. The files take the names of the old ones, and the log serves by them
//!    ([`Log::finish_replacement`]). A start that finds the checkpoint of step 2 and the names of
//!    step 1 makes up for it.
//!
//! It does not know files, threads or the cost of a read. Invariants:
//! - A record is dropped only if a newer one of its key stays, or if it is a tombstone whose delete
//!   horizon is over (KIP-534), or if it has no key and so nothing to be found by.
//! - Offsets never change; offsets of records that went are holes that a reader steps over.
//! - What cannot be understood (a batch that does not decompress within bounds) stays as it is.
//!   What is damaged ends the cleaning; the old segments stay.
//! - Batches of transactions and control batches stay as they are.

mod batch;
mod cleaning;
mod keys;
mod output;
mod plan;

#[cfg(test)]
mod tests;

pub use cleaning::{CleanError, Cleaning, Step};
pub use output::{CleanedSegment, Compacted, OutputFile};
pub use plan::{CompactionOptions, CompactionPlan, Source};

pub(super) use plan::Replacement;
