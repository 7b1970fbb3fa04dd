//! The way of a produced batch to its log: checked, looked into where its topic demands it, and
//! only then appended.
//!
//! The batches of a partition keep their order: while one waits to be looked into, those behind it
//! wait too. Partitions take turns, so that a heap of heavy batches in one of them holds up no
//! other; and whoever fills the queue is refused, not the rest.

use std::collections::{BTreeMap, VecDeque};

use crate::api::work::{Acks, Answer, PartitionRefusal, ProduceItem, ProduceRefusal};
use crate::batch::{self, BatchHeader, Compression};
use crate::ids::TopicPartition;
use crate::limits::{DECOMPRESSED_BYTES_MAX, INSPECTION_QUEUE_BYTES_MAX};
use crate::shard::engine::{DiskError, FileOutcome, FileWork};
use crate::shard::outbox::Outbox;
use crate::time::Now;

use super::inspection::{self, Demands, Inspected, Inspection, Place};
use super::partition::Partition;
use super::produce::Pending;
use super::{Job, Owner, PartId};

/// A batch that waits to be looked into.
#[derive(Debug)]
struct Waiting {
    part: PartId,
    acks: Acks,
    item: ProduceItem,
    /// Of the batch, also while it is away in the background.
    size: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Admission {
    /// By partition, in the order they came. A partition that is not here has nothing waiting.
    queues: BTreeMap<TopicPartition, VecDeque<Waiting>>,
    /// Partitions whose first batch waits for a turn.
    fresh: VecDeque<TopicPartition>,
    /// Partitions whose first batch waits for the background.
    heavy: VecDeque<TopicPartition>,
    bytes: usize,
}

impl Admission {
    pub(super) fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    pub(super) fn has_heavy(&self) -> bool {
        !self.heavy.is_empty()
    }

    /// Takes the first batch of a partition out; [`Admission::put_back`] or [`Admission::move_on`]
    /// follows.
    fn take(&mut self, at: TopicPartition) -> Option<Waiting> {
        let waiting = self.queues.get_mut(&at)?.pop_front()?;
        self.bytes -= waiting.size;
        Some(waiting)
    }

    fn put_back(&mut self, at: TopicPartition, waiting: Waiting) {
        self.bytes += waiting.size;
        self.queues.entry(at).or_default().push_front(waiting);
    }

    /// The next batch of the partition waits for its turn, at the end of the line.
    fn move_on(&mut self, at: TopicPartition) {
        match self.queues.get(&at) {
            Some(queue) if queue.is_empty() => drop(self.queues.remove(&at)),
            Some(_) => self.fresh.push_back(at),
            None => {}
        }
    }
}

/// What can be said of a batch within the turn.
enum Verdict {
    /// It is ready to be appended.
    Ready(BatchHeader),
    /// It waits for the next turn.
    Later,
    /// It takes too long.
    Heavy,
}

impl Owner {
    /// A batch came.
    pub(super) fn admit(
        &mut self,
        part: PartId,
        acks: Acks,
        mut item: ProduceItem,
        now: Now,
        out: &mut Outbox,
    ) {
        if self.stopping {
            // All of them, also those that need no look: one that is let through would pass over a
            // batch of its producer that was refused just now, and that could never follow.
            let refused = Answer::Produced(Err(ProduceRefusal::Busy));
            return self.resolve(part, item.index, refused, out);
        }
        let at = item.at;
        let queued = self.admission.queues.contains_key(&at);
        let verdict = if queued { Ok(Verdict::Later) } else { self.judge(&mut item, acks, now) };
        let heavy = match verdict {
            Err(refusal) => {
                return self.resolve(part, item.index, Answer::Produced(Err(refusal)), out);
            }
            Ok(Verdict::Ready(header)) => {
                return self.admitted(part, acks, Pending { item, header }, now, out);
            }
            Ok(Verdict::Later) => false,
            Ok(Verdict::Heavy) => true,
        };
        let size = item.batch.len();
        if self.admission.bytes + size > INSPECTION_QUEUE_BYTES_MAX {
            let refused = Answer::Produced(Err(ProduceRefusal::Busy));
            return self.resolve(part, item.index, refused, out);
        }
        self.admission.bytes += size;
        let waiting = Waiting { part, acks, item, size };
        self.admission.queues.entry(at).or_default().push_back(waiting);
        if !queued {
            let places = if heavy { &mut self.admission.heavy } else { &mut self.admission.fresh };
            places.push_back(at);
            self.inspections.wait(now.instant);
        }
    }

    fn judge(
        &mut self,
        item: &mut ProduceItem,
        acks: Acks,
        now: Now,
    ) -> Result<Verdict, ProduceRefusal> {
        let partition = self
            .partitions
            .get(&item.at)
            .ok_or(ProduceRefusal::Partition(PartitionRefusal::Unknown))?;
        let (header, compression) = checked(partition, item, acks)?;
        let config = &partition.config;
        let conform = |item: &mut ProduceItem, bytes_max| {
            inspection::conform(config, &mut item.batch, header, now.timestamp, bytes_max)
        };
        let Demands { packing, walk } = Demands::of(config, compression);
        if !packing && !walk {
            return conform(item, DECOMPRESSED_BYTES_MAX).map(Verdict::Ready);
        }
        let compressed = compression != Compression::None;
        match self.inspections.place(&item.batch, compressed, packing) {
            Place::Later => Ok(Verdict::Later),
            Place::Background => Ok(Verdict::Heavy),
            Place::Here { bytes_max } => match conform(item, bytes_max) {
                Err(refusal) if inspection::is_too_large_here(&refusal) => Ok(Verdict::Heavy),
                other => other.map(Verdict::Ready),
            },
        }
    }

    /// Looks into the batches that wait for a turn, for as long as this one lasts.
    pub(super) fn admit_waiting(&mut self, now: Now, out: &mut Outbox) {
        while let Some(at) = self.admission.fresh.pop_front() {
            let Some(mut first) = self.admission.take(at) else { continue };
            match self.judge(&mut first.item, first.acks, now) {
                Ok(Verdict::Later) => {
                    self.admission.put_back(at, first);
                    self.admission.fresh.push_front(at);
                    return;
                }
                Ok(Verdict::Heavy) => {
                    self.admission.put_back(at, first);
                    self.admission.heavy.push_back(at);
                }
                Ok(Verdict::Ready(header)) => {
                    self.admission.move_on(at);
                    let Waiting { part, acks, item, .. } = first;
                    self.admitted(part, acks, Pending { item, header }, now, out);
                }
                Err(refusal) => {
                    self.admission.move_on(at);
                    self.refuse(&first, refusal, out);
                }
            }
        }
    }

    /// Gives the background to the first batch of the next partition that waits for it.
    pub(super) fn admit_in_background(&mut self, now: Now, out: &mut Outbox) {
        let next = self.admission.heavy.pop_front();
        let first = next.and_then(|at| Some((at, self.admission.take(at)?)));
        let Some((at, mut first)) = first else { return self.inspections.release(now.instant) };
        let checked = match self.partitions.get(&at) {
            Some(partition) => checked(partition, &first.item, first.acks)
                .map(|(header, _)| (partition.config.clone(), header)),
            None => Err(ProduceRefusal::Partition(PartitionRefusal::Unknown)),
        };
        match checked {
            Ok((config, header)) => {
                let batch = std::mem::take(&mut first.item.batch);
                self.admission.put_back(at, first);
                let inspection = Inspection::Conform { config, batch, header, now: now.timestamp };
                let id = out.file(FileWork::Inspect(inspection));
                self.jobs.insert(id, Job::Admit(at));
            }
            Err(refusal) => {
                self.inspections.release(now.instant);
                self.admission.move_on(at);
                self.refuse(&first, refusal, out);
            }
        }
    }

    /// A batch comes back from the background.
    pub(super) fn on_inspected(
        &mut self,
        at: TopicPartition,
        result: Result<FileOutcome, DiskError>,
        now: Now,
        out: &mut Outbox,
    ) {
        self.inspections.release(now.instant);
        // The partition may be gone, or the shard about to stop: then it was answered already.
        let Some(first) = self.admission.take(at) else { return };
        self.admission.move_on(at);
        match result {
            Ok(FileOutcome::Inspected(Inspected::Conformed(Ok((header, batch))))) => {
                let Waiting { part, acks, mut item, .. } = first;
                item.batch = batch;
                self.admitted(part, acks, Pending { item, header }, now, out);
            }
            Ok(FileOutcome::Inspected(Inspected::Conformed(Err(refusal)))) => {
                self.refuse(&first, refusal, out);
            }
            other => panic!("an inspection of a produced batch ended with {other:?}"),
        }
    }

    fn refuse(&mut self, waiting: &Waiting, refusal: ProduceRefusal, out: &mut Outbox) {
        self.resolve(waiting.part, waiting.item.index, Answer::Produced(Err(refusal)), out);
    }

    /// The partition goes, or the shard: nothing waits for it any more.
    pub(super) fn refuse_waiting(
        &mut self,
        at: TopicPartition,
        refusal: &ProduceRefusal,
        out: &mut Outbox,
    ) {
        for waiting in self.admission.queues.remove(&at).unwrap_or_default() {
            self.admission.bytes -= waiting.size;
            self.refuse(&waiting, refusal.clone(), out);
        }
    }

    /// The shard is about to stop: what is not in a log by now does not get there.
    pub(super) fn refuse_all_waiting(&mut self, out: &mut Outbox) {
        self.admission.fresh.clear();
        self.admission.heavy.clear();
        while let Some((at, _)) = self.admission.queues.first_key_value() {
            self.refuse_waiting(*at, &ProduceRefusal::Busy, out);
        }
    }
}

/// Checks a batch as its producer sent it, as far as its header goes.
fn checked(
    partition: &Partition,
    item: &ProduceItem,
    acks: Acks,
) -> Result<(BatchHeader, Compression), ProduceRefusal> {
    // This broker is the only replica.
    if acks == Acks::All && partition.config.min_insync_replicas > 1 {
        return Err(ProduceRefusal::NotEnoughReplicas);
    }
    let size_max = partition.config.max_message_bytes as usize;
    if item.batch.len() > size_max {
        return Err(ProduceRefusal::TooLarge { size: item.batch.len(), size_max });
    }
    let header = batch::check_produce(&item.batch).map_err(ProduceRefusal::Batch)?;
    if header.is_transactional() {
        return Err(ProduceRefusal::NotAllowed);
    }
    let compression = header.compression().map_err(ProduceRefusal::Batch)?;
    Ok((header, compression))
}
