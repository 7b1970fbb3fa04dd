//! What is written of a consumer group. Unlike a classic group's, it is many small entries, so that
//! one member's step does not write down all the others.

use std::collections::{BTreeMap, BTreeSet};

use crate::group::MemberId;
use crate::ids::TopicId;
use crate::time::Timestamp;

/// Partitions by topic. No set is empty.
pub type Partitions = BTreeMap<TopicId, BTreeSet<i32>>;

/// Partitions that a member has, each with the epoch in which it got it. No map is empty.
pub(super) type Owned = BTreeMap<TopicId, BTreeMap<i32, i32>>;

/// One entry of a consumer group; without a value it is forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerEntry {
    /// The group.
    Group(Option<GroupEpoch>),
    /// A member as it described itself.
    Member(MemberId, Option<MemberValue>),
    /// The target assignment as a whole.
    TargetEpoch(Option<TargetEpoch>),
    /// What a member shall have.
    Target(MemberId, Option<Partitions>),
    /// What a member has.
    Current(MemberId, Option<Current>),
    /// What a pattern stands for.
    Pattern(Box<str>, Option<Resolved>),
}

/// The group's epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupEpoch {
    /// Rises with every change of members, subscriptions or the topics subscribed to.
    pub epoch: i32,
    /// Of the topics subscribed to; zero for none.
    pub topics_hash: i64,
}

/// When the target assignment was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetEpoch {
    /// The group's epoch that it was made for.
    pub epoch: i32,
    /// When.
    pub at: Timestamp,
}

/// A member as it described itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberValue {
    /// `group.instance.id`
    pub instance: Option<Box<str>>,
    /// `client.rack`
    pub rack: Option<Box<str>>,
    /// How its client calls itself.
    pub client_id: Box<str>,
    /// Where it is.
    pub client_host: Box<str>,
    /// The topics it subscribes to by name.
    pub topics: BTreeSet<Box<str>>,
    /// The pattern of topics it subscribes to.
    pub pattern: Option<Box<str>>,
    /// How long it may take to give up partitions.
    pub rebalance_timeout_ms: i32,
    /// The assignor it prefers.
    pub assignor: Option<Box<str>>,
}

impl MemberValue {
    /// About how many bytes it takes as a record.
    pub(in crate::group) fn size(&self) -> usize {
        const FIXED: usize = 64;
        let texts = [&self.instance, &self.rack, &self.pattern, &self.assignor];
        let texts = texts.into_iter().flatten().map(|text| text.len());
        let topics = self.topics.iter().map(|topic| topic.len() + 2);
        let client = self.client_id.len() + self.client_host.len();
        FIXED + client + texts.sum::<usize>() + topics.sum::<usize>()
    }
}

/// How far a member is on its way to its target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemberState {
    /// It is there.
    #[default]
    Stable,
    /// It has to give up partitions first.
    Unrevoked,
    /// It waits for partitions that others have to give up.
    Unreleased,
}

/// What a member has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Current {
    /// The epoch it has reached; -2 for a static member that has left for a while.
    pub epoch: i32,
    /// The one before: good too, if the reply with the new one was lost.
    pub previous_epoch: i32,
    /// How far it is.
    pub state: MemberState,
    /// What it may use.
    pub assigned: Owned,
    /// What it must give up.
    pub revoking: Owned,
}

/// What a pattern stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The topics.
    pub topics: BTreeSet<Box<str>>,
    /// Counts the versions of the topics that were looked through.
    pub version: i64,
    /// When.
    pub at: Timestamp,
}

impl Resolved {
    /// About how many bytes it takes as a record.
    pub(super) fn size(&self) -> usize {
        self.topics.iter().map(|topic| topic.len() + 2).sum()
    }
}
