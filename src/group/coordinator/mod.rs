//! The coordinator of all groups of one partition of `__consumer_offsets`.
//!
//! It is built by applying every entry of its log, told that this is all, and then asked. What a
//! call brings about is collected in an [`Outcome`] that its host takes after every turn: entries to
//! append, already applied here, and replies, which may leave when these and all earlier entries are
//! durable.

mod commit;
mod consumers;
mod expiry;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::classic::{self, State};
use super::consumer::heartbeat::Known;
use super::consumer::{self, ConsumerOptions};
use super::consumer_protocol::PROTOCOL_TYPE;
use super::entry::LogEntry;
use super::offsets::Offsets;
use super::reply::{GroupType, JoinRefused, ListedGroup, Refusal, Reply};
use super::request::{JoinRequest, Request};
use super::topics::{NoTopics, TopicView};
use super::{GroupId, MemberId, Ticket};
use crate::stdx::prng::Prng;
use crate::time::{Instant, Now, earlier};

/// How groups are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOptions {
    /// `group.initial.rebalance.delay.ms`
    pub initial_rebalance_delay: Duration,
    /// `group.min.session.timeout.ms`
    pub session_timeout_min: Duration,
    /// `group.max.session.timeout.ms`
    pub session_timeout_max: Duration,
    /// `group.max.size`
    pub size_max: usize,
    /// `offset.metadata.max.bytes`
    pub metadata_bytes_max: usize,
    /// `offsets.retention.minutes`
    pub offsets_retention: Duration,
    /// `offsets.retention.check.interval.ms`
    pub offsets_check_interval: Duration,
    /// Of consumer groups.
    pub consumer: ConsumerOptions,
}

/// What was brought about, in order.
#[derive(Debug, Default)]
pub struct Outcome {
    /// To be appended.
    pub entries: Vec<LogEntry>,
    /// To leave when all entries up to here are durable.
    pub replies: Vec<(Ticket, Reply)>,
}

impl Outcome {
    pub(super) fn entry(&mut self, entry: LogEntry) {
        self.entries.push(entry);
    }

    pub(super) fn reply(&mut self, ticket: Ticket, reply: Reply) {
        self.replies.push((ticket, reply));
    }
}

/// A group, by its protocol.
#[derive(Clone, Debug)]
enum Group {
    Classic(Box<classic::Group>),
    Consumer(Box<consumer::Group>),
}

impl Group {
    fn classic(id: &GroupId) -> Group {
        Group::Classic(Box::new(classic::Group::new(id.clone())))
    }

    /// Nobody is in it, and nobody has been asked to come.
    fn is_deserted(&self) -> bool {
        match self {
            Group::Classic(group) => group.is_deserted(),
            Group::Consumer(group) => group.is_empty(),
        }
    }

    /// Whether members read a topic.
    fn reads(&self, topic: &str) -> bool {
        match self {
            Group::Classic(group) => group.state() != State::Empty && group.reads(topic),
            Group::Consumer(group) => group.reads(topic),
        }
    }

    fn wake(&self) -> Option<Instant> {
        match self {
            Group::Classic(group) => group.wake(),
            Group::Consumer(group) => group.wake(),
        }
    }
}

/// A group and its offsets.
#[derive(Clone, Debug)]
struct Slot {
    group: Group,
    offsets: Offsets,
    /// Its place in `wakes`.
    wake: Option<Instant>,
}

impl Slot {
    fn new(id: &GroupId) -> Slot {
        Slot { group: Group::classic(id), offsets: Offsets::default(), wake: None }
    }

    /// The group, if it is a classic one.
    fn as_classic(&mut self) -> Option<&mut classic::Group> {
        match &mut self.group {
            Group::Classic(group) => Some(group),
            Group::Consumer(_) => None,
        }
    }

    /// The group, which becomes a classic one if it is none.
    fn make_classic(&mut self, id: &GroupId) -> &mut classic::Group {
        if let Group::Consumer(_) = self.group {
            self.group = Group::classic(id);
        }
        match &mut self.group {
            Group::Classic(group) => group,
            Group::Consumer(_) => panic!("it has just become a classic group"),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Coordinator {
    options: Arc<GroupOptions>,
    slots: BTreeMap<GroupId, Slot>,
    /// Groups by when they want to be told the time.
    wakes: BTreeSet<(Instant, GroupId)>,
    /// When offsets are looked through; `None` until the log is read.
    next_check: Option<Instant>,
    topics: Arc<dyn TopicView>,
    /// Counts the changes of `topics`.
    topics_version: u64,
    ids: Prng,
    outcome: Outcome,
}

impl Coordinator {
    /// Knows nothing yet. Member ids are drawn from `seed`.
    #[must_use]
    pub fn new(options: Arc<GroupOptions>, seed: u64) -> Coordinator {
        Coordinator {
            options,
            slots: BTreeMap::new(),
            wakes: BTreeSet::new(),
            next_check: None,
            topics: Arc::new(NoTopics),
            topics_version: 0,
            ids: Prng::new(seed),
            outcome: Outcome::default(),
        }
    }

    /// From now on these are the topics that exist.
    pub fn on_topics(&mut self, topics: Arc<dyn TopicView>) {
        self.topics = topics;
        self.topics_version += 1;
    }

    /// Takes an entry of the log in.
    pub fn apply(&mut self, entry: &LogEntry) {
        match entry {
            LogEntry::Offset { group, topic, partition, committed } => {
                let committed = committed.as_ref();
                match self.slots.get_mut(group) {
                    Some(slot) => slot.offsets.apply(topic, *partition, committed),
                    // Whoever commits without being a member makes a group by it.
                    None if committed.is_some() => {
                        let mut slot = Slot::new(group);
                        slot.offsets.apply(topic, *partition, committed);
                        self.slots.insert(group.clone(), slot);
                    }
                    None => {}
                }
            }
            LogEntry::Group { group, value: Some(value) } => {
                let slot = self.slots.entry(group.clone()).or_insert_with(|| Slot::new(group));
                slot.make_classic(group).apply(value);
            }
            LogEntry::Group { group, value: None } => {
                // It may have become a consumer group since.
                let is_classic = |slot: &Slot| matches!(slot.group, Group::Classic(_));
                if self.slots.get(group).is_some_and(is_classic) {
                    self.forget_group(group);
                }
            }
            LogEntry::Consumer { group, entry } => self.apply_consumer(group, entry),
        }
    }

    /// A group is no more; its offsets stay for as long as they are not forgotten themselves.
    fn forget_group(&mut self, id: &GroupId) {
        let Some(mut slot) = self.slots.remove(id) else { return };
        if let Some(wake) = slot.wake.take() {
            self.wakes.remove(&(wake, id.clone()));
        }
        if !slot.offsets.is_empty() {
            self.slots.insert(id.clone(), Slot { group: Group::classic(id), ..slot });
        }
    }

    /// The log has been read to its end.
    pub fn on_loaded(&mut self, now: Now) {
        self.next_check = Some(now.instant + self.options.offsets_check_interval);
        let groups: Vec<_> = self.slots.keys().cloned().collect();
        for group in groups {
            match self.slots.get_mut(&group).map(|slot| &mut slot.group) {
                Some(Group::Classic(group)) => {
                    group.on_loaded(&self.options, now, &mut self.outcome);
                }
                Some(Group::Consumer(group)) => group.on_loaded(&self.options.consumer, now),
                None => {}
            }
            self.rewake(&group);
        }
    }

    /// A client asks. It is answered by a reply with its ticket, now or later.
    pub fn on_request(&mut self, ticket: Ticket, request: &Request, now: Now) {
        let out = &mut self.outcome;
        let slot = self.slots.get_mut(request.group());
        let reply = match request {
            Request::Join(join) => return self.join(ticket, join, now),
            Request::Sync(sync) => {
                let Some(group) = slot.and_then(Slot::as_classic) else {
                    let refused = Reply::refused(request, Refusal::UnknownMember);
                    return out.reply(ticket, refused);
                };
                group.sync(ticket, sync, &self.options, now, out);
                return self.rewake(&sync.group);
            }
            Request::Heartbeat(heartbeat) => {
                Reply::Heartbeat(match slot.and_then(Slot::as_classic) {
                    Some(group) => group.heartbeat(heartbeat, now),
                    None => Err(Refusal::UnknownMember),
                })
            }
            Request::Leave(leave) => {
                let known = Known { topics: &*self.topics, version: self.topics_version };
                let left = match slot.map(|slot| &mut slot.group) {
                    Some(Group::Classic(group)) => group.leave(leave, &self.options, now, out),
                    Some(Group::Consumer(group)) => group.send_away(leave, known, out),
                    None => leave.members.iter().map(|_| Err(Refusal::UnknownMember)).collect(),
                };
                out.reply(ticket, Reply::Leave(Ok(left)));
                return self.rewake(&leave.group);
            }
            Request::Commit(commit) => Reply::Commit(self.commit(commit, now)),
            Request::FetchOffsets(fetch) => {
                let nothing = Offsets::default();
                let member = fetch.member.as_ref().map(|(id, epoch)| (&**id, *epoch));
                let allowed = match slot.as_ref().map(|slot| &slot.group) {
                    Some(Group::Consumer(group)) => group.check_fetch(member),
                    Some(Group::Classic(_)) | None => Ok(()),
                };
                let offsets = slot.map_or(&nothing, |slot| &slot.offsets);
                Reply::Offsets(allowed.map(|()| offsets.fetch(fetch.topics.as_ref())))
            }
            Request::DeleteOffsets(delete) => Reply::OffsetsDeleted(self.delete_offsets(delete)),
            Request::ConsumerHeartbeat(heartbeat) => {
                let reply = self.consumer_heartbeat(heartbeat, now);
                self.outcome.reply(ticket, Reply::ConsumerHeartbeat(reply));
                return self.rewake(&heartbeat.group);
            }
            Request::DescribeConsumers(_) => {
                Reply::ConsumersDescribed(match slot.map(|slot| &slot.group) {
                    _ if !self.options.consumer.enabled => Err(Refusal::Disabled),
                    Some(Group::Consumer(group)) => Ok(group.describe(&self.options.consumer)),
                    Some(Group::Classic(_)) => Err(Refusal::OtherProtocol),
                    None => Err(Refusal::GroupNotFound),
                })
            }
            Request::Describe(_) => Reply::Described(match slot.map(|slot| &slot.group) {
                Some(Group::Classic(group)) => Ok(group.describe()),
                Some(Group::Consumer(_)) => Err(Refusal::OtherProtocol),
                None => Err(Refusal::GroupNotFound),
            }),
            Request::Delete(group) => Reply::Deleted(self.delete(group)),
        };
        self.outcome.reply(ticket, reply);
    }

    fn join(&mut self, ticket: Ticket, join: &JoinRequest, now: Now) {
        let refuse = |refusal| {
            Reply::Join(Err(JoinRefused { refusal, member: MemberId::from(&*join.member.id) }))
        };
        let timeout = classic::millis(join.session_timeout_ms);
        if timeout < self.options.session_timeout_min || self.options.session_timeout_max < timeout
        {
            return self.outcome.reply(ticket, refuse(Refusal::InvalidSessionTimeout));
        }
        if !self.slots.contains_key(&join.group) {
            let refusal = if !join.member.id.is_empty() {
                Some(Refusal::UnknownMember)
            } else if join.protocol_type.is_empty() || join.protocols.is_empty() {
                Some(Refusal::InconsistentProtocol)
            } else {
                None
            };
            if let Some(refusal) = refusal {
                return self.outcome.reply(ticket, refuse(refusal));
            }
        }
        if let Some(Group::Consumer(group)) =
            self.slots.get_mut(&join.group).map(|slot| &mut slot.group)
        {
            if !group.is_empty() {
                return self.outcome.reply(ticket, refuse(Refusal::InconsistentProtocol));
            }
            if !join.member.id.is_empty() {
                return self.outcome.reply(ticket, refuse(Refusal::UnknownMember));
            }
            if join.protocol_type.is_empty() || join.protocols.is_empty() {
                return self.outcome.reply(ticket, refuse(Refusal::InconsistentProtocol));
            }
            self.end_consumers(&join.group);
        }
        let out = &mut self.outcome;
        let slot = self.slots.entry(join.group.clone()).or_insert_with(|| {
            let mut slot = Slot::new(&join.group);
            slot.make_classic(&join.group).store_new(now, out);
            slot
        });
        let ids = &mut self.ids;
        let mint = || mint(join, ids);
        let group = slot.make_classic(&join.group);
        group.join(ticket, join, mint, &self.options, now, &mut self.outcome);
        self.rewake(&join.group);
    }

    /// Every group, for a list.
    pub fn list(&self) -> impl Iterator<Item = ListedGroup> {
        self.slots.iter().map(|(group, slot)| match &slot.group {
            Group::Classic(classic) => ListedGroup {
                group: group.clone(),
                protocol_type: classic.protocol_type().unwrap_or_default().into(),
                group_type: GroupType::Classic,
                state: classic.state().name(),
            },
            Group::Consumer(consumer) => ListedGroup {
                group: group.clone(),
                protocol_type: PROTOCOL_TYPE.into(),
                group_type: GroupType::Consumer,
                state: consumer.state().name(),
            },
        })
    }

    /// Time passed.
    pub fn on_time(&mut self, now: Now) {
        while let Some((wake, _)) = self.wakes.first()
            && *wake <= now.instant
            && let Some((_, group)) = self.wakes.pop_first()
        {
            let Some(slot) = self.slots.get_mut(&group) else { continue };
            slot.wake = None;
            let known = Known { topics: &*self.topics, version: self.topics_version };
            match &mut slot.group {
                Group::Classic(group) => group.on_time(&self.options, now, &mut self.outcome),
                Group::Consumer(group) => group.on_time(known, now, &mut self.outcome),
            }
            self.rewake(&group);
        }
        if self.next_check.is_some_and(|check| check <= now.instant) {
            self.next_check = Some(now.instant + self.options.offsets_check_interval);
            self.expire_offsets(now);
        }
    }

    /// When [`Coordinator::on_time`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        earlier(self.wakes.first().map(|(wake, _)| *wake), self.next_check)
    }

    /// What was brought about since the last call.
    pub fn take_outcome(&mut self) -> Outcome {
        std::mem::take(&mut self.outcome)
    }

    /// Ends it: every request that waits is answered with this.
    #[must_use]
    pub fn resign(mut self, refusal: Refusal) -> Vec<(Ticket, Reply)> {
        let mut replies = std::mem::take(&mut self.outcome.replies);
        for reply in &mut replies {
            let (ticket, planned) = reply.clone();
            *reply = (ticket, planned.instead(refusal));
        }
        for slot in self.slots.values() {
            if let Group::Classic(group) = &slot.group {
                replies.extend(group.waiting(refusal));
            }
        }
        replies
    }

    /// Puts a group where its deadlines belong.
    fn rewake(&mut self, group: &GroupId) {
        let Some(slot) = self.slots.get_mut(group) else { return };
        let wake = slot.group.wake();
        if wake == slot.wake {
            return;
        }
        if let Some(before) = std::mem::replace(&mut slot.wake, wake) {
            self.wakes.remove(&(before, group.clone()));
        }
        if let Some(wake) = wake {
            self.wakes.insert((wake, group.clone()));
        }
    }

    /// Plans an entry, and takes it in.
    fn record(&mut self, entry: LogEntry) {
        self.apply(&entry);
        self.outcome.entry(entry);
    }
}

/// An id for a new member, as Kafka makes them: what the client calls itself, and a random UUID.
fn mint(join: &JoinRequest, random: &mut Prng) -> MemberId {
    let name = join.member.instance.as_deref().unwrap_or(&join.client_id);
    let (high, low) = (random.next_u64(), random.next_u64());
    let version = (high & !0xf000) | 0x4000;
    let variant = (low & !(3 << 62)) | (2 << 62);
    MemberId::from(format!(
        "{name}-{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        version >> 32,
        (version >> 16) & 0xffff,
        version & 0xffff,
        variant >> 48,
        variant & 0xffff_ffff_ffff,
    ))
}
