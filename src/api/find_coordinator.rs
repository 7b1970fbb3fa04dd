//! FindCoordinator (key 10), versions 0 to 6.
//!
//! - 1: kinds of keys. 3: flexible. 4: several keys at once (KIP-699). 6: share groups (KIP-932).
//!
//! Every group is coordinated by the broker that leads its partition of `__consumer_offsets`, which
//! is this one. The first question creates that topic, and the answer waits for it, so that no
//! client has to ask twice; Kafka answers COORDINATOR_NOT_AVAILABLE first.
//!
//! Not here: transactions and share groups. Their answer is INVALID_REQUEST, which a transactional
//! producer reports at once instead of asking for ever.

use std::collections::BTreeSet;

use crate::api::command::{Command, CommandOutcome};
use crate::catalog::GROUP_METADATA_TOPIC;
use crate::wire::error_code::ErrorCode;
use crate::wire::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;

use super::asked::Asked;
use super::reply::Reply;
use super::{Context, Next, Pending};

/// Kafka's number for a key that is a group.
const GROUP: i8 = 0;

/// A question that waits for the topic to be created.
#[derive(Debug)]
pub struct FindCoordinator {
    asked: Asked,
    key_type: i8,
    keys: Vec<Box<str>>,
}

/// Begins a request.
pub(super) fn begin(asked: Asked, body: &[u8], context: &Context<'_>) -> Result<Next, DecodeError> {
    let request = FindCoordinatorRequest::decode_from(body, asked.version)?;
    let keys = match asked.version {
        // A key asked for a thousand times must not be answered a thousand times.
        4.. => {
            let keys: BTreeSet<&str> = request.coordinator_keys.iter().collect();
            keys.into_iter().map(Into::into).collect()
        }
        _ => vec![request.key.into()],
    };
    let find = FindCoordinator { asked, key_type: request.key_type, keys };
    if find.key_type != GROUP || context.image.topic(GROUP_METADATA_TOPIC).is_some() {
        return Ok(Next::Reply(find.reply(context)));
    }
    let topics = vec![context.offsets_topic.clone()];
    let command = Command::CreateTopics { topics, validate_only: false };
    Ok(Next::Change { pending: Pending::FindCoordinator(find), command })
}

impl FindCoordinator {
    /// The topic is there now, or could not be created.
    pub fn on_outcome(&self, outcome: &CommandOutcome, context: &Context<'_>) -> Next {
        if let CommandOutcome::TopicsCreated(outcomes) = outcome
            && let Some(Err(refusal)) = outcomes.first()
            && context.image.topic(GROUP_METADATA_TOPIC).is_none()
        {
            tracing::error!(?refusal, "{GROUP_METADATA_TOPIC} cannot be created");
        }
        Next::Reply(self.reply(context))
    }

    fn reply(&self, context: &Context<'_>) -> Reply {
        let broker = context.image.brokers.get(&context.node);
        let endpoint = broker.and_then(|broker| broker.endpoints.first());
        let there = context.image.topic(GROUP_METADATA_TOPIC).is_some();
        let (error, error_message) = if self.key_type != GROUP {
            let message = "This broker does not coordinate transactions or share groups.";
            (ErrorCode::INVALID_REQUEST, Some(message))
        } else if !there || endpoint.is_none() {
            (ErrorCode::COORDINATOR_NOT_AVAILABLE, Some("The coordinator is not available."))
        } else {
            (ErrorCode::NONE, None)
        };
        let (node_id, host, port) = match endpoint.filter(|_| error.is_none()) {
            Some(endpoint) => (context.node.0, &*endpoint.host, i32::from(endpoint.port)),
            None => (-1, "", -1),
        };
        let error_code = error.code();
        if self.asked.version < 4 {
            let response = FindCoordinatorResponse {
                error_code,
                error_message,
                node_id,
                host,
                port,
                ..Default::default()
            };
            return self.asked.reply(&response);
        }
        let keys = self.keys.iter();
        let coordinators: Vec<_> = keys
            .map(|key| Coordinator { key, node_id, host, port, error_code, error_message })
            .collect();
        let coordinators = coordinators.into();
        self.asked.reply(&FindCoordinatorResponse { coordinators, ..Default::default() })
    }
}
