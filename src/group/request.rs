//! What clients ask of a group, decoded and owned: a request crosses cores by queue.

use bytes::Bytes;

use super::GroupId;
use crate::ids::TopicId;

/// A request to the coordinator of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// JoinGroup.
    Join(JoinRequest),
    /// SyncGroup.
    Sync(SyncRequest),
    /// Heartbeat.
    Heartbeat(HeartbeatRequest),
    /// LeaveGroup.
    Leave(LeaveRequest),
    /// OffsetCommit.
    Commit(CommitRequest),
    /// OffsetFetch.
    FetchOffsets(FetchOffsetsRequest),
    /// OffsetDelete.
    DeleteOffsets(DeleteOffsetsRequest),
    /// ConsumerGroupHeartbeat.
    ConsumerHeartbeat(ConsumerHeartbeatRequest),
    /// ConsumerGroupDescribe, of one group.
    DescribeConsumers(GroupId),
    /// DescribeGroups, of one group.
    Describe(GroupId),
    /// DeleteGroups, of one group.
    Delete(GroupId),
}

/// Who a member says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberClaim {
    /// The id it was given; empty if none.
    pub id: Box<str>,
    /// `group.instance.id`, if it is a static member (KIP-345).
    pub instance: Option<Box<str>>,
}

/// A wish to be a member in the next generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRequest {
    /// Of which group.
    pub group: GroupId,
    /// Who.
    pub member: MemberClaim,
    /// How the client calls itself.
    pub client_id: Box<str>,
    /// Where it is, as Kafka prints it.
    pub client_host: Box<str>,
    /// Without a heartbeat for this long it is gone.
    pub session_timeout_ms: i32,
    /// How long a rebalance waits for it.
    pub rebalance_timeout_ms: i32,
    /// What kind of protocols these are.
    pub protocol_type: Box<str>,
    /// Protocols it can follow, the preferred one first, with what it tells the leader in each.
    pub protocols: Vec<(Box<str>, Bytes)>,
    /// A new member has to come back with the id it is given before it counts (KIP-394).
    pub needs_known_id: bool,
    /// It knows that a leader may be told to leave the assignment as it is.
    pub may_skip_assignment: bool,
    /// Why it joins, for the log.
    pub reason: Option<Box<str>>,
}

/// A member asks for its assignment; the leader brings those of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncRequest {
    /// Of which group.
    pub group: GroupId,
    /// Who.
    pub member: MemberClaim,
    /// In which generation.
    pub generation: i32,
    /// The protocol type it believes in, if it says so.
    pub protocol_type: Option<Box<str>>,
    /// The protocol it believes in, if it says so.
    pub protocol: Option<Box<str>>,
    /// Assignments by member id.
    pub assignments: Vec<(Box<str>, Bytes)>,
}

/// A sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatRequest {
    /// Of which group.
    pub group: GroupId,
    /// Who.
    pub member: MemberClaim,
    /// In which generation.
    pub generation: i32,
}

/// Members go, or are sent away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveRequest {
    /// Of which group.
    pub group: GroupId,
    /// Which.
    pub members: Vec<Leaving>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// Who.
    pub member: MemberClaim,
    /// Why, for the log.
    pub reason: Option<Box<str>>,
}

/// A member of a consumer group is there, and says what is new of it. `None` is as before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerHeartbeatRequest {
    /// Of which group.
    pub group: GroupId,
    /// Who; without an id only if it joins.
    pub member: MemberClaim,
    /// The epoch it has reached; 0 joins, -1 leaves, -2 leaves for a while.
    pub epoch: i32,
    /// Where it is.
    pub rack: Option<Box<str>>,
    /// How long it may take to give up partitions; negative is as before.
    pub rebalance_timeout_ms: i32,
    /// The topics it subscribes to.
    pub topics: Option<Vec<Box<str>>>,
    /// The pattern of topics it subscribes to; empty for none.
    pub pattern: Option<Box<str>>,
    /// The assignor it prefers.
    pub assignor: Option<Box<str>>,
    /// The partitions it owns.
    pub owned: Option<Vec<(TopicId, Vec<i32>)>>,
    /// How the client calls itself.
    pub client_id: Box<str>,
    /// Where it is, as Kafka prints it.
    pub client_host: Box<str>,
}

/// Topics by name, each with something for its partitions.
pub type Topics<T> = Vec<(Box<str>, Vec<T>)>;

/// How far a group has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRequest {
    /// Which group.
    pub group: GroupId,
    /// Who says so; nobody in particular if both parts are empty.
    pub member: MemberClaim,
    /// In which generation or epoch; negative if the committer is not a member.
    pub generation: i32,
    /// It is of a version that knows of epochs: members of consumer groups have no other.
    pub knows_epochs: bool,
    /// How long the offsets are to be kept, where old clients say so.
    pub retention_ms: Option<i64>,
    /// What. Topic and partition exist.
    pub topics: Topics<OffsetToCommit>,
}

/// One partition's part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetToCommit {
    /// Which.
    pub partition: i32,
    /// The next offset to read.
    pub offset: i64,
    /// Epoch of the last record read; -1 if unknown.
    pub leader_epoch: i32,
    /// The client's note.
    pub metadata: Box<str>,
}

/// Asks how far a group has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchOffsetsRequest {
    /// Which group.
    pub group: GroupId,
    /// Which member asks, and in which epoch; `None` if it is none, or of a classic group.
    pub member: Option<(Box<str>, i32)>,
    /// Of these partitions; `None` is all that it has committed.
    pub topics: Option<Topics<i32>>,
}

/// Forgets how far a group has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteOffsetsRequest {
    /// Which group.
    pub group: GroupId,
    /// Of these partitions.
    pub topics: Topics<i32>,
}

impl Request {
    /// Whose coordinator has to answer.
    #[must_use]
    pub fn group(&self) -> &GroupId {
        match self {
            Request::Join(join) => &join.group,
            Request::Sync(sync) => &sync.group,
            Request::Heartbeat(heartbeat) => &heartbeat.group,
            Request::Leave(leave) => &leave.group,
            Request::Commit(commit) => &commit.group,
            Request::FetchOffsets(fetch) => &fetch.group,
            Request::DeleteOffsets(delete) => &delete.group,
            Request::ConsumerHeartbeat(heartbeat) => &heartbeat.group,
            Request::DescribeConsumers(group)
            | Request::Describe(group)
            | Request::Delete(group) => group,
        }
    }
}
