//! ListOffsets (key 2), versions 1 to 11.
//!
//! - 1: one offset per partition. 2: isolation level. 4: leader epochs (KIP-320). 6: flexible.
//! - 7: max timestamp, -3 (KIP-734). 8: earliest local, -4 (KIP-405). 9: latest tiered, -5
//!   (KIP-1005). 10: timeout. 11: earliest pending upload, -6 (KIP-1023): none here.
//!
//! Isolation makes no difference while there are no transactions: the last stable offset is the
//! high watermark.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{LeaderEpoch, PartitionId, ShardId, TopicPartition};
use crate::time::Timestamp;
use crate::wire::error_code::ErrorCode;
use crate::wire::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;

use super::asked::Asked;
use super::work::{Answer, Answers, FoundOffset, OffsetQuery, OffsetsItem, Question};
use super::{Context, Next, Pending, partition_error};

/// Offsets being looked for.
#[derive(Debug)]
pub struct ListOffsets {
    asked: Asked,
    topics: Vec<(Box<str>, Vec<i32>)>,
    results: Vec<Option<Result<FoundOffset, ErrorCode>>>,
    missing: usize,
}

/// Begins a request.
pub(super) fn begin(asked: Asked, body: &[u8], context: &Context<'_>) -> Result<Next, DecodeError> {
    let request = ListOffsetsRequest::decode_from(body, asked.version)?;
    let mut pending = ListOffsets { asked, topics: Vec::new(), results: Vec::new(), missing: 0 };
    let mut items: BTreeMap<ShardId, Vec<OffsetsItem>> = BTreeMap::new();
    let twice = asked_twice(&request);
    for topic in request.topics.iter() {
        let known = context.image.topic(topic.name);
        let mut indexes = Vec::with_capacity(topic.partitions.len());
        for wanted in topic.partitions.iter() {
            indexes.push(wanted.partition_index);
            let partition = PartitionId(wanted.partition_index);
            let known = known.filter(|topic| topic.partition(partition).is_some());
            let again = twice.contains(&(topic.name, wanted.partition_index));
            let result = match (known, query(wanted.timestamp, asked.version)) {
                _ if again => Some(Err(ErrorCode::INVALID_REQUEST)),
                (None, _) => Some(Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)),
                (_, None) => Some(Err(ErrorCode::UNSUPPORTED_VERSION)),
                (Some(known), Some(query)) => {
                    let at = TopicPartition { topic: known.id, partition };
                    let epoch = wanted.current_leader_epoch;
                    items.entry(at.shard(context.shard_count)).or_default().push(OffsetsItem {
                        index: u32::try_from(pending.results.len()).unwrap_or(u32::MAX),
                        at,
                        query,
                        // -1 alone is none; any other is compared, as by Kafka.
                        current_leader_epoch: (epoch != -1).then_some(LeaderEpoch(epoch)),
                    });
                    None
                }
            };
            pending.results.push(result);
        }
        pending.topics.push((topic.name.into(), indexes));
    }
    pending.missing = items.values().map(Vec::len).sum();
    if pending.missing == 0 {
        return Ok(Next::Reply(pending.reply()));
    }
    let questions = items.into_iter().map(|(shard, items)| (shard, Question::Offsets(items)));
    let questions = questions.collect();
    Ok(Next::Ask { pending: Pending::ListOffsets(pending), questions, silent: false })
}

/// Partitions that stand in the request more than once: Kafka refuses them all.
fn asked_twice<'a>(request: &ListOffsetsRequest<'a>) -> BTreeSet<(&'a str, i32)> {
    let mut once = BTreeSet::new();
    let mut twice = BTreeSet::new();
    for topic in request.topics.iter() {
        for wanted in topic.partitions.iter() {
            let partition = (topic.name, wanted.partition_index);
            if !once.insert(partition) {
                twice.insert(partition);
            }
        }
    }
    twice
}

fn query(timestamp: i64, version: i16) -> Option<OffsetQuery> {
    match timestamp {
        0.. => Some(OffsetQuery::AtLeast(Timestamp(timestamp))),
        -1 => Some(OffsetQuery::Latest),
        -2 => Some(OffsetQuery::Earliest),
        -3 if version >= 7 => Some(OffsetQuery::MaxTimestamp),
        -4 if version >= 8 => Some(OffsetQuery::EarliestLocal),
        -5 if version >= 9 => Some(OffsetQuery::LatestTiered),
        -6 if version >= 11 => Some(OffsetQuery::LatestTiered),
        _ => None,
    }
}

impl ListOffsets {
    /// Takes answers in; the reply once all are there.
    pub fn on_answers(&mut self, answers: Answers) -> Option<Next> {
        for (index, answer) in answers {
            let Answer::Offset(result) = answer else { panic!("not an answer to ListOffsets") };
            match self.results.get_mut(index as usize) {
                Some(slot) if slot.is_none() => {
                    *slot = Some(result.map_err(|refusal| partition_error(&refusal)));
                }
                _ => panic!("one item has one answer"),
            }
            self.missing -= 1;
        }
        (self.missing == 0).then(|| Next::Reply(self.reply()))
    }

    fn reply(&self) -> super::reply::Reply {
        let mut results = self.results.iter().flatten();
        let topics: Vec<_> = self
            .topics
            .iter()
            .map(|(name, indexes)| {
                let partitions: Vec<_> = indexes
                    .iter()
                    .zip(results.by_ref())
                    .map(|(index, result)| self.partition(*index, result))
                    .collect();
                ListOffsetsTopicResponse { name, partitions: partitions.into() }
            })
            .collect();
        self.asked.reply(&ListOffsetsResponse { topics: topics.into(), ..Default::default() })
    }

    fn partition(
        &self,
        index: i32,
        result: &Result<FoundOffset, ErrorCode>,
    ) -> ListOffsetsPartitionResponse {
        let (error, found) = match result {
            Ok(found) => (ErrorCode::NONE, Some(found)),
            Err(error) => (*error, None),
        };
        ListOffsetsPartitionResponse {
            partition_index: index,
            error_code: error.code(),
            timestamp: found.and_then(|found| found.timestamp).map_or(-1, |time| time.0),
            offset: found.and_then(|found| found.offset).map_or(-1, |offset| offset.0),
            leader_epoch: found
                .and_then(|found| found.leader_epoch)
                .filter(|_| self.asked.version >= 4)
                .map_or(-1, |epoch| epoch.0),
        }
    }
}
