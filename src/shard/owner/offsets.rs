//! Finding offsets by time (ListOffsets), in memory where possible and in segment files step by
//! step, and moving the log start (DeleteRecords).

use crate::api::work::{
    Answer, DeleteRecordsItem, FoundOffset, OffsetQuery, OffsetsItem, PartitionRefusal,
};
use crate::batch::{BatchError, Records};
use crate::ids::{Offset, ShardId, TopicPartition};
use crate::journal::{self, EntryKind};
use crate::limits::DECOMPRESSED_BYTES_MAX;
use crate::log::{self, FileRead, Scan, TimeLookup};
use crate::shard::engine::{DiskError, FileOutcome, FileRange, FileWork};
use crate::shard::message::RequestId;
use crate::shard::outbox::Outbox;
use crate::time::{Now, Timestamp};

use super::read::SEARCH_BYTES;
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
}

/// What a query waits for.
#[derive(Debug)]
pub(super) enum Step {
    /// Indexes, to look the time up.
    Index(Offset),
    /// A stretch of the file, to find the batch by its header.
    Search { read: FileRead, position: u32 },
    /// The batch itself, to find the record.
    Batch { next_offset: Offset },
}

type Found = Result<FoundOffset, PartitionRefusal>;

impl Owner {
    pub(super) fn offsets(
        &mut self,
        from: ShardId,
        request: RequestId,
        items: Vec<OffsetsItem>,
        out: &mut Outbox,
    ) {
        let part = self.open_part(from, request, items.len());
        for item in items {
            match self.offset_now(part, &item) {
                Ok(found) => self.resolve(part, item.index, Answer::Offset(found), out),
                Err(work) => self.offsets_on(work, out),
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
        Err(OffsetsWork { part, index, at, target, from: start })
    }

    /// Searches on from `work.from` until a file has to be read, or the answer is there.
    fn offsets_on(&mut self, mut work: OffsetsWork, out: &mut Outbox) {
        let found = loop {
            let Some(partition) = self.partitions.get(&work.at) else {
                break Err(PartitionRefusal::Unknown);
            };
            match partition.log.lookup_timestamp(work.target, work.from) {
                TimeLookup::None => {
                    break Ok(FoundOffset { offset: None, timestamp: None, leader_epoch: None });
                }
                TimeLookup::Tail(batch, next_offset) => {
                    match find_record(&batch, work.target, work.from) {
                        Ok(Some((offset, time))) => break self.found(work.at, offset, time),
                        Ok(None) => work.from = next_offset,
                        Err(error) => break self.damaged(work.at, &error),
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
                    return self.search_on(work, read, position, 0, out);
                }
            }
        };
        self.resolve(work.part, work.index, Answer::Offset(found), out);
    }

    fn search_on(
        &mut self,
        work: OffsetsWork,
        read: FileRead,
        position: u32,
        bytes_min: usize,
        out: &mut Outbox,
    ) {
        if position >= read.end {
            self.offsets_on(OffsetsWork { from: read.next_offset, ..work }, out);
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
        out: &mut Outbox,
    ) {
        if !self.partitions.contains_key(&work.at) {
            let refused = Answer::Offset(Err(PartitionRefusal::Unknown));
            return self.resolve(work.part, work.index, refused, out);
        }
        let found = match (step, result) {
            (_, Err(error)) => {
                tracing::error!(error.operation, error.reason, "read for ListOffsets failed");
                Err(PartitionRefusal::Storage)
            }
            (Step::Index(segment), Ok(FileOutcome::Indexes { offsets, times })) => {
                if self.load_index(work.at, segment, &offsets, &times) {
                    return self.offsets_on(work, out);
                }
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
                            Err(PartitionRefusal::Storage)
                        } else {
                            return self.search_on(work, read, next, bytes, out);
                        }
                    }
                    Scan::NeedMore { position, .. } => {
                        tracing::error!(position, segment = %read.segment, "segment is cut short");
                        Err(PartitionRefusal::Storage)
                    }
                    Scan::Found { position, header } => {
                        let length = header.size() as u32;
                        let next_offset = header.next_offset();
                        let id = self.read_segment(work.at, &read, position, length, out);
                        self.jobs.insert(id, Job::Offsets(work, Step::Batch { next_offset }));
                        return;
                    }
                    Scan::Corrupt { position } => {
                        tracing::error!(position, segment = %read.segment, "segment is damaged");
                        Err(PartitionRefusal::Storage)
                    }
                }
            }
            (Step::Batch { next_offset }, Ok(FileOutcome::Bytes(batch))) => {
                match find_record(&batch, work.target, work.from) {
                    Ok(Some((offset, timestamp))) => self.found(work.at, offset, timestamp),
                    Ok(None) => {
                        work.from = next_offset;
                        return self.offsets_on(work, out);
                    }
                    Err(error) => self.damaged(work.at, &error),
                }
            }
            (step, outcome) => panic!("{step:?} was answered with {outcome:?}"),
        };
        self.resolve(work.part, work.index, Answer::Offset(found), out);
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
        Err(PartitionRefusal::Storage)
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

/// The first record at or behind `from` with at least the time `target`.
fn find_record(
    batch: &[u8],
    target: Timestamp,
    from: Offset,
) -> Result<Option<(Offset, Timestamp)>, BatchError> {
    let records = Records::open(batch, DECOMPRESSED_BYTES_MAX)?;
    for record in &records {
        let record = record?;
        if from <= record.offset && target <= record.timestamp {
            return Ok(Some((record.offset, record.timestamp)));
        }
    }
    Ok(None)
}
