//! DeleteGroups (key 42), versions 0 to 2: groups without members, with their offsets.
//!
//! - 2: flexible.

use std::collections::BTreeSet;

use super::{Group, ask_all, error_code};
use crate::api::reply::Reply;
use crate::api::{Asked, Context, Next};
use crate::group::{Refusal, Request};
use crate::wire::delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;

/// What became of a group; `None` until its coordinator has answered.
type Outcome = Option<Result<(), Refusal>>;

/// Groups being deleted.
#[derive(Debug)]
pub struct DeleteGroups {
    asked: Asked,
    groups: Vec<(Box<str>, Outcome)>,
    missing: usize,
}

/// Begins a request.
pub(super) fn begin(asked: Asked, body: &[u8], context: &Context<'_>) -> Result<Next, DecodeError> {
    let request = DeleteGroupsRequest::decode_from(body, asked.version)?;
    // Each once, whatever the client says.
    let names: BTreeSet<&str> = request.groups_names.iter().collect();
    let groups: Vec<_> = names.iter().map(|group| ((*group).into(), None)).collect();
    let each = names.iter().map(|group| Request::Delete((*group).into()));
    let requests: Vec<_> = (0..).zip(each).collect();
    let missing = groups.len();
    let delete = DeleteGroups { asked, groups, missing };
    if missing == 0 {
        return Ok(Next::Reply(delete.reply()));
    }
    Ok(ask_all(Group::Delete(delete), requests, context))
}

impl DeleteGroups {
    /// Takes one group's outcome in; the reply once all are there.
    pub(super) fn on_deleted(&mut self, index: u32, deleted: Result<(), Refusal>) -> Option<Reply> {
        match self.groups.get_mut(index as usize) {
            Some((_, slot)) if slot.is_none() => *slot = Some(deleted),
            _ => panic!("one item has one answer"),
        }
        self.missing -= 1;
        (self.missing == 0).then(|| self.reply())
    }

    fn reply(&self) -> Reply {
        let results: Vec<_> = (self.groups.iter())
            .map(|(group_id, deleted)| match deleted {
                Some(deleted) => DeletableGroupResult { group_id, error_code: error_code(deleted) },
                None => panic!("the reply is made when nothing is missing"),
            })
            .collect();
        self.asked.reply(&DeleteGroupsResponse { results: results.into(), ..Default::default() })
    }
}
