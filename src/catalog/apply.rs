//! The one place that changes the image.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::image::{Broker, Image, Partition, Topic};
use super::layers::StaticConfigs;
use super::record::{ConfigResource, Record};
use super::topic_name::{invalid_topic_name, is_internal_topic};
use crate::ids::{LeaderEpoch, NodeId};

/// A record that does not fit the image it is applied to. Live this is a bug; at replay it means
/// that the log is not the one that belongs to the snapshot, or that a bug wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyError {
    /// The version the image would have had.
    pub version: u64,
    /// The record, as text.
    pub record: String,
    /// What does not fit.
    pub reason: String,
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ApplyError { version, record, reason } = self;
        write!(f, "catalog record {version} does not apply: {reason} ({record})")
    }
}

/// The machine: the current image, and the static configuration that plans are checked against.
#[derive(Clone, Debug)]
pub struct Catalog {
    pub(super) image: Arc<Image>,
    pub(super) statics: Arc<StaticConfigs>,
}

impl Catalog {
    /// An empty catalog.
    #[must_use]
    pub fn new(statics: Arc<StaticConfigs>) -> Catalog {
        Catalog::with_image(Image::default(), statics)
    }

    /// A catalog that continues from an image.
    #[must_use]
    pub fn with_image(image: Image, statics: Arc<StaticConfigs>) -> Catalog {
        Catalog { image: Arc::new(image), statics }
    }

    /// The current image, to be handed to every shard after a change.
    #[must_use]
    pub fn image(&self) -> &Arc<Image> {
        &self.image
    }

    /// The static configuration of this broker.
    #[must_use]
    pub fn static_configs(&self) -> &Arc<StaticConfigs> {
        &self.statics
    }

    /// Sequence of the next record to be appended.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.image.version + 1
    }

    /// Applies one record that is durable. While a shard still holds the previous image, this works
    /// on a copy; the topics themselves are shared between both.
    ///
    /// # Errors
    /// If the record does not fit the image, which is then unchanged.
    pub fn apply(&mut self, record: &Record) -> Result<(), ApplyError> {
        let version = self.image.version + 1;
        if let Err(reason) = check(&self.image, record) {
            return Err(ApplyError { version, record: record.to_string(), reason });
        }
        let image = Arc::make_mut(&mut self.image);
        image.version = version;
        change(image, record);
        Ok(())
    }
}

/// Everything that could make `change` do something else than the record says.
fn check(image: &Image, record: &Record) -> Result<(), String> {
    if let Record::ClusterCreated { .. } = record {
        return if image.version == 0 { Ok(()) } else { Err("the cluster exists".to_owned()) };
    }
    if !image.is_created() {
        return Err("the cluster was not created yet".to_owned());
    }
    match record {
        Record::ClusterCreated { .. } => Ok(()),
        Record::BrokerRegistered { node_id, incarnation, .. } => match image.brokers.get(node_id) {
            Some(broker) if broker.incarnation >= *incarnation => {
                Err(format!("incarnation {} started before", broker.incarnation))
            }
            _ if incarnation.0 == u64::MAX => Err("an impossible incarnation".to_owned()),
            _ => check_epochs(image, *node_id),
        },
        Record::TopicCreated { name, id, partitions, .. } => {
            if let Some(reason) = invalid_topic_name(name) {
                Err(reason)
            } else if let Some(taken) = image.topics.colliding(name) {
                Err(format!("topic {taken} has that name or one that collides"))
            } else if let Some(taken) = image.topic_by_id(*id) {
                Err(format!("topic {} has that id", taken.name))
            } else {
                check_partitions(partitions)
            }
        }
        Record::PartitionsAdded { id, first, partitions } => match image.topic_by_id(*id) {
            Some(topic) if topic.partitions.len() as u64 == u64::from(*first) => {
                check_partitions(partitions)
            }
            Some(topic) => Err(format!("the topic has {} partitions", topic.partitions.len())),
            None => Err("no such topic".to_owned()),
        },
        Record::TopicDeleted { id } => match image.topic_by_id(*id) {
            Some(_) => Ok(()),
            None => Err("no such topic".to_owned()),
        },
        Record::ConfigSet { resource, .. } | Record::ConfigRemoved { resource, .. } => {
            match resource {
                ConfigResource::Topic(name) if image.topic(name).is_none() => {
                    Err("no such topic".to_owned())
                }
                _ => Ok(()),
            }
        }
        Record::ProducerIdsAllocated { next } => {
            if *next < image.next_producer_id {
                Err(format!("ids below {} were given out", image.next_producer_id))
            } else {
                Ok(())
            }
        }
        Record::FeatureSet { level, .. } => {
            if *level < 0 {
                Err("a negative level".to_owned())
            } else {
                Ok(())
            }
        }
    }
}

/// Checks what a log or a snapshot says of a topic's partitions.
pub(super) fn check_partitions(partitions: &[Partition]) -> Result<(), String> {
    if partitions.is_empty() {
        return Err("no partitions".to_owned());
    }
    let whole = partitions.iter().all(|partition| {
        !partition.replicas.is_empty()
            && partition.leader_epoch.0 >= 0
            && partition.partition_epoch >= 0
            && partition.isr.iter().all(|node| partition.replicas.contains(node))
            && partition.leader.is_none_or(|leader| partition.isr.contains(&leader))
    });
    if whole { Ok(()) } else { Err("an impossible partition".to_owned()) }
}

/// No epoch that is about to rise may be at its end.
fn check_epochs(image: &Image, node: NodeId) -> Result<(), String> {
    let led = image.topics.iter().flat_map(|topic| &topic.partitions);
    let at_end = led.filter(|partition| partition.leader == Some(node)).any(|partition| {
        partition.leader_epoch.0 == i32::MAX || partition.partition_epoch == i32::MAX
    });
    if at_end { Err("a leader epoch has reached its end".to_owned()) } else { Ok(()) }
}

fn change(image: &mut Image, record: &Record) {
    match record {
        Record::ClusterCreated { cluster_id, node_id } => {
            image.cluster_id.clone_from(cluster_id);
            image.node_id = *node_id;
        }
        Record::BrokerRegistered { node_id, incarnation, endpoints, rack } => {
            let broker = Broker {
                id: *node_id,
                endpoints: endpoints.clone(),
                rack: rack.clone(),
                epoch: image.version,
                incarnation: *incarnation,
            };
            image.brokers.insert(*node_id, broker);
            if *node_id == image.node_id {
                image.incarnation = *incarnation;
            }
            raise_leader_epochs(image, *node_id);
        }
        Record::TopicCreated { name, id, partitions, configs } => {
            Arc::make_mut(&mut image.topics).insert(Topic {
                name: name.as_str().into(),
                id: *id,
                partitions: partitions.clone(),
                configs: configs.clone(),
                internal: is_internal_topic(name),
            });
        }
        Record::PartitionsAdded { id, partitions, .. } => {
            let topics = Arc::make_mut(&mut image.topics);
            if let Some(topic) = topics.by_id(*id) {
                let mut topic = Topic::clone(topic);
                topic.partitions.extend_from_slice(partitions);
                topics.replace(topic);
            }
        }
        Record::TopicDeleted { id } => {
            Arc::make_mut(&mut image.topics).remove(*id);
        }
        Record::ConfigSet { resource, key, value } => {
            change_configs(image, resource, |configs| {
                configs.insert(key.clone(), value.clone());
            });
        }
        Record::ConfigRemoved { resource, key } => {
            change_configs(image, resource, |configs| {
                configs.remove(key);
            });
        }
        Record::ProducerIdsAllocated { next } => image.next_producer_id = *next,
        Record::FeatureSet { name, level } => {
            if *level == 0 {
                image.features.remove(name);
            } else {
                image.features.insert(name.clone(), *level);
            }
        }
    }
}

fn raise_leader_epochs(image: &mut Image, node: NodeId) {
    let leads = |partition: &Partition| partition.leader == Some(node);
    let topics: Vec<Topic> = image
        .topics
        .iter()
        .filter(|topic| topic.partitions.iter().any(leads))
        .map(|topic| {
            let mut topic = Topic::clone(topic);
            for partition in topic.partitions.iter_mut().filter(|partition| leads(partition)) {
                partition.leader_epoch = LeaderEpoch(partition.leader_epoch.0 + 1);
                partition.partition_epoch += 1;
            }
            topic
        })
        .collect();
    let table = Arc::make_mut(&mut image.topics);
    for topic in topics {
        table.replace(topic);
    }
}

fn change_configs(
    image: &mut Image,
    resource: &ConfigResource,
    change: impl FnOnce(&mut BTreeMap<String, String>),
) {
    match resource {
        ConfigResource::Topic(name) => {
            let topics = Arc::make_mut(&mut image.topics);
            if let Some(topic) = topics.get(name) {
                let mut topic = Topic::clone(topic);
                change(&mut topic.configs);
                topics.replace(topic);
            }
        }
        ConfigResource::Broker(node) => {
            let configs = image.broker_configs.entry(*node).or_default();
            change(configs);
            // An empty map and none mean the same; keep one form, so that equal states compare so.
            if configs.is_empty() {
                image.broker_configs.remove(node);
            }
        }
        ConfigResource::Cluster => change(&mut image.cluster_configs),
    }
}
