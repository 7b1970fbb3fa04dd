//! API key 10, FindCoordinator: names the broker that coordinates a group or a transactional id.
//!
//! Versions 0-6.
//!
//! - 1: kinds of keys, error message. 2: a throttled reply is sent before the wait (KIP-219).
//! - 3: flexible. 4: several keys at once (KIP-699). 5: `TRANSACTION_ABORTABLE` (KIP-890).
//! - 6: share groups (KIP-932).

use super::array::Array;
use super::message::message;

message! {
    /// Asks who coordinates.
    request FindCoordinatorRequest<'a>(FindCoordinator, 0..=6, flexible 3..) {
        /// The group or transactional id, up to version 3.
        key: &'a str, 0..=3;
        /// What it is: 0 a group, 1 a transactional id, 2 a partition of a share group.
        key_type: i8, 1..;
        /// The ids, from version 4.
        coordinator_keys: Array<'a, &'a str>, 4..;
    }
}

message! {
    /// Who coordinates.
    response FindCoordinatorResponse<'a>(FindCoordinator, 0..=6, flexible 3..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 1.., ignorable;
        /// 0 if the coordinator is known.
        error_code: i16, 0..=3;
        /// What is wrong, for people.
        error_message: Option<&'a str>, 1..=3, nullable 1.., ignorable;
        /// The coordinator.
        node_id: i32, 0..=3;
        /// Where to reach it.
        host: &'a str, 0..=3;
        /// Its port.
        port: i32, 0..=3;
        /// An answer for each id, from version 4.
        coordinators: Array<'a, Coordinator<'a>>, 4..;
    }

    /// Who coordinates one id.
    struct Coordinator<'a> {
        /// The id.
        key: &'a str, 4..;
        /// The coordinator.
        node_id: i32, 4..;
        /// Where to reach it.
        host: &'a str, 4..;
        /// Its port.
        port: i32, 4..;
        /// 0 if the coordinator is known.
        error_code: i16, 4..;
        /// What is wrong, for people.
        error_message: Option<&'a str>, 4.., nullable 4..;
    }
}
