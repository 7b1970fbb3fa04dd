//! The classic group protocol: members join, one of them leads and assigns, all sync.
//!
//! A rebalance has two steps. In the first the group collects joins until every member has come
//! back or the time is over; then a generation begins, and the members' joins are answered. In the
//! second the leader sends what each member shall have; it is written down, and everybody's sync is
//! answered with it. What the assignments say is not looked at: eager and cooperative consumers,
//! Connect workers and elections of other services are all the same here.
//!
//! Invariants:
//! - `joining` counts the members whose join waits; `supported` counts members by protocol.
//! - In `Stable` and `CompletingRebalance` there is a protocol that all members know, and a leader
//!   among them.
//! - A wait is answered when its member goes, is replaced, or waits anew.

mod expire;
mod heartbeat;
mod join;
mod leave;
mod member;
mod rebalance;
mod replay;
mod sync;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;

use super::consumer_protocol::PROTOCOL_TYPE;
use super::coordinator::Outcome;
use super::entry::{GroupValue, LogEntry};
use super::reply::{DescribedGroup, JoinRefused, Refusal, Reply};
use super::request::MemberClaim;
use super::{GroupId, MemberId, Ticket};
use crate::time::{Instant, Now, Timestamp};

use member::Member;
pub(super) use member::millis;

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// No members; perhaps committed offsets.
    Empty,
    /// Joins are being collected.
    PreparingRebalance,
    /// The generation is there; the assignment is not.
    CompletingRebalance,
    /// Everybody has an assignment.
    Stable,
}

impl State {
    /// Kafka's name, as tools show it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Group {
    id: GroupId,
    state: State,
    /// Since when it has been in its state.
    since: Option<Timestamp>,
    generation: i32,
    protocol_type: Option<Box<str>>,
    protocol: Option<Box<str>>,
    leader: Option<MemberId>,
    members: BTreeMap<MemberId, Member>,
    by_instance: BTreeMap<Box<str>, MemberId>,
    /// Those that were given an id and have not come back with it, and how long they may take.
    invited: BTreeMap<MemberId, Instant>,
    /// Members of this generation that have not asked for their assignment.
    unsynced: BTreeSet<MemberId>,
    /// Members that know each protocol.
    supported: BTreeMap<Box<str>, usize>,
    /// Members whose join waits.
    joining: usize,
    /// When the first step of the rebalance ends at the latest.
    join_deadline: Option<Instant>,
    /// The first step began with an empty group.
    first: Option<FirstRebalance>,
    /// When the second step ends at the latest.
    sync_deadline: Option<Instant>,
    /// No deadline is earlier; there may be none at it any more.
    wake: Option<Instant>,
    /// Topics that the members read, if they are consumers and say so.
    subscribed: Option<BTreeSet<Box<str>>>,
}

/// An empty group waits a while for more members, and a while longer whenever one comes.
#[derive(Clone, Copy, Debug)]
struct FirstRebalance {
    /// What is left of the longest wait, behind the deadline that is set.
    left: std::time::Duration,
    /// The wait that is under way.
    delay: std::time::Duration,
    /// A member has come during it.
    more: bool,
}

impl Group {
    /// An empty one.
    pub(super) fn new(id: GroupId) -> Group {
        Group {
            id,
            state: State::Empty,
            since: None,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            by_instance: BTreeMap::new(),
            invited: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            supported: BTreeMap::new(),
            joining: 0,
            join_deadline: None,
            first: None,
            sync_deadline: None,
            wake: None,
            subscribed: None,
        }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn since(&self) -> Option<Timestamp> {
        self.since
    }

    pub(super) fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    /// Nobody is in it, and nobody has been asked to come.
    pub(super) fn is_deserted(&self) -> bool {
        self.state == State::Empty && self.invited.is_empty()
    }

    /// Its members are consumers, as far as one can tell.
    pub(super) fn is_of_consumers(&self) -> bool {
        self.protocol_type() == Some(PROTOCOL_TYPE)
    }

    /// Its members' topics are known.
    pub(super) fn knows_topics(&self) -> bool {
        self.subscribed.is_some()
    }

    /// Whether its members read a topic; consumers whose topics are not known may read any.
    pub(super) fn reads(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.is_of_consumers(),
        }
    }

    /// When [`Group::on_time`] is worth a call.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.wake
    }

    fn wake_by(&mut self, deadline: Instant) {
        self.wake = Some(self.wake.map_or(deadline, |wake| wake.min(deadline)));
    }

    pub(super) fn describe(&self) -> DescribedGroup {
        let protocol = self.protocol.as_deref().filter(|_| self.state == State::Stable);
        DescribedGroup {
            state: self.state,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: protocol.unwrap_or_default().into(),
            members: self.members.values().map(|member| member.describe(protocol)).collect(),
        }
    }

    /// The member that a claim names, if the claim holds.
    fn claimed(&self, claim: &MemberClaim) -> Result<&Member, Refusal> {
        if let Some(instance) = &claim.instance {
            match self.by_instance.get(instance) {
                None => return Err(Refusal::UnknownMember),
                Some(id) if **id != *claim.id => return Err(Refusal::FencedInstance),
                Some(_) => {}
            }
        }
        self.members.get(&*claim.id).ok_or(Refusal::UnknownMember)
    }

    fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    fn count_protocols(&mut self, protocols: &[(Box<str>, Bytes)]) {
        for (name, _) in protocols {
            *self.supported.entry(name.clone()).or_default() += 1;
        }
    }

    fn uncount_protocols(&mut self, protocols: &[(Box<str>, Bytes)]) {
        for (name, _) in protocols {
            if let Some(count) = self.supported.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.supported.remove(name);
                }
            }
        }
    }

    /// Takes a member out, with whatever it waits for.
    fn remove(&mut self, id: &str, join: Refusal, sync: Refusal, out: &mut Outcome) {
        self.invited.remove(id);
        self.unsynced.remove(id);
        let Some(mut member) = self.members.remove(id) else { return };
        let protocols = std::mem::take(&mut member.protocols);
        self.uncount_protocols(&protocols);
        if let Some(instance) = &member.instance {
            self.by_instance.remove(instance);
        }
        if let Some(ticket) = member.joining {
            self.joining -= 1;
            let member =
                if join == Refusal::FencedInstance { member.id.clone() } else { "".into() };
            out.reply(ticket, Reply::Join(Err(JoinRefused { refusal: join, member })));
        }
        if let Some(ticket) = member.syncing {
            out.reply(ticket, Reply::Sync(Err(sync)));
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Lets a member's join wait for the rebalance. One that waits already is told to try again:
    /// its connection may be gone, and if not, it must not wait for ever.
    fn park_join(&mut self, id: &str, ticket: Ticket, out: &mut Outcome) {
        let Some(member) = self.members.get_mut(id) else { return };
        match member.joining.replace(ticket) {
            None => self.joining += 1,
            Some(before) => {
                let refusal = Refusal::RebalanceInProgress;
                let member = member.id.clone();
                out.reply(before, Reply::Join(Err(JoinRefused { refusal, member })));
            }
        }
    }

    /// A member was heard of.
    fn alive(&mut self, id: &str, now: Instant) {
        let Some(member) = self.members.get_mut(id) else { return };
        let deadline = now + member.session_timeout();
        member.deadline = Some(deadline);
        self.wake_by(deadline);
    }

    /// The durable part, were the members given these assignments.
    fn value(&self, since: Timestamp, assignment: impl Fn(&Member) -> Bytes) -> GroupValue {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        GroupValue {
            protocol_type: self.protocol_type.clone(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            since: Some(since),
            members: self
                .members
                .values()
                .map(|member| member.to_stored(protocol, assignment(member)))
                .collect(),
        }
    }

    /// Writes the durable part down, and makes it so.
    fn store(&mut self, value: GroupValue, out: &mut Outcome) {
        self.apply(&value);
        out.entry(LogEntry::Group { group: self.id.clone(), value: Some(value) });
    }

    /// Writes an empty group down: the log knows of it from its first member on.
    pub(super) fn store_new(&mut self, now: Now, out: &mut Outcome) {
        assert!(self.members.is_empty(), "a new group is empty");
        let value = GroupValue { since: Some(now.timestamp), ..GroupValue::default() };
        self.store(value, out);
    }
}
