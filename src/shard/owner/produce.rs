//! Appending batches: checks, offsets, the journal, and the answers once they are durable.

use std::collections::VecDeque;

use bytes::BytesMut;

use crate::api::work::{Acks, Answer, PartitionRefusal, ProduceItem, ProduceRefusal, Produced};
use crate::batch::{self, BatchHeader, Compression, TimestampType, ValidateOptions};
use crate::catalog::{self, CompressionType, TopicConfig};
use crate::ids::{Offset, ShardId, TopicPartition};
use crate::journal::{self, EntryKind, GroupSequence, Lane};
use crate::limits::DECOMPRESSED_BYTES_MAX;
use crate::producer::Verdict;
use crate::shard::engine::DiskError;
use crate::shard::message::RequestId;
use crate::shard::outbox::Outbox;
use crate::time::{Now, Timestamp};

use super::partition::DurableWaiter;
use super::{Entry, Owner, PartId};

/// Batches that wait for room in the journal, in the order they came. While any waits, every later
/// batch waits behind it: an idempotent producer's batches must not overtake each other.
#[derive(Debug, Default)]
pub(super) struct Stalled {
    queue: VecDeque<(PartId, Acks, ProduceItem)>,
    bytes: usize,
}

impl Stalled {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

enum Appended {
    /// The answer waits until everything below the offset is durable.
    Wait(Produced, Offset),
    /// The journal has no room; the batch is untouched but for its stamps.
    Full(BytesMut),
}

impl Owner {
    pub(super) fn produce(
        &mut self,
        from: ShardId,
        request: RequestId,
        acks: Acks,
        items: Vec<ProduceItem>,
        now: Now,
        out: &mut Outbox,
    ) {
        let part = self.open_part(from, request, items.len());
        for item in items {
            if self.stalled.queue.is_empty() {
                self.produce_one(part, acks, item, now, out);
            } else {
                self.stall(part, acks, item);
            }
        }
    }

    fn stall(&mut self, part: PartId, acks: Acks, item: ProduceItem) {
        self.stalled.bytes += item.batch.len();
        self.stalled.queue.push_back((part, acks, item));
    }

    fn produce_one(
        &mut self,
        part: PartId,
        acks: Acks,
        item: ProduceItem,
        now: Now,
        out: &mut Outbox,
    ) {
        let ProduceItem { index, at, batch } = item;
        match self.append(at, batch, now) {
            Err(refusal) => self.resolve(part, index, Answer::Produced(Err(refusal)), out),
            Ok(Appended::Full(batch)) => {
                self.stalled.bytes += batch.len();
                self.stalled.queue.push_front((part, acks, ProduceItem { index, at, batch }));
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

    fn append(
        &mut self,
        at: TopicPartition,
        mut batch: BytesMut,
        now: Now,
    ) -> Result<Appended, ProduceRefusal> {
        let partition = self
            .partitions
            .get_mut(&at)
            .ok_or(ProduceRefusal::Partition(PartitionRefusal::Unknown))?;
        let config = &partition.config;
        let size_max = config.max_message_bytes as usize;
        if batch.len() > size_max {
            return Err(ProduceRefusal::TooLarge { size: batch.len(), size_max });
        }
        let mut header = batch::check_produce(&batch).map_err(ProduceRefusal::Batch)?;
        if partition.must_settle() {
            let next_offset = partition.log.next_offset();
            self.demand_flush(at, next_offset);
            return Ok(Appended::Full(batch));
        }
        if config.min_insync_replicas > 1 {
            return Err(ProduceRefusal::NotEnoughReplicas);
        }
        header = conform(config, &mut batch, header, now.timestamp)?;
        let append_time = (header.timestamp_type() == TimestampType::LogAppendTime)
            .then_some(header.max_timestamp);
        let stamp = header.producer();
        if header.is_transactional() {
            return Err(ProduceRefusal::NotAllowed);
        }
        if let Some(stamp) = &stamp {
            match partition.producers.check(stamp).map_err(ProduceRefusal::Producer)? {
                Verdict::New => {}
                Verdict::Duplicate { base_offset, last_offset, timestamp } => {
                    let append_time = append_time.map(|_| timestamp);
                    let log_start = partition.log.start_offset();
                    let produced = Produced { base_offset, append_time, log_start };
                    return Ok(Appended::Wait(produced, last_offset.plus(1)));
                }
            }
        }
        let base_offset = partition.log.next_offset();
        let next_offset = base_offset.plus(i64::from(header.last_offset_delta) + 1);
        batch::stamp(&mut batch, base_offset, partition.leader_epoch);
        let lane = partition.lane_for_append();
        let entry = journal::Entry {
            kind: EntryKind::Batch,
            at,
            base_offset,
            next_offset,
            leader_epoch: partition.leader_epoch,
            payload: &batch,
        };
        let state = match lane {
            Lane::Flushed => &mut self.flushed,
            Lane::Unflushed => &mut self.unflushed,
        };
        state.used = true;
        let group = match state.journal.append(&entry) {
            Ok(group) => group,
            Err(journal::Refusal::Full) => {
                // Back to what the producer sent, so that the checks pass again.
                batch::stamp(&mut batch, Offset(0), crate::ids::LeaderEpoch(-1));
                return Ok(Appended::Full(batch));
            }
            Err(journal::Refusal::TooLarge) => {
                let size_max = crate::limits::JOURNAL_GROUP_BYTES_MAX;
                return Err(ProduceRefusal::TooLarge { size: batch.len(), size_max });
            }
        };
        state.pending.push_back((group, at, Entry::Appended(next_offset)));
        header.base_offset = base_offset;
        header.leader_epoch = partition.leader_epoch;
        if let Some(stamp) = &stamp {
            let last_offset = header.last_offset();
            let timestamp = header.max_timestamp;
            partition.producers.apply(stamp, base_offset, last_offset, timestamp, now.instant);
        }
        self.tail_bytes += batch.len();
        partition.log.append(batch.freeze(), &header, now.timestamp);
        let log_start = partition.log.start_offset();
        Ok(Appended::Wait(Produced { base_offset, append_time, log_start }, next_offset))
    }

    /// Tries the batches that wait for room again.
    pub(super) fn retry_stalled(&mut self, now: Now, out: &mut Outbox) {
        while let Some((part, acks, item)) = self.stalled.queue.pop_front() {
            let waiting = self.stalled.queue.len();
            self.stalled.bytes -= item.batch.len();
            self.produce_one(part, acks, item, now, out);
            if self.stalled.queue.len() > waiting {
                return;
            }
        }
    }

    /// The disk has no room for another journal file: whoever waits for one is told.
    pub(super) fn refuse_stalled(&mut self, out: &mut Outbox) {
        self.stalled.bytes = 0;
        for (part, _, item) in std::mem::take(&mut self.stalled.queue) {
            self.resolve(part, item.index, Answer::Produced(Err(ProduceRefusal::Storage)), out);
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
        let mut done = Vec::new();
        while state.pending.front().is_some_and(|(group, ..)| *group <= durable) {
            done.extend(state.pending.pop_front());
        }
        for (_, at, entry) in done {
            match entry {
                Entry::Appended(next_offset) => self.on_durable(at, next_offset, now, out),
                Entry::LogStart(offset, part, index) => {
                    self.on_log_start(at, offset, part, index, now, out);
                }
            }
        }
        self.retry_stalled(now, out);
    }

    fn on_durable(&mut self, at: TopicPartition, next_offset: Offset, now: Now, out: &mut Outbox) {
        let Some(partition) = self.partitions.get_mut(&at) else { return };
        assert!(partition.durable < next_offset, "groups become durable in order");
        partition.durable = next_offset;
        self.writer.checkpoint.changed();
        let mut done = Vec::new();
        while partition.waiters.front().is_some_and(|waiter| waiter.next_offset <= next_offset) {
            done.extend(partition.waiters.pop_front());
        }
        for waiter in done {
            let answer = Answer::Produced(Ok(waiter.produced));
            self.resolve(waiter.part, waiter.index, answer, out);
        }
        for (from, request) in self.watches.fire(at) {
            self.watching.remove(&(from, request));
            out.wakes.push_back((from, request));
        }
        self.want_write(at, now.instant);
    }
}

/// Makes a batch what its topic demands, and refuses what cannot be made so.
fn conform(
    config: &TopicConfig,
    batch: &mut BytesMut,
    mut header: BatchHeader,
    now: Timestamp,
) -> Result<BatchHeader, ProduceRefusal> {
    let compression = header.compression().map_err(ProduceRefusal::Batch)?;
    if let Some((wanted, level)) = wanted_codec(config)
        && wanted != compression
    {
        *batch = batch::recompress(batch, &header, wanted, level, DECOMPRESSED_BYTES_MAX)
            .map_err(ProduceRefusal::Batch)?;
        header = BatchHeader::parse(batch).map_err(ProduceRefusal::Batch)?;
    }
    let append_time = config.message_timestamp_type == catalog::TimestampType::LogAppendTime;
    if append_time {
        batch::stamp_append_time(batch, now);
        header = BatchHeader::parse(batch).map_err(ProduceRefusal::Batch)?;
    } else {
        let newest = header.max_timestamp;
        let after_max = ms(config.message_timestamp_after_max_ms);
        if newest.0.saturating_sub(now.0) > after_max {
            return Err(ProduceRefusal::Timestamp { timestamp: newest });
        }
    }
    // The rest needs a look at every record, which the common topic does not ask for.
    let before_max = config.message_timestamp_before_max_ms.filter(|_| !append_time);
    if config.cleanup_compact || before_max.is_some() {
        let bounds = ValidateOptions::timestamps_around(now, ms(before_max), i64::MAX);
        let options = ValidateOptions {
            keys_required: config.cleanup_compact,
            timestamps: before_max.map(|_| bounds),
            offsets_contiguous: false,
            decompressed_bytes_max: DECOMPRESSED_BYTES_MAX,
        };
        batch::validate_records(batch, &header, &options).map_err(ProduceRefusal::Batch)?;
    }
    Ok(header)
}

/// A limit in Kafka's milliseconds; none is the largest.
fn ms(limit: Option<u64>) -> i64 {
    limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(i64::MAX)
}

/// The codec, and its level, that a topic wants all batches in, unless it takes them as they come.
fn wanted_codec(config: &TopicConfig) -> Option<(Compression, Option<i32>)> {
    let (codec, level) = match config.compression_type {
        CompressionType::Producer => return None,
        CompressionType::Uncompressed => (Compression::None, None),
        CompressionType::Gzip => (Compression::Gzip, Some(config.compression_gzip_level)),
        CompressionType::Snappy => (Compression::Snappy, None),
        CompressionType::Lz4 => (Compression::Lz4, Some(config.compression_lz4_level)),
        CompressionType::Zstd => (Compression::Zstd, Some(config.compression_zstd_level)),
    };
    Some((codec, level))
}
