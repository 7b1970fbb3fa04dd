//! The segments that a cleaning makes.

use bytes::Bytes;

use super::cleaning::Step;
use crate::ids::Offset;
use crate::log::index::IndexEntry;
use crate::log::mark::{BatchSpan, Mark};
use crate::log::segment::Segment;
use crate::log::sparse::encode_entries;
use crate::log::time_index::TimeIndexEntry;
use crate::time::Timestamp;

/// Bytes collected before they are written.
const WRITE_BYTES: usize = 1024 * 1024;

/// A file that a cleaning writes: that of a segment which will take the place of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputFile {
    /// The offset the segment will start at.
    pub segment: Offset,
    /// Tells it from the files it replaces, which have the same name otherwise.
    pub generation: u32,
}

/// A segment that is written, sealed and flushed under a name of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CleanedSegment {
    pub(super) start: Offset,
    pub(super) created: Timestamp,
    pub(super) generation: u32,
    pub(super) mark: Mark,
}

impl CleanedSegment {
    /// Its files, until they take their final names.
    #[must_use]
    pub fn file(&self) -> OutputFile {
        OutputFile { segment: self.start, generation: self.generation }
    }

    /// As part of a log.
    pub(super) fn segment(&self) -> Segment {
        let mut segment = Segment::at(self.start, self.created, self.mark);
        segment.generation = self.generation;
        segment
    }
}

/// What a cleaning came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// The segments that were read, oldest first. They are the log's first ones.
    pub replaced: Vec<OutputFile>,
    /// What stands in their place. Fewer, or none at all.
    pub segments: Vec<CleanedSegment>,
    /// Everything below has no newer record of its key below this offset too.
    pub clean_offset: Offset,
    /// Size of what was read, in bytes.
    pub bytes_before: u64,
    /// Size of what stayed, in bytes.
    pub bytes_after: u64,
}

/// A segment being made.
#[derive(Clone, Debug)]
pub(super) struct Output {
    file: OutputFile,
    created: Timestamp,
    mark: Mark,
    index: Vec<IndexEntry>,
    time_index: Vec<TimeIndexEntry>,
    pieces: Vec<Bytes>,
    pieces_bytes: usize,
    index_interval_bytes: u32,
}

impl Output {
    pub(super) fn new(file: OutputFile, created: Timestamp, index_interval_bytes: u32) -> Output {
        Output {
            file,
            created,
            mark: Mark::start(file.segment, created),
            index: Vec::new(),
            time_index: Vec::new(),
            pieces: Vec::new(),
            pieces_bytes: 0,
            index_interval_bytes,
        }
    }

    /// Whether positions of a segment can still tell where this batch lies. They always can for
    /// what was read from segments of the common size; rewritten batches may be larger than before.
    pub(super) fn has_room_for(&self, batch: &Bytes) -> bool {
        self.mark.bytes as usize + batch.len() <= i32::MAX as usize
    }

    /// Adds a batch that was appended at `appended` at the latest.
    pub(super) fn push(&mut self, batch: Bytes, span: &BatchSpan, appended: Timestamp) {
        let indexed = self.mark.bytes_since_index_entry > self.index_interval_bytes;
        let entries = self.mark.advance(self.file.segment, span, indexed, appended);
        self.index.extend(entries.0);
        self.time_index.extend(entries.1);
        self.pieces_bytes += batch.len();
        self.pieces.push(batch);
    }

    /// What has been collected, once there is enough of it.
    pub(super) fn poll_write(&mut self) -> Option<Step> {
        (self.pieces_bytes >= WRITE_BYTES).then(|| self.write())
    }

    fn write(&mut self) -> Step {
        let bytes = u32::try_from(self.pieces_bytes).expect("less than a segment");
        self.pieces_bytes = 0;
        Step::Write {
            file: self.file,
            position: self.mark.bytes - bytes,
            pieces: std::mem::take(&mut self.pieces),
        }
    }

    /// Ends the segment: the last steps, and what it is. `None` if nothing was put into it.
    pub(super) fn seal(mut self) -> Option<([Step; 2], CleanedSegment)> {
        if self.mark.bytes == 0 {
            return None;
        }
        let last = self.write();
        self.time_index.extend(self.mark.seal(self.file.segment));
        let seal = Step::Seal {
            file: self.file,
            bytes: self.mark.bytes,
            index: encode_entries(&self.index),
            time_index: encode_entries(&self.time_index),
        };
        let segment = CleanedSegment {
            start: self.file.segment,
            created: self.created,
            generation: self.file.generation,
            mark: self.mark,
        };
        Some(([last, seal], segment))
    }
}
