//! CreatePartitions (key 37), versions 0 to 3: more partitions for topics (KIP-195).
//!
//! - 2: flexible. 3: quotas, of which there are none here (KIP-599).
//!
//! A name that stands in the request twice is refused and has one result, as from Kafka.

use std::collections::BTreeSet;

use crate::api::command::{Command, CommandOutcome};
use crate::api::reply::Reply;
use crate::api::{Asked, Next, Pending};
use crate::catalog::{CreatedPartitions, PartitionsCreation};
use crate::ids::NodeId;
use crate::wire::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopicResult,
};
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;

use super::Admin;
use super::refused::{Refused, code_and_message, results};

/// Topics being given more partitions.
#[derive(Debug)]
pub struct CreatePartitions {
    asked: Asked,
    names: Vec<String>,
}

/// Begins a request.
pub(super) fn begin(asked: Asked, body: &[u8]) -> Result<Next, DecodeError> {
    let request = CreatePartitionsRequest::decode_from(body, asked.version)?;
    let topics: Vec<PartitionsCreation> = request
        .topics
        .iter()
        .map(|topic| PartitionsCreation {
            name: topic.name.to_owned(),
            count: topic.count,
            assignments: topic.assignments.map(|assignments| {
                assignments
                    .iter()
                    .map(|assignment| assignment.broker_ids.iter().map(NodeId).collect())
                    .collect()
            }),
        })
        .collect();
    let names = topics.iter().map(|topic| topic.name.clone()).collect();
    let pending = CreatePartitions { asked, names };
    if topics.is_empty() {
        return Ok(Next::Reply(pending.reply(&[])));
    }
    let command = Command::CreatePartitions { topics, validate_only: request.validate_only };
    Ok(Next::Change { pending: Pending::Admin(Admin::CreatePartitions(pending)), command })
}

impl CreatePartitions {
    pub(super) fn on_outcome(&self, outcome: CommandOutcome) -> Reply {
        let outcomes = match outcome {
            CommandOutcome::PartitionsCreated(outcomes) => Ok(outcomes),
            CommandOutcome::NotStored => Err(Refused::not_stored()),
            CommandOutcome::Busy => Err(Refused::busy(self.asked.version, Some(3))),
            other => panic!("not an outcome of CreatePartitions: {other:?}"),
        };
        self.reply(&results(outcomes, self.names.len()))
    }

    fn reply(&self, results: &[Result<CreatedPartitions, Refused>]) -> Reply {
        let mut answered = BTreeSet::new();
        let results: Vec<_> = self
            .names
            .iter()
            .zip(results)
            .filter(|(name, _)| answered.insert(name.as_str()))
            .map(|(name, result)| {
                let (error_code, error_message) = code_and_message(result);
                CreatePartitionsTopicResult { name, error_code, error_message }
            })
            .collect();
        let response = CreatePartitionsResponse { results: results.into(), ..Default::default() };
        self.asked.reply(&response)
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::Scene;
    use super::*;
    use crate::wire::create_partitions::{CreatePartitionsAssignment, CreatePartitionsTopic};
    use crate::wire::error_code::ErrorCode;

    fn topic(name: &str, count: i32) -> CreatePartitionsTopic<'_> {
        CreatePartitionsTopic { name, count, assignments: None }
    }

    fn request<'a>(topics: Vec<CreatePartitionsTopic<'a>>) -> CreatePartitionsRequest<'a> {
        CreatePartitionsRequest { topics: topics.into(), ..Default::default() }
    }

    fn partition_count(scene: &Scene, name: &str) -> usize {
        scene.image().topic(name).unwrap().partitions.len()
    }

    #[test]
    fn topics_grow_or_are_refused() {
        let mut scene = Scene::new(&[("t", 2), ("u", 2), ("v", 2), ("w", 1)]);
        let by_hand = |name, count, node: i32| CreatePartitionsTopic {
            assignments: Some(
                vec![CreatePartitionsAssignment { broker_ids: vec![node].into() }].into(),
            ),
            ..topic(name, count)
        };
        let topics = vec![
            topic("t", 5),
            topic("u", 2),
            topic("nope", 2),
            topic("v", 3),
            by_hand("w", 2, 9),
            topic("v", 4),
        ];
        for version in [0, 3] {
            let mut scene = scene.clone();
            let body = scene.answer(version, &request(topics.clone()));
            let response = CreatePartitionsResponse::decode_whole(&body, version).unwrap();
            let found: Vec<_> = response
                .results
                .iter()
                .map(|result| (result.name, ErrorCode::from_code(result.error_code)))
                .collect();
            let expected = [
                ("t", ErrorCode::NONE),
                ("u", ErrorCode::INVALID_PARTITIONS),
                ("nope", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
                ("v", ErrorCode::INVALID_REQUEST),
                ("w", ErrorCode::INVALID_REPLICA_ASSIGNMENT),
            ];
            assert_eq!(found, expected);
            assert_eq!((partition_count(&scene, "t"), partition_count(&scene, "v")), (5, 2));
        }
        let only = CreatePartitionsRequest { validate_only: true, ..request(vec![topic("t", 9)]) };
        let body = scene.answer(3, &only);
        let response = CreatePartitionsResponse::decode_whole(&body, 3).unwrap();
        assert_eq!(response.results.iter().next().unwrap().error_code, 0);
        assert_eq!(partition_count(&scene, "t"), 2);
    }

    #[test]
    fn what_is_not_stored_is_said() {
        let scene = Scene::new(&[("t", 2)]);
        let body = scene.not_stored(1, &request(vec![topic("t", 3)]));
        let response = CreatePartitionsResponse::decode_whole(&body, 1).unwrap();
        let result = response.results.iter().next().unwrap();
        assert_eq!(result.error_code, ErrorCode::KAFKA_STORAGE_ERROR.code());
        assert!(result.error_message.is_some());
    }
}
