//! Keys of the log: storage, retention, and what topics inherit.

use super::ConfigKey;
use super::table::keys;

const COMPRESSIONS: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
const CHECKPOINTS: &str = "checkpoints follow the journal, not a timer";
const NOT_TIERED: &str = "tiered storage is not available";

pub(super) static LOG_KEYS: &[ConfigKey] = keys! {
    "auto.create.topics.enable": Boolean = "true", Any, High, ReadOnly;
    "Whether a topic is created when a client that allows it asks for its metadata.";
    "compression.gzip.level": Int = "-1", GzipLevel, Medium, ClusterWide;
    "Default of the topic config compression.gzip.level.";
    "compression.lz4.level": Int = "9", Between(1, 17), Medium, ClusterWide,
        ignored("the LZ4 encoder has one level");
    "Default of the topic config compression.lz4.level.";
    "compression.type": String = "producer", OneOf(COMPRESSIONS), High, ClusterWide;
    "Default of the topic config compression.type.";
    "compression.zstd.level": Int = "3", Between(-131072, 22), Medium, ClusterWide;
    "Default of the topic config compression.zstd.level.";
    "log.cleanup.policy": List = "delete", ListOf(&["compact", "delete"]), Medium, ClusterWide;
    "Default of the topic config cleanup.policy.";
    "log.dir": String = "./ringmain-data", Any, High, ReadOnly;
    "The data directory, if log.dirs is not given. The default here is ./ringmain-data, since \
     /tmp does not survive a restart (Kafka's is /tmp/kafka-logs).";
    "log.dir.failure.timeout.ms": Long = "30000", AtLeast(1), Low, ReadOnly,
        ignored("there is one data directory, and its failure ends the process");
    "How long a broker with a failed data directory goes on before it shuts down.";
    "log.dirs": String = none, Any, High, ReadOnly;
    "The data directory. Exactly one: spread devices below the file system.";
    "log.flush.interval.messages": Long = "1", AtLeast(1), High, ClusterWide;
    "Default of the topic config flush.messages: 1 here, so that an acknowledgement means stable \
     storage (Kafka's is 9223372036854775807).";
    "log.flush.interval.ms": Long = none, Any, High, ClusterWide;
    "Default of the topic config flush.ms; without it log.flush.scheduler.interval.ms holds.";
    "log.flush.offset.checkpoint.interval.ms": Int = "60000", AtLeast(0), High, ReadOnly,
        ignored(CHECKPOINTS);
    "Time between two checkpoints of the recovery point.";
    "log.flush.scheduler.interval.ms": Long = "9223372036854775807", Any, High, ReadOnly;
    "Default of the topic config flush.ms where log.flush.interval.ms is not set.";
    "log.flush.start.offset.checkpoint.interval.ms": Int = "60000", AtLeast(0), High, ReadOnly,
        ignored(CHECKPOINTS);
    "Time between two checkpoints of the log start offset.";
    "log.index.interval.bytes": Int = "4096", AtLeast(0), Medium, ClusterWide;
    "Default of the topic config index.interval.bytes.";
    "log.index.size.max.bytes": Int = "10485760", AtLeast(4), Medium, ClusterWide;
    "Default of the topic config segment.index.bytes.";
    "log.local.retention.bytes": Long = "-2", AtLeast(-2), Medium, ClusterWide, ignored(NOT_TIERED);
    "Default of the topic config local.retention.bytes.";
    "log.local.retention.ms": Long = "-2", AtLeast(-2), Medium, ClusterWide, ignored(NOT_TIERED);
    "Default of the topic config local.retention.ms.";
    "log.message.timestamp.after.max.ms": Long = "3600000", AtLeast(0), Medium, ClusterWide;
    "Default of the topic config message.timestamp.after.max.ms.";
    "log.message.timestamp.before.max.ms": Long = "9223372036854775807", AtLeast(0), Medium,
        ClusterWide;
    "Default of the topic config message.timestamp.before.max.ms.";
    "log.message.timestamp.type": String = "CreateTime", OneOf(&["CreateTime", "LogAppendTime"]),
        Medium, ClusterWide;
    "Default of the topic config message.timestamp.type.";
    "log.preallocate": Boolean = "false", Any, Medium, ClusterWide,
        ignored("segments are allocated as the storage does best");
    "Default of the topic config preallocate.";
    "log.retention.bytes": Long = "-1", Any, High, ClusterWide;
    "Default of the topic config retention.bytes.";
    "log.retention.check.interval.ms": Long = "300000", AtLeast(1), Medium, ReadOnly;
    "Time between two searches for segments that retention may delete.";
    "log.retention.hours": Int = "168", Any, High, ReadOnly;
    "Default of the topic config retention.ms, in hours; log.retention.minutes and \
     log.retention.ms go before it.";
    "log.retention.minutes": Int = none, Any, High, ReadOnly;
    "Default of the topic config retention.ms, in minutes; log.retention.ms goes before it.";
    "log.retention.ms": Long = none, Any, High, ClusterWide;
    "Default of the topic config retention.ms.";
    "log.roll.hours": Int = "168", AtLeast(1), High, ReadOnly;
    "Default of the topic config segment.ms, in hours; log.roll.ms goes before it.";
    "log.roll.jitter.hours": Int = "0", AtLeast(0), High, ReadOnly;
    "Default of the topic config segment.jitter.ms, in hours; log.roll.jitter.ms goes before it.";
    "log.roll.jitter.ms": Long = none, Any, High, ClusterWide;
    "Default of the topic config segment.jitter.ms.";
    "log.roll.ms": Long = none, Any, High, ClusterWide;
    "Default of the topic config segment.ms.";
    "log.segment.bytes": Int = "1073741824", AtLeast(1048576), High, ClusterWide;
    "Default of the topic config segment.bytes.";
    "log.segment.delete.delay.ms": Long = "60000", AtLeast(0), High, ClusterWide;
    "Default of the topic config file.delete.delay.ms.";
    "message.max.bytes": Int = "1048588", AtLeast(0), High, ClusterWide;
    "Default of the topic config max.message.bytes.";
    "min.insync.replicas": Int = "1", AtLeast(1), High, ClusterWide;
    "Default of the topic config min.insync.replicas.";
    "num.partitions": Int = "1", AtLeast(1), Medium, ReadOnly;
    "Partitions of a topic that is created without a number.";
    "num.recovery.threads.per.data.dir": Int = "2", AtLeast(1), High, ClusterWide,
        ignored("every shard recovers the partitions it owns");
    "Threads that recover and flush logs at start and stop.";
    "unclean.leader.election.enable": Boolean = "false", Any, High, ClusterWide,
        ignored("a replica that is not in sync never becomes leader");
    "Default of the topic config unclean.leader.election.enable.";
};
