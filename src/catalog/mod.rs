//! The catalog: topics, partitions, brokers and dynamic configuration as one applied image.
//!
//! It is a log-backed machine. A `plan_*` call of [`Catalog`] looks at the image and yields records
//! together with the outcome of every single item asked for; only [`Catalog::apply`] changes the
//! image, and it is the same code live and at replay. The shell appends a plan's records as one
//! group ([`frame::encode_group`]), makes it durable, applies it and only then lets the replies
//! leave. A quorum can later take over the appending without a change here.
//!
//! Deliberately unknown here: files, sockets, clocks, randomness (bytes for topic ids arrive as
//! arguments), Kafka error codes (a [`Refusal`] is mapped in `api`), and the offsets of partitions.
//!
//! Invariants:
//! - `Image::version` is the number of records ever applied, and the sequence of the last one.
//! - A topic name and a topic id each name at most one topic, and no two names differ only in
//!   `.` against `_`.
//! - The partitions of a topic are numbered from 0 without gaps, and each has at least one replica.
//! - The leader epoch of a partition rises with every start of the broker that leads it.
//! - A group of records is applied whole or not at all.

mod apply;
pub mod config_keys;
mod describe;
mod dump;
pub mod frame;
mod image;
mod layers;
mod placement;
mod plan;
mod record;
mod record_codec;
mod replay;
mod snapshot;
mod topic_config;
mod topic_name;

pub use apply::{ApplyError, Catalog};
pub use describe::{ConfigEntry, ConfigSource, ConfigSynonym, DescribeOptions};
pub use frame::{CatalogLogReader, LogEnd, LogError};
pub use image::{Broker, Endpoint, Image, Partition, Topic, Topics};
pub use layers::StaticConfigs;
pub use placement::place_replicas;
pub use plan::{
    ConfigAlteration, ConfigChange, ConfigOperation, CreatedPartitions, CreatedTopic, DeletedTopic,
    IncrementalAlteration, PartitionsCreation, Plan, ProducerIdBlock, Refusal, ReplicaAssignment,
    TopicCreation, TopicSelector, is_cluster_id,
};
pub use record::{ConfigResource, Record};
pub use replay::{LoadError, Loaded};
pub use snapshot::{SnapshotError, decode_snapshot, encode_snapshot};
pub use topic_config::{CompressionType, TimestampType, TopicConfig};
pub use topic_name::{
    CLUSTER_METADATA_TOPIC, GROUP_METADATA_TOPIC, METADATA_TOPIC_ID, SHARE_GROUP_STATE_TOPIC,
    TRANSACTION_STATE_TOPIC, invalid_topic_name, is_internal_topic, topic_id_from_random,
};

/// Version of everything this room writes to disk: frames of the catalog log and snapshots. A file
/// with a higher number was written by a newer release and is refused.
pub const FORMAT_VERSION: u16 = 1;

#[cfg(test)]
mod tests;
