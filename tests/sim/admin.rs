//! An administrator: moves log starts, and makes and deletes topics under a few names again and
//! again.

use std::collections::BTreeMap;

use ringmain::ids::{TopicId, TopicPartition};
use ringmain::wire::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use ringmain::wire::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};
use ringmain::wire::delete_topics::{DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse};
use ringmain::wire::error_code::ErrorCode;
use ringmain::wire::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use ringmain::wire::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};

use super::client::{Desk, KnownTopic, Link, LinkId, decode};
use super::history::{Event, Promise};

const MILLISECOND: u64 = 1_000_000;
const NAMES: u64 = 2;

/// What is known of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Absent,
    Alive(TopicId),
    /// A request about it was never answered.
    Unknown,
}

#[derive(Debug)]
enum Asked {
    End(TopicPartition),
    DeleteRecords(TopicPartition, i64),
    Create(String, i32, Promise),
    Delete(String),
    Describe(String),
}

/// See the module.
pub(crate) struct Admin {
    link: Link<Asked>,
    pause: u64,
    fleeting: bool,
    names: BTreeMap<String, Name>,
}

impl Admin {
    pub(crate) fn new(pause: u64, fleeting: bool) -> Admin {
        let names = (0..NAMES).map(|index| (format!("fleeting-{index}"), Name::Absent));
        Admin { link: Link::new(), pause, fleeting, names: names.collect() }
    }

    pub(crate) fn owns(&self, link: LinkId) -> bool {
        self.link.is(link)
    }

    pub(crate) fn on_closed(&mut self) {
        for asked in self.link.closed() {
            if let Asked::Create(name, ..) | Asked::Delete(name) | Asked::Describe(name) = asked {
                self.names.insert(name, Name::Unknown);
            }
        }
    }

    pub(crate) fn on_wake(&mut self, desk: &mut Desk<'_>) {
        desk.wake_in(1, 2 * self.pause);
        if self.link.pending_count() > 0 || desk.finishing {
            return;
        }
        if !self.link.is_open() {
            self.link.connect(desk);
        }
        if self.fleeting && desk.random.chance(1, 2) {
            self.work_on_topics(desk);
        } else {
            self.ask_end(desk);
        }
    }

    fn ask_end(&mut self, desk: &mut Desk<'_>) {
        let known: Vec<_> = desk
            .topics
            .iter()
            // Nothing can be deleted from a topic that is only compacted.
            .filter(|topic| !topic.fleeting && !topic.promise.compacted)
            .cloned()
            .collect();
        if known.is_empty() {
            return;
        }
        let topic = &known[desk.random.below(known.len() as u64) as usize];
        let at = topic.at(desk.random.below(topic.partitions as u64) as i32);
        let partitions = vec![ListOffsetsPartition {
            partition_index: at.partition.0,
            timestamp: -1,
            ..Default::default()
        }];
        let topics = vec![ListOffsetsTopic { name: &topic.name, partitions: partitions.into() }];
        let request =
            ListOffsetsRequest { replica_id: -1, topics: topics.into(), ..Default::default() };
        self.link.send(desk, 7, &request, Some(Asked::End(at)));
    }

    fn delete_records(&mut self, at: TopicPartition, end: i64, desk: &mut Desk<'_>) {
        let before = match desk.random.below(4) {
            0 => -1,
            _ => desk.random.below(end as u64 + 1) as i64,
        };
        let asked = if before < 0 { i64::MAX } else { before };
        desk.history.add(Event::DeleteRecords { at, before: asked });
        let name = desk.topic(at.topic).map(|topic| topic.name.clone()).unwrap_or_default();
        let partitions =
            vec![DeleteRecordsPartition { partition_index: at.partition.0, offset: before }];
        let topics = vec![DeleteRecordsTopic { name: &name, partitions: partitions.into() }];
        let request = DeleteRecordsRequest { topics: topics.into(), timeout_ms: 1_000 };
        self.link.send(desk, 2, &request, Some(Asked::DeleteRecords(at, asked)));
    }

    fn work_on_topics(&mut self, desk: &mut Desk<'_>) {
        let name = format!("fleeting-{}", desk.random.below(NAMES));
        match self.names[&name] {
            Name::Absent => {
                let promise = Promise {
                    durable: desk.random.chance(2, 3),
                    retention: false,
                    compacted: false,
                };
                let partitions = desk.random.between(1, 3) as i32;
                let configs = if promise.durable {
                    Vec::new()
                } else {
                    vec![CreatableTopicConfig { name: "flush.messages", value: Some("100") }]
                };
                let topics = vec![CreatableTopic {
                    name: &name,
                    num_partitions: partitions,
                    replication_factor: 1,
                    configs: configs.into(),
                    ..Default::default()
                }];
                let request = CreateTopicsRequest { topics: topics.into(), ..Default::default() };
                let asked = Asked::Create(name.clone(), partitions, promise);
                self.link.send(desk, 7, &request, Some(asked));
            }
            Name::Alive(id) => {
                let known = desk.topics.iter_mut().find(|topic| topic.id == id);
                if let Some(known) = known {
                    known.deleted = true;
                    let known = known.clone();
                    for partition in 0..known.partitions {
                        desk.history.add(Event::Deleting { at: known.at(partition) });
                    }
                }
                let topics = vec![DeleteTopicState { name: None, topic_id: id.0 }];
                let request = DeleteTopicsRequest { topics: topics.into(), ..Default::default() };
                self.link.send(desk, 6, &request, Some(Asked::Delete(name)));
            }
            Name::Unknown => {
                let topics = vec![MetadataRequestTopic { name: Some(&name), ..Default::default() }];
                let request = MetadataRequest {
                    topics: Some(topics.into()),
                    allow_auto_topic_creation: false,
                    ..Default::default()
                };
                self.link.send(desk, 12, &request, Some(Asked::Describe(name.clone())));
            }
        }
    }

    pub(crate) fn on_reply(&mut self, frame: &[u8], desk: &mut Desk<'_>) {
        match self.link.take(frame, desk) {
            None => {}
            Some(Asked::End(at)) => {
                let Some(reply) = decode::<ListOffsetsResponse<'_>>(frame, 7, desk) else { return };
                let found = reply.topics.iter().flat_map(|topic| topic.partitions.iter().next());
                let end =
                    found.filter(|found| found.error_code == 0).map(|found| found.offset).next();
                if let Some(end) = end.filter(|_| !desk.finishing) {
                    self.delete_records(at, end, desk);
                }
            }
            Some(Asked::DeleteRecords(at, before)) => self.on_deleted(at, before, frame, desk),
            Some(Asked::Create(name, partitions, promise)) => {
                let Some(reply) = decode::<CreateTopicsResponse<'_>>(frame, 7, desk) else {
                    return;
                };
                let Some(topic) = reply.topics.iter().next() else { return };
                match ErrorCode::from_code(topic.error_code) {
                    ErrorCode::NONE => {
                        desk.coverage.hit("a topic is made");
                        let id = TopicId(topic.topic_id);
                        let known = KnownTopic {
                            name: name.clone(),
                            id,
                            partitions,
                            promise,
                            fleeting: true,
                            deleted: false,
                        };
                        for partition in 0..partitions {
                            desk.history.promises.insert(known.at(partition), promise);
                        }
                        desk.topics.push(known);
                        self.names.insert(name, Name::Alive(id));
                    }
                    ErrorCode::KAFKA_STORAGE_ERROR => {}
                    other => desk.violation(format!("{name} cannot be made: {other:?}")),
                }
            }
            Some(Asked::Delete(name)) => {
                let Some(reply) = decode::<DeleteTopicsResponse<'_>>(frame, 6, desk) else {
                    return;
                };
                let Some(topic) = reply.responses.iter().next() else { return };
                match ErrorCode::from_code(topic.error_code) {
                    ErrorCode::NONE | ErrorCode::UNKNOWN_TOPIC_ID => {
                        desk.coverage.hit("a topic is deleted");
                        self.names.insert(name, Name::Absent);
                    }
                    ErrorCode::KAFKA_STORAGE_ERROR => {}
                    other => desk.violation(format!("{name} cannot be deleted: {other:?}")),
                }
            }
            Some(Asked::Describe(name)) => {
                let Some(reply) = decode::<MetadataResponse<'_>>(frame, 12, desk) else { return };
                let Some(topic) = reply.topics.iter().next() else { return };
                let now = match ErrorCode::from_code(topic.error_code) {
                    ErrorCode::NONE => Name::Alive(TopicId(topic.topic_id)),
                    _ => Name::Absent,
                };
                let lost = match now {
                    Name::Absent => desk.topic_named(&name).is_some(),
                    _ => false,
                };
                if lost {
                    desk.violation(format!("{name} was made, and is not there any more"));
                }
                self.names.insert(name, now);
            }
        }
    }

    fn on_deleted(&mut self, at: TopicPartition, before: i64, frame: &[u8], desk: &mut Desk<'_>) {
        let Some(reply) = decode::<DeleteRecordsResponse<'_>>(frame, 2, desk) else { return };
        let outcome = reply.topics.iter().flat_map(|topic| topic.partitions.iter().next()).next();
        let Some(outcome) = outcome else { return };
        match ErrorCode::from_code(outcome.error_code) {
            ErrorCode::NONE => {
                desk.coverage.hit("records are deleted");
                let log_start = outcome.low_watermark;
                if before != i64::MAX && log_start < before {
                    desk.violation(format!("{at:?} starts at {log_start}, below {before}"));
                }
                let everything = before == i64::MAX;
                desk.history.add(Event::RecordsDeleted { at, log_start, everything });
            }
            ErrorCode::OFFSET_OUT_OF_RANGE | ErrorCode::KAFKA_STORAGE_ERROR => {}
            other => desk.violation(format!("{at:?}: records cannot be deleted: {other:?}")),
        }
    }
}

/// Nanoseconds between two requests of an administrator that has little to do.
pub(crate) const PAUSE_MIN: u64 = 10 * MILLISECOND;
