//! OffsetCommit (key 8), versions 2 to 10.
//!
//! - 2 to 4: retention time. 6: leader epochs (KIP-320). 7: static members (KIP-345). 8: flexible.
//! - 9: GROUP_ID_NOT_FOUND where older versions have ILLEGAL_GENERATION, and STALE_MEMBER_EPOCH, for
//!   which they have no word (KIP-848). 10: topic ids.

use super::{Group, ask, claim, group_error};
use crate::api::reply::Reply;
use crate::api::{Asked, Context, Next};
use crate::group::{CommitReply, CommitRequest, OffsetToCommit, Refusal, Request};
use crate::ids::{PartitionId, TopicId};
use crate::wire::error_code::ErrorCode;
use crate::wire::message::Message;
use crate::wire::offset_commit::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};
use crate::wire::primitive::DecodeError;

/// Offsets on their way to durability.
#[derive(Debug)]
pub struct OffsetCommit {
    asked: Asked,
    topics: Vec<Topic>,
}

#[derive(Debug)]
struct Topic {
    name: Box<str>,
    id: TopicId,
    /// Each with its error; `None` if the coordinator has to say.
    partitions: Vec<(i32, Option<ErrorCode>)>,
}

/// Begins a request.
pub(super) fn begin(asked: Asked, body: &[u8], context: &Context<'_>) -> Result<Next, DecodeError> {
    let request = OffsetCommitRequest::decode_from(body, asked.version)?;
    let mut commit = OffsetCommit { asked, topics: Vec::with_capacity(request.topics.len()) };
    let mut known_topics = Vec::new();
    for topic in request.topics.iter() {
        let id = TopicId(topic.topic_id);
        let by_id = asked.version >= 10;
        let known = match by_id {
            true => context.image.topic_by_id(id),
            false => context.image.topic(topic.name),
        };
        let unknown = match known {
            None if by_id => ErrorCode::UNKNOWN_TOPIC_ID,
            _ => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        };
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        let mut to_commit = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions.iter() {
            let index = partition.partition_index;
            if known.is_none_or(|topic| topic.partition(PartitionId(index)).is_none()) {
                partitions.push((index, Some(unknown)));
                continue;
            }
            partitions.push((index, None));
            to_commit.push(OffsetToCommit {
                partition: index,
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: partition.committed_metadata.unwrap_or_default().into(),
            });
        }
        if let Some(known) = known.filter(|_| !to_commit.is_empty()) {
            known_topics.push((Box::from(&*known.name), to_commit));
        }
        commit.topics.push(Topic { name: topic.name.into(), id, partitions });
    }
    if known_topics.is_empty() {
        return Ok(Next::Reply(commit.reply(Ok(Vec::new()))));
    }
    let request = CommitRequest {
        group: request.group_id.into(),
        member: claim(request.member_id, request.group_instance_id),
        generation: request.generation_id_or_member_epoch,
        knows_epochs: asked.version >= 9,
        retention_ms: Some(request.retention_time_ms).filter(|ms| *ms >= 0),
        topics: known_topics,
    };
    Ok(ask(Group::Commit(commit), Request::Commit(request), context))
}

impl OffsetCommit {
    pub(super) fn reply(&self, committed: CommitReply) -> Reply {
        let (mut each, whole) = match committed {
            Ok(each) => (each, None),
            Err(refusal) => (Vec::new(), Some(self.whole_error(refusal))),
        };
        let mut each = each.drain(..);
        let mut partition = |(index, refused): &(i32, Option<ErrorCode>)| {
            let error = refused.or(whole).unwrap_or_else(|| match each.next() {
                Some(Ok(())) => ErrorCode::NONE,
                Some(Err(refusal)) => group_error(refusal),
                None => panic!("every offset that was to be committed is answered"),
            });
            OffsetCommitResponsePartition { partition_index: *index, error_code: error.code() }
        };
        let topics: Vec<_> = (self.topics.iter())
            .map(|topic| OffsetCommitResponseTopic {
                name: &topic.name,
                topic_id: topic.id.0,
                partitions: topic.partitions.iter().map(&mut partition).collect(),
            })
            .collect();
        self.asked.reply(&OffsetCommitResponse { topics: topics.into(), ..Default::default() })
    }

    fn whole_error(&self, refusal: Refusal) -> ErrorCode {
        match refusal {
            Refusal::GroupNotFound if self.asked.version < 9 => ErrorCode::ILLEGAL_GENERATION,
            Refusal::StaleMemberEpoch if self.asked.version < 9 => ErrorCode::UNSUPPORTED_VERSION,
            refusal => group_error(refusal),
        }
    }
}
