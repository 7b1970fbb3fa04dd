//! API key 16, ListGroups: the groups that this broker coordinates.
//!
//! Versions 0-5.
//!
//! - 1: throttle time. 2: a throttled reply is sent before the wait (KIP-219). 3: flexible.
//! - 4: states, as a filter and in the reply (KIP-518).
//! - 5: types, as a filter and in the reply (KIP-848).

use super::array::Array;
use super::message::message;

message! {
    /// Which groups to list.
    request ListGroupsRequest<'a>(ListGroups, 0..=5, flexible 3..) {
        /// Only groups in one of these states; empty for all.
        states_filter: Array<'a, &'a str>, 4..;
        /// Only groups of one of these types; empty for all.
        types_filter: Array<'a, &'a str>, 5..;
    }
}

message! {
    /// The groups.
    response ListGroupsResponse<'a>(ListGroups, 0..=5, flexible 3..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 1.., ignorable;
        /// 0 if the list is whole.
        error_code: i16, 0..;
        /// The groups.
        groups: Array<'a, ListedGroup<'a>>, 0..;
    }

    /// A group.
    #[derive(Copy)]
    struct ListedGroup<'a> {
        /// The group.
        group_id: &'a str, 0..;
        /// What its protocols are for.
        protocol_type: &'a str, 0..;
        /// Its state, by Kafka's name for it.
        group_state: &'a str, 4.., ignorable;
        /// Its type: `classic`, `consumer` and others.
        group_type: &'a str, 5.., ignorable;
    }
}
