//! Random lists of requests: whatever was planned and applied live comes back from a snapshot at
//! any point and the log behind it.

use super::super::frame::encode_group;
use super::super::*;
use super::{apply_all, named, statics};
use crate::ids::NodeId;
use crate::stdx::prng::Prng;

const NAMES: [&str; 8] = ["a", "b.c", "b_c", "d", "__consumer_offsets", "e-f", "bad/name", ""];
const CONFIGS: [(&str, &str); 7] = [
    ("retention.ms", "1000"),
    ("retention.ms", "x"),
    ("cleanup.policy", "compact"),
    ("segment.bytes", "2000000"),
    ("segment.bytes", "2"),
    ("flush.messages", "10"),
    ("nope", "1"),
];

fn name(prng: &mut Prng) -> String {
    NAMES[prng.below(NAMES.len() as u64) as usize].to_owned()
}

fn config(prng: &mut Prng) -> (String, Option<String>) {
    let (key, value) = CONFIGS[prng.below(CONFIGS.len() as u64) as usize];
    (key.to_owned(), Some(value.to_owned()))
}

fn resource(prng: &mut Prng) -> ConfigResource {
    match prng.below(4) {
        0 => ConfigResource::Cluster,
        1 => ConfigResource::Broker(NodeId(1 + prng.below(2) as i32)),
        _ => ConfigResource::Topic(name(prng)),
    }
}

/// The records of one random request.
fn request(catalog: &Catalog, prng: &mut Prng) -> Vec<Record> {
    match prng.below(8) {
        0 | 1 => {
            let count = 1 + prng.below(3) as usize;
            let topics: Vec<TopicCreation> = (0..count)
                .map(|_| {
                    let mut topic = named(&name(prng), prng.below(4) as i32);
                    if prng.chance(1, 3) {
                        topic.configs.push(config(prng));
                    }
                    topic
                })
                .collect();
            let mut random = vec![[0; 16]; count];
            random.iter_mut().for_each(|bytes| prng.fill(bytes));
            catalog.plan_create_topics(&topics, &random, prng.chance(1, 10)).records
        }
        2 => catalog.plan_delete_topics(&[TopicSelector::Name(name(prng))]).records,
        3 => {
            let count = prng.below(12) as i32;
            let more = PartitionsCreation { name: name(prng), count, assignments: None };
            catalog.plan_create_partitions(&[more], false).records
        }
        4 => {
            let alteration =
                ConfigAlteration { resource: resource(prng), configs: vec![config(prng)] };
            catalog.plan_alter_configs(&[alteration], false).records
        }
        5 => {
            let (key, value) = match prng.below(3) {
                0 => ("log.retention.ms".to_owned(), Some(prng.below(99).to_string())),
                _ => config(prng),
            };
            let Some(operation) = ConfigOperation::from_number(prng.below(4) as i8) else {
                unreachable!("there are four")
            };
            let changes = vec![ConfigChange { key, operation, value }];
            let alteration = IncrementalAlteration { resource: resource(prng), changes };
            catalog.plan_incremental_alter_configs(&[alteration], false).records
        }
        6 => catalog.plan_allocate_producer_ids(prng.below(1000) as u32).unwrap().0,
        _ => catalog.plan_restart(NodeId(1), Vec::new(), None).unwrap(),
    }
}

fn check(seed: u64) -> (usize, u64) {
    let mut prng = Prng::new(seed);
    let mut catalog = Catalog::new(statics(&[]));
    let mut log = Vec::new();
    let mut images = Vec::new();
    // Where the last group began: position in the log, image before it.
    let mut last_group = (0, catalog.image().clone());
    let mut commit = |catalog: &mut Catalog, records: Vec<Record>, log: &mut Vec<u8>| {
        if !records.is_empty() {
            last_group = (log.len(), catalog.image().clone());
            log.extend(encode_group(&records, catalog.next_sequence()));
            apply_all(catalog, &records);
        }
        last_group.clone()
    };
    let features = [("metadata.version", 27)];
    let born = catalog.plan_create_cluster(NodeId(1), None, [seed as u8; 16], &features).unwrap();
    commit(&mut catalog, born, &mut log);
    let first_start = catalog.plan_restart(NodeId(1), Vec::new(), Some("r".into())).unwrap();
    let mut torn = commit(&mut catalog, first_start, &mut log);
    for _ in 0..prng.between(5, 60) {
        images.push((log.len(), catalog.image().clone()));
        let records = request(&catalog, &mut prng);
        torn = commit(&mut catalog, records, &mut log);
    }

    // Snapshots at random points, with the whole log or only what was written since.
    for _ in 0..4 {
        let (position, image) = &images[prng.below(images.len() as u64) as usize];
        let snapshot = encode_snapshot(image);
        for tail in [&log[..], &log[*position..]] {
            let loaded = Catalog::load(Some(&snapshot), tail, statics(&[])).unwrap();
            assert_eq!(loaded.catalog.image(), catalog.image(), "seed {seed}");
            assert_eq!(loaded.end.valid_bytes, tail.len(), "seed {seed}");
        }
    }
    // Power fails at every byte of the last group.
    let (whole, before) = torn;
    for cut in whole..log.len() {
        let loaded = Catalog::load(None, &log[..cut], statics(&[])).unwrap();
        assert_eq!(*loaded.catalog.image(), before, "seed {seed} cut {cut}");
        assert_eq!(loaded.end.valid_bytes, whole, "seed {seed} cut {cut}");
    }
    (catalog.image().topics.len(), catalog.image().version)
}

#[test]
fn replay_makes_the_same_image() {
    let results: Vec<(usize, u64)> = (0..200).map(check).collect();
    assert!(results.iter().any(|(topics, _)| *topics >= 4), "the requests do create topics");
    assert!(results.iter().any(|(_, version)| *version > 30), "the requests are mostly granted");
}
