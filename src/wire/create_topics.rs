//! API key 19, CreateTopics.
//!
//! Versions 2-7; 0-1 went with Kafka 4.0.
//!
//! - 3: a throttled reply is sent before the wait, not after it (KIP-219).
//! - 4: partitions and replication factor may be -1, the broker's defaults (KIP-464).
//! - 5: flexible; the reply carries partitions, replication factor and configuration (KIP-525).
//! - 6: the reply may say `THROTTLING_QUOTA_EXCEEDED` (KIP-599).
//! - 7: the reply carries the topic's id (KIP-516).

use super::array::Array;
use super::message::message;

message! {
    /// Topics to create.
    request CreateTopicsRequest<'a>(CreateTopics, 2..=7, flexible 5..) {
        /// The topics.
        topics: Array<'a, CreatableTopic<'a>>, 0..;
        /// How long to wait until the topics are there, in milliseconds.
        timeout_ms: i32 = 60_000, 0..;
        /// Whether to only say what would happen.
        validate_only: bool, 1..;
    }

    /// A topic to create.
    struct CreatableTopic<'a> {
        /// Its name.
        name: &'a str, 0..;
        /// How many partitions; -1 for the default, or if assigned by hand.
        num_partitions: i32, 0..;
        /// How many replicas of each; -1 for the default, or if assigned by hand.
        replication_factor: i16, 0..;
        /// Assignment by hand; empty if the cluster is to choose.
        assignments: Array<'a, CreatableReplicaAssignment<'a>>, 0..;
        /// Configuration to set.
        configs: Array<'a, CreatableTopicConfig<'a>>, 0..;
    }

    /// Who is to have one partition.
    struct CreatableReplicaAssignment<'a> {
        /// The partition.
        partition_index: i32, 0..;
        /// The brokers, the preferred leader first.
        broker_ids: Array<'a, i32>, 0..;
    }

    /// A configuration to set.
    struct CreatableTopicConfig<'a> {
        /// Its name.
        name: &'a str, 0..;
        /// Its value.
        value: Option<&'a str>, 0.., nullable 0..;
    }
}

message! {
    /// What became of each topic.
    response CreateTopicsResponse<'a>(CreateTopics, 2..=7, flexible 5..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 2.., ignorable;
        /// Outcomes by topic.
        topics: Array<'a, CreatableTopicResult<'a>>, 0..;
    }

    /// Outcome for one topic.
    struct CreatableTopicResult<'a> {
        /// The topic.
        name: &'a str, 0..;
        /// Its id; zero if it was not created.
        topic_id: [u8; 16], 7.., ignorable;
        /// 0 if it was created, or could be.
        error_code: i16, 0..;
        /// What is wrong; null if nothing.
        error_message: Option<&'a str>, 1.., nullable 0.., ignorable;
        /// Why the configuration is left out, if it is.
        topic_config_error_code: i16, 5.., tag 0, ignorable;
        /// How many partitions; -1 if not told.
        num_partitions: i32 = -1, 5.., ignorable;
        /// How many replicas of each; -1 if not told.
        replication_factor: i16 = -1, 5.., ignorable;
        /// The topic's whole configuration; null if it may not be seen.
        configs: Option<Array<'a, CreatableTopicConfigs<'a>>> = Some(Array::default()), 5..,
            nullable 5.., ignorable;
    }

    /// One configuration of a topic.
    struct CreatableTopicConfigs<'a> {
        /// Its name.
        name: &'a str, 5..;
        /// Its value; null if sensitive.
        value: Option<&'a str>, 5.., nullable 5..;
        /// Whether it cannot be changed.
        read_only: bool, 5..;
        /// Where the value comes from, as numbered by DescribeConfigs; -1 if unknown.
        config_source: i8 = -1, 5.., ignorable;
        /// Whether the value is secret.
        is_sensitive: bool, 5..;
    }
}
