//! What the catalog log is made of: one enum variant for each kind of change.

use std::collections::BTreeMap;
use std::fmt;

use super::config_keys;
use super::image::{Endpoint, Partition};
use crate::ids::{Incarnation, NodeId, ProducerId, TopicId};

/// What a dynamic config belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A topic, by name.
    Topic(String),
    /// One broker.
    Broker(NodeId),
    /// All brokers: Kafka's broker resource with an empty name.
    Cluster,
}

impl fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigResource::Topic(name) => write!(f, "topic {name}"),
            ConfigResource::Broker(id) => write!(f, "broker {id}"),
            ConfigResource::Cluster => write!(f, "all brokers"),
        }
    }
}

/// One change of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The cluster got its identity. The first record of every catalog.
    ClusterCreated {
        /// 22 characters of URL-safe base64.
        cluster_id: String,
        /// The broker that owns this data directory.
        node_id: NodeId,
    },
    /// A broker started. Raises the leader epoch of every partition it leads, however it stopped
    /// before: records that were served but lost with the old process are then visibly of an older
    /// epoch, and clients and followers notice the truncation.
    BrokerRegistered {
        /// The broker.
        node_id: NodeId,
        /// Which start of its data directory this is.
        incarnation: Incarnation,
        /// Its advertised listeners.
        endpoints: Vec<Endpoint>,
        /// `broker.rack`.
        rack: Option<String>,
    },
    /// A topic came to be.
    TopicCreated {
        /// Its name.
        name: String,
        /// Its identity.
        id: TopicId,
        /// Its partitions, in the order of their ids.
        partitions: Vec<Partition>,
        /// Configs set at creation.
        configs: BTreeMap<String, String>,
    },
    /// A topic got more partitions, numbered on from those it had.
    PartitionsAdded {
        /// The topic.
        id: TopicId,
        /// Index of the first new partition: how many there were.
        first: u32,
        /// The new partitions.
        partitions: Vec<Partition>,
    },
    /// A topic is gone, with its configs.
    TopicDeleted {
        /// The topic.
        id: TopicId,
    },
    /// A dynamic config got a value.
    ConfigSet {
        /// What it belongs to.
        resource: ConfigResource,
        /// Kafka's key.
        key: String,
        /// Its new value, as text.
        value: String,
    },
    /// A dynamic config fell back to its default.
    ConfigRemoved {
        /// What it belonged to.
        resource: ConfigResource,
        /// Kafka's key.
        key: String,
    },
    /// Producer ids below `next` may have been handed out and are never handed out again.
    ProducerIdsAllocated {
        /// The first id that is still free.
        next: ProducerId,
    },
    /// A feature was finalized at a level (KIP-584); level 0 removes it.
    FeatureSet {
        /// Such as `metadata.version`.
        name: String,
        /// The level.
        level: i16,
    },
}

/// A line for people, as `ringmain dump-log` prints it.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Record::ClusterCreated { cluster_id, node_id } => {
                write!(f, "ClusterCreated clusterId={cluster_id} nodeId={node_id}")
            }
            Record::BrokerRegistered { node_id, incarnation, endpoints, rack } => {
                write!(
                    f,
                    "BrokerRegistered nodeId={node_id} incarnation={incarnation} endpoints="
                )?;
                fmt_endpoints(f, endpoints)?;
                match rack {
                    Some(rack) => write!(f, " rack={rack}"),
                    None => Ok(()),
                }
            }
            Record::TopicCreated { name, id, partitions, configs } => {
                write!(f, "TopicCreated name={name} topicId={id} partitions=")?;
                fmt_partitions(f, 0, partitions)?;
                for (key, value) in configs {
                    write!(f, " {key}={}", shown(key, value))?;
                }
                Ok(())
            }
            Record::PartitionsAdded { id, first, partitions } => {
                write!(f, "PartitionsAdded topicId={id} partitions=")?;
                fmt_partitions(f, *first, partitions)
            }
            Record::TopicDeleted { id } => write!(f, "TopicDeleted topicId={id}"),
            Record::ConfigSet { resource, key, value } => {
                write!(f, "ConfigSet {resource}: {key}={}", shown(key, value))
            }
            Record::ConfigRemoved { resource, key } => {
                write!(f, "ConfigRemoved {resource}: {key}")
            }
            Record::ProducerIdsAllocated { next } => {
                write!(f, "ProducerIdsAllocated nextProducerId={next}")
            }
            Record::FeatureSet { name, level } => write!(f, "FeatureSet {name}={level}"),
        }
    }
}

/// The value as it may be printed: a secret stays one in every dump and log.
pub(super) fn shown<'a>(key: &str, value: &'a str) -> &'a str {
    if config_keys::is_sensitive(key) { "[hidden]" } else { value }
}

/// Endpoints, separated by commas.
pub(super) fn fmt_endpoints(f: &mut fmt::Formatter<'_>, endpoints: &[Endpoint]) -> fmt::Result {
    for (at, Endpoint { listener, host, port }) in endpoints.iter().enumerate() {
        let separator = if at == 0 { "" } else { "," };
        write!(f, "{separator}{listener}://{host}:{port}")?;
    }
    Ok(())
}

/// Partitions in one pair of brackets, the first one having the index `first`.
pub(super) fn fmt_partitions(
    f: &mut fmt::Formatter<'_>,
    first: u32,
    partitions: &[Partition],
) -> fmt::Result {
    f.write_str("[")?;
    for (at, partition) in partitions.iter().enumerate() {
        let separator = if at == 0 { "" } else { " " };
        write!(f, "{separator}{}:", u64::from(first) + at as u64)?;
        match partition.leader {
            Some(leader) => write!(f, "leader={leader}")?,
            None => write!(f, "leader=none")?,
        }
        write!(f, ",epoch={},replicas=", partition.leader_epoch)?;
        for (at, replica) in partition.replicas.iter().enumerate() {
            let separator = if at == 0 { "" } else { "/" };
            write!(f, "{separator}{replica}")?;
        }
    }
    f.write_str("]")
}

impl Record {
    /// The number of this kind of record on disk. Never reused.
    pub(super) fn kind(&self) -> u16 {
        match self {
            Record::ClusterCreated { .. } => 1,
            Record::BrokerRegistered { .. } => 2,
            Record::TopicCreated { .. } => 3,
            Record::PartitionsAdded { .. } => 4,
            Record::TopicDeleted { .. } => 5,
            Record::ConfigSet { .. } => 6,
            Record::ConfigRemoved { .. } => 7,
            Record::ProducerIdsAllocated { .. } => 8,
            Record::FeatureSet { .. } => 9,
        }
    }
}
