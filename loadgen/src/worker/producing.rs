//! The writing half of a worker.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ringmain::stdx::prng::Prng;

use super::stamp::Stamp;
use super::{Counts, Shared, Timing};
use crate::batch::{BatchHead, Body, Payloads, RecordsWriter, Templates};
use crate::client::connection::Connection;
use crate::client::control::ProducerIdentity;
use crate::client::errors::ErrorCode;
use crate::client::metadata::Topic;
use crate::client::requests::ProduceShape;
use crate::failure::Failure;
use crate::schedule::Schedule;
use crate::system::{Poller, Readiness};
use crate::tally::Clock;

/// What the requests carry.
#[derive(Debug)]
pub(crate) enum Cargo {
    /// Prepared batches, one to a request.
    Prepared(Arc<Templates>),
    /// Prepared batches of keyed records, several to a request.
    Keyed(Arc<Templates>),
    /// Batches made at their send, whose records carry their intended time.
    Stamped { payloads: Payloads, run: u64, number: u64, value: Vec<u8> },
}

/// One producer: an order of records of its own in each partition.
#[derive(Debug)]
pub(crate) struct Producer {
    identity: Option<ProducerIdentity>,
    /// Next sequence by partition, with an identity.
    sequences: Vec<i32>,
    /// Index of its connection among the worker's.
    connection: usize,
    next_partition: usize,
}

impl Producer {
    /// A producer that starts its round of the partitions at `first_partition`.
    pub(crate) fn new(
        identity: Option<ProducerIdentity>,
        partitions: i32,
        connection: usize,
        first_partition: usize,
    ) -> Producer {
        let sequences = if identity.is_some() { vec![0; partitions as usize] } else { Vec::new() };
        Producer { identity, sequences, connection, next_partition: first_partition }
    }

    fn head(&mut self, partition: i32, count: i32, timestamp_ms: i64) -> BatchHead {
        let Some(identity) = self.identity else { return BatchHead::plain(timestamp_ms) };
        let mut base_sequence = -1;
        if let Some(next) = self.sequences.get_mut(partition as usize) {
            base_sequence = *next;
            // Sequences wrap from the largest i32 to 0.
            *next = next.wrapping_add(count) & i32::MAX;
        }
        BatchHead {
            timestamp_ms,
            producer_id: identity.id,
            producer_epoch: identity.epoch,
            base_sequence,
        }
    }
}

/// A request that is due.
#[derive(Debug, Clone, Copy)]
struct Order {
    producer: usize,
    partition: i32,
    template: usize,
    intended_ns: u64,
}

/// A request that was sent.
#[derive(Debug, Clone, Copy)]
struct Sent {
    correlation_id: i32,
    intended_ns: u64,
    sent_ns: u64,
    records: u64,
    bytes: u64,
    payload_bytes: u64,
    /// Position in the stream behind the request.
    mark: u64,
}

/// A connection to one broker and what goes over it.
#[derive(Debug)]
struct Lane {
    connection: Connection,
    /// Requests without an answer.
    pending: VecDeque<Sent>,
    /// Requests that are due and have to wait for one of `pending`.
    backlog: VecDeque<Order>,
    /// Producers that use this lane, and partitions that its broker leads.
    producers: Vec<usize>,
    partitions: Vec<i32>,
    /// By template, which of its batches go to this lane's broker.
    keyed: Vec<Vec<usize>>,
    next_source: usize,
    correlation_id: i32,
}

/// What [`Producing::open`] needs to know.
#[derive(Debug)]
pub(crate) struct ProducingSetup<'a> {
    pub(crate) topic: &'a Topic,
    pub(crate) shape: ProduceShape,
    pub(crate) cargo: Cargo,
    pub(crate) producers: Vec<Producer>,
    pub(crate) connections: usize,
    pub(crate) in_flight_max: usize,
    /// Requests to send, if there is an end to them.
    pub(crate) requests: Option<u64>,
    pub(crate) records_per_request: u64,
    pub(crate) timeout: Duration,
    pub(crate) random: Prng,
}

/// The writing half of a worker.
#[derive(Debug)]
pub(crate) struct Producing {
    shape: ProduceShape,
    cargo: Cargo,
    lanes: Vec<Lane>,
    /// By connection, then partition: the lane.
    lane_of: Vec<Vec<usize>>,
    producers: Vec<Producer>,
    in_flight_max: usize,
    schedule: Option<Schedule>,
    requests: Option<u64>,
    records_per_request: u64,
    requests_scheduled: usize,
    clock: Clock,
    random: Prng,
    /// Some request was acknowledged: errors are then counted, not fatal.
    any_success: bool,
    /// There is more to send without waiting for anything.
    busy: bool,
    /// All lanes have had their first requests.
    primed: bool,
    /// Since when there is nothing more to send.
    over_since_ns: Option<u64>,
}

/// Rounds of sending on one lane before other lanes have their turn.
const SENDS_WITHOUT_ANSWER: usize = 16;
const REPLY_BUFFER_BYTES: usize = 64 * 1024;
/// Errors before the first success that end the run.
const ERRORS_BEFORE_SUCCESS_MAX: u64 = 10;

impl Producing {
    /// Opens the connections.
    pub(crate) fn open(setup: ProducingSetup<'_>) -> Result<Producing, Failure> {
        let ProducingSetup { topic, cargo, producers, connections, .. } = setup;
        let mut lanes = Vec::new();
        let mut lane_of = Vec::new();
        for connection in 0..connections {
            let mut by_partition = vec![0; topic.leaders.len()];
            for (node, partitions) in topic.by_leader() {
                for partition in &partitions {
                    if let Some(lane) = by_partition.get_mut(*partition as usize) {
                        *lane = lanes.len();
                    }
                }
                let keyed = match &cargo {
                    Cargo::Keyed(templates) => templates
                        .keyed
                        .iter()
                        .map(|batches| {
                            let mine =
                                |(partition, _): &(i32, Body)| partitions.contains(partition);
                            (0..)
                                .zip(batches)
                                .filter(|(_, batch)| mine(batch))
                                .map(|(at, _)| at)
                                .collect()
                        })
                        .collect(),
                    _ => Vec::new(),
                };
                let mine = (0..).zip(&producers).filter(|(_, p)| p.connection == connection);
                lanes.push(Lane {
                    connection: Connection::open(
                        topic.address(node)?,
                        setup.timeout,
                        REPLY_BUFFER_BYTES,
                    )?,
                    pending: VecDeque::new(),
                    backlog: VecDeque::new(),
                    producers: mine.map(|(at, _)| at).collect(),
                    partitions,
                    keyed,
                    next_source: 0,
                    correlation_id: 0,
                });
            }
            lane_of.push(by_partition);
        }
        Ok(Producing {
            shape: setup.shape,
            cargo,
            lanes,
            lane_of,
            producers,
            in_flight_max: setup.in_flight_max,
            schedule: None,
            requests: setup.requests,
            records_per_request: setup.records_per_request,
            requests_scheduled: 0,
            clock: Clock::start(),
            random: setup.random,
            any_success: false,
            busy: false,
            primed: false,
            over_since_ns: None,
        })
    }

    /// Sets the clock of the run, and when requests are due; without a schedule the next one is due
    /// when an earlier one is answered.
    pub(crate) fn begin(&mut self, clock: Clock, schedule: Option<Schedule>) {
        self.clock = clock;
        self.schedule = schedule;
    }

    pub(crate) fn producer_count(&self) -> usize {
        self.producers.len()
    }

    pub(super) fn lane_count(&self) -> usize {
        self.lanes.len()
    }

    pub(super) fn watch(&self, poller: &Poller) -> io::Result<()> {
        for (token, lane) in self.lanes.iter().enumerate() {
            poller.watch(&lane.connection.stream, token)?;
        }
        Ok(())
    }

    /// Requests without an answer.
    pub(super) fn unanswered(&self) -> u64 {
        self.lanes.iter().map(|lane| (lane.pending.len() + lane.backlog.len()) as u64).sum()
    }

    fn may_schedule(&self, now_ns: u64, timing: &Timing) -> bool {
        self.requests != Some(0) && timing.stop_ns.is_none_or(|stop| now_ns < stop)
    }

    /// All is sent and answered, or the patience for answers is over.
    pub(super) fn is_done(&mut self, now_ns: u64, timing: &Timing) -> bool {
        let over = match &self.schedule {
            Some(schedule) => !self.may_schedule(schedule.next_ns(), timing),
            None => !self.may_schedule(now_ns, timing),
        };
        if !over {
            return false;
        }
        let over_since_ns = *self.over_since_ns.get_or_insert(now_ns);
        self.unanswered() == 0 || now_ns > over_since_ns + timing.patience_ns
    }

    /// When something is to be done even if no socket is ready.
    pub(super) fn wake_ns(&self, timing: &Timing) -> u64 {
        match &self.schedule {
            None if self.busy => 0,
            Some(schedule) if self.may_schedule(schedule.next_ns(), timing) => schedule.next_ns(),
            _ => u64::MAX,
        }
    }

    /// Sends what is due.
    pub(super) fn dispatch(
        &mut self,
        now_ns: u64,
        timing: &Timing,
        counts: &mut Counts,
    ) -> Result<(), Failure> {
        if self.schedule.is_some() {
            return self.dispatch_due(now_ns, timing, counts);
        }
        // Later on, answers make lanes send; only without answers there is always more to do.
        if self.primed && self.shape.acks != 0 {
            return Ok(());
        }
        self.primed = true;
        self.busy = false;
        for lane in 0..self.lanes.len() {
            for _ in 0..SENDS_WITHOUT_ANSWER {
                if !self.refill(lane, now_ns, timing)? {
                    break;
                }
                self.flush(lane, now_ns, timing, counts)?;
                // Without acknowledgements the lane may be free again at once.
                self.busy |= self.lanes.get(lane).is_some_and(|lane| lane.pending.is_empty());
            }
        }
        Ok(())
    }

    fn dispatch_due(
        &mut self,
        now_ns: u64,
        timing: &Timing,
        counts: &mut Counts,
    ) -> Result<(), Failure> {
        while let Some(schedule) = &mut self.schedule {
            let intended_ns = schedule.next_ns();
            let over = timing.stop_ns.is_some_and(|stop| intended_ns >= stop);
            if intended_ns > now_ns || over || self.requests == Some(0) {
                break;
            }
            let at = schedule.pick(self.producers.len());
            schedule.advance();
            if intended_ns >= timing.measure_from_ns {
                // A clock read for each request: the ones before it took their time too.
                let picked_ns = self.clock.now_ns();
                counts.tally.lateness.record_ns(picked_ns.saturating_sub(intended_ns));
            }
            self.requests = self.requests.map(|left| left - 1);
            self.schedule_request(at, intended_ns, counts)?;
        }
        Ok(())
    }

    /// One request of a producer is due: it goes out, or into the backlog of its lane.
    fn schedule_request(
        &mut self,
        at: usize,
        intended_ns: u64,
        counts: &mut Counts,
    ) -> Result<(), Failure> {
        let template = self.requests_scheduled;
        self.requests_scheduled += 1;
        let Some(producer) = self.producers.get_mut(at) else { return Ok(()) };
        let Some(by_partition) = self.lane_of.get(producer.connection) else { return Ok(()) };
        let partition = producer.next_partition % by_partition.len().max(1);
        producer.next_partition = partition + 1;
        let mut order = Order { producer: at, partition: partition as i32, template, intended_ns };
        let mut lanes = Vec::new();
        if let Cargo::Keyed(templates) = &self.cargo {
            order.template %= templates.keyed.len().max(1);
            for (lane, candidate) in self.lanes.iter().enumerate() {
                let mine = candidate.producers.contains(&at);
                if mine && candidate.keyed.get(order.template).is_some_and(|k| !k.is_empty()) {
                    lanes.push(lane);
                }
            }
        } else {
            lanes.extend(by_partition.get(partition));
        }
        for lane in lanes {
            let Some(chosen) = self.lanes.get_mut(lane) else { continue };
            if chosen.pending.len() >= self.in_flight_max || !chosen.backlog.is_empty() {
                chosen.backlog.push_back(order);
                counts.tally.delayed_requests += 1;
                continue;
            }
            let sent_ns = self.clock.now_ns();
            self.transmit(lane, order, sent_ns)?;
            if let Some(lane) = self.lanes.get_mut(lane) {
                lane.connection.flush()?;
            }
        }
        Ok(())
    }

    /// Fills a lane: from its backlog with a schedule, else with new requests.
    fn refill(&mut self, at: usize, now_ns: u64, timing: &Timing) -> Result<bool, Failure> {
        let mut any = false;
        loop {
            let open = self.schedule.is_none() && self.may_schedule(now_ns, timing);
            let Some(lane) = self.lanes.get_mut(at) else { return Ok(any) };
            if lane.pending.len() >= self.in_flight_max {
                return Ok(any);
            }
            let order = match lane.backlog.pop_front() {
                Some(order) => order,
                None if open => {
                    let source = lane.next_source;
                    lane.next_source += 1;
                    let (producers, partitions) = (lane.producers.len(), lane.partitions.len());
                    let producer = lane.producers.get(source % producers.max(1)).copied();
                    let Some(producer) = producer else { return Ok(any) };
                    let first = self.producers.get(producer).map_or(0, |p| p.next_partition);
                    let turn = (first + source / producers) % partitions.max(1);
                    let partition = lane.partitions.get(turn).copied().unwrap_or_default();
                    self.requests = self.requests.map(|left| left - 1);
                    let template = self.requests_scheduled;
                    self.requests_scheduled += 1;
                    Order { producer, partition, template, intended_ns: now_ns }
                }
                None => return Ok(any),
            };
            any = true;
            self.transmit(at, order, now_ns)?;
        }
    }

    /// Encodes a request and queues it on its connection.
    fn transmit(&mut self, at: usize, order: Order, sent_ns: u64) -> Result<(), Failure> {
        let timestamp_ms = self.clock.timestamp_ms(sent_ns);
        let Some(lane) = self.lanes.get_mut(at) else { return Ok(()) };
        let Some(producer) = self.producers.get_mut(order.producer) else { return Ok(()) };
        lane.correlation_id = lane.correlation_id.wrapping_add(1) & i32::MAX;
        let (mut records, mut bytes, mut payload_bytes) = (0, 0, 0);
        let connection = &mut lane.connection;
        let mut encode = |batches: &[(i32, BatchHead, &Body)]| {
            for (_, _, body) in batches {
                records += body.count as u64;
                bytes += body.batch_bytes() as u64;
                payload_bytes += body.payload_bytes;
            }
            self.shape.encode(lane.correlation_id, batches, |piece| connection.send(piece))
        };
        match &mut self.cargo {
            Cargo::Prepared(templates) => {
                let count = templates.bodies.len().max(1);
                if let Some(body) = templates.bodies.get(order.template % count) {
                    let head = producer.head(order.partition, body.count, timestamp_ms);
                    encode(&[(order.partition, head, body)]);
                }
            }
            Cargo::Keyed(templates) => {
                let template = order.template % templates.keyed.len().max(1);
                let mine = lane.keyed.get(template).map(Vec::as_slice).unwrap_or_default();
                let batches = templates.keyed.get(template).map(Vec::as_slice).unwrap_or_default();
                let batches: Vec<_> = mine
                    .iter()
                    .filter_map(|batch| batches.get(*batch))
                    .map(|(partition, body)| {
                        (*partition, producer.head(*partition, body.count, timestamp_ms), body)
                    })
                    .collect();
                encode(&batches);
            }
            Cargo::Stamped { payloads, run, number, value } => {
                let mut writer = RecordsWriter::default();
                for _ in 0..self.records_per_request {
                    payloads.fill(&mut self.random, value);
                    let stamp =
                        Stamp { run: *run, number: *number, intended_ns: order.intended_ns };
                    stamp.write(value);
                    *number += 1;
                    writer.push(None, value);
                }
                let body = payloads.finish(writer);
                let head = producer.head(order.partition, body.count, timestamp_ms);
                encode(&[(order.partition, head, &body)]);
            }
        }
        lane.pending.push_back(Sent {
            correlation_id: lane.correlation_id,
            intended_ns: order.intended_ns,
            sent_ns,
            records,
            bytes,
            payload_bytes,
            mark: lane.connection.queued_total(),
        });
        Ok(())
    }

    /// Writes; without acknowledgements a request is complete once the kernel has it.
    fn flush(
        &mut self,
        at: usize,
        now_ns: u64,
        timing: &Timing,
        counts: &mut Counts,
    ) -> Result<(), Failure> {
        let Some(lane) = self.lanes.get_mut(at) else { return Ok(()) };
        lane.connection.flush()?;
        if self.shape.acks == 0 {
            let written = lane.connection.written_total();
            let now_ns = self.clock.now_ns().max(now_ns);
            while let Some(sent) = lane.pending.pop_front_if(|sent| sent.mark <= written) {
                self.any_success = true;
                complete(&sent, now_ns, timing, counts);
            }
        }
        Ok(())
    }

    pub(super) fn on_ready(
        &mut self,
        event: &Readiness,
        clock: &Clock,
        timing: &Timing,
        shared: &Shared,
        counts: &mut Counts,
    ) -> Result<(), Failure> {
        let at = event.token;
        if event.readable {
            self.receive(at, clock.now_ns(), timing, shared, counts)?;
        }
        if event.writable {
            self.flush(at, clock.now_ns(), timing, counts)?;
        }
        let now_ns = clock.now_ns();
        if self.refill(at, now_ns, timing)? {
            self.flush(at, now_ns, timing, counts)?;
        }
        Ok(())
    }

    fn receive(
        &mut self,
        at: usize,
        now_ns: u64,
        timing: &Timing,
        shared: &Shared,
        counts: &mut Counts,
    ) -> Result<(), Failure> {
        let Some(lane) = self.lanes.get_mut(at) else { return Ok(()) };
        let (shape, pending) = (&self.shape, &mut lane.pending);
        let idempotent = self.producers.first().is_some_and(|p| p.identity.is_some());
        let any_success = &mut self.any_success;
        lane.connection.receive(|frame| {
            let mut refused = None;
            let correlation_id = shape.decode(frame, |_, code, _| {
                if code.is_error() {
                    refused = Some(code);
                    *counts.tally.errors.entry(code).or_default() += 1;
                    counts.recent.errors += 1;
                }
            })?;
            let sent = pending.pop_front();
            let Some(sent) = sent.filter(|sent| sent.correlation_id == correlation_id) else {
                return Err(Failure::Malformed(format!(
                    "a reply to Produce request {correlation_id} out of turn"
                )));
            };
            match refused {
                None => {
                    *any_success = true;
                    shared.acknowledged_records.fetch_add(sent.records, Ordering::Relaxed);
                    complete(&sent, now_ns, timing, counts);
                    Ok(())
                }
                Some(code) => tolerate(code, *any_success, idempotent, counts),
            }
        })
    }
}

/// A refused request ends the run when nothing ever succeeded, or when sequences are now broken.
fn tolerate(
    code: ErrorCode,
    any_success: bool,
    idempotent: bool,
    counts: &Counts,
) -> Result<(), Failure> {
    let hopeless = !any_success
        && (!code.is_retriable() || counts.tally.error_count() >= ERRORS_BEFORE_SUCCESS_MAX);
    if hopeless || idempotent {
        return Err(Failure::Refused { asked: "Produce".to_owned(), code });
    }
    Ok(())
}

fn complete(sent: &Sent, now_ns: u64, timing: &Timing, counts: &mut Counts) {
    let response_ns = now_ns.saturating_sub(sent.intended_ns);
    counts.recent.produced_records += sent.records;
    counts.recent.produced_bytes += sent.bytes;
    counts.recent.latency.record_ns(response_ns);
    if sent.intended_ns >= timing.measure_from_ns {
        let side = &mut counts.tally.produced;
        side.records += sent.records;
        side.bytes += sent.bytes;
        side.payload_bytes += sent.payload_bytes;
        side.requests += 1;
        side.response.record_ns(response_ns);
        side.service.record_ns(now_ns.saturating_sub(sent.sent_ns));
        side.last_ns = side.last_ns.max(now_ns);
    }
}
