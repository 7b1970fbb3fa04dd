//! Metadata (key 3), versions 0 to 13.
//!
//! - 0: an empty list means all topics; from 1 on null does. 1: controller, rack, internal flag.
//!   2: cluster id. 4: auto-creation can be declined. 5: offline replicas. 7: leader epochs.
//! - 8: authorized operations. 9: flexible. 10: topic ids in replies (KIP-516); the field is there
//!   in requests too, but only from 12 on it may be used. 13: top-level error (KIP-1102).
//!
//! A topic that is asked for and does not exist is created when both the request and
//! `auto.create.topics.enable` allow it. The reply waits for the creation, so that no client has to
//! ask twice; Kafka answers LEADER_NOT_AVAILABLE or UNKNOWN_TOPIC_OR_PARTITION first.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::command::{Command, CommandOutcome};
use crate::catalog::{GROUP_METADATA_TOPIC, Refusal, Topic, TopicCreation, invalid_topic_name};
use crate::ids::TopicId;
use crate::wire::array::Array;
use crate::wire::error_code::ErrorCode;
use crate::wire::message::Message;
use crate::wire::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use crate::wire::primitive::DecodeError;

use super::asked::Asked;
use super::reply::Reply;
use super::{Context, Next, Pending, catalog_error, operations};

/// A request that waits for topics to be created.
#[derive(Debug)]
pub struct Metadata {
    asked: Asked,
    /// Whether to say what the client may do with the cluster, and with each topic.
    cluster_operations: bool,
    topic_operations: bool,
    /// `None` is all topics.
    wanted: Option<BTreeSet<Wanted>>,
    /// Names in the command that creates them, in its order.
    commanded: Vec<String>,
    /// Why a topic could not be created.
    refused: BTreeMap<String, ErrorCode>,
}

/// A set, as in Kafka: a name asked for a thousand times must not be answered a thousand times.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wanted {
    Name(String),
    Id(TopicId),
}

/// Begins a request.
pub(super) fn begin(asked: Asked, body: &[u8], context: &Context<'_>) -> Result<Next, DecodeError> {
    let request = MetadataRequest::decode_from(body, asked.version)?;
    if asked.version < 12 && request.topics.iter().flatten().any(|topic| is_by_id(&topic)) {
        return Ok(Next::Reply(refused(asked, &request)));
    }
    let wanted = request.topics.as_ref().filter(|topics| asked.version > 0 || !topics.is_empty());
    let wanted: Option<BTreeSet<Wanted>> = wanted.map(|topics| {
        topics
            .iter()
            .map(|topic| match topic.name {
                Some(name) => Wanted::Name(name.to_owned()),
                None => Wanted::Id(TopicId(topic.topic_id)),
            })
            .collect()
    });
    let mut metadata = Metadata {
        asked,
        cluster_operations: request.include_cluster_authorized_operations,
        topic_operations: request.include_topic_authorized_operations,
        wanted,
        commanded: Vec::new(),
        refused: BTreeMap::new(),
    };
    let may_create = context.auto_create
        && (asked.version < 4 || request.allow_auto_topic_creation)
        && metadata.wanted.is_some();
    let mut missing: Vec<TopicCreation> = Vec::new();
    if may_create {
        for wanted in metadata.wanted.iter().flatten() {
            let Wanted::Name(name) = wanted else { continue };
            let legal = invalid_topic_name(name).is_none();
            if legal && context.image.topic(name).is_none() {
                missing.push(match name.as_str() {
                    GROUP_METADATA_TOPIC => context.offsets_topic.clone(),
                    name => TopicCreation::with_defaults(name),
                });
            }
        }
    }
    if missing.is_empty() {
        return Ok(Next::Reply(metadata.reply(context)));
    }
    metadata.commanded = missing.iter().map(|topic| topic.name.clone()).collect();
    let command = Command::CreateTopics { topics: missing, validate_only: false };
    Ok(Next::Change { pending: Pending::Metadata(metadata), command })
}

fn is_by_id(topic: &MetadataRequestTopic<'_>) -> bool {
    topic.name.is_none() || topic.topic_id != TopicId::ZERO.0
}

/// The answer to topic ids in a version that may not use them. There is no error code for the
/// whole, so every topic carries it.
fn refused(asked: Asked, request: &MetadataRequest<'_>) -> Reply {
    let topics: Vec<_> = request
        .topics
        .iter()
        .flatten()
        .map(|topic| MetadataResponseTopic {
            error_code: ErrorCode::INVALID_REQUEST.code(),
            name: Some(topic.name.unwrap_or_default()),
            topic_id: topic.topic_id,
            topic_authorized_operations: operations::UNASKED,
            ..Default::default()
        })
        .collect();
    asked.reply(&MetadataResponse { topics: topics.into(), ..Default::default() })
}

impl Metadata {
    /// The topics are there now, or could not be created.
    pub fn on_outcome(&mut self, outcome: CommandOutcome, context: &Context<'_>) -> Next {
        let names = std::mem::take(&mut self.commanded).into_iter();
        self.refused = match outcome {
            // Another client may have created it meanwhile, which is just as well.
            CommandOutcome::TopicsCreated(outcomes) => names
                .zip(outcomes)
                .filter_map(|(name, outcome)| Some((name, error_of(&outcome.err()?))))
                .collect(),
            CommandOutcome::NotStored => {
                names.map(|name| (name, ErrorCode::KAFKA_STORAGE_ERROR)).collect()
            }
            // Clients ask again.
            CommandOutcome::Busy => {
                names.map(|name| (name, ErrorCode::LEADER_NOT_AVAILABLE)).collect()
            }
            other => panic!("not an outcome of CreateTopics: {other:?}"),
        };
        Next::Reply(self.reply(context))
    }

    fn reply(&self, context: &Context<'_>) -> Reply {
        let image = context.image;
        let brokers: Vec<_> = image
            .brokers
            .values()
            .filter_map(|broker| {
                let endpoint = broker.endpoints.first()?;
                Some(MetadataResponseBroker {
                    node_id: broker.id.0,
                    host: &endpoint.host,
                    port: i32::from(endpoint.port),
                    rack: broker.rack.as_deref(),
                })
            })
            .collect();
        let topics: Vec<_> = match &self.wanted {
            None => image.topics.iter().map(|topic| self.known(topic)).collect(),
            Some(wanted) => wanted
                .iter()
                .map(|wanted| match wanted {
                    Wanted::Name(name) => match image.topic(name) {
                        Some(topic) => self.known(topic),
                        None => self.unknown(name),
                    },
                    Wanted::Id(id) => match image.topic_by_id(*id) {
                        Some(topic) => self.known(topic),
                        None => MetadataResponseTopic {
                            error_code: ErrorCode::UNKNOWN_TOPIC_ID.code(),
                            name: None,
                            topic_id: id.0,
                            topic_authorized_operations: operations::UNASKED,
                            ..Default::default()
                        },
                    },
                })
                .collect(),
        };
        let response = MetadataResponse {
            brokers: brokers.into(),
            cluster_id: Some(&image.cluster_id),
            controller_id: context.node.0,
            topics: topics.into(),
            cluster_authorized_operations: operations::on_cluster(self.cluster_operations),
            ..Default::default()
        };
        self.asked.reply(&response)
    }

    fn known<'t>(&self, topic: &'t Topic) -> MetadataResponseTopic<'t> {
        let partitions: Vec<_> = (0..)
            .zip(&topic.partitions)
            .map(|(index, partition)| {
                let nodes = |nodes: &[crate::ids::NodeId]| {
                    Array::from(nodes.iter().map(|node| node.0).collect::<Vec<i32>>())
                };
                MetadataResponsePartition {
                    error_code: ErrorCode::NONE.code(),
                    partition_index: index,
                    leader_id: partition.leader.map_or(-1, |leader| leader.0),
                    leader_epoch: partition.leader_epoch.0,
                    replica_nodes: nodes(&partition.replicas),
                    isr_nodes: nodes(&partition.isr),
                    ..Default::default()
                }
            })
            .collect();
        MetadataResponseTopic {
            error_code: ErrorCode::NONE.code(),
            name: Some(&topic.name),
            topic_id: topic.id.0,
            is_internal: topic.internal,
            partitions: partitions.into(),
            topic_authorized_operations: operations::on_topic(self.topic_operations),
        }
    }

    fn unknown<'t>(&self, name: &'t str) -> MetadataResponseTopic<'t> {
        let error = match self.refused.get(name) {
            Some(error) => *error,
            None if invalid_topic_name(name).is_some() => ErrorCode::INVALID_TOPIC_EXCEPTION,
            None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        };
        MetadataResponseTopic {
            error_code: error.code(),
            name: Some(name),
            topic_authorized_operations: operations::on_topic(self.topic_operations),
            ..Default::default()
        }
    }
}

/// Why a topic was not created by the way.
fn error_of(refusal: &Refusal) -> ErrorCode {
    match refusal {
        // Clients ask again, and then it is this one's turn.
        Refusal::TooMuchAtOnce(_) => ErrorCode::LEADER_NOT_AVAILABLE,
        other => catalog_error(other),
    }
}
