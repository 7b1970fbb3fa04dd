//! For the tests of this room: a small cluster of one broker, and a client that asks it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::BytesMut;

use super::Admin;
use crate::api::command::{Command, CommandOutcome};
use crate::api::reply::{Piece, Reply};
use crate::api::{Asked, Context, Next, Pending};
use crate::catalog::{
    Catalog, Endpoint, GROUP_METADATA_TOPIC, Image, Record, StaticConfigs, TopicConfig,
    TopicCreation,
};
use crate::ids::{NodeId, TopicId};
use crate::time::Now;
use crate::wire::api_key::ApiKey;
use crate::wire::header::{ResponseHeader, response_header_version};
use crate::wire::message::Message;
use crate::wire::primitive::{DecodeError, Reader, Writer};

const NODE: NodeId = NodeId(1);
const CORRELATION_ID: i32 = 77;

/// A broker with id 1 and three shards, and its catalog.
#[derive(Clone)]
pub(in crate::api) struct Scene {
    catalog: Catalog,
    statics: Arc<StaticConfigs>,
    configs: BTreeMap<TopicId, Arc<TopicConfig>>,
    offsets_topic: TopicCreation,
    drawn: u8,
}

impl Scene {
    /// With topics of so many partitions.
    pub(in crate::api) fn new(topics: &[(&str, i32)]) -> Scene {
        Scene::with_statics(topics, &[])
    }

    /// With topics of so many partitions and keys given at start.
    pub(super) fn with_statics(topics: &[(&str, i32)], statics: &[(&str, &str)]) -> Scene {
        let statics = statics.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        let statics = Arc::new(StaticConfigs::new(statics.collect()));
        let catalog = Catalog::new(statics.clone());
        let offsets_topic = TopicCreation::with_defaults(GROUP_METADATA_TOPIC);
        let configs = BTreeMap::new();
        let mut scene = Scene { catalog, statics, configs, offsets_topic, drawn: 0 };
        let records = scene.catalog.plan_create_cluster(NODE, None, [9; 16], &[]).unwrap();
        scene.apply(&records);
        let endpoint = Endpoint { listener: "PLAINTEXT".into(), host: "here".into(), port: 9092 };
        let records = scene.catalog.plan_restart(NODE, vec![endpoint], Some("r".into())).unwrap();
        scene.apply(&records);
        for (name, partition_count) in topics {
            let partition_count = *partition_count;
            let topic = TopicCreation { partition_count, ..TopicCreation::with_defaults(name) };
            let command = Command::CreateTopics { topics: vec![topic], validate_only: false };
            scene.change(command);
            assert!(scene.image().topic(name).is_some());
        }
        scene
    }

    pub(super) fn image(&self) -> &Image {
        self.catalog.image()
    }

    pub(in crate::api) fn context(&self) -> Context<'_> {
        Context {
            image: self.catalog.image(),
            statics: &self.statics,
            configs: &self.configs,
            node: NODE,
            shard_count: 3,
            log_dir: "/data",
            auto_create: false,
            offsets_topic: &self.offsets_topic,
            fetch_bytes_max: 1 << 20,
            now: Now::default(),
        }
    }

    pub(super) fn apply(&mut self, records: &[Record]) {
        for record in records {
            self.catalog.apply(record).unwrap();
        }
        let image = self.catalog.image();
        self.configs = image
            .topics
            .iter()
            .map(|topic| (topic.id, Arc::new(TopicConfig::resolve(topic, image, &self.statics))))
            .collect();
    }

    /// What the controller does with a command.
    fn change(&mut self, command: Command) -> CommandOutcome {
        let (records, outcome) = match command {
            Command::CreateTopics { topics, validate_only } => {
                self.drawn += 1;
                let drawn = |at| u128::from_be_bytes([self.drawn; 16]).wrapping_add(at as u128);
                let random = (0..topics.len()).map(|at| drawn(at).to_be_bytes());
                let random: Vec<[u8; 16]> = random.collect();
                let plan = self.catalog.plan_create_topics(&topics, &random, validate_only);
                (plan.records, CommandOutcome::TopicsCreated(plan.outcomes))
            }
            Command::DeleteTopics(topics) => {
                let plan = self.catalog.plan_delete_topics(&topics);
                (plan.records, CommandOutcome::TopicsDeleted(plan.outcomes))
            }
            Command::CreatePartitions { topics, validate_only } => {
                let plan = self.catalog.plan_create_partitions(&topics, validate_only);
                (plan.records, CommandOutcome::PartitionsCreated(plan.outcomes))
            }
            Command::AlterConfigs { resources, validate_only } => {
                let plan = self.catalog.plan_alter_configs(&resources, validate_only);
                (plan.records, CommandOutcome::ConfigsAltered(plan.outcomes))
            }
            Command::IncrementalAlterConfigs { resources, validate_only } => {
                let plan = self.catalog.plan_incremental_alter_configs(&resources, validate_only);
                (plan.records, CommandOutcome::ConfigsAltered(plan.outcomes))
            }
            Command::AllocateProducerIds { .. } => panic!("not an administrative command"),
        };
        self.apply(&records);
        outcome
    }

    /// Begins a request whose body is these bytes.
    pub(super) fn begin_bytes<'a, M: Message<'a>>(
        &self,
        version: i16,
        body: &[u8],
    ) -> Result<Next, DecodeError> {
        super::begin(asked(M::API_KEY, version), body, &self.context())
    }

    /// Begins a request.
    pub(super) fn begin<'a, M: Message<'a>>(&self, version: i16, request: &M) -> Next {
        let mut body = BytesMut::new();
        request.encode(&mut Writer::new(&mut body), version);
        self.begin_bytes::<M>(version, &body).unwrap()
    }

    /// The body of the reply to a request that asks no owner.
    pub(super) fn answer<'a, M: Message<'a>>(&mut self, version: i16, request: &M) -> Vec<u8> {
        match self.begin(version, request) {
            Next::Reply(reply) => body(M::API_KEY, version, &reply),
            Next::Change { mut pending, command } => {
                let outcome = self.change(command);
                let next = admin(&mut pending).on_outcome(outcome, &self.context());
                replied(M::API_KEY, version, next)
            }
            other => panic!("{other:?}"),
        }
    }

    /// The body of the reply to a change that cannot be made durable.
    pub(super) fn not_stored<'a, M: Message<'a>>(&self, version: i16, request: &M) -> Vec<u8> {
        let Next::Change { mut pending, .. } = self.begin(version, request) else {
            panic!("changes nothing")
        };
        let next = admin(&mut pending).on_outcome(CommandOutcome::NotStored, &self.context());
        replied(M::API_KEY, version, next)
    }
}

fn asked(key: ApiKey, version: i16) -> Asked {
    Asked { key, version, correlation_id: CORRELATION_ID }
}

/// What waits in a pending request of this room.
pub(super) fn admin(pending: &mut Pending) -> &mut Admin {
    match pending {
        Pending::Admin(admin) => admin,
        other => panic!("not administrative: {other:?}"),
    }
}

/// The body of what must be a reply.
pub(super) fn replied(key: ApiKey, version: i16, next: Next) -> Vec<u8> {
    match next {
        Next::Reply(reply) => body(key, version, &reply),
        other => panic!("not a reply: {other:?}"),
    }
}

fn body(key: ApiKey, version: i16, reply: &Reply) -> Vec<u8> {
    let mut frame = Vec::new();
    for piece in &reply.pieces {
        let Piece::Bytes(bytes) = piece else { panic!("a file in an administrative reply") };
        frame.extend_from_slice(bytes);
    }
    let (length, rest) = frame.split_at(4);
    assert_eq!(u32::from_be_bytes(length.try_into().unwrap()) as usize, rest.len());
    let mut reader = Reader::new(rest);
    let header = response_header_version(key, version).unwrap();
    let header = ResponseHeader::decode(&mut reader, header).unwrap();
    assert_eq!(header.correlation_id, CORRELATION_ID);
    rest[rest.len() - reader.remaining()..].to_vec()
}
