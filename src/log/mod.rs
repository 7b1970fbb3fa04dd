//! The log of one partition: segments, indexes, tail, retention, compaction and recovery.
//!
//! What it is: a pure machine. Batches that are already checked, stamped and on their way to the
//! journal come in; they stay in an in-memory tail and are written behind, in large writes, to
//! segments in Kafka's own file formats. Reads are answered with pieces of the tail or with places
//! in files.
//!
//! What it does not know: files (writes, flushes, truncations and deletions are values that the
//! shell executes), the journal, the high watermark beyond the bound it is handed with each call,
//! producers, replicas, and Kafka's error codes.
//!
//! Invariants:
//! - `flushed_offset <= written_offset <= next_offset`, and every batch from the written offset on
//!   is in the tail. What is in the tail is gapless up to the log end.
//! - A batch is written once, at the place it was given when it was appended, never beyond the
//!   bound given to [`Log::poll_write`].
//! - What a checkpoint says is durable in the segments is durable there, and appending the batches
//!   behind it again leads to the same bytes in the same files.
//! - Segments are contiguous, but for what compaction has taken out; the last one is active, the
//!   others are closed.
//!
//! The order of effects that keeps a crash harmless: make the checkpoint durable first, then
//! recycle the journal and delete the files of segments it no longer names.

mod names;
mod options;

mod sparse;

mod index;
mod time_index;

mod mark;

mod segment;
mod tail;

mod append;
mod write;

mod read;
mod scan;
mod sound;
mod time_lookup;

mod checkpoint;
mod recovery;

mod index_load;

mod clock;
mod compaction;
mod retention;
mod truncate;

mod epochs;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

pub use checkpoint::{EpochCheckpoint, LogCheckpoint, SegmentCheckpoint};
pub use clock::{CLOCK_CONFIRM, CLOCK_STEP_MAX, ClockGuard};
pub use compaction::{
    CleanError, CleanedSegment, Cleaning, Compacted, CompactionOptions, CompactionPlan, OutputFile,
    Source, Step,
};
pub use epochs::{EpochEntry, EpochHistory, EpochTextError};
pub use index::IndexEntry;
pub use index_load::{IndexError, IndexRewrite};
pub use mark::BatchSpan;
pub use names::{
    FileKind, cleaned_name, deleted_name, file_name, parse_file_name, parse_passing_name,
};
pub use options::LogOptions;
pub use read::{FileRead, Read};
pub use recovery::{Found, FoundCleaned, RecoveryError, RecoveryPlan, Truncation};
pub use retention::Retention;
pub use scan::{Scan, SegmentScan, locate, locate_timestamp, readable, whole_batches};
pub use sparse::{Entry, decode_entries, encode_entries, lower_bound};
pub use time_index::TimeIndexEntry;
pub use time_lookup::TimeLookup;
pub use truncate::{TruncateError, TruncatePlan};
pub use write::{SegmentFiles, SegmentFlush, SegmentWrite};

use crate::ids::Offset;
use crate::time::Timestamp;
use compaction::Replacement;
use mark::Mark;
use segment::Segment;
use tail::Tail;
use write::Outstanding;

/// See the module.
#[derive(Clone, Debug)]
pub struct Log {
    options: LogOptions,
    /// Oldest first; never empty; the last is the active one.
    segments: VecDeque<Segment>,
    tail: Tail,
    /// Offset after the last batch that has left the tail: below it, only files can answer.
    tail_start: Offset,
    /// State of its segment at `tail_start`, from which the state at any batch of the tail follows.
    tail_mark: Mark,
    /// Offset of the first record that may be read (`log start offset`). Moves with retention and
    /// DeleteRecords.
    start_offset: Offset,
    epochs: EpochHistory,
    /// The first segment that is not written to its end.
    write_segment: Offset,
    /// The write that is under way.
    outstanding: Option<Outstanding>,
    /// The first segment that is not durable to its end.
    flush_segment: Offset,
    /// Bytes appended and not yet reported as written.
    unwritten_bytes: usize,
    clock: ClockGuard,
    /// Compaction has cleaned everything below.
    clean_offset: Offset,
    /// Cleaned segments on their way to the place of the old ones.
    replacement: Option<Replacement>,
}

impl Log {
    /// An empty log whose first record will have offset `start`.
    #[must_use]
    pub fn new(start: Offset, options: LogOptions, now: Timestamp) -> Log {
        assert!(0 <= start.0, "a log starts at a real offset");
        let segment = Segment::new(start, now);
        Log {
            options,
            tail: Tail::default(),
            tail_start: start,
            tail_mark: segment.head,
            start_offset: start,
            epochs: EpochHistory::default(),
            write_segment: start,
            outstanding: None,
            flush_segment: start,
            unwritten_bytes: 0,
            clock: ClockGuard::default(),
            clean_offset: start,
            replacement: None,
            segments: VecDeque::from([segment]),
        }
    }

    /// Whether every closed segment is written to its end and flushed.
    #[must_use]
    pub fn closed_are_durable(&self) -> bool {
        self.segments.back().is_none_or(|active| active.start == self.flush_segment)
    }

    /// The settings in force.
    #[must_use]
    pub fn options(&self) -> &LogOptions {
        &self.options
    }

    /// Replaces the settings, for what is appended from now on.
    pub fn set_options(&mut self, options: LogOptions) {
        self.options = options;
    }

    /// Offset of the first record that may be read.
    #[must_use]
    pub fn start_offset(&self) -> Offset {
        self.start_offset
    }

    /// Offset the next record will get (`log end offset`).
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.active().head.next_offset
    }

    /// Offset after the last record that is written to a segment.
    #[must_use]
    pub fn written_offset(&self) -> Offset {
        self.segment(self.write_segment).written.next_offset
    }

    /// Offset after the last record that is durable in a segment, with all before it.
    #[must_use]
    pub fn flushed_offset(&self) -> Offset {
        self.segment(self.flush_segment).flushed.next_offset
    }

    /// Bytes that are not yet written to a segment.
    #[must_use]
    pub fn unwritten_bytes(&self) -> usize {
        self.unwritten_bytes
    }

    /// Bytes of batches held in memory, written or not.
    #[must_use]
    pub fn tail_bytes(&self) -> usize {
        self.tail.bytes()
    }

    /// Bytes of all segments, written or not.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| u64::from(segment.head.bytes)).sum()
    }

    /// Number of segments, the active one included.
    #[must_use]
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// The leader-epoch history.
    #[must_use]
    pub fn epochs(&self) -> &EpochHistory {
        &self.epochs
    }

    fn active(&self) -> &Segment {
        self.segments.back().expect("a log has an active segment")
    }

    fn active_mut(&mut self) -> &mut Segment {
        self.segments.back_mut().expect("a log has an active segment")
    }

    /// Number of the segment that holds `offset`, or would: the last that starts at or before it.
    fn segment_index_for(&self, offset: Offset) -> usize {
        self.segments.partition_point(|segment| segment.start <= offset).saturating_sub(1)
    }

    fn find_segment(&self, start: Offset) -> Option<&Segment> {
        let segment = self.segments.get(self.segment_index_for(start))?;
        (segment.start == start).then_some(segment)
    }

    fn find_segment_mut(&mut self, start: Offset) -> Option<&mut Segment> {
        let at = self.segment_index_for(start);
        let segment = self.segments.get_mut(at)?;
        (segment.start == start).then_some(segment)
    }

    fn segment(&self, start: Offset) -> &Segment {
        self.find_segment(start).expect("a segment that exists")
    }

    fn segment_mut(&mut self, start: Offset) -> &mut Segment {
        self.find_segment_mut(start).expect("a segment that exists")
    }

    /// The segment after the one that starts at `start`.
    fn segment_after(&self, start: Offset) -> Option<&Segment> {
        self.segments.get(self.segment_index_for(start) + 1)
    }
}
