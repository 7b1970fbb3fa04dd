//! Settings: the broker's static configuration, parsed and checked into what the machines take.
//!
//! A file in TOML and `--set KEY=VALUE` on the command line, with Kafka's names for the keys. An
//! unknown key, a value of the wrong kind and a contradiction are all errors, and every one of them
//! is reported, not only the first: a setting that is silently dropped is a broker that is not what
//! its owner thinks.
//!
//! Which keys there are, their defaults and what is valid stands in [`crate::catalog::config_keys`]
//! and nowhere else. This room reads no file and no environment; it is handed the text.

mod error;
mod file;
mod listener;
mod read;
mod render;
mod suggest;

pub use error::ConfigError;
pub use listener::Listener;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::catalog::{GROUP_METADATA_TOPIC, StaticConfigs, TRANSACTION_STATE_TOPIC, TopicCreation};
use crate::ids::NodeId;

/// The least that `segment.bytes` may be.
const SEGMENT_BYTES_MIN: u32 = 1 << 20;

/// Everything that is fixed while the process runs. Topic defaults (`log.*`) are not repeated here:
/// they reach [`crate::catalog::TopicConfig`] through `static_configs`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `node.id`, or its older name `broker.id`.
    pub node_id: NodeId,
    /// `ringmain.cluster.id`.
    pub cluster_id: Option<String>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// `listeners`. Never empty.
    pub listeners: Vec<Listener>,
    /// `advertised.listeners`, or `listeners`. An empty host stands for this machine's name.
    pub advertised_listeners: Vec<Listener>,
    /// `log.dirs`, or `log.dir`: the one data directory.
    pub log_dir: PathBuf,
    /// `ringmain.journal.path`.
    pub journal_path: Option<PathBuf>,

    /// `ringmain.shards`; `None`: as many as there are cores.
    pub shards: Option<u16>,
    /// `ringmain.cpus`; empty: the first cores that the process may use.
    pub cpus: Vec<usize>,
    /// `ringmain.journal.file.bytes`.
    pub journal_file_bytes: u64,
    /// `ringmain.journal.files`: for each shard.
    pub journal_files: u32,
    /// `ringmain.memory.tail.bytes`: for each shard.
    pub memory_tail_bytes: u64,

    /// `socket.request.max.bytes`.
    pub socket_request_max_bytes: usize,
    /// `socket.send.buffer.bytes`; `None` leaves it to the operating system.
    pub socket_send_buffer_bytes: Option<u32>,
    /// `socket.receive.buffer.bytes`; `None` leaves it to the operating system.
    pub socket_receive_buffer_bytes: Option<u32>,
    /// `socket.listen.backlog.size`.
    pub socket_listen_backlog_size: u32,
    /// `connections.max.idle.ms`; `None` closes no idle connection (a negative value).
    pub connections_max_idle_ms: Option<u64>,
    /// `max.connections`.
    pub max_connections: u32,
    /// `max.connections.per.ip`.
    pub max_connections_per_ip: u32,
    /// `max.connections.per.ip.overrides`, by host or address.
    pub max_connections_per_ip_overrides: BTreeMap<String, u32>,
    /// `max.connection.creation.rate`: in a second.
    pub max_connection_creation_rate: u32,
    /// `queued.max.request.bytes`; `None` sets no limit of its own.
    pub queued_max_request_bytes: Option<u64>,

    /// `fetch.max.bytes`.
    pub fetch_max_bytes: u32,
    /// `max.incremental.fetch.session.cache.slots`: in the whole process.
    pub fetch_session_slots: u32,
    /// `max.request.partition.size.limit`: partitions in a DescribeTopicPartitions response.
    pub max_request_partition_size_limit: u32,

    /// `auto.create.topics.enable`.
    pub auto_create_topics_enable: bool,
    /// `log.retention.check.interval.ms`.
    pub log_retention_check_interval_ms: u64,
    /// `log.cleaner.enable`.
    pub log_cleaner_enable: bool,
    /// `log.cleaner.backoff.ms`.
    pub log_cleaner_backoff_ms: u64,
    /// `log.cleaner.dedupe.buffer.size`, in bytes, over all shards.
    pub log_cleaner_dedupe_buffer_size: u64,

    /// Consumer groups and committed offsets.
    pub groups: GroupSettings,
    /// Transactions and idempotent producers.
    pub transactions: TransactionSettings,

    /// Every key that was given, for the catalog.
    pub static_configs: Arc<StaticConfigs>,
    /// What an operator should know about these settings, one line each.
    pub warnings: Vec<String>,
}

/// Settings of group coordinators.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupSettings {
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay_ms: u64,
    /// `group.min.session.timeout.ms`.
    pub min_session_timeout_ms: u64,
    /// `group.max.session.timeout.ms`.
    pub max_session_timeout_ms: u64,
    /// `group.max.size`.
    pub max_size: u32,
    /// `group.consumer.session.timeout.ms`.
    pub consumer_session_timeout_ms: u64,
    /// `group.consumer.heartbeat.interval.ms`.
    pub consumer_heartbeat_interval_ms: u64,
    /// `group.consumer.max.size`.
    pub consumer_max_size: u32,
    /// `group.consumer.assignors`; the first one is the default.
    pub consumer_assignors: Vec<String>,
    /// `group.coordinator.rebalance.protocols` names `consumer`.
    pub consumer_protocol_enable: bool,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_max_bytes: u32,
    /// `offsets.commit.timeout.ms`.
    pub offsets_commit_timeout_ms: u64,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: u64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval_ms: u64,
    /// `offsets.topic.num.partitions`.
    pub offsets_topic_partitions: i32,
    /// `offsets.topic.replication.factor`.
    pub offsets_topic_replication_factor: i16,
    /// `offsets.topic.segment.bytes`.
    pub offsets_topic_segment_bytes: u32,
}

/// Settings of transaction coordinators and of producer state.
#[derive(Clone, Debug, PartialEq)]
pub struct TransactionSettings {
    /// `producer.id.expiration.ms` at start; it can be changed later.
    pub producer_id_expiration_ms: u64,
    /// `transaction.max.timeout.ms`.
    pub max_timeout_ms: u64,
    /// `transactional.id.expiration.ms`.
    pub transactional_id_expiration_ms: u64,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`.
    pub abort_interval_ms: u64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`.
    pub remove_expired_interval_ms: u64,
    /// `transaction.partition.verification.enable` at start; it can be changed later.
    pub partition_verification_enable: bool,
    /// `transaction.state.log.num.partitions`.
    pub topic_partitions: i32,
    /// `transaction.state.log.replication.factor`.
    pub topic_replication_factor: i16,
    /// `transaction.state.log.min.isr`.
    pub topic_min_isr: u32,
    /// `transaction.state.log.segment.bytes`.
    pub topic_segment_bytes: u32,
}

impl Settings {
    /// Parses and checks the text of a file (`None`: no file) and the overrides of the command
    /// line, which go before it; among themselves the last one wins.
    ///
    /// # Errors
    /// All errors that were found, in the order of the file.
    pub fn parse(
        toml: Option<&str>,
        overrides: &[(String, String)],
    ) -> Result<Settings, Vec<ConfigError>> {
        read::read(toml, overrides)
    }

    /// How the coordinators' own topics are created, with the configs Kafka gives them; `None` for
    /// every other name.
    #[must_use]
    pub fn internal_topic(&self, name: &str) -> Option<TopicCreation> {
        let (partition_count, replication_factor, segment_bytes) = match name {
            GROUP_METADATA_TOPIC => (
                self.groups.offsets_topic_partitions,
                self.groups.offsets_topic_replication_factor,
                self.groups.offsets_topic_segment_bytes,
            ),
            TRANSACTION_STATE_TOPIC => (
                self.transactions.topic_partitions,
                self.transactions.topic_replication_factor,
                self.transactions.topic_segment_bytes,
            ),
            _ => return None,
        };
        // These keys may be smaller than the smallest segment a topic can have.
        let segment_bytes = segment_bytes.max(SEGMENT_BYTES_MIN);
        let mut configs = vec![
            ("cleanup.policy", "compact".to_owned()),
            ("segment.bytes", segment_bytes.to_string()),
        ];
        if name == TRANSACTION_STATE_TOPIC {
            configs.push(("compression.type", "uncompressed".to_owned()));
            configs.push(("min.insync.replicas", self.transactions.topic_min_isr.to_string()));
        } else {
            configs.push(("compression.type", "producer".to_owned()));
        }
        let configs = configs.into_iter().map(|(key, value)| (key.to_owned(), Some(value)));
        Some(TopicCreation {
            partition_count,
            replication_factor,
            configs: configs.collect(),
            ..TopicCreation::with_defaults(name)
        })
    }

    /// The settings in force as a file that would make them, for `ringmain check-config`. Secrets
    /// are left out.
    #[must_use]
    pub fn render(&self) -> String {
        render::render(self)
    }
}

#[cfg(test)]
mod tests;
