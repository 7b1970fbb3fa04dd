//! OffsetDelete (key 47), version 0 (KIP-496).

use super::{Group, ask, error_code, group_error};
use crate::api::reply::Reply;
use crate::api::{Asked, Context, Next};
use crate::group::{DeleteOffsetsRequest, Refusal, Request, Topics};
use crate::ids::PartitionId;
use crate::wire::error_code::ErrorCode;
use crate::wire::message::Message;
use crate::wire::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};
use crate::wire::primitive::DecodeError;

/// Offsets being forgotten.
#[derive(Debug)]
pub struct OffsetDelete {
    asked: Asked,
    /// Each partition with whether it exists.
    topics: Topics<(i32, bool)>,
}

/// Begins a request.
pub(super) fn begin(asked: Asked, body: &[u8], context: &Context<'_>) -> Result<Next, DecodeError> {
    let request = OffsetDeleteRequest::decode_from(body, asked.version)?;
    if request.group_id.is_empty() {
        let error_code = ErrorCode::INVALID_GROUP_ID.code();
        let response = OffsetDeleteResponse { error_code, ..Default::default() };
        return Ok(Next::Reply(asked.reply(&response)));
    }
    let mut topics = Vec::new();
    let mut known_topics = Vec::new();
    for topic in request.topics.iter() {
        let known = context.image.topic(topic.name);
        let exists =
            |index| known.is_some_and(|topic| topic.partition(PartitionId(index)).is_some());
        let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
        let partitions: Vec<_> = indexes.map(|index| (index, exists(index))).collect();
        let there = partitions.iter().filter(|(_, exists)| *exists).map(|(index, _)| *index);
        known_topics.push((topic.name.into(), there.collect()));
        topics.push((topic.name.into(), partitions));
    }
    let delete = DeleteOffsetsRequest { group: request.group_id.into(), topics: known_topics };
    let pending = Group::DeleteOffsets(OffsetDelete { asked, topics });
    Ok(ask(pending, Request::DeleteOffsets(delete), context))
}

impl OffsetDelete {
    pub(super) fn reply(&self, deleted: Result<Vec<Result<(), Refusal>>, Refusal>) -> Reply {
        let whole = error_code(&deleted);
        let Ok(deleted) = deleted else {
            let response = OffsetDeleteResponse { error_code: whole, ..Default::default() };
            return self.asked.reply(&response);
        };
        let mut deleted = deleted.into_iter();
        let mut partition = |(index, exists): &(i32, bool)| {
            let result = if *exists { deleted.next() } else { None };
            let error = match result {
                Some(Ok(())) => ErrorCode::NONE,
                Some(Err(refusal)) => group_error(refusal),
                None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            };
            OffsetDeleteResponsePartition { partition_index: *index, error_code: error.code() }
        };
        let topics: Vec<_> = (self.topics.iter())
            .map(|(name, partitions)| OffsetDeleteResponseTopic {
                name,
                partitions: partitions.iter().map(&mut partition).collect(),
            })
            .collect();
        self.asked.reply(&OffsetDeleteResponse { topics: topics.into(), ..Default::default() })
    }
}
