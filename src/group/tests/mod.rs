//! Tests of a coordinator as a whole, with a host that keeps its log and holds its replies.

mod consumer;
mod consumer_model;
mod model;
mod offsets;
mod rebalance;
mod refusals;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::consumer_protocol::PROTOCOL_TYPE;
use super::*;
use crate::ids::TopicId;
use crate::time::{Instant, Now, Timestamp};

/// One group is enough for most.
const GROUP: &str = "g";

fn options() -> GroupOptions {
    GroupOptions {
        initial_rebalance_delay: Duration::from_secs(3),
        session_timeout_min: Duration::from_secs(6),
        session_timeout_max: Duration::from_secs(1800),
        size_max: 1000,
        metadata_bytes_max: 4096,
        offsets_retention: Duration::from_secs(3600),
        offsets_check_interval: Duration::from_secs(600),
        consumer: ConsumerOptions {
            enabled: true,
            assignors: vec![Assignor::Uniform, Assignor::Range],
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(5),
            size_max: 100,
        },
    }
}

/// Topics with ids that are all the same byte.
#[derive(Clone, Debug, Default)]
struct TestTopics(BTreeMap<&'static str, (u8, i32)>);

impl TopicView for TestTopics {
    fn by_name(&self, name: &str) -> Option<(TopicId, i32)> {
        self.0.get(name).map(|(id, count)| (TopicId([*id; 16]), *count))
    }

    fn each_name(&self, call: &mut dyn FnMut(&str)) {
        self.0.keys().for_each(|name| call(name));
    }
}

/// A coordinator, its log, and its clients' replies.
struct Host {
    options: Arc<GroupOptions>,
    topics: TestTopics,
    coordinator: Coordinator,
    now: Now,
    log: Vec<LogEntry>,
    /// Entries that a crash does not take.
    durable: usize,
    /// Replies that wait for entries to be durable.
    held: Vec<(usize, Ticket, Reply)>,
    replies: BTreeMap<Ticket, Reply>,
    next_ticket: u64,
    starts: u64,
}

impl Host {
    fn new() -> Host {
        Host::with(options())
    }

    fn with(options: GroupOptions) -> Host {
        let options = Arc::new(options);
        let mut host = Host {
            coordinator: Coordinator::new(options.clone(), 1),
            options,
            topics: TestTopics::default(),
            now: Now { instant: Instant(0), timestamp: Timestamp(1_000_000) },
            log: Vec::new(),
            durable: 0,
            held: Vec::new(),
            replies: BTreeMap::new(),
            next_ticket: 0,
            starts: 1,
        };
        host.coordinator.on_loaded(host.now);
        host
    }

    /// Topics by name, with id and number of partitions.
    fn set_topics(&mut self, topics: &[(&'static str, u8, i32)]) {
        let topics = topics.iter().map(|(name, id, count)| (*name, (*id, *count)));
        self.topics = TestTopics(topics.collect());
        self.coordinator.on_topics(Arc::new(self.topics.clone()));
    }

    /// Asks without making anything durable.
    fn ask(&mut self, request: Request) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.coordinator.on_request(ticket, &request, self.now);
        self.collect();
        ticket
    }

    fn collect(&mut self) {
        let outcome = self.coordinator.take_outcome();
        self.log.extend(outcome.entries);
        let end = self.log.len();
        self.held.extend(outcome.replies.into_iter().map(|(ticket, reply)| (end, ticket, reply)));
    }

    /// Everything planned so far is durable.
    fn flush(&mut self) {
        self.durable = self.log.len();
        for (_, ticket, reply) in self.held.drain(..) {
            assert!(self.replies.insert(ticket, reply).is_none(), "{ticket:?} is answered twice");
        }
    }

    fn reply(&mut self, ticket: Ticket) -> Option<Reply> {
        self.flush();
        self.replies.remove(&ticket)
    }

    /// Asks what is answered at once.
    fn call(&mut self, request: Request) -> Reply {
        let ticket = self.ask(request);
        self.reply(ticket).expect("this is answered at once")
    }

    /// Time passes, from deadline to deadline.
    fn pass(&mut self, time: Duration) {
        let end = self.now.instant + time;
        loop {
            let due = self.coordinator.next_deadline().filter(|due| *due <= end);
            let at = due.unwrap_or(end).max(self.now.instant);
            let passed = at.since(self.now.instant);
            self.now.instant = at;
            self.now.timestamp.0 += i64::try_from(passed.as_millis()).unwrap();
            self.coordinator.on_time(self.now);
            self.collect();
            if due.is_none() {
                return;
            }
        }
    }

    /// The process dies when some of what was planned is in the log: `cut` says how much of so many
    /// entries.
    fn tear(&mut self, cut: impl FnOnce(usize) -> usize) {
        self.durable += cut(self.log.len() - self.durable);
        self.crash();
    }

    /// The process dies, and another one reads what is durable.
    fn crash(&mut self) {
        self.log.truncate(self.durable);
        self.held.clear();
        self.starts += 1;
        self.coordinator = Coordinator::new(self.options.clone(), self.starts);
        for entry in &self.log {
            let record = entry.encode();
            let read = LogEntry::decode(&record.key, record.value.as_deref()).unwrap().unwrap();
            assert_eq!(read, *entry);
            self.coordinator.apply(&read);
        }
        self.coordinator.on_topics(Arc::new(self.topics.clone()));
        self.coordinator.on_loaded(self.now);
        self.collect();
    }

    fn join(&mut self, join: JoinRequest) -> Ticket {
        self.ask(Request::Join(join))
    }

    fn joined(&mut self, ticket: Ticket) -> Result<Joined, JoinRefused> {
        match self.reply(ticket) {
            Some(Reply::Join(joined)) => joined,
            other => panic!("not an answer to a join: {other:?}"),
        }
    }

    fn sync(&mut self, joined: &Joined, assignments: &[(&str, &str)]) -> Ticket {
        self.ask(Request::Sync(sync(joined, assignments)))
    }

    fn assignment(&mut self, ticket: Ticket) -> Result<Bytes, Refusal> {
        match self.reply(ticket) {
            Some(Reply::Sync(synced)) => synced.map(|synced| synced.assignment),
            other => panic!("not an answer to a sync: {other:?}"),
        }
    }

    fn heartbeat(&mut self, joined: &Joined) -> Result<(), Refusal> {
        match self.call(Request::Heartbeat(heartbeat(&joined.member, joined.generation))) {
            Reply::Heartbeat(alive) => alive,
            other => panic!("not an answer to a heartbeat: {other:?}"),
        }
    }

    fn describe(&mut self) -> Result<DescribedGroup, Refusal> {
        match self.call(Request::Describe(GROUP.into())) {
            Reply::Described(described) => described,
            other => panic!("not an answer to a description: {other:?}"),
        }
    }

    fn state(&mut self) -> GroupState {
        self.describe().unwrap().state
    }

    /// A stable group of one dynamic member.
    fn stable(&mut self) -> Joined {
        let ticket = self.join(join(""));
        self.pass(Duration::from_secs(3));
        let joined = self.joined(ticket).unwrap();
        let synced = self.sync(&joined, &[(&joined.member, "all")]);
        assert_eq!(self.assignment(synced).unwrap(), "all");
        joined
    }
}

fn join(member: &str) -> JoinRequest {
    JoinRequest {
        group: GROUP.into(),
        member: MemberClaim { id: member.into(), instance: None },
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: PROTOCOL_TYPE.into(),
        protocols: vec![("range".into(), subscription(&["t"]))],
        needs_known_id: false,
        may_skip_assignment: true,
        reason: None,
    }
}

fn static_join(instance: &str) -> JoinRequest {
    let member = MemberClaim { id: "".into(), instance: Some(instance.into()) };
    JoinRequest { member, ..join("") }
}

/// What a consumer says of itself, in version 0 of its protocol.
fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = vec![0, 0];
    bytes.extend(u32::try_from(topics.len()).unwrap().to_be_bytes());
    for topic in topics {
        bytes.extend(u16::try_from(topic.len()).unwrap().to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend((-1_i32).to_be_bytes());
    bytes.into()
}

fn sync(joined: &Joined, assignments: &[(&str, &str)]) -> SyncRequest {
    let assignments = assignments.iter();
    SyncRequest {
        group: GROUP.into(),
        member: MemberClaim { id: (*joined.member).into(), instance: None },
        generation: joined.generation,
        protocol_type: joined.protocol_type.clone(),
        protocol: joined.protocol.clone(),
        assignments: assignments
            .map(|(member, bytes)| ((*member).into(), Bytes::copy_from_slice(bytes.as_bytes())))
            .collect(),
    }
}

fn heartbeat(member: &str, generation: i32) -> HeartbeatRequest {
    let member = MemberClaim { id: member.into(), instance: None };
    HeartbeatRequest { group: GROUP.into(), member, generation }
}

fn leave(members: &[(&str, Option<&str>)]) -> Request {
    let members = members.iter().map(|(id, instance)| Leaving {
        member: MemberClaim { id: (*id).into(), instance: instance.map(Into::into) },
        reason: None,
    });
    Request::Leave(LeaveRequest { group: GROUP.into(), members: members.collect() })
}

fn commit(member: &str, generation: i32, offsets: &[(&str, i32, i64)]) -> CommitRequest {
    let topics = offsets.iter().map(|(topic, partition, offset)| {
        let offset = OffsetToCommit {
            partition: *partition,
            offset: *offset,
            leader_epoch: 4,
            metadata: "note".into(),
        };
        ((*topic).into(), vec![offset])
    });
    CommitRequest {
        group: GROUP.into(),
        member: MemberClaim { id: member.into(), instance: None },
        generation,
        knows_epochs: true,
        retention_ms: None,
        topics: topics.collect(),
    }
}
