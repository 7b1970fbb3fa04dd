//! API key 12, Heartbeat: a member of a classic group lives, and hears whether the group rebalances.
//!
//! Versions 0-4.
//!
//! - 1: throttle time. 2: a throttled reply is sent before the wait (KIP-219).
//! - 3: static members (KIP-345). 4: flexible.

use super::message::message;

message! {
    /// A member that lives.
    request HeartbeatRequest<'a>(Heartbeat, 0..=4, flexible 4..) {
        /// The group.
        group_id: &'a str, 0..;
        /// The generation the member knows.
        generation_id: i32, 0..;
        /// The member.
        member_id: &'a str, 0..;
        /// The static member's name.
        group_instance_id: Option<&'a str>, 3.., nullable 3..;
    }
}

message! {
    /// How the group stands.
    #[derive(Copy)]
    response HeartbeatResponse(Heartbeat, 0..=4, flexible 4..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 1.., ignorable;
        /// 0 if the member is in and has nothing to do.
        error_code: i16, 0..;
    }
}
