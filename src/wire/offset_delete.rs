//! API key 47, OffsetDelete: forgets how far a group has read in some partitions (KIP-496).
//!
//! Version 0, the only one, not flexible.

use super::array::Array;
use super::message::message;

message! {
    /// Offsets to forget.
    request OffsetDeleteRequest<'a>(OffsetDelete, 0..=0, flexible 1..) {
        /// The group.
        group_id: &'a str, 0..;
        /// Partitions by topic.
        topics: Array<'a, OffsetDeleteRequestTopic<'a>>, 0..;
    }

    /// Partitions of one topic.
    struct OffsetDeleteRequestTopic<'a> {
        /// The topic.
        name: &'a str, 0..;
        /// The partitions.
        partitions: Array<'a, OffsetDeleteRequestPartition>, 0..;
    }

    /// A partition.
    #[derive(Copy)]
    struct OffsetDeleteRequestPartition {
        /// The partition.
        partition_index: i32, 0..;
    }
}

message! {
    /// What became of each.
    response OffsetDeleteResponse<'a>(OffsetDelete, 0..=0, flexible 1..) {
        /// 0 if the group was looked at.
        error_code: i16, 0..;
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 0.., ignorable;
        /// Results by topic.
        topics: Array<'a, OffsetDeleteResponseTopic<'a>>, 0..;
    }

    /// Results in one topic.
    struct OffsetDeleteResponseTopic<'a> {
        /// The topic.
        name: &'a str, 0..;
        /// Results by partition.
        partitions: Array<'a, OffsetDeleteResponsePartition>, 0..;
    }

    /// Result in one partition.
    #[derive(Copy)]
    struct OffsetDeleteResponsePartition {
        /// The partition.
        partition_index: i32, 0..;
        /// 0 if there is no offset any more.
        error_code: i16, 0..;
    }
}
