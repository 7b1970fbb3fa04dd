//! The reading half of a worker.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::stamp::Stamp;
use super::{Counts, Shared, Timing};
use crate::batch::{BatchView, walk};
use crate::client::connection::Connection;
use crate::client::metadata::Topic;
use crate::client::requests::{FetchShape, FetchedPartition};
use crate::failure::Failure;
use crate::system::{Poller, Readiness};
use crate::tally::Clock;

/// What is done with fetched batches.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Inspect {
    /// Only heads are read.
    Count,
    /// The CRC of each batch and the structure of each record are checked.
    Check,
    /// Records carry stamps of this run.
    Stamps { run: u64 },
}

/// Progress in one partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FetchPartition {
    pub(crate) partition: i32,
    pub(crate) next_offset: i64,
    /// Where to begin again at the end, when reading is repeated.
    pub(crate) repeat_from: Option<i64>,
    /// Where to end, if anywhere.
    pub(crate) end_offset: Option<i64>,
}

impl FetchPartition {
    fn is_done(&self) -> bool {
        self.end_offset.is_some_and(|end| self.next_offset >= end)
    }
}

/// A connection to one broker and the partitions read over it.
#[derive(Debug)]
struct Lane {
    connection: Connection,
    partitions: Vec<FetchPartition>,
    correlation_id: i32,
    /// When the request in flight was sent, if one is.
    sent_ns: Option<u64>,
    /// Not before this time is the next one sent.
    pause_until_ns: u64,
}

/// The reading half of a worker.
#[derive(Debug)]
pub(crate) struct Fetching {
    shape: FetchShape,
    inspect: Inspect,
    lanes: Vec<Lane>,
    /// Records after which the whole run ends.
    records_max: Option<u64>,
    /// Read on until all that was acknowledged has been received.
    follows_producers: bool,
    /// Since when the producers have nothing more to send.
    all_sent_since_ns: Option<u64>,
}

/// Pause after an error that may pass.
const PAUSE_NS: u64 = 100_000_000;
const REPLY_BUFFER_BYTES: usize = 1 << 20;

impl Fetching {
    /// Opens a connection for each share of the partitions and each leader in it.
    pub(crate) fn open(
        topic: &Topic,
        shape: FetchShape,
        inspect: Inspect,
        shares: Vec<Vec<FetchPartition>>,
        records_max: Option<u64>,
        timeout: Duration,
    ) -> Result<Fetching, Failure> {
        let mut lanes = Vec::new();
        for share in shares {
            for (node, led) in topic.by_leader() {
                let mine = |p: &&FetchPartition| led.binary_search(&p.partition).is_ok();
                let partitions: Vec<_> = share.iter().filter(mine).copied().collect();
                if !partitions.is_empty() {
                    lanes.push(Lane {
                        connection: Connection::open(
                            topic.address(node)?,
                            timeout,
                            REPLY_BUFFER_BYTES,
                        )?,
                        partitions,
                        correlation_id: 0,
                        sent_ns: None,
                        pause_until_ns: 0,
                    });
                }
            }
        }
        let follows_producers = matches!(inspect, Inspect::Stamps { .. });
        Ok(Fetching {
            shape,
            inspect,
            lanes,
            records_max,
            follows_producers,
            all_sent_since_ns: None,
        })
    }

    pub(super) fn watch(&self, poller: &Poller, first_token: usize) -> io::Result<()> {
        for (at, lane) in self.lanes.iter().enumerate() {
            poller.watch(&lane.connection.stream, first_token + at)?;
        }
        Ok(())
    }

    pub(super) fn is_done(&mut self, now_ns: u64, timing: &Timing, shared: &Shared) -> bool {
        let received = shared.received_records.load(Ordering::Relaxed);
        if self.follows_producers {
            let done = shared.producing_done.load(Ordering::Acquire);
            let all_sent = done == shared.producing_workers.load(Ordering::Relaxed);
            if !all_sent {
                return false;
            }
            let since_ns = *self.all_sent_since_ns.get_or_insert(now_ns);
            let acknowledged = shared.acknowledged_records.load(Ordering::Relaxed);
            return received >= acknowledged || now_ns > since_ns + timing.patience_ns;
        }
        timing.stop_ns.is_some_and(|stop| now_ns >= stop)
            || self.records_max.is_some_and(|max| received >= max)
            || self.lanes.iter().all(|lane| lane.partitions.iter().all(FetchPartition::is_done))
    }

    pub(super) fn wake_ns(&self) -> u64 {
        let pauses = self.lanes.iter().filter(|lane| lane.sent_ns.is_none());
        pauses.map(|lane| lane.pause_until_ns).filter(|until| *until > 0).min().unwrap_or(u64::MAX)
    }

    /// Sends a request on each lane that has none in flight.
    pub(super) fn dispatch(&mut self, now_ns: u64) -> Result<(), Failure> {
        for lane in &mut self.lanes {
            lane.request(&self.shape, now_ns)?;
        }
        Ok(())
    }

    pub(super) fn on_ready(
        &mut self,
        at: usize,
        event: &Readiness,
        clock: &Clock,
        timing: &Timing,
        shared: &Shared,
        counts: &mut Counts,
    ) -> Result<(), Failure> {
        let (shape, inspect) = (&self.shape, self.inspect);
        let Some(lane) = self.lanes.get_mut(at) else { return Ok(()) };
        if event.writable {
            lane.connection.flush()?;
        }
        if event.readable {
            let mut answered = None;
            let Lane { connection, partitions, correlation_id, sent_ns, .. } = lane;
            connection.receive(|frame| {
                let now_ns = clock.now_ns();
                let mut reply = Reply {
                    inspect,
                    partitions,
                    timing,
                    counts,
                    now_ns,
                    retriable: false,
                    records: 0,
                    bytes: 0,
                };
                let answers = shape.decode(frame, |fetched| reply.on_partition(&fetched))?;
                if answers != *correlation_id || sent_ns.is_none() {
                    return Err(Failure::Malformed(format!(
                        "a reply to Fetch request {answers} out of turn"
                    )));
                }
                let retriable = reply.retriable;
                reply.finish(sent_ns.take().unwrap_or(now_ns), shared);
                answered = Some(if retriable { now_ns + PAUSE_NS } else { 0 });
                Ok(())
            })?;
            if let Some(pause_until_ns) = answered {
                lane.pause_until_ns = pause_until_ns;
                let over = self
                    .records_max
                    .is_some_and(|max| shared.received_records.load(Ordering::Relaxed) >= max);
                if !over {
                    lane.request(shape, clock.now_ns())?;
                }
            }
        }
        Ok(())
    }
}

impl Lane {
    fn request(&mut self, shape: &FetchShape, now_ns: u64) -> Result<(), Failure> {
        if self.sent_ns.is_some() || now_ns < self.pause_until_ns {
            return Ok(());
        }
        let wanted: Vec<_> = self
            .partitions
            .iter()
            .filter(|partition| !partition.is_done())
            .map(|partition| (partition.partition, partition.next_offset))
            .collect();
        // The broker fills a reply in the order asked: whoever was served comes last next time.
        if let Some(first) = self.partitions.first().copied() {
            self.partitions.rotate_left(1);
            debug_assert_eq!(self.partitions.last().map(|p| p.partition), Some(first.partition));
        }
        if wanted.is_empty() {
            return Ok(());
        }
        self.correlation_id = self.correlation_id.wrapping_add(1) & i32::MAX;
        self.connection.send(shape.encode(self.correlation_id, wanted.into_iter()));
        self.sent_ns = Some(now_ns);
        self.connection.flush()
    }
}

/// One reply while it is read.
struct Reply<'a> {
    inspect: Inspect,
    partitions: &'a mut Vec<FetchPartition>,
    timing: &'a Timing,
    counts: &'a mut Counts,
    now_ns: u64,
    retriable: bool,
    records: u64,
    bytes: u64,
}

impl Reply<'_> {
    fn on_partition(&mut self, fetched: &FetchedPartition<'_>) -> Result<(), Failure> {
        let code = fetched.code;
        if code.is_error() {
            *self.counts.tally.errors.entry(code).or_default() += 1;
            self.counts.recent.errors += 1;
            if !code.is_retriable() {
                let asked = format!("Fetch of partition {}", fetched.partition);
                return Err(Failure::Refused { asked, code });
            }
            self.retriable = true;
            return Ok(());
        }
        // Usually in the order asked, so the search is short.
        let at = self.partitions.iter().position(|p| p.partition == fetched.partition);
        let Some(mut state) = at.and_then(|at| self.partitions.get(at).copied()) else {
            return Err(Failure::Malformed(format!(
                "records of partition {}, which was not asked for",
                fetched.partition
            )));
        };
        walk(fetched.records, |batch| self.on_batch(&batch, &mut state))?;
        let at_end = state.next_offset >= fetched.high_watermark;
        if let Some(from) = state.repeat_from.filter(|_| at_end) {
            state.next_offset = from;
        }
        if let Some(slot) = at.and_then(|at| self.partitions.get_mut(at)) {
            *slot = state;
        }
        Ok(())
    }

    fn on_batch(
        &mut self,
        batch: &BatchView<'_>,
        state: &mut FetchPartition,
    ) -> Result<(), Failure> {
        if batch.next_offset() <= state.next_offset {
            return Err(Failure::Malformed(format!(
                "partition {}: a batch up to offset {} where {} was asked for",
                state.partition,
                batch.next_offset(),
                state.next_offset
            )));
        }
        let asked_from = state.next_offset;
        // The first batch may begin before the offset asked for.
        let before = u64::try_from(asked_from - batch.base_offset).unwrap_or(0);
        state.next_offset = batch.next_offset();
        self.bytes += batch.batch_bytes() as u64;
        if batch.is_control() {
            return Ok(());
        }
        let count = (batch.count.max(0) as u64).saturating_sub(before);
        match self.inspect {
            Inspect::Count => {
                self.records += count;
                Ok(())
            }
            Inspect::Check => {
                if !batch.crc_matches() {
                    return Err(Failure::Violated(format!(
                        "partition {}: the batch at offset {} has a wrong CRC",
                        state.partition, batch.base_offset
                    )));
                }
                self.records += count;
                batch.records(|_| Ok(()))
            }
            Inspect::Stamps { run } => batch.records(|record| {
                let stamp = Stamp::read(record.value, run);
                if let Some(stamp) = stamp.filter(|_| record.offset >= asked_from) {
                    self.records += 1;
                    let elapsed_ns = self.now_ns.saturating_sub(stamp.intended_ns);
                    self.counts.recent.latency.record_ns(elapsed_ns);
                    if stamp.intended_ns >= self.timing.measure_from_ns {
                        self.counts.tally.end_to_end.record_ns(elapsed_ns);
                    }
                }
                Ok(())
            }),
        }
    }

    fn finish(self, sent_ns: u64, shared: &Shared) {
        shared.received_records.fetch_add(self.records, Ordering::Relaxed);
        let recent = &mut self.counts.recent;
        recent.fetched_records += self.records;
        recent.fetched_bytes += self.bytes;
        let service_ns = self.now_ns.saturating_sub(sent_ns);
        if !matches!(self.inspect, Inspect::Stamps { .. }) {
            recent.latency.record_ns(service_ns);
        }
        if self.now_ns >= self.timing.measure_from_ns {
            let side = &mut self.counts.tally.fetched;
            side.records += self.records;
            side.bytes += self.bytes;
            side.requests += 1;
            side.service.record_ns(service_ns);
            side.response.record_ns(service_ns);
            side.last_ns = side.last_ns.max(self.now_ns);
        }
    }
}
