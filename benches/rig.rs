//! One shard of a broker on a disk that takes everything at once and keeps nothing, and requests for
//! it: what the core costs without sockets, rings and files. For the micro-benchmarks and for the
//! count of allocations.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use ringmain::batch::BatchBuilder;
use ringmain::catalog::{Catalog, StaticConfigs, TopicConfig, TopicCreation};
use ringmain::group::{Assignor, ConsumerOptions, GroupOptions};
use ringmain::ids::{
    ConnectionId, Incarnation, NodeId, Offset, PartitionId, ProducerEpoch, ProducerId, Sequence,
    ShardId, TopicId, TopicPartition,
};
use ringmain::journal;
use ringmain::limits;
use ringmain::log::Log;
use ringmain::producer::ProducerTable;
use ringmain::shard::engine::{Action, Engine, FileOutcome, Piece, Reply};
use ringmain::shard::owner::{CompactionSettings, OwnerOptions, RestoredPartition, log_options};
use ringmain::shard::{ConnectionLimits, Shard, ShardOptions, ShardSeed};
use ringmain::time::{Instant, Now, Timestamp};
use ringmain::wire::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use ringmain::wire::frame::{LENGTH_BYTES, read_response, write_request};
use ringmain::wire::message::Request;
use ringmain::wire::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use ringmain::wire::value::Records;

/// Partitions of the topic.
pub(crate) const PARTITIONS: i32 = 16;

// What clients of Kafka 4 speak.
const PRODUCE_VERSION: i16 = 13;
const FETCH_VERSION: i16 = 17;

const NODE: NodeId = NodeId(1);
const TOPIC: &str = "events";
const CONNECTION: ConnectionId = ConnectionId(1);
const START: Now = Now { instant: Instant(1_000_000_000), timestamp: Timestamp(1_700_000_000_000) };
/// What one turn takes. No background work falls due within the few thousand turns of a run, but
/// what the bytes of the run themselves demand.
const TURN: Duration = Duration::from_micros(10);

/// See the module.
pub(crate) struct Rig {
    shard: Shard,
    topic: TopicId,
    now: Now,
    replies: usize,
    last_reply: Reply,
}

impl Rig {
    /// A broker of one shard with one topic, one client connected.
    pub(crate) fn new() -> Rig {
        let statics = Arc::new(StaticConfigs::new(BTreeMap::new()));
        let mut catalog = Catalog::new(statics.clone());
        let created = catalog.plan_create_cluster(NODE, None, [9; 16], &[]).expect("a new catalog");
        created.iter().for_each(|record| catalog.apply(record).expect("as planned"));
        let restarted = catalog.plan_restart(NODE, Vec::new(), None).expect("it is created");
        restarted.iter().for_each(|record| catalog.apply(record).expect("as planned"));
        let creation =
            TopicCreation { partition_count: PARTITIONS, ..TopicCreation::with_defaults(TOPIC) };
        let planned = catalog.plan_create_topics(&[creation], &[[1; 16]], false);
        planned.records.iter().for_each(|record| catalog.apply(record).expect("as planned"));
        let image = catalog.image().clone();
        let topic = image.topic(TOPIC).expect("created above");
        let config = TopicConfig::resolve(topic, &image, &statics);
        let partitions = (0..PARTITIONS).map(|index| {
            let at = TopicPartition { topic: topic.id, partition: PartitionId(index) };
            let log = Log::new(Offset(0), log_options(&config, at), START.timestamp);
            let producers = ProducerTable::new(limits::PARTITION_PRODUCERS_MAX);
            RestoredPartition { at, log, producers }
        });
        let seed = ShardSeed {
            options: options(),
            partitions: partitions.collect(),
            image: image.clone(),
            statics,
            controller: Some((catalog, 0, 1)),
        };
        let mut rig = Rig {
            shard: Shard::new(seed, START),
            topic: topic.id,
            now: START,
            replies: 0,
            last_reply: Reply::default(),
        };
        assert!(rig.shard.on_accept(CONNECTION, ([127, 0, 0, 1], 40_000).into(), START));
        rig.turn();
        rig
    }

    /// A request arrives.
    pub(crate) fn frame(&mut self, frame: BytesMut) {
        self.shard.on_frame(CONNECTION, frame, self.now);
    }

    /// The turn ends: what the shard wants done is done, and time passes.
    pub(crate) fn turn(&mut self) {
        self.carry_out();
        self.now.instant = self.now.instant + TURN;
        if self.shard.next_deadline().is_some_and(|due| due <= self.now.instant) {
            self.shard.on_time(self.now);
            self.carry_out();
        }
    }

    fn carry_out(&mut self) {
        let now = self.now;
        while let Some(action) = self.shard.poll_action() {
            match action {
                Action::Reply { reply, .. } => {
                    self.replies += 1;
                    self.last_reply = reply;
                    self.shard.on_sent(CONNECTION, now);
                }
                Action::Journal(lane, journal::Action::PrepareFile { file, .. }) => {
                    self.shard.on_journal_file(lane, file, Ok(()), now);
                }
                Action::Journal(lane, journal::Action::Write { group, buffer, .. }) => {
                    self.shard.on_journal_written(lane, group, buffer, Ok(()), now);
                }
                // A read would not be content with that; everything that is read here is in memory.
                Action::File(job) => self.shard.on_file(job.id, Ok(FileOutcome::Done), now),
                other => panic!("not wanted of this host: {other:?}"),
            }
        }
    }

    /// Replies so far.
    pub(crate) fn replies(&self) -> usize {
        self.replies
    }

    /// Base offsets in the last reply, which is to a Produce request and good.
    pub(crate) fn produced(&self) -> Vec<i64> {
        let frame = self.last_frame();
        let (_, reply) = read_response::<ProduceResponse<'_>>(&frame, PRODUCE_VERSION)
            .expect("a well-formed reply");
        let mut offsets = Vec::new();
        for topic in reply.responses.iter() {
            for partition in topic.partition_responses.iter() {
                assert_eq!(partition.error_code, 0, "{partition:?}");
                offsets.push(partition.base_offset);
            }
        }
        offsets
    }

    /// Session and bytes of records in the last reply, which is to a Fetch request and good.
    pub(crate) fn fetched(&self) -> (i32, usize) {
        let frame = self.last_frame();
        let (_, reply) =
            read_response::<FetchResponse<'_>>(&frame, FETCH_VERSION).expect("a well-formed reply");
        assert_eq!(reply.error_code, 0, "{reply:?}");
        let mut bytes = 0;
        for topic in reply.responses.iter() {
            for partition in topic.partitions.iter() {
                assert_eq!(partition.error_code, 0, "{partition:?}");
                if let Records::Bytes(records) = partition.records {
                    bytes += records.len();
                }
            }
        }
        (reply.session_id, bytes)
    }

    fn last_frame(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        for piece in &self.last_reply.pieces {
            match piece {
                Piece::Bytes(bytes) => frame.extend_from_slice(bytes),
                Piece::File(range) => panic!("not in memory: {range:?}"),
            }
        }
        frame.split_off(LENGTH_BYTES)
    }

    /// A request that appends the batch to each of the first `partitions`, for all replicas.
    pub(crate) fn produce(&self, partitions: i32, batch: &[u8]) -> BytesMut {
        let data =
            (0..partitions).map(|index| PartitionProduceData { index, records: Some(batch) });
        let topic = TopicProduceData {
            topic_id: self.topic.0,
            partition_data: data.collect(),
            ..Default::default()
        };
        let body = ProduceRequest {
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![topic].into(),
            ..Default::default()
        };
        framed(PRODUCE_VERSION, &body)
    }

    /// A request of a session (or for one, with epoch 0) that reads up to `bytes` from each of the
    /// first `partitions`, from `offset` on, and waits for some.
    pub(crate) fn fetch(
        &self,
        session: i32,
        epoch: i32,
        partitions: i32,
        offset: i64,
        bytes: usize,
    ) -> BytesMut {
        let wanted = (0..partitions).map(|partition| FetchPartition {
            partition,
            fetch_offset: offset,
            partition_max_bytes: i32::try_from(bytes).expect("a few"),
            ..Default::default()
        });
        let topic = FetchTopic {
            topic_id: self.topic.0,
            partitions: wanted.collect(),
            ..Default::default()
        };
        let body = FetchRequest {
            max_wait_ms: 500,
            min_bytes: 1,
            session_id: session,
            session_epoch: epoch,
            topics: vec![topic].into(),
            ..Default::default()
        };
        framed(FETCH_VERSION, &body)
    }
}

/// A frame in a buffer of its own, as the shell hands it over.
fn framed<'a, R: Request<'a>>(version: i16, body: &R) -> BytesMut {
    let mut written = BytesMut::new();
    write_request(&mut written, 1, Some("client"), version, body);
    let mut frame = BytesMut::with_capacity(written.len() - LENGTH_BYTES);
    frame.extend_from_slice(&written[LENGTH_BYTES..]);
    frame
}

/// A batch of one record, the so-manieth of an idempotent producer.
pub(crate) fn batch(number: usize, value_bytes: usize) -> BytesMut {
    let sequence = Sequence(i32::try_from(number).expect("a short run"));
    let mut builder = BatchBuilder::new().producer(ProducerId(7), ProducerEpoch(0), sequence);
    builder.add(START.timestamp, None, Some(&vec![b'v'; value_bytes]), &[]);
    builder.build()
}

fn options() -> ShardOptions {
    ShardOptions {
        owner: OwnerOptions {
            shard: ShardId(0),
            shard_count: 1,
            incarnation: Incarnation(1),
            journal_file_bytes: limits::JOURNAL_FILE_BYTES,
            journal_files_max: 8,
            journal_depth: limits::JOURNAL_DEPTH,
            tail_bytes_max: 128 << 20,
            retention_interval: Duration::from_secs(300),
            producer_expiration: Duration::from_secs(86_400),
            compaction: CompactionSettings {
                enabled: false,
                interval: Duration::from_secs(15),
                keys_bytes_max: 1 << 20,
            },
            groups: Arc::new(GroupOptions {
                initial_rebalance_delay: Duration::from_secs(3),
                session_timeout_min: Duration::from_secs(6),
                session_timeout_max: Duration::from_secs(1_800),
                size_max: 1_000,
                metadata_bytes_max: 4_096,
                offsets_retention: Duration::from_secs(604_800),
                offsets_check_interval: Duration::from_secs(600),
                consumer: ConsumerOptions {
                    enabled: true,
                    assignors: vec![Assignor::Uniform, Assignor::Range],
                    session_timeout: Duration::from_secs(45),
                    heartbeat_interval: Duration::from_secs(5),
                    size_max: 1_000,
                },
            }),
            seed: 1,
        },
        connections: ConnectionLimits {
            count_max: 1_000,
            per_address_max: 1_000,
            of_address: BTreeMap::new(),
            idle_max: Duration::from_secs(600),
            creation_rate_max: None,
        },
        queued_bytes_max: usize::MAX,
        node: NODE,
        log_dir: "/data".to_owned(),
        auto_create: false,
        offsets_topic: TopicCreation::with_defaults("__consumer_offsets"),
        fetch_bytes_max: 55 << 20,
        fetch_sessions_max: 1_000,
    }
}
