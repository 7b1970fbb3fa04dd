//! ListGroups (key 16), versions 0 to 5.
//!
//! - 3: flexible. 4: filter by state (KIP-518). 5: filter by type (KIP-848).

use super::{Group, group_error};
use crate::api::reply::Reply;
use crate::api::work::Question;
use crate::api::{Asked, Context, Next, Pending};
use crate::group::{self, Refusal};
use crate::ids::ShardId;
use crate::wire::error_code::ErrorCode;
use crate::wire::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;

/// Groups being collected.
#[derive(Debug)]
pub struct ListGroups {
    asked: Asked,
    /// In lower case; none is all.
    states: Vec<String>,
    /// In lower case; none is all.
    types: Vec<String>,
    groups: Vec<group::ListedGroup>,
    refused: Option<Refusal>,
    missing: u16,
}

/// Begins a request.
pub(super) fn begin(asked: Asked, body: &[u8], context: &Context<'_>) -> Result<Next, DecodeError> {
    let request = ListGroupsRequest::decode_from(body, asked.version)?;
    let states = request.states_filter.iter().map(str::to_ascii_lowercase).collect();
    let types = request.types_filter.iter().map(str::to_ascii_lowercase).collect();
    let missing = context.shard_count;
    let groups = Vec::new();
    let list = ListGroups { asked, states, types, groups, refused: None, missing };
    let questions = (0..missing).map(|shard| (ShardId(shard), Question::ListGroups)).collect();
    Ok(Next::Ask { pending: Pending::Group(Group::List(list)), questions, silent: false })
}

impl ListGroups {
    /// Takes the groups of one shard in; the reply once all are there.
    pub(super) fn on_listed(
        &mut self,
        listed: Result<Vec<group::ListedGroup>, Refusal>,
    ) -> Option<Reply> {
        match listed {
            Ok(groups) => self.groups.extend(groups),
            Err(refusal) => self.refused = Some(refusal),
        }
        self.missing -= 1;
        (self.missing == 0).then(|| self.reply())
    }

    fn reply(&mut self) -> Reply {
        self.groups.sort_by(|a, b| a.group.cmp(&b.group));
        if let Some(refusal) = self.refused {
            self.groups.clear();
            let error_code = group_error(refusal).code();
            return self.asked.reply(&ListGroupsResponse { error_code, ..Default::default() });
        }
        let groups: Vec<_> = (self.groups.iter())
            .filter(|group| {
                let among = |wanted: &[String], name: &str| {
                    wanted.is_empty() || wanted.iter().any(|one| one.eq_ignore_ascii_case(name))
                };
                among(&self.states, group.state) && among(&self.types, group.group_type.name())
            })
            .map(|group| ListedGroup {
                group_id: &group.group,
                protocol_type: &group.protocol_type,
                group_state: group.state,
                group_type: group.group_type.name(),
            })
            .collect();
        let error_code = ErrorCode::NONE.code();
        let response =
            ListGroupsResponse { error_code, groups: groups.into(), ..Default::default() };
        self.asked.reply(&response)
    }
}
