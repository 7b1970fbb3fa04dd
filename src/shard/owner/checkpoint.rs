//! The shard's checkpoint: how far every partition is durable in its segments, with its producers.
//! It bounds what a start has to replay and lets journal files be recycled.
//!
//! The order is what keeps a crash harmless: segments flushed, then the checkpoint made durable,
//! then journal files given back and old segment files unlinked.

use std::time::Duration;

use rkyv::rancor::Error as RkyvError;

use crate::ids::{Incarnation, Offset, PartitionId, ShardId, TopicId, TopicPartition};
use crate::journal::{GroupSequence, Lane};
use crate::log::LogCheckpoint;
use crate::producer::ProducerTableSnapshot;
use crate::shard::engine::{DiskError, FileWork};
use crate::shard::outbox::Outbox;
use crate::stdx::map::Map;
use crate::time::{Instant, Now};

use super::{Job, Owner};

/// A checkpoint is made at least this often while anything changes.
const INTERVAL: Duration = Duration::from_secs(60);
const MAGIC: &[u8; 8] = b"RINGCKPT";
/// Version of the file's format.
const FORMAT: u32 = 2;
const HEADER_BYTES: usize = 32;

/// What one shard of one start knows to be durable.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct ShardCheckpoint {
    /// Which start wrote it.
    pub incarnation: u64,
    /// Which shard of that start.
    pub shard: u16,
    /// The version of the catalog that the shard served by, so that one which has lost its end is
    /// recognized.
    pub catalog_version: u64,
    /// Sorted by partition.
    pub partitions: Vec<PartitionCheckpoint>,
}

/// One partition's part of it.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct PartitionCheckpoint {
    /// Topic id.
    pub topic: [u8; 16],
    /// Partition within the topic.
    pub partition: i32,
    /// Its log.
    pub log: LogCheckpoint,
    /// Its producers. They may know of batches behind the log's end; restoring drops those.
    pub producers: ProducerTableSnapshot,
}

impl PartitionCheckpoint {
    /// Whose it is.
    #[must_use]
    pub fn at(&self) -> TopicPartition {
        TopicPartition { topic: TopicId(self.topic), partition: PartitionId(self.partition) }
    }
}

/// Why a checkpoint file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointError {
    /// Not a checkpoint file, or cut short.
    NotACheckpoint,
    /// Written by another version of the broker.
    OtherFormat(u32),
    /// The bytes do not match their checksum.
    Checksum,
    /// The checksum is right and the content still makes no sense.
    Content(String),
}

impl std::fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CheckpointError::NotACheckpoint => f.write_str("not a checkpoint file"),
            CheckpointError::OtherFormat(format) => {
                write!(f, "checkpoint format {format} is not this broker's ({FORMAT})")
            }
            CheckpointError::Checksum => f.write_str("checkpoint checksum mismatch"),
            CheckpointError::Content(reason) => write!(f, "checkpoint content: {reason}"),
        }
    }
}

impl std::error::Error for CheckpointError {}

impl ShardCheckpoint {
    /// The whole file: magic, format, CRC32C, length, then the archived content. The header is 32
    /// bytes, so that the content stays aligned for reading in place.
    ///
    /// # Errors
    /// Only if the archive cannot be built for want of memory.
    pub fn encode(&self) -> Result<Vec<u8>, CheckpointError> {
        let content = rkyv::to_bytes::<RkyvError>(self)
            .map_err(|error| CheckpointError::Content(error.to_string()))?;
        let mut file = Vec::with_capacity(HEADER_BYTES + content.len());
        file.extend_from_slice(MAGIC);
        file.extend_from_slice(&FORMAT.to_le_bytes());
        file.extend_from_slice(&crc32c::crc32c(&content).to_le_bytes());
        file.extend_from_slice(&(content.len() as u64).to_le_bytes());
        file.resize(HEADER_BYTES, 0);
        file.extend_from_slice(&content);
        Ok(file)
    }

    /// Reads a file back.
    ///
    /// # Errors
    /// See [`CheckpointError`]; hostile bytes are errors too.
    pub fn decode(file: &[u8]) -> Result<ShardCheckpoint, CheckpointError> {
        let (header, content) =
            file.split_at_checked(HEADER_BYTES).ok_or(CheckpointError::NotACheckpoint)?;
        let word = |at: usize| -> [u8; 4] {
            let mut word = [0; 4];
            for (to, from) in word.iter_mut().zip(header.iter().skip(at)) {
                *to = *from;
            }
            word
        };
        if !header.starts_with(MAGIC) {
            return Err(CheckpointError::NotACheckpoint);
        }
        let format = u32::from_le_bytes(word(8));
        if format != FORMAT {
            return Err(CheckpointError::OtherFormat(format));
        }
        let length =
            u64::from(u32::from_le_bytes(word(16))) | u64::from(u32::from_le_bytes(word(20))) << 32;
        if length != content.len() as u64 {
            return Err(CheckpointError::NotACheckpoint);
        }
        if crc32c::crc32c(content) != u32::from_le_bytes(word(12)) {
            return Err(CheckpointError::Checksum);
        }
        let mut aligned = rkyv::util::AlignedVec::<16>::with_capacity(content.len());
        aligned.extend_from_slice(content);
        rkyv::from_bytes::<ShardCheckpoint, RkyvError>(&aligned)
            .map_err(|error| CheckpointError::Content(error.to_string()))
    }
}

/// Where the making of a checkpoint stands.
#[derive(Debug)]
pub(super) struct Progress {
    state: State,
    next: Instant,
    /// There was no space for the last one.
    not_before: Option<Instant>,
    /// It is due, whatever the journals say.
    wanted: bool,
    /// Something changed since the last one was begun.
    changed: bool,
    /// Everything replayed at start is in flushed segments.
    settled: bool,
    stopped: bool,
    /// The last one holds everything that the journals hold up to these groups.
    covered: Option<[(Lane, GroupSequence); 2]>,
}

#[derive(Debug)]
enum State {
    /// None is being made.
    Idle,
    /// Segments are being written and flushed for one.
    Flushing,
    /// Its file is being written.
    Writing,
}

/// What the checkpoint that is being written covers.
#[derive(Debug)]
pub(super) struct Written {
    flushed: Map<TopicPartition, Offset>,
    /// Of both lanes, when it was begun. A log start of a later group is not in it, whatever offset
    /// its entry names.
    groups: [(Lane, GroupSequence); 2],
    dropped: usize,
    /// The partition whose compacted segments it names for the first time.
    compacted: Option<TopicPartition>,
    /// It covers everything that was durable when it was begun.
    whole: bool,
}

impl Progress {
    /// What the last checkpoint says is no longer all there is.
    pub(super) fn changed(&mut self) {
        self.changed = true;
    }

    pub(super) fn new(now: Instant) -> Progress {
        // The first one at once: it lets go of the journals of the start before.
        Progress {
            state: State::Idle,
            next: now,
            not_before: None,
            wanted: false,
            changed: true,
            settled: false,
            stopped: false,
            covered: None,
        }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        matches!(self.state, State::Idle).then_some(self.not_before.unwrap_or(self.next))
    }

    /// Make one as soon as possible.
    pub(super) fn want(&mut self) {
        self.wanted = true;
    }
}

impl Owner {
    /// True once the checkpoint asked for by `on_stop` is durable.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.writer.checkpoint.stopped
    }

    /// True once everything replayed at start is safe without the journals it came from.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.writer.checkpoint.settled
    }

    /// Whether the next start needs the journals of this shard. Not after an orderly stop: its
    /// checkpoint has everything, unless something came after it (a request of another shard), or
    /// the disk was full.
    #[must_use]
    pub fn needs_journals(&self) -> bool {
        let is_covered = |lane: Lane, group: GroupSequence| {
            let journal = match lane {
                Lane::Flushed => &self.flushed.journal,
                Lane::Unflushed => &self.unflushed.journal,
            };
            journal.is_settled() && journal.durable() == group
        };
        let covered = self.writer.checkpoint.covered;
        !covered.is_some_and(|lanes| lanes.iter().all(|(lane, group)| is_covered(*lane, *group)))
    }

    /// Time passed: perhaps a checkpoint is due.
    pub(super) fn age_checkpoint(&mut self, now: Instant) {
        let progress = &mut self.writer.checkpoint;
        progress.not_before = progress.not_before.filter(|not_before| now < *not_before);
        if matches!(progress.state, State::Idle) && now >= progress.next {
            progress.wanted = progress.changed;
            progress.next = now + INTERVAL;
        }
    }

    /// Moves the making of a checkpoint on by whatever is possible now. Called every turn: a
    /// journal that runs out of files must not wait for a timer.
    pub(super) fn pump_checkpoint(&mut self, out: &mut Outbox) {
        if matches!(self.writer.checkpoint.state, State::Idle) {
            let wanted = self.writer.checkpoint.wanted
                || self.stopping
                || self.retention.wants_checkpoint()
                || self.compaction.wants_checkpoint();
            let held =
                self.writer.checkpoint.stopped || self.writer.checkpoint.not_before.is_some();
            if held || !(wanted || self.journals_demand()) {
                return;
            }
            self.writer.checkpoint.wanted = false;
            self.writer.checkpoint.changed = false;
            self.writer.checkpoint.state = State::Flushing;
            // Everything durable, not only what the oldest journal file holds: many small flushes
            // one after the other cost more than one round over all.
            let all: Vec<_> = self.partitions.iter().map(|(at, p)| (*at, p.durable)).collect();
            for (at, durable) in all {
                self.demand_flush(at, durable);
            }
        }
        // What is flushed is always worth a checkpoint. On a full disk nothing more will be, and the
        // segments that retention has dropped can only be unlinked after one.
        let useful = self.retention.wants_checkpoint() || self.stopping;
        let stuck = self.writer.disk_is_full() && useful;
        let ready = self.writer.demands_met() || stuck;
        if matches!(self.writer.checkpoint.state, State::Flushing) && ready {
            self.write_checkpoint(out);
        }
    }

    fn journals_demand(&mut self) -> bool {
        let flushed = self.flushed.journal.needs_checkpoint();
        let unflushed = self.unflushed.journal.needs_checkpoint();
        flushed.is_some() || unflushed.is_some()
    }

    fn write_checkpoint(&mut self, out: &mut Outbox) {
        let checkpoint = self.checkpoint();
        let flushed = self
            .partitions
            .iter()
            .map(|(at, partition)| (*at, partition.log.flushed_offset()))
            .collect();
        match checkpoint.encode() {
            Ok(content) => {
                let whole = self.writer.demands_met();
                let dropped = self.retention.begin_checkpoint();
                let compacted = self.compaction.prepared();
                let id = out.file(FileWork::WriteCheckpoint { content });
                let groups = [Lane::Flushed, Lane::Unflushed]
                    .map(|lane| (lane, self.lane(lane).journal.durable()));
                let written = Written { flushed, groups, dropped, compacted, whole };
                self.jobs.insert(id, Job::Checkpoint(written));
                self.writer.checkpoint.state = State::Writing;
            }
            Err(error) => out.fatal(DiskError {
                operation: "encode the checkpoint".to_owned(),
                reason: error.to_string(),
                full: false,
                starved: false,
            }),
        }
    }

    fn checkpoint(&self) -> ShardCheckpoint {
        let partitions = self.partitions.iter().map(|(at, partition)| PartitionCheckpoint {
            topic: at.topic.0,
            partition: at.partition.0,
            log: partition.log.checkpoint(),
            producers: partition.producers.snapshot(),
        });
        ShardCheckpoint {
            incarnation: self.options.incarnation.0,
            shard: self.options.shard.0,
            catalog_version: self.catalog_version,
            partitions: partitions.collect(),
        }
    }

    pub(super) fn on_checkpoint_written(
        &mut self,
        written: Written,
        result: Result<(), DiskError>,
        now: Now,
        out: &mut Outbox,
    ) {
        match result {
            Ok(()) => {
                self.retention.end_checkpoint(written.dropped);
                if let Some(at) = written.compacted {
                    self.exchange(at, out);
                }
                for (lane, group) in written.groups {
                    // A partition that is not named came after this checkpoint was begun, or is
                    // gone: `forget` has dealt with the latter.
                    self.lane(lane).journal.release(group, |at| {
                        Some(written.flushed.get(&at).copied().unwrap_or_default())
                    });
                }
                for (at, flushed) in &written.flushed {
                    if let Some(partition) = self.partitions.get_mut(at) {
                        partition.checkpointed = *flushed;
                    }
                }
                self.writer.checkpoint.settled |= written.whole;
                let is_covered = self
                    .partitions
                    .iter()
                    .all(|(at, p)| written.flushed.get(at) == Some(&p.log.next_offset()));
                self.writer.checkpoint.covered =
                    (written.whole && is_covered).then_some(written.groups);
                let complete = self
                    .partitions
                    .values()
                    .all(|partition| partition.log.flushed_offset() == partition.log.next_offset());
                // On a full disk the journal keeps what the segments could not take.
                let done = complete || self.writer.disk_is_full();
                self.writer.checkpoint.stopped = self.stopping && done;
                self.writer.checkpoint.next = now.instant + INTERVAL;
            }
            Err(error) if error.full => {
                tracing::error!(error.operation, error.reason, "no space for a checkpoint");
                self.writer.checkpoint.not_before = Some(now.instant + Duration::from_secs(1));
                self.writer.checkpoint.wanted = true;
                self.writer.checkpoint.stopped = self.stopping;
            }
            Err(error) => return out.fatal(error),
        }
        self.writer.checkpoint.state = State::Idle;
    }

    /// Asks for the journals of earlier starts to be unlinked. The controller says when: all shards
    /// have settled.
    pub fn drop_old_journals(&mut self, out: &mut Outbox) {
        let id = out.file(FileWork::DeleteOldJournals);
        self.jobs.insert(id, Job::OldJournals);
    }

    /// Which start and shard this is.
    #[must_use]
    pub fn identity(&self) -> (Incarnation, ShardId) {
        (self.options.incarnation, self.options.shard)
    }
}
