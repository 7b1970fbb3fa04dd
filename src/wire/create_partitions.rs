//! API key 37, CreatePartitions: adds partitions to topics (KIP-195).
//!
//! Versions 0-3.
//!
//! - 1: a throttled reply is sent before the wait, not after it (KIP-219).
//! - 2: flexible.
//! - 3: the reply may say `THROTTLING_QUOTA_EXCEEDED` (KIP-599).

use super::array::Array;
use super::message::message;

message! {
    /// Topics to grow.
    request CreatePartitionsRequest<'a>(CreatePartitions, 0..=3, flexible 2..) {
        /// The topics.
        topics: Array<'a, CreatePartitionsTopic<'a>>, 0..;
        /// How long to wait until the partitions are there, in milliseconds.
        timeout_ms: i32, 0..;
        /// Whether to only say what would happen.
        validate_only: bool, 0..;
    }

    /// A topic to grow.
    struct CreatePartitionsTopic<'a> {
        /// The topic.
        name: &'a str, 0..;
        /// How many partitions it is to have in all.
        count: i32, 0..;
        /// Assignment of the new ones by hand, in order; null if the cluster is to choose.
        assignments: Option<Array<'a, CreatePartitionsAssignment<'a>>>, 0.., nullable 0..;
    }

    /// Who is to have one new partition.
    struct CreatePartitionsAssignment<'a> {
        /// The brokers, the preferred leader first.
        broker_ids: Array<'a, i32>, 0..;
    }
}

message! {
    /// What became of each topic.
    response CreatePartitionsResponse<'a>(CreatePartitions, 0..=3, flexible 2..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 0..;
        /// Outcomes by topic.
        results: Array<'a, CreatePartitionsTopicResult<'a>>, 0..;
    }

    /// Outcome for one topic.
    struct CreatePartitionsTopicResult<'a> {
        /// The topic.
        name: &'a str, 0..;
        /// 0 if it has grown, or could.
        error_code: i16, 0..;
        /// What is wrong; null if nothing.
        error_message: Option<&'a str>, 0.., nullable 0..;
    }
}
