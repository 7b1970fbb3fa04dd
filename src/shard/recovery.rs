//! From what a start finds on disk to the state of every shard: catalog and checkpoints first, then
//! each partition's files, then what the journals have beyond them.
//!
//! A pure machine like the rest. The boot reads and cuts files; the simulator does the same with
//! its memory disk. It works whatever the number of shards before and now: checkpoints and journal
//! entries name partitions, not shards.
//!
//! The order of calls: [`Recovery::new`]; for each partition [`Recovery::open`] and what its plan
//! asks for; for each incarnation of journals, oldest first, [`Recovery::offer`] for every entry
//! and [`Recovery::end_incarnation`]; [`Recovery::finish`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::batch::BatchHeader;
use crate::catalog::{Image, StaticConfigs, TopicConfig};
use crate::ids::{Incarnation, Offset, PartitionId, TopicId, TopicPartition};
use crate::journal::{EntryKind, Gap, Merge, Placed, RecoveredEnd, ReplayedEntry};
use crate::limits::PARTITION_PRODUCERS_MAX;
use crate::log::{
    Found, FoundCleaned, IndexRewrite, Log, RecoveryError, RecoveryPlan, SegmentScan,
};
use crate::producer::ProducerTable;
use crate::time::Now;

use super::engine::PartitionDirectory;
use super::owner::{PartitionCheckpoint, RestoredPartition, ShardCheckpoint, log_options};

/// Replayed batches smaller than this are copied out of what was read.
const PAYLOAD_COPIED_MAX: usize = 256 * 1024;

/// Why a start is not possible. Acknowledged records may be missing, so this is for a human.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecoveryFault {
    /// A partition's files do not fit its checkpoint.
    Files {
        /// The partition's directory.
        directory: String,
        /// How they do not fit.
        error: RecoveryError,
    },
    /// A segment cannot be scanned for its index.
    Index {
        /// The partition's directory.
        directory: String,
        /// The segment.
        segment: Offset,
    },
    /// A journal has records of a topic that the catalog does not know and that nobody deleted.
    Topic {
        /// The topic.
        topic: TopicId,
    },
    /// Journal entries of a partition contradict each other or its segments.
    Entries {
        /// The partition's directory.
        directory: String,
        /// How.
        reason: String,
    },
}

impl fmt::Display for RecoveryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecoveryFault::Files { directory, error } => write!(f, "{directory}: {error}"),
            RecoveryFault::Index { directory, segment } => {
                write!(f, "{directory}: segment {segment} cannot be scanned for its index")
            }
            RecoveryFault::Topic { topic } => write!(
                f,
                "the journals have records of topic id {topic}, which the catalog does not know and \
                 which nobody deleted: the end of catalog/log is lost; restore it from a backup"
            ),
            RecoveryFault::Entries { directory, reason } => write!(f, "{directory}: {reason}"),
        }
    }
}

impl std::error::Error for RecoveryFault {}

/// Something that is not as it should be and that the start lives with. Goes to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecoveryNote {
    /// Records that were acknowledged without a flush (`flush.messages` above 1) are gone, and
    /// what came after them in the same partition with them.
    UnflushedLost {
        /// The partition's directory.
        directory: String,
        /// Its end now.
        end: Offset,
        /// The first record that was found behind the gap.
        found: Offset,
    },
}

impl fmt::Display for RecoveryNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecoveryNote::UnflushedLost { directory, end, found } => write!(
                f,
                "{directory}: records from offset {end} on were acknowledged without a flush and \
                 are lost (the journal goes on at {found})"
            ),
        }
    }
}

#[derive(Debug)]
struct Recovering {
    directory: PartitionDirectory,
    config: Arc<TopicConfig>,
    checkpoint: Option<PartitionCheckpoint>,
    state: Option<(Log, ProducerTable)>,
    /// The greatest log start that the journals name.
    log_start: Offset,
}

impl Recovering {
    /// If what the log start was moved over is lost, the log goes on behind it, as Kafka's does: an
    /// offset below the start can never be read. Says where it goes on.
    fn restart_behind(&mut self, now: Now) -> Option<Offset> {
        let (log, _) = self.state.as_mut()?;
        let start = self.log_start;
        if start <= log.next_offset() {
            return None;
        }
        *log = Log::new(start, log_options(&self.config, self.directory.at), now.timestamp);
        Some(start)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Recovery {
    partitions: BTreeMap<TopicPartition, Recovering>,
    merge: Merge,
    now: Now,
    notes: Vec<RecoveryNote>,
    /// All topics that were ever deleted, if that is known.
    deleted: Option<BTreeSet<TopicId>>,
}

impl Recovery {
    /// Begins with the catalog and the checkpoints that could be read. Of several that name a
    /// partition (the number of shards has changed in between) the newest start's counts.
    #[must_use]
    pub fn new(
        image: &Image,
        statics: &StaticConfigs,
        checkpoints: Vec<ShardCheckpoint>,
        now: Now,
    ) -> Recovery {
        let mut newest: BTreeMap<TopicPartition, (Incarnation, PartitionCheckpoint)> =
            BTreeMap::new();
        for shard in checkpoints {
            let incarnation = Incarnation(shard.incarnation);
            for partition in shard.partitions {
                let at = partition.at();
                if newest.get(&at).is_none_or(|(known, _)| *known < incarnation) {
                    newest.insert(at, (incarnation, partition));
                }
            }
        }
        let mut partitions = BTreeMap::new();
        for topic in image.topics.iter() {
            let config = Arc::new(TopicConfig::resolve(topic, image, statics));
            for (index, _) in (0..).zip(&topic.partitions) {
                let at = TopicPartition { topic: topic.id, partition: PartitionId(index) };
                let checkpoint = newest.remove(&at).map(|(_, checkpoint)| checkpoint);
                let directory = PartitionDirectory::new(&topic.name, at);
                partitions.insert(
                    at,
                    Recovering {
                        directory,
                        config: config.clone(),
                        checkpoint,
                        state: None,
                        log_start: Offset(0),
                    },
                );
            }
        }
        Recovery { partitions, merge: Merge::new(), now, notes: Vec::new(), deleted: None }
    }

    /// These are all topics that were ever deleted: records of any other that the catalog does not
    /// know are a fault, and not leftovers.
    pub fn know_deleted(&mut self, deleted: BTreeSet<TopicId>) {
        self.deleted = Some(deleted);
    }

    /// Every partition of the catalog, with the directory its files belong in.
    pub fn directories(&self) -> impl Iterator<Item = &PartitionDirectory> {
        self.partitions.values().map(|partition| &partition.directory)
    }

    /// Opens a partition's log given the files found in its directory, and says what has to be
    /// done to them before anything is appended.
    ///
    /// # Errors
    /// Files that were durable are missing or cut short.
    pub fn open(
        &mut self,
        at: TopicPartition,
        found: &[Found],
        cleaned: &[FoundCleaned],
    ) -> Result<RecoveryPlan, RecoveryFault> {
        let now = self.now;
        let Some(partition) = self.partitions.get_mut(&at) else {
            panic!("{at:?} is in the catalog");
        };
        let options = log_options(&partition.config, at);
        let checkpoint = partition.checkpoint.take();
        let log = checkpoint.as_ref().map(|checkpoint| checkpoint.log.clone()).unwrap_or_default();
        let restored = Log::restore(&log, options, found, cleaned, now.timestamp);
        let (log, plan) = restored.map_err(|error| {
            let directory = partition.directory.name.clone();
            RecoveryFault::Files { directory, error }
        })?;
        let producers = match &checkpoint {
            // What the snapshot knows beyond the segments comes again from the journals, or is lost.
            Some(checkpoint) => ProducerTable::restore(
                &checkpoint.producers,
                log.next_offset(),
                PARTITION_PRODUCERS_MAX,
                now.instant,
            ),
            None => ProducerTable::new(PARTITION_PRODUCERS_MAX),
        };
        partition.state = Some((log, producers));
        Ok(plan)
    }

    /// Takes a finished scan of a segment whose indexes were missing or short; gives what to write
    /// in their place.
    ///
    /// # Errors
    /// The scan did not find what the checkpoint says is there.
    pub fn rebuilt(
        &mut self,
        at: TopicPartition,
        segment: Offset,
        scan: SegmentScan,
    ) -> Result<IndexRewrite, RecoveryFault> {
        let (directory, log, _) = self.opened(at);
        let rewrite = log.rebuild_index(scan);
        let rewrite = rewrite.map_err(|_| RecoveryFault::Index { directory, segment })?;
        // The boot flushes what it rewrites.
        log.on_flushed(segment);
        Ok(rewrite)
    }

    /// The segment of a partition that will be appended to, if it has anything.
    #[must_use]
    pub fn active_segment(&self, at: TopicPartition) -> Option<Offset> {
        let (log, _) = self.partitions.get(&at)?.state.as_ref()?;
        let active = log.segments().last()?;
        log.segment_files(active).filter(|files| files.bytes > 0).map(|_| active)
    }

    /// Whether these are the indexes of a segment.
    #[must_use]
    pub fn indexes_fit(
        &self,
        at: TopicPartition,
        segment: Offset,
        index: &[u8],
        time_index: &[u8],
    ) -> bool {
        self.partitions
            .get(&at)
            .and_then(|partition| partition.state.as_ref())
            .is_some_and(|(log, _)| log.indexes_fit(segment, index, time_index))
    }

    fn opened(&mut self, at: TopicPartition) -> (String, &mut Log, &mut ProducerTable) {
        match self.partitions.get_mut(&at) {
            Some(Recovering { directory, state: Some((log, producers)), .. }) => {
                (directory.name.clone(), log, producers)
            }
            _ => panic!("{at:?} was opened"),
        }
    }

    /// The index interval of a partition, for scanning its segments.
    #[must_use]
    pub fn index_interval_bytes(&self, at: TopicPartition) -> u32 {
        self.partitions.get(&at).map_or(4096, |partition| partition.config.index_interval_bytes)
    }

    /// Takes an entry that a journal yields.
    ///
    /// # Errors
    /// It contradicts what is there already.
    pub fn offer(&mut self, entry: ReplayedEntry) -> Result<(), RecoveryFault> {
        let at = entry.at;
        let (base_offset, next_offset) = (entry.base_offset, entry.next_offset);
        let partitions = &self.partitions;
        let placed = self.merge.offer(entry, |at| {
            let (log, _) = partitions.get(&at)?.state.as_ref()?;
            let leader_epoch = log.epochs().latest();
            Some(RecoveredEnd { next_offset: log.next_offset(), leader_epoch })
        });
        if placed == Placed::Overlap {
            let directory = self.partitions.get(&at).map(|p| p.directory.name.clone());
            return Err(RecoveryFault::Entries {
                directory: directory.unwrap_or_default(),
                reason: format!("journal entry {base_offset}..{next_offset} overlaps another"),
            });
        }
        while let Some(entry) = self.merge.poll_entry() {
            self.apply(&entry)?;
        }
        Ok(())
    }

    fn apply(&mut self, entry: &ReplayedEntry) -> Result<(), RecoveryFault> {
        let now = self.now;
        let Some(partition) = self.partitions.get_mut(&entry.at) else {
            let topic = entry.at.topic;
            return match &self.deleted {
                Some(deleted) if !deleted.contains(&topic) => Err(RecoveryFault::Topic { topic }),
                _ => Ok(()),
            };
        };
        let Some((log, producers)) = &mut partition.state else { return Ok(()) };
        match entry.kind {
            EntryKind::LogStart => {
                partition.log_start = partition.log_start.max(entry.base_offset);
            }
            EntryKind::Batch => {
                let header = BatchHeader::parse(&entry.payload).ok().filter(|header| {
                    header.size() == entry.payload.len()
                        && header.base_offset == entry.base_offset
                        && header.next_offset() == entry.next_offset
                });
                let Some(header) = header else {
                    return Err(RecoveryFault::Entries {
                        directory: partition.directory.name.clone(),
                        reason: format!("journal entry at {} is no batch", entry.base_offset),
                    });
                };
                if let Some(stamp) = header.producer() {
                    let (base_offset, last_offset) = (header.base_offset, header.last_offset());
                    let timestamp = header.max_timestamp;
                    producers.apply(&stamp, base_offset, last_offset, timestamp, now.instant);
                }
                // A small payload would keep the whole read buffer in memory that it is a piece of.
                let payload = match entry.payload.len() {
                    ..PAYLOAD_COPIED_MAX => Bytes::copy_from_slice(&entry.payload),
                    _ => entry.payload.clone(),
                };
                log.append(payload, &header, now.timestamp);
            }
        }
        Ok(())
    }

    /// All journals of one start were offered: what still waits for something before it waits in
    /// vain. That can only be records that were acknowledged without a flush.
    pub fn end_incarnation(&mut self) {
        for Gap { expected, found } in self.merge.end_incarnation() {
            if let Some(partition) = self.partitions.get(&found.at) {
                self.notes.push(RecoveryNote::UnflushedLost {
                    directory: partition.directory.name.clone(),
                    end: expected,
                    found: found.base_offset,
                });
            }
        }
        // The next start found the same, and appended behind the log start.
        for (at, partition) in &mut self.partitions {
            if let Some(start) = partition.restart_behind(self.now) {
                self.merge.skip_to(*at, start);
            }
        }
    }

    /// What the start lives with.
    #[must_use]
    pub fn notes(&self) -> &[RecoveryNote] {
        &self.notes
    }

    /// The partitions of each shard, by its index.
    #[must_use]
    pub fn finish(self, shard_count: u16) -> Vec<Vec<RestoredPartition>> {
        let mut shards: Vec<Vec<RestoredPartition>> = Vec::new();
        shards.resize_with(usize::from(shard_count), Vec::new);
        for (at, mut partition) in self.partitions {
            partition.restart_behind(self.now);
            let Some((mut log, producers)) = partition.state else {
                panic!("{at:?} was opened");
            };
            // Records before it were deleted.
            log.advance_start(partition.log_start.max(log.start_offset()));
            if let Some(shard) = shards.get_mut(usize::from(at.shard(shard_count).0)) {
                shard.push(RestoredPartition { at, log, producers });
            }
        }
        shards
    }
}
