//! Keys of the coordinators: consumer groups, committed offsets, transactions, producer ids.

use super::ConfigKey;
use super::table::keys;

const POLICIES: &[&str] = &[
    "disabled",
    "downgrade",
    "upgrade",
    "bidirectional",
    "DISABLED",
    "DOWNGRADE",
    "UPGRADE",
    "BIDIRECTIONAL",
];
const ASSIGNORS: &[&str] = &["uniform", "range"];
const PROTOCOLS: &[&str] = &["consumer", "classic", "share", "streams"];
const BY_REPLAY: &str = "coordinators load by replaying their partition in pieces of fixed size";
const SHARDS: &str = "every shard coordinates the partitions it owns";
const LOCAL: &str = "the coordinator of a transaction is asked on every first write";

pub(super) static GROUP_KEYS: &[ConfigKey] = keys! {
    "add.partitions.to.txn.retry.backoff.max.ms": Int = "100", AtLeast(0), High, ReadOnly,
        ignored(LOCAL);
    "Longest pause between two attempts to add partitions to a transaction for a client.";
    "add.partitions.to.txn.retry.backoff.ms": Int = "20", AtLeast(1), High, ReadOnly,
        ignored(LOCAL);
    "Pause between two attempts to add partitions to a transaction for a client.";
    "group.consumer.assignors": List = "uniform,range", ListOf(ASSIGNORS), Medium, ReadOnly;
    "Assignors of the consumer group protocol (KIP-848); the first one is the default.";
    "group.consumer.heartbeat.interval.ms": Int = "5000", AtLeast(1), Medium, ReadOnly;
    "Interval of heartbeats given to members of consumer groups (KIP-848).";
    "group.consumer.max.heartbeat.interval.ms": Int = "15000", AtLeast(1), Medium, ReadOnly;
    "Longest heartbeat interval that a group may be configured to.";
    "group.consumer.max.session.timeout.ms": Int = "60000", AtLeast(1), Medium, ReadOnly;
    "Longest session timeout that a group may be configured to.";
    "group.consumer.max.size": Int = "2147483647", AtLeast(1), Medium, ReadOnly;
    "Most members of one consumer group (KIP-848).";
    "group.consumer.migration.policy": String = "bidirectional", OneOf(POLICIES), Medium, ReadOnly,
        ignored("a group changes its protocol while nobody is in it");
    "Which groups may change their protocol while members of both kinds are in them.";
    "group.consumer.min.heartbeat.interval.ms": Int = "5000", AtLeast(1), Medium, ReadOnly;
    "Shortest heartbeat interval that a group may be configured to.";
    "group.consumer.min.session.timeout.ms": Int = "45000", AtLeast(1), Medium, ReadOnly;
    "Shortest session timeout that a group may be configured to.";
    "group.consumer.session.timeout.ms": Int = "45000", AtLeast(1), Medium, ReadOnly;
    "Time without a heartbeat after which a member of a consumer group is removed (KIP-848).";
    "group.coordinator.append.linger.ms": Int = "5", AtLeast(0), Medium, ReadOnly,
        ignored("the group commit of the journal collects writes without a timer");
    "How long the coordinator collects writes before it appends them.";
    "group.coordinator.rebalance.protocols": List = "classic,consumer,streams", ListOf(PROTOCOLS),
        Medium, ReadOnly;
    "Group protocols that are switched on.";
    "group.coordinator.threads": Int = "4", AtLeast(1), High, ReadOnly, ignored(SHARDS);
    "Threads of the group coordinator.";
    "group.initial.rebalance.delay.ms": Int = "3000", Any, Medium, ReadOnly;
    "How long the first rebalance of an empty classic group waits for more members.";
    "group.max.session.timeout.ms": Int = "1800000", Any, Medium, ReadOnly;
    "Longest session timeout that a member of a classic group may ask for.";
    "group.max.size": Int = "2147483647", AtLeast(1), Medium, ReadOnly;
    "Most members of one classic group.";
    "group.min.session.timeout.ms": Int = "6000", Any, Medium, ReadOnly;
    "Shortest session timeout that a member of a classic group may ask for.";
    "offset.metadata.max.bytes": Int = "4096", Any, High, ReadOnly;
    "Largest metadata text of a committed offset, in bytes.";
    "offsets.commit.timeout.ms": Int = "5000", AtLeast(1), High, ReadOnly,
        ignored("a commit waits for the journal, which ends the broker if it fails");
    "How long an offset commit waits for the replicas of the offsets topic.";
    "offsets.load.buffer.size": Int = "5242880", AtLeast(1), High, ReadOnly, ignored(BY_REPLAY);
    "Bytes read at once while a coordinator loads committed offsets.";
    "offsets.retention.check.interval.ms": Long = "600000", AtLeast(1), High, ReadOnly;
    "Time between two searches for committed offsets that have expired.";
    "offsets.retention.minutes": Int = "10080", AtLeast(1), High, ReadOnly;
    "How long the committed offsets of a group without members are kept.";
    "offsets.topic.compression.codec": Int = "0", Any, High, ReadOnly,
        ignored("records of the offsets topic are small and stay uncompressed");
    "Codec of the records in the offsets topic.";
    "offsets.topic.num.partitions": Int = "50", AtLeast(1), High, ReadOnly;
    "Partitions of the offsets topic. Not to be changed once the topic exists.";
    "offsets.topic.replication.factor": Short = "1", AtLeast(1), High, ReadOnly;
    "Replicas of the offsets topic. The default here is 1, so that a single broker works as it is \
     (Kafka's is 3).";
    "offsets.topic.segment.bytes": Int = "104857600", AtLeast(1), High, ReadOnly;
    "Segment size of the offsets topic; small segments compact and load sooner.";
    "producer.id.expiration.ms": Int = "86400000", AtLeast(1), Low, ClusterWide;
    "How long a partition remembers the sequence of an idempotent producer that is silent.";
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": Int = "10000", AtLeast(1), Low,
        ReadOnly;
    "Time between two searches for transactions that have timed out.";
    "transaction.max.timeout.ms": Int = "900000", AtLeast(1), High, ReadOnly;
    "Longest transaction timeout that a producer may ask for.";
    "transaction.partition.verification.enable": Boolean = "true", Any, Low, ClusterWide;
    "Whether a partition checks with the coordinator that a transaction is open before the first \
     write of it (KIP-890).";
    "transaction.remove.expired.transaction.cleanup.interval.ms": Int = "3600000", AtLeast(1), Low,
        ReadOnly;
    "Time between two searches for transactional ids that have expired.";
    "transaction.state.log.load.buffer.size": Int = "5242880", AtLeast(1), High, ReadOnly,
        ignored(BY_REPLAY);
    "Bytes read at once while a coordinator loads transactions.";
    "transaction.state.log.min.isr": Int = "1", AtLeast(1), High, ReadOnly;
    "min.insync.replicas of the transaction topic. The default here is 1, so that a single broker \
     works as it is (Kafka's is 2).";
    "transaction.state.log.num.partitions": Int = "50", AtLeast(1), High, ReadOnly;
    "Partitions of the transaction topic. Not to be changed once the topic exists.";
    "transaction.state.log.replication.factor": Short = "1", AtLeast(1), High, ReadOnly;
    "Replicas of the transaction topic. The default here is 1, so that a single broker works as it \
     is (Kafka's is 3).";
    "transaction.state.log.segment.bytes": Int = "104857600", AtLeast(1), High, ReadOnly;
    "Segment size of the transaction topic.";
    "transaction.two.phase.commit.enable": Boolean = "false", Any, Low, ReadOnly,
        default_only("Two-phase commit (KIP-939) is not available.");
    "Whether producers may take part in two-phase commit.";
    "transactional.id.expiration.ms": Int = "604800000", AtLeast(1), High, ReadOnly;
    "How long an unused transactional id is remembered.";
};
