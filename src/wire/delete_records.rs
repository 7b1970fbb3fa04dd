//! API key 21, DeleteRecords: moves the start of partitions' logs (KIP-107).
//!
//! Versions 0-2.
//!
//! - 1: a throttled reply is sent before the wait, not after it (KIP-219).
//! - 2: flexible.

use super::array::Array;
use super::message::message;

message! {
    /// Offsets before which to delete.
    request DeleteRecordsRequest<'a>(DeleteRecords, 0..=2, flexible 2..) {
        /// Offsets by topic.
        topics: Array<'a, DeleteRecordsTopic<'a>>, 0..;
        /// How long to wait for all replicas, in milliseconds.
        timeout_ms: i32, 0..;
    }

    /// Offsets in one topic.
    struct DeleteRecordsTopic<'a> {
        /// The topic.
        name: &'a str, 0..;
        /// Offsets by partition.
        partitions: Array<'a, DeleteRecordsPartition>, 0..;
    }

    /// Offset in one partition.
    #[derive(Copy)]
    struct DeleteRecordsPartition {
        /// The partition.
        partition_index: i32, 0..;
        /// First offset to keep; -1 for the high watermark.
        offset: i64, 0..;
    }
}

message! {
    /// Where the logs begin now.
    response DeleteRecordsResponse<'a>(DeleteRecords, 0..=2, flexible 2..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 0..;
        /// Outcomes by topic.
        topics: Array<'a, DeleteRecordsTopicResult<'a>>, 0..;
    }

    /// Outcomes for one topic.
    struct DeleteRecordsTopicResult<'a> {
        /// The topic.
        name: &'a str, 0..;
        /// Outcomes by partition.
        partitions: Array<'a, DeleteRecordsPartitionResult>, 0..;
    }

    /// Outcome for one partition.
    #[derive(Copy)]
    struct DeleteRecordsPartitionResult {
        /// The partition.
        partition_index: i32, 0..;
        /// Smallest first offset of all replicas.
        low_watermark: i64, 0..;
        /// 0 if the records are deleted.
        error_code: i16, 0..;
    }
}
