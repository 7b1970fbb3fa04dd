//! The owner's side of a shard: the partitions it owns, their journal, and the work other shards
//! (and this one) ask it to do on them.
//!
//! It knows no connection, no request frame and no Kafka error code. Invariants:
//! - a batch is answered only when its group, and every group before it, is as durable as its topic
//!   asks; a duplicate of such a batch waits just as long as the first copy;
//! - nothing at or above `durable` is ever read by a consumer or written to a segment;
//! - a journal file is given back only when a durable checkpoint says that flushed segments hold
//!   every entry in it.

mod admission;
mod checkpoint;
mod compaction;
mod groups;
mod inspection;
mod offsets;
mod partition;
mod produce;
mod read;
mod rebuild;
mod retention;
mod unchecked;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::api::work::{Answer, Answers, EpochEndItem, PartitionRefusal, ProduceRefusal, Question};
use crate::catalog::{Image, TopicConfig};
use crate::fetch::Watches;
use crate::group::GroupOptions;
use crate::ids::{Incarnation, LeaderEpoch, Offset, PartitionId, ShardId, TopicId, TopicPartition};
use crate::journal::{self, Journal, JournalOptions, Lane};
use crate::limits::PARTITION_PRODUCERS_MAX;
use crate::limits::{JOURNAL_BLOCK_BYTES, JOURNAL_GROUP_BYTES_MAX};
use crate::log::{Log, LogOptions, SegmentWrite};
use crate::producer::ProducerTable;
use crate::stdx::few::Few;
use crate::stdx::map::Map;
use crate::stdx::prng::Prng;
use crate::time::{Instant, Now, earlier};

use super::engine::{Action, DiskError, FileOutcome, FileWork, JobId, PartitionDirectory};
use super::message::RequestId;
use super::outbox::Outbox;

pub use checkpoint::{CheckpointError, PartitionCheckpoint, ShardCheckpoint};
pub use compaction::CompactionSettings;
pub use inspection::{Inspected, Inspection};
use partition::Partition;

/// What the owner's side is told at start.
#[derive(Clone, Debug)]
pub struct OwnerOptions {
    /// This shard.
    pub shard: ShardId,
    /// All of them.
    pub shard_count: u16,
    /// This start.
    pub incarnation: Incarnation,
    /// Size of a journal file, in bytes.
    pub journal_file_bytes: u64,
    /// Most journal files per lane.
    pub journal_files_max: usize,
    /// Groups in flight per lane.
    pub journal_depth: usize,
    /// Bytes of tail this shard keeps in memory for readers.
    pub tail_bytes_max: usize,
    /// `log.retention.check.interval.ms`
    pub retention_interval: std::time::Duration,
    /// `producer.id.expiration.ms`
    pub producer_expiration: std::time::Duration,
    /// Compaction.
    pub compaction: CompactionSettings,
    /// Of the groups that are coordinated here.
    pub groups: Arc<GroupOptions>,
    /// What ids of group members and the hashes of keys are drawn from.
    pub seed: u64,
}

/// A partition as it was found at start.
#[derive(Debug)]
pub struct RestoredPartition {
    /// Which.
    pub at: TopicPartition,
    /// Its log, with everything the journals brought already appended.
    pub log: Log,
    /// Its producers, likewise.
    pub producers: ProducerTable,
}

/// The answers that one shard waits for together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct PartId(u64);

#[derive(Debug)]
struct Part {
    from: ShardId,
    request: RequestId,
    remaining: usize,
    answers: Answers,
}

/// One lane of the journal and what waits for it.
#[derive(Debug)]
struct LaneState {
    journal: Journal,
    /// Something was appended. Until then the lane needs no files.
    used: bool,
    /// Ends of the batches in groups that are not durable yet, in append order.
    pending: VecDeque<(journal::GroupSequence, TopicPartition, Entry)>,
}

/// What a journal entry changes once it is durable.
#[derive(Clone, Copy, Debug)]
enum Entry {
    /// Everything below is in the journal, so many bytes more than before.
    Appended(Offset, usize),
    /// The log starts here now; the request's answer waits.
    LogStart(Offset, PartId, u32),
}

/// What continues when a file job ends.
#[derive(Debug)]
enum Job {
    Write { at: TopicPartition, write: SegmentWrite },
    Flush { at: TopicPartition, segments: Vec<Offset> },
    Fetch(read::FetchWork, read::Step),
    Offsets(offsets::OffsetsWork, offsets::Step),
    Rebuild { at: TopicPartition, segment: Offset, length: u32 },
    IndexesWritten { at: TopicPartition, segment: Offset },
    Admit(TopicPartition),
    FindRecord(offsets::OffsetsWork, Offset),
    Groups(groups::Step),
    Checkpoint(checkpoint::Written),
    Unlink,
    DropDirectory { version: u64 },
    OldJournals,
    Clean { at: TopicPartition },
    Exchange { at: TopicPartition },
    DropCleaned { at: TopicPartition },
}

/// See the module.
#[derive(Debug)]
pub struct Owner {
    options: OwnerOptions,
    partitions: BTreeMap<TopicPartition, Partition>,
    flushed: LaneState,
    unflushed: LaneState,
    parts: Map<PartId, Part>,
    next_part: u64,
    /// Bytes of all tails together.
    tail_bytes: usize,
    watches: Watches<(ShardId, RequestId)>,
    watching: Map<(ShardId, RequestId), crate::fetch::WatchId>,
    jobs: Map<JobId, Job>,
    writer: writer::Writer,
    stalled: produce::Stalled,
    /// Indexes that are being made again.
    rebuilds: BTreeMap<(TopicPartition, Offset), rebuild::Rebuild>,
    /// Batches that have to be looked into first.
    admission: admission::Admission,
    /// Searches by time that have to look into a batch.
    lookups: offsets::Lookups,
    /// What looking into batches this turn may still do.
    inspections: inspection::Inspections,
    retention: retention::Retention,
    compaction: compaction::Compaction,
    groups: groups::Groups,
    /// Directories still being dropped, by the catalog version that dropped them.
    dropping: BTreeMap<u64, usize>,
    /// Version of the catalog that is served by.
    catalog_version: u64,
    stopping: bool,
}

impl Owner {
    /// Starts from what was found on disk.
    #[must_use]
    pub fn new(
        options: OwnerOptions,
        image: &Image,
        configs: &BTreeMap<TopicId, Arc<TopicConfig>>,
        restored: Vec<RestoredPartition>,
        now: Now,
    ) -> Owner {
        let mut random = Prng::new(options.seed);
        let lane = |lane| LaneState {
            journal: Journal::new(JournalOptions {
                shard: options.shard,
                lane,
                incarnation: options.incarnation,
                file_bytes: options.journal_file_bytes,
                depth: options.journal_depth,
                group_bytes_max: group_bytes_max(options.journal_file_bytes),
                files_max: options.journal_files_max,
            }),
            used: lane == Lane::Flushed,
            pending: VecDeque::new(),
        };
        let mut owner = Owner {
            flushed: lane(Lane::Flushed),
            unflushed: lane(Lane::Unflushed),
            partitions: BTreeMap::new(),
            parts: Map::default(),
            next_part: 0,
            tail_bytes: 0,
            watches: Watches::default(),
            watching: Map::default(),
            jobs: Map::default(),
            writer: writer::Writer::new(now.instant),
            stalled: produce::Stalled::default(),
            rebuilds: BTreeMap::new(),
            admission: admission::Admission::default(),
            lookups: offsets::Lookups::default(),
            inspections: inspection::Inspections::default(),
            retention: retention::Retention::new(now.instant + options.retention_interval),
            compaction: compaction::Compaction::new(options.compaction, random.fork(), now.instant),
            groups: groups::Groups::new(options.groups.clone(), random.next_u64()),
            dropping: BTreeMap::new(),
            catalog_version: image.version,
            stopping: false,
            options,
        };
        for restored in restored {
            let topic = image.topic_by_id(restored.at.topic);
            let (Some(topic), Some(config)) = (topic, configs.get(&restored.at.topic)) else {
                panic!("{:?} was restored but is not in the catalog", restored.at);
            };
            let directory = PartitionDirectory::new(&topic.name, restored.at);
            let epoch = topic.partition(restored.at.partition).map(|p| p.leader_epoch);
            owner.add(directory, config.clone(), epoch, restored.log, restored.producers);
        }
        // None was hosted before, so nothing comes of it but loads.
        owner.host_groups(image, &mut Outbox::default());
        owner
    }

    fn add(
        &mut self,
        directory: PartitionDirectory,
        config: Arc<TopicConfig>,
        leader_epoch: Option<LeaderEpoch>,
        mut log: Log,
        producers: ProducerTable,
    ) {
        let at = directory.at;
        self.tail_bytes += log.tail_bytes();
        let leader_epoch = leader_epoch.unwrap_or_default();
        // The term begins at the log's end, whether or not anything is appended in it: clients that
        // read what a crash took find out where they have to go back to.
        log.begin_epoch(leader_epoch);
        let partition = Partition {
            directory: Arc::new(directory),
            leader_epoch,
            durable: log.next_offset(),
            durable_bytes: 0,
            checkpointed: log.flushed_offset(),
            unchecked: unchecked::Unchecked::new(&log),
            lane: Lane::Flushed,
            config,
            log,
            producers,
            waiters: VecDeque::new(),
            writing: false,
            flushing: None,
            queued: false,
            unwritten_since: None,
        };
        self.writer.checkpoint.changed();
        let before = self.partitions.insert(at, partition);
        assert!(before.is_none(), "a partition is added once");
    }

    /// Serves by this version of the catalog from now on: partitions come, go and change options.
    /// `ready` says when the directories of dropped partitions are out of the way.
    pub fn on_image(
        &mut self,
        image: &Image,
        configs: &BTreeMap<TopicId, Arc<TopicConfig>>,
        now: Now,
        out: &mut Outbox,
    ) {
        self.catalog_version = image.version;
        self.writer.checkpoint.changed();
        let gone: Vec<_> = self
            .partitions
            .keys()
            .filter(|at| image.topic_by_id(at.topic).is_none())
            .copied()
            .collect();
        for at in gone {
            self.remove(at, image.version, now.instant, out);
        }
        for topic in image.topics.iter() {
            let Some(config) = configs.get(&topic.id) else {
                panic!("topic {} has no effective config", topic.name);
            };
            for (index, entry) in (0..).zip(&topic.partitions) {
                let at = TopicPartition { topic: topic.id, partition: PartitionId(index) };
                if at.shard(self.options.shard_count) != self.options.shard {
                    continue;
                }
                if let Some(partition) = self.partitions.get_mut(&at) {
                    if partition.leader_epoch < entry.leader_epoch {
                        partition.leader_epoch = entry.leader_epoch;
                        partition.log.begin_epoch(entry.leader_epoch);
                    }
                    if !Arc::ptr_eq(&partition.config, config) {
                        partition.config = config.clone();
                        partition.log.set_options(log_options(config, at));
                    }
                } else {
                    let log = Log::new(Offset(0), log_options(config, at), now.timestamp);
                    let epoch = Some(entry.leader_epoch);
                    let directory = PartitionDirectory::new(&topic.name, at);
                    let producers = ProducerTable::new(PARTITION_PRODUCERS_MAX);
                    self.add(directory, config.clone(), epoch, log, producers);
                }
            }
        }
        self.host_groups(image, out);
    }

    /// True when no directory dropped at or before this version is still in the way.
    #[must_use]
    pub fn directories_dropped(&self, version: u64) -> bool {
        self.dropping.range(..=version).next().is_none()
    }

    fn remove(&mut self, at: TopicPartition, version: u64, now: Instant, out: &mut Outbox) {
        let Some(partition) = self.partitions.remove(&at) else { return };
        self.tail_bytes -= partition.log.tail_bytes();
        self.refuse_waiting(at, &ProduceRefusal::Partition(PartitionRefusal::Unknown), out);
        for waiter in partition.waiters {
            let refusal = ProduceRefusal::Partition(PartitionRefusal::Unknown);
            self.resolve(waiter.part, waiter.index, Answer::Produced(Err(refusal)), out);
        }
        for (from, request) in self.watches.remove(at) {
            self.watching.remove(&(from, request));
            out.wakes.push_back((from, request));
        }
        for lane in [Lane::Flushed, Lane::Unflushed] {
            self.lane(lane).journal.forget(at);
        }
        self.writer.forget(at);
        self.retention.forget(at);
        self.forget_rebuilds(at, now, out);
        self.compaction.forget(at);
        *self.dropping.entry(version).or_default() += 1;
        let id = out.file(FileWork::DeleteDirectory { directory: partition.directory });
        self.jobs.insert(id, Job::DropDirectory { version });
    }

    fn lane(&mut self, lane: Lane) -> &mut LaneState {
        match lane {
            Lane::Flushed => &mut self.flushed,
            Lane::Unflushed => &mut self.unflushed,
        }
    }

    /// Work that a shard asks for, this one included.
    pub fn on_question(
        &mut self,
        from: ShardId,
        request: RequestId,
        question: Question,
        now: Now,
        out: &mut Outbox,
    ) {
        match question {
            Question::Produce { acks, items } => self.produce(from, request, acks, items, now, out),
            Question::Fetch { bytes_max, items } => {
                self.fetch(from, request, bytes_max, items, out);
            }
            Question::Offsets(items) => self.offsets(from, request, items, now.instant, out),
            Question::EpochEnds(items) => {
                let part = self.open_part(from, request, items.len());
                for item in items {
                    let answer = self.epoch_end(&item);
                    self.resolve(part, item.index, Answer::EpochEnd(answer), out);
                }
            }
            Question::DeleteRecords(items) => {
                let part = self.open_part(from, request, items.len());
                for item in items {
                    self.delete_records(part, &item, out);
                }
            }
            Question::Groups(items) => self.ask_groups(from, request, items, now, out),
            Question::ListGroups => self.list_groups(from, request, out),
            Question::LogSizes => {
                let sizes = self.partitions.iter().map(|(at, p)| (*at, p.log.bytes()));
                let sizes = sizes.collect();
                let answers = Answers::from_buf([(0, Answer::LogSizes(sizes))]);
                out.answers.push_back((from, request, answers));
            }
        }
    }

    fn epoch_end(
        &self,
        item: &EpochEndItem,
    ) -> Result<Option<(LeaderEpoch, Offset)>, PartitionRefusal> {
        let partition = self.partitions.get(&item.at).ok_or(PartitionRefusal::Unknown)?;
        partition.check_epoch(item.current_leader_epoch)?;
        Ok(partition.log.epochs().end_offset_for(item.epoch, partition.log.next_offset()))
    }

    /// Somebody waits for the first of these to have so many bytes more than it has seen.
    pub fn on_watch(
        &mut self,
        from: ShardId,
        request: RequestId,
        partitions: &[(TopicPartition, Offset)],
        bytes: usize,
        out: &mut Outbox,
    ) {
        let mut wanted = Few::with_capacity(partitions.len());
        for (at, seen) in partitions {
            match self.partitions.get(at) {
                Some(partition) if partition.high_watermark() <= *seen => {
                    wanted.push((*at, partition.durable_bytes.saturating_add(bytes.max(1) as u64)));
                }
                // What has come since is for the waiter to count.
                _ => return out.wakes.push_back((from, request)),
            }
        }
        let id = self.watches.watch((from, request), wanted);
        self.watching.insert((from, request), id);
    }

    /// The waiter is gone.
    pub fn on_unwatch(&mut self, from: ShardId, request: RequestId) {
        if let Some(id) = self.watching.remove(&(from, request)) {
            self.watches.cancel(id);
        }
    }

    fn open_part(&mut self, from: ShardId, request: RequestId, count: usize) -> PartId {
        assert!(count > 0, "a question has items");
        let id = PartId(self.next_part);
        self.next_part += 1;
        let answers = Answers::with_capacity(count);
        self.parts.insert(id, Part { from, request, remaining: count, answers });
        id
    }

    fn resolve(&mut self, id: PartId, index: u32, answer: Answer, out: &mut Outbox) {
        resolve(&mut self.parts, id, index, answer, out);
    }

    /// A file job ended.
    pub fn on_file(
        &mut self,
        id: JobId,
        result: Result<FileOutcome, DiskError>,
        now: Now,
        out: &mut Outbox,
    ) -> bool {
        let Some(job) = self.jobs.remove(&id) else { return false };
        match job {
            Job::Write { at, write } => {
                self.on_segment_written(at, write, result.map(drop), now.instant, out);
            }
            Job::Flush { at, segments } => {
                self.on_segments_flushed(at, segments, result.map(drop), now.instant, out);
            }
            Job::Fetch(work, step) => self.on_fetch_file(work, step, result, now.instant, out),
            Job::Offsets(work, step) => self.on_offsets_file(work, step, result, now.instant, out),
            Job::Admit(at) => self.on_inspected(at, result, now, out),
            Job::FindRecord(work, next_offset) => {
                self.on_record_found(work, next_offset, result, now.instant, out);
            }
            Job::Rebuild { at, segment, length } => {
                self.on_rebuild_read(at, segment, length, result, now.instant, out);
            }
            Job::IndexesWritten { at, segment } => {
                self.on_indexes_written(at, segment, result, now.instant, out);
            }
            Job::Groups(step) => self.on_groups_file(step, result, now, out),
            Job::Checkpoint(written) => {
                self.on_checkpoint_written(written, result.map(drop), now, out)
            }
            Job::Clean { at } => self.on_cleaned(at, result, out),
            Job::DropCleaned { at } => self.on_cleaned_dropped(at, result.map(drop)),
            Job::Exchange { at } => self.on_exchanged(at, result.map(drop), now, out),
            Job::Unlink | Job::OldJournals => {
                if let Err(error) = result {
                    // Space is not given back; nothing else depends on it.
                    tracing::warn!(error.operation, error.reason, "could not unlink");
                }
            }
            Job::DropDirectory { version } => {
                if let Err(error) = result {
                    out.fatal(error);
                    return true;
                }
                if let Some(count) = self.dropping.get_mut(&version) {
                    *count -= 1;
                    if *count == 0 {
                        self.dropping.remove(&version);
                    }
                }
            }
        }
        true
    }

    /// A journal file is ready, or cannot be had.
    pub fn on_journal_file(
        &mut self,
        lane: Lane,
        file: journal::FileNumber,
        result: Result<(), DiskError>,
        now: Now,
        out: &mut Outbox,
    ) {
        match result {
            Ok(()) => {
                self.lane(lane).journal.on_file_ready(file);
            }
            Err(error) if error.full => {
                tracing::error!(error.operation, error.reason, "no space for a journal file");
                self.lane(lane).journal.on_file_failed(file);
                self.wait_for_space(now.instant);
                self.retry_stalled(now, out);
            }
            Err(error) => out.fatal(error),
        }
    }

    /// Time passed.
    pub fn on_time(&mut self, now: Now, out: &mut Outbox) {
        self.inspect_on(now, out);
        self.age_writes(now.instant);
        self.check_retention(now, out);
        self.check_compaction(now, out);
        self.age_checkpoint(now.instant);
        self.age_groups(now, out);
    }

    /// Finish everything, checkpoint, and say so by [`Owner::is_stopped`].
    pub fn on_stop(&mut self) {
        self.stopping = true;
    }

    /// Hands the journal's and the writer's work to the host. Called once per turn, after all
    /// events of the turn: what came together is committed together.
    pub fn flush_turn(&mut self, out: &mut Outbox) {
        self.inspections.turn_over();
        for lane in [Lane::Flushed, Lane::Unflushed] {
            let state = self.lane(lane);
            while let Some(action) = state.used.then(|| state.journal.poll_action()).flatten() {
                out.actions.push_back(Action::Journal(lane, action));
            }
        }
        self.pump_checkpoint(out);
        self.pump_writes(out);
    }

    /// When [`Owner::on_time`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let inspections = self.inspections.due(&self.admission, &self.lookups);
        let background = earlier(self.retention.due(), self.compaction.due());
        let deadline = earlier(background, self.groups.next_deadline());
        earlier(inspections, earlier(self.writer.next_deadline(), deadline))
    }

    /// Bytes that wait for the disk. The host stops reading sockets while they are too many.
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        // On a full disk produce is refused instead, and whoever reads or deletes is served.
        let behind = self.tail_bytes > 2 * self.options.tail_bytes_max;
        !self.stalled.is_empty() || (behind && !self.writer.disk_is_full())
    }
}

/// Answers one item; with the last of its part, all of them go to whoever asked.
fn resolve(
    parts: &mut Map<PartId, Part>,
    id: PartId,
    index: u32,
    answer: Answer,
    out: &mut Outbox,
) {
    let Some(part) = parts.get_mut(&id) else { panic!("{id:?} was answered already") };
    part.answers.push((index, answer));
    part.remaining -= 1;
    if part.remaining == 0
        && let Some(part) = parts.remove(&id)
    {
        out.answers.push_back((part.from, part.request, part.answers));
    }
}

/// The largest journal group: what the limits say, or what one file can hold beside its header.
fn group_bytes_max(journal_file_bytes: u64) -> usize {
    let room = journal_file_bytes.saturating_sub(JOURNAL_BLOCK_BYTES as u64);
    usize::try_from(room).unwrap_or(usize::MAX).min(JOURNAL_GROUP_BYTES_MAX)
}

/// What a topic's config means for the logs of its partitions.
#[must_use]
pub fn log_options(config: &TopicConfig, at: TopicPartition) -> LogOptions {
    // Every partition draws its own jitter, the same at every start.
    let mut seed = [0; 8];
    for (to, from) in seed.iter_mut().zip(at.topic.0) {
        *to = from;
    }
    LogOptions {
        segment_bytes: config.segment_bytes,
        segment_ms: segment_ms(config),
        segment_jitter_ms: config.segment_jitter_ms,
        jitter_seed: u64::from_le_bytes(seed) ^ u64::from(at.partition.0.unsigned_abs()),
        index_interval_bytes: config.index_interval_bytes,
        segment_index_bytes: config.segment_index_bytes,
        retention_bytes: config.retention_bytes,
        retention_ms: config.retention_ms,
        delete: config.cleanup_delete,
        file_delete_delay_ms: config.file_delete_delay_ms,
    }
}

/// A record that has to be compacted by a certain age has to leave the active segment before.
fn segment_ms(config: &TopicConfig) -> u64 {
    let lag_max_ms = config.max_compaction_lag_ms.filter(|_| config.cleanup_compact);
    config.segment_ms.min(lag_max_ms.unwrap_or(u64::MAX).max(1))
}
