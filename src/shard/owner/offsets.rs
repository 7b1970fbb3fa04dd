//! Finding offsets by time (ListOffsets), in memory where possible and in segment files step by
//! step, and moving the log start (DeleteRecords).

use std::collections::VecDeque;

use bytes::Bytes;

use crate::api::work::{
    Answer, DeleteRecordsItem, FoundOffset, OffsetQuery, OffsetsItem, PartitionRefusal,
};
use crate::batch::{self, BatchError, BatchHeader, Compression};
use crate::ids::{Offset, ShardId, TopicPartition};
use crate::journal::{self, EntryKind};
use crate::limits::REQUEST_BYTES_MAX;
use crate::log::{self, FileRead, Scan, TimeLookup};
use crate::shard::engine::{DiskError, FileOutcome, FileRange, FileWork};
use crate::shard::message::RequestId;
use crate::shard::outbox::Outbox;
use crate::time::{Instant, Now, Timestamp};

use super::inspection::{self, Inspected, Inspection, Place, find_record};
use super::read::SEARCH_BYTES;
use super::rebuild::Waiter;
use super::{Entry, Job, Owner, PartId};

/// One partition's query under way.
#[derive(Debug)]
pub(super) struct OffsetsWork {
    part: PartId,
    index: u32,
    at: TopicPartition,
    target: Timestamp,
    /// The search goes on from here.
    from: Offset,
    /// It has the background to itself.
    heavy: bool,
}

/// Searches that have to look into a batch and cannot do so in the turn they came to it. They hold
/// no batch meanwhile: each finds its own again.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    /// For the next turn.
    fresh: VecDeque<OffsetsWork>,
    /// For the background, one after the other.
    heavy: VecDeque<OffsetsWork>,
}

impl Lookups {
    pub(super) fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    pub(super) fn has_heavy(&self) -> bool {
        !self.heavy.is_empty()
    }
}

/// What a query waits for.
#[derive(Debug)]
pub(super) enum Step {
    /// Indexes, to look the time up.
    Index(Offset),
    /// A stretch of the file, to find the batch by its header.
    Search { read: FileRead, position: u32 },
    /// The batch itself, to find the record.
    Batch { read: FileRead, next_offset: Offset },
}

type Found = Result<FoundOffset, PartitionRefusal>;

/// What a look into a batch came to.
enum Looked {
    /// The search goes on when it is called again.
    Elsewhere,
    /// The record is not there; the search goes on behind the batch.
    On(OffsetsWork),
    /// The search is over.
    Done(OffsetsWork, Found),
}

impl Owner {
    pub(super) fn offsets(
        &mut self,
        from: ShardId,
        request: RequestId,
        items: Vec<OffsetsItem>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let part = self.open_part(from, request, items.len());
        for item in items {
            match self.offset_now(part, &item) {
                Ok(found) => self.resolve(part, item.index, Answer::Offset(found), out),
                Err(work) => self.offsets_on(work, now, out),
            }
        }
    }

    /// Answers what needs no search, and begins the search otherwise.
    fn offset_now(&self, part: PartId, item: &OffsetsItem) -> Result<Found, OffsetsWork> {
        let Some(partition) = self.partitions.get(&item.at) else {
            return Ok(Err(PartitionRefusal::Unknown));
        };
        if let Err(refusal) = partition.check_epoch(item.current_leader_epoch) {
            return Ok(Err(refusal));
        }
        let start = partition.log.start_offset();
        let at = |offset: Offset| {
            let leader_epoch = partition.log.epochs().epoch_for(offset).or_else(|| {
                (offset == partition.high_watermark()).then_some(partition.leader_epoch)
            });
            Ok(Ok(FoundOffset { offset: Some(offset), timestamp: None, leader_epoch }))
        };
        let none = Ok(Ok(FoundOffset { offset: None, timestamp: None, leader_epoch: None }));
        let target = match item.query {
            OffsetQuery::Earliest | OffsetQuery::EarliestLocal => return at(start),
            OffsetQuery::Latest => return at(partition.high_watermark()),
            OffsetQuery::LatestTiered => return none,
            OffsetQuery::AtLeast(target) => target,
            OffsetQuery::MaxTimestamp => match partition.log.max_timestamp() {
                Some(target) => target,
                None => return none,
            },
        };
        let (index, at) = (item.index, item.at);
        Err(OffsetsWork { part, index, at, target, from: start, heavy: false })
    }

    /// Searches on from `work.from` until a file has to be read, a batch has to be looked into
    /// elsewhere, or the answer is there.
    pub(super) fn offsets_on(&mut self, mut work: OffsetsWork, now: Instant, out: &mut Outbox) {
        let found = loop {
            let Some(partition) = self.partitions.get(&work.at) else {
                break Err(PartitionRefusal::Unknown);
            };
            match partition.log.lookup_timestamp(work.target, work.from) {
                TimeLookup::None => {
                    break Ok(FoundOffset { offset: None, timestamp: None, leader_epoch: None });
                }
                TimeLookup::Tail(batch, next_offset) => {
                    match self.look_into(work, batch, next_offset, now, out) {
                        Looked::Elsewhere => return,
                        Looked::On(on) => work = on,
                        Looked::Done(done, found) => {
                            work = done;
                            break found;
                        }
                    }
                }
                TimeLookup::NeedIndex(segment) => {
                    let directory = partition.directory.clone();
                    let id = out.file(FileWork::ReadIndexes { directory, segment });
                    self.jobs.insert(id, Job::Offsets(work, Step::Index(segment)));
                    return;
                }
                TimeLookup::File(read) => {
                    let position = read.position;
                    return self.search_on(work, read, position, 0, now, out);
                }
            }
        };
        self.answer_offset(&work, found, now, out);
    }

    pub(super) fn answer_offset(
        &mut self,
        work: &OffsetsWork,
        found: Found,
        now: Instant,
        out: &mut Outbox,
    ) {
        if work.heavy {
            self.inspections.release(now);
        }
        self.resolve(work.part, work.index, Answer::Offset(found), out);
    }

    /// Looks for the record in a batch that may hold it: here if that is little work.
    fn look_into(
        &mut self,
        work: OffsetsWork,
        batch: Bytes,
        next_offset: Offset,
        now: Instant,
        out: &mut Outbox,
    ) -> Looked {
        let (target, from) = (work.target, work.from);
        if work.heavy {
            let id = out.file(FileWork::Inspect(Inspection::Find { batch, target, from }));
            self.jobs.insert(id, Job::FindRecord(work, next_offset));
            return Looked::Elsewhere;
        }
        let compressed = BatchHeader::parse(&batch)
            .and_then(|header| header.compression())
            .is_ok_and(|compression| compression != Compression::None);
        let found = match self.inspections.place(&batch, compressed, false) {
            Place::Later => {
                self.lookups.fresh.push_back(work);
                self.inspections.wait(now);
                return Looked::Elsewhere;
            }
            Place::Background => None,
            Place::Here { bytes_max } => match find_record(&batch, target, from, bytes_max) {
                Err(error) if inspection::is_larger_than_tried(&error) => None,
                found => Some(found),
            },
        };
        match found {
            Some(found) => self.looked(work, found, next_offset),
            None => {
                self.lookups.heavy.push_back(work);
                self.inspections.wait(now);
                Looked::Elsewhere
            }
        }
    }

    fn looked(
        &self,
        mut work: OffsetsWork,
        found: Result<Option<(Offset, Timestamp)>, BatchError>,
        next_offset: Offset,
    ) -> Looked {
        match found {
            Ok(Some((offset, timestamp))) => {
                let found = self.found(work.at, offset, timestamp);
                Looked::Done(work, found)
            }
            Ok(None) => {
                work.from = next_offset;
                Looked::On(work)
            }
            Err(error) => {
                let found = self.damaged(work.at, &error);
                Looked::Done(work, found)
            }
        }
    }

    /// A batch was looked into in the background.
    pub(super) fn on_record_found(
        &mut self,
        mut work: OffsetsWork,
        next_offset: Offset,
        result: Result<FileOutcome, DiskError>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Ok(FileOutcome::Inspected(Inspected::Found(found))) = result else {
            panic!("a search for a record ended with {result:?}");
        };
        self.inspections.release(now);
        work.heavy = false;
        match self.looked(work, found, next_offset) {
            Looked::On(work) => self.offsets_on(work, now, out),
            Looked::Done(work, found) => self.answer_offset(&work, found, now, out),
            Looked::Elsewhere => {}
        }
    }

    /// Goes on with the searches that wait for a turn, for as long as this one lasts.
    pub(super) fn look_up_waiting(&mut self, now: Instant, out: &mut Outbox) {
        for _ in 0..self.lookups.fresh.len() {
            if self.inspections.is_spent() {
                return;
            }
            let Some(work) = self.lookups.fresh.pop_front() else { return };
            self.offsets_on(work, now, out);
        }
    }

    /// Gives the background to the next search that waits for it.
    pub(super) fn look_up_in_background(&mut self, now: Instant, out: &mut Outbox) {
        let Some(mut work) = self.lookups.heavy.pop_front() else {
            return self.inspections.release(now);
        };
        work.heavy = true;
        self.offsets_on(work, now, out);
    }

    fn search_on(
        &mut self,
        work: OffsetsWork,
        read: FileRead,
        position: u32,
        bytes_min: usize,
        now: Instant,
        out: &mut Outbox,
    ) {
        if position >= read.end {
            self.offsets_on(OffsetsWork { from: read.next_offset, ..work }, now, out);
            return;
        }
        let wanted = SEARCH_BYTES.max(u32::try_from(bytes_min).unwrap_or(u32::MAX));
        let length = wanted.min(read.end - position);
        let id = self.read_segment(work.at, &read, position, length, out);
        self.jobs.insert(id, Job::Offsets(work, Step::Search { read, position }));
    }

    fn read_segment(
        &self,
        at: TopicPartition,
        read: &FileRead,
        position: u32,
        length: u32,
        out: &mut Outbox,
    ) -> crate::shard::engine::JobId {
        let Some(partition) = self.partitions.get(&at) else {
            panic!("{at:?} is there: it was looked up in this turn");
        };
        let directory = partition.directory.clone();
        let (segment, generation) = (read.segment, read.generation);
        let range = FileRange { directory, segment, generation, position, length };
        out.file(FileWork::Read { range })
    }

    pub(super) fn on_offsets_file(
        &mut self,
        mut work: OffsetsWork,
        step: Step,
        result: Result<FileOutcome, DiskError>,
        now: Instant,
        out: &mut Outbox,
    ) {
        if let Step::Index(segment) = step {
            return self.on_indexes_read(work.at, segment, result, Waiter::Offsets(work), now, out);
        }
        if !self.partitions.contains_key(&work.at) {
            return self.answer_offset(&work, Err(PartitionRefusal::Unknown), now, out);
        }
        let found = match (step, result) {
            // Compaction has put another content in its place meanwhile: look again.
            (Step::Search { read, .. } | Step::Batch { read, .. }, Err(_))
                if self.partitions.get(&work.at).is_some_and(|p| !read.is_of(&p.log)) =>
            {
                return self.offsets_on(work, now, out);
            }
            (_, Err(error)) => {
                tracing::error!(error.operation, error.reason, "read for ListOffsets failed");
                Err(PartitionRefusal::Storage)
            }
            (Step::Search { read, position }, Ok(FileOutcome::Bytes(data))) => {
                match log::locate_timestamp(&data, position, work.target, work.from) {
                    // A file that gives no more than before is shorter than its log knows.
                    Scan::NeedMore { position: next, bytes }
                        if next > position || bytes > data.len() =>
                    {
                        if next == position
                            && (data.len() as u32) < SEARCH_BYTES.min(read.end - position)
                        {
                            Err(PartitionRefusal::Corrupt)
                        } else {
                            return self.search_on(work, read, next, bytes, now, out);
                        }
                    }
                    Scan::NeedMore { position, .. } => {
                        tracing::error!(position, segment = %read.segment, "segment is cut short");
                        Err(PartitionRefusal::Corrupt)
                    }
                    Scan::Found { position, header } if header.size() > REQUEST_BYTES_MAX => {
                        tracing::error!(position, segment = %read.segment, "segment is damaged");
                        Err(PartitionRefusal::Corrupt)
                    }
                    Scan::Found { position, header } => {
                        let length = header.size() as u32;
                        let next_offset = header.next_offset();
                        let id = self.read_segment(work.at, &read, position, length, out);
                        self.jobs.insert(id, Job::Offsets(work, Step::Batch { read, next_offset }));
                        return;
                    }
                    Scan::Corrupt { position } => {
                        tracing::error!(position, segment = %read.segment, "segment is damaged");
                        Err(PartitionRefusal::Corrupt)
                    }
                }
            }
            (Step::Batch { next_offset, .. }, Ok(FileOutcome::Bytes(batch))) => {
                if let Err(error) = batch::check(&batch) {
                    let found = self.damaged(work.at, &error);
                    return self.answer_offset(&work, found, now, out);
                }
                match self.look_into(work, batch, next_offset, now, out) {
                    Looked::Elsewhere => return,
                    Looked::On(on) => return self.offsets_on(on, now, out),
                    Looked::Done(done, found) => {
                        work = done;
                        found
                    }
                }
            }
            (step, outcome) => panic!("{step:?} was answered with {outcome:?}"),
        };
        self.answer_offset(&work, found, now, out);
    }

    fn found(&self, at: TopicPartition, offset: Offset, timestamp: Timestamp) -> Found {
        let partition = self.partitions.get(&at).ok_or(PartitionRefusal::Unknown)?;
        if offset >= partition.high_watermark() {
            // Not for consumers yet, so there is no such record for them.
            return Ok(FoundOffset { offset: None, timestamp: None, leader_epoch: None });
        }
        let leader_epoch = partition.log.epochs().epoch_for(offset);
        Ok(FoundOffset { offset: Some(offset), timestamp: Some(timestamp), leader_epoch })
    }

    fn damaged(&self, at: TopicPartition, error: &BatchError) -> Found {
        tracing::error!(?at, %error, "a stored batch cannot be read");
        Err(PartitionRefusal::Corrupt)
    }

    /// Moves the log start: durable first, like a batch, then visible, then answered.
    pub(super) fn delete_records(
        &mut self,
        part: PartId,
        item: &DeleteRecordsItem,
        out: &mut Outbox,
    ) {
        let refused = |refusal| Answer::RecordsDeleted(Err(refusal));
        let Some(partition) = self.partitions.get(&item.at) else {
            return self.resolve(part, item.index, refused(PartitionRefusal::Unknown), out);
        };
        let high_watermark = partition.high_watermark();
        let before = item.before.unwrap_or(high_watermark);
        let start = partition.log.start_offset();
        if before > high_watermark || before < Offset(0) {
            return self.resolve(part, item.index, refused(partition.out_of_range()), out);
        }
        if before <= start {
            return self.resolve(part, item.index, Answer::RecordsDeleted(Ok(start)), out);
        }
        let entry = journal::Entry {
            kind: EntryKind::LogStart,
            at: item.at,
            base_offset: before,
            next_offset: before,
            leader_epoch: partition.leader_epoch,
            payload: &[],
            checked: None,
        };
        match self.flushed.journal.append(&entry) {
            Ok(group) => {
                let entry = Entry::LogStart(before, part, item.index);
                self.flushed.pending.push_back((group, item.at, entry));
            }
            Err(_) => self.resolve(part, item.index, refused(PartitionRefusal::Storage), out),
        }
    }

    pub(super) fn on_log_start(
        &mut self,
        at: TopicPartition,
        offset: Offset,
        part: PartId,
        index: u32,
        now: Now,
        out: &mut Outbox,
    ) {
        let answer = match self.partitions.get_mut(&at) {
            None => Err(PartitionRefusal::Unknown),
            Some(partition) => {
                partition.log.advance_start(offset);
                self.writer.checkpoint.changed();
                Ok(partition.log.start_offset())
            }
        };
        self.resolve(part, index, Answer::RecordsDeleted(answer), out);
        self.drop_old_segments(at, now);
    }
}
