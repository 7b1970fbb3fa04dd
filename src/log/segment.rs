//! One segment: how far it is appended, written and flushed, its sparse indexes, and Kafka's rule
//! for when it ends.

use super::index::IndexEntry;
use super::mark::{BatchSpan, Mark, RELATIVE_OFFSET_MAX};
use super::options::LogOptions;
use super::sparse::{Entry, Find, Sparse};
use super::time_index::TimeIndexEntry;
use crate::ids::Offset;
use crate::stdx::prng::Prng;
use crate::time::Timestamp;

/// See the module. Invariant: `flushed <= flushing <= written <= head`, in every count.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Offset the segment starts at; names its files.
    pub(super) start: Offset,
    /// Wall clock at creation. Kafka measures `segment.ms` from here when the first batch has no
    /// timestamp.
    pub(super) created: Timestamp,
    /// How often compaction has put new content into its place; tells its files from those of an
    /// earlier content.
    pub(super) generation: u32,
    /// Whether the files have been created, or will be by a write that is under way.
    pub(super) has_files: bool,
    /// End of what is appended.
    pub(super) head: Mark,
    /// End of what is written to the files.
    pub(super) written: Mark,
    /// End of what will be durable when the flush under way succeeds.
    pub(super) flushing: Option<Mark>,
    /// End of what is durable in the files.
    pub(super) flushed: Mark,
    /// Offset index; entries of what is not written are always in memory.
    pub(super) index: Sparse<IndexEntry>,
    /// Time index; likewise.
    pub(super) time_index: Sparse<TimeIndexEntry>,
}

impl Segment {
    /// An empty segment without files.
    pub(super) fn new(start: Offset, created: Timestamp) -> Segment {
        let mark = Mark::start(start, created);
        Segment::at(start, created, mark)
    }

    /// A segment that is on disk up to `mark`, with its indexes not in memory.
    pub(super) fn at(start: Offset, created: Timestamp, mark: Mark) -> Segment {
        Segment {
            start,
            created,
            generation: 0,
            has_files: mark.bytes > 0,
            head: mark,
            written: mark,
            flushing: None,
            flushed: mark,
            index: Sparse::on_disk(mark.index_entries, mark.index_crc),
            time_index: Sparse::on_disk(mark.time_index_entries, mark.time_index_crc),
        }
    }

    /// Whether Kafka would close this segment before appending the batch.
    pub(super) fn must_roll(&self, span: &BatchSpan, now: Timestamp, options: &LogOptions) -> bool {
        let bytes = u64::from(self.head.bytes) + u64::from(span.bytes);
        let fits_relative = span.next_offset.0 - 1 - self.start.0 <= RELATIVE_OFFSET_MAX;
        if self.head.bytes == 0 {
            // An empty segment takes any batch; one that is larger than `segment.bytes` is refused
            // before it comes here, unless the setting has changed in between.
            return !fits_relative;
        }
        let index_entries_max = options.segment_index_bytes / IndexEntry::BYTES as u32;
        let time_index_entries_max = options.segment_index_bytes / TimeIndexEntry::BYTES as u32;
        !fits_relative
            || bytes > u64::from(options.segment_bytes.min(i32::MAX as u32))
            || self.waited_ms(span.max_timestamp, now) > self.roll_after_ms(options)
            || self.head.index_entries >= index_entries_max
            // One place is kept for the final entry.
            || self.head.time_index_entries + 1 >= time_index_entries_max
    }

    /// How long the segment has been open, by the records' own time if they have one.
    fn waited_ms(&self, timestamp: Timestamp, now: Timestamp) -> i64 {
        if self.head.first_timestamp.0 >= 0 {
            timestamp.0.saturating_sub(self.head.first_timestamp.0)
        } else {
            now.0.saturating_sub(self.created.0)
        }
    }

    fn roll_after_ms(&self, options: &LogOptions) -> i64 {
        let jitter_max = options.segment_jitter_ms.min(options.segment_ms);
        let draw = Prng::new(options.jitter_seed ^ self.start.0 as u64).below(jitter_max);
        i64::try_from(options.segment_ms - draw).unwrap_or(i64::MAX)
    }

    /// Places a batch at the end; returns whether it got an index entry.
    pub(super) fn append(
        &mut self,
        span: &BatchSpan,
        now: Timestamp,
        index_interval_bytes: u32,
    ) -> bool {
        let indexed = self.head.bytes_since_index_entry > index_interval_bytes;
        let (index_entry, time_index_entry) = self.head.advance(self.start, span, indexed, now);
        if let Some(entry) = index_entry {
            self.index.push(entry);
        }
        if let Some(entry) = time_index_entry {
            self.time_index.push(entry);
        }
        indexed
    }

    /// Forgets index entries behind a mark.
    pub(super) fn truncate_indexes(&mut self, mark: &Mark) {
        self.index.truncate(mark.index_entries, mark.index_crc);
        self.time_index.truncate(mark.time_index_entries, mark.time_index_crc);
    }

    /// Closes the segment.
    pub(super) fn seal(&mut self) {
        if let Some(entry) = self.head.seal(self.start) {
            self.time_index.push(entry);
        }
    }

    /// Whether everything this segment will ever hold is durable in its files.
    pub(super) fn is_durable(&self) -> bool {
        self.flushed.sealed
    }

    /// The last batch known to hold offsets not above `offset`: its last offset and its position.
    /// `(start, 0)` before the first entry, `None` if the index has to be loaded first.
    pub(super) fn position_before(&self, offset: Offset) -> Option<(Offset, u32)> {
        if offset <= self.start {
            return Some((self.start, 0));
        }
        let relative = (offset.0 - self.start.0).min(RELATIVE_OFFSET_MAX) as u32;
        match self.index.find(relative) {
            Find::Before => Some((self.start, 0)),
            Find::At(entry) => {
                Some((self.start.plus(entry.relative_offset.into()), entry.position))
            }
            Find::Unloaded => None,
        }
    }
}
