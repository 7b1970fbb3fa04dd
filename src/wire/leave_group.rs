//! API key 13, LeaveGroup: takes members out of a classic group.
//!
//! Versions 0-5.
//!
//! - 1: throttle time. 2: a throttled reply is sent before the wait (KIP-219).
//! - 3: several members at once, static ones too (KIP-345). 4: flexible.
//! - 5: the reason (KIP-800).

use super::array::Array;
use super::message::message;

message! {
    /// Members to take out.
    request LeaveGroupRequest<'a>(LeaveGroup, 0..=5, flexible 4..) {
        /// The group.
        group_id: &'a str, 0..;
        /// The member, up to version 2.
        member_id: &'a str, 0..=2;
        /// The members, from version 3.
        members: Array<'a, MemberIdentity<'a>>, 3..;
    }

    /// A member to take out.
    #[derive(Copy)]
    struct MemberIdentity<'a> {
        /// The member; may be empty for a static one.
        member_id: &'a str, 3..;
        /// The static member's name.
        group_instance_id: Option<&'a str>, 3.., nullable 3..;
        /// Why it leaves, for people.
        reason: Option<&'a str>, 5.., nullable 5.., ignorable;
    }
}

message! {
    /// What became of each.
    response LeaveGroupResponse<'a>(LeaveGroup, 0..=5, flexible 4..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 1.., ignorable;
        /// 0 if the group was looked at; up to version 2, if the member is out.
        error_code: i16, 0..;
        /// Results by member, from version 3.
        members: Array<'a, MemberResponse<'a>>, 3..;
    }

    /// What became of one member.
    #[derive(Copy)]
    struct MemberResponse<'a> {
        /// The member.
        member_id: &'a str, 3..;
        /// The static member's name.
        group_instance_id: Option<&'a str>, 3.., nullable 3..;
        /// 0 if it is out.
        error_code: i16, 3..;
    }
}
