//! Replies as pieces: bytes in memory, and ranges of segment files that never pass through this
//! process where that can be helped.

use std::sync::Arc;

use bytes::Bytes;

use crate::ids::{Offset, TopicPartition};
use crate::stdx::few::Few;

/// One reply frame: its length prefix, header and body, with file ranges spliced in.
#[derive(Debug, Default)]
pub struct Reply {
    /// In order.
    pub pieces: Vec<Piece>,
}

/// A stretch of a reply.
#[derive(Debug)]
pub enum Piece {
    /// Bytes in memory.
    Bytes(Bytes),
    /// Bytes of a segment file, to be sent without passing through this process where possible.
    /// If they cannot be read in full, the connection is closed: the length is already promised.
    File(FileRange),
}

impl Piece {
    /// Bytes it stands for.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Piece::Bytes(bytes) => bytes.len(),
            Piece::File(range) => range.length as usize,
        }
    }

    /// True when it stands for none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What comes into one hole of a reply: the records of one partition.
#[derive(Debug, Default)]
pub enum Filling {
    /// No bytes; such a hole is not left.
    #[default]
    Nothing,
    /// Whole batches.
    Memory(Few<Bytes>),
    /// Bytes of a segment file.
    File(FileRange),
}

/// Bytes of one segment's `.log` file.
#[derive(Clone, Debug)]
pub struct FileRange {
    /// Whose.
    pub directory: Arc<PartitionDirectory>,
    /// Base offset of the segment.
    pub segment: Offset,
    /// Which of its contents: compaction replaces the file by another.
    pub generation: u32,
    /// First byte.
    pub position: u32,
    /// How many.
    pub length: u32,
}

/// Where a partition's files live.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartitionDirectory {
    /// Name below the data directory: `<topic>-<partition>`, Kafka's layout.
    pub name: String,
    /// Whose files they are; goes into Kafka's `partition.metadata` when the directory is made.
    pub at: TopicPartition,
}

impl PartitionDirectory {
    /// The directory of a partition of a topic with this name.
    #[must_use]
    pub fn new(topic: &str, at: TopicPartition) -> PartitionDirectory {
        PartitionDirectory { name: format!("{topic}-{}", at.partition), at }
    }
}
