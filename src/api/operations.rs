//! What a client may do with a resource (KIP-430), as the bits of Kafka's operation numbers. There
//! is no authorizer, so it may do all that fits the resource, as on a Kafka without one.

/// The answer to a client that did not ask.
pub(super) const UNASKED: i32 = i32::MIN;

// Bits by Kafka's numbers of operations.
const READ: i32 = 1 << 3;
const WRITE: i32 = 1 << 4;
const CREATE: i32 = 1 << 5;
const DELETE: i32 = 1 << 6;
const ALTER: i32 = 1 << 7;
const DESCRIBE: i32 = 1 << 8;
const CLUSTER_ACTION: i32 = 1 << 9;
const DESCRIBE_CONFIGS: i32 = 1 << 10;
const ALTER_CONFIGS: i32 = 1 << 11;
const IDEMPOTENT_WRITE: i32 = 1 << 12;

const TOPIC: i32 =
    READ | WRITE | CREATE | DELETE | ALTER | DESCRIBE | DESCRIBE_CONFIGS | ALTER_CONFIGS;
const CLUSTER: i32 = CREATE
    | ALTER
    | DESCRIBE
    | CLUSTER_ACTION
    | DESCRIBE_CONFIGS
    | ALTER_CONFIGS
    | IDEMPOTENT_WRITE;

/// On a topic, if the client asked.
pub(super) fn on_topic(asked: bool) -> i32 {
    if asked { TOPIC } else { UNASKED }
}

/// On the cluster, if the client asked.
pub(super) fn on_cluster(asked: bool) -> i32 {
    if asked { CLUSTER } else { UNASKED }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Apache Kafka 4.3 without an authorizer answers.
    #[test]
    fn all_operations_are_those_of_kafka() {
        assert_eq!((on_topic(true), on_cluster(true)), (3576, 8096));
        assert_eq!((on_topic(false), on_cluster(false)), (i32::MIN, i32::MIN));
    }
}
