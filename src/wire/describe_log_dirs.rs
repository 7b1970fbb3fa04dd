//! API key 35, DescribeLogDirs: what lies in which log directory of this broker (KIP-113).
//!
//! Versions 1-4; 0 went with Kafka 4.0.
//!
//! - 2: flexible.
//! - 3: error of the whole request (KIP-784).
//! - 4: size and free space of the volumes (KIP-827).

use super::array::Array;
use super::message::message;

message! {
    /// Partitions to describe.
    request DescribeLogDirsRequest<'a>(DescribeLogDirs, 1..=4, flexible 2..) {
        /// Partitions by topic; null for all.
        topics: Option<Array<'a, DescribableLogDirTopic<'a>>>, 0.., nullable 0..;
    }

    /// Partitions of one topic.
    struct DescribableLogDirTopic<'a> {
        /// The topic.
        topic: &'a str, 0..;
        /// The partitions.
        partitions: Array<'a, i32>, 0..;
    }
}

message! {
    /// The log directories.
    response DescribeLogDirsResponse<'a>(DescribeLogDirs, 1..=4, flexible 2..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 0..;
        /// Error of the whole request.
        error_code: i16, 3.., ignorable;
        /// The directories.
        results: Array<'a, DescribeLogDirsResult<'a>>, 0..;
    }

    /// A log directory.
    struct DescribeLogDirsResult<'a> {
        /// 0 if it is online.
        error_code: i16, 0..;
        /// Its absolute path.
        log_dir: &'a str, 0..;
        /// What lies in it, by topic.
        topics: Array<'a, DescribeLogDirsTopic<'a>>, 0..;
        /// Size of its volume in bytes; -1 if unknown.
        total_bytes: i64 = -1, 4.., ignorable;
        /// Bytes of its volume that can still be used; -1 if unknown.
        usable_bytes: i64 = -1, 4.., ignorable;
    }

    /// Partitions of one topic in a directory.
    struct DescribeLogDirsTopic<'a> {
        /// The topic.
        name: &'a str, 0..;
        /// The partitions.
        partitions: Array<'a, DescribeLogDirsPartition>, 0..;
    }

    /// A partition in a directory.
    #[derive(Copy)]
    struct DescribeLogDirsPartition {
        /// The partition.
        partition_index: i32, 0..;
        /// Bytes in its segments.
        partition_size: i64, 0..;
        /// How far its end is from the high watermark, or for a future replica from the current one.
        offset_lag: i64, 0..;
        /// Whether it is on its way to replace the replica in another directory.
        is_future_key: bool, 0..;
    }
}
