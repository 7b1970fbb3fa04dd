//! DescribeLogDirs (key 35), versions 1 to 4: what lies in the data directory (KIP-113).
//!
//! - 2: flexible. 3: error of the whole request (KIP-784). 4: size and free space of the volume
//!   (KIP-827), which only the shell could know and are told as unknown.
//!
//! Every shard is asked for the sizes of the logs it owns. Topics that are asked for and have no
//! log here are left out, as from Kafka.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::reply::Reply;
use crate::api::work::{Answer, Answers, Question};
use crate::api::{Asked, Context, Next, Pending};
use crate::ids::{ShardId, TopicPartition};
use crate::wire::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;

use super::Admin;

/// Logs being measured.
#[derive(Debug)]
pub struct DescribeLogDirs {
    asked: Asked,
    /// `None` is all.
    wanted: Option<BTreeMap<String, BTreeSet<i32>>>,
    sizes: Vec<(TopicPartition, u64)>,
    missing: u16,
}

/// Begins a request.
pub(super) fn begin(asked: Asked, body: &[u8], context: &Context<'_>) -> Result<Next, DecodeError> {
    let request = DescribeLogDirsRequest::decode_from(body, asked.version)?;
    let wanted = request.topics.map(|topics| {
        let mut wanted: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
        for topic in topics.iter() {
            wanted.entry(topic.topic.to_owned()).or_default().extend(topic.partitions.iter());
        }
        wanted
    });
    let missing = context.shard_count;
    let pending = DescribeLogDirs { asked, wanted, sizes: Vec::new(), missing };
    let pending = Pending::Admin(Admin::DescribeLogDirs(pending));
    let shards = (0..context.shard_count).map(ShardId);
    let questions = shards.map(|shard| (shard, Question::LogSizes)).collect();
    Ok(Next::Ask { pending, questions, silent: false })
}

impl DescribeLogDirs {
    pub(super) fn on_answers(&mut self, answers: Answers, context: &Context<'_>) -> Option<Next> {
        for (_, answer) in answers {
            let Answer::LogSizes(sizes) = answer else {
                panic!("not an answer to DescribeLogDirs")
            };
            assert!(self.missing > 0, "one shard has one answer");
            self.sizes.extend(sizes);
            self.missing -= 1;
        }
        (self.missing == 0).then(|| Next::Reply(self.reply(context)))
    }

    fn reply(&self, context: &Context<'_>) -> Reply {
        let mut by_topic: BTreeMap<&str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
        for (at, size) in &self.sizes {
            // A log whose topic was deleted a moment ago has no name any more.
            let Some(topic) = context.image.topic_by_id(at.topic) else { continue };
            let index = at.partition.0;
            if self.is_wanted(&topic.name, index) {
                by_topic.entry(&topic.name).or_default().push(DescribeLogDirsPartition {
                    partition_index: index,
                    partition_size: i64::try_from(*size).unwrap_or(i64::MAX),
                    offset_lag: 0,
                    is_future_key: false,
                });
            }
        }
        let topics: Vec<_> = by_topic
            .into_iter()
            .map(|(name, mut partitions)| {
                partitions.sort_unstable_by_key(|partition| partition.partition_index);
                DescribeLogDirsTopic { name, partitions: partitions.into() }
            })
            .collect();
        let result = DescribeLogDirsResult {
            log_dir: context.log_dir,
            topics: topics.into(),
            ..Default::default()
        };
        let response =
            DescribeLogDirsResponse { results: vec![result].into(), ..Default::default() };
        self.asked.reply(&response)
    }

    fn is_wanted(&self, name: &str, partition: i32) -> bool {
        let Some(wanted) = &self.wanted else { return true };
        wanted.get(name).is_some_and(|partitions| partitions.contains(&partition))
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, admin, replied};
    use super::*;
    use crate::ids::{PartitionId, TopicId};
    use crate::wire::api_key::ApiKey;
    use crate::wire::describe_log_dirs::DescribableLogDirTopic;

    /// Each partition's size is 1000 and its number.
    fn sizes(scene: &Scene, version: i16, request: &DescribeLogDirsRequest<'_>) -> Vec<u8> {
        let Next::Ask { mut pending, questions, silent: false } = scene.begin(version, request)
        else {
            panic!("no owner is asked")
        };
        let shards: Vec<_> = questions.iter().map(|(shard, _)| shard.0).collect();
        assert_eq!(shards, [0, 1, 2]);
        let mut next = None;
        for (shard, question) in questions {
            assert!(next.is_none());
            assert!(matches!(question, Question::LogSizes));
            let mut owned = Vec::new();
            for topic in scene.image().topics.iter() {
                for index in (0..topic.partitions.len() as i32).rev() {
                    let at = TopicPartition { topic: topic.id, partition: PartitionId(index) };
                    if at.shard(3) == shard {
                        owned.push((at, 1000 + index as u64));
                    }
                }
            }
            let gone = TopicPartition { topic: TopicId([8; 16]), partition: PartitionId(0) };
            owned.push((gone, 1));
            let answers = Answers::from_buf([(0, Answer::LogSizes(owned))]);
            next = admin(&mut pending).on_answers(answers, &scene.context());
        }
        replied(ApiKey::DescribeLogDirs, version, next.unwrap())
    }

    fn described(body: &[u8], version: i16) -> Vec<(String, Vec<(i32, i64)>)> {
        let response = DescribeLogDirsResponse::decode_whole(body, version).unwrap();
        assert_eq!((response.error_code, response.results.len()), (0, 1));
        let result = response.results.iter().next().unwrap();
        assert_eq!((result.error_code, result.log_dir), (0, "/data"));
        assert_eq!((result.total_bytes, result.usable_bytes), (-1, -1));
        let topics = result.topics.iter().map(|topic| {
            let sizes = topic.partitions.iter().map(|partition| {
                assert_eq!((partition.offset_lag, partition.is_future_key), (0, false));
                (partition.partition_index, partition.partition_size)
            });
            (topic.name.to_owned(), sizes.collect())
        });
        topics.collect()
    }

    #[test]
    fn all_logs_are_measured() {
        let scene = Scene::new(&[("b", 3), ("a", 1)]);
        for version in 1..=4 {
            let body = sizes(&scene, version, &DescribeLogDirsRequest { topics: None });
            let b = ("b".to_owned(), vec![(0, 1000), (1, 1001), (2, 1002)]);
            assert_eq!(described(&body, version), [("a".to_owned(), vec![(0, 1000)]), b]);
        }
    }

    #[test]
    fn only_what_is_asked_for_is_told() {
        let scene = Scene::new(&[("b", 3), ("a", 1), ("c", 1)]);
        let topic = |topic, partitions: Vec<i32>| DescribableLogDirTopic {
            topic,
            partitions: partitions.into(),
        };
        let wanted = vec![
            topic("b", vec![2]),
            topic("nope", vec![0]),
            topic("b", vec![0, 9]),
            topic("c", Vec::new()),
        ];
        let body = sizes(&scene, 4, &DescribeLogDirsRequest { topics: Some(wanted.into()) });
        assert_eq!(described(&body, 4), [("b".to_owned(), vec![(0, 1000), (2, 1002)])]);
        let none = DescribeLogDirsRequest { topics: Some(Vec::new().into()) };
        assert_eq!(described(&sizes(&scene, 4, &none), 4), []);
    }
}
