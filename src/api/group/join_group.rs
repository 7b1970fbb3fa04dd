//! JoinGroup (key 11), versions 0 to 9.
//!
//! - 1: rebalance timeout (before, the session timeout is it). 4: a new member has to come back with
//!   the id it is given (KIP-394). 5: static members (KIP-345). 6: flexible.
//! - 7: protocol type in the reply. 8: reason (KIP-800). 9: a leader may be told to keep the
//!   assignment (KIP-814).

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{Client, Group, ask, claim, group_error, host};
use crate::api::reply::Reply;
use crate::api::{Asked, Context, Next};
use crate::group::{JoinRefused, JoinRequest, Joined, Request};
use crate::wire::error_code::ErrorCode;
use crate::wire::join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember};
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;

/// Begins a request.
pub(super) fn begin(
    asked: Asked,
    body: &[u8],
    client: Client<'_>,
    context: &Context<'_>,
) -> Result<Next, DecodeError> {
    let request = JoinGroupRequest::decode_from(body, asked.version)?;
    if request.group_id.is_empty() {
        let member_id = request.member_id;
        return Ok(Next::Reply(refused(asked, ErrorCode::INVALID_GROUP_ID, member_id)));
    }
    let rebalance_timeout_ms = match asked.version {
        0 => request.session_timeout_ms,
        _ => request.rebalance_timeout_ms,
    };
    // A protocol named twice counts once.
    let mut names = BTreeSet::new();
    let protocols = request.protocols.iter().filter(|protocol| names.insert(protocol.name));
    let join = JoinRequest {
        group: request.group_id.into(),
        member: claim(request.member_id, request.group_instance_id),
        client_id: client.id.into(),
        client_host: host(client.address).into(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms,
        protocol_type: request.protocol_type.into(),
        protocols: protocols
            .map(|protocol| (protocol.name.into(), Bytes::copy_from_slice(protocol.metadata)))
            .collect(),
        needs_known_id: asked.version >= 4,
        may_skip_assignment: asked.version >= 9,
        reason: request.reason.map(Into::into),
    };
    Ok(ask(Group::Join(asked), Request::Join(join), context))
}

pub(super) fn reply(asked: Asked, joined: &Result<Joined, JoinRefused>) -> Reply {
    let joined = match joined {
        Ok(joined) => joined,
        Err(JoinRefused { refusal, member }) => {
            return refused(asked, group_error(*refusal), member);
        }
    };
    let members: Vec<_> = (joined.members.iter())
        .map(|member| JoinGroupResponseMember {
            member_id: &member.id,
            group_instance_id: member.instance.as_deref(),
            metadata: &member.metadata,
        })
        .collect();
    asked.reply(&JoinGroupResponse {
        generation_id: joined.generation,
        protocol_type: joined.protocol_type.as_deref(),
        protocol_name: Some(joined.protocol.as_deref().unwrap_or_default()),
        leader: joined.leader.as_deref().unwrap_or_default(),
        skip_assignment: joined.skip_assignment,
        member_id: &joined.member,
        members: members.into(),
        ..Default::default()
    })
}

fn refused(asked: Asked, error: ErrorCode, member_id: &str) -> Reply {
    asked.reply(&JoinGroupResponse {
        error_code: error.code(),
        // Before version 7 there is no null.
        protocol_name: (asked.version < 7).then_some(""),
        member_id,
        ..Default::default()
    })
}
