//! API key 11, JoinGroup: makes a client a member of a classic group, and waits for the others.
//!
//! Versions 0-9.
//!
//! - 1: rebalance timeout (KIP-62). 2: throttle time.
//! - 3: a throttled reply is sent before the wait (KIP-219).
//! - 4: who joins without a member id gets one and joins again; `MEMBER_ID_REQUIRED` (KIP-394).
//! - 5: static members (KIP-345). 6: flexible.
//! - 7: the reply names the protocol type, and the protocol may be null (KIP-559).
//! - 8: the client's reason (KIP-800).
//! - 9: the leader may be told to leave assignments as they are (KIP-814).

use super::array::Array;
use super::message::message;

message! {
    /// A client that wants to be a member.
    request JoinGroupRequest<'a>(JoinGroup, 0..=9, flexible 6..) {
        /// The group.
        group_id: &'a str, 0..;
        /// Without a heartbeat for so long, in milliseconds, the member is out.
        session_timeout_ms: i32, 0..;
        /// How long a rebalance waits for the member, in milliseconds; -1 for the session timeout.
        rebalance_timeout_ms: i32 = -1, 1.., ignorable;
        /// The member; empty for a new one.
        member_id: &'a str, 0..;
        /// The static member's name.
        group_instance_id: Option<&'a str>, 5.., nullable 5..;
        /// What the protocols are for: `consumer`, `connect` and others.
        protocol_type: &'a str, 0..;
        /// Protocols the member can follow, the one it likes best first.
        protocols: Array<'a, JoinGroupRequestProtocol<'a>>, 0..;
        /// Why it joins, for people.
        reason: Option<&'a str>, 8.., nullable 8.., ignorable;
    }

    /// A protocol a member can follow.
    #[derive(Copy)]
    struct JoinGroupRequestProtocol<'a> {
        /// Its name.
        name: &'a str, 0..;
        /// What the member tells the leader of itself.
        metadata: &'a [u8], 0..;
    }
}

message! {
    /// A generation, once all members have joined.
    response JoinGroupResponse<'a>(JoinGroup, 0..=9, flexible 6..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 2.., ignorable;
        /// 0 if the client is a member.
        error_code: i16, 0..;
        /// The generation; -1 for none.
        generation_id: i32 = -1, 0..;
        /// What the protocol is for.
        protocol_type: Option<&'a str>, 7.., nullable 7.., ignorable;
        /// The protocol all members can follow; without one, null or, before version 7, empty.
        protocol_name: Option<&'a str> = Some(""), 0.., nullable 7..;
        /// The member that assigns.
        leader: &'a str, 0..;
        /// Whether the leader must leave assignments as they are.
        skip_assignment: bool, 9..;
        /// The member the client is, or the id it must join with.
        member_id: &'a str, 0..;
        /// All members, for the leader; empty for the others.
        members: Array<'a, JoinGroupResponseMember<'a>>, 0..;
    }

    /// A member as its leader sees it.
    #[derive(Copy)]
    struct JoinGroupResponseMember<'a> {
        /// The member.
        member_id: &'a str, 0..;
        /// The static member's name.
        group_instance_id: Option<&'a str>, 5.., nullable 5.., ignorable;
        /// What it tells of itself, in the words of the protocol.
        metadata: &'a [u8], 0..;
    }
}
