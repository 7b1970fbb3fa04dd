//! The newest batches of the log, in memory: everything that is not yet written to a segment, and
//! as much of what is as memory allows.

use std::collections::VecDeque;

use bytes::Bytes;

use super::mark::BatchSpan;
use crate::ids::Offset;
use crate::time::Timestamp;

/// One batch in memory.
#[derive(Clone, Debug)]
pub(super) struct TailBatch {
    /// Its offsets, size and time.
    pub(super) span: BatchSpan,
    /// Where it lies, or will lie, in its segment.
    pub(super) position: u32,
    /// Whether it has an index entry.
    pub(super) indexed: bool,
    /// Wall clock at its append.
    pub(super) appended: Timestamp,
    /// The batch.
    pub(super) bytes: Bytes,
}

/// See the module. Invariant: batches ascend and none is missing between the first and the log end.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail {
    batches: VecDeque<TailBatch>,
    bytes: usize,
}

impl Tail {
    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, batch: TailBatch) {
        self.bytes += batch.bytes.len();
        self.batches.push_back(batch);
    }

    pub(super) fn first(&self) -> Option<&TailBatch> {
        self.batches.front()
    }

    pub(super) fn pop_first(&mut self) -> Option<TailBatch> {
        let batch = self.batches.pop_front()?;
        self.bytes -= batch.bytes.len();
        Some(batch)
    }

    pub(super) fn pop_last(&mut self) -> Option<TailBatch> {
        let batch = self.batches.pop_back()?;
        self.bytes -= batch.bytes.len();
        Some(batch)
    }

    pub(super) fn last(&self) -> Option<&TailBatch> {
        self.batches.back()
    }

    /// The batches from the first that ends after `offset` on.
    pub(super) fn from(&self, offset: Offset) -> impl Iterator<Item = &TailBatch> {
        let at = self.batches.partition_point(|batch| batch.span.next_offset <= offset);
        self.batches.range(at..)
    }
}
