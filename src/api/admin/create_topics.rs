//! CreateTopics (key 19), versions 2 to 7.
//!
//! - 4: partitions and replication factor may be -1, the broker's defaults (KIP-464).
//! - 5: flexible; the reply carries the topic's partitions, replication factor and configs
//!   (KIP-525). 7: and its id (KIP-516).
//!
//! A name that stands in the request twice is refused and has one result, as from Kafka.

use std::collections::BTreeSet;

use crate::api::command::{Command, CommandOutcome};
use crate::api::reply::Reply;
use crate::api::{Asked, Next, Pending};
use crate::catalog::{CreatedTopic, ReplicaAssignment, TopicCreation};
use crate::ids::NodeId;
use crate::wire::create_topics::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;

use super::Admin;
use super::refused::{Refused, code_and_message, results};

/// Topics being created.
#[derive(Debug)]
pub struct CreateTopics {
    asked: Asked,
    names: Vec<String>,
}

/// Begins a request.
pub(super) fn begin(asked: Asked, body: &[u8]) -> Result<Next, DecodeError> {
    let request = CreateTopicsRequest::decode_from(body, asked.version)?;
    let topics: Vec<TopicCreation> = request
        .topics
        .iter()
        .map(|topic| TopicCreation {
            name: topic.name.to_owned(),
            partition_count: topic.num_partitions,
            replication_factor: topic.replication_factor,
            assignments: topic
                .assignments
                .iter()
                .map(|assignment| ReplicaAssignment {
                    partition: assignment.partition_index,
                    replicas: assignment.broker_ids.iter().map(NodeId).collect(),
                })
                .collect(),
            configs: topic
                .configs
                .iter()
                .map(|config| (config.name.to_owned(), config.value.map(str::to_owned)))
                .collect(),
        })
        .collect();
    let names = topics.iter().map(|topic| topic.name.clone()).collect();
    let pending = CreateTopics { asked, names };
    if topics.is_empty() {
        return Ok(Next::Reply(pending.reply(&[])));
    }
    let command = Command::CreateTopics { topics, validate_only: request.validate_only };
    Ok(Next::Change { pending: Pending::Admin(Admin::CreateTopics(pending)), command })
}

impl CreateTopics {
    pub(super) fn on_outcome(&self, outcome: CommandOutcome) -> Reply {
        let outcomes = match outcome {
            CommandOutcome::TopicsCreated(outcomes) => Ok(outcomes),
            CommandOutcome::NotStored => Err(Refused::not_stored()),
            CommandOutcome::Busy => Err(Refused::busy(self.asked.version, Some(6))),
            other => panic!("not an outcome of CreateTopics: {other:?}"),
        };
        self.reply(&results(outcomes, self.names.len()))
    }

    fn reply(&self, results: &[Result<CreatedTopic, Refused>]) -> Reply {
        let mut answered = BTreeSet::new();
        let topics: Vec<_> = self
            .names
            .iter()
            .zip(results)
            .filter(|(name, _)| answered.insert(name.as_str()))
            .map(|(name, result)| one(name, result))
            .collect();
        self.asked.reply(&CreateTopicsResponse { topics: topics.into(), ..Default::default() })
    }
}

fn one<'a>(name: &'a str, result: &'a Result<CreatedTopic, Refused>) -> CreatableTopicResult<'a> {
    let (error_code, error_message) = code_and_message(result);
    let Ok(created) = result else {
        return CreatableTopicResult { name, error_code, error_message, ..Default::default() };
    };
    let configs: Vec<_> = created
        .configs
        .iter()
        .map(|config| CreatableTopicConfigs {
            name: &config.name,
            value: config.value.as_deref(),
            read_only: config.read_only,
            config_source: config.source.number(),
            is_sensitive: config.sensitive,
        })
        .collect();
    CreatableTopicResult {
        name,
        topic_id: created.id.0,
        error_code,
        error_message,
        num_partitions: created.partition_count,
        replication_factor: created.replication_factor,
        configs: Some(configs.into()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::Scene;
    use super::*;
    use crate::wire::create_topics::{
        CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
    };
    use crate::wire::error_code::ErrorCode;

    fn topic(name: &str, num_partitions: i32) -> CreatableTopic<'_> {
        CreatableTopic { name, num_partitions, replication_factor: -1, ..Default::default() }
    }

    fn request<'a>(topics: Vec<CreatableTopic<'a>>) -> CreateTopicsRequest<'a> {
        CreateTopicsRequest { topics: topics.into(), ..Default::default() }
    }

    #[test]
    fn a_created_topic_is_there_and_described() {
        let mut scene = Scene::new(&[]);
        let mut wanted = topic("t", 3);
        let config = CreatableTopicConfig { name: "retention.ms", value: Some("1000") };
        wanted.configs = vec![config].into();
        let body = scene.answer(7, &request(vec![wanted]));
        let response = CreateTopicsResponse::decode_whole(&body, 7).unwrap();
        let result = response.topics.iter().next().unwrap();
        assert_eq!((result.error_code, result.error_message), (0, None));
        assert_eq!((result.num_partitions, result.replication_factor), (3, 1));
        let topic = scene.image().topic("t").unwrap().clone();
        assert_eq!(result.topic_id, topic.id.0);
        assert_eq!(topic.partitions.len(), 3);
        let configs: Vec<_> = result.configs.as_ref().unwrap().iter().collect();
        assert!(configs.is_sorted_by_key(|config| config.name));
        let find = |name| configs.iter().find(|config| config.name == name).unwrap();
        let retention = find("retention.ms");
        assert_eq!((retention.value, retention.config_source), (Some("1000"), 1));
        assert_eq!(find("cleanup.policy").config_source, 5);
    }

    #[test]
    fn only_validated_is_not_created() {
        let mut scene = Scene::new(&[]);
        let request = CreateTopicsRequest { validate_only: true, ..request(vec![topic("t", 3)]) };
        let body = scene.answer(5, &request);
        let response = CreateTopicsResponse::decode_whole(&body, 5).unwrap();
        let result = response.topics.iter().next().unwrap();
        assert_eq!((result.error_code, result.num_partitions), (0, 3));
        assert!(scene.image().topic("t").is_none());
    }

    #[test]
    fn each_topic_is_refused_for_its_own_reason() {
        let mut scene = Scene::new(&[("there", 1)]);
        let replicas = |replicas: Vec<i32>| CreatableReplicaAssignment {
            partition_index: 0,
            broker_ids: replicas.into(),
        };
        let assigned = |name, node| CreatableTopic {
            assignments: vec![replicas(vec![node])].into(),
            ..topic(name, -1)
        };
        let configured = |name, key, value| CreatableTopic {
            configs: vec![CreatableTopicConfig { name: key, value }].into(),
            ..topic(name, 1)
        };
        let topics = vec![
            topic("there", 1),
            topic("bad/name", 1),
            topic("__cluster_metadata", 1),
            topic("twice", 1),
            topic("zero", 0),
            CreatableTopic { replication_factor: 2, ..topic("factor", 1) },
            assigned("unknown.broker", 7),
            CreatableTopic { num_partitions: 2, ..assigned("both", 1) },
            configured("config", "retention.ms", Some("many")),
            configured("null", "retention.ms", None),
            topic("twice", 2),
            assigned("fine", 1),
        ];
        let body = scene.answer(7, &request(topics));
        let response = CreateTopicsResponse::decode_whole(&body, 7).unwrap();
        let found: Vec<_> = response
            .topics
            .iter()
            .map(|result| {
                assert_eq!(result.error_code == 0, result.error_message.is_none());
                (result.name, ErrorCode::from_code(result.error_code))
            })
            .collect();
        let expected = [
            ("there", ErrorCode::TOPIC_ALREADY_EXISTS),
            ("bad/name", ErrorCode::INVALID_TOPIC_EXCEPTION),
            ("__cluster_metadata", ErrorCode::INVALID_REQUEST),
            ("twice", ErrorCode::INVALID_REQUEST),
            ("zero", ErrorCode::INVALID_PARTITIONS),
            ("factor", ErrorCode::INVALID_REPLICATION_FACTOR),
            ("unknown.broker", ErrorCode::INVALID_REPLICA_ASSIGNMENT),
            ("both", ErrorCode::INVALID_REQUEST),
            ("config", ErrorCode::INVALID_CONFIG),
            ("null", ErrorCode::INVALID_CONFIG),
            ("fine", ErrorCode::NONE),
        ];
        assert_eq!(found, expected);
        assert!(scene.image().topic("fine").is_some());
    }

    #[test]
    fn what_is_not_stored_is_said_for_every_topic() {
        let scene = Scene::new(&[]);
        let body = scene.not_stored(2, &request(vec![topic("a", 1), topic("b", 1)]));
        let response = CreateTopicsResponse::decode_whole(&body, 2).unwrap();
        let codes: Vec<_> = response.topics.iter().map(|result| result.error_code).collect();
        assert_eq!(codes, [ErrorCode::KAFKA_STORAGE_ERROR.code(); 2]);
    }

    #[test]
    fn an_empty_request_is_answered_at_once_and_a_cut_one_not_at_all() {
        let mut scene = Scene::new(&[]);
        assert_eq!(scene.answer(5, &request(Vec::new())), [0, 0, 0, 0, 1, 0]);
        assert!(scene.begin_bytes::<CreateTopicsRequest>(5, &[2, 1]).is_err());
    }
}
