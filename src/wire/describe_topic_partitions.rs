//! API key 75, DescribeTopicPartitions: topics in pages, with eligible leader replicas (KIP-966).
//!
//! Version 0, flexible.

use super::array::Array;
use super::message::message;

message! {
    /// Topics to describe.
    request DescribeTopicPartitionsRequest<'a>(DescribeTopicPartitions, 0..=0, flexible 0..) {
        /// The topics; empty for all.
        topics: Array<'a, TopicRequest<'a>>, 0..;
        /// Most partitions in the reply.
        response_partition_limit: i32 = 2000, 0..;
        /// Where the page begins; null for the start.
        cursor: Option<Cursor<'a>>, 0.., nullable 0..;
    }

    /// A topic to describe.
    struct TopicRequest<'a> {
        /// Its name.
        name: &'a str, 0..;
    }

    /// Where a page begins.
    nullable Cursor<'a> {
        /// Its first topic.
        topic_name: &'a str, 0..;
        /// The first partition of that topic.
        partition_index: i32, 0..;
    }
}

message! {
    /// A page of topics.
    response DescribeTopicPartitionsResponse<'a>(DescribeTopicPartitions, 0..=0, flexible 0..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 0.., ignorable;
        /// The topics.
        topics: Array<'a, DescribeTopicPartitionsResponseTopic<'a>>, 0..;
        /// Where the next page begins; null after the last.
        next_cursor: Option<Cursor<'a>>, 0.., nullable 0..;
    }

    /// A topic.
    struct DescribeTopicPartitionsResponseTopic<'a> {
        /// 0 if the topic exists and may be seen.
        error_code: i16, 0..;
        /// Its name.
        name: Option<&'a str>, 0.., nullable 0..;
        /// Its id.
        topic_id: [u8; 16], 0.., ignorable;
        /// Whether it is one of Kafka's own.
        is_internal: bool, 0.., ignorable;
        /// Its partitions, those of this page.
        partitions: Array<'a, DescribeTopicPartitionsResponsePartition<'a>>, 0..;
        /// Bits of what the client may do with the topic.
        topic_authorized_operations: i32 = i32::MIN, 0..;
    }

    /// A partition.
    struct DescribeTopicPartitionsResponsePartition<'a> {
        /// 0 if it has a leader.
        error_code: i16, 0..;
        /// The partition.
        partition_index: i32, 0..;
        /// The leader's broker id; -1 for none.
        leader_id: i32, 0..;
        /// The leader's epoch; -1 if unknown.
        leader_epoch: i32 = -1, 0.., ignorable;
        /// All replicas, the preferred leader first.
        replica_nodes: Array<'a, i32>, 0..;
        /// The replicas in sync.
        isr_nodes: Array<'a, i32>, 0..;
        /// The replicas that may lead without losing records; null if unknown.
        eligible_leader_replicas: Option<Array<'a, i32>>, 0.., nullable 0..;
        /// The last eligible ones known; null if unknown.
        last_known_elr: Option<Array<'a, i32>>, 0.., nullable 0..;
        /// The replicas that are down.
        offline_replicas: Array<'a, i32>, 0.., ignorable;
    }
}
