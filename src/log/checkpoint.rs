//! What is durable in the segments, as a plain value to be stored.

use super::Log;
use super::index::IndexEntry;
use super::mark::Mark;
use super::segment::Segment;
use super::sparse::Entry;
use super::time_index::TimeIndexEntry;
use crate::ids::Offset;
use crate::time::Timestamp;

/// How far a log is durable in its segments, and the state at that point. Everything from
/// `next_offset` on has to come from the journal.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
)]
pub struct LogCheckpoint {
    /// Offset of the first record that may be read. After DeleteRecords it may be above
    /// `next_offset`.
    pub start_offset: i64,
    /// Offset after the last record that is durable in the segments.
    pub next_offset: i64,
    /// Everything below has been compacted.
    pub clean_offset: i64,
    /// The segments, oldest first. Those after the first that is not closed are left out.
    pub segments: Vec<SegmentCheckpoint>,
    /// Leader epochs that began below `next_offset`.
    pub epochs: Vec<EpochCheckpoint>,
}

/// The durable part of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct SegmentCheckpoint {
    /// Offset the segment starts at.
    pub start_offset: i64,
    /// Offset after its last durable record.
    pub next_offset: i64,
    /// Durable bytes of `.log`.
    pub bytes: u32,
    /// Durable bytes of `.index`.
    pub index_bytes: u32,
    /// Durable bytes of `.timeindex`.
    pub time_index_bytes: u32,
    /// CRC32C of the durable bytes of `.index`.
    pub index_crc: u32,
    /// CRC32C of the durable bytes of `.timeindex`.
    pub time_index_crc: u32,
    /// Bytes since the batch with the last index entry, that batch included.
    pub bytes_since_index_entry: u32,
    /// Largest timestamp of the first batch, or -1.
    pub first_timestamp: i64,
    /// Largest timestamp, or -1.
    pub max_timestamp: i64,
    /// Last offset of the first batch that has it.
    pub max_timestamp_offset: i64,
    /// Timestamp of the last time index entry, or -1.
    pub indexed_timestamp: i64,
    /// Offset of the last time index entry; that of the segment if there is none.
    pub indexed_timestamp_offset: i64,
    /// Wall clock at the creation of the segment.
    pub created: i64,
    /// Wall clock at the append of its last durable batch.
    pub last_append: i64,
    /// Whether the segment is closed.
    pub sealed: bool,
    /// How often compaction has replaced its content.
    pub generation: u32,
}

/// One entry of the leader-epoch history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct EpochCheckpoint {
    /// The epoch.
    pub epoch: i32,
    /// Offset of its first record.
    pub start_offset: i64,
}

impl SegmentCheckpoint {
    fn of(segment: &Segment) -> SegmentCheckpoint {
        let mark = &segment.flushed;
        SegmentCheckpoint {
            start_offset: segment.start.0,
            next_offset: mark.next_offset.0,
            bytes: mark.bytes,
            index_bytes: mark.index_position(),
            time_index_bytes: mark.time_index_position(),
            index_crc: mark.index_crc,
            time_index_crc: mark.time_index_crc,
            bytes_since_index_entry: mark.bytes_since_index_entry,
            first_timestamp: mark.first_timestamp.0,
            max_timestamp: mark.max_timestamp.0,
            max_timestamp_offset: mark.max_timestamp_offset.0,
            indexed_timestamp: mark.indexed_timestamp.0,
            indexed_timestamp_offset: mark.indexed_timestamp_offset.0,
            created: segment.created.0,
            last_append: mark.last_append.0,
            sealed: mark.sealed,
            generation: segment.generation,
        }
    }

    /// The segment this describes.
    pub(super) fn restore(&self) -> Segment {
        let mark = Mark {
            next_offset: Offset(self.next_offset),
            bytes: self.bytes,
            index_entries: self.index_bytes / IndexEntry::BYTES as u32,
            time_index_entries: self.time_index_bytes / TimeIndexEntry::BYTES as u32,
            index_crc: self.index_crc,
            time_index_crc: self.time_index_crc,
            bytes_since_index_entry: self.bytes_since_index_entry,
            first_timestamp: Timestamp(self.first_timestamp),
            max_timestamp: Timestamp(self.max_timestamp),
            max_timestamp_offset: Offset(self.max_timestamp_offset),
            indexed_timestamp: Timestamp(self.indexed_timestamp),
            indexed_timestamp_offset: Offset(self.indexed_timestamp_offset),
            last_append: Timestamp(self.last_append),
            sealed: self.sealed,
        };
        let mut segment = Segment::at(Offset(self.start_offset), Timestamp(self.created), mark);
        segment.generation = self.generation;
        segment
    }
}

impl Log {
    /// How far the log is durable in its segments. Store it before the journal behind it is
    /// recycled and before files of segments that it no longer names are deleted.
    #[must_use]
    pub fn checkpoint(&self) -> LogCheckpoint {
        let next_offset = self.flushed_offset();
        let mut epochs = self.epochs.clone();
        epochs.truncate_from_end(next_offset);
        let durable = self.segment_index_for(self.flush_segment) + 1;
        // What compaction has made counts from the first checkpoint that names it, and with it the
        // old segments are gone: a start puts the names right that are not yet.
        let (cleaned, replaced) = match &self.replacement {
            Some(replacement) => {
                (replacement.segments.as_slice(), replacement.compacted.replaced.len())
            }
            None => (&[][..], 0),
        };
        let segments = cleaned.iter().chain(self.segments.iter().take(durable).skip(replaced));
        let clean_offset = self.replacement.as_ref().map(|r| r.compacted.clean_offset);
        LogCheckpoint {
            clean_offset: self.clean_offset.max(clean_offset.unwrap_or_default()).0,
            start_offset: self.start_offset.0,
            next_offset: next_offset.0,
            segments: segments
                .filter(|segment| segment.flushed.bytes > 0)
                .map(SegmentCheckpoint::of)
                .collect(),
            epochs: epochs
                .entries()
                .iter()
                .map(|entry| EpochCheckpoint {
                    epoch: entry.epoch.0,
                    start_offset: entry.start_offset.0,
                })
                .collect(),
        }
    }
}
