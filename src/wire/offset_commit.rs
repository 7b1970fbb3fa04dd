//! API key 8, OffsetCommit: says how far a group has read.
//!
//! Versions 2-10; 0-1 went with Kafka 4.0.
//!
//! - 3: throttle time. 4: a throttled reply is sent before the wait (KIP-219).
//! - 5: the broker alone decides how long offsets are kept (KIP-211).
//! - 6: leader epoch (KIP-320). 7: static members (KIP-345). 8: flexible.
//! - 9: consumer groups; `STALE_MEMBER_EPOCH`, `GROUP_ID_NOT_FOUND` (KIP-848).
//! - 10: topics by id, no longer by name.

use super::array::Array;
use super::message::message;

message! {
    /// Offsets to keep for a group.
    request OffsetCommitRequest<'a>(OffsetCommit, 2..=10, flexible 8..) {
        /// The group.
        group_id: &'a str, 0..;
        /// Generation of a classic group, or epoch of a member of a consumer group; -1 for whoever
        /// commits without being a member.
        generation_id_or_member_epoch: i32 = -1, 1.., ignorable;
        /// The member; empty for none.
        member_id: &'a str, 1.., ignorable;
        /// The static member's name.
        group_instance_id: Option<&'a str>, 7.., nullable 7..;
        /// How long to keep the offsets, in milliseconds; -1 for as long as the broker is set to.
        retention_time_ms: i64 = -1, 2..=4, ignorable;
        /// Offsets by topic.
        topics: Array<'a, OffsetCommitRequestTopic<'a>>, 0..;
    }

    /// Offsets in one topic.
    struct OffsetCommitRequestTopic<'a> {
        /// The topic, up to version 9.
        name: &'a str, 0..=9, ignorable;
        /// The topic, from version 10.
        topic_id: [u8; 16], 10.., ignorable;
        /// Offsets by partition.
        partitions: Array<'a, OffsetCommitRequestPartition<'a>>, 0..;
    }

    /// Offset in one partition.
    #[derive(Copy)]
    struct OffsetCommitRequestPartition<'a> {
        /// The partition.
        partition_index: i32, 0..;
        /// Next offset to read.
        committed_offset: i64, 0..;
        /// Leader epoch of the last record read; -1 if unknown.
        committed_leader_epoch: i32 = -1, 6.., ignorable;
        /// Whatever the client wants to keep with it.
        committed_metadata: Option<&'a str> = Some(""), 0.., nullable 0..;
    }
}

message! {
    /// What became of each offset.
    response OffsetCommitResponse<'a>(OffsetCommit, 2..=10, flexible 8..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 3.., ignorable;
        /// Results by topic.
        topics: Array<'a, OffsetCommitResponseTopic<'a>>, 0..;
    }

    /// Results in one topic.
    struct OffsetCommitResponseTopic<'a> {
        /// The topic, up to version 9.
        name: &'a str, 0..=9, ignorable;
        /// The topic, from version 10.
        topic_id: [u8; 16], 10.., ignorable;
        /// Results by partition.
        partitions: Array<'a, OffsetCommitResponsePartition>, 0..;
    }

    /// Result in one partition.
    #[derive(Copy)]
    struct OffsetCommitResponsePartition {
        /// The partition.
        partition_index: i32, 0..;
        /// 0 if the offset is kept.
        error_code: i16, 0..;
    }
}
