//! DescribeTopicPartitions (key 75), version 0: topics in pages (KIP-966).
//!
//! Topics stand in the order of their names. A page ends after so many partitions, the smaller one
//! of what the request and `max.request.partition.size.limit` say; the cursor then names the first
//! partition that is not in it. No topics named means all of them. Eligible leader replicas are
//! empty lists, as from Kafka where every replica in sync is alive. What the client may do with a
//! topic is always told, also of topics that do not exist.

use std::collections::BTreeSet;

use crate::api::{Asked, Context, Next, operations};
use crate::catalog::config_keys::broker_key;
use crate::catalog::{Image, Topic, invalid_topic_name, is_internal_topic};
use crate::ids::NodeId;
use crate::wire::array::Array;
use crate::wire::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use crate::wire::error_code::ErrorCode;
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;

const LIMIT_KEY: &str = "max.request.partition.size.limit";

/// Answers a request.
pub(super) fn answer(
    asked: Asked,
    body: &[u8],
    context: &Context<'_>,
) -> Result<Next, DecodeError> {
    let request = DescribeTopicPartitionsRequest::decode_from(body, asked.version)?;
    let from = request.cursor.as_ref().map_or("", |cursor| cursor.topic_name);
    let first = request.cursor.as_ref().map_or(0, |cursor| cursor.partition_index);
    let names: BTreeSet<&str> =
        request.topics.iter().map(|topic| topic.name).filter(|name| *name >= from).collect();
    let misplaced = request.cursor.is_some() && !request.topics.is_empty() && !names.contains(from);
    let Some(first) = usize::try_from(first).ok().filter(|_| !misplaced) else {
        return Ok(Next::Reply(asked.reply(&refused(&request))));
    };

    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let limit = limit.min(limit_max(context)).max(1);
    let mut page = Page { topics: Vec::new(), next_cursor: None, left: limit };
    let start = |name: &str| if name == from { first } else { 0 };
    if request.topics.is_empty() {
        for topic in context.image.topics.iter_from(from) {
            if !page.add(topic, start(&topic.name), context.image) {
                break;
            }
        }
    } else {
        for name in names {
            let more = match context.image.topic(name) {
                Some(topic) => page.add(topic, start(name), context.image),
                None => page.add_unknown(name),
            };
            if !more {
                break;
            }
        }
    }
    let response = DescribeTopicPartitionsResponse {
        topics: page.topics.into(),
        next_cursor: page.next_cursor,
        ..Default::default()
    };
    Ok(Next::Reply(asked.reply(&response)))
}

fn limit_max(context: &Context<'_>) -> usize {
    let default = broker_key(LIMIT_KEY).and_then(|key| key.default);
    let limit = context.statics.get(LIMIT_KEY).or(default);
    limit.and_then(|limit| limit.trim().parse().ok()).unwrap_or(1)
}

/// The answer to a cursor that points to no partition, or outside of the topics named. There is no
/// error code for the whole, so every topic named carries it.
fn refused<'a>(
    request: &DescribeTopicPartitionsRequest<'a>,
) -> DescribeTopicPartitionsResponse<'a> {
    let topics: Vec<_> = request
        .topics
        .iter()
        .map(|topic| DescribeTopicPartitionsResponseTopic {
            error_code: ErrorCode::INVALID_REQUEST.code(),
            name: Some(topic.name),
            topic_authorized_operations: operations::UNASKED,
            ..Default::default()
        })
        .collect();
    DescribeTopicPartitionsResponse { topics: topics.into(), ..Default::default() }
}

/// A page being filled.
struct Page<'a> {
    topics: Vec<DescribeTopicPartitionsResponseTopic<'a>>,
    next_cursor: Option<Cursor<'a>>,
    left: usize,
}

impl<'a> Page<'a> {
    /// Adds a topic from partition `first` on. False once the page is full.
    fn add(&mut self, topic: &'a Topic, first: usize, image: &Image) -> bool {
        if self.is_full(&topic.name) {
            return false;
        }
        let partitions: Vec<_> = (0..)
            .zip(&topic.partitions)
            .skip(first)
            .take(self.left)
            .map(|(index, partition)| {
                let gone = |node: &&NodeId| !image.brokers.contains_key(node);
                DescribeTopicPartitionsResponsePartition {
                    error_code: ErrorCode::NONE.code(),
                    partition_index: index,
                    leader_id: partition.leader.map_or(-1, |leader| leader.0),
                    leader_epoch: partition.leader_epoch.0,
                    replica_nodes: nodes(partition.replicas.iter()),
                    isr_nodes: nodes(partition.isr.iter()),
                    eligible_leader_replicas: Some(Array::default()),
                    last_known_elr: Some(Array::default()),
                    offline_replicas: nodes(partition.replicas.iter().filter(gone)),
                }
            })
            .collect();
        let next = first.saturating_add(partitions.len());
        let whole = next >= topic.partitions.len();
        self.left -= partitions.len();
        self.topics.push(DescribeTopicPartitionsResponseTopic {
            error_code: ErrorCode::NONE.code(),
            name: Some(&topic.name),
            topic_id: topic.id.0,
            is_internal: topic.internal,
            partitions: partitions.into(),
            topic_authorized_operations: operations::on_topic(true),
        });
        if !whole {
            let partition_index = i32::try_from(next).unwrap_or(i32::MAX);
            self.next_cursor = Some(Cursor { topic_name: &topic.name, partition_index });
        }
        whole
    }

    /// Adds a topic that does not exist. False once the page is full.
    fn add_unknown(&mut self, name: &'a str) -> bool {
        if self.is_full(name) {
            return false;
        }
        let error = match invalid_topic_name(name) {
            Some(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
            None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        };
        self.topics.push(DescribeTopicPartitionsResponseTopic {
            error_code: error.code(),
            name: Some(name),
            is_internal: is_internal_topic(name),
            topic_authorized_operations: operations::on_topic(true),
            ..Default::default()
        });
        true
    }

    /// If so, the next page begins with this topic.
    fn is_full(&mut self, name: &'a str) -> bool {
        if self.left == 0 {
            self.next_cursor = Some(Cursor { topic_name: name, partition_index: 0 });
        }
        self.left == 0
    }
}

fn nodes<'n>(nodes: impl Iterator<Item = &'n NodeId>) -> Array<'static, i32> {
    nodes.map(|node| node.0).collect::<Vec<_>>().into()
}

#[cfg(test)]
mod tests {
    use super::super::scene::Scene;
    use super::*;
    use crate::wire::describe_topic_partitions::TopicRequest;

    fn request<'a>(
        names: &[&'a str],
        response_partition_limit: i32,
        cursor: Option<(&'a str, i32)>,
    ) -> DescribeTopicPartitionsRequest<'a> {
        let topics: Vec<_> = names.iter().map(|name| TopicRequest { name }).collect();
        let cursor =
            cursor.map(|(topic_name, partition_index)| Cursor { topic_name, partition_index });
        DescribeTopicPartitionsRequest { topics: topics.into(), response_partition_limit, cursor }
    }

    /// Topics with their error and partitions, and the cursor.
    type Described = (Vec<(String, ErrorCode, Vec<i32>)>, Option<(String, i32)>);

    fn described(scene: &mut Scene, request: &DescribeTopicPartitionsRequest<'_>) -> Described {
        let body = scene.answer(0, request);
        let response = DescribeTopicPartitionsResponse::decode_whole(&body, 0).unwrap();
        let topics = response.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| partition.partition_index);
            let error = ErrorCode::from_code(topic.error_code);
            (topic.name.unwrap().to_owned(), error, partitions.collect())
        });
        let cursor = response.next_cursor.as_ref();
        let cursor = cursor.map(|cursor| (cursor.topic_name.to_owned(), cursor.partition_index));
        (topics.collect(), cursor)
    }

    fn fine(name: &str, partitions: &[i32]) -> (String, ErrorCode, Vec<i32>) {
        (name.to_owned(), ErrorCode::NONE, partitions.to_vec())
    }

    #[test]
    fn a_topic_is_described() {
        let mut scene = Scene::new(&[("__consumer_offsets", 1)]);
        let body = scene.answer(0, &request(&["__consumer_offsets"], 10, None));
        let response = DescribeTopicPartitionsResponse::decode_whole(&body, 0).unwrap();
        let topic = response.topics.iter().next().unwrap();
        assert_eq!(topic.topic_id, scene.image().topic("__consumer_offsets").unwrap().id.0);
        assert!(topic.is_internal);
        assert_eq!(topic.topic_authorized_operations, operations::on_topic(true));
        let partition = topic.partitions.iter().next().unwrap();
        let expected = DescribeTopicPartitionsResponsePartition {
            leader_id: 1,
            leader_epoch: 0,
            replica_nodes: vec![1].into(),
            isr_nodes: vec![1].into(),
            eligible_leader_replicas: Some(Array::default()),
            last_known_elr: Some(Array::default()),
            ..Default::default()
        };
        assert_eq!(partition, expected);
    }

    #[test]
    fn pages_follow_one_another_without_gap_or_overlap() {
        let mut scene = Scene::new(&[("c", 2), ("a", 3), ("b", 1)]);
        let expected: Vec<_> = [("a", 3), ("b", 1), ("c", 2)]
            .iter()
            .flat_map(|(name, count)| (0..*count).map(|index| ((*name).to_owned(), index)))
            .collect();
        for names in [&[][..], &["c", "b", "a", "a"]] {
            for limit in -1..8 {
                let mut seen = Vec::new();
                let mut cursor: Option<(String, i32)> = None;
                loop {
                    let at = cursor.as_ref().map(|(name, index)| (name.as_str(), *index));
                    let (topics, next) = described(&mut scene, &request(names, limit, at));
                    let before = seen.len();
                    for (name, error, partitions) in topics {
                        assert_eq!(error, ErrorCode::NONE);
                        seen.extend(partitions.iter().map(|index| (name.clone(), *index)));
                    }
                    assert!(seen.len() - before <= limit.max(1) as usize);
                    cursor = next;
                    if cursor.is_none() {
                        break;
                    }
                }
                assert_eq!(seen, expected, "limit {limit}");
            }
        }
    }

    #[test]
    fn the_broker_has_a_limit_of_its_own() {
        let mut scene = Scene::with_statics(&[("a", 3)], &[(LIMIT_KEY, "2")]);
        let expected = (vec![fine("a", &[0, 1])], Some(("a".to_owned(), 2)));
        assert_eq!(described(&mut scene, &request(&[], 100, None)), expected);
    }

    #[test]
    fn topics_that_do_not_exist_have_an_error() {
        let mut scene = Scene::new(&[("a", 1)]);
        let topics = vec![
            fine("a", &[0]),
            ("bad/name".to_owned(), ErrorCode::INVALID_TOPIC_EXCEPTION, Vec::new()),
            ("nope".to_owned(), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, Vec::new()),
        ];
        let wanted = request(&["nope", "bad/name", "a"], 10, None);
        assert_eq!(described(&mut scene, &wanted), (topics, None));
        // The topic of the cursor was deleted between two pages.
        let gone = request(&[], 10, Some(("Z", 4)));
        assert_eq!(described(&mut scene, &gone), (vec![fine("a", &[0])], None));
        // Or has fewer partitions.
        let beyond = request(&[], 10, Some(("a", i32::MAX)));
        assert_eq!(described(&mut scene, &beyond), (vec![fine("a", &[])], None));
    }

    #[test]
    fn an_impossible_cursor_is_refused() {
        let mut scene = Scene::new(&[("a", 1), ("b", 1)]);
        let refused = (vec![("a".to_owned(), ErrorCode::INVALID_REQUEST, Vec::new())], None);
        assert_eq!(described(&mut scene, &request(&["a"], 9, Some(("a", -1)))), refused);
        assert_eq!(described(&mut scene, &request(&["a"], 9, Some(("b", 0)))), refused);
        assert_eq!(described(&mut scene, &request(&[], 9, Some(("a", -1)))), (Vec::new(), None));
    }
}
