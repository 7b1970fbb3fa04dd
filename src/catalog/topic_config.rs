//! A topic's configuration in force, in types that the machines take.

use std::collections::BTreeMap;

use super::config_keys::{topic_key, topic_synonyms};
use super::image::{Image, Topic};
use super::layers::{Layers, StaticConfigs};

/// What `compression.type` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionType {
    /// Keep what the producer chose.
    Producer,
    /// No compression.
    Uncompressed,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// Whose clock a record's timestamp is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, at the append.
    LogAppendTime,
}

/// The configuration of one topic in force on one broker. `None` means "without limit".
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy` contains `delete`.
    pub cleanup_delete: bool,
    /// `cleanup.policy` contains `compact`.
    pub cleanup_compact: bool,
    /// `compression.type`.
    pub compression_type: CompressionType,
    /// `compression.gzip.level`; -1 is the library's default.
    pub compression_gzip_level: i32,
    /// `compression.lz4.level`.
    pub compression_lz4_level: i32,
    /// `compression.zstd.level`.
    pub compression_zstd_level: i32,
    /// `delete.retention.ms`.
    pub delete_retention_ms: u64,
    /// `file.delete.delay.ms`.
    pub file_delete_delay_ms: u64,
    /// `flush.messages`: 1 acknowledges only what is on stable storage.
    pub flush_messages: u64,
    /// `flush.ms`.
    pub flush_ms: Option<u64>,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u32,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag_ms: Option<u64>,
    /// `max.message.bytes`: the largest batch accepted.
    pub max_message_bytes: u32,
    /// `message.timestamp.after.max.ms`.
    pub message_timestamp_after_max_ms: Option<u64>,
    /// `message.timestamp.before.max.ms`.
    pub message_timestamp_before_max_ms: Option<u64>,
    /// `message.timestamp.type`.
    pub message_timestamp_type: TimestampType,
    /// `min.cleanable.dirty.ratio`, from 0 to 1.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag_ms: u64,
    /// `min.insync.replicas`.
    pub min_insync_replicas: u32,
    /// `retention.bytes`.
    pub retention_bytes: Option<u64>,
    /// `retention.ms`.
    pub retention_ms: Option<u64>,
    /// `segment.bytes`.
    pub segment_bytes: u32,
    /// `segment.index.bytes`.
    pub segment_index_bytes: u32,
    /// `segment.jitter.ms`.
    pub segment_jitter_ms: u64,
    /// `segment.ms`.
    pub segment_ms: u64,
}

impl TopicConfig {
    /// Resolves a topic's overrides over the broker's dynamic and static configs and the defaults.
    /// The result holds for one version of the image; shards keep it until the next one.
    #[must_use]
    pub fn resolve(topic: &Topic, image: &Image, statics: &StaticConfigs) -> TopicConfig {
        TopicConfig::from_overrides(&topic.configs, image, statics)
    }

    /// As [`TopicConfig::resolve`], for overrides that no topic has yet.
    #[must_use]
    pub fn from_overrides(
        overrides: &BTreeMap<String, String>,
        image: &Image,
        statics: &StaticConfigs,
    ) -> TopicConfig {
        let layers = Layers::new(image, image.node_id, statics);
        let number = |name| resolve_number(overrides, layers, name);
        let text = |name| resolve_text(overrides, layers, name);
        let unsigned = |name| u64::try_from(number(name)).unwrap_or(0);
        let narrow = |name| u32::try_from(number(name)).unwrap_or(0);
        let signed = |name| i32::try_from(number(name)).unwrap_or(-1);
        // Both of Kafka's ways to say "no limit": a negative number, and the largest one.
        let limit = |name| match number(name) {
            i64::MAX => None,
            number => u64::try_from(number).ok(),
        };
        let policy = text("cleanup.policy");
        let has = |word: &str| policy.split(',').any(|part| part == word);
        TopicConfig {
            cleanup_delete: has("delete"),
            cleanup_compact: has("compact"),
            compression_type: match text("compression.type").as_str() {
                "uncompressed" => CompressionType::Uncompressed,
                "gzip" => CompressionType::Gzip,
                "snappy" => CompressionType::Snappy,
                "lz4" => CompressionType::Lz4,
                "zstd" => CompressionType::Zstd,
                _ => CompressionType::Producer,
            },
            compression_gzip_level: signed("compression.gzip.level"),
            compression_lz4_level: signed("compression.lz4.level"),
            compression_zstd_level: signed("compression.zstd.level"),
            delete_retention_ms: unsigned("delete.retention.ms"),
            file_delete_delay_ms: unsigned("file.delete.delay.ms"),
            flush_messages: unsigned("flush.messages"),
            flush_ms: limit("flush.ms"),
            index_interval_bytes: narrow("index.interval.bytes"),
            max_compaction_lag_ms: limit("max.compaction.lag.ms"),
            max_message_bytes: narrow("max.message.bytes"),
            message_timestamp_after_max_ms: limit("message.timestamp.after.max.ms"),
            message_timestamp_before_max_ms: limit("message.timestamp.before.max.ms"),
            message_timestamp_type: match text("message.timestamp.type").as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            min_cleanable_dirty_ratio: text("min.cleanable.dirty.ratio").parse().unwrap_or(0.5),
            min_compaction_lag_ms: unsigned("min.compaction.lag.ms"),
            min_insync_replicas: narrow("min.insync.replicas"),
            retention_bytes: limit("retention.bytes"),
            retention_ms: limit("retention.ms"),
            segment_bytes: narrow("segment.bytes"),
            segment_index_bytes: narrow("segment.index.bytes"),
            segment_jitter_ms: unsigned("segment.jitter.ms"),
            segment_ms: unsigned("segment.ms"),
        }
    }
}

/// The value of a topic key in force, in its normal form. A value that is not valid any more (an
/// older release stored it) counts as not there: a broker must come up with any image it can read.
pub(super) fn resolve_text(
    overrides: &BTreeMap<String, String>,
    layers: Layers<'_>,
    name: &str,
) -> String {
    let Some(key) = topic_key(name) else { unreachable!("{name} is in the table of topic keys") };
    let valid = |value: &str| key.normalized(value).ok();
    let own = overrides.get(name).and_then(|value| valid(value));
    let of_broker = || {
        topic_synonyms(name).iter().find_map(|synonym| {
            let value = layers.value(synonym.name)?;
            if synonym.factor == 1 {
                return valid(value);
            }
            // Kafka turns every negative number of hours or minutes into "no limit".
            let number: i64 = value.trim().parse().ok()?;
            valid(&number.saturating_mul(synonym.factor).max(-1).to_string())
        })
    };
    own.or_else(of_broker).or_else(|| key.default.map(str::to_owned)).unwrap_or_default()
}

/// As [`resolve_text`], for a key whose type is a whole number.
pub(super) fn resolve_number(
    overrides: &BTreeMap<String, String>,
    layers: Layers<'_>,
    name: &str,
) -> i64 {
    match resolve_text(overrides, layers, name).parse() {
        Ok(number) => number,
        Err(_) => unreachable!("{name} has a number as its default"),
    }
}
