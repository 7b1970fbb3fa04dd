//! The table of keys, and what is made of it.

use std::collections::BTreeMap;

use super::super::config_keys::{
    ConfigType, Effect, broker_key, broker_keys, broker_synonyms, is_sensitive, topic_key,
    topic_keys, topic_synonyms,
};
use super::super::*;
use super::{apply_all, create, named, outcome, started, statics};
use crate::ids::NodeId;
use crate::limits::{BATCH_BYTES_MAX_DEFAULT, REQUEST_BYTES_MAX};

/// What Kafka 4.1.0 answers for a topic without overrides: name, value, type, the broker key that
/// is its first synonym. Only `flush.messages` differs here, on purpose.
const KAFKA_TOPIC_KEYS: &[(&str, &str, &str, &str)] = &[
    ("cleanup.policy", "delete", "LIST", "log.cleanup.policy=delete"),
    ("compression.gzip.level", "-1", "INT", "compression.gzip.level=-1"),
    ("compression.lz4.level", "9", "INT", "compression.lz4.level=9"),
    ("compression.type", "producer", "STRING", "compression.type=producer"),
    ("compression.zstd.level", "3", "INT", "compression.zstd.level=3"),
    ("delete.retention.ms", "86400000", "LONG", "log.cleaner.delete.retention.ms=86400000"),
    ("file.delete.delay.ms", "60000", "LONG", "log.segment.delete.delay.ms=60000"),
    ("flush.messages", "1", "LONG", "log.flush.interval.messages=1"),
    ("flush.ms", "9223372036854775807", "LONG", ""),
    ("follower.replication.throttled.replicas", "", "LIST", ""),
    ("index.interval.bytes", "4096", "INT", "log.index.interval.bytes=4096"),
    ("leader.replication.throttled.replicas", "", "LIST", ""),
    ("local.retention.bytes", "-2", "LONG", "log.local.retention.bytes=-2"),
    ("local.retention.ms", "-2", "LONG", "log.local.retention.ms=-2"),
    (
        "max.compaction.lag.ms",
        "9223372036854775807",
        "LONG",
        "log.cleaner.max.compaction.lag.ms=9223372036854775807",
    ),
    ("max.message.bytes", "1048588", "INT", "message.max.bytes=1048588"),
    (
        "message.timestamp.after.max.ms",
        "3600000",
        "LONG",
        "log.message.timestamp.after.max.ms=3600000",
    ),
    (
        "message.timestamp.before.max.ms",
        "9223372036854775807",
        "LONG",
        "log.message.timestamp.before.max.ms=9223372036854775807",
    ),
    ("message.timestamp.type", "CreateTime", "STRING", "log.message.timestamp.type=CreateTime"),
    ("min.cleanable.dirty.ratio", "0.5", "DOUBLE", "log.cleaner.min.cleanable.ratio=0.5"),
    ("min.compaction.lag.ms", "0", "LONG", "log.cleaner.min.compaction.lag.ms=0"),
    ("min.insync.replicas", "1", "INT", "min.insync.replicas=1"),
    ("preallocate", "false", "BOOLEAN", "log.preallocate=false"),
    ("remote.log.copy.disable", "false", "BOOLEAN", ""),
    ("remote.log.delete.on.disable", "false", "BOOLEAN", ""),
    ("remote.storage.enable", "false", "BOOLEAN", ""),
    ("retention.bytes", "-1", "LONG", "log.retention.bytes=-1"),
    ("retention.ms", "604800000", "LONG", ""),
    ("segment.bytes", "1073741824", "INT", "log.segment.bytes=1073741824"),
    ("segment.index.bytes", "10485760", "INT", "log.index.size.max.bytes=10485760"),
    ("segment.jitter.ms", "0", "LONG", ""),
    ("segment.ms", "604800000", "LONG", ""),
    ("unclean.leader.election.enable", "false", "BOOLEAN", "unclean.leader.election.enable=false"),
];

const ALL: DescribeOptions = DescribeOptions { synonyms: true, documentation: true };

fn synonyms(entry: &ConfigEntry) -> Vec<String> {
    let shown = |synonym: &ConfigSynonym| {
        let ConfigSynonym { name, value, source } = synonym;
        format!("{name}={}@{}", value.as_deref().unwrap_or("null"), source.number())
    };
    entry.synonyms.iter().map(shown).collect()
}

#[test]
fn a_topic_without_overrides_is_described_as_kafka_describes_it() {
    let mut catalog = started(&[]);
    create(&mut catalog, named("t", 1)).unwrap();
    let statics = catalog.static_configs().clone();
    let entries = catalog.image().describe_topic("t", &statics, None, ALL).unwrap();
    let described: Vec<_> = entries
        .iter()
        .map(|entry| {
            let first = entry.synonyms.first();
            let synonym = first.map(|first| {
                assert_eq!(first.source, ConfigSource::Default);
                format!("{}={}", first.name, first.value.as_deref().unwrap_or_default())
            });
            assert_eq!(entry.source.number(), 5);
            assert!(entry.is_default && !entry.read_only && !entry.sensitive);
            assert!(entry.documentation.as_ref().is_some_and(|text| text.ends_with('.')));
            let value = entry.value.clone().unwrap_or_default();
            (entry.name.clone(), value, entry.config_type.to_string(), synonym.unwrap_or_default())
        })
        .collect();
    let expected: Vec<_> = (KAFKA_TOPIC_KEYS.iter())
        .map(|(name, value, kind, synonym)| {
            ((*name).to_owned(), (*value).to_owned(), (*kind).to_owned(), (*synonym).to_owned())
        })
        .collect();
    assert_eq!(described, expected);
    assert!(catalog.image().describe_topic("u", &statics, None, ALL).is_none());
}

#[test]
fn overrides_and_layers_are_described_in_their_order() {
    let mut catalog = started(&[("log.retention.hours", "24"), ("log.segment.bytes", "2097152")]);
    let configs = [
        ("retention.ms", " 1000 "),
        ("cleanup.policy", "compact, delete"),
        ("min.cleanable.dirty.ratio", "1"),
    ];
    let configs = configs.map(|(key, value)| (key.to_owned(), Some(value.to_owned())));
    create(&mut catalog, TopicCreation { configs: configs.to_vec(), ..named("t", 2) }).unwrap();
    create(&mut catalog, named("plain", 1)).unwrap();
    let statics = catalog.static_configs().clone();
    let one = |catalog: &Catalog, topic: &str, key: &str| {
        let keys = [key.to_owned()];
        let mut entries =
            catalog.image().describe_topic(topic, &statics, Some(&keys), ALL).unwrap();
        assert_eq!(entries.len(), 1);
        entries.remove(0)
    };
    // Kafka drops what stands before the key's own name: only hours are set, so nothing is shown.
    let before = one(&catalog, "plain", "retention.ms");
    assert_eq!((before.value.as_deref(), before.source.number()), (Some("86400000"), 5));
    assert!(before.synonyms.is_empty());

    let set = |resource, key: &str, value: &str| Record::ConfigSet {
        resource,
        key: key.into(),
        value: value.into(),
    };
    let broker = ConfigResource::Broker(NodeId(1));
    apply_all(
        &mut catalog,
        &[
            set(broker, "log.retention.ms", "5000"),
            set(ConfigResource::Cluster, "log.segment.bytes", "3000000"),
        ],
    );
    let retention = one(&catalog, "t", "retention.ms");
    assert_eq!(retention.value.as_deref(), Some("1000"));
    assert_eq!(
        synonyms(&retention),
        [
            "retention.ms=1000@1",
            "log.retention.ms=5000@2",
            "log.retention.hours=24@4",
            "log.retention.hours=168@5"
        ]
    );
    let plain = one(&catalog, "plain", "retention.ms");
    assert_eq!((plain.value.as_deref(), plain.source.number()), (Some("5000"), 2));
    let segment = one(&catalog, "t", "segment.bytes");
    assert_eq!((segment.value.as_deref(), segment.source.number()), (Some("3000000"), 3));
    assert_eq!(
        synonyms(&segment),
        [
            "log.segment.bytes=3000000@3",
            "log.segment.bytes=2097152@4",
            "log.segment.bytes=1073741824@5"
        ]
    );
    let policy = one(&catalog, "t", "cleanup.policy");
    assert_eq!(policy.value.as_deref(), Some("compact,delete"));
    let ratio = one(&catalog, "t", "min.cleanable.dirty.ratio");
    assert_eq!(
        synonyms(&ratio),
        ["min.cleanable.dirty.ratio=1.0@1", "log.cleaner.min.cleanable.ratio=0.5@5"]
    );

    let brief = DescribeOptions { synonyms: false, documentation: false };
    let keys = ["log.retention.ms", "num.partitions", "advertised.listeners", "nope"];
    let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    let entries = catalog.image().describe_broker(NodeId(1), &statics, Some(&keys), brief);
    let lines: Vec<_> = entries
        .iter()
        .map(|entry| {
            assert!(entry.synonyms.is_empty() && entry.documentation.is_none());
            let value = entry.value.as_deref().unwrap_or("null");
            format!("{}={value}@{} {}", entry.name, entry.source.number(), entry.read_only)
        })
        .collect();
    assert_eq!(
        lines,
        [
            "advertised.listeners=null@5 true",
            "log.retention.ms=5000@2 false",
            "num.partitions=1@5 true"
        ]
    );
    let all = catalog.image().describe_broker(NodeId(1), &statics, None, ALL);
    assert_eq!(all.len(), broker_keys().len());
    let cluster = catalog.image().describe_cluster(&statics, None, ALL);
    assert_eq!(cluster.len(), 1);
    assert_eq!(synonyms(&cluster[0]), ["log.segment.bytes=3000000@3"]);
}

#[test]
fn the_tables_hold_together() {
    for keys in [topic_keys(), broker_keys()] {
        assert!(keys.is_sorted_by(|a, b| a.name < b.name), "sorted, and no key twice");
        for key in keys {
            if let Some(default) = key.default {
                assert_eq!(key.normalized(default).as_deref(), Ok(default), "{}", key.name);
            }
            let documentation = key.full_documentation();
            assert!(documentation.ends_with('.'), "{}: {documentation}", key.name);
            if let Effect::AcceptedIgnored(why) | Effect::DefaultOnly(why) = key.effect {
                assert!(documentation.contains(why), "{}", key.name);
            }
        }
    }
    for key in topic_keys() {
        for synonym in topic_synonyms(key.name) {
            let broker = broker_key(synonym.name).unwrap();
            if synonym.factor == 1 {
                assert_eq!(broker.config_type, key.config_type, "{}", key.name);
                let default = broker.default.or(key.default);
                assert_eq!(default, key.default, "{}", key.name);
            }
        }
    }
    let names = broker_synonyms("log.retention.hours").unwrap();
    assert_eq!(names.first().unwrap().name, "log.retention.ms");
    assert!(broker_synonyms("log.flush.scheduler.interval.ms").is_none());
    assert!(broker_synonyms("num.partitions").is_none());
    let number = |name| broker_key(name).unwrap().default.unwrap().parse::<usize>().unwrap();
    assert_eq!(number("message.max.bytes"), BATCH_BYTES_MAX_DEFAULT);
    assert_eq!(number("socket.request.max.bytes"), REQUEST_BYTES_MAX);
    assert_eq!(number("ringmain.journal.file.bytes") as u64, crate::limits::JOURNAL_FILE_BYTES);
    assert_eq!(ConfigType::Password.number(), 9);
    assert!(is_sensitive("ssl.keystore.pasword") && !is_sensitive("retention.ms"));
    assert_eq!(topic_key("retention.m"), None);
}

#[test]
fn the_config_in_force_has_types() {
    let mut catalog = started(&[("log.roll.hours", "2"), ("log.retention.minutes", "-1")]);
    create(&mut catalog, named("t", 1)).unwrap();
    let resolve = |catalog: &Catalog| {
        let image = catalog.image();
        TopicConfig::resolve(image.topic("t").unwrap(), image, catalog.static_configs())
    };
    let config = resolve(&catalog);
    assert_eq!(config.segment_ms, 7_200_000);
    assert_eq!(config.retention_ms, None);
    assert_eq!(config.retention_bytes, None);
    assert_eq!(config.flush_messages, 1);
    assert_eq!(config.flush_ms, None);
    assert_eq!(config.max_message_bytes as usize, BATCH_BYTES_MAX_DEFAULT);
    assert_eq!((config.cleanup_delete, config.cleanup_compact), (true, false));
    assert_eq!(config.compression_type, CompressionType::Producer);
    assert_eq!(config.message_timestamp_type, TimestampType::CreateTime);
    assert_eq!(config.message_timestamp_after_max_ms, Some(3_600_000));
    assert_eq!(config.message_timestamp_before_max_ms, None);

    let changes = [
        ("cleanup.policy", "compact"),
        ("compression.type", "zstd"),
        ("message.timestamp.type", "LogAppendTime"),
        ("retention.ms", "0"),
        ("max.message.bytes", "100"),
    ];
    let changes = changes.map(|(key, value)| ConfigChange {
        key: key.into(),
        operation: ConfigOperation::Set,
        value: Some(value.into()),
    });
    let resource = ConfigResource::Topic("t".into());
    let alteration = IncrementalAlteration { resource, changes: changes.to_vec() };
    let plan = catalog.plan_incremental_alter_configs(&[alteration], false);
    apply_all(&mut catalog, &plan.records);
    outcome(plan).unwrap();
    let config = resolve(&catalog);
    assert_eq!((config.cleanup_delete, config.cleanup_compact), (false, true));
    assert_eq!(config.compression_type, CompressionType::Zstd);
    assert_eq!(config.message_timestamp_type, TimestampType::LogAppendTime);
    assert_eq!(config.retention_ms, Some(0));
    assert_eq!(config.max_message_bytes, 100);

    // What an older release stored and this one refuses falls back instead of failing the start.
    let strange = Record::ConfigSet {
        resource: ConfigResource::Topic("t".into()),
        key: "segment.bytes".into(),
        value: "14".into(),
    };
    apply_all(&mut catalog, &[strange]);
    assert_eq!(resolve(&catalog).segment_bytes, 1 << 30);
    let overrides = BTreeMap::new();
    let fresh = TopicConfig::from_overrides(&overrides, &Image::default(), &statics(&[]));
    assert_eq!(fresh.segment_ms, 604_800_000);
}
