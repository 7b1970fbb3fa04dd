//! A snapshot of the image in one piece.
//!
//! ```text
//! magic 4 | format version 2 | blank 2 | length 8 | crc32c 4 | blank 12 | rkyv archive
//! ```
//!
//! Numbers are little-endian. The checksum covers format version, length and archive. The archive
//! is checked structurally before it is read, so damage that a checksum cannot see is an error too.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rkyv::rancor::Error as ArchiveError;
use rkyv::util::AlignedVec;

use super::FORMAT_VERSION;
use super::apply::check_partitions;
use super::image::{Broker, Endpoint, Image, Partition, Topic, Topics};
use super::topic_name::{invalid_topic_name, is_internal_topic};
use crate::ids::{Incarnation, LeaderEpoch, NodeId, ProducerId, TopicId};

/// First bytes of every snapshot.
const SNAPSHOT_MAGIC: [u8; 4] = *b"RmCs";
const HEADER_BYTES: usize = 32;

/// Why bytes are not a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// They do not begin as one.
    NoMagic,
    /// Written by a newer release.
    NewerFormat {
        /// Its format version.
        found: u16,
    },
    /// Bytes are missing or left over.
    Length,
    /// The checksum does not fit.
    Checksum,
    /// The checksum fits, but the contents make no sense.
    Malformed(String),
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::NoMagic => write!(f, "the file is not a catalog snapshot"),
            SnapshotError::NewerFormat { found } => write!(
                f,
                "the catalog snapshot has format {found}, this release knows up to \
                 {FORMAT_VERSION}: start the newer release"
            ),
            SnapshotError::Length => write!(f, "the catalog snapshot is cut off or too long"),
            SnapshotError::Checksum => write!(f, "the catalog snapshot has a wrong checksum"),
            SnapshotError::Malformed(reason) => {
                write!(f, "the catalog snapshot is malformed: {reason}")
            }
        }
    }
}

#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct StoredImage {
    cluster_id: String,
    node_id: i32,
    incarnation: u64,
    brokers: Vec<StoredBroker>,
    topics: Vec<StoredTopic>,
    broker_configs: Vec<(i32, Vec<(String, String)>)>,
    cluster_configs: Vec<(String, String)>,
    next_producer_id: i64,
    features: Vec<(String, i16)>,
    version: u64,
}

#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct StoredBroker {
    id: i32,
    endpoints: Vec<(String, String, u16)>,
    rack: Option<String>,
    epoch: u64,
    incarnation: u64,
}

#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct StoredTopic {
    name: String,
    id: [u8; 16],
    partitions: Vec<StoredPartition>,
    configs: Vec<(String, String)>,
}

#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct StoredPartition {
    leader_epoch: i32,
    leader: Option<i32>,
    replicas: Vec<i32>,
    isr: Vec<i32>,
    partition_epoch: i32,
}

/// The bytes of a snapshot of `image`.
#[must_use]
pub fn encode_snapshot(image: &Image) -> Vec<u8> {
    let archive = match rkyv::to_bytes::<ArchiveError>(&stored(image)) {
        Ok(archive) => archive,
        Err(error) => panic!("an image in memory can be archived: {error}"),
    };
    let length = archive.len() as u64;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + archive.len());
    bytes.extend_from_slice(&SNAPSHOT_MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 2]);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&checksum(FORMAT_VERSION, length, &archive).to_le_bytes());
    bytes.resize(HEADER_BYTES, 0);
    bytes.extend_from_slice(&archive);
    bytes
}

fn checksum(format_version: u16, length: u64, archive: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&format_version.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &length.to_le_bytes());
    crc32c::crc32c_append(crc, archive)
}

/// The image of a snapshot.
///
/// # Errors
/// If the bytes are not a whole, undamaged snapshot of a known format.
pub fn decode_snapshot(bytes: &[u8]) -> Result<Image, SnapshotError> {
    let Some((header, archive)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        let magic = bytes.starts_with(&SNAPSHOT_MAGIC);
        return Err(if magic { SnapshotError::Length } else { SnapshotError::NoMagic });
    };
    let [m0, m1, m2, m3, v0, v1, _, _, l0, l1, l2, l3, l4, l5, l6, l7, c0, c1, c2, c3, ..] =
        *header;
    if [m0, m1, m2, m3] != SNAPSHOT_MAGIC {
        return Err(SnapshotError::NoMagic);
    }
    let format_version = u16::from_le_bytes([v0, v1]);
    if format_version > FORMAT_VERSION {
        return Err(SnapshotError::NewerFormat { found: format_version });
    }
    let length = u64::from_le_bytes([l0, l1, l2, l3, l4, l5, l6, l7]);
    if archive.len() as u64 != length {
        return Err(SnapshotError::Length);
    }
    if checksum(format_version, length, archive) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Err(SnapshotError::Checksum);
    }
    let mut aligned = AlignedVec::<16>::with_capacity(archive.len());
    aligned.extend_from_slice(archive);
    let stored = rkyv::from_bytes::<StoredImage, ArchiveError>(&aligned)
        .map_err(|error| SnapshotError::Malformed(error.to_string()))?;
    restored(stored).map_err(SnapshotError::Malformed)
}

fn stored(image: &Image) -> StoredImage {
    let pairs = |configs: &BTreeMap<String, String>| {
        configs.iter().map(|(key, value)| (key.clone(), value.clone())).collect::<Vec<_>>()
    };
    let numbers = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect::<Vec<_>>();
    let brokers = image.brokers.values().map(|broker| StoredBroker {
        id: broker.id.0,
        endpoints: (broker.endpoints.iter())
            .map(|endpoint| (endpoint.listener.clone(), endpoint.host.clone(), endpoint.port))
            .collect(),
        rack: broker.rack.clone(),
        epoch: broker.epoch,
        incarnation: broker.incarnation.0,
    });
    let topics = image.topics.iter().map(|topic| StoredTopic {
        name: topic.name.to_string(),
        id: topic.id.0,
        partitions: (topic.partitions.iter())
            .map(|partition| StoredPartition {
                leader_epoch: partition.leader_epoch.0,
                leader: partition.leader.map(|leader| leader.0),
                replicas: numbers(&partition.replicas),
                isr: numbers(&partition.isr),
                partition_epoch: partition.partition_epoch,
            })
            .collect(),
        configs: pairs(&topic.configs),
    });
    StoredImage {
        cluster_id: image.cluster_id.clone(),
        node_id: image.node_id.0,
        incarnation: image.incarnation.0,
        brokers: brokers.collect(),
        topics: topics.collect(),
        broker_configs: (image.broker_configs.iter())
            .map(|(node, configs)| (node.0, pairs(configs)))
            .collect(),
        cluster_configs: pairs(&image.cluster_configs),
        next_producer_id: image.next_producer_id.0,
        features: image.features.iter().map(|(name, level)| (name.clone(), *level)).collect(),
        version: image.version,
    }
}

fn restored(stored: StoredImage) -> Result<Image, String> {
    let nodes = |numbers: Vec<i32>| numbers.into_iter().map(NodeId).collect::<Vec<_>>();
    if stored.version > u64::MAX / 2 {
        return Err(format!("version {} is impossible", stored.version));
    }
    let mut topics = Topics::default();
    for topic in stored.topics {
        let id = TopicId(topic.id);
        // The name becomes a path.
        if let Some(reason) = invalid_topic_name(&topic.name) {
            return Err(reason);
        }
        if topics.colliding(&topic.name).is_some() || topics.by_id(id).is_some() {
            return Err(format!("topic {} is there twice", topic.name));
        }
        let partitions = topic.partitions.into_iter().map(|partition| Partition {
            leader_epoch: LeaderEpoch(partition.leader_epoch),
            leader: partition.leader.map(NodeId),
            replicas: nodes(partition.replicas),
            isr: nodes(partition.isr),
            partition_epoch: partition.partition_epoch,
        });
        let partitions: Vec<Partition> = partitions.collect();
        check_partitions(&partitions)?;
        topics.insert(Topic {
            partitions,
            configs: topic.configs.into_iter().collect(),
            internal: is_internal_topic(&topic.name),
            name: topic.name.into(),
            id,
        });
    }
    let brokers = stored.brokers.into_iter().map(|broker| {
        let endpoints = broker.endpoints.into_iter();
        let id = NodeId(broker.id);
        let broker = Broker {
            id,
            endpoints: endpoints
                .map(|(listener, host, port)| Endpoint { listener, host, port })
                .collect(),
            rack: broker.rack,
            epoch: broker.epoch,
            incarnation: Incarnation(broker.incarnation),
        };
        (id, broker)
    });
    Ok(Image {
        cluster_id: stored.cluster_id,
        node_id: NodeId(stored.node_id),
        incarnation: Incarnation(stored.incarnation),
        brokers: brokers.collect(),
        topics: Arc::new(topics),
        broker_configs: (stored.broker_configs.into_iter())
            .map(|(node, configs)| (NodeId(node), configs.into_iter().collect()))
            .collect(),
        cluster_configs: stored.cluster_configs.into_iter().collect(),
        next_producer_id: ProducerId(stored.next_producer_id),
        features: stored.features.into_iter().collect(),
        version: stored.version,
    })
}
