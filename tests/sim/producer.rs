//! A producer: plain (every batch is sent once) or idempotent (batches are sent again, the same and
//! in order, until they are acknowledged).

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use ringmain::batch::{BatchBuilder, Compression};
use ringmain::ids::{ProducerEpoch, ProducerId, Sequence, TopicPartition};
use ringmain::wire::error_code::ErrorCode;
use ringmain::wire::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ringmain::wire::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};

use super::client::{Desk, KnownTopic, Link, LinkId, decode};
use super::history::{Event, SendId, Value};

const MILLISECOND: u64 = 1_000_000;
/// Batches that wait for an outcome, at most, before new ones are made.
const QUEUED_MAX: usize = 12;

/// How one producer behaves.
#[derive(Clone, Debug)]
pub(crate) struct ProducerOptions {
    pub(crate) id: u32,
    pub(crate) idempotent: bool,
    pub(crate) acks: i16,
    pub(crate) version: i16,
    pub(crate) requests_max: usize,
    pub(crate) batches: u32,
    pub(crate) pause_ms_max: u64,
    pub(crate) pad_bytes_max: u64,
    /// Hangs up once in so many wakes.
    pub(crate) hang_up: u64,
    /// The broker is not told who sends.
    pub(crate) anonymous: bool,
}

struct Batch {
    send: SendId,
    sequence: Sequence,
    bytes: Bytes,
    in_flight: bool,
    tries: u32,
}

#[derive(Default)]
struct Lane {
    next_sequence: i32,
    /// Something of this session was acknowledged here.
    known: bool,
    /// Something was refused for want of space before anything was acknowledged.
    refused: bool,
    queue: VecDeque<Batch>,
}

#[derive(Debug)]
enum Asked {
    Session,
    Produce(Vec<(TopicPartition, SendId)>),
}

/// See the module.
pub(crate) struct Producer {
    options: ProducerOptions,
    link: Link<Asked>,
    session: Option<(ProducerId, ProducerEpoch)>,
    lanes: BTreeMap<TopicPartition, Lane>,
    counter: u64,
    left: u32,
    power_cuts: u32,
}

impl Producer {
    pub(crate) fn new(options: ProducerOptions) -> Producer {
        Producer {
            link: Link::new(),
            session: None,
            lanes: BTreeMap::new(),
            counter: 0,
            left: options.batches,
            power_cuts: 0,
            options,
        }
    }

    pub(crate) fn is_done(&self, finishing: bool) -> bool {
        (finishing || self.left == 0)
            && self.link.pending_count() == 0
            && self.lanes.values().all(|lane| lane.queue.is_empty())
    }

    /// Where it stands, for a report.
    pub(crate) fn standing(&self) -> String {
        let asked: Vec<_> = self.link.pending().collect();
        let lanes = self.lanes.iter().filter(|(_, lane)| !lane.queue.is_empty());
        let lanes: Vec<_> = lanes
            .map(|(at, lane)| {
                let batches = lane.queue.iter().map(|b| (b.sequence.0, b.in_flight, b.tries));
                (at, batches.collect::<Vec<_>>())
            })
            .collect();
        format!("{:?} session {:?} asked {asked:?} lanes {lanes:?}", self.link.id(), self.session)
    }

    pub(crate) fn owns(&self, link: LinkId) -> bool {
        self.link.is(link)
    }

    pub(crate) fn on_wake(&mut self, desk: &mut Desk<'_>) {
        if self.is_done(desk.finishing) {
            return desk.wake_in(50 * MILLISECOND, 100 * MILLISECOND);
        }
        if !self.link.is_open() {
            self.link.connect(desk);
        } else if !desk.finishing
            && self.options.hang_up > 0
            && desk.random.chance(1, self.options.hang_up)
        {
            desk.coverage.hit("a producer hangs up");
            let vain = self.link.close(desk);
            self.unanswered(vain, desk);
            return desk.wake_in(0, 20 * MILLISECOND);
        }
        if self.options.idempotent && self.session.is_none() {
            if self.link.pending_count() == 0 {
                let request = InitProducerIdRequest::default();
                let version = self.options.version.min(5);
                self.link.send(desk, version, &request, Some(Asked::Session));
            }
        } else {
            let queued: usize = self.lanes.values().map(|lane| lane.queue.len()).sum();
            if !desk.finishing && self.left > 0 && queued < QUEUED_MAX {
                self.fill(desk);
            }
            self.send(desk);
        }
        desk.wake_in(0, self.options.pause_ms_max * MILLISECOND);
    }

    /// Makes new batches.
    fn fill(&mut self, desk: &mut Desk<'_>) {
        let version = self.options.version;
        let known: Vec<KnownTopic> = desk
            .topics
            .iter()
            .filter(|topic| !topic.deleted && (!topic.fleeting || version >= 13))
            .cloned()
            .collect();
        if known.is_empty() {
            return;
        }
        for _ in 0..desk.random.between(1, 3).min(self.left.into()) {
            let topic = &known[desk.random.below(known.len() as u64) as usize];
            let at = topic.at(desk.random.below(topic.partitions as u64) as i32);
            self.left -= 1;
            self.new_batch(at, desk);
        }
    }

    fn new_batch(&mut self, at: TopicPartition, desk: &mut Desk<'_>) {
        let lane = self.lanes.entry(at).or_default();
        let sequence = Sequence(lane.next_sequence);
        let count = desk.random.between(1, 5) as u32;
        let first = Value { producer: self.options.id, counter: self.counter };
        let mut builder = BatchBuilder::new();
        if let Some((id, epoch)) = self.session.filter(|_| !self.options.anonymous) {
            builder = builder.producer(id, epoch, sequence);
        }
        if desk.random.chance(1, 8) {
            // Zstandard is last, and came with version 7.
            let codecs = if self.options.version < 7 {
                Compression::ALL.get(..4).unwrap_or_default()
            } else {
                &Compression::ALL[..]
            };
            let codec = codecs[desk.random.below(codecs.len() as u64) as usize];
            builder = builder.compression(codec, None);
        }
        for index in 0..count {
            let value = Value { counter: self.counter + u64::from(index), ..first };
            let pad = desk.random.below(self.options.pad_bytes_max + 1) as usize;
            // Every value is the only one of its key.
            let key = encode_value(value, 0);
            builder.add(desk.timestamp, Some(&key), Some(&encode_value(value, pad)), &[]);
        }
        let compacted = desk.topic(at.topic).is_some_and(|topic| topic.promise.compacted);
        let fillers = if compacted { desk.random.below(4) as u32 } else { 0 };
        for _ in 0..fillers {
            let key = [desk.random.below(5) as u8];
            let value = desk.random.chance(1, 2).then_some(FILLER);
            builder.add(desk.timestamp, Some(&key), value, &[]);
        }
        self.counter += u64::from(count);
        lane.next_sequence += (count + fillers) as i32;
        let send = desk.history.send(at, first, count, self.options.idempotent);
        let bytes = builder.build().freeze();
        lane.queue.push_back(Batch { send, sequence, bytes, in_flight: false, tries: 0 });
    }

    /// Sends what may be sent: one batch per partition and request, in order.
    fn send(&mut self, desk: &mut Desk<'_>) {
        while self.link.pending_count() < self.options.requests_max {
            let width = desk.random.between(1, 3) as usize;
            let mut chosen: Vec<(TopicPartition, SendId, Bytes)> = Vec::new();
            for (at, lane) in &mut self.lanes {
                let next = lane.queue.iter_mut().find(|batch| !batch.in_flight);
                if let Some(batch) = next.filter(|_| chosen.len() < width) {
                    batch.in_flight = true;
                    batch.tries += 1;
                    if batch.tries > 1 {
                        desk.coverage.hit("a batch is sent again");
                    }
                    chosen.push((*at, batch.send, batch.bytes.clone()));
                }
            }
            if chosen.is_empty() {
                return;
            }
            self.send_chosen(&chosen, desk);
            if self.options.acks == 0 {
                // Nobody will ever say what became of them.
                for (at, send, _) in &chosen {
                    self.forget(*at, *send);
                }
                return;
            }
        }
    }

    fn send_chosen(&mut self, chosen: &[(TopicPartition, SendId, Bytes)], desk: &mut Desk<'_>) {
        let version = self.options.version;
        let mut topics: BTreeMap<_, Vec<PartitionProduceData<'_>>> = BTreeMap::new();
        for (at, _, bytes) in chosen {
            let data = PartitionProduceData { index: at.partition.0, records: Some(bytes) };
            topics.entry(at.topic).or_default().push(data);
        }
        let names: Vec<(_, String)> = topics
            .keys()
            .map(|id| (*id, desk.topic(*id).map(|topic| topic.name.clone()).unwrap_or_default()))
            .collect();
        let topics: Vec<_> = topics
            .into_values()
            .zip(&names)
            .map(|(partitions, (id, name))| TopicProduceData {
                name: if version < 13 { name.as_str() } else { "" },
                topic_id: if version < 13 { [0; 16] } else { id.0 },
                partition_data: partitions.into(),
            })
            .collect();
        let request = ProduceRequest {
            acks: self.options.acks,
            timeout_ms: 30_000,
            topic_data: topics.into(),
            ..Default::default()
        };
        let asked = chosen.iter().map(|(at, send, _)| (*at, *send)).collect();
        let asked = (self.options.acks != 0).then_some(Asked::Produce(asked));
        self.link.send(desk, version, &request, asked);
    }

    fn forget(&mut self, at: TopicPartition, send: SendId) -> Option<Batch> {
        let lane = self.lanes.get_mut(&at)?;
        let place = lane.queue.iter().position(|batch| batch.send == send)?;
        lane.queue.remove(place)
    }

    pub(crate) fn on_closed(&mut self, desk: &mut Desk<'_>) {
        let vain = self.link.closed();
        self.unanswered(vain, desk);
    }

    /// Nobody knows what became of these.
    fn unanswered(&mut self, vain: Vec<Asked>, desk: &mut Desk<'_>) {
        for asked in vain {
            let Asked::Produce(sends) = asked else { continue };
            for (at, send) in sends {
                if self.options.idempotent {
                    self.again(at, send);
                } else {
                    desk.coverage.hit("an outcome is unknown");
                    self.forget(at, send);
                }
            }
        }
    }

    fn again(&mut self, at: TopicPartition, send: SendId) {
        let queue = self.lanes.get_mut(&at).map(|lane| &mut lane.queue);
        if let Some(batch) = queue.and_then(|queue| queue.iter_mut().find(|b| b.send == send)) {
            batch.in_flight = false;
        }
    }

    pub(crate) fn on_reply(&mut self, frame: &[u8], desk: &mut Desk<'_>) {
        match self.link.take(frame, desk) {
            None => {}
            Some(Asked::Session) => {
                let version = self.options.version.min(5);
                let Some(reply) = decode::<InitProducerIdResponse>(frame, version, desk) else {
                    return;
                };
                if reply.error_code == 0 {
                    desk.coverage.hit("a producer id is given");
                    let epoch = ProducerEpoch(reply.producer_epoch);
                    self.session = Some((ProducerId(reply.producer_id), epoch));
                    self.power_cuts = desk.power_cuts;
                }
            }
            Some(Asked::Produce(sends)) => self.on_produced(frame, &sends, desk),
        }
    }

    fn on_produced(
        &mut self,
        frame: &[u8],
        sends: &[(TopicPartition, SendId)],
        desk: &mut Desk<'_>,
    ) {
        let version = self.options.version;
        let Some(reply) = decode::<ProduceResponse<'_>>(frame, version, desk) else { return };
        let mut outcomes: BTreeMap<TopicPartition, (ErrorCode, i64)> = BTreeMap::new();
        for topic in &reply.responses {
            let named = sends.iter().map(|(at, _)| at.topic).find(|id| {
                if version >= 13 {
                    id.0 == topic.topic_id
                } else {
                    desk.topic(*id).is_some_and(|known| known.name == topic.name)
                }
            });
            let Some(id) = named else {
                desk.violation("a produce reply names a topic that was not asked for".to_owned());
                continue;
            };
            for outcome in &topic.partition_responses {
                let partition = ringmain::ids::PartitionId(outcome.index);
                let at = TopicPartition { topic: id, partition };
                outcomes
                    .insert(at, (ErrorCode::from_code(outcome.error_code), outcome.base_offset));
            }
        }
        let mut reset = false;
        for (at, send) in sends {
            match outcomes.remove(at) {
                Some((error, base_offset)) => {
                    reset |= self.on_outcome(*at, *send, error, base_offset, desk);
                }
                None => desk.violation(format!("no outcome for {at:?}")),
            }
        }
        if reset {
            self.new_session(desk);
        }
    }

    /// True if the producer cannot go on as who it is.
    fn on_outcome(
        &mut self,
        at: TopicPartition,
        send: SendId,
        error: ErrorCode,
        base_offset: i64,
        desk: &mut Desk<'_>,
    ) -> bool {
        let idempotent = self.options.idempotent;
        let tries = self.lanes.get(&at).and_then(|lane| {
            lane.queue.iter().find(|batch| batch.send == send).map(|batch| batch.tries)
        });
        let Some(tries) = tries else { return false };
        match error {
            ErrorCode::NONE => {
                desk.coverage.hit("a batch is acknowledged");
                if tries > 1 {
                    desk.coverage.hit("a batch sent again is acknowledged");
                }
                self.forget(at, send);
                self.lanes.entry(at).or_default().known = true;
                let base_offset = (base_offset >= 0).then_some(base_offset);
                desk.history.add(Event::Acked { id: send, base_offset });
            }
            ErrorCode::DUPLICATE_SEQUENCE_NUMBER if idempotent => {
                self.forget(at, send);
                desk.history.add(Event::Acked { id: send, base_offset: None });
            }
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::UNKNOWN_TOPIC_ID => {
                desk.coverage.hit("a batch goes to a deleted topic");
                self.forget(at, send);
                if tries == 1 {
                    desk.history.add(Event::Failed { id: send });
                }
                if desk.topic(at.topic).is_none_or(|topic| !topic.deleted) {
                    desk.violation(format!("{at:?} is unknown, and was never deleted"));
                }
            }
            ErrorCode::KAFKA_STORAGE_ERROR => {
                desk.coverage.hit("a batch is refused for want of space");
                if idempotent {
                    self.again(at, send);
                    let lane = self.lanes.entry(at).or_default();
                    lane.refused |= !lane.known;
                } else {
                    self.forget(at, send);
                    desk.history.add(Event::Failed { id: send });
                }
            }
            ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER if idempotent => {
                return self.on_out_of_order(at, send, desk);
            }
            other => desk.violation(format!("{at:?}: a good batch was refused: {other:?}")),
        }
        false
    }

    fn on_out_of_order(&mut self, at: TopicPartition, send: SendId, desk: &mut Desk<'_>) -> bool {
        desk.coverage.hit("a batch is out of order");
        let is_first =
            self.lanes.get(&at).and_then(|lane| lane.queue.front()).map(|b| b.send) == Some(send);
        if !is_first {
            self.again(at, send);
            return false;
        }
        let durable = desk.topic(at.topic).is_none_or(|topic| topic.promise.durable);
        // A broker that knows nothing of a producer takes any sequence for the first. So when the
        // first batch of a session is refused and the second is not, the first can never follow.
        // Kafka has the same hole. The refusal may have been lost on its way here.
        let lost = |lane: &Lane| {
            let first = lane.queue.front().map(|batch| batch.sequence);
            desk.was_full && first == Some(Sequence(0))
        };
        let passed_over = self.lanes.get(&at).is_some_and(|lane| lane.refused || lost(lane));
        if !passed_over && (durable || desk.power_cuts == self.power_cuts) {
            let sequence = self.lanes.get(&at).and_then(|l| l.queue.front()).map(|b| b.sequence);
            desk.violation(format!(
                "{at:?}: producer {} is stuck: sequence {sequence:?} is out of order, and all \
                 before it are acknowledged",
                self.options.id
            ));
            self.forget(at, send);
            return false;
        }
        true
    }

    /// Starts over under a new producer id. What was not acknowledged is given up.
    fn new_session(&mut self, desk: &mut Desk<'_>) {
        desk.coverage.hit("a producer starts over after a loss");
        self.session = None;
        self.lanes.clear();
        drop(self.link.close(desk));
    }
}

/// What compaction is there to remove: a record that later ones of the same key stand for. Its value,
/// or none at all.
pub(crate) const FILLER: &[u8] = b"~";

/// The bytes of a record's value: who and what, and a pad that follows from them.
pub(crate) fn encode_value(value: Value, pad: usize) -> Vec<u8> {
    let mut bytes = value.producer.to_le_bytes().to_vec();
    bytes.extend_from_slice(&value.counter.to_le_bytes());
    let fill = (value.counter as u8).wrapping_mul(31).wrapping_add(value.producer as u8);
    bytes.resize(bytes.len() + pad, fill);
    bytes
}

/// The value of a record; `None` if these bytes are nobody's.
pub(crate) fn decode_value(bytes: &[u8]) -> Option<Value> {
    let (producer, rest) = bytes.split_first_chunk()?;
    let (counter, pad) = rest.split_first_chunk()?;
    let value =
        Value { producer: u32::from_le_bytes(*producer), counter: u64::from_le_bytes(*counter) };
    (encode_value(value, pad.len()) == bytes).then_some(value)
}
