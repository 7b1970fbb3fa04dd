//! The group-commit journal of one shard: the one place where an acknowledgement becomes true.
//!
//! What it is: a pure machine that collects the entries of all partitions of a shard into groups,
//! says which aligned buffer has to be written where, and knows up to which group everything is on
//! stable storage ([`Journal`]); and the way back: the plan and the machines that read the entries
//! again after a crash ([`plan`], [`Replay`], [`Merge`]), and the walk that shows a file to a human
//! ([`dump`]).
//!
//! What it does not know: files, rings, clocks, batches. The shell opens `journal/<lane>-<shard>-
//! <slot>.journal` ([`file_name`]), fills a new file with zeroes to its full length, writes with
//! direct I/O, and reports completions. A payload is bytes; only its owner knows what they mean.
//!
//! Invariants:
//! - A group counts as durable only when it and all groups before it were reported as written.
//! - Replay yields a prefix of the groups that were issued, at least up to the last durable one. It
//!   never yields bytes that were not appended, and nothing behind a group that is missing.
//! - A file is overwritten only after every entry in it and in all older files was released, and
//!   only after its new header is durable. So no file ever holds an old header over new groups.
//! - A lane that is written without device flush reports `durable` for groups that a power cut can
//!   still take. The machine is the same; the promise is the caller's.
//!
//! # Restart
//!
//! 1. Read the first block of every journal file and [`plan`]. Read each [`Chain`] with [`Replay`],
//!    side by side if wanted. A [`Lost`] in the flushed lane or a [`PlanFault`] is for the operator.
//! 2. Offer the entries to a [`Merge`], incarnation by incarnation, and apply what it yields. This
//!    relies on the leader epoch of every partition rising with every start.
//! 3. Make durable what was replayed, once it is read: flush every journal file, or the segments.
//!    It may have been read from a cache that the next power cut empties, with new records already
//!    behind it. Then write down how far each journal was read ([`Ends`]): a write of a killed
//!    process may land later, and no later start must take for true what this one did not see.
//! 4. Make the new incarnation durable, make the [`Journal`]s, and let each
//!    [`adopt`](Journal::adopt) the files that bear its shard and lane in their names. Files of
//!    shards that no longer exist are removed once their entries are in the segments, oldest first.
//!
//! # Format
//!
//! All integers are little-endian. A file is a sequence of blocks of
//! [`limits::JOURNAL_BLOCK_BYTES`](crate::limits::JOURNAL_BLOCK_BYTES) (4096). Block 0 is the file
//! header; it is written when the file is prepared, before any group:
//!
//! | at | type | field |
//! |---|---|---|
//! | 0 | 8 bytes | magic `RMJFILE\0` |
//! | 8 | u32 | format version, 1 |
//! | 12 | u16 | shard that wrote the file |
//! | 14 | u8 | lane: 0 flushed, 1 unflushed |
//! | 15 | u8 | 0 |
//! | 16 | u64 | incarnation |
//! | 24 | u64 | file number, rising by one with every file of this shard, lane and incarnation |
//! | 32 | u64 | length of the file in bytes |
//! | 40 | u64 | incarnation of the oldest file of this shard and lane that was still in use; 0: this one, and nothing is said of earlier ones |
//! | 48 | u64 | number of that file; what is older is not needed |
//! | 56 | u32 | CRC32C of bytes 0 to 56 |
//!
//! The header fits into one 512-byte sector, so a power cut leaves the old or the new one. The rest
//! of the block is zero.
//!
//! The first group starts at block 1, every further one at the next block boundary behind the last.
//! A group that does not fit into what is left of the file opens the next file. A group is a header
//! and `entry_count` entries without gaps; the rest of its last block is zero and not read:
//!
//! | at | type | field |
//! |---|---|---|
//! | 0 | 8 bytes | magic `RMGROUP\0` |
//! | 8 | u64 | incarnation |
//! | 16 | u64 | file number |
//! | 24 | u64 | group sequence: 1 for the first of the incarnation, rising by one |
//! | 32 | u64 | sequence of the first group in this file |
//! | 40 | u64 | highest group sequence known durable when this group was issued |
//! | 48 | u16 | shard |
//! | 50 | u8 | lane |
//! | 51 | u8 | 0 |
//! | 52 | u32 | block in the file at which this group starts |
//! | 56 | u32 | header CRC of the previous group; 0 before the first |
//! | 60 | u32 | entry count |
//! | 64 | u32 | bytes of all entries |
//! | 68 | u32 | CRC32C of all entries |
//! | 72 | u32 | CRC32C of bytes 0 to 72, which covers the entries through their CRC |
//! | 76 | u32 | 0 |
//!
//! An entry is 48 bytes and the payload:
//!
//! | at | type | field |
//! |---|---|---|
//! | 0 | u32 | bytes of the payload |
//! | 4 | u8 | kind ([`EntryKind`]) |
//! | 5 | 3 bytes | 0 |
//! | 8 | 16 bytes | topic id |
//! | 24 | i32 | partition |
//! | 28 | i32 | leader epoch |
//! | 32 | i64 | base offset |
//! | 40 | i64 | next offset |
//!
//! Why each field of the group header is there: incarnation, shard, lane and file number tell the
//! group from what the recycled file held before; the block tells it from a write that the device
//! sent elsewhere; sequence and previous CRC make it the exact successor, and the file's first
//! sequence does it where the files before are gone; the durable sequence lets replay tell a group that was still in flight (nobody was told) from one that was acknowledged
//! and has rotted (somebody must be told).

// Tests may index what they made themselves.
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

mod entry;
mod format;

mod buffer;
mod checksum;
mod coverage;
mod files;

mod append;

mod walk;

mod plan;
mod replay;

mod merge;

mod ends;

mod dump;

#[cfg(test)]
mod append_tests;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod memory_disk;
#[cfg(test)]
mod restart_tests;

pub use append::{Action, Journal, JournalOptions, Refusal};
pub use buffer::GroupBuffer;
pub use coverage::Coverage;
pub use dump::{Dumped, dump};
pub use ends::{Ends, EndsFault, limit};
pub use entry::{Checked, Entry, EntryKind, FileNumber, GroupSequence, Lane, Slot, file_name};
pub use files::CheckpointDemand;
pub use format::{ENTRY_HEADER_BYTES, FileHeader, GROUP_HEADER_BYTES, HeaderFault};
pub use merge::{Gap, Merge, Placed, RecoveredEnd};
pub use plan::{Chain, Plan, PlanFault, plan};
pub use replay::{Lost, ReadRequest, Replay, ReplayEnd, ReplayedEntry};
pub use walk::Stop;
