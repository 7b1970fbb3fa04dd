//! The state of a segment up to one batch boundary.
//!
//! Appending, writing, flushing and truncating all move a mark over the same batches by the same
//! function, so that what a checkpoint says about the flushed part is what was true when the last
//! flushed batch was appended. After a crash, appending the rest again gives the same bytes.

use super::index::IndexEntry;
use super::sparse::{Entry, entry_crc};
use super::time_index::TimeIndexEntry;
use crate::batch::{BatchHeader, NO_TIMESTAMP};
use crate::ids::Offset;
use crate::time::Timestamp;

/// What the log has to know of a batch to place it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSpan {
    /// Offset of the batch's first record.
    pub base_offset: Offset,
    /// Offset after the batch's last record.
    pub next_offset: Offset,
    /// Size of the whole batch, in bytes.
    pub bytes: u32,
    /// Largest timestamp in the batch, or `NO_TIMESTAMP`.
    pub max_timestamp: Timestamp,
}

impl BatchSpan {
    /// What the log keeps of a header; `None` if its numbers cannot be those of a batch in a log.
    #[must_use]
    pub fn of(header: &BatchHeader) -> Option<BatchSpan> {
        let in_range = 0 <= header.base_offset.0
            && 0 <= header.last_offset_delta
            && header.base_offset.0 < i64::MAX - i64::from(header.last_offset_delta);
        in_range.then_some(BatchSpan {
            base_offset: header.base_offset,
            next_offset: header.next_offset(),
            bytes: u32::try_from(header.size()).ok()?,
            max_timestamp: header.max_timestamp.max(NO_TIMESTAMP),
        })
    }
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Offset after the last record before the mark.
    pub(super) next_offset: Offset,
    /// Position of the mark.
    pub(super) bytes: u32,
    /// Entries of the offset index before the mark.
    pub(super) index_entries: u32,
    /// Entries of the time index before the mark.
    pub(super) time_index_entries: u32,
    /// CRC32C of the entries of the offset index before the mark.
    pub(super) index_crc: u32,
    /// CRC32C of the entries of the time index before the mark.
    pub(super) time_index_crc: u32,
    /// Bytes before the mark since the batch that has the last index entry, that batch included.
    pub(super) bytes_since_index_entry: u32,
    /// Largest timestamp of the first batch; `NO_TIMESTAMP` in an empty segment. Kafka measures
    /// `segment.ms` from here.
    pub(super) first_timestamp: Timestamp,
    /// Largest timestamp before the mark.
    pub(super) max_timestamp: Timestamp,
    /// Last offset of the first batch that has it.
    pub(super) max_timestamp_offset: Offset,
    /// Timestamp of the last time index entry.
    pub(super) indexed_timestamp: Timestamp,
    /// Offset of the last time index entry.
    pub(super) indexed_timestamp_offset: Offset,
    /// Wall clock at the append of the last batch before the mark.
    pub(super) last_append: Timestamp,
    /// Whether the segment is closed here: nothing will be appended, and the time index has its
    /// final entry.
    pub(super) sealed: bool,
}

impl Mark {
    /// The mark at the start of an empty segment.
    pub(super) fn start(segment: Offset, created: Timestamp) -> Mark {
        Mark {
            next_offset: segment,
            bytes: 0,
            index_entries: 0,
            time_index_entries: 0,
            index_crc: 0,
            time_index_crc: 0,
            bytes_since_index_entry: 0,
            first_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            max_timestamp_offset: segment,
            indexed_timestamp: NO_TIMESTAMP,
            indexed_timestamp_offset: segment,
            last_append: created,
            sealed: false,
        }
    }

    /// Moves over one batch. `indexed` says whether the batch gets an index entry; if so, the
    /// entries it gives are returned.
    pub(super) fn advance(
        &mut self,
        segment: Offset,
        span: &BatchSpan,
        indexed: bool,
        appended: Timestamp,
    ) -> (Option<IndexEntry>, Option<TimeIndexEntry>) {
        assert!(!self.sealed, "a closed segment is not appended to");
        assert!(self.next_offset <= span.base_offset && span.base_offset < span.next_offset);
        let last_offset = span.next_offset.plus(-1);
        if self.bytes == 0 {
            self.first_timestamp = span.max_timestamp;
        }
        if self.max_timestamp < span.max_timestamp {
            self.max_timestamp = span.max_timestamp;
            self.max_timestamp_offset = last_offset;
        }
        let mut entries = (None, None);
        if indexed {
            let entry = IndexEntry {
                relative_offset: relative(segment, last_offset),
                position: self.bytes,
            };
            self.index_crc = entry_crc(self.index_crc, &entry);
            entries.0 = Some(entry);
            entries.1 = self.take_time_index_entry(segment);
            self.index_entries += 1;
            self.bytes_since_index_entry = 0;
        }
        self.bytes += span.bytes;
        self.bytes_since_index_entry += span.bytes;
        self.next_offset = span.next_offset;
        self.last_append = appended;
        entries
    }

    /// Closes the segment here. Returns the final time index entry, which tells the largest
    /// timestamp of the whole segment, unless the last entry does already.
    pub(super) fn seal(&mut self, segment: Offset) -> Option<TimeIndexEntry> {
        assert!(!self.sealed, "a segment is closed once");
        self.sealed = true;
        self.take_time_index_entry(segment)
    }

    /// Where the next entry goes in the offset index file.
    pub(super) fn index_position(&self) -> u32 {
        self.index_entries * IndexEntry::BYTES as u32
    }

    /// Where the next entry goes in the time index file.
    pub(super) fn time_index_position(&self) -> u32 {
        self.time_index_entries * TimeIndexEntry::BYTES as u32
    }

    fn take_time_index_entry(&mut self, segment: Offset) -> Option<TimeIndexEntry> {
        if self.max_timestamp <= self.indexed_timestamp {
            return None;
        }
        self.indexed_timestamp = self.max_timestamp;
        self.indexed_timestamp_offset = self.max_timestamp_offset;
        self.time_index_entries += 1;
        let entry = TimeIndexEntry {
            timestamp: self.max_timestamp,
            relative_offset: relative(segment, self.max_timestamp_offset),
        };
        self.time_index_crc = entry_crc(self.time_index_crc, &entry);
        Some(entry)
    }
}

/// Largest relative offset Kafka's index entries can hold: they are signed there.
pub(super) const RELATIVE_OFFSET_MAX: i64 = i32::MAX as i64;

/// `offset` relative to the base of its segment. The roll rule keeps it in range.
pub(super) fn relative(segment: Offset, offset: Offset) -> u32 {
    let relative = offset.0 - segment.0;
    assert!((0..=RELATIVE_OFFSET_MAX).contains(&relative), "the segment would have been rolled");
    relative as u32
}
