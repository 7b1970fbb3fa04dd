//! The offset index: eight bytes per entry, big-endian: the last offset of a batch relative to the
//! segment's base, and the position at which that batch starts. Kafka's `.index`.
//!
//! The offset of an entry is the batch's *last* one, so a search for the largest entry not above a
//! target gives a position at or before the batch that holds the target.

use super::sparse::Entry;

/// One entry of an offset index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Last offset of the batch, relative to the base offset of the segment.
    pub relative_offset: u32,
    /// Position of the batch's first byte in the segment.
    pub position: u32,
}

impl Entry for IndexEntry {
    type Key = u32;
    type Bytes = [u8; 8];
    const BYTES: usize = 8;

    fn key(&self) -> u32 {
        self.relative_offset
    }

    fn to_bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        let (offset, position) = bytes.split_at_mut(4);
        offset.copy_from_slice(&self.relative_offset.to_be_bytes());
        position.copy_from_slice(&self.position.to_be_bytes());
        bytes
    }

    fn decode(data: &[u8]) -> Option<IndexEntry> {
        let (relative_offset, rest) = data.split_first_chunk()?;
        Some(IndexEntry {
            relative_offset: u32::from_be_bytes(*relative_offset),
            position: u32::from_be_bytes(rest.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::sparse::{decode_entries, encode_entries, lower_bound};
    use super::*;

    fn entry(relative_offset: u32, position: u32) -> IndexEntry {
        IndexEntry { relative_offset, position }
    }

    #[test]
    fn bytes_are_those_of_kafka() {
        let entries = [entry(9, 4_172), entry(0x0102_0304, 0x7fff_ffff)];
        let bytes = encode_entries(&entries);
        assert_eq!(bytes, [0, 0, 0, 9, 0, 0, 0x10, 0x4c, 1, 2, 3, 4, 0x7f, 0xff, 0xff, 0xff]);
        assert_eq!(decode_entries::<IndexEntry>(&bytes), entries);
        assert_eq!(decode_entries::<IndexEntry>(&bytes[..15]), entries[..1]);
    }

    #[test]
    fn lower_bound_is_the_largest_not_above() {
        let entries = [entry(4, 100), entry(9, 200)];
        assert_eq!(lower_bound(&entries, 3), None);
        assert_eq!(lower_bound(&entries, 4), Some(entries[0]));
        assert_eq!(lower_bound(&entries, 8), Some(entries[0]));
        assert_eq!(lower_bound(&entries, 1_000), Some(entries[1]));
        assert_eq!(lower_bound::<IndexEntry>(&[], 0), None);
    }
}
