//! Writing behind: from the in-memory tails to segments, and flushing them.
//!
//! A partition's durable bytes go to its segment when there are enough of them for one large write,
//! when they have waited long enough, or when a checkpoint asks for them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::ids::{Offset, TopicPartition};
use crate::log::SegmentWrite;
use crate::shard::engine::{DiskError, FileWork};
use crate::shard::outbox::Outbox;
use crate::time::Instant;

use super::{Job, Owner};

/// Durable bytes of one partition that are worth a write of their own.
const WRITE_BYTES_MIN: usize = 256 * 1024;
/// Most bytes in one write. Bounds how long a write keeps a file busy.
const WRITE_BYTES_MAX: usize = 1024 * 1024;
/// Durable bytes wait no longer than this.
const WRITE_DELAY_MAX: Duration = Duration::from_secs(2);
/// Writes under way at once.
const WRITES_MAX: usize = 4;
/// Flushes under way at once.
const FLUSHES_MAX: usize = 4;
/// How long to wait before a write that found the disk full is tried again.
const FULL_RETRY_DELAY: Duration = Duration::from_secs(1);

/// What is to be written and flushed, and what is under way.
#[derive(Debug)]
pub(super) struct Writer {
    /// To be written, in order.
    queue: VecDeque<TopicPartition>,
    writes: usize,
    /// To be flushed (and written before), for the checkpoint under way.
    demanded: BTreeMap<TopicPartition, Offset>,
    /// Of those, written far enough and waiting for a flush.
    flush_queue: VecDeque<TopicPartition>,
    flushes: usize,
    /// Partitions with durable bytes that wait, by when they have waited long enough.
    waiting: BTreeSet<(Instant, TopicPartition)>,
    /// Writes that found the disk full, and when to try them again.
    full: Vec<(TopicPartition, SegmentWrite)>,
    full_retry: Option<Instant>,
    pub(super) checkpoint: super::checkpoint::Progress,
}

impl Writer {
    pub(super) fn new(now: Instant) -> Writer {
        Writer {
            queue: VecDeque::new(),
            writes: 0,
            demanded: BTreeMap::new(),
            flush_queue: VecDeque::new(),
            flushes: 0,
            waiting: BTreeSet::new(),
            full: Vec::new(),
            full_retry: None,
            checkpoint: super::checkpoint::Progress::new(now),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let waiting = self.waiting.first().map(|(at, _)| *at);
        crate::time::earlier(crate::time::earlier(waiting, self.full_retry), self.checkpoint.due())
    }

    pub(super) fn forget(&mut self, at: TopicPartition) {
        self.demanded.remove(&at);
        self.waiting.retain(|(_, waiting)| *waiting != at);
        self.full.retain(|(full, _)| *full != at);
    }

    /// A write or a file found no space, and none is known to have come since.
    pub(super) fn disk_is_full(&self) -> bool {
        self.full_retry.is_some() || !self.full.is_empty()
    }

    /// Everything a checkpoint demanded is flushed.
    pub(super) fn demands_met(&self) -> bool {
        self.demanded.is_empty()
    }
}

impl Owner {
    /// Durable bytes of a partition may be written.
    pub(super) fn want_write(&mut self, at: TopicPartition, now: Instant) {
        let Some(partition) = self.partitions.get_mut(&at) else { return };
        if partition.queued || partition.writing {
            return;
        }
        if partition.log.unwritten_bytes() >= WRITE_BYTES_MIN {
            partition.queued = true;
            if let Some(since) = partition.unwritten_since.take() {
                self.writer.waiting.remove(&(since + WRITE_DELAY_MAX, at));
            }
            self.writer.queue.push_back(at);
        } else if partition.unwritten_since.is_none() {
            partition.unwritten_since = Some(now);
            self.writer.waiting.insert((now + WRITE_DELAY_MAX, at));
        }
    }

    pub(super) fn queue_write(&mut self, at: TopicPartition) {
        let Some(partition) = self.partitions.get_mut(&at) else { return };
        if let Some(since) = partition.unwritten_since.take() {
            self.writer.waiting.remove(&(since + WRITE_DELAY_MAX, at));
        }
        if !partition.queued && !partition.writing {
            partition.queued = true;
            self.writer.queue.push_back(at);
        }
    }

    /// A closed segment is written to its end and flushed, though no new record asks for it: it can
    /// only be deleted once it is durable as it is.
    pub(super) fn demand_seal(&mut self, at: TopicPartition) {
        let Some(partition) = self.partitions.get(&at) else { return };
        if partition.durable < partition.log.next_offset() {
            return;
        }
        self.writer.demanded.insert(at, partition.durable);
        self.queue_write(at);
    }

    /// A checkpoint needs everything of this partition below `next_offset` flushed.
    pub(super) fn demand_flush(&mut self, at: TopicPartition, next_offset: Offset) {
        let Some(partition) = self.partitions.get(&at) else { return };
        // What is not durable yet is not written; the journal still has it.
        let next_offset = next_offset.min(partition.durable);
        if partition.log.flushed_offset() >= next_offset {
            return;
        }
        let written = partition.log.written_offset() >= next_offset;
        self.writer.demanded.insert(at, next_offset);
        if written {
            self.writer.flush_queue.push_back(at);
        } else {
            self.queue_write(at);
        }
    }

    /// Time passed: what has waited long enough is written.
    pub(super) fn age_writes(&mut self, now: Instant) {
        while let Some((due, at)) = self.writer.waiting.first().copied() {
            if due > now {
                break;
            }
            self.writer.waiting.remove(&(due, at));
            self.queue_write(at);
        }
        if self.writer.full_retry.is_some_and(|retry| retry <= now) {
            self.writer.full_retry = None;
            self.flushed.journal.retry_file();
            self.unflushed.journal.retry_file();
        }
    }

    /// Starts writes and flushes as far as there is room for them.
    pub(super) fn pump_writes(&mut self, out: &mut Outbox) {
        // Long before memory is so short that sockets are not read, nothing waits for company.
        if self.tail_bytes > self.options.tail_bytes_max.saturating_mul(3) / 2 {
            while let Some((_, at)) = self.writer.waiting.pop_first() {
                self.queue_write(at);
            }
        }
        if self.writer.full_retry.is_none() {
            for (at, write) in std::mem::take(&mut self.writer.full) {
                self.start_write(at, write, out);
            }
        } else {
            return;
        }
        while self.writer.writes < WRITES_MAX {
            let Some(at) = self.writer.queue.pop_front() else { break };
            let held = self.holds_writes(at);
            let Some(partition) = self.partitions.get_mut(&at) else { continue };
            partition.queued = false;
            if held {
                // Queued again when what holds it ends.
                continue;
            }
            if let Some(write) = partition.log.poll_write(partition.durable, WRITE_BYTES_MAX) {
                partition.writing = true;
                self.start_write(at, write, out);
            }
        }
        while self.writer.flushes < FLUSHES_MAX {
            let Some(at) = self.writer.flush_queue.pop_front() else { break };
            let Some(partition) = self.partitions.get_mut(&at) else { continue };
            if partition.flushing.is_some() {
                // Its end looks at the demand again.
                continue;
            }
            let flushes = partition.log.poll_flush();
            let Some(last) = flushes.last() else { continue };
            let next_offset = last.next_offset;
            partition.flushing = Some(next_offset);
            let work = FileWork::Flush {
                directory: partition.directory.clone(),
                segments: flushes.iter().map(|flush| flush.segment).collect(),
                epochs: partition.log.epochs().encode_text(),
            };
            self.writer.flushes += 1;
            let id = out.file(work);
            let segments = flushes.into_iter().map(|flush| flush.segment).collect();
            self.jobs.insert(id, Job::Flush { at, segments });
        }
    }

    /// The disk is full: everything that needs new space waits a while.
    pub(super) fn wait_for_space(&mut self, now: Instant) {
        self.writer.full_retry.get_or_insert(now + FULL_RETRY_DELAY);
    }

    fn start_write(&mut self, at: TopicPartition, write: SegmentWrite, out: &mut Outbox) {
        let Some(partition) = self.partitions.get(&at) else { return };
        self.writer.writes += 1;
        let directory = partition.directory.clone();
        let id = out.file(FileWork::Write { directory, write: write.clone() });
        self.jobs.insert(id, Job::Write { at, write });
    }

    pub(super) fn on_segment_written(
        &mut self,
        at: TopicPartition,
        write: SegmentWrite,
        result: Result<(), DiskError>,
        now: Instant,
        out: &mut Outbox,
    ) {
        self.writer.writes -= 1;
        let Some(partition) = self.partitions.get_mut(&at) else { return };
        match result {
            Err(error) if error.full => {
                tracing::warn!(reason = error.reason, operation = error.operation, "disk full");
                self.writer.full.push((at, write));
                self.wait_for_space(now);
                return;
            }
            Err(error) => return out.fatal(error),
            Ok(()) => partition.log.on_written(write.next_offset),
        }
        partition.writing = false;
        let written = partition.log.written_offset();
        let behind = written < partition.durable;
        match self.writer.demanded.get(&at) {
            Some(wanted) if *wanted <= written => self.writer.flush_queue.push_back(at),
            Some(_) => self.queue_write(at),
            None => {}
        }
        // Also behind a checkpoint's flush: nobody else would ask, and while the tails are full
        // nothing comes that could.
        if behind {
            self.want_write(at, now);
        }
        self.resume_rebuilds(at, now, out);
        self.trim_tails(at);
    }

    /// Frees tail memory beyond the budget: first of the partition that was just written, then of
    /// the others in turn.
    fn trim_tails(&mut self, first: TopicPartition) {
        let mut excess = self.tail_bytes.saturating_sub(self.options.tail_bytes_max);
        if excess == 0 {
            return;
        }
        if let Some(partition) = self.partitions.get_mut(&first) {
            let freed = partition.log.evict(excess);
            self.tail_bytes -= freed;
            excess = excess.saturating_sub(freed);
        }
        for partition in self.partitions.values_mut() {
            if excess == 0 {
                return;
            }
            let freed = partition.log.evict(excess);
            self.tail_bytes -= freed;
            excess = excess.saturating_sub(freed);
        }
    }

    pub(super) fn on_segments_flushed(
        &mut self,
        at: TopicPartition,
        segments: Vec<Offset>,
        result: Result<(), DiskError>,
        now: Instant,
        out: &mut Outbox,
    ) {
        self.writer.flushes -= 1;
        // A flush that failed is never tried again: the kernel may have dropped the pages and
        // report success next time (fsyncgate).
        if let Err(error) = result {
            return out.fatal(error);
        }
        let Some(partition) = self.partitions.get_mut(&at) else { return };
        partition.flushing = None;
        for segment in segments {
            partition.log.on_flushed(segment);
        }
        let flushed = partition.log.flushed_offset();
        let written = partition.log.written_offset();
        match self.writer.demanded.get(&at) {
            Some(wanted) if *wanted <= flushed => {
                self.writer.demanded.remove(&at);
            }
            Some(wanted) if *wanted <= written => self.writer.flush_queue.push_back(at),
            Some(_) => self.queue_write(at),
            None => {}
        }
        self.resume_rebuilds(at, now, out);
    }
}
