//! SyncGroup (key 14), versions 0 to 5.
//!
//! - 3: static members (KIP-345). 4: flexible. 5: protocol type and name, which are then demanded
//!   (KIP-559).

use bytes::Bytes;

use super::{Group, ask, claim, error_code};
use crate::api::reply::Reply;
use crate::api::{Asked, Context, Next};
use crate::group::{Refusal, Request, SyncRequest, Synced};
use crate::wire::error_code::ErrorCode;
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;
use crate::wire::sync_group::{SyncGroupRequest, SyncGroupResponse};

/// Begins a request.
pub(super) fn begin(asked: Asked, body: &[u8], context: &Context<'_>) -> Result<Next, DecodeError> {
    let request = SyncGroupRequest::decode_from(body, asked.version)?;
    let silent = request.protocol_type.is_none() || request.protocol_name.is_none();
    let error = if asked.version >= 5 && silent {
        ErrorCode::INCONSISTENT_GROUP_PROTOCOL
    } else if request.group_id.is_empty() {
        ErrorCode::INVALID_GROUP_ID
    } else {
        ErrorCode::NONE
    };
    if !error.is_none() {
        let response = SyncGroupResponse { error_code: error.code(), ..Default::default() };
        return Ok(Next::Reply(asked.reply(&response)));
    }
    let assignments = request.assignments.iter();
    let sync = SyncRequest {
        group: request.group_id.into(),
        member: claim(request.member_id, request.group_instance_id),
        generation: request.generation_id,
        protocol_type: request.protocol_type.map(Into::into),
        protocol: request.protocol_name.map(Into::into),
        assignments: assignments
            .map(|one| (one.member_id.into(), Bytes::copy_from_slice(one.assignment)))
            .collect(),
    };
    Ok(ask(Group::Sync(asked), Request::Sync(sync), context))
}

pub(super) fn reply(asked: Asked, synced: &Result<Synced, Refusal>) -> Reply {
    let known = synced.as_ref().ok();
    asked.reply(&SyncGroupResponse {
        error_code: error_code(synced),
        protocol_type: known.and_then(|synced| synced.protocol_type.as_deref()),
        protocol_name: known.and_then(|synced| synced.protocol.as_deref()),
        assignment: known.map_or(&[], |synced| &synced.assignment),
        ..Default::default()
    })
}
