//! One partition as its owner holds it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::api::work::PartitionRefusal;
use crate::catalog::TopicConfig;
use crate::ids::{LeaderEpoch, Offset};
use crate::journal::Lane;
use crate::log::Log;
use crate::producer::ProducerTable;
use crate::shard::engine::PartitionDirectory;
use crate::time::Instant;

use super::PartId;
use super::unchecked::Unchecked;

/// Who waits for an offset to become durable.
#[derive(Clone, Copy, Debug)]
pub(super) struct DurableWaiter {
    /// Satisfied when everything below is durable.
    pub next_offset: Offset,
    pub part: PartId,
    pub index: u32,
    pub produced: crate::api::work::Produced,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Partition {
    pub directory: Arc<PartitionDirectory>,
    pub config: Arc<TopicConfig>,
    pub leader_epoch: LeaderEpoch,
    pub log: Log,
    pub producers: ProducerTable,
    /// Everything below is as durable as the topic asks. On one node this is the high watermark
    /// too: consumers never see what a power cut could take back.
    pub durable: Offset,
    /// Bytes that became durable since the start: how far the partition has come for those who wait
    /// for bytes.
    pub durable_bytes: u64,
    /// The lane of the batches that are not durable yet. A topic whose `flush.messages` changes
    /// moves to the other lane only when nothing is under way, so that durability is contiguous.
    pub lane: Lane,
    /// In offset order.
    pub waiters: VecDeque<DurableWaiter>,
    /// A durable checkpoint says that its segments hold everything below.
    pub checkpointed: Offset,
    /// A write to its segments is under way.
    pub writing: bool,
    /// A flush of its segments is under way, covering everything below this offset.
    pub flushing: Option<Offset>,
    /// Waits in the writer's queue.
    pub queued: bool,
    /// Since when durable bytes wait to be written to a segment.
    pub unwritten_since: Option<Instant>,
    /// What is in its segments since before the start.
    pub unchecked: Unchecked,
}

impl Partition {
    pub(super) fn high_watermark(&self) -> Offset {
        self.durable
    }

    /// The lane for the next batch.
    pub(super) fn lane_for_append(&mut self) -> Lane {
        let wanted = if self.config.flush_messages <= 1 { Lane::Flushed } else { Lane::Unflushed };
        let quiet = self.durable == self.log.next_offset();
        if quiet && (wanted == Lane::Unflushed || !self.must_settle()) {
            self.lane = wanted;
        }
        self.lane
    }

    /// True while a partition that is to be flushed from now on has batches that are only written:
    /// a flushed batch behind one that a power cut takes would be lost with it, so nothing is
    /// appended until the segments hold everything.
    pub(super) fn must_settle(&self) -> bool {
        self.lane == Lane::Unflushed
            && self.config.flush_messages <= 1
            && self.checkpointed < self.log.next_offset()
    }

    /// Checks the epoch a client believes in against this partition's.
    pub(super) fn check_epoch(
        &self,
        believed: Option<LeaderEpoch>,
    ) -> Result<(), PartitionRefusal> {
        match believed {
            Some(epoch) if epoch < self.leader_epoch => Err(PartitionRefusal::FencedEpoch),
            Some(epoch) if epoch > self.leader_epoch => Err(PartitionRefusal::UnknownEpoch),
            _ => Ok(()),
        }
    }

    pub(super) fn out_of_range(&self) -> PartitionRefusal {
        PartitionRefusal::OffsetOutOfRange {
            log_start: self.log.start_offset(),
            high_watermark: self.high_watermark(),
        }
    }
}
