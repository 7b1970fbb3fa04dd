//! The time index: twelve bytes per entry, big-endian: the largest timestamp up to here, and the
//! last offset of the first batch that has it, relative to the segment's base. Kafka's
//! `.timeindex`.
//!
//! Both numbers rise strictly from entry to entry. A record with a timestamp above that of an entry
//! lies after the entry's offset.

use super::sparse::Entry;
use crate::time::Timestamp;

/// One entry of a time index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeIndexEntry {
    /// The largest timestamp in the segment up to the entry's offset.
    pub timestamp: Timestamp,
    /// Last offset of the batch that has it, relative to the base offset of the segment.
    pub relative_offset: u32,
}

impl Entry for TimeIndexEntry {
    type Key = Timestamp;
    type Bytes = [u8; 12];
    const BYTES: usize = 12;

    fn key(&self) -> Timestamp {
        self.timestamp
    }

    fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        let (timestamp, offset) = bytes.split_at_mut(8);
        timestamp.copy_from_slice(&self.timestamp.0.to_be_bytes());
        offset.copy_from_slice(&self.relative_offset.to_be_bytes());
        bytes
    }

    fn decode(data: &[u8]) -> Option<TimeIndexEntry> {
        let (timestamp, rest) = data.split_first_chunk()?;
        Some(TimeIndexEntry {
            timestamp: Timestamp(i64::from_be_bytes(*timestamp)),
            relative_offset: u32::from_be_bytes(rest.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::sparse::{decode_entries, encode_entries};
    use super::*;

    #[test]
    fn bytes_are_those_of_kafka() {
        let entries = [TimeIndexEntry { timestamp: Timestamp(0x0102), relative_offset: 7 }];
        let bytes = encode_entries(&entries);
        assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 7]);
        assert_eq!(decode_entries::<TimeIndexEntry>(&bytes), entries);
        assert!(decode_entries::<TimeIndexEntry>(&bytes[1..]).is_empty());
    }
}
