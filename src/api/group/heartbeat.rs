//! Heartbeat (key 12), versions 0 to 4.
//!
//! - 3: static members (KIP-345). 4: flexible.

use super::{Group, ask, claim, error_code};
use crate::api::reply::Reply;
use crate::api::{Asked, Context, Next};
use crate::group::{self, Refusal, Request};
use crate::wire::error_code::ErrorCode;
use crate::wire::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;

/// Begins a request.
pub(super) fn begin(asked: Asked, body: &[u8], context: &Context<'_>) -> Result<Next, DecodeError> {
    let request = HeartbeatRequest::decode_from(body, asked.version)?;
    if request.group_id.is_empty() {
        let error_code = ErrorCode::INVALID_GROUP_ID.code();
        let response = HeartbeatResponse { error_code, ..Default::default() };
        return Ok(Next::Reply(asked.reply(&response)));
    }
    let heartbeat = group::HeartbeatRequest {
        group: request.group_id.into(),
        member: claim(request.member_id, request.group_instance_id),
        generation: request.generation_id,
    };
    Ok(ask(Group::Heartbeat(asked), Request::Heartbeat(heartbeat), context))
}

pub(super) fn reply(asked: Asked, alive: Result<(), Refusal>) -> Reply {
    let error_code = error_code(&alive);
    asked.reply(&HeartbeatResponse { error_code, ..Default::default() })
}
