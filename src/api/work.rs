//! What the api asks of the owners of partitions, and what they answer. Plain owned values: they
//! cross cores by queue.

use bytes::BytesMut;

use crate::batch::BatchError;
use crate::group;
use crate::ids::{LeaderEpoch, Offset, TopicPartition};
use crate::producer;
use crate::stdx::few::Few;
use crate::time::Timestamp;

use super::reply::Filling;

/// Work on partitions. Every item has an index that its answer carries.
#[derive(Debug)]
pub enum Question {
    /// Append batches.
    Produce {
        /// Answer before the batch is durable (acks=0), or after.
        acks: Acks,
        /// What.
        items: Few<ProduceItem>,
    },
    /// Read batches.
    Fetch {
        /// Over all items; the first batch of the first item with data is returned even so.
        bytes_max: usize,
        /// What.
        items: Few<FetchItem>,
    },
    /// Find offsets by time.
    Offsets(Vec<OffsetsItem>),
    /// Where leader epochs end (KIP-101).
    EpochEnds(Vec<EpochEndItem>),
    /// Move the log start.
    DeleteRecords(Vec<DeleteRecordsItem>),
    /// Sizes of all partitions that the receiver owns.
    LogSizes,
    /// Requests to groups, at their coordinators.
    Groups(Vec<GroupItem>),
    /// All groups that the receiver coordinates.
    ListGroups,
}

/// One request to a group.
#[derive(Debug)]
pub struct GroupItem {
    /// Comes back in the answer.
    pub index: u32,
    /// The partition of `__consumer_offsets` that the group belongs to.
    pub at: TopicPartition,
    /// What.
    pub request: group::Request,
}

/// How long a producer wants to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// acks=0: no reply at all.
    None,
    /// acks=1: the leader has it as durably as `flush.messages` says.
    Leader,
    /// acks=all: and so has every in-sync replica.
    All,
}

/// One batch to append.
#[derive(Debug)]
pub struct ProduceItem {
    /// Comes back in the answer.
    pub index: u32,
    /// Whose log.
    pub at: TopicPartition,
    /// As received.
    pub batch: BytesMut,
}

/// One partition to read.
#[derive(Clone, Debug)]
pub struct FetchItem {
    /// Comes back in the answer.
    pub index: u32,
    /// Whose log.
    pub at: TopicPartition,
    /// From here.
    pub offset: Offset,
    /// Most bytes of this partition.
    pub bytes_max: usize,
    /// The leader epoch the consumer believes in.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// The epoch of the last record it has read.
    pub last_fetched_epoch: Option<LeaderEpoch>,
}

/// What offset a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetQuery {
    /// The log start.
    Earliest,
    /// The high watermark.
    Latest,
    /// The record with the largest timestamp (KIP-734).
    MaxTimestamp,
    /// The first record with at least this timestamp.
    AtLeast(Timestamp),
    /// The first offset that is on local disk (KIP-405): the log start here.
    EarliestLocal,
    /// The last offset in remote storage (KIP-1005): none here.
    LatestTiered,
}

/// One offset to find.
#[derive(Clone, Debug)]
pub struct OffsetsItem {
    /// Comes back in the answer.
    pub index: u32,
    /// Whose log.
    pub at: TopicPartition,
    /// What.
    pub query: OffsetQuery,
    /// The leader epoch the client believes in.
    pub current_leader_epoch: Option<LeaderEpoch>,
}

/// One epoch whose end is asked for.
#[derive(Clone, Debug)]
pub struct EpochEndItem {
    /// Comes back in the answer.
    pub index: u32,
    /// Whose log.
    pub at: TopicPartition,
    /// The leader epoch the client believes in.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// Whose end is asked for.
    pub epoch: LeaderEpoch,
}

/// One log start to move.
#[derive(Clone, Debug)]
pub struct DeleteRecordsItem {
    /// Comes back in the answer.
    pub index: u32,
    /// Whose log.
    pub at: TopicPartition,
    /// The new log start; `None` is the high watermark.
    pub before: Option<Offset>,
}

/// Why a shard does not read or move a partition as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionRefusal {
    /// Not owned here, or not there at all.
    Unknown,
    /// The client's leader epoch is older than the partition's.
    FencedEpoch,
    /// The client's leader epoch is newer than the partition's.
    UnknownEpoch,
    /// Before the log start or beyond the log end.
    OffsetOutOfRange {
        /// Log start, told along so that the client can place itself.
        log_start: Offset,
        /// High watermark.
        high_watermark: Offset,
    },
    /// The bytes could not be read.
    Storage,
    /// The bytes are not those that were written.
    Corrupt,
}

/// Why a batch is not appended. Nothing of it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProduceRefusal {
    /// See there.
    Partition(PartitionRefusal),
    /// The batch itself is not right.
    Batch(BatchError),
    /// A compacted topic takes no records without keys; these have none, by their index in the
    /// batch.
    Keyless(Vec<i32>),
    /// Larger than the topic's `max.message.bytes`.
    TooLarge {
        /// Of the batch.
        size: usize,
        /// `max.message.bytes`
        size_max: usize,
    },
    /// A record's timestamp is too far from the broker's clock.
    Timestamp {
        /// Of the record.
        timestamp: Timestamp,
    },
    /// The producer's id, epoch or sequence is not right.
    Producer(producer::Refusal),
    /// Fewer in-sync replicas than `min.insync.replicas`.
    NotEnoughReplicas,
    /// Only internal callers may write here, or only such batches.
    NotAllowed,
    /// No space to store it.
    Storage,
    /// Too much waits to be looked into already; the same batch may be taken later.
    Busy,
}

/// An appended batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    /// Of its first record.
    pub base_offset: Offset,
    /// The time the broker stamped, where the topic says `LogAppendTime`.
    pub append_time: Option<Timestamp>,
    /// Of the log.
    pub log_start: Offset,
}

/// What was read of one partition.
#[derive(Debug)]
pub struct Fetched {
    /// Where consumers may read up to.
    pub high_watermark: Offset,
    /// Of the log.
    pub log_start: Offset,
    /// Whole batches, except that the last one may be cut short (Kafka's way).
    pub records: Filling,
    /// Their bytes.
    pub size: usize,
    /// The log parted from the consumer's at this epoch and offset (KIP-595).
    pub diverging: Option<(LeaderEpoch, Offset)>,
}

/// An offset found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    /// `None` when there is no such record.
    pub offset: Option<Offset>,
    /// Of the record, where asked by time.
    pub timestamp: Option<Timestamp>,
    /// Epoch of the record, or of the partition.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// The answers to one question, each with the index of its item.
pub type Answers = Few<(u32, Answer)>;

/// The answer to one item.
#[derive(Debug)]
pub enum Answer {
    /// To `Question::Produce`.
    Produced(Result<Produced, ProduceRefusal>),
    /// To `Question::Fetch`.
    Fetched(Result<Fetched, PartitionRefusal>),
    /// To `Question::Offsets`.
    Offset(Result<FoundOffset, PartitionRefusal>),
    /// To `Question::EpochEnds`: the largest epoch not above the one asked for, and its end.
    EpochEnd(Result<Option<(LeaderEpoch, Offset)>, PartitionRefusal>),
    /// To `Question::DeleteRecords`: the log start now.
    RecordsDeleted(Result<Offset, PartitionRefusal>),
    /// To `Question::LogSizes`; one answer with all of them.
    LogSizes(Vec<(TopicPartition, u64)>),
    /// To `Question::Groups`.
    Group(group::Reply),
    /// To `Question::ListGroups`; one answer with all of them.
    Groups(Result<Vec<group::ListedGroup>, group::Refusal>),
}
