//! Reading for consumers: pieces of the tail, or places in segment files found step by step.

use bytes::Bytes;

use crate::api::reply::Filling;
use crate::api::work::{Answer, FetchItem, Fetched, PartitionRefusal};
use crate::batch::HEADER_BYTES;
use crate::ids::{Offset, ShardId, TopicPartition};
use crate::limits::REQUEST_BYTES_MAX;
use crate::log::{self, FileRead, Log, Read, Scan};
use crate::shard::engine::{DiskError, FileOutcome, FileRange, FileWork};
use crate::shard::message::RequestId;
use crate::shard::outbox::Outbox;
use crate::stdx::few::Few;
use crate::time::Instant;

use super::rebuild::Waiter;
use super::unchecked::CHECK_BYTES;
use super::{Job, Owner, PartId};

/// How much of a segment is looked at in one step of a search. The sparse index leaves at most
/// `index.interval.bytes` (4 KiB by default) and one batch to walk, and headers are all that
/// counts, so one step nearly always does.
pub(super) const SEARCH_BYTES: u32 = 16 * 1024;

/// A fetch over several partitions, worked on one after the other: the first with data may exceed
/// the byte limits, so their order matters.
#[derive(Debug)]
pub(super) struct FetchWork {
    part: PartId,
    items: <Few<FetchItem> as IntoIterator>::IntoIter,
    item: FetchItem,
    budget: usize,
    /// Data was found; from here on the limits are strict.
    fed: bool,
}

/// How far one partition's read gets without a file.
enum Attempt {
    Answer(Result<Fetched, PartitionRefusal>),
    Wait(Step, FileWork),
}

/// What a fetch waits for.
#[derive(Debug)]
pub(super) enum Step {
    /// An index, to look the offset up.
    Index(Offset),
    /// A stretch of the file, to find where the batch starts.
    Search { read: FileRead, position: u32 },
    /// The answer itself, to see whether it is undamaged.
    Check { read: FileRead, position: u32 },
}

impl Step {
    /// Whether what is read for it still stands in the log.
    fn is_of(&self, log: &Log) -> bool {
        match self {
            Step::Index(_) => true,
            Step::Search { read, .. } | Step::Check { read, .. } => read.is_of(log),
        }
    }
}

impl Owner {
    pub(super) fn fetch(
        &mut self,
        from: ShardId,
        request: RequestId,
        bytes_max: usize,
        items: Few<FetchItem>,
        out: &mut Outbox,
    ) {
        let part = self.open_part(from, request, items.len());
        let mut items = items.into_iter();
        let Some(item) = items.next() else { return };
        self.fetch_on(FetchWork { part, items, item, budget: bytes_max, fed: false }, out);
    }

    /// Works on from `work.item` until a file has to be read, or all is answered.
    pub(super) fn fetch_on(&mut self, mut work: FetchWork, out: &mut Outbox) {
        loop {
            let answer = match self.fetch_one(&work) {
                Attempt::Answer(answer) => answer,
                Attempt::Wait(step, file_work) => {
                    let id = out.file(file_work);
                    self.jobs.insert(id, Job::Fetch(work, step));
                    return;
                }
            };
            if !self.fetched(&mut work, answer, out) {
                return;
            }
        }
    }

    /// Answers the item of `work` and moves on; false when it was the last.
    pub(super) fn fetched(
        &mut self,
        work: &mut FetchWork,
        answer: Result<Fetched, PartitionRefusal>,
        out: &mut Outbox,
    ) -> bool {
        if let Ok(fetched) = &answer {
            work.budget = work.budget.saturating_sub(fetched.size);
            work.fed |= fetched.size > 0;
        }
        self.resolve(work.part, work.item.index, Answer::Fetched(answer), out);
        match work.items.next() {
            Some(item) => {
                work.item = item;
                true
            }
            None => false,
        }
    }

    fn fetch_one(&self, work: &FetchWork) -> Attempt {
        let item = &work.item;
        let Some(partition) = self.partitions.get(&item.at) else {
            return Attempt::Answer(Err(PartitionRefusal::Unknown));
        };
        if let Err(refusal) = partition.check_epoch(item.current_leader_epoch) {
            return Attempt::Answer(Err(refusal));
        }
        let mut fetched = Fetched {
            high_watermark: partition.high_watermark(),
            log_start: partition.log.start_offset(),
            records: Filling::Nothing,
            size: 0,
            diverging: None,
        };
        if let Some(epoch) = item.last_fetched_epoch {
            let end = partition.log.epochs().end_offset_for(epoch, partition.log.next_offset());
            match end {
                // Nobody can have read in an epoch that has not been yet.
                None if epoch > partition.leader_epoch => {
                    return Attempt::Answer(Err(partition.out_of_range()));
                }
                Some((found, end)) if found < epoch || end < item.offset => {
                    fetched.diverging = Some((found, end));
                    return Attempt::Answer(Ok(fetched));
                }
                _ => {}
            }
        }
        let bytes_max = item.bytes_max.min(work.budget);
        let up_to = fetched.high_watermark;
        match partition.log.read(item.offset, bytes_max, up_to, !work.fed) {
            Read::OutOfRange => Attempt::Answer(Err(partition.out_of_range())),
            Read::Empty => Attempt::Answer(Ok(fetched)),
            Read::Tail(pieces, _) => {
                fetched.size = pieces.iter().map(Bytes::len).sum();
                fetched.records = Filling::Memory(pieces);
                Attempt::Answer(Ok(fetched))
            }
            Read::NeedIndex(segment) => {
                let directory = partition.directory.clone();
                Attempt::Wait(Step::Index(segment), FileWork::ReadIndexes { directory, segment })
            }
            Read::File(read) => {
                let position = read.position;
                let work = self.search_work(item.at, &read, position, HEADER_BYTES);
                Attempt::Wait(Step::Search { read, position }, work)
            }
        }
    }

    /// The file work of one step of a search from `position`, reading at least `bytes_min`.
    pub(super) fn search_work(
        &self,
        at: TopicPartition,
        read: &FileRead,
        position: u32,
        bytes_min: usize,
    ) -> FileWork {
        let partition = self.partitions.get(&at).expect("a search is of a partition");
        let wanted = if read.exact && position == read.position {
            HEADER_BYTES as u32
        } else {
            SEARCH_BYTES.max(u32::try_from(bytes_min).unwrap_or(u32::MAX))
        };
        let length = wanted.min(read.end.saturating_sub(position));
        let directory = partition.directory.clone();
        let (segment, generation) = (read.segment, read.generation);
        FileWork::Read { range: FileRange { directory, segment, generation, position, length } }
    }

    pub(super) fn on_fetch_file(
        &mut self,
        mut work: FetchWork,
        step: Step,
        result: Result<FileOutcome, DiskError>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let at = work.item.at;
        if let Step::Index(segment) = step {
            return self.on_indexes_read(at, segment, result, Waiter::Fetch(work), now, out);
        }
        let log = self.partitions.get(&at).map(|partition| &partition.log);
        let outcome = match result {
            Ok(outcome) if log.is_some() => outcome,
            // Compaction has put another content in its place meanwhile, and what was there before
            // is gone: the place is looked for again.
            Err(_) if log.is_some_and(|log| !step.is_of(log)) => return self.fetch_on(work, out),
            other => {
                let refusal = match other {
                    Err(error) => {
                        tracing::error!(error.operation, error.reason, "read for a fetch failed");
                        PartitionRefusal::Storage
                    }
                    Ok(_) => PartitionRefusal::Unknown,
                };
                if self.fetched(&mut work, Err(refusal), out) {
                    self.fetch_on(work, out);
                }
                return;
            }
        };
        match (step, outcome) {
            (Step::Search { read, position }, FileOutcome::Bytes(data)) => {
                match log::locate(&data, position, read.target) {
                    // A file that gives no more than before is shorter than its log knows.
                    Scan::NeedMore { position: next, bytes }
                        if next < read.end
                            && (next > position || bytes > data.len())
                            && !data.is_empty() =>
                    {
                        let file_work = self.search_work(at, &read, next, bytes);
                        let id = out.file(file_work);
                        let step = Step::Search { read, position: next };
                        self.jobs.insert(id, Job::Fetch(work, step));
                    }
                    Scan::Found { position, header } if header.size() <= REQUEST_BYTES_MAX => {
                        match self.file_answer(&work, &read, position, header.size()) {
                            Attempt::Answer(answer) => {
                                if self.fetched(&mut work, answer, out) {
                                    self.fetch_on(work, out);
                                }
                            }
                            Attempt::Wait(step, file_work) => {
                                let id = out.file(file_work);
                                self.jobs.insert(id, Job::Fetch(work, step));
                            }
                        }
                    }
                    Scan::Found { position, .. }
                    | Scan::NeedMore { position, .. }
                    | Scan::Corrupt { position } => {
                        self.fetched_damage(work, read.segment, position, out);
                    }
                }
            }
            (Step::Check { read, position }, FileOutcome::Bytes(data)) => {
                let partition = self.partitions.get_mut(&at).expect("looked up above");
                if work.item.offset < partition.log.start_offset() {
                    // Deleted meanwhile, and with it what its epoch was.
                    return self.fetch_on(work, out);
                }
                let sound = partition.log.sound_bytes(&data, read.target, read.generation) as u32;
                if sound == 0 {
                    return self.fetched_damage(work, read.segment, position, out);
                }
                if read.is_of(&partition.log) {
                    partition.unchecked.checked(read.segment, position, sound);
                }
                let answer = self.range(&work, &read, position, sound);
                if self.fetched(&mut work, answer, out) {
                    self.fetch_on(work, out);
                }
            }
            (step, outcome) => panic!("{step:?} was answered with {outcome:?}"),
        }
    }

    /// The batch was found: the range from there to where the limits say, if it is known to be
    /// undamaged.
    fn file_answer(
        &self,
        work: &FetchWork,
        read: &FileRead,
        position: u32,
        first: usize,
    ) -> Attempt {
        let Some(partition) = self.partitions.get(&work.item.at) else {
            return Attempt::Answer(Err(PartitionRefusal::Unknown));
        };
        let bytes_max = work.item.bytes_max.min(work.budget);
        if first > bytes_max && work.fed {
            return Attempt::Answer(self.range(work, read, position, 0));
        }
        let wanted = u32::try_from(bytes_max.max(first)).unwrap_or(u32::MAX);
        let mut end = read.end.min(position.saturating_add(wanted));
        // Clients take a batch that is cut short, but its bytes would travel twice.
        if read.is_of(&partition.log)
            && let Some(boundary) = partition.log.boundary_at_most(read.segment, end)
            && boundary as usize >= position as usize + first
        {
            end = boundary;
        }
        let length = end - position;
        if partition.unchecked.has(read.segment, position, length) {
            let length = length.min(CHECK_BYTES.max(u32::try_from(first).unwrap_or(u32::MAX)));
            let directory = partition.directory.clone();
            let (segment, generation) = (read.segment, read.generation);
            let range = FileRange { directory, segment, generation, position, length };
            let step = Step::Check { read: *read, position };
            return Attempt::Wait(step, FileWork::Read { range });
        }
        Attempt::Answer(self.range(work, read, position, length))
    }

    /// The answer with these bytes of a segment; with none if there are none.
    fn range(
        &self,
        work: &FetchWork,
        read: &FileRead,
        position: u32,
        length: u32,
    ) -> Result<Fetched, PartitionRefusal> {
        let partition = self.partitions.get(&work.item.at).ok_or(PartitionRefusal::Unknown)?;
        let mut fetched = Fetched {
            high_watermark: partition.high_watermark(),
            log_start: partition.log.start_offset(),
            records: Filling::Nothing,
            size: length as usize,
            diverging: None,
        };
        if length > 0 {
            let directory = partition.directory.clone();
            let (segment, generation) = (read.segment, read.generation);
            let range = FileRange { directory, segment, generation, position, length };
            fetched.records = Filling::File(range);
        }
        Ok(fetched)
    }

    /// What is in the segment is not what was written.
    fn fetched_damage(
        &mut self,
        mut work: FetchWork,
        segment: Offset,
        position: u32,
        out: &mut Outbox,
    ) {
        if let Some(partition) = self.partitions.get(&work.item.at) {
            tracing::error!(
                partition = partition.directory.name, %segment, position,
                offset = %work.item.offset, "a segment is damaged"
            );
        }
        if self.fetched(&mut work, Err(PartitionRefusal::Corrupt), out) {
            self.fetch_on(work, out);
        }
    }
}
