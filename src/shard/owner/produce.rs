//! Appending batches: checks, offsets, the journal, and the answers once they are durable.

use std::collections::VecDeque;

use bytes::BytesMut;

use crate::api::work::{Acks, Answer, PartitionRefusal, ProduceItem, ProduceRefusal, Produced};
use crate::batch::{self, BatchHeader};
use crate::ids::{Offset, ShardId, TopicPartition};
use crate::journal::{self, EntryKind, GroupSequence, Lane};
use crate::limits::journal_batch_bytes_max;
use crate::producer::Verdict;
use crate::shard::engine::DiskError;
use crate::shard::message::RequestId;
use crate::shard::outbox::Outbox;
use crate::stdx::few::Few;
use crate::time::Now;

use super::groups::GroupBatch;
use super::inspection::append_time_of;
use super::partition::DurableWaiter;
use super::{Entry, Owner, PartId, resolve};

/// Batches that wait for room in the journal, in the order they came. While any waits, every later
/// batch waits behind it: an idempotent producer's batches must not overtake each other.
#[derive(Debug, Default)]
pub(super) struct Stalled {
    queue: VecDeque<Waiting>,
    bytes: usize,
}

/// One of them.
#[derive(Debug)]
enum Waiting {
    /// Of a client.
    Client(PartId, Acks, Pending),
    /// Of a coordinator.
    Groups(GroupBatch),
}

impl Waiting {
    fn bytes(&self) -> usize {
        match self {
            Waiting::Client(_, _, pending) => pending.item.batch.len(),
            Waiting::Groups(group_batch) => group_batch.batch.len(),
        }
    }
}

impl Stalled {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// A batch that has been checked and made what its topic demands. That is done once: a batch that
/// waits for room must not be judged by what the broker has already written into it.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) item: ProduceItem,
    pub(super) header: BatchHeader,
}

/// Where a batch was put.
pub(super) struct Placed {
    pub base_offset: Offset,
    pub next_offset: Offset,
}

enum Appended {
    /// The answer waits until everything below the offset is durable.
    Wait(Produced, Offset),
    /// There is no room; the batch waits.
    Full,
}

impl Owner {
    pub(super) fn produce(
        &mut self,
        from: ShardId,
        request: RequestId,
        acks: Acks,
        items: Few<ProduceItem>,
        now: Now,
        out: &mut Outbox,
    ) {
        let part = self.open_part(from, request, items.len());
        for item in items {
            self.admit(part, acks, item, now, out);
        }
    }

    /// A batch is ready to be appended.
    pub(super) fn admitted(
        &mut self,
        part: PartId,
        acks: Acks,
        pending: Pending,
        now: Now,
        out: &mut Outbox,
    ) {
        if self.stalled.queue.is_empty() {
            self.produce_one(part, acks, pending, now, out);
        } else {
            self.stall(Waiting::Client(part, acks, pending));
        }
    }

    fn stall(&mut self, waiting: Waiting) {
        self.stalled.bytes += waiting.bytes();
        self.stalled.queue.push_back(waiting);
    }

    /// A coordinator's batch found no room: it waits before all others.
    pub(super) fn stall_groups(&mut self, group_batch: GroupBatch) {
        self.stalled.bytes += group_batch.batch.len();
        self.stalled.queue.push_front(Waiting::Groups(group_batch));
    }

    /// A coordinator's batch waits behind all others.
    pub(super) fn stall_groups_last(&mut self, group_batch: GroupBatch) {
        self.stall(Waiting::Groups(group_batch));
    }

    fn produce_one(
        &mut self,
        part: PartId,
        acks: Acks,
        mut pending: Pending,
        now: Now,
        out: &mut Outbox,
    ) {
        let (index, at) = (pending.item.index, pending.item.at);
        match self.append(&mut pending, now) {
            Err(refusal) => self.resolve(part, index, Answer::Produced(Err(refusal)), out),
            // Waiting helps only if room may come without somebody making some.
            Ok(Appended::Full) if self.writer.disk_is_full() => {
                let refused = Answer::Produced(Err(ProduceRefusal::Storage));
                self.resolve(part, index, refused, out);
            }
            Ok(Appended::Full) => {
                self.stalled.bytes += pending.item.batch.len();
                self.stalled.queue.push_front(Waiting::Client(part, acks, pending));
            }
            Ok(Appended::Wait(produced, next_offset)) => {
                let partition = self.partitions.get_mut(&at);
                match partition {
                    Some(partition) if acks != Acks::None && partition.durable < next_offset => {
                        let waiter = DurableWaiter { next_offset, part, index, produced };
                        // A duplicate may wait for less than the batches before it in the queue.
                        let place =
                            partition.waiters.partition_point(|w| w.next_offset <= next_offset);
                        partition.waiters.insert(place, waiter);
                    }
                    _ => self.resolve(part, index, Answer::Produced(Ok(produced)), out),
                }
            }
        }
    }

    fn append(&mut self, pending: &mut Pending, now: Now) -> Result<Appended, ProduceRefusal> {
        let at = pending.item.at;
        let partition = self
            .partitions
            .get_mut(&at)
            .ok_or(ProduceRefusal::Partition(PartitionRefusal::Unknown))?;
        let header = pending.header;
        let append_time = append_time_of(&header);
        let stamp = header.producer();
        if let Some(stamp) = &stamp {
            match partition.producers.check(stamp).map_err(ProduceRefusal::Producer)? {
                Verdict::New => {}
                Verdict::Duplicate { base_offset, last_offset, timestamp } => {
                    // Kafka tells the time of a duplicate whatever the topic's kind of timestamps.
                    let append_time = Some(timestamp);
                    let log_start = partition.log.start_offset();
                    let produced = Produced { base_offset, append_time, log_start };
                    return Ok(Appended::Wait(produced, last_offset.plus(1)));
                }
            }
        }
        Ok(match self.place(at, &mut pending.item.batch, header, now)? {
            None => Appended::Full,
            Some(Placed { base_offset, next_offset }) => {
                let log_start = self.partitions.get(&at).map(|p| p.log.start_offset());
                let log_start = log_start.unwrap_or_default();
                Appended::Wait(Produced { base_offset, append_time, log_start }, next_offset)
            }
        })
    }

    /// Gives a checked batch its offsets and hands it to the journal and the tail. `None`: there is
    /// no room for it now.
    pub(super) fn place(
        &mut self,
        at: TopicPartition,
        batch: &mut BytesMut,
        mut header: BatchHeader,
        now: Now,
    ) -> Result<Option<Placed>, ProduceRefusal> {
        let full = self.writer.disk_is_full() && self.tail_bytes > 2 * self.options.tail_bytes_max;
        let partition = self
            .partitions
            .get_mut(&at)
            .ok_or(ProduceRefusal::Partition(PartitionRefusal::Unknown))?;
        if full {
            return Ok(None);
        }
        if partition.must_settle() {
            let next_offset = partition.log.next_offset();
            self.writer.checkpoint.want();
            self.demand_flush(at, next_offset);
            return Ok(None);
        }
        let base_offset = partition.log.next_offset();
        let next_offset = base_offset.plus(i64::from(header.last_offset_delta) + 1);
        batch::stamp(batch, base_offset, partition.leader_epoch);
        let (from, crc) = batch::carried_checksum(batch);
        let entry = journal::Entry {
            kind: EntryKind::Batch,
            at,
            base_offset,
            next_offset,
            leader_epoch: partition.leader_epoch,
            payload: batch,
            checked: Some(journal::Checked { from, crc }),
        };
        let state = match partition.lane_for_append() {
            Lane::Flushed => &mut self.flushed,
            Lane::Unflushed => &mut self.unflushed,
        };
        state.used = true;
        let group = match state.journal.append(&entry) {
            Ok(group) => group,
            Err(journal::Refusal::Full) => return Ok(None),
            Err(journal::Refusal::TooLarge) => {
                let size_max = journal_batch_bytes_max(self.options.journal_file_bytes);
                return Err(ProduceRefusal::TooLarge { size: batch.len(), size_max });
            }
        };
        let size = batch.len();
        state.pending.push_back((group, at, Entry::Appended(next_offset, size)));
        header.base_offset = base_offset;
        header.leader_epoch = partition.leader_epoch;
        if let Some(stamp) = &header.producer() {
            let last_offset = header.last_offset();
            let timestamp = header.max_timestamp;
            partition.producers.apply(stamp, base_offset, last_offset, timestamp, now.instant);
        }
        let batch = std::mem::take(batch);
        self.tail_bytes += batch.len();
        partition.log.append(batch.freeze(), &header, now.timestamp);
        Ok(Some(Placed { base_offset, next_offset }))
    }

    pub(super) fn disk_is_full(&self) -> bool {
        self.writer.disk_is_full()
    }

    /// Tries the batches that wait for room again.
    pub fn retry_stalled(&mut self, now: Now, out: &mut Outbox) {
        while let Some(waiting) = self.stalled.queue.pop_front() {
            let behind = self.stalled.queue.len();
            self.stalled.bytes -= waiting.bytes();
            match waiting {
                Waiting::Client(part, acks, pending) => {
                    self.produce_one(part, acks, pending, now, out);
                }
                Waiting::Groups(group_batch) => self.append_groups(group_batch, now, out),
            }
            if self.stalled.queue.len() > behind {
                return;
            }
        }
    }

    /// A journal group is on disk.
    pub fn on_journal_written(
        &mut self,
        lane: Lane,
        group: GroupSequence,
        buffer: journal::GroupBuffer,
        result: Result<(), DiskError>,
        now: Now,
        out: &mut Outbox,
    ) {
        if let Err(error) = result {
            // What the device holds is unknown from here on (fsyncgate): no ack, no retry.
            out.fatal(error);
            return;
        }
        let state = self.lane(lane);
        state.journal.on_written(group, buffer);
        let durable = state.journal.durable();
        let is_durable = |(group, ..): &mut (GroupSequence, _, _)| *group <= durable;
        while let Some((_, at, entry)) = self.lane(lane).pending.pop_front_if(is_durable) {
            match entry {
                Entry::Appended(next_offset, size) => {
                    self.on_durable(at, next_offset, size, now, out);
                }
                Entry::LogStart(offset, part, index) => {
                    self.on_log_start(at, offset, part, index, now, out);
                }
            }
        }
    }

    fn on_durable(
        &mut self,
        at: TopicPartition,
        next_offset: Offset,
        size: usize,
        now: Now,
        out: &mut Outbox,
    ) {
        let Some(partition) = self.partitions.get_mut(&at) else { return };
        assert!(partition.durable < next_offset, "groups become durable in order");
        partition.durable = next_offset;
        partition.durable_bytes += size as u64;
        let position = partition.durable_bytes;
        self.writer.checkpoint.changed();
        let is_done = |waiter: &mut DurableWaiter| waiter.next_offset <= next_offset;
        while let Some(waiter) = partition.waiters.pop_front_if(is_done) {
            let answer = Answer::Produced(Ok(waiter.produced));
            resolve(&mut self.parts, waiter.part, waiter.index, answer, out);
        }
        for (from, request) in self.watches.fire(at, position) {
            self.watching.remove(&(from, request));
            out.wakes.push_back((from, request));
        }
        self.on_groups_durable(at, next_offset, out);
        self.want_write(at, now.instant);
    }
}
