//! FindCoordinator (key 10), versions 0 to 6.
//!
//! Not here: groups and transactions, so nobody coordinates. The API is offered all the same, for
//! librdkafka compresses with LZ4 only if it sees it. The answer for groups is
//! COORDINATOR_NOT_AVAILABLE, which leaves consumers with assigned partitions alone; any other code
//! librdkafka hands to the application as an error of the consumer, group or not. For transactional
//! ids it is INVALID_REQUEST, which a transactional producer reports at once instead of asking for
//! ever.

use std::collections::BTreeSet;

use crate::wire::error_code::ErrorCode;
use crate::wire::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;

use super::Next;
use super::asked::Asked;

/// Kafka's number for a key that is a group.
const GROUP: i8 = 0;

/// Answers a request.
pub(super) fn answer(asked: Asked, body: &[u8]) -> Result<Next, DecodeError> {
    let request = FindCoordinatorRequest::decode_from(body, asked.version)?;
    let (error, message) = if request.key_type == GROUP {
        (ErrorCode::COORDINATOR_NOT_AVAILABLE, "This broker does not coordinate groups.")
    } else {
        (ErrorCode::INVALID_REQUEST, "This broker does not coordinate transactions.")
    };
    let error_code = error.code();
    let response = if asked.version >= 4 {
        // A key asked for a thousand times must not be answered a thousand times.
        let keys: BTreeSet<&str> = request.coordinator_keys.iter().collect();
        let coordinators: Vec<_> = keys
            .into_iter()
            .map(|key| Coordinator {
                key,
                node_id: -1,
                port: -1,
                error_code,
                error_message: Some(message),
                ..Default::default()
            })
            .collect();
        FindCoordinatorResponse { coordinators: coordinators.into(), ..Default::default() }
    } else {
        FindCoordinatorResponse {
            error_code,
            error_message: Some(message),
            node_id: -1,
            port: -1,
            ..Default::default()
        }
    };
    Ok(Next::Reply(asked.reply(&response)))
}
