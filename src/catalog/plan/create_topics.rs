//! CreateTopics, and topics created because a client asked for their metadata.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::apply::Catalog;
use super::super::config_keys::check_topic_configs;
use super::super::describe::{ConfigEntry, DescribeOptions};
use super::super::layers::Layers;
use super::super::placement::{new_partition, place_replicas};
use super::super::record::Record;
use super::super::topic_name::{
    CLUSTER_METADATA_TOPIC, invalid_topic_name, printable, topic_id_from_random,
};
use super::{Plan, Refusal, occurrences};
use crate::ids::{NodeId, TopicId};
use crate::limits::{
    BROKER_PARTITIONS_MAX, REQUEST_PARTITIONS_MAX, REQUEST_TOPICS_MAX, TOPIC_PARTITIONS_MAX,
};

/// Replicas chosen by the client for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaAssignment {
    /// Index of the partition, as sent.
    pub partition: i32,
    /// Its replicas, preferred leader first.
    pub replicas: Vec<NodeId>,
}

/// One topic of a CreateTopics request, as sent: -1 stands for "the broker's default".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicCreation {
    /// Its name, unchecked.
    pub name: String,
    /// Number of partitions, or -1.
    pub partition_count: i32,
    /// Replicas of each partition, or -1.
    pub replication_factor: i16,
    /// Replicas chosen by the client; empty if the broker is to choose.
    pub assignments: Vec<ReplicaAssignment>,
    /// Configs to set, unchecked.
    pub configs: Vec<(String, Option<String>)>,
}

impl TopicCreation {
    /// A topic with the broker's defaults.
    #[must_use]
    pub fn with_defaults(name: &str) -> TopicCreation {
        TopicCreation {
            name: name.to_owned(),
            partition_count: -1,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: Vec::new(),
        }
    }
}

/// What a granted creation reports (CreateTopics v5 and later show all of it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its name.
    pub name: String,
    /// Its identity. With `validate_only` nothing has that identity.
    pub id: TopicId,
    /// Number of partitions.
    pub partition_count: i32,
    /// Replicas of each partition.
    pub replication_factor: i16,
    /// Every topic config with its value in force, in the order of the names.
    pub configs: Arc<[ConfigEntry]>,
}

impl Catalog {
    /// Plans the creation of topics. `random` holds 16 random bytes for each topic; its identity is
    /// made from them.
    #[must_use]
    pub fn plan_create_topics(
        &self,
        topics: &[TopicCreation],
        random: &[[u8; 16]],
        validate_only: bool,
    ) -> Plan<CreatedTopic> {
        assert!(topics.len() == random.len(), "each topic comes with its random bytes");
        let counts = occurrences(topics.iter().map(|topic| topic.name.as_str()));
        let mut room = Room::default();
        // Topics without configs of their own are all described alike.
        let plain = OnceCell::new();
        self.plan_each(topics.iter().zip(random), validate_only, |draft, (topic, random)| {
            if counts.get(topic.name.as_str()).is_some_and(|count| *count > 1) {
                return Err(Refusal::InvalidRequest("Duplicate topic name.".to_owned()));
            }
            room.has_topic()?;
            let planned = draft.plan_create_topic(topic, *random, &room, &plain)?;
            room.take(planned.1.partition_count);
            Ok(planned)
        })
    }

    fn plan_create_topic(
        &self,
        topic: &TopicCreation,
        random: [u8; 16],
        room: &Room,
        plain: &OnceCell<Arc<[ConfigEntry]>>,
    ) -> Result<(Vec<Record>, CreatedTopic), Refusal> {
        let name = topic.name.as_str();
        self.check_new_name(name)?;
        let configs = self.checked_configs(&topic.configs)?;
        let replicas = if topic.assignments.is_empty() {
            self.place(topic.partition_count, topic.replication_factor, room)?
        } else {
            room.has_partitions(topic.assignments.len())?;
            self.assigned(topic)?
        };
        self.check_partition_limits(name, 0, &replicas)?;

        let mut id = topic_id_from_random(random);
        while self.image.topic_by_id(id).is_some() {
            // Only a broken random source gets here; the last bytes carry no version.
            id = TopicId(u128::from_be_bytes(id.0).wrapping_add(1).to_be_bytes());
        }
        let created = CreatedTopic {
            name: name.to_owned(),
            id,
            partition_count: replicas.len() as i32,
            replication_factor: replicas.first().map_or(0, |replicas| replicas.len() as i16),
            configs: if configs.is_empty() {
                plain.get_or_init(|| self.described(&configs)).clone()
            } else {
                self.described(&configs)
            },
        };
        let record = Record::TopicCreated {
            name: name.to_owned(),
            id,
            partitions: replicas.into_iter().map(new_partition).collect(),
            configs,
        };
        Ok((vec![record], created))
    }

    fn described(&self, configs: &BTreeMap<String, String>) -> Arc<[ConfigEntry]> {
        let options = DescribeOptions { synonyms: false, documentation: false };
        self.image.describe_topic_configs(configs, &self.statics, None, options).into()
    }

    fn check_new_name(&self, name: &str) -> Result<(), Refusal> {
        if let Some(reason) = invalid_topic_name(name) {
            return Err(Refusal::InvalidTopic(reason));
        }
        if name == CLUSTER_METADATA_TOPIC {
            return Err(Refusal::InvalidRequest(format!(
                "Creation of internal topic {name} is prohibited."
            )));
        }
        if self.image.topic(name).is_some() {
            return Err(Refusal::TopicExists(format!("Topic '{name}' already exists.")));
        }
        match self.image.topics.colliding(name) {
            Some(taken) => Err(Refusal::InvalidTopic(format!(
                "Topic '{name}' collides with existing topic: {taken}"
            ))),
            None => Ok(()),
        }
    }

    fn checked_configs(
        &self,
        configs: &[(String, Option<String>)],
    ) -> Result<BTreeMap<String, String>, Refusal> {
        let null: Vec<String> = (configs.iter())
            .filter(|(_, value)| value.is_none())
            .map(|(key, _)| printable(key))
            .collect();
        if !null.is_empty() {
            return Err(Refusal::InvalidConfig(format!(
                "Null value not supported for topic configs: {}",
                null.join(",")
            )));
        }
        let configs: BTreeMap<String, String> = (configs.iter())
            .filter_map(|(key, value)| Some((key.clone(), value.clone()?)))
            .collect();
        let layers = Layers::new(&self.image, self.image.node_id, &self.statics);
        check_topic_configs(&configs, layers).map_err(Refusal::InvalidConfig)?;
        Ok(configs)
    }

    /// Replicas as the broker chooses them.
    fn place(
        &self,
        count: i32,
        replication_factor: i16,
        room: &Room,
    ) -> Result<Vec<Vec<NodeId>>, Refusal> {
        if replication_factor < -1 || replication_factor == 0 {
            return Err(Refusal::InvalidReplicationFactor(
                "Replication factor must be larger than 0, or -1 to use the default value."
                    .to_owned(),
            ));
        }
        if count < -1 || count == 0 {
            return Err(Refusal::InvalidPartitions(
                "Number of partitions was set to an invalid non-positive value.".to_owned(),
            ));
        }
        let count = match count {
            -1 => self.default_number("num.partitions"),
            count => i64::from(count),
        };
        let replication_factor = match replication_factor {
            -1 => self.default_number("default.replication.factor"),
            factor => i64::from(factor),
        };
        if count > i64::from(TOPIC_PARTITIONS_MAX) {
            return Err(too_many_for_topic(count));
        }
        let (Ok(count), Ok(factor)) = (usize::try_from(count), usize::try_from(replication_factor))
        else {
            unreachable!("both are positive: the request and the configs were checked")
        };
        room.has_partitions(count)?;
        place_replicas(&self.image.brokers, 0, count, factor).ok_or_else(|| {
            Refusal::InvalidReplicationFactor(format!(
                "Unable to replicate the partition {factor} time(s): The target replication \
                 factor of {factor} cannot be reached because only {} broker(s) are registered.",
                self.image.brokers.len()
            ))
        })
    }

    /// A number from this broker's configuration that has a default in the table.
    fn default_number(&self, key: &str) -> i64 {
        let layers = Layers::new(&self.image, self.image.node_id, &self.statics);
        let value = layers.value(key).and_then(|value| value.trim().parse().ok());
        value.filter(|number| *number > 0).unwrap_or(1)
    }

    /// Replicas as the client chose them.
    fn assigned(&self, topic: &TopicCreation) -> Result<Vec<Vec<NodeId>>, Refusal> {
        for (set, what) in [
            (topic.replication_factor != -1, "replication factor"),
            (topic.partition_count != -1, "numPartitions"),
        ] {
            if set {
                return Err(Refusal::InvalidRequest(format!(
                    "A manual partition assignment was specified, but {what} was not set to -1."
                )));
            }
        }
        let mut by_partition = BTreeMap::new();
        let mut replication_factor = None;
        for assignment in &topic.assignments {
            let partition = assignment.partition;
            if by_partition.contains_key(&partition) {
                return Err(Refusal::InvalidReplicaAssignment(format!(
                    "Found multiple manual partition assignments for partition {partition}"
                )));
            }
            self.check_assignment(&assignment.replicas, replication_factor)?;
            replication_factor = Some(assignment.replicas.len());
            by_partition.insert(partition, assignment.replicas.clone());
        }
        if !by_partition.keys().copied().eq(0..topic.assignments.len() as i32) {
            return Err(Refusal::InvalidReplicaAssignment(
                "partitions should be a consecutive 0-based integer sequence".to_owned(),
            ));
        }
        Ok(by_partition.into_values().collect())
    }

    /// Checks the replicas a client chose for one partition. `replication_factor` is that of the
    /// topic's other partitions.
    pub(super) fn check_assignment(
        &self,
        replicas: &[NodeId],
        replication_factor: Option<usize>,
    ) -> Result<(), Refusal> {
        let refuse = |reason: String| {
            Err(Refusal::InvalidReplicaAssignment(format!(
                "The manual partition assignment includes {reason}"
            )))
        };
        if replicas.is_empty() {
            return refuse("an empty replica list.".to_owned());
        }
        let mut sorted = replicas.to_vec();
        sorted.sort_unstable();
        for node in &sorted {
            if !self.image.brokers.contains_key(node) {
                return refuse(format!("broker {node}, but no such broker is registered."));
            }
        }
        if let Some(twice) = sorted.iter().zip(sorted.iter().skip(1)).find(|(a, b)| a == b) {
            return refuse(format!("the broker {} more than once.", twice.0));
        }
        match replication_factor {
            Some(factor) if factor != replicas.len() => refuse(format!(
                "a partition with {} replica(s), but this is not consistent with previous \
                 partitions, which have {factor} replica(s).",
                replicas.len()
            )),
            _ => Ok(()),
        }
    }

    /// Checks the limits of this house for a topic that has `existing` partitions and gets more.
    pub(super) fn check_partition_limits(
        &self,
        name: &str,
        existing: usize,
        added: &[Vec<NodeId>],
    ) -> Result<(), Refusal> {
        let total = (existing + added.len()) as i64;
        if total > i64::from(TOPIC_PARTITIONS_MAX) {
            return Err(too_many_for_topic(total));
        }
        let mut counts = BTreeMap::<NodeId, usize>::new();
        for node in added.iter().flatten() {
            *counts.entry(*node).or_insert_with(|| self.image.topics.replica_count(*node)) += 1;
        }
        match counts.iter().find(|(_, count)| **count > BROKER_PARTITIONS_MAX) {
            Some((node, count)) => Err(Refusal::PolicyViolation(format!(
                "With topic '{name}' broker {node} would hold {count} partitions, more than the \
                 maximum of {BROKER_PARTITIONS_MAX}."
            ))),
            None => Ok(()),
        }
    }
}

/// What one request may still create.
pub(super) struct Room {
    topics: usize,
    partitions: usize,
}

impl Default for Room {
    fn default() -> Room {
        Room { topics: REQUEST_TOPICS_MAX, partitions: REQUEST_PARTITIONS_MAX }
    }
}

impl Room {
    fn has_topic(&self) -> Result<(), Refusal> {
        if self.topics > 0 {
            return Ok(());
        }
        Err(Refusal::TooMuchAtOnce(format!(
            "Excessively large number of topics per request: at most {REQUEST_TOPICS_MAX}."
        )))
    }

    /// Whether so many partitions may be created. To be asked before anything is made for them.
    pub(super) fn has_partitions(&self, count: usize) -> Result<(), Refusal> {
        if count <= self.partitions {
            return Ok(());
        }
        Err(Refusal::TooMuchAtOnce(format!(
            "Excessively large number of partitions per request: at most {REQUEST_PARTITIONS_MAX}."
        )))
    }

    /// A topic got so many partitions.
    pub(super) fn take(&mut self, partitions: i32) {
        let partitions = usize::try_from(partitions).unwrap_or(usize::MAX);
        self.topics = self.topics.saturating_sub(1);
        self.partitions = self.partitions.saturating_sub(partitions);
    }
}

fn too_many_for_topic(count: i64) -> Refusal {
    Refusal::PolicyViolation(format!(
        "A topic may have at most {TOPIC_PARTITIONS_MAX} partitions, not {count}."
    ))
}
