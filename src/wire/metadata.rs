//! API key 3, Metadata: the brokers, the topics and who leads which partition.
//!
//! Versions 0-13. Version 0 stays, though Kafka 4.0 dropped other old ones, for clients that ask
//! before they know any version.
//!
//! - 0: an empty list of topics asks for all. From 1 on null does, and empty asks for none.
//! - 1: rack, controller, whether a topic is internal.
//! - 2: cluster id (KIP-78).
//! - 3: throttle time.
//! - 4: whether asking may create topics.
//! - 5: offline replicas (KIP-112).
//! - 6: a throttled reply is sent before the wait, not after it (KIP-219).
//! - 7: leader epoch (KIP-320).
//! - 8: authorized operations on request (KIP-430).
//! - 9: flexible.
//! - 10: topic ids (KIP-516), asked by id from 12 on only.
//! - 11: the cluster's authorized operations move to DescribeCluster (KIP-700).
//! - 12: topics by id; the name of one not found is null.
//! - 13: top-level error, to send clients back to bootstrap (KIP-1102).

use super::array::Array;
use super::message::message;

message! {
    /// Topics to describe.
    request MetadataRequest<'a>(Metadata, 0..=13, flexible 9..) {
        /// The topics; null for all (in version 0: empty for all).
        topics: Option<Array<'a, MetadataRequestTopic<'a>>>, 0.., nullable 1..;
        /// Whether topics asked for and missing may be created, if the broker is set to do so.
        allow_auto_topic_creation: bool = true, 4..;
        /// Whether to say what the client may do with the cluster.
        include_cluster_authorized_operations: bool, 8..=10;
        /// Whether to say what the client may do with each topic.
        include_topic_authorized_operations: bool, 8..;
    }

    /// A topic to describe.
    struct MetadataRequestTopic<'a> {
        /// Topic by id; all zero if by name.
        topic_id: [u8; 16], 10.., ignorable;
        /// Topic by name; null if by id.
        name: Option<&'a str>, 0.., nullable 10..;
    }
}

message! {
    /// The cluster as this broker knows it.
    response MetadataResponse<'a>(Metadata, 0..=13, flexible 9..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 3.., ignorable;
        /// The brokers alive.
        brokers: Array<'a, MetadataResponseBroker<'a>>, 0..;
        /// The cluster's id.
        cluster_id: Option<&'a str>, 2.., nullable 2.., ignorable;
        /// A broker that takes administrative requests; -1 if none is known.
        controller_id: i32 = -1, 1.., ignorable;
        /// The topics.
        topics: Array<'a, MetadataResponseTopic<'a>>, 0..;
        /// Bits of what the client may do with the cluster; `i32::MIN` if not asked for.
        cluster_authorized_operations: i32 = i32::MIN, 8..=10;
        /// Error of the whole request.
        error_code: i16, 13.., ignorable;
    }

    /// A broker.
    struct MetadataResponseBroker<'a> {
        /// Its id.
        node_id: i32, 0..;
        /// Host name or address.
        host: &'a str, 0..;
        /// Port.
        port: i32, 0..;
        /// Rack; null if it has none.
        rack: Option<&'a str>, 1.., nullable 1.., ignorable;
    }

    /// A topic.
    struct MetadataResponseTopic<'a> {
        /// 0 if the topic exists and may be seen.
        error_code: i16, 0..;
        /// Its name; null if asked by id and not found.
        name: Option<&'a str>, 0.., nullable 12..;
        /// Its id; zero if asked by name and not found.
        topic_id: [u8; 16], 10.., ignorable;
        /// Whether it is one of Kafka's own.
        is_internal: bool, 1.., ignorable;
        /// Its partitions.
        partitions: Array<'a, MetadataResponsePartition<'a>>, 0..;
        /// Bits of what the client may do with the topic; `i32::MIN` if not asked for.
        topic_authorized_operations: i32 = i32::MIN, 8.., ignorable;
    }

    /// A partition.
    struct MetadataResponsePartition<'a> {
        /// 0 if it has a leader.
        error_code: i16, 0..;
        /// The partition.
        partition_index: i32, 0..;
        /// The leader's broker id; -1 for none.
        leader_id: i32, 0..;
        /// The leader's epoch; -1 if unknown.
        leader_epoch: i32 = -1, 7.., ignorable;
        /// All replicas, the preferred leader first.
        replica_nodes: Array<'a, i32>, 0..;
        /// The replicas in sync.
        isr_nodes: Array<'a, i32>, 0..;
        /// The replicas that are down.
        offline_replicas: Array<'a, i32>, 5.., ignorable;
    }
}
