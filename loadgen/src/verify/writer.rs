//! Producers that do not give up: each sends its batches again, unchanged, until the broker answers.
//!
//! Order is kept as a careful client keeps it. After a broken connection all unanswered batches of
//! a partition go out again, oldest first. After a refusal that may pass, a partition waits until
//! nothing of it is in flight, and then sends one batch at a time until one succeeds.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::Written;
use super::history::History;
use super::value::Numbered;
use crate::batch::{BatchHead, Body, Payloads, RecordsWriter};
use crate::client::connection::Connection;
use crate::client::control::{Control, ProducerIdentity};
use crate::client::errors::ErrorCode;
use crate::client::metadata::Topic;
use crate::client::requests::{PRODUCE, ProduceShape};
use crate::failure::Failure;
use crate::options::VerifyOptions;
use crate::system::{self, Poller, Readiness};
use crate::tally::Clock;

/// Batches of one partition that may be on their way: what a broker remembers of an idempotent
/// producer (KIP-98).
pub(super) const UNACKNOWLEDGED_BATCHES_MAX: usize = 5;
/// Pause between attempts to reach a broker that is away.
const PAUSE_NS: u64 = 100_000_000;
const NAP_NS: u64 = 20_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// A batch until it is acknowledged.
#[derive(Debug)]
struct Batch {
    first: u64,
    count: u64,
    head: BatchHead,
    body: Body,
    in_flight: bool,
    sent_before: bool,
}

#[derive(Debug, Default)]
struct PartitionWriter {
    next_number: u64,
    next_sequence: i32,
    /// Oldest first.
    unacknowledged: VecDeque<Batch>,
    /// A batch was refused: one at a time until one succeeds.
    recovering: bool,
    /// Not before this time is anything sent.
    pause_until_ns: u64,
    /// Nothing more is written here.
    stopped: bool,
}

/// A connection to the leader of some partitions.
#[derive(Debug)]
struct Lane {
    connection: Connection,
    version: i16,
    correlation_id: i32,
    /// Partition, first number and send time of each request in flight.
    pending: VecDeque<(i32, u64, u64)>,
}

struct Producer<'a> {
    number: u32,
    options: &'a VerifyOptions,
    history: &'a Mutex<History>,
    run: u64,
    clock: Clock,
    topic: Topic,
    topic_is_stale: bool,
    refresh_after_ns: u64,
    identity: Option<ProducerIdentity>,
    partitions: Vec<PartitionWriter>,
    lanes: BTreeMap<i32, Lane>,
    /// By node: not before this time is a connection tried again.
    reconnect_after_ns: BTreeMap<i32, u64>,
    poller: Poller,
    next_partition: usize,
    records_left: Option<u64>,
    records_made: u64,
    last_progress_ns: u64,
    written: Written,
}

/// Writes with all producers until the time or the number of records is reached and everything is
/// answered.
pub(super) fn write(
    options: &VerifyOptions,
    topic: &Topic,
    history: &Arc<Mutex<History>>,
    clock: Clock,
) -> Result<Written, Failure> {
    let results = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..options.producers)
            .map(|number| {
                scope.spawn(move || {
                    Producer::start(number, options, topic.clone(), history, clock)?.write()
                })
            })
            .collect();
        let mut second = 1;
        while !options.output.quiet && threads.iter().any(|thread| !thread.is_finished()) {
            std::thread::sleep(Duration::from_millis(20));
            if clock.now_ns() >= second * SECOND_NS {
                let acknowledged = lock(history)?.acknowledged_records();
                eprintln!("{second:>5} s  acknowledged {acknowledged:>10} records");
                second += 1;
            }
        }
        let joined = threads.into_iter().map(|thread| {
            thread.join().map_err(|_| Failure::Local("a producer panicked".to_owned()))
        });
        joined.collect::<Result<Vec<_>, Failure>>()
    })?;
    let mut all = Written::default();
    for written in results {
        let written = written?;
        all.unanswered_records += written.unanswered_records;
        all.reconnects += written.reconnects;
        all.retried_batches += written.retried_batches;
        all.stopped.extend(written.stopped);
    }
    Ok(all)
}

fn lock(history: &Mutex<History>) -> Result<MutexGuard<'_, History>, Failure> {
    history.lock().map_err(|_| Failure::Local("a producer panicked".to_owned()))
}

/// Whether trying again may help with this failure.
fn may_pass(failure: &Failure) -> bool {
    match failure {
        Failure::Unreachable(_) => true,
        Failure::Refused { code, .. } => code.is_retriable(),
        _ => false,
    }
}

impl<'a> Producer<'a> {
    fn start(
        number: u32,
        options: &'a VerifyOptions,
        topic: Topic,
        history: &'a Mutex<History>,
        clock: Clock,
    ) -> Result<Producer<'a>, Failure> {
        let run = lock(history)?.plan().run;
        let mut partitions = Vec::new();
        partitions.resize_with(topic.leaders.len(), PartitionWriter::default);
        let producers = u64::from(options.producers);
        let records = options.limits.records;
        let mut producer = Producer {
            number,
            options,
            history,
            run,
            clock,
            topic,
            topic_is_stale: false,
            refresh_after_ns: 0,
            identity: None,
            partitions,
            lanes: BTreeMap::new(),
            reconnect_after_ns: BTreeMap::new(),
            poller: Poller::new().map_err(|error| Failure::Local(format!("epoll: {error}")))?,
            next_partition: number as usize,
            records_left: records.map(|records| {
                records / producers + u64::from(u64::from(number) < records % producers)
            }),
            records_made: 0,
            last_progress_ns: clock.now_ns(),
            written: Written::default(),
        };
        if !options.no_idempotence {
            producer.identity = Some(producer.find_identity()?);
        }
        Ok(producer)
    }

    fn deadline_ns(&self) -> u64 {
        (self.options.deadline.clamp(0.0, 1e6) * 1e9) as u64
    }

    fn find_identity(&mut self) -> Result<ProducerIdentity, Failure> {
        loop {
            let target = &self.options.target;
            let result =
                target.open(&target.bootstrap).and_then(|mut control| control.init_producer_id());
            match result {
                Err(failure) if may_pass(&failure) && !self.is_past_deadline() => {
                    std::thread::sleep(Duration::from_nanos(PAUSE_NS));
                }
                other => return other,
            }
        }
    }

    fn is_past_deadline(&self) -> bool {
        system::is_interrupted() || self.clock.now_ns() > self.last_progress_ns + self.deadline_ns()
    }

    fn write(mut self) -> Result<Written, Failure> {
        let stop_ns = self.options.limits.measured_ns();
        let mut ready: Vec<Readiness> = Vec::new();
        loop {
            let now_ns = self.clock.now_ns();
            let writing = self.records_left != Some(0)
                && stop_ns.is_none_or(|stop| now_ns < stop)
                && self.partitions.iter().any(|partition| !partition.stopped);
            let waiting = self.partitions.iter().any(|p| !p.unacknowledged.is_empty());
            if !waiting {
                self.last_progress_ns = now_ns;
            }
            if !writing && !waiting || self.is_past_deadline() {
                break;
            }
            self.refresh_topic(now_ns)?;
            self.time_out(now_ns);
            self.fill(now_ns, writing)?;
            ready.clear();
            self.poller
                .wait(NAP_NS.min(self.pace_ns(now_ns)), &mut ready)
                .map_err(|error| Failure::Local(format!("epoll: {error}")))?;
            for event in &ready {
                self.on_ready(event)?;
            }
        }
        let unanswered = self.partitions.iter().flat_map(|p| &p.unacknowledged);
        self.written.unanswered_records = unanswered.map(|batch| batch.count).sum();
        Ok(self.written)
    }

    /// Time until the rate allows another batch.
    fn pace_ns(&self, now_ns: u64) -> u64 {
        if self.options.rate <= 0.0 {
            return u64::MAX;
        }
        let own_rate = self.options.rate / f64::from(self.options.producers);
        let due_ns = (self.records_made as f64 / own_rate * 1e9) as u64;
        due_ns.saturating_sub(now_ns)
    }

    fn refresh_topic(&mut self, now_ns: u64) -> Result<(), Failure> {
        if !self.topic_is_stale || now_ns < self.refresh_after_ns {
            return Ok(());
        }
        self.refresh_after_ns = now_ns + PAUSE_NS;
        let target = &self.options.target;
        // Any broker will do: the first may be the one that is away.
        let known = self.topic.brokers.values().cloned();
        for address in std::iter::once(target.bootstrap.clone()).chain(known) {
            let timeout = target.request_timeout().min(Duration::from_secs(5));
            let result = Control::open(&address, timeout, &self.options.target.version_caps)
                .and_then(|mut c| c.topic(&self.topic.topic.name));
            match result {
                Ok(Ok(topic)) => {
                    if topic.topic.id != self.topic.topic.id {
                        return Err(Failure::Violated(format!(
                            "topic {} was deleted and created again while it was written to",
                            topic.topic.name
                        )));
                    }
                    if topic.leaders.len() >= self.partitions.len() {
                        self.topic = topic;
                        self.topic_is_stale = false;
                    }
                    return Ok(());
                }
                Ok(Err(_)) => {}
                Err(failure) if may_pass(&failure) => {}
                // A broker that dies in mid-reply may leave half a frame.
                Err(Failure::Malformed(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Requests that stayed without an answer for too long break their connection.
    fn time_out(&mut self, now_ns: u64) {
        let limit_ns = self.options.target.request_timeout().as_nanos() as u64;
        let late = |lane: &Lane| {
            lane.pending.front().is_some_and(|(_, _, sent_ns)| now_ns > sent_ns + limit_ns)
        };
        let late: Vec<i32> =
            self.lanes.iter().filter(|(_, lane)| late(lane)).map(|(node, _)| *node).collect();
        for node in late {
            self.on_broken(node, now_ns);
        }
    }

    /// Forgets a connection; what was in flight on it will be sent again.
    fn on_broken(&mut self, node: i32, now_ns: u64) {
        let Some(lane) = self.lanes.remove(&node) else { return };
        self.written.reconnects += 1;
        self.topic_is_stale = true;
        self.reconnect_after_ns.insert(node, now_ns + PAUSE_NS);
        for (partition, first, _) in lane.pending {
            let state = self.partitions.get_mut(partition as usize);
            let mut batches = state.into_iter().flat_map(|state| &mut state.unacknowledged);
            if let Some(batch) = batches.find(|batch| batch.first == first) {
                batch.in_flight = false;
            }
        }
    }

    /// The connection to a broker, opened if need be; false while the broker is away.
    fn ensure_lane(&mut self, node: i32, now_ns: u64) -> Result<bool, Failure> {
        if self.lanes.contains_key(&node) {
            return Ok(true);
        }
        if self.reconnect_after_ns.get(&node).is_some_and(|after| now_ns < *after) {
            return Ok(false);
        }
        self.reconnect_after_ns.insert(node, now_ns + PAUSE_NS);
        let address = match self.topic.address(node) {
            Ok(address) => address.to_owned(),
            Err(_) => {
                self.topic_is_stale = true;
                return Ok(false);
            }
        };
        let timeout = self.options.target.request_timeout().min(Duration::from_secs(5));
        // Versions are asked anew: the broker may have been replaced by another release.
        let opened = Control::open(&address, timeout, &self.options.target.version_caps).and_then(
            |control| {
                let version = self.topic.version(control.versions.pick(&PRODUCE)?);
                Ok((version, Connection::open(&address, timeout, 4096)?))
            },
        );
        match opened {
            Ok((version, connection)) => {
                self.poller
                    .watch(&connection.stream, node as usize)
                    .map_err(|error| Failure::Local(format!("epoll: {error}")))?;
                let lane =
                    Lane { connection, version, correlation_id: 0, pending: VecDeque::new() };
                self.lanes.insert(node, lane);
                Ok(true)
            }
            Err(failure) if may_pass(&failure) || matches!(failure, Failure::Malformed(_)) => {
                self.topic_is_stale = true;
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Sends whatever may be sent.
    fn fill(&mut self, now_ns: u64, writing: bool) -> Result<(), Failure> {
        let count = self.partitions.len();
        let mut idle = 0;
        while idle < count {
            let partition = self.next_partition % count;
            self.next_partition = partition + 1;
            if self.send_one(partition, now_ns, writing)? { idle = 0 } else { idle += 1 }
        }
        let nodes: Vec<i32> = self.lanes.keys().copied().collect();
        for node in nodes {
            self.flush(node, now_ns)?;
        }
        Ok(())
    }

    fn flush(&mut self, node: i32, now_ns: u64) -> Result<(), Failure> {
        let Some(lane) = self.lanes.get_mut(&node) else { return Ok(()) };
        match lane.connection.flush() {
            Err(failure) if may_pass(&failure) => self.on_broken(node, now_ns),
            other => return other,
        }
        Ok(())
    }

    /// Sends the next batch of a partition, if it may send one.
    fn send_one(&mut self, at: usize, now_ns: u64, writing: bool) -> Result<bool, Failure> {
        let Some(state) = self.partitions.get(at) else { return Ok(false) };
        let in_flight = state.unacknowledged.iter().filter(|batch| batch.in_flight).count();
        let waits = state.stopped
            || now_ns < state.pause_until_ns
            || state.recovering && in_flight > 0
            || in_flight >= UNACKNOWLEDGED_BATCHES_MAX;
        let again = in_flight < state.unacknowledged.len();
        let fresh = !again
            && writing
            && self.records_left != Some(0)
            && self.pace_ns(now_ns) == if self.options.rate <= 0.0 { u64::MAX } else { 0 };
        if waits || !(again || fresh) {
            return Ok(false);
        }
        let node = self.topic.leaders.get(at).copied().unwrap_or(-1);
        if !self.ensure_lane(node, now_ns)? {
            return Ok(false);
        }
        let Some(lane) = self.lanes.get(&node) else { return Ok(false) };
        if lane.pending.len() >= self.options.in_flight {
            return Ok(false);
        }
        if fresh {
            self.make_batch(at);
        }
        self.transmit(at, node, now_ns)?;
        Ok(true)
    }

    fn make_batch(&mut self, at: usize) {
        let count =
            u64::from(self.options.records_per_batch).min(self.records_left.unwrap_or(u64::MAX));
        self.records_left = self.records_left.map(|left| left - count);
        self.records_made += count;
        let Some(state) = self.partitions.get_mut(at) else { return };
        let payloads = Payloads {
            record_bytes: self.options.record_bytes as usize,
            compressible: 0.0,
            keys: 0,
            compression: self.options.compression,
        };
        let mut writer = RecordsWriter::default();
        let mut value = vec![0; payloads.record_bytes];
        for number in state.next_number..state.next_number + count {
            let (producer, partition) = (self.number, at as u32);
            Numbered { run: self.run, producer, partition, number }.write(&mut value);
            writer.push(None, &value);
        }
        let timestamp_ms = self.clock.timestamp_ms(self.clock.now_ns());
        let mut head = BatchHead::plain(timestamp_ms);
        if let Some(identity) = self.identity {
            head.producer_id = identity.id;
            head.producer_epoch = identity.epoch;
            head.base_sequence = state.next_sequence;
        }
        let body = payloads.finish(writer);
        state.next_sequence = state.next_sequence.wrapping_add(body.count) & i32::MAX;
        state.unacknowledged.push_back(Batch {
            first: state.next_number,
            count,
            head,
            body,
            in_flight: false,
            sent_before: false,
        });
        state.next_number += count;
    }

    /// Sends the oldest batch of a partition that is not in flight.
    fn transmit(&mut self, at: usize, node: i32, now_ns: u64) -> Result<(), Failure> {
        let Some(state) = self.partitions.get_mut(at) else { return Ok(()) };
        let Some(lane) = self.lanes.get_mut(&node) else { return Ok(()) };
        let Some(batch) = state.unacknowledged.iter_mut().find(|batch| !batch.in_flight) else {
            return Ok(());
        };
        if batch.sent_before {
            self.written.retried_batches += 1;
            let range = (batch.first, batch.count);
            lock(self.history)?.retried(self.number, at as u32, range)?;
        }
        batch.in_flight = true;
        batch.sent_before = true;
        lane.correlation_id = lane.correlation_id.wrapping_add(1) & i32::MAX;
        let shape = shape(self.options, lane.version, &self.topic);
        let connection = &mut lane.connection;
        let batches = [(at as i32, batch.head, &batch.body)];
        shape.encode(lane.correlation_id, &batches, |piece| connection.send(piece));
        lane.pending.push_back((at as i32, batch.first, now_ns));
        Ok(())
    }

    fn on_ready(&mut self, event: &Readiness) -> Result<(), Failure> {
        let node = event.token as i32;
        let now_ns = self.clock.now_ns();
        if event.writable {
            self.flush(node, now_ns)?;
        }
        let Some(lane) = self.lanes.get_mut(&node).filter(|_| event.readable) else {
            return Ok(());
        };
        let shape = shape(self.options, lane.version, &self.topic);
        let mut answers = Vec::new();
        let pending = &mut lane.pending;
        let result = lane.connection.receive(|frame| {
            let mut answer = None;
            shape.decode(frame, |partition, code, offset| {
                answer = Some((partition, code, offset))
            })?;
            match (pending.pop_front(), answer) {
                (Some((partition, first, _)), Some((answered, code, offset)))
                    if partition == answered =>
                {
                    answers.push((partition, first, code, offset));
                    Ok(())
                }
                _ => Err(Failure::Malformed("a reply to Produce out of turn".to_owned())),
            }
        });
        for (partition, first, code, offset) in answers {
            self.on_answer(partition, first, code, offset)?;
        }
        match result {
            Err(failure) if may_pass(&failure) => {
                self.on_broken(node, now_ns);
                Ok(())
            }
            other => other,
        }
    }

    fn on_answer(
        &mut self,
        partition: i32,
        first: u64,
        code: ErrorCode,
        offset: i64,
    ) -> Result<(), Failure> {
        let now_ns = self.clock.now_ns();
        let Some(state) = self.partitions.get_mut(partition as usize) else { return Ok(()) };
        let Some(at) = state.unacknowledged.iter().position(|batch| batch.first == first) else {
            return Ok(());
        };
        if !code.is_error() || code == ErrorCode::DUPLICATE_SEQUENCE_NUMBER {
            let Some(batch) = state.unacknowledged.remove(at) else { return Ok(()) };
            state.recovering = false;
            self.last_progress_ns = now_ns;
            let offset = (!code.is_error() && offset >= 0).then_some(offset);
            let range = (batch.first, batch.count);
            return lock(self.history)?.acknowledged(self.number, partition as u32, range, offset);
        }
        if let Some(batch) = state.unacknowledged.get_mut(at) {
            batch.in_flight = false;
        }
        // A batch behind a refused one is out of order by itself; only the oldest one, sent alone,
        // proves that the broker has forgotten what it acknowledged.
        let follows_a_refused =
            code == ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER && (at > 0 || !state.recovering);
        if code.is_retriable() || follows_a_refused {
            state.recovering = true;
            state.pause_until_ns = now_ns + PAUSE_NS;
            self.topic_is_stale = true;
            return Ok(());
        }
        state.stopped = true;
        self.written.stopped.push(format!(
            "producer {} was refused in partition {partition}: {code} for record {first}{}",
            self.number,
            match code {
                ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER
                | ErrorCode::UNKNOWN_PRODUCER_ID
                | ErrorCode::INVALID_PRODUCER_EPOCH
                | ErrorCode::PRODUCER_FENCED => " (the broker lost the state of this producer)",
                _ => "",
            }
        ));
        state.unacknowledged.clear();
        Ok(())
    }
}

fn shape(options: &VerifyOptions, version: i16, topic: &Topic) -> ProduceShape {
    ProduceShape {
        version,
        acks: options.acks.wire(),
        timeout_ms: options.target.request_timeout_ms as i32,
        topic: topic.topic.clone(),
    }
}
