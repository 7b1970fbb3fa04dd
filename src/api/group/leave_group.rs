//! LeaveGroup (key 13), versions 0 to 5.
//!
//! - 3: several members at once, static ones by their instance (KIP-345). 4: flexible. 5: reason
//!   (KIP-800).

use super::{Group, ask, claim, error_code};
use crate::api::reply::Reply;
use crate::api::{Asked, Context, Next};
use crate::group::{LeaveRequest, Leaving, Refusal, Request};
use crate::wire::error_code::ErrorCode;
use crate::wire::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberResponse};
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;

/// Members that leave.
#[derive(Debug)]
pub struct LeaveGroup {
    asked: Asked,
    members: Vec<Leaving>,
}

/// Begins a request.
pub(super) fn begin(asked: Asked, body: &[u8], context: &Context<'_>) -> Result<Next, DecodeError> {
    let request = LeaveGroupRequest::decode_from(body, asked.version)?;
    if request.group_id.is_empty() {
        let error_code = ErrorCode::INVALID_GROUP_ID.code();
        let response = LeaveGroupResponse { error_code, ..Default::default() };
        return Ok(Next::Reply(asked.reply(&response)));
    }
    let members: Vec<_> = if asked.version < 3 {
        vec![Leaving { member: claim(request.member_id, None), reason: None }]
    } else {
        let members = request.members.iter();
        members
            .map(|member| Leaving {
                member: claim(member.member_id, member.group_instance_id),
                reason: member.reason.map(Into::into),
            })
            .collect()
    };
    let leave = LeaveRequest { group: request.group_id.into(), members: members.clone() };
    Ok(ask(Group::Leave(LeaveGroup { asked, members }), Request::Leave(leave), context))
}

impl LeaveGroup {
    pub(super) fn reply(&self, left: &Result<Vec<Result<(), Refusal>>, Refusal>) -> Reply {
        let each = left.as_deref().unwrap_or_default();
        let members: Vec<_> = (self.members.iter().zip(each))
            .map(|(leaving, left)| MemberResponse {
                member_id: &leaving.member.id,
                group_instance_id: leaving.member.instance.as_deref(),
                error_code: error_code(left),
            })
            .collect();
        let response = if self.asked.version < 3 {
            // There is one member, and one place for what became of it.
            let of_member = members.first().map_or(0, |member| member.error_code);
            let error_code = if left.is_ok() { of_member } else { error_code(left) };
            LeaveGroupResponse { error_code, ..Default::default() }
        } else {
            let error_code = error_code(left);
            LeaveGroupResponse { error_code, members: members.into(), ..Default::default() }
        };
        self.asked.reply(&response)
    }
}
