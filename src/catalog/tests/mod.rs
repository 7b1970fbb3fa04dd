//! Tests of the machine as a whole: plans, replay, log and snapshot.

mod configs;
mod log;
mod plans;
mod replay_equals_live;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Catalog, Endpoint, Plan, Record, Refusal, StaticConfigs, TopicCreation};
use crate::ids::NodeId;

/// 16 bytes that stand for random ones.
pub(super) fn random(seed: u8) -> [u8; 16] {
    [seed; 16]
}

pub(super) fn statics(pairs: &[(&str, &str)]) -> Arc<StaticConfigs> {
    let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Arc::new(StaticConfigs::new(pairs.collect::<BTreeMap<_, _>>()))
}

pub(super) fn apply_all(catalog: &mut Catalog, records: &[Record]) {
    for record in records {
        catalog.apply(record).unwrap();
    }
}

/// A catalog of one broker with id 1 that started once.
pub(super) fn started(pairs: &[(&str, &str)]) -> Catalog {
    let mut catalog = Catalog::new(statics(pairs));
    let records = catalog.plan_create_cluster(NodeId(1), None, random(9), &[]).unwrap();
    apply_all(&mut catalog, &records);
    let endpoint = Endpoint { listener: "PLAINTEXT".into(), host: "localhost".into(), port: 9092 };
    let records = catalog.plan_restart(NodeId(1), vec![endpoint], None).unwrap();
    apply_all(&mut catalog, &records);
    catalog
}

/// Registers brokers besides the first one.
pub(super) fn join(catalog: &mut Catalog, ids: &[i32]) {
    for id in ids {
        let record = Record::BrokerRegistered {
            node_id: NodeId(*id),
            incarnation: crate::ids::Incarnation(1),
            endpoints: Vec::new(),
            rack: None,
        };
        catalog.apply(&record).unwrap();
    }
}

/// Plans and applies the creation of one topic.
pub(super) fn create(catalog: &mut Catalog, topic: TopicCreation) -> Result<(), Refusal> {
    let seed = catalog.image().version as u8;
    let plan = catalog.plan_create_topics(&[topic], &[random(seed)], false);
    apply_all(catalog, &plan.records);
    outcome(plan).map(|_| ())
}

pub(super) fn named(name: &str, partition_count: i32) -> TopicCreation {
    TopicCreation { partition_count, ..TopicCreation::with_defaults(name) }
}

/// The outcome of a plan for one item. A refused item changes nothing.
pub(super) fn outcome<T>(plan: Plan<T>) -> Result<T, Refusal> {
    let Plan { records, mut outcomes } = plan;
    assert_eq!(outcomes.len(), 1);
    let outcome = outcomes.remove(0);
    assert!(outcome.is_ok() || records.is_empty());
    outcome
}
