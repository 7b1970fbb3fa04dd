//! API key 9, OffsetFetch: how far groups have read.
//!
//! Versions 1-10; 0, which asked ZooKeeper, went with Kafka 4.0.
//!
//! - 2: null topics for all, an error for the whole reply. 3: throttle time.
//! - 4: a throttled reply is sent before the wait (KIP-219). 5: leader epoch (KIP-320).
//! - 6: flexible. 7: only stable offsets, on demand; `UNSTABLE_OFFSET_COMMIT` (KIP-447).
//! - 8: several groups at once (KIP-709).
//! - 9: the asking member; `UNKNOWN_MEMBER_ID`, `STALE_MEMBER_EPOCH` (KIP-848).
//! - 10: topics by id, no longer by name.

use super::array::Array;
use super::message::message;

message! {
    /// Groups and partitions to look up.
    request OffsetFetchRequest<'a>(OffsetFetch, 1..=10, flexible 6..) {
        /// The group, up to version 7.
        group_id: &'a str, 0..=7;
        /// Its topics, up to version 7; null for all.
        topics: Option<Array<'a, OffsetFetchRequestTopic<'a>>>, 0..=7, nullable 2..;
        /// The groups, from version 8.
        groups: Array<'a, OffsetFetchRequestGroup<'a>>, 8..;
        /// Whether to refuse, for now, offsets that a transaction under way may replace.
        require_stable: bool, 7..;
    }

    /// Partitions of one topic, up to version 7.
    struct OffsetFetchRequestTopic<'a> {
        /// The topic.
        name: &'a str, 0..=7;
        /// The partitions.
        partition_indexes: Array<'a, i32>, 0..=7;
    }

    /// A group to look up, from version 8.
    struct OffsetFetchRequestGroup<'a> {
        /// The group.
        group_id: &'a str, 8..;
        /// The asking member of a consumer group; null for whoever asks without being one.
        member_id: Option<&'a str>, 9.., nullable 9.., ignorable;
        /// Its epoch; -1 without a member.
        member_epoch: i32 = -1, 9.., ignorable;
        /// The topics; null for all.
        topics: Option<Array<'a, OffsetFetchRequestTopics<'a>>>, 8.., nullable 8..;
    }

    /// Partitions of one topic, from version 8.
    struct OffsetFetchRequestTopics<'a> {
        /// The topic, up to version 9.
        name: &'a str, 8..=9, ignorable;
        /// The topic, from version 10.
        topic_id: [u8; 16], 10.., ignorable;
        /// The partitions.
        partition_indexes: Array<'a, i32>, 8..;
    }
}

message! {
    /// The offsets found.
    response OffsetFetchResponse<'a>(OffsetFetch, 1..=10, flexible 6..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 3.., ignorable;
        /// Offsets by topic, up to version 7.
        topics: Array<'a, OffsetFetchResponseTopic<'a>>, 0..=7;
        /// 0 if the group was looked up, up to version 7.
        error_code: i16, 2..=7, ignorable;
        /// Offsets by group, from version 8.
        groups: Array<'a, OffsetFetchResponseGroup<'a>>, 8..;
    }

    /// Offsets in one topic, up to version 7.
    struct OffsetFetchResponseTopic<'a> {
        /// The topic.
        name: &'a str, 0..=7;
        /// Offsets by partition.
        partitions: Array<'a, OffsetFetchResponsePartition<'a>>, 0..=7;
    }

    /// Offset in one partition, up to version 7.
    #[derive(Copy)]
    struct OffsetFetchResponsePartition<'a> {
        /// The partition.
        partition_index: i32, 0..=7;
        /// Next offset to read; -1 for none.
        committed_offset: i64, 0..=7;
        /// Leader epoch of the last record read; -1 if unknown.
        committed_leader_epoch: i32 = -1, 5..=7, ignorable;
        /// What the client kept with it.
        metadata: Option<&'a str> = Some(""), 0..=7, nullable 0..;
        /// 0 if the partition was looked up, whether or not it has an offset.
        error_code: i16, 0..=7;
    }

    /// Offsets of one group, from version 8.
    struct OffsetFetchResponseGroup<'a> {
        /// The group.
        group_id: &'a str, 8..;
        /// Offsets by topic.
        topics: Array<'a, OffsetFetchResponseTopics<'a>>, 8..;
        /// 0 if the group was looked up.
        error_code: i16, 8..;
    }

    /// Offsets in one topic, from version 8.
    struct OffsetFetchResponseTopics<'a> {
        /// The topic, up to version 9.
        name: &'a str, 8..=9, ignorable;
        /// The topic, from version 10.
        topic_id: [u8; 16], 10.., ignorable;
        /// Offsets by partition.
        partitions: Array<'a, OffsetFetchResponsePartitions<'a>>, 8..;
    }

    /// Offset in one partition, from version 8.
    #[derive(Copy)]
    struct OffsetFetchResponsePartitions<'a> {
        /// The partition.
        partition_index: i32, 8..;
        /// Next offset to read; -1 for none.
        committed_offset: i64, 8..;
        /// Leader epoch of the last record read; -1 if unknown.
        committed_leader_epoch: i32 = -1, 8.., ignorable;
        /// What the client kept with it.
        metadata: Option<&'a str> = Some(""), 8.., nullable 8..;
        /// 0 if the partition was looked up, whether or not it has an offset.
        error_code: i16, 8..;
    }
}
