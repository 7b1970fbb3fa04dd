//! What one partition remembers of its idempotent producers (KIP-98, KIP-360), so that a retry is
//! neither written twice nor out of order.
//!
//! What it is: a table from producer id to its epoch and its last five batches
//! ([`ProducerTable`]). [`check`](ProducerTable::check) decides about a batch before it is appended,
//! [`apply`](ProducerTable::apply) notes one that was, live and at replay alike.
//!
//! What it does not know: logs, clocks, who hands out producer ids, Kafka's error codes. Whether a
//! remembered batch is durable yet is the partition's business: a duplicate is answered when its
//! last offset is.
//!
//! Invariants:
//! - The batches of a producer are of one epoch, their sequences and offsets rise, and each batch's
//!   first sequence follows the last sequence of the batch before it, unless the log itself has a
//!   gap there.
//! - Nothing at or behind the log's end is remembered: a claim to have what the log lost would
//!   swallow the retry that brings it back.
//! - The table holds at most as many producers as it was made for.
//!
//! Where this follows Kafka's `ProducerStateManager` and where it does not:
//! - An unknown producer may start at any sequence; UNKNOWN_PRODUCER_ID is no longer an answer
//!   (KIP-360). A retry older than the five batches is out of order; DUPLICATE_SEQUENCE is no
//!   longer an answer either.
//! - Retention and DeleteRecords leave producers alone: only time and number make them forgotten.
//! - Kafka counts `producer.id.expiration.ms` from the timestamps in the records, so a client with
//!   a slow clock loses its protection. Here it counts from the append on the monotonic clock, and
//!   from the start for what a snapshot brought back.

// Tests may index what they made themselves.
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

mod snapshot;
mod table;
mod window;

#[cfg(test)]
mod kafka_tests;
#[cfg(test)]
mod model_tests;

pub use snapshot::{BatchSnapshot, ProducerSnapshot, ProducerTableSnapshot};
pub use table::{ProducerTable, Refusal, Verdict};
