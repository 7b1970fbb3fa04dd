//! OffsetForLeaderEpoch (key 23), versions 2 to 4: where epochs end (KIP-101, KIP-320).
//!
//! - 3: the asker's replica id. 4: flexible.
//!
//! An epoch that the log knows nothing of is no error: its end is -1, in epoch -1.
//!
//! Not here: followers (replica id other than a consumer's) are refused, since there is one broker.

use std::collections::BTreeMap;

use crate::api::reply::Reply;
use crate::api::work::{Answer, Answers, EpochEndItem, Question};
use crate::api::{Asked, Context, Next, Pending, partition_error};
use crate::ids::{LeaderEpoch, Offset, PartitionId, ShardId, TopicPartition};
use crate::wire::error_code::ErrorCode;
use crate::wire::message::Message;
use crate::wire::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    OffsetForLeaderTopicResult,
};
use crate::wire::primitive::DecodeError;

use super::Admin;

/// "No epoch."
const NO_EPOCH: i32 = -1;

/// Ends of epochs being looked up.
#[derive(Debug)]
pub struct OffsetForLeaderEpoch {
    asked: Asked,
    topics: Vec<(String, Vec<i32>)>,
    results: Vec<Option<EpochEnd>>,
    missing: usize,
}

/// What is known of an epoch: one that is not above it, and where that ends; if any.
type EpochEnd = Result<Option<(LeaderEpoch, Offset)>, ErrorCode>;

/// Begins a request.
pub(super) fn begin(asked: Asked, body: &[u8], context: &Context<'_>) -> Result<Next, DecodeError> {
    let request = OffsetForLeaderEpochRequest::decode_from(body, asked.version)?;
    let mut pending =
        OffsetForLeaderEpoch { asked, topics: Vec::new(), results: Vec::new(), missing: 0 };
    let mut items: BTreeMap<ShardId, Vec<EpochEndItem>> = BTreeMap::new();
    for topic in request.topics.iter() {
        let known = context.image.topic(topic.topic);
        let mut indexes = Vec::with_capacity(topic.partitions.len());
        for wanted in topic.partitions.iter() {
            indexes.push(wanted.partition);
            let partition = PartitionId(wanted.partition);
            let result = match known.filter(|topic| topic.partition(partition).is_some()) {
                None => Some(Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)),
                Some(_) if request.replica_id >= 0 => Some(Err(ErrorCode::NOT_LEADER_OR_FOLLOWER)),
                Some(topic) => {
                    let at = TopicPartition { topic: topic.id, partition };
                    let current = Some(LeaderEpoch(wanted.current_leader_epoch));
                    items.entry(at.shard(context.shard_count)).or_default().push(EpochEndItem {
                        index: u32::try_from(pending.results.len()).unwrap_or(u32::MAX),
                        at,
                        current_leader_epoch: current.filter(|epoch| epoch.0 != NO_EPOCH),
                        epoch: LeaderEpoch(wanted.leader_epoch),
                    });
                    pending.missing += 1;
                    None
                }
            };
            pending.results.push(result);
        }
        pending.topics.push((topic.topic.to_owned(), indexes));
    }
    if pending.missing == 0 {
        return Ok(Next::Reply(pending.reply()));
    }
    let questions = items.into_iter().map(|(shard, items)| (shard, Question::EpochEnds(items)));
    let questions = questions.collect();
    let pending = Pending::Admin(Admin::OffsetForLeaderEpoch(pending));
    Ok(Next::Ask { pending, questions, silent: false })
}

impl OffsetForLeaderEpoch {
    pub(super) fn on_answers(&mut self, answers: Answers) -> Option<Next> {
        for (index, answer) in answers {
            let Answer::EpochEnd(result) = answer else {
                panic!("not an answer to OffsetForLeaderEpoch")
            };
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

    fn reply(&self) -> Reply {
        let mut results = self.results.iter().flatten();
        let topics: Vec<_> = self
            .topics
            .iter()
            .map(|(topic, indexes)| {
                let partitions: Vec<_> = indexes
                    .iter()
                    .zip(results.by_ref())
                    .map(|(partition, result)| {
                        let found = result.ok().flatten();
                        EpochEndOffset {
                            error_code: result.err().unwrap_or(ErrorCode::NONE).code(),
                            partition: *partition,
                            leader_epoch: found.map_or(NO_EPOCH, |(epoch, _)| epoch.0),
                            end_offset: found.map_or(-1, |(_, end)| end.0),
                        }
                    })
                    .collect();
                OffsetForLeaderTopicResult { topic, partitions: partitions.into() }
            })
            .collect();
        let response = OffsetForLeaderEpochResponse { topics: topics.into(), ..Default::default() };
        self.asked.reply(&response)
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, admin, replied};
    use super::*;
    use crate::api::work::PartitionRefusal;
    use crate::wire::api_key::ApiKey;
    use crate::wire::offset_for_leader_epoch::{OffsetForLeaderPartition, OffsetForLeaderTopic};

    /// Looks epochs up in partitions, each with the leader epoch that the asker knows.
    fn request<'a>(topic: &'a str, lookups: &[(i32, i32, i32)]) -> OffsetForLeaderEpochRequest<'a> {
        let partitions: Vec<_> = lookups
            .iter()
            .map(|(partition, current, leader_epoch)| OffsetForLeaderPartition {
                partition: *partition,
                current_leader_epoch: *current,
                leader_epoch: *leader_epoch,
            })
            .collect();
        let topic = OffsetForLeaderTopic { topic, partitions: partitions.into() };
        OffsetForLeaderEpochRequest { topics: vec![topic].into(), ..Default::default() }
    }

    fn results(body: &[u8], version: i16) -> Vec<(i32, i32, i64, ErrorCode)> {
        let response = OffsetForLeaderEpochResponse::decode_whole(body, version).unwrap();
        let topic = response.topics.iter().next().unwrap();
        let results = topic.partitions.iter().map(|end| {
            let error = ErrorCode::from_code(end.error_code);
            (end.partition, end.leader_epoch, end.end_offset, error)
        });
        results.collect()
    }

    #[test]
    fn owners_are_asked_and_their_answers_put_in_order() {
        let scene = Scene::new(&[("t", 4)]);
        let lookups = [(2, -1, 5), (0, 3, 4), (9, -1, 0), (1, 8, 1), (3, 1, 1)];
        for version in 2..=4 {
            let Next::Ask { mut pending, questions, .. } =
                scene.begin(version, &request("t", &lookups))
            else {
                panic!("no owner is asked")
            };
            let mut next = None;
            for (shard, question) in questions {
                assert!(next.is_none());
                let Question::EpochEnds(items) = question else { panic!("another question") };
                let answers = items.iter().map(|item| {
                    assert_eq!(item.at.shard(3), shard);
                    let current = item.current_leader_epoch.map(|epoch| epoch.0);
                    let result = match (item.at.partition.0, current, item.epoch.0) {
                        (2, None, 5) => Ok(Some((LeaderEpoch(4), Offset(77)))),
                        (0, Some(3), 4) => Ok(None),
                        (1, Some(8), 1) => Err(PartitionRefusal::UnknownEpoch),
                        (3, Some(1), 1) => Err(PartitionRefusal::FencedEpoch),
                        other => panic!("{other:?}"),
                    };
                    (item.index, Answer::EpochEnd(result))
                });
                next = admin(&mut pending).on_answers(answers.collect(), &scene.context());
            }
            let body = replied(ApiKey::OffsetForLeaderEpoch, version, next.unwrap());
            let expected = [
                (2, 4, 77, ErrorCode::NONE),
                (0, -1, -1, ErrorCode::NONE),
                (9, -1, -1, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
                (1, -1, -1, ErrorCode::UNKNOWN_LEADER_EPOCH),
                (3, -1, -1, ErrorCode::FENCED_LEADER_EPOCH),
            ];
            assert_eq!(results(&body, version), expected);
        }
    }

    #[test]
    fn followers_and_unknown_topics_are_refused_at_once() {
        let mut scene = Scene::new(&[("t", 1)]);
        let follower =
            OffsetForLeaderEpochRequest { replica_id: 2, ..request("t", &[(0, -1, 0), (1, 0, 0)]) };
        let expected = [
            (0, -1, -1, ErrorCode::NOT_LEADER_OR_FOLLOWER),
            (1, -1, -1, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ];
        assert_eq!(results(&scene.answer(3, &follower), 3), expected);
        let body = scene.answer(4, &request("nope", &[(0, -1, 0)]));
        assert_eq!(results(&body, 4), [(0, -1, -1, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)]);
    }
}
