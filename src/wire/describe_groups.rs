//! API key 15, DescribeGroups: classic groups and their members, for people.
//!
//! Versions 0-6.
//!
//! - 1: throttle time. 2: a throttled reply is sent before the wait (KIP-219).
//! - 3: authorized operations (KIP-430). 4: static members (KIP-345). 5: flexible.
//! - 6: `GROUP_ID_NOT_FOUND`, with a message (KIP-1043).

use super::array::Array;
use super::message::message;

message! {
    /// Groups to describe.
    request DescribeGroupsRequest<'a>(DescribeGroups, 0..=6, flexible 5..) {
        /// The groups.
        groups: Array<'a, &'a str>, 0..;
        /// Whether to say what the client may do with each.
        include_authorized_operations: bool, 3..;
    }
}

message! {
    /// The groups.
    response DescribeGroupsResponse<'a>(DescribeGroups, 0..=6, flexible 5..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 1.., ignorable;
        /// The groups.
        groups: Array<'a, DescribedGroup<'a>>, 0..;
    }

    /// A group.
    struct DescribedGroup<'a> {
        /// 0 if the group may be seen; up to version 5 also if there is no such group.
        error_code: i16, 0..;
        /// What is wrong, for people.
        error_message: Option<&'a str>, 6.., nullable 6..;
        /// The group.
        group_id: &'a str, 0..;
        /// Its state, by Kafka's name for it.
        group_state: &'a str, 0..;
        /// What its protocols are for.
        protocol_type: &'a str, 0..;
        /// The protocol it follows; empty unless the group is stable.
        protocol_data: &'a str, 0..;
        /// Its members.
        members: Array<'a, DescribedGroupMember<'a>>, 0..;
        /// Bits of what the client may do with the group.
        authorized_operations: i32 = i32::MIN, 3..;
    }

    /// A member.
    #[derive(Copy)]
    struct DescribedGroupMember<'a> {
        /// The member.
        member_id: &'a str, 0..;
        /// The static member's name.
        group_instance_id: Option<&'a str>, 4.., nullable 4.., ignorable;
        /// The name its client goes by.
        client_id: &'a str, 0..;
        /// Where its client is.
        client_host: &'a str, 0..;
        /// What it told of itself; empty unless the group is stable.
        member_metadata: &'a [u8], 0..;
        /// What it was assigned; empty unless the group is stable.
        member_assignment: &'a [u8], 0..;
    }
}
