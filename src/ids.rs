//! The numbers that name things. Each is its own type, so that a partition offset can never be
//! mistaken for a byte position or a sequence for an epoch.
//!
//! Kafka's sentinel `-1` exists on the wire only; inside the house absence is an `Option`.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// Position of a record in its partition. The first record ever appended has offset 0.
    Offset(i64)
}
number! {
    /// Term of a partition's leadership; rises with every change of leader and every restart.
    LeaderEpoch(i32)
}
number! {
    /// Identifies one producer session for idempotence (KIP-98).
    ProducerId(i64)
}
number! {
    /// Fences older sessions of the same producer id (KIP-98).
    ProducerEpoch(i16)
}
number! {
    /// Index of a partition within its topic.
    PartitionId(i32)
}
number! {
    /// A broker's identity in the cluster (`node.id`).
    NodeId(i32)
}
number! {
    /// Index of a core's shard within this process, from 0.
    ShardId(u16)
}
number! {
    /// A connection as its shard knows it: unique for the life of the shard, never reused.
    ConnectionId(u64)
}
number! {
    /// Which start of this data directory wrote something; rises by one with every start.
    Incarnation(u64)
}

impl Offset {
    /// The offset `count` records after this one.
    #[must_use]
    pub fn plus(self, count: i64) -> Offset {
        Offset(self.0 + count)
    }
}

/// Sequence number of a record within one producer session and partition (KIP-98). Wraps from
/// `i32::MAX` to 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sequence(pub i32);

impl Sequence {
    /// The sequence `count` records after this one, wrapping past `i32::MAX` to 0.
    #[must_use]
    pub fn plus(self, count: i32) -> Sequence {
        debug_assert!(self.0 >= 0 && count >= 0);
        let sum = i64::from(self.0) + i64::from(count);
        Sequence((sum % (i64::from(i32::MAX) + 1)) as i32)
    }
}

/// Identity of a topic for its whole life (KIP-516): a topic deleted and created again under the
/// same name has another id. All-zero is Kafka's "no id".
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub [u8; 16]);

impl TopicId {
    /// Kafka's "no id".
    pub const ZERO: TopicId = TopicId([0; 16]);
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Kafka's form: URL-safe base64 without padding, 22 characters.
impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let bits = u128::from_be_bytes(self.0);
        for digit in 0..22_u32 {
            let shift = 128 - 6 * (i64::from(digit) + 1);
            let index = if shift >= 0 { bits >> shift } else { bits << -shift } & 63;
            let symbol = ALPHABET.get(index as usize).copied().unwrap_or(b'A');
            write!(f, "{}", char::from(symbol))?;
        }
        Ok(())
    }
}

/// One partition of one topic, by identity rather than by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicId,
    /// The partition within it.
    pub partition: PartitionId,
}

impl TopicPartition {
    /// The shard that owns this partition: a pure function of identity and shard count, so every
    /// shard of every start with the same count agrees without asking.
    #[must_use]
    pub fn shard(&self, shard_count: u16) -> ShardId {
        assert!(shard_count > 0, "a broker has at least one shard");
        // The partitions of one topic go round the shards from a start drawn from its id, so the
        // load of one wide topic and of many narrow ones is level.
        let mut seed = [0_u8; 8];
        for (at, byte) in self.topic.0.iter().enumerate() {
            if let Some(slot) = seed.get_mut(at % 8) {
                *slot ^= byte.rotate_left(at as u32);
            }
        }
        let start = u64::from_le_bytes(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let at = start.wrapping_add(self.partition.0.unsigned_abs().into());
        ShardId((at % u64::from(shard_count)) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_wraps_after_the_largest() {
        assert_eq!(Sequence(i32::MAX).plus(1), Sequence(0));
        assert_eq!(Sequence(i32::MAX - 1).plus(3), Sequence(1));
        assert_eq!(Sequence(5).plus(0), Sequence(5));
    }

    #[test]
    fn topic_id_prints_as_kafka_does() {
        assert_eq!(TopicId::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        let one = TopicId(1_u128.to_be_bytes());
        assert_eq!(one.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(TopicId([0xff; 16]).to_string(), "_____________________w");
    }

    #[test]
    fn partitions_of_a_topic_spread_evenly() {
        let topic = TopicId([7; 16]);
        let mut counts = [0; 3];
        for partition in 0..300 {
            let shard = TopicPartition { topic, partition: PartitionId(partition) }.shard(3);
            counts[usize::from(shard.0)] += 1;
        }
        assert_eq!(counts, [100, 100, 100]);
    }
}
