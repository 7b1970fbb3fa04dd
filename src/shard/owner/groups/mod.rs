//! The coordinators of groups: one for each partition of `__consumer_offsets` that this shard owns,
//! on top of that partition's log.
//!
//! A coordinator's entries go the way of every batch: through the journal, in order, behind whatever
//! waits for room. A reply is held until everything that was planned before it is durable, so what a
//! client has been told survives. If a batch cannot be written, the coordinator resigns: all that
//! waits is refused, and a new one is loaded from the log.
//!
//! Invariants:
//! - At most one coordinator of a partition answers, and only after it has read the whole log.
//! - Batches of a coordinator that has resigned are never appended after its successor began to
//!   read.
//! - Every question is answered once.

mod load;
mod topics;
mod write;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::api::work::{Answer, Answers, GroupItem};
use crate::catalog::{GROUP_METADATA_TOPIC, Image, Topics};
use crate::group::{Coordinator, GroupOptions, ListedGroup, Refusal, Reply, Ticket};
use crate::ids::{Offset, PartitionId, ShardId, TopicPartition};
use crate::shard::message::RequestId;
use crate::shard::outbox::Outbox;
use crate::stdx::map::Map;
use crate::stdx::prng::Prng;
use crate::time::{Instant, Now, earlier};

use super::{Owner, PartId};

pub(super) use load::Step;
pub(super) use write::GroupBatch;

/// How long a coordinator that could not write or read its log waits before it tries again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Groups {
    options: Arc<GroupOptions>,
    random: Prng,
    hosted: BTreeMap<TopicPartition, Hosted>,
    tickets: Map<Ticket, (PartId, u32)>,
    next_ticket: u64,
    next_term: u64,
    /// Coordinators whose outcome has not been taken.
    touched: BTreeSet<TopicPartition>,
    /// Coordinators by when they want to be told the time.
    deadlines: BTreeSet<(Instant, TopicPartition)>,
    /// To be loaded, in order.
    queue: VecDeque<TopicPartition>,
    load: Option<load::Load>,
    /// As of the image that is served.
    topics: Arc<Topics>,
}

/// The coordinator of one partition.
#[derive(Debug)]
struct Hosted {
    /// Which coordinator of this partition this is; its batches carry it.
    term: u64,
    state: State,
    /// Its place in `deadlines`.
    deadline: Option<Instant>,
    /// Batches planned, appended and durable, as running numbers.
    planned: u64,
    durable: u64,
    /// Batches that are appended and not durable, with the offsets behind them.
    appended: VecDeque<(u64, Offset)>,
    /// Replies that wait until a batch is durable.
    parked: VecDeque<(u64, Ticket, Reply)>,
}

#[derive(Debug)]
enum State {
    /// Its log is being read, or will be.
    Loading,
    Active(Box<Coordinator>),
    /// It will be loaded again.
    Resigned,
}

impl Groups {
    pub(super) fn new(options: Arc<GroupOptions>, seed: u64) -> Groups {
        Groups {
            options,
            random: Prng::new(seed),
            hosted: BTreeMap::new(),
            tickets: Map::default(),
            next_ticket: 0,
            next_term: 0,
            touched: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            queue: VecDeque::new(),
            load: None,
            topics: Arc::default(),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let ready = self.load_is_ready().then_some(Instant::default());
        earlier(ready, self.deadlines.first().map(|(deadline, _)| *deadline))
    }

    fn term(&mut self) -> u64 {
        self.next_term += 1;
        self.next_term
    }

    fn set_deadline(&mut self, at: TopicPartition, deadline: Option<Instant>) {
        let Some(hosted) = self.hosted.get_mut(&at) else { return };
        if hosted.deadline == deadline {
            return;
        }
        if let Some(before) = std::mem::replace(&mut hosted.deadline, deadline) {
            self.deadlines.remove(&(before, at));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, at));
        }
    }
}

impl Owner {
    /// Hosts coordinators for the partitions that are here now, and ends those of the others.
    pub(super) fn host_groups(&mut self, image: &Image, out: &mut Outbox) {
        let gone: Vec<_> = (self.groups.hosted.keys())
            .filter(|at| !self.partitions.contains_key(at))
            .copied()
            .collect();
        for at in gone {
            self.end_groups(at, Refusal::NotCoordinator, out);
            self.groups.set_deadline(at, None);
            self.groups.hosted.remove(&at);
            self.groups.touched.remove(&at);
            self.groups.queue.retain(|queued| *queued != at);
        }
        self.follow_topics(image);
        let Some(topic) = image.topic(GROUP_METADATA_TOPIC) else { return };
        for index in 0..topic.partitions.len() {
            let partition = PartitionId(i32::try_from(index).unwrap_or(i32::MAX));
            let at = TopicPartition { topic: topic.id, partition };
            if self.partitions.contains_key(&at) && !self.groups.hosted.contains_key(&at) {
                let hosted = Hosted {
                    term: self.groups.term(),
                    state: State::Loading,
                    deadline: None,
                    planned: 0,
                    durable: 0,
                    appended: VecDeque::new(),
                    parked: VecDeque::new(),
                };
                self.groups.hosted.insert(at, hosted);
                self.groups.queue.push_back(at);
            }
        }
    }

    /// Coordinators are told of the topics. What groups have committed of one goes with it.
    fn follow_topics(&mut self, image: &Image) {
        let before = std::mem::replace(&mut self.groups.topics, image.topics.clone());
        if Arc::ptr_eq(&before, &image.topics) {
            return;
        }
        let gone = before.iter().any(|topic| image.topic_by_id(topic.id).is_none());
        let view = Arc::new(topics::View(image.topics.clone()));
        for (at, hosted) in &mut self.groups.hosted {
            let State::Active(coordinator) = &mut hosted.state else { continue };
            coordinator.on_topics(view.clone());
            if gone {
                coordinator.forget_topics_gone(&|topic| image.topic(topic).is_some());
                self.groups.touched.insert(*at);
            }
        }
    }

    /// Requests to groups.
    pub(super) fn ask_groups(
        &mut self,
        from: ShardId,
        request: RequestId,
        items: Vec<GroupItem>,
        now: Now,
        out: &mut Outbox,
    ) {
        let part = self.open_part(from, request, items.len());
        for item in items {
            let groups = &mut self.groups;
            let refusal = match groups.hosted.get_mut(&item.at).map(|hosted| &mut hosted.state) {
                Some(State::Active(coordinator)) => {
                    groups.next_ticket += 1;
                    let ticket = Ticket(groups.next_ticket);
                    groups.tickets.insert(ticket, (part, item.index));
                    coordinator.on_request(ticket, &item.request, now);
                    groups.touched.insert(item.at);
                    continue;
                }
                Some(State::Loading) => {
                    groups.load_soon(item.at);
                    Refusal::Loading
                }
                Some(State::Resigned) => Refusal::NotAvailable,
                None => Refusal::NotCoordinator,
            };
            let reply = Reply::refused(&item.request, refusal);
            self.resolve(part, item.index, Answer::Group(reply), out);
        }
    }

    /// All groups that are coordinated here.
    pub(super) fn list_groups(&mut self, from: ShardId, request: RequestId, out: &mut Outbox) {
        let mut listed: Result<Vec<ListedGroup>, Refusal> = Ok(Vec::new());
        for hosted in self.groups.hosted.values() {
            match (&hosted.state, &mut listed) {
                (State::Active(coordinator), Ok(listed)) => listed.extend(coordinator.list()),
                (State::Loading, _) => listed = Err(Refusal::Loading),
                (State::Resigned, Ok(_)) => listed = Err(Refusal::NotAvailable),
                (_, Err(_)) => {}
            }
        }
        out.answers.push_back((from, request, Answers::from_buf([(0, Answer::Groups(listed))])));
    }

    /// Time passed.
    pub(super) fn age_groups(&mut self, now: Now, out: &mut Outbox) {
        while let Some((deadline, at)) = self.groups.deadlines.first().copied() {
            if now.instant < deadline {
                break;
            }
            self.groups.set_deadline(at, None);
            let Some(hosted) = self.groups.hosted.get_mut(&at) else { continue };
            match &mut hosted.state {
                State::Active(coordinator) => {
                    coordinator.on_time(now);
                    self.groups.touched.insert(at);
                }
                State::Resigned => {
                    hosted.state = State::Loading;
                    self.groups.queue.push_back(at);
                }
                State::Loading => {}
            }
        }
        self.pump_load(now, out);
    }

    /// The coordinator of a partition could not write or read its log.
    fn resign_groups(&mut self, at: TopicPartition, now: Now, out: &mut Outbox) {
        self.end_groups(at, Refusal::NotAvailable, out);
        let term = self.groups.term();
        let retry = now.instant + RETRY_DELAY;
        if let Some(hosted) = self.groups.hosted.get_mut(&at) {
            hosted.term = term;
            hosted.state = State::Resigned;
        }
        self.groups.set_deadline(at, Some(retry));
    }

    /// Refuses everything that waits for the coordinator of a partition.
    fn end_groups(&mut self, at: TopicPartition, refusal: Refusal, out: &mut Outbox) {
        if self.groups.load.as_ref().is_some_and(|load| load.at == at) {
            self.groups.load = None;
        }
        let Some(hosted) = self.groups.hosted.get_mut(&at) else { return };
        let parked = std::mem::take(&mut hosted.parked);
        hosted.appended.clear();
        let mut replies: Vec<_> =
            parked.into_iter().map(|(_, ticket, reply)| (ticket, reply.instead(refusal))).collect();
        let state = std::mem::replace(&mut hosted.state, State::Loading);
        if let State::Active(coordinator) = state {
            replies.extend(coordinator.resign(refusal));
        }
        for (ticket, reply) in replies {
            self.answer_ticket(ticket, reply, out);
        }
    }

    fn answer_ticket(&mut self, ticket: Ticket, reply: Reply, out: &mut Outbox) {
        let Some((part, index)) = self.groups.tickets.remove(&ticket) else {
            panic!("{ticket:?} was answered already")
        };
        self.resolve(part, index, Answer::Group(reply), out);
    }
}
