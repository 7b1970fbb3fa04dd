//! What is appended, and the numbers by which the journal speaks.

use std::fmt;

use crate::ids::{LeaderEpoch, Offset, ShardId, TopicPartition};

/// Which of a shard's two journals: they differ in what the shell does after a write.
///
/// A partition goes from the unflushed to the flushed lane only once its segments are durable up to
/// its end: else a power cut takes records of the one lane, and with them all that was acknowledged
/// in the other lane behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Written through to stable storage: the default, `flush.messages=1`.
    Flushed,
    /// Written without device flush: Kafka's way, for topics with a larger `flush.messages`.
    Unflushed,
}

impl Lane {
    /// The number on disk.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Lane::Flushed => 0,
            Lane::Unflushed => 1,
        }
    }

    /// The lane of a number on disk.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Lane> {
        match code {
            0 => Some(Lane::Flushed),
            1 => Some(Lane::Unflushed),
            _ => None,
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lane::Flushed => "flushed",
            Lane::Unflushed => "unflushed",
        })
    }
}

/// A file's place in the set of one shard and lane. A recycled file keeps its slot, and so its
/// name, and gets a new [`FileNumber`] in its header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// Order of the files of one shard, lane and incarnation. The first is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileNumber(pub u64);

/// Order of the groups of one shard, lane and incarnation. The first is 1; 0 means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupSequence(pub u64);

/// Name of a journal file within the journal directory.
#[must_use]
pub fn file_name(lane: Lane, shard: ShardId, slot: Slot) -> String {
    format!("{lane}-{shard}-{}.journal", slot.0)
}

/// What an entry means. The numbers are on disk: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// A record batch as it stands in the segment. Its offsets are the entry's.
    Batch,
    /// The log start moved to `base_offset` (DeleteRecords); the payload is empty and `next_offset`
    /// is the same number. Released like a batch, so the checkpoint that covers `next_offset` has
    /// to carry the log start, too.
    LogStart,
}

impl EntryKind {
    /// The number on disk.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            EntryKind::Batch => 1,
            EntryKind::LogStart => 2,
        }
    }

    /// The kind of a number on disk. `None` is a kind of a newer version: not to be skipped.
    #[must_use]
    pub fn from_code(code: u8) -> Option<EntryKind> {
        match code {
            1 => Some(EntryKind::Batch),
            2 => Some(EntryKind::LogStart),
            _ => None,
        }
    }
}

/// One thing to make durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What it means.
    pub kind: EntryKind,
    /// The partition it belongs to.
    pub at: TopicPartition,
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset after its last record. Once the partition's segments are durable up to here, the
    /// journal no longer needs the entry.
    pub next_offset: Offset,
    /// Term of the leader that appended it.
    pub leader_epoch: LeaderEpoch,
    /// The bytes; of a batch, all of it, stamped.
    pub payload: &'a [u8],
    /// What is known of their checksum. It is trusted: a wrong one makes the entry, and what lies
    /// behind it, unreadable to the next start.
    pub checked: Option<Checked>,
}

/// The CRC32C of a payload's bytes from one of them on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The first byte it covers; it covers all behind.
    pub from: usize,
    /// The checksum.
    pub crc: u32,
}
