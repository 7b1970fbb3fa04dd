//! API key 20, DeleteTopics.
//!
//! Versions 1-6; 0 went with Kafka 4.0.
//!
//! - 2: a throttled reply is sent before the wait, not after it (KIP-219).
//! - 3: the reply may say `TOPIC_DELETION_DISABLED` (KIP-322).
//! - 4: flexible.
//! - 5: error message, and `THROTTLING_QUOTA_EXCEEDED` (KIP-599).
//! - 6: topics by name or by id (KIP-516).

use super::array::Array;
use super::message::message;

message! {
    /// Topics to delete.
    request DeleteTopicsRequest<'a>(DeleteTopics, 1..=6, flexible 4..) {
        /// The topics, from version 6.
        topics: Array<'a, DeleteTopicState<'a>>, 6..;
        /// The topics by name, up to version 5.
        topic_names: Array<'a, &'a str>, 0..=5, ignorable;
        /// How long to wait until the topics are gone, in milliseconds.
        timeout_ms: i32, 0..;
    }

    /// A topic to delete.
    struct DeleteTopicState<'a> {
        /// Topic by name; null if by id.
        name: Option<&'a str>, 6.., nullable 6..;
        /// Topic by id; zero if by name.
        topic_id: [u8; 16], 6..;
    }
}

message! {
    /// What became of each topic.
    response DeleteTopicsResponse<'a>(DeleteTopics, 1..=6, flexible 4..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 1.., ignorable;
        /// Outcomes by topic.
        responses: Array<'a, DeletableTopicResult<'a>>, 0..;
    }

    /// Outcome for one topic.
    struct DeletableTopicResult<'a> {
        /// The topic's name; null if asked by id and it may not be seen.
        name: Option<&'a str>, 0.., nullable 6..;
        /// The topic's id.
        topic_id: [u8; 16], 6.., ignorable;
        /// 0 if it was deleted.
        error_code: i16, 0..;
        /// What is wrong; null if nothing.
        error_message: Option<&'a str>, 5.., nullable 5.., ignorable;
    }
}
