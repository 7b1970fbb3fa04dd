//! Consumer groups and committed offsets: who is a member of what, and how far each group has read.
//!
//! Groups are log-backed machines. A [`Coordinator`] answers for all groups of one partition of
//! `__consumer_offsets`. A request makes it plan log entries, which it applies at once by the same
//! code that replays them at a start, and a reply; its host appends the entries in that order, and
//! lets a reply leave only when everything planned before it is durable. If an append fails, the
//! coordinator is thrown away and another one is loaded from the log: nothing is ever undone.
//!
//! Deliberately unknown here: partitions and how they are written, connections, clocks, randomness
//! (a seed arrives as an argument), Kafka's error codes (a [`Refusal`] is mapped in `api`), which
//! topics exist, and what an assignment means: to a classic group it is bytes that its members agree
//! upon. Where the broker assigns, in consumer groups, it is told which topics exist.
//!
//! Invariants:
//! - The generation of a group only rises, and within one generation every member has one
//!   assignment.
//! - A commit by a member is taken only in the generation that the member is in. In a consumer group
//!   it may be older, for partitions that the member has had ever since.
//! - Every ticket is answered exactly once: at the latest when the rebalance it waits for times out.
//! - What a group looked like to a client that got an answer is what replay makes of its log:
//!   generation, members, assignments, offsets.

mod classic;
mod codec;
mod consumer;
pub mod consumer_protocol;
mod coordinator;
mod entry;
mod offsets;
mod place;
pub mod records;
mod reply;
mod request;
mod topics;

pub use classic::State as GroupState;
pub use consumer::{Assignor, ConsumerEntry, ConsumerOptions, ConsumerState, Partitions};
pub use coordinator::{Coordinator, GroupOptions, Outcome};
pub use entry::{Committed, GroupValue, LogEntry, StoredMember};
pub use place::partition_of;
pub use reply::{
    CommitReply, ConsumerHeartbeat, DescribedConsumer, DescribedConsumerGroup, DescribedGroup,
    DescribedMember, FetchedOffset, GroupType, JoinRefused, Joined, JoinedMember, ListedGroup,
    Refusal, Reply, Synced,
};
pub use request::{
    CommitRequest, ConsumerHeartbeatRequest, DeleteOffsetsRequest, FetchOffsetsRequest,
    HeartbeatRequest, JoinRequest, LeaveRequest, Leaving, MemberClaim, OffsetToCommit, Request,
    SyncRequest, Topics,
};
pub use topics::TopicView;

use std::sync::Arc;

/// Names a group.
pub type GroupId = Arc<str>;
/// Names a member of a group, as the coordinator has called it.
pub type MemberId = Arc<str>;

/// Names a request in its reply; the host gives it its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

#[cfg(test)]
mod tests;
