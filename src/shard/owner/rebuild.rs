//! Making the indexes of a segment again from the segment itself, when their files are missing or
//! not what was written. Whoever needs them waits; the scan reads piece by piece, between other
//! work.

use crate::api::work::PartitionRefusal;
use crate::ids::{Offset, TopicPartition};
use crate::limits::REQUEST_BYTES_MAX;
use crate::log::{IndexError, Scan, SegmentScan};
use crate::shard::engine::{DiskError, FileOutcome, FileRange, FileWork};
use crate::shard::outbox::Outbox;
use crate::time::Instant;

use super::offsets::OffsetsWork;
use super::read::FetchWork;
use super::{Job, Owner};

/// How much of the segment is read at a time.
const SCAN_BYTES: u32 = 256 * 1024;

/// Who waits for an index.
#[derive(Debug)]
pub(super) enum Waiter {
    Fetch(FetchWork),
    Offsets(OffsetsWork),
    /// The loading of groups, by its term.
    Groups(u64),
}

/// A scan under way.
#[derive(Debug)]
pub(super) struct Rebuild {
    scan: SegmentScan,
    /// Of the content that is scanned.
    generation: u32,
    waiters: Vec<Waiter>,
    /// All is scanned, but a write or a flush of the segment is in the way.
    held: bool,
}

impl Owner {
    /// Uses the indexes that were read, if they are good, and has them made again otherwise. Then
    /// the waiter goes on.
    pub(super) fn on_indexes_read(
        &mut self,
        at: TopicPartition,
        segment: Offset,
        result: Result<FileOutcome, DiskError>,
        waiter: Waiter,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(partition) = self.partitions.get_mut(&at) else {
            return self.wake(waiter, Err(PartitionRefusal::Unknown), now, out);
        };
        let reason = match result {
            Ok(FileOutcome::Indexes { offsets, times }) => {
                match partition.log.on_index(segment, &offsets, &times) {
                    Ok(()) => return self.wake(waiter, Ok(()), now, out),
                    // Retention was faster: what is looked for is looked for elsewhere now.
                    Err(IndexError::UnknownSegment) => return self.wake(waiter, Ok(()), now, out),
                    Err(error) => error.to_string(),
                }
            }
            Ok(outcome) => panic!("indexes were asked for, not {outcome:?}"),
            Err(error) => error.reason,
        };
        if let Some(rebuild) = self.rebuilds.get_mut(&(at, segment)) {
            rebuild.waiters.push(waiter);
            return;
        }
        tracing::warn!(
            partition = partition.directory.name, %segment, reason,
            "the indexes of a segment are damaged or missing; making them again from the segment"
        );
        let interval = partition.config.index_interval_bytes;
        let scan = SegmentScan::new(segment, interval, Offset(i64::MAX));
        let generation = partition.log.generation(segment).unwrap_or_default();
        let rebuild = Rebuild { scan, generation, waiters: vec![waiter], held: false };
        self.rebuilds.insert((at, segment), rebuild);
        self.rebuild_on(at, segment, 0, now, out);
    }

    /// Reads on, or ends the scan.
    fn rebuild_on(
        &mut self,
        at: TopicPartition,
        segment: Offset,
        bytes_min: usize,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(rebuild) = self.rebuilds.get_mut(&(at, segment)) else { return };
        let Some(partition) = self.partitions.get_mut(&at) else {
            return self.end_rebuild(at, segment, Err(PartitionRefusal::Unknown), now, out);
        };
        // Retention or compaction was faster: whoever waits looks again.
        let same = partition.log.generation(segment) == Some(rebuild.generation);
        let Some(files) = partition.log.segment_files(segment).filter(|_| same) else {
            return self.end_rebuild(at, segment, Ok(()), now, out);
        };
        let position = rebuild.scan.position();
        if position < files.bytes {
            let wanted = SCAN_BYTES.max(u32::try_from(bytes_min).unwrap_or(u32::MAX));
            let length = wanted.min(files.bytes - position);
            let directory = partition.directory.clone();
            let generation = rebuild.generation;
            let range = FileRange { directory, segment, generation, position, length };
            let id = out.file(FileWork::Read { range });
            self.jobs.insert(id, Job::Rebuild { at, segment, length });
            return;
        }
        match partition.log.rebuild_index(rebuild.scan.clone()) {
            Ok(rewrite) => {
                let directory = partition.directory.clone();
                let id = out.file(FileWork::WriteIndexes { directory, rewrite });
                self.jobs.insert(id, Job::IndexesWritten { at, segment });
            }
            // Until it is through nothing more is written, so that the scan is not outrun.
            Err(IndexError::Busy) => rebuild.held = true,
            Err(error) => self.cannot_rebuild(at, segment, &error.to_string(), now, out),
        }
    }

    /// Whether writes to this partition's segments have to wait.
    pub(super) fn holds_writes(&self, at: TopicPartition) -> bool {
        let all = (at, Offset(i64::MIN))..=(at, Offset(i64::MAX));
        self.rebuilds.range(all).any(|(_, rebuild)| rebuild.held)
    }

    /// A write or a flush ended: what it was in the way of goes on.
    pub(super) fn resume_rebuilds(&mut self, at: TopicPartition, now: Instant, out: &mut Outbox) {
        let all = (at, Offset(i64::MIN))..=(at, Offset(i64::MAX));
        let held: Vec<Offset> = self
            .rebuilds
            .range(all)
            .filter(|(_, rebuild)| rebuild.held)
            .map(|((_, segment), _)| *segment)
            .collect();
        for segment in held {
            self.rebuild_on(at, segment, 0, now, out);
        }
    }

    /// The partition is gone.
    pub(super) fn forget_rebuilds(&mut self, at: TopicPartition, now: Instant, out: &mut Outbox) {
        let all = (at, Offset(i64::MIN))..=(at, Offset(i64::MAX));
        let gone: Vec<Offset> =
            self.rebuilds.range(all).map(|((_, segment), _)| *segment).collect();
        for segment in gone {
            self.end_rebuild(at, segment, Err(PartitionRefusal::Unknown), now, out);
        }
    }

    pub(super) fn on_rebuild_read(
        &mut self,
        at: TopicPartition,
        segment: Offset,
        length: u32,
        result: Result<FileOutcome, DiskError>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(rebuild) = self.rebuilds.get_mut(&(at, segment)) else { return };
        let log = self.partitions.get(&at).map(|partition| &partition.log);
        if log.is_some_and(|log| log.generation(segment) != Some(rebuild.generation)) {
            return self.end_rebuild(at, segment, Ok(()), now, out);
        }
        let data = match result {
            Ok(FileOutcome::Bytes(data)) => data,
            Ok(outcome) => panic!("a read brought {outcome:?}"),
            Err(error) => return self.cannot_rebuild(at, segment, &error.reason, now, out),
        };
        let before = rebuild.scan.position();
        match rebuild.scan.push(&data) {
            _ if rebuild.scan.position() > before => self.rebuild_on(at, segment, 0, now, out),
            // The first batch is longer than what was read.
            Scan::NeedMore { bytes, .. }
                if data.len() == length as usize
                    && bytes > data.len()
                    && bytes <= REQUEST_BYTES_MAX =>
            {
                self.rebuild_on(at, segment, bytes, now, out);
            }
            _ => self.cannot_rebuild(
                at,
                segment,
                &format!("it is damaged at byte {before}"),
                now,
                out,
            ),
        }
    }

    pub(super) fn on_indexes_written(
        &mut self,
        at: TopicPartition,
        segment: Offset,
        result: Result<FileOutcome, DiskError>,
        now: Instant,
        out: &mut Outbox,
    ) {
        if let Some(partition) = self.partitions.get_mut(&at) {
            match result {
                Err(error) if !error.full => return out.fatal(error),
                // They are in memory now; the next start makes them again.
                Err(error) => tracing::warn!(error.operation, error.reason, "no space for indexes"),
                Ok(_) => {}
            }
            let scanned = self.rebuilds.get(&(at, segment)).map(|rebuild| rebuild.generation);
            if scanned.is_some() && partition.log.generation(segment) == scanned {
                partition.log.on_flushed(segment);
            }
            self.writer.checkpoint.changed();
        }
        self.end_rebuild(at, segment, Ok(()), now, out);
    }

    fn cannot_rebuild(
        &mut self,
        at: TopicPartition,
        segment: Offset,
        reason: &str,
        now: Instant,
        out: &mut Outbox,
    ) {
        if let Some(partition) = self.partitions.get(&at) {
            tracing::error!(
                partition = partition.directory.name, %segment, reason,
                "the indexes of a segment cannot be made again"
            );
        }
        self.end_rebuild(at, segment, Err(PartitionRefusal::Corrupt), now, out);
    }

    fn end_rebuild(
        &mut self,
        at: TopicPartition,
        segment: Offset,
        result: Result<(), PartitionRefusal>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(rebuild) = self.rebuilds.remove(&(at, segment)) else { return };
        for waiter in rebuild.waiters {
            self.wake(waiter, result.clone(), now, out);
        }
        // Writes that were held back.
        self.queue_write(at);
    }

    fn wake(
        &mut self,
        waiter: Waiter,
        result: Result<(), PartitionRefusal>,
        now: Instant,
        out: &mut Outbox,
    ) {
        match (waiter, result) {
            (Waiter::Fetch(work), Ok(())) => self.fetch_on(work, out),
            (Waiter::Fetch(mut work), Err(refusal)) => {
                if self.fetched(&mut work, Err(refusal), out) {
                    self.fetch_on(work, out);
                }
            }
            (Waiter::Groups(term), result) => self.on_groups_indexes(term, result),
            (Waiter::Offsets(work), Ok(())) => self.offsets_on(work, now, out),
            (Waiter::Offsets(work), Err(refusal)) => {
                self.answer_offset(&work, Err(refusal), now, out);
            }
        }
    }
}
