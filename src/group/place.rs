//! Which partition of `__consumer_offsets` a group belongs to.

use crate::ids::PartitionId;

/// Kafka's rule: the hash of a Java string, made positive, modulo the number of partitions.
#[must_use]
pub fn partition_of(group: &str, partition_count: i32) -> PartitionId {
    assert!(partition_count > 0, "a topic has at least one partition");
    let hash = group
        .encode_utf16()
        .fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // The smallest number has no positive counterpart; Kafka takes zero.
    PartitionId(hash.checked_abs().unwrap_or(0) % partition_count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the rule of `String.hashCode`; the last but one hashes to the smallest number.
    #[test]
    fn groups_are_where_kafka_puts_them() {
        for (group, partition) in [
            ("", 0),
            ("a", 47),
            ("my-group", 12),
            ("console-consumer-12345", 6),
            ("polygenelubricants", 0),
            ("gruppe-äöü", 40),
        ] {
            assert_eq!(partition_of(group, 50), PartitionId(partition), "{group}");
        }
    }
}
