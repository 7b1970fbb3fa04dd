//! API key 23, OffsetForLeaderEpoch: where an epoch ends, to find out what was truncated (KIP-101).
//!
//! Versions 2-4; 0-1 went with Kafka 4.0.
//!
//! - 2: leader epoch of the asker, to fence it (KIP-320).
//! - 3: replica id; -2, the default, may see past the high watermark.
//! - 4: flexible.

use super::array::Array;
use super::message::message;

message! {
    /// Epochs to look up.
    request OffsetForLeaderEpochRequest<'a>(OffsetForLeaderEpoch, 2..=4, flexible 4..) {
        /// The asking broker; -1 for consumers.
        replica_id: i32 = -2, 3.., ignorable;
        /// Lookups by topic.
        topics: Array<'a, OffsetForLeaderTopic<'a>>, 0..;
    }

    /// Lookups in one topic.
    struct OffsetForLeaderTopic<'a> {
        /// The topic.
        topic: &'a str, 0..;
        /// Lookups by partition.
        partitions: Array<'a, OffsetForLeaderPartition>, 0..;
    }

    /// One lookup.
    #[derive(Copy)]
    struct OffsetForLeaderPartition {
        /// The partition.
        partition: i32, 0..;
        /// Leader epoch the asker knows; -1 if none.
        current_leader_epoch: i32 = -1, 2.., ignorable;
        /// The epoch to look up.
        leader_epoch: i32, 0..;
    }
}

message! {
    /// Where the epochs end.
    response OffsetForLeaderEpochResponse<'a>(OffsetForLeaderEpoch, 2..=4, flexible 4..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 2.., ignorable;
        /// Ends by topic.
        topics: Array<'a, OffsetForLeaderTopicResult<'a>>, 0..;
    }

    /// Ends in one topic.
    struct OffsetForLeaderTopicResult<'a> {
        /// The topic.
        topic: &'a str, 0..;
        /// Ends by partition.
        partitions: Array<'a, EpochEndOffset>, 0..;
    }

    /// End of an epoch in one partition.
    #[derive(Copy)]
    struct EpochEndOffset {
        /// 0 if the lookup was done.
        error_code: i16, 0..;
        /// The partition.
        partition: i32, 0..;
        /// The largest epoch not above the one asked for; -1 for none.
        leader_epoch: i32 = -1, 1.., ignorable;
        /// The offset after its last record; -1 for none.
        end_offset: i64 = -1, 0..;
    }
}
