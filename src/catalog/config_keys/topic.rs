//! Topic configs: all that Kafka 4.1 lists.

use super::ConfigKey;
use super::table::keys;

const TIERED: &str = "Tiered Storage functionality is disabled in the broker. \
                      Topic cannot be configured with remote log storage.";
const NOT_TIERED: &str = "tiered storage is not available";
const ONE_NODE: &str = "replication is not throttled";
const COMPRESSIONS: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];

/// Every topic key, in the order of the names.
#[must_use]
pub fn topic_keys() -> &'static [ConfigKey] {
    TOPIC_KEYS
}

/// A topic key by name.
#[must_use]
pub fn topic_key(name: &str) -> Option<&'static ConfigKey> {
    let at = TOPIC_KEYS.binary_search_by(|key| key.name.cmp(name)).ok()?;
    TOPIC_KEYS.get(at)
}

static TOPIC_KEYS: &[ConfigKey] = keys! {
    "cleanup.policy": List = "delete", ListOf(&["compact", "delete"]), Medium, ClusterWide;
    "What happens to old segments: 'delete' removes them by retention time and size, 'compact' \
     keeps the latest record of each key. Both may be given; an empty list keeps everything.";
    "compression.gzip.level": Int = "-1", GzipLevel, Medium, ClusterWide;
    "Level of gzip where the broker compresses (compression.type=gzip).";
    "compression.lz4.level": Int = "9", Between(1, 17), Medium, ClusterWide,
        ignored("the LZ4 encoder has one level");
    "Level of LZ4 where the broker compresses (compression.type=lz4).";
    "compression.type": String = "producer", OneOf(COMPRESSIONS), Medium, ClusterWide;
    "The codec of stored batches. 'producer' keeps what the producer chose; anything else makes \
     the broker compress batches that arrive differently.";
    "compression.zstd.level": Int = "3", Between(-131072, 22), Medium, ClusterWide;
    "Level of Zstandard where the broker compresses (compression.type=zstd).";
    "delete.retention.ms": Long = "86400000", AtLeast(0), Medium, ClusterWide;
    "How long a compacted topic keeps the markers of deleted keys. A reader that starts at the \
     beginning has to be through within this time to see every deletion.";
    "file.delete.delay.ms": Long = "60000", AtLeast(0), Medium, ClusterWide;
    "How long the file of a removed segment stays before it is deleted or used again.";
    "flush.messages": Long = "1", AtLeast(1), Medium, ClusterWide;
    "Acknowledge only what is on stable storage if 1, which is the default here (Kafka's is \
     9223372036854775807). With a larger value records are acknowledged once written, and flushed \
     in the background.";
    "flush.ms": Long = "9223372036854775807", AtLeast(0), Medium, ClusterWide;
    "Longest time that written records may wait for their flush where flush.messages is above 1.";
    "follower.replication.throttled.replicas": List = "", ThrottledReplicas, Medium, ClusterWide,
        ignored(ONE_NODE);
    "Replicas whose replication is throttled on the follower: pairs of partition and broker as \
     '0:1,1:2', or '*' for all.";
    "index.interval.bytes": Int = "4096", AtLeast(0), Medium, ClusterWide;
    "Bytes of log between two entries of the offset index.";
    "leader.replication.throttled.replicas": List = "", ThrottledReplicas, Medium, ClusterWide,
        ignored(ONE_NODE);
    "Replicas whose replication is throttled on the leader: pairs of partition and broker as \
     '0:1,1:2', or '*' for all.";
    "local.retention.bytes": Long = "-2", AtLeast(-2), Medium, ClusterWide, ignored(NOT_TIERED);
    "Bytes of a partition kept locally where older segments are in remote storage; -2 means \
     retention.bytes.";
    "local.retention.ms": Long = "-2", AtLeast(-2), Medium, ClusterWide, ignored(NOT_TIERED);
    "Time that segments stay locally where older ones are in remote storage; -2 means \
     retention.ms.";
    "max.compaction.lag.ms": Long = "9223372036854775807", AtLeast(1), Medium, ClusterWide;
    "Longest time a record may stay out of reach of compaction.";
    "max.message.bytes": Int = "1048588", AtLeast(0), Medium, ClusterWide;
    "Largest record batch accepted, in bytes, after compression.";
    "message.timestamp.after.max.ms": Long = "3600000", AtLeast(0), Medium, ClusterWide;
    "How far a record's timestamp may lie after the broker's clock; beyond it the batch is \
     refused. Not used with message.timestamp.type=LogAppendTime.";
    "message.timestamp.before.max.ms": Long = "9223372036854775807", AtLeast(0), Medium,
        ClusterWide;
    "How far a record's timestamp may lie before the broker's clock; beyond it the batch is \
     refused. Not used with message.timestamp.type=LogAppendTime.";
    "message.timestamp.type": String = "CreateTime", OneOf(&["CreateTime", "LogAppendTime"]),
        Medium, ClusterWide;
    "Whether the timestamp of a record is the producer's or the time of the append.";
    "min.cleanable.dirty.ratio": Double = "0.5", Between(0, 1), Medium, ClusterWide;
    "Share of the log that must be uncompacted before a compacted topic is compacted again.";
    "min.compaction.lag.ms": Long = "0", AtLeast(0), Medium, ClusterWide;
    "Shortest time a record stays out of reach of compaction.";
    "min.insync.replicas": Int = "1", AtLeast(1), Medium, ClusterWide;
    "Replicas that must be in sync for a produce request with acks=all to be accepted.";
    "preallocate": Boolean = "false", Any, Medium, ClusterWide,
        ignored("segments are allocated as the storage does best");
    "Whether a new segment file gets its full size at once.";
    "remote.log.copy.disable": Boolean = "false", Any, Medium, ClusterWide, ignored(NOT_TIERED);
    "Whether a tiered topic stops copying segments to remote storage.";
    "remote.log.delete.on.disable": Boolean = "false", Any, Medium, ClusterWide,
        ignored(NOT_TIERED);
    "Whether remote data is deleted when tiered storage is switched off for a topic.";
    "remote.storage.enable": Boolean = "false", Any, Medium, ClusterWide, default_only(TIERED);
    "Whether old segments move to remote storage.";
    "retention.bytes": Long = "-1", Any, Medium, ClusterWide;
    "Bytes a partition may have before its oldest segments are deleted (cleanup.policy=delete); \
     -1 sets no limit.";
    "retention.ms": Long = "604800000", AtLeast(-1), Medium, ClusterWide;
    "Time that records are kept before their segment is deleted (cleanup.policy=delete); -1 sets \
     no limit.";
    "segment.bytes": Int = "1073741824", AtLeast(1048576), Medium, ClusterWide;
    "Size at which a segment is closed and the next one begun. Retention and compaction work on \
     whole segments.";
    "segment.index.bytes": Int = "10485760", AtLeast(4), Medium, ClusterWide;
    "Size at which an index is full, which closes its segment.";
    "segment.jitter.ms": Long = "0", AtLeast(0), Medium, ClusterWide;
    "Largest random time by which a segment is closed before segment.ms, so that many partitions \
     do not roll at once.";
    "segment.ms": Long = "604800000", AtLeast(1), Medium, ClusterWide;
    "Time after which a segment is closed even if it is not full, so that retention and compaction \
     can reach it.";
    "unclean.leader.election.enable": Boolean = "false", Any, Medium, ClusterWide,
        ignored("a replica that is not in sync never becomes leader");
    "Whether a replica that is not in sync may become leader, at the price of losing records.";
};
