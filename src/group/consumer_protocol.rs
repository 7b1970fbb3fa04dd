//! What consumers of a classic group tell their leader, and it tells them, inside JoinGroup and
//! SyncGroup (protocol type `consumer`). To the protocol it is opaque bytes; a broker reads it to
//! describe a group, and where a group moves between the classic and the consumer protocol.
//!
//! Versions 0-3. Newer ones are read as the newest known, for they may only add to its end, and
//! bytes after the end are passed over: so it was agreed among clients.
//!
//! - 1: partitions owned (KIP-429). 2: generation they are from (KIP-792). 3: rack (KIP-881).

use bytes::Bytes;

use crate::wire::array::Array;
use crate::wire::message::{Versioned, message};
use crate::wire::primitive::DecodeError;

/// The protocol type of groups whose members speak this.
pub const PROTOCOL_TYPE: &str = "consumer";

message! {
    /// What a member wants to read.
    versioned Subscription<'a>[0..=3, flexible 4..] {
        /// The topics.
        topics: Array<'a, &'a str>, 0..;
        /// For the member's assignor.
        user_data: Option<&'a [u8]>, 0.., nullable 0..;
        /// The partitions it has and gives up only when told.
        owned_partitions: Array<'a, TopicPartitions<'a>>, 1.., ignorable;
        /// The generation in which it got them; -1 if unknown.
        generation_id: i32 = -1, 2.., ignorable;
        /// Where it is.
        rack_id: Option<&'a str>, 3.., nullable 3.., ignorable;
    }

    /// What a member shall read.
    versioned Assignment<'a>[0..=3, flexible 4..] {
        /// The partitions.
        assigned_partitions: Array<'a, TopicPartitions<'a>>, 0..;
        /// From the leader's assignor.
        user_data: Option<&'a [u8]>, 0.., nullable 0..;
    }

    /// Partitions of one topic.
    struct TopicPartitions<'a> {
        /// The topic.
        topic: &'a str, 0..;
        /// The partitions.
        partitions: Array<'a, i32>, 0..;
    }
}

impl<'a> Subscription<'a> {
    /// Reads what a member said when it joined.
    ///
    /// # Errors
    /// The bytes are none that a consumer sends.
    pub fn parse(metadata: &'a [u8]) -> Result<Subscription<'a>, DecodeError> {
        Self::decode_or_newer(metadata)
    }

    /// The bytes of the newest version.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.encode(*Self::VERSIONS.end())
    }
}

impl<'a> Assignment<'a> {
    /// Reads what the leader handed in for a member.
    ///
    /// # Errors
    /// The bytes are none that a consumer sends.
    pub fn parse(assignment: &'a [u8]) -> Result<Assignment<'a>, DecodeError> {
        Self::decode_or_newer(assignment)
    }

    /// The bytes in the version of what the member said of itself.
    #[must_use]
    pub fn to_bytes(&self, version: i16) -> Bytes {
        self.encode(version.clamp(*Self::VERSIONS.start(), *Self::VERSIONS.end()))
    }
}

/// The version in front of a member's bytes; `None` if there are none.
#[must_use]
pub fn version_of(bytes: &[u8]) -> Option<i16> {
    bytes.first_chunk().map(|version| i16::from_be_bytes(*version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stdx::prng::Prng;

    /// What the Java consumer of Kafka 4.3.1 sends, with the cooperative assignor: one topic, no
    /// user data, one partition owned since generation 5, in a rack.
    const SUBSCRIPTION: &[u8] = b"\0\x03\0\0\0\x01\0\x06orders\0\0\0\x04\0\0\0\x05\
        \0\0\0\x01\0\x06orders\0\0\0\x01\0\0\0\x02\0\0\0\x05\0\x01r";

    const ASSIGNMENT: &[u8] =
        b"\0\x01\0\0\0\x01\0\x06orders\0\0\0\x02\0\0\0\0\0\0\0\x01\xff\xff\xff\xff";

    fn subscription() -> Subscription<'static> {
        let owned = TopicPartitions { topic: "orders", partitions: vec![2].into() };
        Subscription {
            topics: vec!["orders"].into(),
            user_data: Some(b"\0\0\0\x05"),
            owned_partitions: vec![owned].into(),
            generation_id: 5,
            rack_id: Some("r"),
        }
    }

    #[test]
    fn a_subscription_in_every_version() {
        assert_eq!(Subscription::parse(SUBSCRIPTION), Ok(subscription()));
        assert_eq!(subscription().to_bytes(), SUBSCRIPTION);
        for version in 0..=3 {
            let bytes = subscription().encode(version);
            assert_eq!(version_of(&bytes), Some(version));
            let read = Subscription::parse(&bytes).unwrap();
            assert_eq!(read.topics, subscription().topics);
            assert_eq!(read.owned_partitions.len(), usize::from(version >= 1));
            assert_eq!(read.generation_id, if version >= 2 { 5 } else { -1 });
            assert_eq!(read.rack_id, (version >= 3).then_some("r"));
        }
    }

    #[test]
    fn an_assignment_in_every_version() {
        let assignment = Assignment::parse(ASSIGNMENT).unwrap();
        let partitions = assignment.assigned_partitions.iter().next().unwrap();
        assert_eq!((partitions.topic, partitions.partitions), ("orders", vec![0, 1].into()));
        assert_eq!(assignment.user_data, None);
        assert_eq!(assignment.to_bytes(1), ASSIGNMENT);
        for version in [-1, 0, 3, 9] {
            let bytes = assignment.to_bytes(version);
            assert_eq!(version_of(&bytes), Some(version.clamp(0, 3)));
            assert_eq!(Assignment::parse(&bytes), Ok(assignment.clone()));
        }
    }

    #[test]
    fn newer_versions_are_read_as_far_as_they_are_known() {
        let newer = [&b"\0\x09"[..], &SUBSCRIPTION[2..], b"more"].concat();
        assert_eq!(Subscription::parse(&newer), Ok(subscription()));
        let negative = [&b"\xff\xff"[..], &SUBSCRIPTION[2..]].concat();
        assert_eq!(Subscription::parse(&negative), Err(DecodeError::UnknownVersion(-1)));
    }

    #[test]
    fn bytes_of_others_are_refused_or_read_and_never_more() {
        assert_eq!(version_of(b"\0"), None);
        for cut in 0..SUBSCRIPTION.len() {
            assert!(Subscription::parse(&SUBSCRIPTION[..cut]).is_err(), "cut at {cut}");
        }
        let mut prng = Prng::new(7);
        for _ in 0..10_000 {
            let mut bytes = SUBSCRIPTION.to_vec();
            for _ in 0..prng.between(1, 4) {
                let at = prng.below(bytes.len() as u64) as usize;
                bytes[at] = if prng.chance(1, 2) { 0xff } else { prng.next_u64() as u8 };
            }
            if let Ok(read) = Subscription::parse(&bytes) {
                assert_eq!(Subscription::parse(&read.to_bytes()), Ok(read.clone()));
            }
            if let Ok(read) = Assignment::parse(&bytes) {
                assert_eq!(Assignment::parse(&read.to_bytes(3)), Ok(read.clone()));
            }
        }
    }
}
