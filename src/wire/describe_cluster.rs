//! API key 60, DescribeCluster (KIP-700).
//!
//! Versions 0-2, all flexible.
//!
//! - 1: brokers or controllers (KIP-919).
//! - 2: fenced brokers (KIP-1073).

use super::array::Array;
use super::message::message;

message! {
    /// Asks for the nodes of the cluster.
    #[derive(Copy)]
    request DescribeClusterRequest(DescribeCluster, 0..=2, flexible 0..) {
        /// Whether to say what the client may do with the cluster.
        include_cluster_authorized_operations: bool, 0..;
        /// 1 for brokers, 2 for controllers.
        endpoint_type: i8 = 1, 1..;
        /// Whether to list fenced brokers too.
        include_fenced_brokers: bool, 2..;
    }
}

message! {
    /// The nodes of the cluster.
    response DescribeClusterResponse<'a>(DescribeCluster, 0..=2, flexible 0..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 0..;
        /// 0 if the rest is good.
        error_code: i16, 0..;
        /// What is wrong; null if nothing.
        error_message: Option<&'a str>, 0.., nullable 0..;
        /// 1 for brokers, 2 for controllers, as asked.
        endpoint_type: i8 = 1, 1..;
        /// The cluster's id.
        cluster_id: &'a str, 0..;
        /// A node that takes administrative requests; -1 if none is known.
        controller_id: i32 = -1, 0..;
        /// The nodes.
        brokers: Array<'a, DescribeClusterBroker<'a>>, 0..;
        /// Bits of what the client may do with the cluster; `i32::MIN` if not asked for.
        cluster_authorized_operations: i32 = i32::MIN, 0..;
    }

    /// A node.
    struct DescribeClusterBroker<'a> {
        /// Its id.
        broker_id: i32, 0..;
        /// Host name or address.
        host: &'a str, 0..;
        /// Port.
        port: i32, 0..;
        /// Rack; null if it has none.
        rack: Option<&'a str>, 0.., nullable 0..;
        /// Whether it is fenced, that is registered but not serving.
        is_fenced: bool, 2..;
    }
}
