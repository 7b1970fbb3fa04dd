//! API key 68, ConsumerGroupHeartbeat: joins, leaves, and all that lies between, for members of
//! consumer groups (KIP-848).
//!
//! Versions 0-1, flexible.
//!
//! - 1: subscription by regular expression; the client makes its member id (KIP-1082).

use super::array::Array;
use super::message::message;

message! {
    /// A member that lives, and what is new of it.
    request ConsumerGroupHeartbeatRequest<'a>(ConsumerGroupHeartbeat, 0..=1, flexible 0..) {
        /// The group.
        group_id: &'a str, 0..;
        /// The member, for the life of its process.
        member_id: &'a str, 0..;
        /// The epoch the member has reached; 0 joins, -1 leaves, -2 leaves for a while as a static
        /// member.
        member_epoch: i32, 0..;
        /// The static member's name; null if it is none or as before.
        instance_id: Option<&'a str>, 0.., nullable 0..;
        /// Where the member is; null if unknown or as before.
        rack_id: Option<&'a str>, 0.., nullable 0..;
        /// How long to wait until it has given up partitions, in milliseconds; -1 for as before.
        rebalance_timeout_ms: i32 = -1, 0..;
        /// The topics it subscribes to; null for as before.
        subscribed_topic_names: Option<Array<'a, &'a str>>, 0.., nullable 0..;
        /// A pattern of the topics it subscribes to; null for as before.
        subscribed_topic_regex: Option<&'a str>, 1.., nullable 1..;
        /// The broker's assignor it prefers; null for none or as before.
        server_assignor: Option<&'a str>, 0.., nullable 0..;
        /// The partitions it owns; null for as before.
        topic_partitions: Option<Array<'a, TopicPartitions<'a>>>, 0.., nullable 0..;
    }

    /// Partitions of one topic.
    struct TopicPartitions<'a> {
        /// The topic.
        topic_id: [u8; 16], 0..;
        /// The partitions.
        partitions: Array<'a, i32>, 0..;
    }
}

message! {
    /// How the member stands.
    response ConsumerGroupHeartbeatResponse<'a>(ConsumerGroupHeartbeat, 0..=1, flexible 0..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 0..;
        /// 0 if the member is in, or has left.
        error_code: i16, 0..;
        /// What is wrong, for people.
        error_message: Option<&'a str>, 0.., nullable 0..;
        /// The member.
        member_id: Option<&'a str>, 0.., nullable 0..;
        /// Its epoch.
        member_epoch: i32, 0..;
        /// When to send the next heartbeat, in milliseconds.
        heartbeat_interval_ms: i32, 0..;
        /// What the member may use from now on; null for as before.
        assignment: Option<Assignment<'a>>, 0.., nullable 0..;
    }

    /// Partitions of a member.
    nullable Assignment<'a> {
        /// Partitions by topic.
        topic_partitions: Array<'a, TopicPartitions<'a>>, 0..;
    }
}
