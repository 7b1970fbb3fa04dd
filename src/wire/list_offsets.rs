//! API key 2, ListOffsets: the offset that goes with a time, or with the log's start or end.
//!
//! Versions 1-11; 0 (several offsets per partition) went with Kafka 4.0. Special timestamps: -1 end,
//! -2 start.
//!
//! - 2: isolation level (KIP-98).
//! - 3: a throttled reply is sent before the wait, not after it (KIP-219).
//! - 4: leader epoch, both ways (KIP-320).
//! - 5: the reply may say `OFFSET_NOT_AVAILABLE` (KIP-207).
//! - 6: flexible.
//! - 7: timestamp -3, the record with the largest timestamp (KIP-734).
//! - 8: timestamp -4, the first offset on local disk (KIP-405).
//! - 9: timestamp -5, the last offset on remote storage (KIP-1005).
//! - 10: timeout, for lookups in remote storage (KIP-1075).
//! - 11: timestamp -6, the first offset not yet on remote storage (KIP-1023).

use super::array::Array;
use super::message::message;

message! {
    /// Partitions and times to look up.
    request ListOffsetsRequest<'a>(ListOffsets, 1..=11, flexible 6..) {
        /// The asking broker; -1 for clients.
        replica_id: i32, 0..;
        /// 0 takes the high watermark for the end, 1 the last stable offset.
        isolation_level: i8, 2..;
        /// Lookups by topic.
        topics: Array<'a, ListOffsetsTopic<'a>>, 0..;
        /// How long a lookup in remote storage may take, in milliseconds.
        timeout_ms: i32, 10.., ignorable;
    }

    /// Lookups in one topic.
    struct ListOffsetsTopic<'a> {
        /// The topic.
        name: &'a str, 0..;
        /// Lookups by partition.
        partitions: Array<'a, ListOffsetsPartition>, 0..;
    }

    /// One lookup.
    #[derive(Copy)]
    struct ListOffsetsPartition {
        /// The partition.
        partition_index: i32, 0..;
        /// Leader epoch the asker knows; -1 if none.
        current_leader_epoch: i32 = -1, 4.., ignorable;
        /// Time in milliseconds since 1970, or one of the special ones.
        timestamp: i64, 0..;
    }
}

message! {
    /// The offsets found.
    response ListOffsetsResponse<'a>(ListOffsets, 1..=11, flexible 6..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 2.., ignorable;
        /// Offsets by topic.
        topics: Array<'a, ListOffsetsTopicResponse<'a>>, 0..;
    }

    /// Offsets found in one topic.
    struct ListOffsetsTopicResponse<'a> {
        /// The topic.
        name: &'a str, 0..;
        /// Offsets by partition.
        partitions: Array<'a, ListOffsetsPartitionResponse>, 0..;
    }

    /// Offset found in one partition.
    #[derive(Copy)]
    struct ListOffsetsPartitionResponse {
        /// The partition.
        partition_index: i32, 0..;
        /// 0 if the lookup was done, whether or not it found a record.
        error_code: i16, 0..;
        /// The record's timestamp; -1 for special lookups and for none found.
        timestamp: i64 = -1, 1..;
        /// The offset; -1 for none found.
        offset: i64 = -1, 1..;
        /// Leader epoch of the record at that offset; -1 if unknown.
        leader_epoch: i32 = -1, 4..;
    }
}
