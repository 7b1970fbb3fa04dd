//! What each request means: decoded, checked against the catalog, and either answered at once,
//! asked of the owners of partitions, or handed to the controller as a change. One file per API
//! key, and the only room that knows Kafka's error codes.
//!
//! It owns no partition, no connection and no clock. Invariants: every request gets exactly one
//! outcome; a request that cannot be decoded closes its connection and touches nothing; the reply
//! to a change of the catalog is made only when every shard serves by the changed catalog.

mod asked;
pub mod command;
pub mod reply;
pub mod work;

mod api_versions;
mod fetch;
mod find_coordinator;
mod group;
mod init_producer_id;
mod list_offsets;
mod metadata;
mod operations;
mod produce;

mod admin;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::BytesMut;

pub use asked::Asked;
pub use fetch::Fetch;
pub use find_coordinator::FindCoordinator;
pub use group::Group;
pub use init_producer_id::{NoProducerId, ProducerIds};

use command::{Command, CommandOutcome};
use reply::Reply;
use work::{Answers, PartitionRefusal, Question};

use crate::catalog::{Image, Refusal, StaticConfigs, TopicConfig, TopicCreation};
use crate::fetch::SessionCache;
use crate::ids::{NodeId, Offset, ProducerId, ShardId, TopicId, TopicPartition};
use crate::stdx::few::Few;
use crate::time::{Instant, Now};
use crate::wire::api_key::ApiKey;
use crate::wire::error_code::ErrorCode;
use crate::wire::header::RequestHeader;
use crate::wire::primitive::{DecodeError, Reader};
use crate::wire::served;

/// What every request may look at.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The catalog this shard serves by.
    pub image: &'a Image,
    /// Configs given at start.
    pub statics: &'a StaticConfigs,
    /// Effective configs of all topics.
    pub configs: &'a BTreeMap<TopicId, Arc<TopicConfig>>,
    /// This broker.
    pub node: NodeId,
    /// All shards.
    pub shard_count: u16,
    /// The data directory, as clients are told.
    pub log_dir: &'a str,
    /// `auto.create.topics.enable`
    pub auto_create: bool,
    /// How `__consumer_offsets` is created.
    pub offsets_topic: &'a TopicCreation,
    /// `fetch.max.bytes`
    pub fetch_bytes_max: usize,
    /// Both clocks.
    pub now: Now,
}

/// What follows from a request, or from answers to what it asked.
#[derive(Debug)]
pub enum Next {
    /// It is answered.
    Reply(Reply),
    /// It is done and gets no reply.
    Nothing,
    /// The connection has to go, for this reason.
    Close(String),
    /// Owners of partitions have to answer first.
    Ask {
        /// Takes the answers.
        pending: Pending,
        /// One for each owner concerned.
        questions: Few<(ShardId, Question)>,
        /// The client expects no reply.
        silent: bool,
    },
    /// The catalog has to change first.
    Change {
        /// Takes the outcome.
        pending: Pending,
        /// What.
        command: Command,
    },
    /// A producer id has to be had first.
    ProducerId {
        /// Takes it.
        pending: Pending,
    },
    /// Too little to say yet: wait until one of these moves far enough past what was seen of it, or
    /// until the deadline, then ask again.
    Watch {
        /// Partition and high watermark seen.
        partitions: Few<(TopicPartition, Offset)>,
        /// New bytes that one of them must have: before that, all of them together cannot have
        /// what is missing.
        bytes: usize,
        /// When the wait is over.
        deadline: Instant,
    },
}

/// A request that waits for something.
#[derive(Debug)]
pub enum Pending {
    /// Batches on their way to durability.
    Produce(produce::Produce),
    /// Reading, or waiting for more to read.
    Fetch(Fetch),
    /// Offsets being looked for.
    ListOffsets(list_offsets::ListOffsets),
    /// Topics being created by the way.
    Metadata(metadata::Metadata),
    /// A producer id being had.
    InitProducerId(Asked),
    /// The topic of groups being created.
    FindCoordinator(FindCoordinator),
    /// Groups and their offsets.
    Group(Group),
    /// Administration.
    Admin(admin::Admin),
}

/// Begins a request that came from `address`. The frame starts with the request header.
///
/// # Errors
/// The frame is not a request of a version that is served, or not well formed.
pub fn begin(
    frame: BytesMut,
    address: IpAddr,
    context: &Context<'_>,
    sessions: &mut SessionCache,
) -> Result<Next, BadRequest> {
    let mut reader = Reader::new(&frame);
    let header = RequestHeader::decode(&mut reader).map_err(BadRequest::Header)?;
    let body_at = frame.len() - reader.remaining();
    let key = header.api_key;
    let asked = Asked { key, version: header.api_version, correlation_id: header.correlation_id };
    if !served::serves(key, asked.version) {
        if key == ApiKey::ApiVersions {
            return Ok(Next::Reply(api_versions::unsupported(asked)));
        }
        return Err(BadRequest::UnsupportedVersion(key, asked.version));
    }
    if key == ApiKey::Produce {
        return produce::begin(asked, frame, body_at, context)
            .map_err(|error| BadRequest::Body(asked, error));
    }
    let body = frame.get(body_at..).unwrap_or_default();
    let next = match key {
        ApiKey::ApiVersions => api_versions::answer(asked, body, context),
        ApiKey::Metadata => metadata::begin(asked, body, context),
        ApiKey::Fetch => fetch::begin(asked, body, context, sessions),
        ApiKey::FindCoordinator => find_coordinator::begin(asked, body, context),
        ApiKey::ListOffsets => list_offsets::begin(asked, body, context),
        ApiKey::InitProducerId => init_producer_id::begin(asked, body),
        _ => {
            let client = group::Client { id: header.client_id.unwrap_or_default(), address };
            group::begin(asked, body, client, context)
                .unwrap_or_else(|| admin::begin(asked, body, context))
        }
    };
    next.map_err(|error| BadRequest::Body(asked, error))
}

impl Pending {
    /// Answers of one owner arrived. What follows, once nothing is missing any more.
    pub fn on_answers(
        &mut self,
        answers: Answers,
        context: &Context<'_>,
        sessions: &mut SessionCache,
    ) -> Option<Next> {
        match self {
            Pending::Produce(produce) => produce.on_answers(answers),
            Pending::Fetch(fetch) => fetch.on_answers(answers, sessions, context.now.instant),
            Pending::ListOffsets(offsets) => offsets.on_answers(answers),
            Pending::Admin(admin) => admin.on_answers(answers, context),
            Pending::Group(group) => group.on_answers(answers, context),
            Pending::Metadata(_) | Pending::InitProducerId(_) | Pending::FindCoordinator(_) => {
                panic!("asked no owner")
            }
        }
    }

    /// The producer id it waited for is there, or cannot be had.
    pub fn on_producer_id(&mut self, id: Result<ProducerId, NoProducerId>) -> Next {
        match self {
            Pending::InitProducerId(asked) => Next::Reply(init_producer_id::granted(*asked, id)),
            _ => panic!("asked for no producer id"),
        }
    }

    /// The change it asked for is made, and this shard serves by it; or it was refused.
    pub fn on_outcome(&mut self, outcome: CommandOutcome, context: &Context<'_>) -> Next {
        match self {
            Pending::Metadata(metadata) => metadata.on_outcome(outcome, context),
            Pending::Admin(admin) => admin.on_outcome(outcome, context),
            Pending::FindCoordinator(find) => find.on_outcome(&outcome, context),
            _ => panic!("asked for no change"),
        }
    }
}

/// Why a frame is not served. The connection is closed: there is no way to answer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadRequest {
    /// Its header cannot be read.
    Header(DecodeError),
    /// This version of the API is not served. It may still be advertised, for the sake of clients
    /// that read more out of a range than it says.
    UnsupportedVersion(ApiKey, i16),
    /// Its body cannot be read.
    Body(Asked, DecodeError),
}

impl std::fmt::Display for BadRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BadRequest::Header(error) => write!(f, "request header: {error}"),
            BadRequest::UnsupportedVersion(key, version) => {
                write!(f, "{key:?} version {version} is not served")
            }
            BadRequest::Body(asked, error) => {
                write!(f, "{:?} version {}: {error}", asked.key, asked.version)
            }
        }
    }
}

impl std::error::Error for BadRequest {}

/// The question to a shard, made if there is none yet. They are kept in the order of the shards.
fn question_to(
    questions: &mut Few<(ShardId, Question)>,
    shard: ShardId,
    new: impl FnOnce() -> Question,
) -> &mut Question {
    let place = match questions.binary_search_by_key(&shard, |(shard, _)| *shard) {
        Ok(place) => place,
        Err(place) => {
            questions.insert(place, (shard, new()));
            place
        }
    };
    let Some((_, question)) = questions.get_mut(place) else { panic!("it is there now") };
    question
}

/// The error code of a partition that is not read or moved as asked.
fn partition_error(refusal: &PartitionRefusal) -> ErrorCode {
    match refusal {
        // The catalog knows it and its owner does not: it is being deleted or created.
        PartitionRefusal::Unknown => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        PartitionRefusal::FencedEpoch => ErrorCode::FENCED_LEADER_EPOCH,
        PartitionRefusal::UnknownEpoch => ErrorCode::UNKNOWN_LEADER_EPOCH,
        PartitionRefusal::OffsetOutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
        PartitionRefusal::Storage => ErrorCode::KAFKA_STORAGE_ERROR,
        PartitionRefusal::Corrupt => ErrorCode::CORRUPT_MESSAGE,
    }
}

/// The error code of a change that the catalog does not make.
fn catalog_error(refusal: &Refusal) -> ErrorCode {
    match refusal {
        Refusal::InvalidTopic(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
        Refusal::TopicExists(_) => ErrorCode::TOPIC_ALREADY_EXISTS,
        Refusal::UnknownTopic(_) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        Refusal::UnknownTopicId(_) => ErrorCode::UNKNOWN_TOPIC_ID,
        Refusal::TopicDeletionDisabled(_) => ErrorCode::TOPIC_DELETION_DISABLED,
        Refusal::InvalidPartitions(_) => ErrorCode::INVALID_PARTITIONS,
        Refusal::InvalidReplicationFactor(_) => ErrorCode::INVALID_REPLICATION_FACTOR,
        Refusal::InvalidReplicaAssignment(_) => ErrorCode::INVALID_REPLICA_ASSIGNMENT,
        Refusal::InvalidConfig(_) => ErrorCode::INVALID_CONFIG,
        Refusal::InvalidRequest(_) => ErrorCode::INVALID_REQUEST,
        Refusal::PolicyViolation(_) | Refusal::TooMuchAtOnce(_) => ErrorCode::POLICY_VIOLATION,
    }
}
