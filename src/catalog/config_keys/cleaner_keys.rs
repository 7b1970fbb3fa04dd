//! Keys of the log cleaner, which compacts topics.

use super::ConfigKey;
use super::table::keys;

pub(super) static CLEANER_KEYS: &[ConfigKey] = keys! {
    "log.cleaner.backoff.ms": Long = "15000", AtLeast(0), Medium, ReadOnly;
    "Pause of the cleaner when there is nothing to compact.";
    "log.cleaner.dedupe.buffer.size": Long = "134217728", AtLeast(1048576), Medium, ReadOnly;
    "Bytes of memory for the map from keys to offsets while compacting, over all shards.";
    "log.cleaner.delete.retention.ms": Long = "86400000", AtLeast(0), Medium, ClusterWide;
    "Default of the topic config delete.retention.ms.";
    "log.cleaner.enable": Boolean = "true", Any, Medium, ReadOnly;
    "Whether topics with cleanup.policy=compact are compacted at all.";
    "log.cleaner.io.buffer.load.factor": Double = "0.9", Any, Medium, ClusterWide,
        ignored("the map from keys to offsets grows as it needs to, within its memory");
    "How full the map from keys to offsets may get.";
    "log.cleaner.io.buffer.size": Int = "524288", AtLeast(0), Medium, ClusterWide,
        ignored("reads and writes of the cleaner have the size the device likes best");
    "Bytes of memory for the cleaner's reads and writes.";
    "log.cleaner.io.max.bytes.per.second": Double = "1.7976931348623157E308", Any, Medium,
        ClusterWide,
        ignored("the cleaner works in the background, a few megabytes at a time");
    "Bytes that the cleaner may read and write in a second.";
    "log.cleaner.max.compaction.lag.ms": Long = "9223372036854775807", AtLeast(1), Medium,
        ClusterWide;
    "Default of the topic config max.compaction.lag.ms.";
    "log.cleaner.min.cleanable.ratio": Double = "0.5", Between(0, 1), Medium, ClusterWide;
    "Default of the topic config min.cleanable.dirty.ratio.";
    "log.cleaner.min.compaction.lag.ms": Long = "0", AtLeast(0), Medium, ClusterWide;
    "Default of the topic config min.compaction.lag.ms.";
    "log.cleaner.threads": Int = "1", AtLeast(0), Medium, ClusterWide,
        ignored("every shard compacts the partitions it owns");
    "Threads of the cleaner.";
};
