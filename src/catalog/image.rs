//! What the catalog says at one version: plain data that every shard reads without a lock.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::topic_name::unified;
use crate::ids::{Incarnation, LeaderEpoch, NodeId, PartitionId, ProducerId, TopicId};
use crate::stdx::map::Map;

/// Where clients or other brokers reach a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Listener name, such as `PLAINTEXT`.
    pub listener: String,
    /// Host name or address as advertised.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// One registered broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its identity.
    pub id: NodeId,
    /// Its advertised listeners, in the order of its configuration.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`, for replica placement and nearest-replica reads.
    pub rack: Option<String>,
    /// Rises with every registration (KIP-903): the catalog version of the last one.
    pub epoch: u64,
    /// Which start of its data directory registered last.
    pub incarnation: Incarnation,
}

/// One partition as the catalog knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Term of the leadership; rises with every change of leader and every start of the leader.
    pub leader_epoch: LeaderEpoch,
    /// The broker that leads, if one can.
    pub leader: Option<NodeId>,
    /// Assigned replicas, preferred leader first. Never empty.
    pub replicas: Vec<NodeId>,
    /// Replicas in sync; a subset of `replicas`.
    pub isr: Vec<NodeId>,
    /// Rises with every change of this partition's entry (KIP-497).
    pub partition_epoch: i32,
}

/// One topic as the catalog knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// Its identity (KIP-516).
    pub id: TopicId,
    /// Its partitions, indexed by partition id.
    pub partitions: Vec<Partition>,
    /// Topic configs set explicitly; everything else comes from broker configs and defaults.
    pub configs: BTreeMap<String, String>,
    /// True for Kafka's internal topics.
    pub internal: bool,
}

impl Topic {
    /// A partition by id.
    #[must_use]
    pub fn partition(&self, id: PartitionId) -> Option<&Partition> {
        self.partitions.get(usize::try_from(id.0).ok()?)
    }
}

/// All topics, by name and by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topics {
    by_name: BTreeMap<Arc<str>, Arc<Topic>>,
    by_id: Map<TopicId, Arc<Topic>>,
    /// Names with `.` turned into `_`, to the name that took that form first.
    unified: BTreeMap<String, Arc<str>>,
    /// Replicas assigned to each broker.
    replica_counts: BTreeMap<NodeId, usize>,
}

impl Topics {
    /// A topic by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_name.get(name)
    }

    /// A topic by id.
    #[must_use]
    pub fn by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.by_id.get(&id)
    }

    /// Every topic, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name.values()
    }

    /// Topics in the order of the names, from the first name that is not below `from`; for replies
    /// that are cut into pages (KIP-966).
    pub fn iter_from<'a>(&'a self, from: &str) -> impl Iterator<Item = &'a Arc<Topic>> + use<'a> {
        use std::ops::Bound::{Included, Unbounded};
        self.by_name.range::<str, _>((Included(from), Unbounded)).map(|(_, topic)| topic)
    }

    /// Number of topics.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// True if there is no topic.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Replicas assigned to `node`.
    #[must_use]
    pub fn replica_count(&self, node: NodeId) -> usize {
        self.replica_counts.get(&node).copied().unwrap_or(0)
    }

    /// The existing topic whose metrics a topic called `name` would share, itself included.
    #[must_use]
    pub fn colliding(&self, name: &str) -> Option<&str> {
        self.unified.get(&unified(name)).map(AsRef::as_ref)
    }

    /// Adds a topic. The caller has checked that neither name nor id is taken.
    pub(super) fn insert(&mut self, topic: Topic) {
        assert!(!self.by_name.contains_key(&topic.name), "the topic name is free");
        assert!(!self.by_id.contains_key(&topic.id), "the topic id is free");
        self.count(&topic, usize::checked_add);
        self.unified.entry(unified(&topic.name)).or_insert_with(|| topic.name.clone());
        self.put(topic);
    }

    /// Puts a changed topic in the place of the one with the same name and id.
    pub(super) fn replace(&mut self, topic: Topic) {
        if let Some(old) = self.by_id.get(&topic.id).cloned() {
            self.count(&old, usize::checked_sub);
        }
        self.count(&topic, usize::checked_add);
        self.put(topic);
    }

    fn put(&mut self, topic: Topic) {
        let topic = Arc::new(topic);
        self.by_id.insert(topic.id, topic.clone());
        self.by_name.insert(topic.name.clone(), topic);
    }

    /// Removes a topic by id.
    pub(super) fn remove(&mut self, id: TopicId) -> Option<Arc<Topic>> {
        let topic = self.by_id.remove(&id)?;
        self.by_name.remove(&topic.name);
        self.unified.remove(&unified(&topic.name));
        self.count(&topic, usize::checked_sub);
        Some(topic)
    }

    fn count(&mut self, topic: &Topic, step: fn(usize, usize) -> Option<usize>) {
        for replica in topic.partitions.iter().flat_map(|partition| &partition.replicas) {
            let count = self.replica_counts.entry(*replica).or_default();
            let Some(next) = step(*count, 1) else { panic!("replica count of {replica} is off") };
            *count = next;
        }
        self.replica_counts.retain(|_, count| *count > 0);
    }
}

/// The catalog at one version. Immutable once shared; a change makes another image that shares what
/// did not change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Identity of the cluster: 22 characters of URL-safe base64. Empty until it is created.
    pub cluster_id: String,
    /// The broker that this data directory belongs to.
    pub node_id: NodeId,
    /// Which start of this data directory this is.
    pub incarnation: Incarnation,
    /// Registered brokers.
    pub brokers: BTreeMap<NodeId, Broker>,
    /// All topics.
    pub topics: Arc<Topics>,
    /// Dynamic configs of single brokers.
    pub broker_configs: BTreeMap<NodeId, BTreeMap<String, String>>,
    /// Dynamic configs for all brokers (the cluster-wide default).
    pub cluster_configs: BTreeMap<String, String>,
    /// The first producer id that no broker was ever given.
    pub next_producer_id: ProducerId,
    /// Finalized feature levels (KIP-584), such as `metadata.version`.
    pub features: BTreeMap<String, i16>,
    /// Number of records applied.
    pub version: u64,
}

impl Image {
    /// A topic by name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    /// A topic by id.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.topics.by_id(id)
    }

    /// True once the cluster has an identity.
    #[must_use]
    pub fn is_created(&self) -> bool {
        !self.cluster_id.is_empty()
    }

    /// The broker that answers for the cluster as its controller: the one with the lowest id until
    /// there is a quorum to elect one.
    #[must_use]
    pub fn controller_id(&self) -> Option<NodeId> {
        self.brokers.keys().next().copied()
    }
}
