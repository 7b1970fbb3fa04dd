//! Compacting topics, one partition of this shard at a time, and the exchange of segments that ends
//! it.
//!
//! A cleaning runs in slices in the background and holds nothing up; the partition is appended to
//! and read meanwhile. Its result counts from the first checkpoint that names it. Files that were
//! replaced stay under another name for `file.delete.delay.ms`, for replies that still have to send
//! from them.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::catalog::TopicConfig;
use crate::ids::TopicPartition;
use crate::log::{Cleaning, Compacted, CompactionOptions, OutputFile};
use crate::shard::engine::{DiskError, FileOutcome, FileWork};
use crate::shard::outbox::Outbox;
use crate::stdx::prng::Prng;
use crate::time::{Instant, Now};

use super::{Job, Owner};

/// What the shard is told about compaction at start.
#[derive(Clone, Copy, Debug)]
pub struct CompactionSettings {
    /// `log.cleaner.enable`
    pub enabled: bool,
    /// `log.cleaner.backoff.ms`
    pub interval: Duration,
    /// This shard's part of `log.cleaner.dedupe.buffer.size`, in bytes.
    pub keys_bytes_max: usize,
}

/// How far the compaction under way has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Being read and written.
    Cleaning,
    /// Waits for a checkpoint that names the new segments.
    Prepared,
    /// A checkpoint names them; the names are being put in place.
    Exchanging,
    /// It came to nothing. Its files are removed before another cleaning makes files of the same
    /// names.
    GivenUp,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Compaction {
    settings: CompactionSettings,
    /// Seeds the hashes of keys, which no client may know.
    random: Prng,
    next_check: Instant,
    active: Option<(TopicPartition, Stage)>,
    /// The partition that was looked at last: the next look begins behind it.
    last: Option<TopicPartition>,
    /// Damaged: left alone until the next start.
    uncleanable: BTreeSet<TopicPartition>,
    /// Replaced files and when they may go.
    replaced: Vec<(TopicPartition, Vec<OutputFile>, Instant)>,
}

impl Compaction {
    pub(super) fn new(settings: CompactionSettings, random: Prng, now: Instant) -> Compaction {
        Compaction {
            random,
            next_check: now + settings.interval,
            settings,
            active: None,
            last: None,
            uncleanable: BTreeSet::new(),
            replaced: Vec::new(),
        }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let unlink = self.replaced.iter().map(|(_, _, due)| *due).min();
        let check = (self.settings.enabled && self.active.is_none()).then_some(self.next_check);
        crate::time::earlier(check, unlink)
    }

    /// The whole directory goes.
    pub(super) fn forget(&mut self, at: TopicPartition) {
        self.active = self.active.filter(|(active, _)| *active != at);
        self.uncleanable.remove(&at);
        self.replaced.retain(|(gone, ..)| *gone != at);
    }

    /// A cleaning is done and waits for a checkpoint.
    pub(super) fn wants_checkpoint(&self) -> bool {
        self.prepared().is_some()
    }

    /// The partition whose new segments a checkpoint names that is made now.
    pub(super) fn prepared(&self) -> Option<TopicPartition> {
        self.active.filter(|(_, stage)| *stage == Stage::Prepared).map(|(at, _)| at)
    }
}

impl Owner {
    /// Time passed.
    pub(super) fn check_compaction(&mut self, now: Now, out: &mut Outbox) {
        self.drop_replaced(now.instant, out);
        let compaction = &mut self.compaction;
        if !compaction.settings.enabled
            || compaction.active.is_some()
            || now.instant < compaction.next_check
        {
            return;
        }
        compaction.next_check = now.instant + compaction.settings.interval;
        if self.stopping {
            return;
        }
        // One after the other, so that a busy partition does not keep the others dirty.
        let behind = |at: &&TopicPartition| self.compaction.last < Some(**at);
        let later = self.partitions.keys().filter(behind);
        let earlier = self.partitions.keys().filter(|at| !behind(at));
        let candidates: Vec<_> = later.chain(earlier).copied().collect();
        for at in candidates {
            if self.begin_compaction(at, now, out) {
                self.compaction.last = Some(at);
                return;
            }
        }
    }

    fn begin_compaction(&mut self, at: TopicPartition, now: Now, out: &mut Outbox) -> bool {
        let keys_bytes_max = self.compaction.settings.keys_bytes_max;
        let Some(partition) = self.partitions.get(&at) else { return false };
        if !partition.config.cleanup_compact || self.compaction.uncleanable.contains(&at) {
            return false;
        }
        if !partition.log.closed_are_durable() {
            // Durable to its end first, though no new record asks for it; a later check cleans it.
            self.demand_seal(at);
            return false;
        }
        let options = options(&partition.config, keys_bytes_max);
        let plan = partition.log.compaction_plan(&options, now.timestamp, partition.durable);
        let Some(plan) = plan else { return false };
        tracing::debug!(
            partition = partition.directory.name,
            segments = plan.sources.len(),
            dirty_from = %plan.dirty_from,
            "compaction begins"
        );
        let seed = (self.compaction.random.next_u64(), self.compaction.random.next_u64());
        self.compaction.active = Some((at, Stage::Cleaning));
        self.clean_on(at, Box::new(Cleaning::new(plan, seed)), out);
        true
    }

    fn clean_on(&mut self, at: TopicPartition, cleaning: Box<Cleaning>, out: &mut Outbox) {
        let Some(partition) = self.partitions.get(&at) else { return };
        let directory = partition.directory.clone();
        let id = out.file(FileWork::Clean { directory, cleaning });
        self.jobs.insert(id, Job::Clean { at });
    }

    /// A slice of a cleaning ended.
    pub(super) fn on_cleaned(
        &mut self,
        at: TopicPartition,
        result: Result<FileOutcome, DiskError>,
        out: &mut Outbox,
    ) {
        // The partition may have gone, and even have come again under way.
        if self.compaction.active != Some((at, Stage::Cleaning)) {
            return;
        }
        match result {
            Ok(FileOutcome::Cleaning(_)) if self.stopping => self.compaction.active = None,
            Ok(FileOutcome::Cleaning(cleaning)) => self.clean_on(at, cleaning, out),
            Ok(FileOutcome::Cleaned(compacted)) => self.on_compacted(at, compacted, out),
            Ok(FileOutcome::Uncleanable(error)) => {
                tracing::error!(%error, topic_partition = ?at, "a partition is not compacted any more");
                self.compaction.uncleanable.insert(at);
                self.give_up(at, out);
            }
            Ok(other) => panic!("a cleaning was answered with {other:?}"),
            Err(error) if error.full => {
                tracing::warn!(error.operation, error.reason, "no space to compact");
                self.give_up(at, out);
            }
            Err(error) => out.fatal(error),
        }
    }

    /// What the cleaning has made is of no use.
    fn give_up(&mut self, at: TopicPartition, out: &mut Outbox) {
        let Some(partition) = self.partitions.get(&at) else { return };
        self.compaction.active = Some((at, Stage::GivenUp));
        let directory = partition.directory.clone();
        let id = out.file(FileWork::DropCleaned { directory });
        self.jobs.insert(id, Job::DropCleaned { at });
    }

    /// What a cleaning had made is removed.
    pub(super) fn on_cleaned_dropped(&mut self, at: TopicPartition, result: Result<(), DiskError>) {
        if let Err(error) = result {
            // The next start removes it.
            tracing::warn!(error.operation, error.reason, "could not unlink");
            self.compaction.uncleanable.insert(at);
        }
        if self.compaction.active == Some((at, Stage::GivenUp)) {
            self.compaction.active = None;
        }
    }

    fn on_compacted(&mut self, at: TopicPartition, compacted: Compacted, out: &mut Outbox) {
        let Some(partition) = self.partitions.get_mut(&at) else { return };
        tracing::info!(
            partition = partition.directory.name,
            bytes_before = compacted.bytes_before,
            bytes_after = compacted.bytes_after,
            clean_offset = %compacted.clean_offset,
            "compacted"
        );
        if partition.log.prepare_replacement(compacted) {
            self.compaction.active = Some((at, Stage::Prepared));
        } else {
            self.give_up(at, out);
        }
    }

    /// A checkpoint that names the new segments of this partition is durable.
    pub(super) fn exchange(&mut self, at: TopicPartition, out: &mut Outbox) {
        if self.compaction.active != Some((at, Stage::Prepared)) {
            return;
        }
        let Some(partition) = self.partitions.get(&at) else { return };
        let Some(compacted) = partition.log.replacement() else { return };
        let work = FileWork::Exchange {
            directory: partition.directory.clone(),
            replaced: compacted.replaced.clone(),
            cleaned: compacted.segments.iter().map(|segment| segment.file()).collect(),
        };
        self.compaction.active = Some((at, Stage::Exchanging));
        let id = out.file(work);
        self.jobs.insert(id, Job::Exchange { at });
    }

    /// The names are in place.
    pub(super) fn on_exchanged(
        &mut self,
        at: TopicPartition,
        result: Result<(), DiskError>,
        now: Now,
        out: &mut Outbox,
    ) {
        if let Err(error) = result {
            // The durable checkpoint names the new files: a start would put them in place.
            return out.fatal(error);
        }
        if self.compaction.active != Some((at, Stage::Exchanging)) {
            return;
        }
        self.compaction.active = None;
        // The next partition need not wait.
        self.compaction.next_check = now.instant;
        let Some(partition) = self.partitions.get_mut(&at) else { return };
        let replaced = partition.log.replacement().map(|compacted| compacted.replaced.clone());
        for old in replaced.iter().flatten() {
            partition.unchecked.forget(old.segment);
        }
        self.tail_bytes -= partition.log.finish_replacement();
        let delay = Duration::from_millis(partition.config.file_delete_delay_ms);
        self.compaction.replaced.push((at, replaced.unwrap_or_default(), now.instant + delay));
    }

    fn drop_replaced(&mut self, now: Instant, out: &mut Outbox) {
        let due = self.compaction.replaced.extract_if(.., |(_, _, due)| *due <= now);
        for (at, files, _) in due.collect::<Vec<_>>() {
            let Some(partition) = self.partitions.get(&at) else { continue };
            let directory = partition.directory.clone();
            let id = out.file(FileWork::DropReplaced { directory, files });
            self.jobs.insert(id, Job::Unlink);
        }
    }
}

fn options(config: &TopicConfig, keys_bytes_max: usize) -> CompactionOptions {
    CompactionOptions {
        dirty_ratio_min: config.min_cleanable_dirty_ratio,
        lag_min_ms: config.min_compaction_lag_ms,
        lag_max_ms: config.max_compaction_lag_ms,
        delete_retention_ms: config.delete_retention_ms,
        keys_bytes_max,
    }
}
