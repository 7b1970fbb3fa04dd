//! Loading a coordinator: its whole log, piece by piece in the background, so that neither the disk
//! nor the shard is kept from other work.

use std::sync::Arc;

use bytes::Bytes;

use crate::api::work::PartitionRefusal;
use crate::batch::{BatchError, Batches, Records};
use crate::group::{Coordinator, LogEntry};
use crate::ids::{Offset, TopicPartition};
use crate::limits::{DECOMPRESSED_BYTES_MAX, JOURNAL_GROUP_BYTES_MAX};
use crate::log::{FileRead, Read};
use crate::shard::engine::{DiskError, FileOutcome, FileRange, FileWork};
use crate::shard::outbox::Outbox;
use crate::time::{Instant, Now};

use super::super::rebuild::Waiter;
use super::super::{Job, Owner};
use super::topics::View;
use super::{Groups, State};

/// How much is read and applied in one step, in bytes.
const STEP_BYTES: usize = 256 * 1024;

/// A coordinator in the making. One at a time on each shard.
#[derive(Debug)]
pub(super) struct Load {
    pub at: TopicPartition,
    term: u64,
    coordinator: Box<Coordinator>,
    /// All entries below are applied.
    next: Offset,
    /// The log's end.
    end: Offset,
    entries: u64,
    began: Instant,
    /// A file is being read for it.
    reading: bool,
    /// What the next read takes at least: a batch was larger than a step.
    bytes_min: usize,
    /// It cannot go on.
    failure: Option<String>,
}

/// What a load waits for.
#[derive(Debug)]
pub(in super::super) enum Step {
    /// Indexes, to find the place.
    Index { term: u64, at: TopicPartition, segment: Offset },
    /// A stretch of a segment.
    Batches { term: u64, read: FileRead, length: u32 },
}

impl Groups {
    /// Whether there is work that waits for no file.
    pub(super) fn load_is_ready(&self) -> bool {
        match &self.load {
            Some(load) => !load.reading,
            None => !self.queue.is_empty(),
        }
    }

    /// Somebody asks for a group in this partition.
    pub(super) fn load_soon(&mut self, at: TopicPartition) {
        if let Some(place) = self.queue.iter().position(|queued| *queued == at)
            && place > 0
        {
            self.queue.remove(place);
            self.queue.push_front(at);
        }
    }

    fn begin_load(&mut self, end: impl Fn(TopicPartition) -> Option<(Offset, Offset)>, now: Now) {
        while self.load.is_none()
            && let Some(at) = self.queue.pop_front()
        {
            let Some((start, end)) = end(at) else { continue };
            let seed = self.random.next_u64();
            let Some(hosted) = self.hosted.get(&at) else { continue };
            self.load = Some(Load {
                at,
                term: hosted.term,
                coordinator: Box::new(Coordinator::new(self.options.clone(), seed)),
                next: start,
                end,
                entries: 0,
                began: now.instant,
                reading: false,
                bytes_min: 0,
                failure: None,
            });
        }
    }
}

impl Owner {
    /// Takes the next step, if none is under way.
    pub(super) fn pump_load(&mut self, now: Now, out: &mut Outbox) {
        let partitions = &self.partitions;
        let range = |at| {
            let partition = partitions.get(&at)?;
            Some((partition.log.start_offset(), partition.log.next_offset()))
        };
        self.groups.begin_load(range, now);
        let Some(load) = self.groups.load.as_mut().filter(|load| !load.reading) else { return };
        if let Some(reason) = load.failure.take() {
            return self.fail_load(&reason, now, out);
        }
        let Some(partition) = self.partitions.get(&load.at) else { return };
        let (at, term) = (load.at, load.term);
        let bytes_max = STEP_BYTES.max(load.bytes_min);
        if load.next >= load.end {
            return self.end_load(now);
        }
        match partition.log.read(load.next, bytes_max, load.end, true) {
            Read::Tail(pieces, next) => {
                let applied = pieces.iter().try_for_each(|piece| load.apply(piece).map(drop));
                load.next = next;
                if let Err(error) = applied {
                    self.fail_load(&error.to_string(), now, out);
                }
            }
            Read::NeedIndex(segment) => {
                load.reading = true;
                let directory = partition.directory.clone();
                let id = out.file(FileWork::ReadIndexes { directory, segment });
                self.jobs.insert(id, Job::Groups(Step::Index { term, at, segment }));
            }
            Read::File(read) => {
                load.reading = true;
                let wanted = u32::try_from(bytes_max).unwrap_or(u32::MAX);
                let length = wanted.min(read.end - read.position);
                let directory = partition.directory.clone();
                let (segment, generation, position) =
                    (read.segment, read.generation, read.position);
                let range = FileRange { directory, segment, generation, position, length };
                let id = out.file(FileWork::Read { range });
                self.jobs.insert(id, Job::Groups(Step::Batches { term, read, length }));
            }
            Read::Empty => load.next = load.end,
            Read::OutOfRange => {
                load.next = load.next.max(partition.log.start_offset()).min(load.end)
            }
        }
    }

    /// A file was read for a load.
    pub(in super::super) fn on_groups_file(
        &mut self,
        step: Step,
        result: Result<FileOutcome, DiskError>,
        now: Now,
        out: &mut Outbox,
    ) {
        let term = match step {
            Step::Index { term, at, segment } => {
                let waiter = Waiter::Groups(term);
                return self.on_indexes_read(at, segment, result, waiter, now.instant, out);
            }
            Step::Batches { term, .. } => term,
        };
        // The partition may have gone meanwhile, and the load with it.
        let Some(load) = self.groups.load.as_mut().filter(|load| load.term == term) else { return };
        load.reading = false;
        let failed = match (step, result) {
            (_, Err(error)) => Some(format!("{}: {}", error.operation, error.reason)),
            (Step::Batches { read, length, .. }, Ok(FileOutcome::Bytes(bytes))) => {
                load.take(&read, length, &bytes).err()
            }
            (step, outcome) => panic!("{step:?} was answered with {outcome:?}"),
        };
        match failed {
            Some(reason) => self.fail_load(&reason, now, out),
            None => self.pump_load(now, out),
        }
    }

    /// The indexes it waited for are loaded, or cannot be had. It goes on in the next turn.
    pub(in super::super) fn on_groups_indexes(
        &mut self,
        term: u64,
        result: Result<(), PartitionRefusal>,
    ) {
        let Some(load) = self.groups.load.as_mut().filter(|load| load.term == term) else { return };
        load.reading = false;
        load.failure = result.err().map(|_| "the indexes of a segment are lost".to_owned());
    }

    fn fail_load(&mut self, reason: &str, now: Now, out: &mut Outbox) {
        let Some(load) = self.groups.load.take() else { return };
        tracing::error!(at = ?load.at, next = %load.next, reason, "groups cannot be loaded");
        self.resign_groups(load.at, now, out);
    }

    /// The log was read to its end: the coordinator takes up its work.
    fn end_load(&mut self, now: Now) {
        let Some(mut load) = self.groups.load.take() else { return };
        let Some(partition) = self.partitions.get(&load.at) else { return };
        let topics = &self.groups.topics;
        load.coordinator.on_topics(Arc::new(View(topics.clone())));
        load.coordinator.on_loaded(now);
        load.coordinator.forget_topics_gone(&|topic| topics.get(topic).is_some());
        if load.entries > 0 {
            tracing::info!(
                partition = partition.directory.name,
                entries = load.entries,
                groups = load.coordinator.list().count(),
                ms = now.instant.since(load.began).as_millis() as u64,
                "groups are loaded"
            );
        }
        let undurable = partition.durable < load.end;
        if let Some(hosted) = self.groups.hosted.get_mut(&load.at) {
            hosted.state = State::Active(load.coordinator);
            // What was read may not be durable yet, if a coordinator has resigned just now.
            hosted.planned += 1;
            if undurable {
                hosted.appended.push_back((hosted.planned, load.end));
            } else {
                hosted.durable = hosted.planned;
            }
            self.groups.touched.insert(load.at);
        }
    }
}

impl Load {
    /// Applies the entries of one batch.
    fn apply(&mut self, batch: &[u8]) -> Result<(), BatchError> {
        let records = Records::open(batch, DECOMPRESSED_BYTES_MAX)?;
        if records.header().is_control() {
            return Ok(());
        }
        for record in &records {
            let record = record?;
            let Some(key) = record.key else { continue };
            match LogEntry::decode(key, record.value) {
                Ok(Some(entry)) => {
                    self.coordinator.apply(&entry);
                    self.entries += 1;
                }
                // Of a kind that is not coordinated here.
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(at = ?self.at, offset = %record.offset, %error, "entry is skipped");
                }
            }
        }
        Ok(())
    }

    /// Applies what a stretch of a segment holds, and moves on behind it.
    fn take(&mut self, read: &FileRead, length: u32, bytes: &Bytes) -> Result<(), String> {
        if bytes.len() < length as usize {
            return Err("segment is cut short".to_owned());
        }
        let before = self.next;
        let mut batches = Batches::checked(bytes);
        for batch in batches.by_ref() {
            if self.end <= batch.header.base_offset {
                self.next = self.end;
                return Ok(());
            }
            // The place may be a little before what is looked for.
            if self.next < batch.header.next_offset() {
                self.apply(batch.bytes).map_err(|error| error.to_string())?;
                self.next = batch.header.next_offset();
            }
        }
        self.bytes_min = 0;
        let whole = read.end - read.position <= length;
        match batches.stopped_by() {
            None if whole => {
                // Between the segments there may be a gap.
                self.next = self.next.max(read.next_offset).min(self.end);
                Ok(())
            }
            _ if before < self.next => Ok(()),
            Some(BatchError::Truncated { needed, .. })
                if !whole && *needed <= JOURNAL_GROUP_BYTES_MAX =>
            {
                self.bytes_min = batches.position() + needed;
                Ok(())
            }
            None => {
                self.bytes_min = 2 * length as usize;
                Ok(())
            }
            Some(error) => Err(error.to_string()),
        }
    }
}
