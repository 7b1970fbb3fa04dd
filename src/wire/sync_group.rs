//! API key 14, SyncGroup: the leader of a classic group hands in assignments, each member gets its own.
//!
//! Versions 0-5.
//!
//! - 1: throttle time. 2: a throttled reply is sent before the wait (KIP-219).
//! - 3: static members (KIP-345). 4: flexible. 5: protocol type and name, both ways (KIP-559).

use super::array::Array;
use super::message::message;

message! {
    /// A member of a new generation, the leader with assignments.
    request SyncGroupRequest<'a>(SyncGroup, 0..=5, flexible 4..) {
        /// The group.
        group_id: &'a str, 0..;
        /// The generation.
        generation_id: i32, 0..;
        /// The member.
        member_id: &'a str, 0..;
        /// The static member's name.
        group_instance_id: Option<&'a str>, 3.., nullable 3..;
        /// What the protocol is for, as the member knows it.
        protocol_type: Option<&'a str>, 5.., nullable 5.., ignorable;
        /// The protocol, as the member knows it.
        protocol_name: Option<&'a str>, 5.., nullable 5.., ignorable;
        /// Assignments by member, from the leader.
        assignments: Array<'a, SyncGroupRequestAssignment<'a>>, 0..;
    }

    /// The assignment of one member.
    #[derive(Copy)]
    struct SyncGroupRequestAssignment<'a> {
        /// The member.
        member_id: &'a str, 0..;
        /// Its assignment, in the words of the protocol.
        assignment: &'a [u8], 0..;
    }
}

message! {
    /// The member's own assignment.
    response SyncGroupResponse<'a>(SyncGroup, 0..=5, flexible 4..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 1.., ignorable;
        /// 0 if the member has an assignment.
        error_code: i16, 0..;
        /// What the protocol is for.
        protocol_type: Option<&'a str>, 5.., nullable 5.., ignorable;
        /// The protocol.
        protocol_name: Option<&'a str>, 5.., nullable 5.., ignorable;
        /// The assignment, in the words of the protocol.
        assignment: &'a [u8], 0..;
    }
}
