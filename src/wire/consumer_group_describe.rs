//! API key 69, ConsumerGroupDescribe: consumer groups and their members, for people (KIP-848).
//!
//! Versions 0-1, flexible.
//!
//! - 1: by which protocol each member takes part (KIP-1099).

use super::array::Array;
use super::message::message;

message! {
    /// Groups to describe.
    request ConsumerGroupDescribeRequest<'a>(ConsumerGroupDescribe, 0..=1, flexible 0..) {
        /// The groups.
        group_ids: Array<'a, &'a str>, 0..;
        /// Whether to say what the client may do with each.
        include_authorized_operations: bool, 0..;
    }
}

message! {
    /// The groups.
    response ConsumerGroupDescribeResponse<'a>(ConsumerGroupDescribe, 0..=1, flexible 0..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 0..;
        /// The groups.
        groups: Array<'a, DescribedGroup<'a>>, 0..;
    }

    /// A group.
    struct DescribedGroup<'a> {
        /// 0 if the group is there and may be seen.
        error_code: i16, 0..;
        /// What is wrong, for people.
        error_message: Option<&'a str>, 0.., nullable 0..;
        /// The group.
        group_id: &'a str, 0..;
        /// Its state, by Kafka's name for it.
        group_state: &'a str, 0..;
        /// Its epoch, which rises with every change of members or subscriptions.
        group_epoch: i32, 0..;
        /// The epoch its target assignment was made for.
        assignment_epoch: i32, 0..;
        /// The assignor it follows.
        assignor_name: &'a str, 0..;
        /// Its members.
        members: Array<'a, Member<'a>>, 0..;
        /// Bits of what the client may do with the group.
        authorized_operations: i32 = i32::MIN, 0..;
    }

    /// A member.
    struct Member<'a> {
        /// The member.
        member_id: &'a str, 0..;
        /// The static member's name.
        instance_id: Option<&'a str>, 0.., nullable 0..;
        /// Where it is.
        rack_id: Option<&'a str>, 0.., nullable 0..;
        /// The epoch it has reached.
        member_epoch: i32, 0..;
        /// The name its client goes by.
        client_id: &'a str, 0..;
        /// Where its client is.
        client_host: &'a str, 0..;
        /// The topics it subscribes to by name.
        subscribed_topic_names: Array<'a, &'a str>, 0..;
        /// A pattern of the topics it subscribes to; null for none.
        subscribed_topic_regex: Option<&'a str>, 0.., nullable 0..;
        /// What it has.
        assignment: Assignment<'a>, 0..;
        /// What it shall have.
        target_assignment: Assignment<'a>, 0..;
        /// 0 if it takes part by the classic protocol, 1 by the consumer protocol; -1 if unknown.
        member_type: i8 = -1, 1.., ignorable;
    }

    /// Partitions of a member.
    struct Assignment<'a> {
        /// Partitions by topic.
        topic_partitions: Array<'a, TopicPartitions<'a>>, 0..;
    }

    /// Partitions of one topic.
    struct TopicPartitions<'a> {
        /// The topic.
        topic_id: [u8; 16], 0..;
        /// Its name.
        topic_name: &'a str, 0..;
        /// The partitions.
        partitions: Array<'a, i32>, 0..;
    }
}
