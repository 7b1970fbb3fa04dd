//! API key 42, DeleteGroups: forgets empty groups and their offsets.
//!
//! Versions 0-2.
//!
//! - 1: a throttled reply is sent before the wait (KIP-219). 2: flexible.

use super::array::Array;
use super::message::message;

message! {
    /// Groups to forget.
    request DeleteGroupsRequest<'a>(DeleteGroups, 0..=2, flexible 2..) {
        /// The groups.
        groups_names: Array<'a, &'a str>, 0..;
    }
}

message! {
    /// What became of each.
    response DeleteGroupsResponse<'a>(DeleteGroups, 0..=2, flexible 2..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 0..;
        /// Results by group.
        results: Array<'a, DeletableGroupResult<'a>>, 0..;
    }

    /// What became of one group.
    #[derive(Copy)]
    struct DeletableGroupResult<'a> {
        /// The group.
        group_id: &'a str, 0..;
        /// 0 if it is gone.
        error_code: i16, 0..;
    }
}
