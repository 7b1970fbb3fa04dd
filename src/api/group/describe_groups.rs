//! DescribeGroups (key 15), versions 0 to 6.
//!
//! - 3: authorized operations (KIP-430): all, since there is no authorizer. 4: static members
//!   (KIP-345). 5: flexible. 6: GROUP_ID_NOT_FOUND (KIP-1043); before, a group that does not exist is
//!   shown as dead.

use super::{Group, ask_all, at_most, group_error};
use crate::api::reply::Reply;
use crate::api::{Asked, Context, Next};
use crate::group::{self, Refusal, Request};
use crate::wire::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use crate::wire::error_code::ErrorCode;
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;

/// A group is told as often as it is named, as Kafka does, but no more often than so.
const TIMES_MAX: usize = 4;

/// Kafka's "not computed".
pub(super) const OPERATIONS_UNKNOWN: i32 = i32::MIN;
/// READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS, each the bit of its number.
pub(super) const OPERATIONS_OF_GROUPS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

/// What a group is; `None` until its coordinator has answered.
type Outcome = Option<Result<group::DescribedGroup, Refusal>>;

/// Groups being described.
#[derive(Debug)]
pub struct DescribeGroups {
    asked: Asked,
    authorized_operations: i32,
    groups: Vec<(Box<str>, Outcome)>,
    missing: usize,
}

/// Begins a request.
pub(super) fn begin(asked: Asked, body: &[u8], context: &Context<'_>) -> Result<Next, DecodeError> {
    let request = DescribeGroupsRequest::decode_from(body, asked.version)?;
    let named = at_most(TIMES_MAX, request.groups.iter());
    let groups: Vec<_> = named.iter().map(|group| ((*group).into(), None)).collect();
    let each = named.iter().map(|group| Request::Describe((*group).into()));
    let requests: Vec<_> = (0..).zip(each).collect();
    let missing = groups.len();
    let authorized_operations = match request.include_authorized_operations {
        true => OPERATIONS_OF_GROUPS,
        false => OPERATIONS_UNKNOWN,
    };
    let describe = DescribeGroups { asked, authorized_operations, groups, missing };
    if missing == 0 {
        return Ok(Next::Reply(describe.reply()));
    }
    Ok(ask_all(Group::Describe(describe), requests, context))
}

/// How it is told that there is no such classic group.
fn absence(group: &str, described: &Outcome) -> String {
    match described {
        Some(Err(Refusal::OtherProtocol)) => format!("Group {group} is not a classic group."),
        _ => format!("Group {group} not found."),
    }
}

impl DescribeGroups {
    /// Takes one group in; the reply once all are there.
    pub(super) fn on_described(
        &mut self,
        index: u32,
        described: Result<group::DescribedGroup, Refusal>,
    ) -> Option<Reply> {
        match self.groups.get_mut(index as usize) {
            Some((_, slot)) if slot.is_none() => *slot = Some(described),
            _ => panic!("one item has one answer"),
        }
        self.missing -= 1;
        (self.missing == 0).then(|| self.reply())
    }

    fn reply(&self) -> Reply {
        let tells_unknown = self.asked.version >= 6;
        let messages: Vec<_> =
            self.groups.iter().map(|(group, described)| absence(group, described)).collect();
        let groups: Vec<_> = (self.groups.iter().zip(&messages))
            .map(|((group_id, described), message)| match described {
                Some(Ok(described)) => self.told(group_id, described),
                Some(Err(Refusal::GroupNotFound | Refusal::OtherProtocol)) => DescribedGroup {
                    error_code: match tells_unknown {
                        true => ErrorCode::GROUP_ID_NOT_FOUND.code(),
                        false => ErrorCode::NONE.code(),
                    },
                    error_message: Some(&**message).filter(|_| tells_unknown),
                    group_id,
                    group_state: "Dead",
                    ..Default::default()
                },
                Some(Err(refusal)) => DescribedGroup {
                    error_code: group_error(*refusal).code(),
                    group_id,
                    ..Default::default()
                },
                None => panic!("the reply is made when nothing is missing"),
            })
            .collect();
        self.asked.reply(&DescribeGroupsResponse { groups: groups.into(), ..Default::default() })
    }

    fn told<'a>(&self, group_id: &'a str, group: &'a group::DescribedGroup) -> DescribedGroup<'a> {
        let members: Vec<_> = (group.members.iter())
            .map(|member| DescribedGroupMember {
                member_id: &member.id,
                group_instance_id: member.instance.as_deref(),
                client_id: &member.client_id,
                client_host: &member.client_host,
                member_metadata: &member.metadata,
                member_assignment: &member.assignment,
            })
            .collect();
        DescribedGroup {
            group_id,
            group_state: group.state.name(),
            protocol_type: &group.protocol_type,
            protocol_data: &group.protocol,
            members: members.into(),
            authorized_operations: self.authorized_operations,
            ..Default::default()
        }
    }
}
