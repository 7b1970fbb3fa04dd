//! The consumer group protocol (KIP-848): members say what they subscribe to and what they own, and
//! the broker assigns. There is no barrier: each member goes its own way, by heartbeats alone, from
//! what it has to what it shall have.
//!
//! Three numbers tell how far things are. The group's epoch rises when members, subscriptions or
//! the topics change; the target's epoch says for which of them the target assignment was made; a
//! member's epoch says which target it has reached.
//!
//! Invariants:
//! - No two members have the same partition: a member keeps what it has until it says that it has
//!   given it up, is removed, or leaves; only then another one gets it.
//! - Members' epochs never exceed the target's, nor does that exceed the group's.
//! - A session ends, or a rebalance times out, only by [`Group::on_time`].
//!
//! Not here: members by the classic protocol. A group is of one protocol as long as it has members.

mod assignor;
mod codec;
mod describe;
pub(super) mod entry;
mod expire;
pub(super) mod heartbeat;
mod leave;
mod pattern;
mod reconcile;
mod replay;
mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

pub use assignor::Assignor;
pub use entry::{ConsumerEntry, Partitions};

use super::coordinator::Outcome;
use super::entry::LogEntry;
use super::reply::Refusal;
use super::request::{CommitRequest, MemberClaim};
use super::topics::TopicView;
use super::{GroupId, MemberId};
use crate::ids::TopicId;
use crate::time::Instant;

use pattern::LookedUp;

use entry::{Current, GroupEpoch, MemberState, MemberValue, Resolved};

/// The epoch of a static member that has left for a while.
const AWAY: i32 = -2;

/// How consumer groups are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerOptions {
    /// `group.coordinator.rebalance.protocols` names them.
    pub enabled: bool,
    /// `group.consumer.assignors`; the first one is the default.
    pub assignors: Vec<Assignor>,
    /// `group.consumer.session.timeout.ms`
    pub session_timeout: Duration,
    /// `group.consumer.heartbeat.interval.ms`
    pub heartbeat_interval: Duration,
    /// `group.consumer.max.size`
    pub size_max: usize,
}

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerState {
    /// No members; perhaps committed offsets.
    Empty,
    /// The target assignment is older than the group.
    Assigning,
    /// Not every member has reached its target.
    Reconciling,
    /// All members have.
    Stable,
}

impl ConsumerState {
    /// Kafka's name, as tools show it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ConsumerState::Empty => "Empty",
            ConsumerState::Assigning => "Assigning",
            ConsumerState::Reconciling => "Reconciling",
            ConsumerState::Stable => "Stable",
        }
    }
}

impl fmt::Display for ConsumerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a member has until when to do.
#[derive(Clone, Copy, Debug, Default)]
struct Deadlines {
    /// To be heard of.
    session: Option<Instant>,
    /// To give partitions up.
    revocation: Option<Instant>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Group {
    id: GroupId,
    epoch: i32,
    topics_hash: i64,
    target_epoch: i32,
    members: BTreeMap<MemberId, MemberValue>,
    by_instance: BTreeMap<Box<str>, MemberId>,
    targets: BTreeMap<MemberId, Partitions>,
    currents: BTreeMap<MemberId, Current>,
    /// Who has a partition, or has still to give it up.
    owners: BTreeMap<(TopicId, i32), MemberId>,
    patterns: BTreeMap<Box<str>, Resolved>,
    deadlines: BTreeMap<MemberId, Deadlines>,
    /// No deadline is earlier; there may be none at it any more.
    wake: Option<Instant>,
    /// The version of the topics that `topics_hash` was last compared with.
    seen: Option<u64>,
    /// When patterns were last looked up, since the start.
    looked_up: BTreeMap<Box<str>, LookedUp>,
}

impl Group {
    /// An empty one.
    pub(super) fn new(id: GroupId) -> Group {
        Group {
            id,
            epoch: 0,
            topics_hash: 0,
            target_epoch: 0,
            members: BTreeMap::new(),
            by_instance: BTreeMap::new(),
            targets: BTreeMap::new(),
            currents: BTreeMap::new(),
            owners: BTreeMap::new(),
            patterns: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            wake: None,
            seen: None,
            looked_up: BTreeMap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn state(&self) -> ConsumerState {
        if self.members.is_empty() {
            return ConsumerState::Empty;
        }
        if self.target_epoch != self.epoch {
            return ConsumerState::Assigning;
        }
        let is_there = |id: &MemberId| {
            self.currents.get(id).is_some_and(|current| {
                current.state == MemberState::Stable && current.epoch == self.target_epoch
            })
        };
        match self.members.keys().all(is_there) {
            true => ConsumerState::Stable,
            false => ConsumerState::Reconciling,
        }
    }

    /// Whether a member subscribes to a topic.
    pub(super) fn reads(&self, topic: &str) -> bool {
        self.members.values().any(|member| {
            let pattern = member.pattern.as_ref().and_then(|pattern| self.patterns.get(pattern));
            member.topics.contains(topic)
                || pattern.is_some_and(|resolved| resolved.topics.contains(topic))
        })
    }

    /// When [`Group::on_time`] is worth a call.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.wake
    }

    fn wake_by(&mut self, deadline: Instant) {
        self.wake = Some(self.wake.map_or(deadline, |wake| wake.min(deadline)));
    }

    /// The member that a claim names, if the claim holds.
    fn claimed(&self, claim: &MemberClaim) -> Result<MemberId, Refusal> {
        if let Some(instance) = &claim.instance {
            return match self.by_instance.get(instance) {
                None => Err(Refusal::UnknownMember),
                Some(id) if **id != *claim.id => Err(Refusal::FencedInstance),
                Some(id) => Ok(id.clone()),
            };
        }
        match self.members.get_key_value(&*claim.id) {
            Some((id, _)) => Ok(id.clone()),
            None => Err(Refusal::UnknownMember),
        }
    }

    fn epoch_of(&self, member: &str) -> i32 {
        self.currents.get(member).map_or(0, |current| current.epoch)
    }

    /// Whether whoever commits may. A member that has moved on since may still commit what it has
    /// had ever since the epoch that it names: nobody else can have read it meanwhile.
    pub(super) fn check_commit(
        &self,
        request: &CommitRequest,
        topics: &dyn TopicView,
    ) -> Result<(), Refusal> {
        if request.generation < 0 && self.members.is_empty() {
            return Ok(());
        }
        let id = &*request.member.id;
        if !self.members.contains_key(id) {
            return Err(Refusal::UnknownMember);
        }
        if !request.knows_epochs {
            return Err(Refusal::StaleMemberEpoch);
        }
        let epoch = self.epoch_of(id);
        if request.generation == epoch {
            return Ok(());
        }
        let current = self.currents.get(id).filter(|_| request.generation < epoch);
        let current = current.ok_or(Refusal::StaleMemberEpoch)?;
        let had_since_then = |topic: &str, index: i32| {
            let (topic, _) = topics.by_name(topic)?;
            let of = |owned: &entry::Owned| owned.get(&topic)?.get(&index).copied();
            let since = of(&current.assigned).or_else(|| of(&current.revoking))?;
            (since <= request.generation).then_some(())
        };
        for (topic, partitions) in &request.topics {
            for partition in partitions {
                had_since_then(topic, partition.partition).ok_or(Refusal::StaleMemberEpoch)?;
            }
        }
        Ok(())
    }

    /// Whether whoever asks for offsets may.
    pub(super) fn check_fetch(&self, member: Option<(&str, i32)>) -> Result<(), Refusal> {
        let Some((id, epoch)) = member else { return Ok(()) };
        if !self.members.contains_key(id) {
            return Err(Refusal::UnknownMember);
        }
        if epoch != self.epoch_of(id) {
            return Err(Refusal::StaleMemberEpoch);
        }
        Ok(())
    }

    /// Writes down that it is no more. It has no members.
    pub(super) fn end(&mut self, out: &mut Outcome) {
        assert!(self.members.is_empty(), "a group ends without members");
        let patterns: Vec<_> = self.patterns.keys().cloned().collect();
        for pattern in patterns {
            self.record(ConsumerEntry::Pattern(pattern, None), out);
        }
        self.record(ConsumerEntry::TargetEpoch(None), out);
        self.record(ConsumerEntry::Group(None), out);
    }

    /// Plans an entry, and takes it in.
    fn record(&mut self, entry: ConsumerEntry, out: &mut Outcome) {
        self.apply(&entry);
        out.entry(LogEntry::Consumer { group: self.id.clone(), entry });
    }

    /// Begins an epoch. Its entry is planned before all others of the operation, which are those
    /// from `first` on: whatever part of them a crash leaves in the log, the group is then ahead of
    /// its target assignment, and the next heartbeat makes one of what there is.
    fn begin_epoch(&mut self, topics_hash: i64, first: usize, out: &mut Outcome) {
        let value = GroupEpoch { epoch: self.next_epoch(), topics_hash };
        let entry = ConsumerEntry::Group(Some(value));
        self.apply(&entry);
        out.entries.insert(first, LogEntry::Consumer { group: self.id.clone(), entry });
    }

    /// The epoch after this one. Epochs of a damaged log do not stop the group.
    fn next_epoch(&self) -> i32 {
        self.epoch.checked_add(1).unwrap_or(1)
    }

    /// The topics that members subscribe to, by name, whether they exist or not. Many members may
    /// have the same pattern; its topics are walked once.
    fn topics_of<'a>(
        &'a self,
        members: impl Iterator<Item = &'a MemberValue>,
    ) -> BTreeSet<&'a str> {
        let mut names = BTreeSet::new();
        let mut patterns = BTreeSet::new();
        for member in members {
            names.extend(member.topics.iter().map(|topic| &**topic));
            patterns.extend(member.pattern.as_deref());
        }
        for resolved in patterns.into_iter().filter_map(|pattern| self.patterns.get(pattern)) {
            names.extend(resolved.topics.iter().map(|topic| &**topic));
        }
        names
    }
}
