//! Plans: what a request would change, item by item, decided without changing anything.
//!
//! Each item of a request (a topic, a resource) is refused or granted on its own. Items are checked
//! in order against the image as the granted items before them would leave it, so one request can
//! neither collide with itself nor pass a limit in parts.

mod alter_configs;
mod create_topics;
mod delete_topics;
mod lifecycle;
mod partitions;
mod refusal;

pub use alter_configs::{ConfigAlteration, ConfigChange, ConfigOperation, IncrementalAlteration};
pub use create_topics::{CreatedTopic, ReplicaAssignment, TopicCreation};
pub use delete_topics::{DeletedTopic, TopicSelector};
pub use lifecycle::{ProducerIdBlock, is_cluster_id};
pub use partitions::{CreatedPartitions, PartitionsCreation};
pub use refusal::Refusal;

use std::collections::BTreeMap;

use super::apply::Catalog;
use super::record::Record;

/// The answer to a request for several items: one outcome for each, in the order of the request,
/// and the records that make the granted ones true. The outcomes may only be reported once the
/// records are durable and applied. No records: nothing to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan<T> {
    /// To be appended as one group, then applied in order.
    pub records: Vec<Record>,
    /// What became of each item.
    pub outcomes: Vec<Result<T, Refusal>>,
}

impl Catalog {
    /// Plans items one after the other. With `validate_only` the outcomes are the same, but nothing
    /// is to be changed.
    fn plan_each<I, T>(
        &self,
        items: impl Iterator<Item = I>,
        validate_only: bool,
        mut plan_item: impl FnMut(&Catalog, I) -> Result<(Vec<Record>, T), Refusal>,
    ) -> Plan<T> {
        let mut draft = self.clone();
        let mut plan = Plan { records: Vec::new(), outcomes: Vec::new() };
        for item in items {
            let outcome = plan_item(&draft, item).map(|(records, outcome)| {
                for record in &records {
                    if let Err(error) = draft.apply(record) {
                        panic!("a plan made a record that does not apply: {error}");
                    }
                }
                plan.records.extend(records);
                outcome
            });
            plan.outcomes.push(outcome);
        }
        if validate_only {
            plan.records.clear();
        }
        plan
    }
}

/// How often each key occurs; Kafka refuses every item that shares its key with another one of the
/// same request.
fn occurrences<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_insert(0) += 1;
    }
    counts
}
