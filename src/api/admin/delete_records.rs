//! DeleteRecords (key 21), versions 0 to 2: moves the start of logs (KIP-107).
//!
//! - 2: flexible.
//!
//! Refused here: topics that are the cluster's own, topics whose `cleanup.policy` deletes nothing,
//! and offsets below -1, which is the high watermark. Everything else the owner decides.

use std::collections::BTreeMap;

use crate::api::reply::Reply;
use crate::api::work::{Answer, Answers, DeleteRecordsItem, Question};
use crate::api::{Asked, Context, Next, Pending, partition_error};
use crate::catalog::Topic;
use crate::ids::{Offset, PartitionId, ShardId, TopicPartition};
use crate::wire::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};
use crate::wire::error_code::ErrorCode;
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;

use super::Admin;

/// "Up to the high watermark."
const HIGH_WATERMARK: i64 = -1;

/// Log starts being moved.
#[derive(Debug)]
pub struct DeleteRecords {
    asked: Asked,
    topics: Vec<(String, Vec<i32>)>,
    results: Vec<Option<Result<Offset, ErrorCode>>>,
    missing: usize,
}

/// Begins a request.
pub(super) fn begin(asked: Asked, body: &[u8], context: &Context<'_>) -> Result<Next, DecodeError> {
    let request = DeleteRecordsRequest::decode_from(body, asked.version)?;
    let mut pending = DeleteRecords { asked, topics: Vec::new(), results: Vec::new(), missing: 0 };
    let mut items: BTreeMap<ShardId, Vec<DeleteRecordsItem>> = BTreeMap::new();
    for topic in request.topics.iter() {
        let known = context.image.topic(topic.name);
        let mut indexes = Vec::with_capacity(topic.partitions.len());
        for wanted in topic.partitions.iter() {
            indexes.push(wanted.partition_index);
            let partition = PartitionId(wanted.partition_index);
            let known = known.filter(|topic| topic.partition(partition).is_some());
            let known = known.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            let known = known.and_then(|topic| check(topic, wanted.offset, context));
            pending.results.push(match known {
                Err(error) => Some(Err(error)),
                Ok(topic) => {
                    let at = TopicPartition { topic: topic.id, partition };
                    let before = Some(Offset(wanted.offset));
                    items.entry(at.shard(context.shard_count)).or_default().push(
                        DeleteRecordsItem {
                            index: u32::try_from(pending.results.len()).unwrap_or(u32::MAX),
                            at,
                            before: before.filter(|offset| offset.0 != HIGH_WATERMARK),
                        },
                    );
                    pending.missing += 1;
                    None
                }
            });
        }
        pending.topics.push((topic.name.to_owned(), indexes));
    }
    if pending.missing == 0 {
        return Ok(Next::Reply(pending.reply()));
    }
    let questions = items.into_iter().map(|(shard, items)| (shard, Question::DeleteRecords(items)));
    let questions = questions.collect();
    let pending = Pending::Admin(Admin::DeleteRecords(pending));
    Ok(Next::Ask { pending, questions, silent: false })
}

fn check<'t>(topic: &'t Topic, offset: i64, context: &Context<'_>) -> Result<&'t Topic, ErrorCode> {
    if topic.internal {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
    }
    // What compaction keeps is the latest value of each key; a moved log start would lose it.
    if context.configs.get(&topic.id).is_some_and(|config| !config.cleanup_delete) {
        return Err(ErrorCode::POLICY_VIOLATION);
    }
    if offset < HIGH_WATERMARK {
        return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    Ok(topic)
}

impl DeleteRecords {
    pub(super) fn on_answers(&mut self, answers: Answers) -> Option<Next> {
        for (index, answer) in answers {
            let Answer::RecordsDeleted(result) = answer else {
                panic!("not an answer to DeleteRecords")
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
            .map(|(name, indexes)| {
                let partitions: Vec<_> = indexes
                    .iter()
                    .zip(results.by_ref())
                    .map(|(index, result)| DeleteRecordsPartitionResult {
                        partition_index: *index,
                        low_watermark: result.map_or(-1, |start| start.0),
                        error_code: result.err().unwrap_or(ErrorCode::NONE).code(),
                    })
                    .collect();
                DeleteRecordsTopicResult { name, partitions: partitions.into() }
            })
            .collect();
        self.asked.reply(&DeleteRecordsResponse { topics: topics.into(), ..Default::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, admin, replied};
    use super::*;
    use crate::api::work::PartitionRefusal;
    use crate::catalog::{ConfigResource, Record};
    use crate::wire::api_key::ApiKey;
    use crate::wire::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};

    fn topic<'a>(name: &'a str, partitions: &[(i32, i64)]) -> DeleteRecordsTopic<'a> {
        let partitions: Vec<_> = partitions
            .iter()
            .map(|(partition_index, offset)| DeleteRecordsPartition {
                partition_index: *partition_index,
                offset: *offset,
            })
            .collect();
        DeleteRecordsTopic { name, partitions: partitions.into() }
    }

    fn request<'a>(topics: Vec<DeleteRecordsTopic<'a>>) -> DeleteRecordsRequest<'a> {
        DeleteRecordsRequest { topics: topics.into(), ..Default::default() }
    }

    fn results(body: &[u8], version: i16) -> Vec<(String, i32, i64, ErrorCode)> {
        let response = DeleteRecordsResponse::decode_whole(body, version).unwrap();
        let mut all = Vec::new();
        for topic in response.topics.iter() {
            for result in topic.partitions.iter() {
                let error = ErrorCode::from_code(result.error_code);
                let name = topic.name.to_owned();
                all.push((name, result.partition_index, result.low_watermark, error));
            }
        }
        all
    }

    #[test]
    fn owners_are_asked_and_their_answers_put_in_order() {
        let scene = Scene::new(&[("t", 4)]);
        let topics = vec![topic("t", &[(3, 9), (0, -1), (7, 1), (1, 100), (2, -2)])];
        let Next::Ask { mut pending, questions, silent } = scene.begin(2, &request(topics)) else {
            panic!("no owner is asked")
        };
        assert!(!silent);
        let mut next = None;
        for (shard, question) in questions {
            assert!(next.is_none());
            let Question::DeleteRecords(items) = question else { panic!("another question") };
            let answers = items.iter().map(|item| {
                assert_eq!(item.at.shard(3), shard);
                let result = match (item.at.partition.0, item.before) {
                    (3, Some(Offset(9))) => Ok(Offset(9)),
                    (0, None) => Ok(Offset(42)),
                    (1, Some(Offset(100))) => Err(PartitionRefusal::OffsetOutOfRange {
                        log_start: Offset(0),
                        high_watermark: Offset(5),
                    }),
                    other => panic!("{other:?}"),
                };
                (item.index, Answer::RecordsDeleted(result))
            });
            next = admin(&mut pending).on_answers(answers.collect(), &scene.context());
        }
        let body = replied(ApiKey::DeleteRecords, 2, next.unwrap());
        let t = || "t".to_owned();
        let expected = [
            (t(), 3, 9, ErrorCode::NONE),
            (t(), 0, 42, ErrorCode::NONE),
            (t(), 7, -1, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            (t(), 1, -1, ErrorCode::OFFSET_OUT_OF_RANGE),
            (t(), 2, -1, ErrorCode::OFFSET_OUT_OF_RANGE),
        ];
        assert_eq!(results(&body, 2), expected);
    }

    #[test]
    fn some_topics_keep_their_records() {
        let mut scene = Scene::new(&[("compacted", 1), ("__consumer_offsets", 1)]);
        scene.apply(&[Record::ConfigSet {
            resource: ConfigResource::Topic("compacted".into()),
            key: "cleanup.policy".into(),
            value: "compact".into(),
        }]);
        let names = ["compacted", "__consumer_offsets", "nope"];
        let topics = names.iter().map(|name| topic(name, &[(0, -1)])).collect();
        let body = scene.answer(0, &request(topics));
        let errors: Vec<_> = results(&body, 0).into_iter().map(|result| result.3).collect();
        let expected = [
            ErrorCode::POLICY_VIOLATION,
            ErrorCode::INVALID_TOPIC_EXCEPTION,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ];
        assert_eq!(errors, expected);
    }
}
