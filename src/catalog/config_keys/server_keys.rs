//! Keys of the server: identity, listeners, connections, requests, replication, metrics.

use super::ConfigKey;
use super::table::keys;

const SHARDS: &str = "the number of shards is set by ringmain.shards";
const ONE_NODE: &str = "there is one broker";
const NO_SECURITY: &str = "Only PLAINTEXT listeners are available.";
const NO_PLUGINS: &str = "Classes cannot be loaded; there is no Java in this broker.";
const NO_PURGATORY: &str = "waiting requests are dropped when they are done, not swept";
const PROTOCOLS: &[&str] = &["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

pub(super) static SERVER_KEYS: &[ConfigKey] = keys! {
    "advertised.listeners": String = none, Any, High, ReadOnly;
    "Where clients reach this broker, if not at what listeners says.";
    "alter.config.policy.class.name": Class = none, Any, Low, ReadOnly, default_only(NO_PLUGINS);
    "A class that judges changes of configs.";
    "authorizer.class.name": String = "", Any, Low, ReadOnly, default_only(NO_PLUGINS);
    "A class that decides who may do what.";
    "auto.leader.rebalance.enable": Boolean = "true", Any, High, ReadOnly, ignored(ONE_NODE);
    "Whether leadership goes back to preferred replicas by itself.";
    "background.threads": Int = "10", AtLeast(1), High, ClusterWide, ignored(SHARDS);
    "Threads for background work.";
    "broker.id": Int = "-1", Any, High, ReadOnly;
    "The older name of node.id; if both are given they must agree.";
    "broker.rack": String = none, Any, Medium, ReadOnly;
    "Rack of this broker, for placement of replicas and reads from the nearest one.";
    "client.quota.callback.class": Class = none, Any, Low, ReadOnly, default_only(NO_PLUGINS);
    "A class that decides about quotas.";
    "connection.failed.authentication.delay.ms": Int = "100", AtLeast(0), Low, ReadOnly,
        ignored("no listener authenticates");
    "How long a connection whose authentication failed stays open.";
    "connections.max.idle.ms": Long = "600000", Any, Medium, ReadOnly;
    "Time without a request after which a connection is closed.";
    "connections.max.reauth.ms": Long = "0", Any, Medium, ReadOnly,
        ignored("no listener authenticates");
    "Time after which a client has to authenticate again.";
    "controlled.shutdown.enable": Boolean = "true", Any, Medium, ReadOnly, ignored(ONE_NODE);
    "Whether leadership moves away before the broker stops.";
    "create.topic.policy.class.name": Class = none, Any, Low, ReadOnly, default_only(NO_PLUGINS);
    "A class that judges the creation of topics.";
    "default.replication.factor": Int = "1", AtLeast(1), Medium, ReadOnly;
    "Replicas of a topic that is created without a number.";
    "delete.records.purgatory.purge.interval.requests": Int = "1", Any, Medium, ReadOnly,
        ignored(NO_PURGATORY);
    "Requests between two sweeps of waiting DeleteRecords requests.";
    "delete.topic.enable": Boolean = "true", Any, High, ReadOnly;
    "Whether topics may be deleted.";
    "fetch.max.bytes": Int = "57671680", AtLeast(1024), Medium, ReadOnly;
    "Most bytes of records in one fetch response.";
    "fetch.purgatory.purge.interval.requests": Int = "1000", Any, Medium, ReadOnly,
        ignored(NO_PURGATORY);
    "Requests between two sweeps of waiting fetch requests.";
    "inter.broker.listener.name": String = none, Any, Medium, ReadOnly, ignored(ONE_NODE);
    "The listener that other brokers use.";
    "leader.imbalance.check.interval.seconds": Long = "300", AtLeast(1), High, ReadOnly,
        ignored(ONE_NODE);
    "Time between two checks of preferred leaders.";
    "listener.security.protocol.map": String =
        "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", Any, Low,
        ReadOnly;
    "Security protocol of each listener name. Every listener in use must map to PLAINTEXT.";
    "listeners": String = "PLAINTEXT://127.0.0.1:9092", Any, High, ReadOnly;
    "Where to listen: NAME://host:port, separated by commas. Without a host: on all interfaces. \
     The default here is loopback only (Kafka's is PLAINTEXT://:9092).";
    "max.connection.creation.rate": Int = "2147483647", AtLeast(0), Medium, ClusterWide;
    "Connections accepted in a second.";
    "max.connections": Int = "2147483647", AtLeast(0), Medium, ClusterWide;
    "Connections open at once.";
    "max.connections.per.ip": Int = "2147483647", AtLeast(0), Medium, ClusterWide;
    "Connections open at once from one address.";
    "max.connections.per.ip.overrides": String = "", Any, Medium, ClusterWide;
    "Other limits for single addresses or host names: 'host:limit', separated by commas.";
    "max.incremental.fetch.session.cache.slots": Int = "1000", AtLeast(0), Medium, ReadOnly;
    "Fetch sessions kept at once (KIP-227).";
    "max.request.partition.size.limit": Int = "2000", AtLeast(1), Medium, ReadOnly;
    "Most partitions in one DescribeTopicPartitions response.";
    "metric.reporters": List = "", Any, Low, ClusterWide, ignored("metrics are read over HTTP");
    "Classes that report metrics.";
    "metrics.num.samples": Int = "2", AtLeast(1), Low, ReadOnly,
        ignored("metrics are read over HTTP");
    "Samples kept for rates.";
    "metrics.recording.level": String = "INFO", Any, Low, ReadOnly,
        ignored("every metric is always recorded");
    "How detailed metrics are.";
    "metrics.sample.window.ms": Long = "30000", AtLeast(1), Low, ReadOnly,
        ignored("metrics are read over HTTP");
    "Length of a sample for rates.";
    "node.id": Int = "1", AtLeast(0), High, ReadOnly;
    "Identity of this broker. The default here is 1 (Kafka has none).";
    "num.io.threads": Int = "8", AtLeast(1), High, ClusterWide, ignored(SHARDS);
    "Threads that work on requests.";
    "num.network.threads": Int = "3", AtLeast(1), High, ClusterWide, ignored(SHARDS);
    "Threads that read and write sockets.";
    "num.replica.alter.log.dirs.threads": Int = none, Any, High, ReadOnly,
        ignored("there is one data directory");
    "Threads that move replicas between data directories.";
    "num.replica.fetchers": Int = "1", Any, High, ClusterWide, ignored(ONE_NODE);
    "Threads that fetch from each leader.";
    "principal.builder.class": Class =
        "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder", Any, Medium,
        ReadOnly, default_only(NO_PLUGINS);
    "A class that names who is connected.";
    "process.roles": List = "broker,controller", ListOf(&["broker", "controller"]), High, ReadOnly,
        ignored("this broker is always both");
    "Roles of this process.";
    "producer.purgatory.purge.interval.requests": Int = "1000", Any, Medium, ReadOnly,
        ignored(NO_PURGATORY);
    "Requests between two sweeps of waiting produce requests.";
    "queued.max.request.bytes": Long = "-1", Any, Medium, ReadOnly;
    "Bytes of requests in memory above which no more are read; -1 sets no limit of its own.";
    "queued.max.requests": Int = "500", AtLeast(1), High, ReadOnly,
        ignored("requests are bounded by connection, and by queued.max.request.bytes");
    "Requests waiting before sockets are not read any more.";
    "quota.window.num": Int = "11", AtLeast(1), Low, ReadOnly, ignored("quotas are not available");
    "Samples kept for quotas.";
    "quota.window.size.seconds": Int = "1", AtLeast(1), Low, ReadOnly,
        ignored("quotas are not available");
    "Length of a sample for quotas.";
    "replica.fetch.backoff.ms": Int = "1000", AtLeast(0), Medium, ReadOnly, ignored(ONE_NODE);
    "Pause of a follower after a failed fetch.";
    "replica.fetch.max.bytes": Int = "1048576", AtLeast(0), Medium, ReadOnly, ignored(ONE_NODE);
    "Bytes a follower fetches for each partition.";
    "replica.fetch.min.bytes": Int = "1", Any, High, ReadOnly, ignored(ONE_NODE);
    "Bytes a follower waits for.";
    "replica.fetch.response.max.bytes": Int = "10485760", AtLeast(0), Medium, ReadOnly,
        ignored(ONE_NODE);
    "Bytes a follower fetches at once.";
    "replica.fetch.wait.max.ms": Int = "500", Any, High, ReadOnly, ignored(ONE_NODE);
    "How long a follower waits for records.";
    "replica.high.watermark.checkpoint.interval.ms": Long = "5000", Any, High, ReadOnly,
        ignored("the high watermark follows from the journal");
    "Time between two checkpoints of the high watermark.";
    "replica.lag.time.max.ms": Long = "30000", Any, High, ReadOnly, ignored(ONE_NODE);
    "Time after which a follower that lags is not in sync any more.";
    "replica.selector.class": String = none, Any, Medium, ReadOnly, default_only(NO_PLUGINS);
    "A class that chooses the replica a consumer reads from.";
    "replica.socket.receive.buffer.bytes": Int = "65536", Any, High, ReadOnly, ignored(ONE_NODE);
    "Receive buffer of connections to leaders.";
    "replica.socket.timeout.ms": Int = "30000", Any, High, ReadOnly, ignored(ONE_NODE);
    "Timeout of requests to leaders.";
    "request.timeout.ms": Int = "30000", Any, High, ReadOnly, ignored(ONE_NODE);
    "Timeout of requests to other brokers.";
    "sasl.kerberos.min.time.before.relogin": Long = "60000", Any, Low, PerBroker,
        ignored("no listener authenticates");
    "Shortest time between two logins to Kerberos, in milliseconds.";
    "security.inter.broker.protocol": String = "PLAINTEXT", OneOf(PROTOCOLS), Medium, ReadOnly,
        default_only(NO_SECURITY);
    "Security protocol between brokers.";
    "socket.connection.setup.timeout.max.ms": Long = "30000", Any, Medium, ReadOnly,
        ignored(ONE_NODE);
    "Longest time to wait for a connection to another broker.";
    "socket.connection.setup.timeout.ms": Long = "10000", Any, Medium, ReadOnly, ignored(ONE_NODE);
    "Time to wait for a connection to another broker.";
    "socket.listen.backlog.size": Int = "50", AtLeast(1), Medium, ReadOnly;
    "Connections that may wait to be accepted, on each shard's socket.";
    "socket.receive.buffer.bytes": Int = "102400", AtLeast(-1), High, ReadOnly;
    "SO_RCVBUF of client sockets; -1 leaves it to the operating system.";
    "socket.request.max.bytes": Int = "104857600", AtLeast(1), High, ReadOnly;
    "Largest request, in bytes.";
    "socket.send.buffer.bytes": Int = "102400", AtLeast(-1), High, ReadOnly;
    "SO_SNDBUF of client sockets; -1 leaves it to the operating system.";
};
