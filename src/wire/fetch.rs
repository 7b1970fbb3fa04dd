//! API key 1, Fetch: reads record batches, for consumers and for follower replicas.
//!
//! Versions 4-18; 0-3 (record formats before batches v2) went with Kafka 4.0.
//!
//! - 4: isolation level, aborted transactions (KIP-98).
//! - 5: log start offset, both ways (KIP-107).
//! - 6: the reply may say `KAFKA_STORAGE_ERROR`.
//! - 7: incremental fetch sessions (KIP-227).
//! - 8: a throttled reply is sent before the wait, not after it (KIP-219).
//! - 9: leader epoch of the fetcher, to fence it (KIP-320).
//! - 10: zstd (KIP-110).
//! - 11: rack, and the preferred read replica in return (KIP-392).
//! - 12: flexible; divergence by epoch instead of a lookup before fetching (KIP-595).
//! - 13: topics by id instead of name (KIP-516).
//! - 14: `OFFSET_MOVED_TO_TIERED_STORAGE` (KIP-405).
//! - 15: followers send id and epoch as a tagged field (KIP-903).
//! - 16: the new leader's address, tagged, when the partition has moved (KIP-951).
//! - 17: directory id of the follower (KIP-853).
//! - 18: high watermark of the follower (KIP-1166).

use super::array::Array;
use super::message::message;
use super::value::Records;

message! {
    /// Partitions to read, or in an incremental fetch the changes to the session's partitions.
    request FetchRequest<'a>(Fetch, 4..=18, flexible 12..) {
        /// The cluster the fetcher believes to be in; checked if not null.
        cluster_id: Option<&'a str>, 12.., nullable 12.., tag 0, ignorable;
        /// The follower's broker id up to version 14; -1 for consumers.
        replica_id: i32 = -1, 0..=14;
        /// Who follows, from version 15.
        replica_state: ReplicaState, 15.., tag 1;
        /// Longest wait for `min_bytes`, in milliseconds.
        max_wait_ms: i32, 0..;
        /// Bytes to collect before replying.
        min_bytes: i32, 0..;
        /// Bytes to stop at, for the whole reply; the first batch is sent even if larger (KIP-74).
        max_bytes: i32 = i32::MAX, 3.., ignorable;
        /// 0 reads up to the high watermark, 1 up to the last stable offset.
        isolation_level: i8, 4.., ignorable;
        /// The fetch session; 0 for none yet.
        session_id: i32, 7.., ignorable;
        /// Which request of the session this is: -1 no session wanted, 0 a new one.
        session_epoch: i32 = -1, 7.., ignorable;
        /// The partitions by topic, in the order in which to serve them.
        topics: Array<'a, FetchTopic<'a>>, 0..;
        /// Partitions that leave the session.
        forgotten_topics_data: Array<'a, ForgottenTopic<'a>>, 7..;
        /// The consumer's rack; empty if it told none.
        rack_id: &'a str, 11.., ignorable;
    }

    /// Identity of a follower (KIP-903).
    #[derive(Copy)]
    struct ReplicaState {
        /// The follower's broker id; -1 for consumers.
        replica_id: i32 = -1, 15..;
        /// The follower's broker epoch; -1 if unknown.
        replica_epoch: i64 = -1, 15..;
    }

    /// Partitions of one topic.
    struct FetchTopic<'a> {
        /// Topic by name, up to version 12.
        topic: &'a str, 0..=12, ignorable;
        /// Topic by id, from version 13.
        topic_id: [u8; 16], 13.., ignorable;
        /// The partitions.
        partitions: Array<'a, FetchPartition>, 0..;
    }

    /// Where to read one partition.
    #[derive(Copy)]
    struct FetchPartition {
        /// The partition.
        partition: i32, 0..;
        /// Leader epoch the fetcher knows; -1 if none.
        current_leader_epoch: i32 = -1, 9.., ignorable;
        /// First offset wanted.
        fetch_offset: i64, 0..;
        /// Epoch of the last record fetched; -1 if there is none.
        last_fetched_epoch: i32 = -1, 12..;
        /// A follower's first offset; -1 from consumers.
        log_start_offset: i64 = -1, 5.., ignorable;
        /// Bytes to stop at for this partition; the first batch may be larger (KIP-74).
        partition_max_bytes: i32, 0..;
        /// The directory the follower keeps this partition in.
        replica_directory_id: [u8; 16], 17.., tag 0, ignorable;
        /// The follower's high watermark; the largest number if it told none.
        high_watermark: i64 = i64::MAX, 18.., tag 1, ignorable;
    }

    /// Partitions of one topic that leave the session.
    struct ForgottenTopic<'a> {
        /// Topic by name, up to version 12.
        topic: &'a str, 7..=12, ignorable;
        /// Topic by id, from version 13.
        topic_id: [u8; 16], 13.., ignorable;
        /// The partitions.
        partitions: Array<'a, i32>, 7..;
    }
}

message! {
    /// Records and positions, in a session only of partitions with something new to say.
    response FetchResponse<'a>(Fetch, 4..=18, flexible 12..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 1.., ignorable;
        /// Error of the whole request, as of its session.
        error_code: i16, 7.., ignorable;
        /// The fetch session; 0 for none.
        session_id: i32, 7..;
        /// Outcomes by topic.
        responses: Array<'a, FetchableTopicResponse<'a>>, 0..;
        /// Where the leaders named in the outcomes live (KIP-951).
        node_endpoints: Array<'a, NodeEndpoint<'a>>, 16.., tag 0;
    }

    /// Outcomes for one topic.
    struct FetchableTopicResponse<'a> {
        /// Topic by name, up to version 12.
        topic: &'a str, 0..=12, ignorable;
        /// Topic by id, from version 13.
        topic_id: [u8; 16], 13.., ignorable;
        /// Outcomes by partition.
        partitions: Array<'a, PartitionData<'a>>, 0..;
    }

    /// Records and positions of one partition.
    struct PartitionData<'a> {
        /// The partition.
        partition_index: i32, 0..;
        /// 0 if the positions and records are good.
        error_code: i16, 0..;
        /// First offset not yet on all in-sync replicas.
        high_watermark: i64, 0..;
        /// First offset of an undecided transaction, or the high watermark; -1 if unknown.
        last_stable_offset: i64 = -1, 4.., ignorable;
        /// First offset of the log; -1 if unknown.
        log_start_offset: i64 = -1, 5.., ignorable;
        /// Where the fetcher's log parts from this one, if it does (KIP-595).
        diverging_epoch: EpochEndOffset, 12.., tag 0;
        /// The partition's leader now, when the fetcher should know (KIP-951).
        current_leader: LeaderIdAndEpoch, 12.., tag 1;
        /// The snapshot to fetch instead; only of the metadata quorum (KIP-630).
        snapshot_id: SnapshotId, 12.., tag 2;
        /// Transactions aborted within the records; null unless read committed.
        aborted_transactions: Option<Array<'a, AbortedTransaction>>, 4.., nullable 4.., ignorable;
        /// The replica to fetch from next; -1 for this one (KIP-392).
        preferred_read_replica: i32 = -1, 11..;
        /// The batches.
        records: Records<'a>, 0.., nullable 0..;
    }

    /// An epoch and the offset at which it ends.
    #[derive(Copy)]
    struct EpochEndOffset {
        /// The largest epoch both logs may share; -1 for none.
        epoch: i32 = -1, 12..;
        /// The offset after its last record; -1 for none.
        end_offset: i64 = -1, 12..;
    }

    /// A partition's leader.
    #[derive(Copy)]
    struct LeaderIdAndEpoch {
        /// The broker; -1 if unknown.
        leader_id: i32 = -1, 12..;
        /// Its epoch; -1 if unknown.
        leader_epoch: i32 = -1, 12..;
    }

    /// Name of a snapshot: the position it covers the log up to.
    #[derive(Copy)]
    struct SnapshotId {
        /// The offset after the last record covered; -1 for none.
        end_offset: i64 = -1, 0..;
        /// The epoch of that record; -1 for none.
        epoch: i32 = -1, 0..;
    }

    /// A transaction whose records a read-committed consumer must drop.
    #[derive(Copy)]
    struct AbortedTransaction {
        /// Its producer.
        producer_id: i64, 4..;
        /// Its first record's offset.
        first_offset: i64, 4..;
    }

    /// Address of a broker.
    struct NodeEndpoint<'a> {
        /// The broker.
        node_id: i32, 16..;
        /// Host name or address.
        host: &'a str, 16..;
        /// Port.
        port: i32, 16..;
        /// Rack; null if it has none.
        rack: Option<&'a str>, 16.., nullable 16..;
    }
}
