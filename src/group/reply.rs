//! What a coordinator answers.

use std::time::Duration;

use bytes::Bytes;

use super::classic::State;
use super::consumer::{Assignor, ConsumerState, Partitions};
use super::request::Topics;
use super::{GroupId, MemberId};

/// Why a request is not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The log of this coordinator is still being read.
    Loading,
    /// This coordinator could not write, or cannot read its log; it is being loaded anew.
    NotAvailable,
    /// Another one is responsible for the group, or none.
    NotCoordinator,
    /// The group has no such member.
    UnknownMember,
    /// The member's instance id has been taken by another member since.
    FencedInstance,
    /// Another generation is under way.
    IllegalGeneration,
    /// The member has to join again first.
    RebalanceInProgress,
    /// There is no protocol that all members can follow, or another one was chosen.
    InconsistentProtocol,
    /// Come back with the id that comes with this.
    MemberIdRequired,
    /// The group has `group.max.size` members.
    GroupFull,
    /// Outside of `group.min.session.timeout.ms` and `group.max.session.timeout.ms`.
    InvalidSessionTimeout,
    /// There is no such group.
    GroupNotFound,
    /// The group still has members.
    NonEmptyGroup,
    /// The group reads this topic.
    SubscribedToTopic,
    /// Longer than `offset.metadata.max.bytes`.
    MetadataTooLarge,
    /// The group's state does not fit into one record.
    StateTooLarge,
    /// There is a group, of the other protocol.
    OtherProtocol,
    /// The protocol of consumer groups is switched off.
    Disabled,
    /// The member is not in this epoch.
    FencedMemberEpoch,
    /// Offsets are asked for, or committed, in an epoch that the member is not in.
    StaleMemberEpoch,
    /// Another member has this instance id, and has not left.
    UnreleasedInstance,
    /// `group.consumer.assignors` does not name it.
    UnsupportedAssignor,
    /// It is no regular expression, or one that costs too much.
    InvalidPattern,
    /// The members subscribe by as many patterns as a group may have.
    TooManyPatterns,
}

/// The answer to a [`Request`](super::Request).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To `Join`.
    Join(Result<Joined, JoinRefused>),
    /// To `Sync`.
    Sync(Result<Synced, Refusal>),
    /// To `Heartbeat`.
    Heartbeat(Result<(), Refusal>),
    /// To `Leave`: for each member asked for, in order.
    Leave(Result<Vec<Result<(), Refusal>>, Refusal>),
    /// To `Commit`.
    Commit(CommitReply),
    /// To `FetchOffsets`, in the order asked for.
    Offsets(Result<Topics<FetchedOffset>, Refusal>),
    /// To `DeleteOffsets`: for each partition asked for, in order.
    OffsetsDeleted(Result<Vec<Result<(), Refusal>>, Refusal>),
    /// To `ConsumerHeartbeat`.
    ConsumerHeartbeat(Result<ConsumerHeartbeat, Refusal>),
    /// To `DescribeConsumers`.
    ConsumersDescribed(Result<DescribedConsumerGroup, Refusal>),
    /// To `Describe`.
    Described(Result<DescribedGroup, Refusal>),
    /// To `Delete`.
    Deleted(Result<(), Refusal>),
}

/// To a commit: for each partition asked for, in order.
pub type CommitReply = Result<Vec<Result<(), Refusal>>, Refusal>;

/// A member is in a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Which generation.
    pub generation: i32,
    /// The kind of its protocol.
    pub protocol_type: Option<Box<str>>,
    /// The protocol that was chosen.
    pub protocol: Option<Box<str>>,
    /// The member that assigns.
    pub leader: Option<MemberId>,
    /// The leader is to leave the assignment as it is.
    pub skip_assignment: bool,
    /// The member itself.
    pub member: MemberId,
    /// All members, for the leader only.
    pub members: Vec<JoinedMember>,
}

/// A member as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Who.
    pub id: MemberId,
    /// `group.instance.id`.
    pub instance: Option<Box<str>>,
    /// What it says in the chosen protocol.
    pub metadata: Bytes,
}

/// A member is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRefused {
    /// Why.
    pub refusal: Refusal,
    /// The id to go on with; empty for none.
    pub member: MemberId,
}

/// A member's assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// The kind of the protocol.
    pub protocol_type: Option<Box<str>>,
    /// The protocol.
    pub protocol: Option<Box<str>>,
    /// What the leader gave it.
    pub assignment: Bytes,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedOffset {
    /// Of which partition.
    pub partition: i32,
    /// The offset, its leader epoch (-1 if unknown) and the client's note; `None` if there is none.
    pub committed: Option<(i64, i32, Box<str>)>,
}

/// A group as tools see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedGroup {
    /// Where it stands.
    pub state: State,
    /// The kind of its protocol; empty if it never had one.
    pub protocol_type: Box<str>,
    /// The protocol, if the group is stable.
    pub protocol: Box<str>,
    /// Its members.
    pub members: Vec<DescribedMember>,
}

/// A member as tools see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    /// Who.
    pub id: MemberId,
    /// `group.instance.id`.
    pub instance: Option<Box<str>>,
    /// How its client calls itself.
    pub client_id: Box<str>,
    /// Where it is.
    pub client_host: Box<str>,
    /// What it says in the chosen protocol, if the group is stable.
    pub metadata: Bytes,
    /// What the leader gave it.
    pub assignment: Bytes,
}

/// How a member of a consumer group stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerHeartbeat {
    /// Who.
    pub member: MemberId,
    /// The epoch it has reached.
    pub epoch: i32,
    /// When to send the next heartbeat; nothing for one that has left.
    pub interval: Duration,
    /// What it may use from now on; `None` is as before.
    pub assignment: Option<Partitions>,
}

/// A consumer group as tools see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConsumerGroup {
    /// Where it stands.
    pub state: ConsumerState,
    /// Its epoch.
    pub epoch: i32,
    /// The epoch that its target assignment was made for.
    pub target_epoch: i32,
    /// The assignor it follows.
    pub assignor: Assignor,
    /// Its members.
    pub members: Vec<DescribedConsumer>,
}

/// A member of a consumer group as tools see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConsumer {
    /// Who.
    pub id: MemberId,
    /// `group.instance.id`
    pub instance: Option<Box<str>>,
    /// `client.rack`
    pub rack: Option<Box<str>>,
    /// The epoch it has reached.
    pub epoch: i32,
    /// How its client calls itself.
    pub client_id: Box<str>,
    /// Where it is.
    pub client_host: Box<str>,
    /// The topics it subscribes to by name.
    pub topics: Vec<Box<str>>,
    /// The pattern of topics it subscribes to.
    pub pattern: Option<Box<str>>,
    /// What it has.
    pub assigned: Partitions,
    /// What it shall have.
    pub target: Partitions,
}

/// Which protocol a group follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupType {
    /// Its members assign among themselves.
    Classic,
    /// The broker assigns (KIP-848).
    Consumer,
}

impl GroupType {
    /// Kafka's name, as tools show it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            GroupType::Classic => "classic",
            GroupType::Consumer => "consumer",
        }
    }
}

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// Which.
    pub group: GroupId,
    /// The kind of its protocol; empty if it never had one.
    pub protocol_type: Box<str>,
    /// Which protocol it follows.
    pub group_type: GroupType,
    /// Kafka's name of where it stands.
    pub state: &'static str,
}

impl Reply {
    /// The answer that refuses `request` whole.
    #[must_use]
    pub fn refused(request: &super::Request, refusal: Refusal) -> Reply {
        use super::Request;
        match request {
            Request::Join(join) => {
                Reply::Join(Err(JoinRefused { refusal, member: MemberId::from(&*join.member.id) }))
            }
            Request::Sync(_) => Reply::Sync(Err(refusal)),
            // While its log is read nobody can say that the member is gone.
            Request::Heartbeat(_) if refusal == Refusal::Loading => Reply::Heartbeat(Ok(())),
            Request::Heartbeat(_) => Reply::Heartbeat(Err(refusal)),
            Request::Leave(_) => Reply::Leave(Err(refusal)),
            Request::Commit(_) => Reply::Commit(Err(refusal)),
            Request::FetchOffsets(_) => Reply::Offsets(Err(refusal)),
            Request::DeleteOffsets(_) => Reply::OffsetsDeleted(Err(refusal)),
            Request::ConsumerHeartbeat(_) => Reply::ConsumerHeartbeat(Err(refusal)),
            Request::DescribeConsumers(_) => Reply::ConsumersDescribed(Err(refusal)),
            Request::Describe(_) => Reply::Described(Err(refusal)),
            Request::Delete(_) => Reply::Deleted(Err(refusal)),
        }
    }

    /// The same answer, refused after all: what it says could not be made durable.
    #[must_use]
    pub fn instead(self, refusal: Refusal) -> Reply {
        match self {
            Reply::Join(_) => Reply::Join(Err(JoinRefused { refusal, member: MemberId::from("") })),
            Reply::Sync(_) => Reply::Sync(Err(refusal)),
            Reply::Heartbeat(_) => Reply::Heartbeat(Err(refusal)),
            Reply::Leave(_) => Reply::Leave(Err(refusal)),
            Reply::Commit(_) => Reply::Commit(Err(refusal)),
            Reply::Offsets(_) => Reply::Offsets(Err(refusal)),
            Reply::OffsetsDeleted(_) => Reply::OffsetsDeleted(Err(refusal)),
            Reply::ConsumerHeartbeat(_) => Reply::ConsumerHeartbeat(Err(refusal)),
            Reply::ConsumersDescribed(_) => Reply::ConsumersDescribed(Err(refusal)),
            Reply::Described(_) => Reply::Described(Err(refusal)),
            Reply::Deleted(_) => Reply::Deleted(Err(refusal)),
        }
    }
}
