//! What looking into batches and waking readers may cost: counted in work, never timed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use super::*;
use crate::api::work::{Acks, OffsetQuery, OffsetsItem, ProduceItem};
use crate::batch::{BatchBuilder, Compression};
use crate::catalog::{Catalog, StaticConfigs, TopicCreation};
use crate::group::{Assignor, ConsumerOptions, GroupOptions};
use crate::ids::NodeId;
use crate::limits::INSPECTION_QUEUE_BYTES_MAX;
use crate::stdx::few::Few;
use crate::time::Timestamp;

/// An owner and a host that does everything at once, except for inspections.
struct Bench {
    owner: Owner,
    out: Outbox,
    topics: BTreeMap<String, TopicId>,
    inspections: VecDeque<(JobId, Inspection)>,
    /// Codes of answers, by request: the base offset, or what was refused.
    answers: Vec<(u64, String)>,
    now: Now,
}

const TOPICS: [(&str, &[(&str, &str)]); 4] = [
    ("plain", &[]),
    ("compact", &[("cleanup.policy", "compact")]),
    ("other", &[("cleanup.policy", "compact")]),
    ("gzip", &[("compression.type", "gzip")]),
];

impl Bench {
    fn new() -> Bench {
        let statics = Arc::new(StaticConfigs::new(BTreeMap::new()));
        let mut catalog = Catalog::new(statics.clone());
        let apply = |catalog: &mut Catalog, records: &[crate::catalog::Record]| {
            for record in records {
                catalog.apply(record).unwrap();
            }
        };
        let records = catalog.plan_create_cluster(NodeId(1), None, [9; 16], &[]).unwrap();
        apply(&mut catalog, &records);
        let records = catalog.plan_restart(NodeId(1), Vec::new(), None).unwrap();
        apply(&mut catalog, &records);
        let creations = TOPICS.map(|(name, configs)| TopicCreation {
            configs: configs.iter().map(|(k, v)| ((*k).into(), Some((*v).into()))).collect(),
            ..TopicCreation::with_defaults(name)
        });
        let random = [[1; 16], [2; 16], [3; 16], [4; 16]];
        let records = catalog.plan_create_topics(&creations, &random, false).records;
        apply(&mut catalog, &records);
        let image = catalog.image();
        let configs = image
            .topics
            .iter()
            .map(|topic| (topic.id, Arc::new(TopicConfig::resolve(topic, image, &statics))))
            .collect();
        let now = Now { instant: Instant(1), timestamp: Timestamp(1_000_000) };
        let options = OwnerOptions {
            shard: ShardId(0),
            shard_count: 1,
            incarnation: Incarnation(1),
            journal_file_bytes: 64 << 20,
            journal_files_max: 8,
            journal_depth: 4,
            tail_bytes_max: 256 << 20,
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
        };
        let mut out = Outbox::default();
        let mut owner = Owner::new(options, image, &configs, Vec::new(), now);
        owner.on_image(image, &configs, now, &mut out);
        let topics = image.topics.iter().map(|topic| (topic.name.to_string(), topic.id)).collect();
        let (inspections, answers) = (VecDeque::new(), Vec::new());
        Bench { owner, out, topics, inspections, answers, now }
    }

    fn at(&self, topic: &str) -> TopicPartition {
        TopicPartition { topic: self.topics[topic], partition: PartitionId(0) }
    }

    fn produce(&mut self, request: u64, topic: &str, batch: BytesMut) {
        let items = Few::from_buf([ProduceItem { index: 0, at: self.at(topic), batch }]);
        let question = Question::Produce { acks: Acks::Leader, items };
        let request = RequestId(request);
        self.owner.on_question(ShardId(0), request, question, self.now, &mut self.out);
    }

    fn look_up(&mut self, request: u64, topic: &str, target: i64) {
        let at = self.at(topic);
        let query = OffsetQuery::AtLeast(Timestamp(target));
        let items = vec![OffsetsItem { index: 0, at, query, current_leader_epoch: None }];
        let question = Question::Offsets(items);
        let request = RequestId(request);
        self.owner.on_question(ShardId(0), request, question, self.now, &mut self.out);
    }

    /// The end of a turn: what the owner wants done is done, and the next turn begins. True if it
    /// has more to do at once.
    fn turn(&mut self) -> bool {
        loop {
            if self.out.actions.is_empty() {
                self.owner.flush_turn(&mut self.out);
            }
            let Some(action) = self.out.actions.pop_front() else { break };
            let (now, out) = (self.now, &mut self.out);
            match action {
                Action::Journal(lane, journal::Action::PrepareFile { file, .. }) => {
                    self.owner.on_journal_file(lane, file, Ok(()), now, out);
                }
                Action::Journal(lane, journal::Action::Write { group, buffer, .. }) => {
                    self.owner.on_journal_written(lane, group, buffer, Ok(()), now, out);
                }
                Action::File(job) => match job.work {
                    FileWork::Inspect(inspection) => {
                        self.inspections.push_back((job.id, inspection));
                    }
                    _ => {
                        self.owner.on_file(job.id, Ok(FileOutcome::Done), now, out);
                    }
                },
                other => panic!("not wanted of this host: {other:?}"),
            }
        }
        for (_, request, answers) in self.out.answers.drain(..) {
            for (_, answer) in answers {
                let told = match answer {
                    Answer::Produced(Ok(produced)) => produced.base_offset.to_string(),
                    Answer::Produced(Err(refusal)) => format!("{refusal:?}"),
                    Answer::Offset(Ok(found)) => format!("{:?}", found.offset.map(|o| o.0)),
                    other => format!("{other:?}"),
                };
                self.answers.push((request.0, told));
            }
        }
        let again = self.owner.next_deadline().is_some_and(|due| due <= self.now.instant);
        if again {
            self.owner.on_time(self.now, &mut self.out);
        }
        again
    }

    fn settle(&mut self) {
        let mut turns = 0;
        while self.turn() {
            turns += 1;
            assert!(turns < 10_000, "a shard that never comes to rest");
        }
    }

    /// The background ends what it does.
    fn end_inspection(&mut self) {
        let (id, inspection) = self.inspections.pop_front().expect("one is under way");
        let inspected = Ok(FileOutcome::Inspected(inspection.run()));
        self.owner.on_file(id, inspected, self.now, &mut self.out);
    }

    fn told(&mut self) -> Vec<(u64, String)> {
        std::mem::take(&mut self.answers)
    }
}

fn batch(compression: Compression, value_bytes: usize, timestamps: &[i64]) -> BytesMut {
    let mut builder = BatchBuilder::new().compression(compression, None);
    for timestamp in timestamps {
        let value = vec![0; value_bytes];
        builder.add(Timestamp(*timestamp), Some(b"k"), Some(&value), &[]);
    }
    builder.build()
}

fn small() -> BytesMut {
    batch(Compression::Gzip, 10, &[1_000_000])
}

/// Little to send and much to unpack.
fn bomb() -> BytesMut {
    batch(Compression::Gzip, 4 << 20, &[1_000_000, 1_000_001])
}

fn told(answers: &[(u64, &str)]) -> Vec<(u64, String)> {
    answers.iter().map(|(request, told)| (*request, (*told).to_owned())).collect()
}

#[test]
fn a_bomb_is_unpacked_in_the_background_and_its_partition_waits_behind_it() {
    let mut bench = Bench::new();
    bench.produce(1, "compact", bomb());
    bench.produce(2, "compact", small());
    bench.produce(3, "other", small());
    bench.produce(4, "plain", bomb());
    bench.settle();
    assert_eq!(bench.inspections.len(), 1);
    // Only the partition of the bomb waits; a topic that takes batches as they are never does.
    assert_eq!(bench.told(), told(&[(3, "0"), (4, "0")]));
    bench.end_inspection();
    bench.settle();
    assert_eq!(bench.told(), told(&[(1, "0"), (2, "2")]));
    assert!(bench.inspections.is_empty());
}

#[test]
fn bombs_are_unpacked_one_at_a_time_and_partitions_take_turns() {
    let mut bench = Bench::new();
    for request in 0..3 {
        bench.produce(request, "compact", bomb());
    }
    bench.produce(10, "other", bomb());
    let mut order = Vec::new();
    for _ in 0..4 {
        bench.settle();
        assert_eq!(bench.inspections.len(), 1, "one at a time");
        bench.end_inspection();
        bench.settle();
        order.extend(bench.told().into_iter().map(|(request, _)| request));
    }
    assert_eq!(order, [0, 10, 1, 2]);
}

#[test]
fn a_turn_looks_into_so_much_and_no_more() {
    let mut bench = Bench::new();
    // 64 KiB each that will not shrink: walked over at once, but not all in one turn.
    let mut value = vec![0; 60_000];
    Prng::new(1).fill(&mut value);
    let mut builder = BatchBuilder::new().compression(Compression::Gzip, None);
    builder.add(Timestamp(1_000_000), Some(b"k"), Some(&value), &[]);
    let large = builder.build();
    let count = 40;
    for request in 0..count {
        bench.produce(request, "compact", large.clone());
    }
    bench.produce(99, "other", small());
    let mut per_turn = Vec::new();
    while bench.turn() {
        per_turn.push(bench.told().len());
    }
    per_turn.push(bench.told().len());
    assert_eq!(per_turn.iter().sum::<usize>(), count as usize + 1);
    // Each takes 16 times its size, and what it may unpack to: some three to a turn of 4 MiB.
    assert!(per_turn.iter().all(|answered| *answered <= 5), "{per_turn:?}");
    assert!(bench.inspections.is_empty());
}

#[test]
fn the_queue_before_the_background_is_bounded() {
    let mut bench = Bench::new();
    bench.produce(0, "compact", bomb());
    let filler = batch(Compression::None, 1_000_000, &[1_000_000]);
    let fit = (INSPECTION_QUEUE_BYTES_MAX / filler.len()) as u64;
    for request in 1..fit + 10 {
        bench.produce(request, "compact", filler.clone());
    }
    bench.settle();
    let refused = bench.told();
    assert_eq!(refused.len(), 9);
    assert!(refused.iter().all(|(_, told)| told == "Busy"), "{refused:?}");
    // Whoever does not need to wait is served.
    bench.produce(1000, "plain", small());
    bench.settle();
    assert_eq!(bench.told(), told(&[(1000, "0")]));
    bench.end_inspection();
    bench.settle();
    assert_eq!(bench.told().len() as u64, fit + 1);
}

#[test]
fn what_must_be_packed_anew_is_no_larger_than_its_topic_takes() {
    let mut bench = Bench::new();
    bench.produce(1, "gzip", batch(Compression::Zstd, 100, &[1_000_000]));
    bench.settle();
    assert_eq!(bench.told(), told(&[(1, "0")]));
    bench.produce(2, "gzip", batch(Compression::Zstd, 1 << 20, &[1_000_000]));
    bench.settle();
    bench.end_inspection();
    bench.settle();
    assert_eq!(bench.told(), told(&[(2, "1")]));
    let config = TopicConfig {
        compression_type: crate::catalog::CompressionType::Uncompressed,
        ..bench.owner.partitions[&bench.at("plain")].config.as_ref().clone()
    };
    let header = crate::batch::check_produce(&bomb()).unwrap();
    let inspection = Inspection::Conform {
        config: Arc::new(config),
        batch: bomb(),
        header,
        now: bench.now.timestamp,
    };
    let Inspected::Conformed(Err(ProduceRefusal::TooLarge { .. })) = inspection.run() else {
        panic!("8 MiB are more than max.message.bytes")
    };
}

#[test]
fn many_lookups_in_a_bomb_take_the_background_one_after_the_other() {
    let mut bench = Bench::new();
    bench.produce(0, "plain", bomb());
    bench.settle();
    bench.told();
    for request in 1..=3 {
        bench.look_up(request, "plain", 1_000_001);
    }
    // Another client's bomb for a topic that has to look inside does not wait for all of them.
    bench.produce(10, "compact", bomb());
    let mut order = Vec::new();
    for _ in 0..4 {
        bench.settle();
        assert_eq!(bench.inspections.len(), 1, "one at a time");
        bench.end_inspection();
        bench.settle();
        order.extend(bench.told());
    }
    let found = "Some(1)";
    assert_eq!(order, told(&[(10, "0"), (1, found), (2, found), (3, found)]));
}

#[test]
fn lookups_in_small_batches_are_answered_at_once_and_go_on_next_turn() {
    let mut bench = Bench::new();
    bench.produce(0, "plain", batch(Compression::Gzip, 10_000, &[1_000_000, 1_000_001]));
    bench.settle();
    bench.told();
    bench.look_up(1, "plain", 1_000_001);
    bench.turn();
    assert_eq!(bench.told(), told(&[(1, "Some(1)")]));
    let uncompressed = batch(Compression::None, 500_000, &[1_000_000, 1_000_001]);
    bench.produce(2, "other", uncompressed);
    bench.settle();
    bench.told();
    for request in 0..100 {
        bench.look_up(request, "other", 1_000_001);
    }
    let mut most = 0;
    loop {
        let again = bench.turn();
        most = most.max(bench.told().len());
        if !again {
            break;
        }
    }
    // A megabyte each, four to a turn.
    assert!((1..=5).contains(&most), "{most} in one turn");
    assert!(bench.inspections.is_empty());
}

#[test]
fn a_partition_that_goes_takes_its_queue_along() {
    let mut bench = Bench::new();
    bench.produce(1, "compact", bomb());
    bench.produce(2, "compact", small());
    bench.settle();
    let at = bench.at("compact");
    bench.owner.remove(at, 99, Instant(0), &mut bench.out);
    bench.settle();
    let unknown = format!("{:?}", ProduceRefusal::Partition(PartitionRefusal::Unknown));
    assert_eq!(bench.told(), told(&[(1, &unknown), (2, &unknown)]));
    // The background ends its work on it all the same, and is free for others.
    bench.produce(3, "other", bomb());
    bench.settle();
    assert_eq!(bench.inspections.len(), 1);
    bench.end_inspection();
    bench.settle();
    bench.end_inspection();
    bench.settle();
    assert_eq!(bench.told(), told(&[(3, "0")]));
}

#[test]
fn a_shard_that_stops_lets_nobody_wait_for_the_background() {
    let mut bench = Bench::new();
    bench.produce(1, "compact", bomb());
    bench.produce(2, "compact", small());
    bench.settle();
    bench.owner.on_stop();
    bench.owner.on_time(bench.now, &mut bench.out);
    bench.turn();
    assert_eq!(bench.told(), told(&[(1, "Busy"), (2, "Busy")]));
    bench.end_inspection();
    bench.turn();
    assert!(bench.told().is_empty());
    let end = bench.owner.partitions[&bench.at("compact")].log.next_offset();
    assert_eq!(end, Offset(0));
}

#[test]
fn readers_are_woken_when_there_is_as_much_as_they_wait_for() {
    let mut bench = Bench::new();
    let at = bench.at("plain");
    let one = batch(Compression::None, 1000, &[1_000_000]);
    let watch = |bench: &mut Bench, request, bytes| {
        let seen = bench.owner.partitions[&at].high_watermark();
        let request = RequestId(request);
        bench.owner.on_watch(ShardId(0), request, &[(at, seen)], bytes, &mut bench.out);
    };
    for request in 0..10_000 {
        watch(&mut bench, request, 10 * one.len());
    }
    watch(&mut bench, 20_000, 1);
    for request in 0..9 {
        bench.produce(request, "plain", one.clone());
        bench.settle();
        let woken: Vec<_> = bench.out.wakes.drain(..).map(|(_, request)| request.0).collect();
        let expected: &[u64] = if request == 0 { &[20_000] } else { &[] };
        assert_eq!(woken, expected);
    }
    bench.produce(9, "plain", one);
    bench.settle();
    assert_eq!(bench.out.wakes.len(), 10_000);
    // Whoever has not seen what is there need not wait.
    bench.out.wakes.clear();
    bench.owner.on_watch(ShardId(0), RequestId(1), &[(at, Offset(0))], 1, &mut bench.out);
    assert_eq!(bench.out.wakes.len(), 1);
}
