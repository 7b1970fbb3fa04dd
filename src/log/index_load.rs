//! Loading, checking, rebuilding and forgetting the indexes of segments that are on disk.

use std::fmt;

use super::Log;
use super::index::IndexEntry;
use super::mark::Mark;
use super::scan::SegmentScan;
use super::segment::Segment;
use super::sparse::{Entry, Sparse, decode_entries, encode_entries};
use super::tail::Tail;
use super::time_index::TimeIndexEntry;
use crate::batch::NO_TIMESTAMP;
use crate::ids::Offset;

/// Why an index was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexError {
    /// The segment has gone: retention or truncation was faster. Nothing to do.
    UnknownSegment,
    /// A write or a flush of this segment is under way; try again when it is reported.
    Busy,
    /// The file ends before the last entry that was written. Rebuild.
    Short,
    /// The bytes are not those that were written. Rebuild.
    Checksum,
    /// This entry does not rise above the one before it. Rebuild.
    NotAscending {
        /// Its number, from 0.
        entry: usize,
    },
    /// This entry points outside the segment. Rebuild.
    OutsideSegment {
        /// Its number, from 0.
        entry: usize,
    },
    /// The scan does not end where the segment does, so the `.log` itself is not what was written.
    NotTheSegment,
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IndexError::UnknownSegment => write!(f, "the segment does not exist any more"),
            IndexError::Busy => write!(f, "the segment is being written or flushed"),
            IndexError::Short => write!(f, "the index file is shorter than it was written"),
            IndexError::Checksum => write!(f, "the index file is not what was written"),
            IndexError::NotAscending { entry } => {
                write!(f, "index entry {entry} does not rise above the one before it")
            }
            IndexError::OutsideSegment { entry } => {
                write!(f, "index entry {entry} points outside the segment")
            }
            IndexError::NotTheSegment => {
                write!(f, "the batches in the segment file do not end where it was written to")
            }
        }
    }
}

impl std::error::Error for IndexError {}

/// New contents of both index files of a segment. The shell replaces the files (whole, cut to these
/// lengths), flushes them and `.log`, and answers with [`Log::on_flushed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexRewrite {
    /// The segment.
    pub segment: Offset,
    /// All of `.index`.
    pub index: Vec<u8>,
    /// All of `.timeindex`.
    pub time_index: Vec<u8>,
}

impl Log {
    /// Takes the contents of both index files of a segment, after a read has answered
    /// `NeedIndex`. On an error other than `UnknownSegment` they are useless:
    /// [`Log::rebuild_index`].
    pub fn on_index(
        &mut self,
        segment: Offset,
        index: &[u8],
        time_index: &[u8],
    ) -> Result<(), IndexError> {
        let segment = self.find_segment_mut(segment).ok_or(IndexError::UnknownSegment)?;
        let index = stored(index, &segment.index)?;
        let time_index = stored(time_index, &segment.time_index)?;
        check_index(segment, &index)?;
        check_time_index(segment, &time_index)?;
        segment.index.load(index);
        segment.time_index.load(time_index);
        Ok(())
    }

    /// Whether these are the contents of both index files of a segment, as far as they were written.
    #[must_use]
    pub fn indexes_fit(&self, segment: Offset, index: &[u8], time_index: &[u8]) -> bool {
        self.find_segment(segment).is_some_and(|segment| {
            stored(index, &segment.index).is_ok() && stored(time_index, &segment.time_index).is_ok()
        })
    }

    /// Replaces the indexes of a segment by what a scan of its `.log`, up to the written end, has
    /// found.
    pub fn rebuild_index(&mut self, scan: SegmentScan) -> Result<IndexRewrite, IndexError> {
        let SegmentScan { segment: start, mark, index, time_index, .. } = scan;
        let outstanding = self.write_outstanding() && self.write_segment == start;
        let at = self.segment_index_for(start);
        let segment = self.segments.get_mut(at).filter(|segment| segment.start == start);
        let segment = segment.ok_or(IndexError::UnknownSegment)?;
        if outstanding || segment.flushing.is_some() {
            return Err(IndexError::Busy);
        }
        let old = segment.written;
        if mark.bytes != old.bytes || mark.next_offset != old.next_offset {
            return Err(IndexError::NotTheSegment);
        }
        // What is not written comes again, derived from the batches in memory.
        segment.truncate_indexes(&old);
        segment.index.rebuild(old.index_entries, index);
        segment.time_index.rebuild(old.time_index_entries, time_index);
        segment.written = Mark { last_append: old.last_append, ..mark };
        if old.sealed
            && let Some(entry) = segment.written.seal(start)
        {
            segment.time_index.push(entry);
        }
        segment.flushing = Some(segment.written);
        segment.advance_head(&self.tail);
        let written = segment.written;
        Ok(IndexRewrite {
            segment: start,
            index: encode_entries(segment.index.range(0, written.index_entries)),
            time_index: encode_entries(segment.time_index.range(0, written.time_index_entries)),
        })
    }

    /// Bytes the indexes in memory take.
    #[must_use]
    pub fn index_memory_bytes(&self) -> usize {
        let bytes =
            |segment: &Segment| segment.index.memory_bytes() + segment.time_index.memory_bytes();
        self.segments.iter().map(bytes).sum()
    }

    /// Forgets indexes of written segments, the oldest first, until all that is in memory takes at
    /// most `budget_bytes` or nothing more can go. Returns the bytes freed.
    pub fn unload_indexes(&mut self, budget_bytes: usize) -> usize {
        let before = self.index_memory_bytes();
        let mut left = before;
        for segment in &mut self.segments {
            if left <= budget_bytes {
                break;
            }
            left -= segment.index.memory_bytes() + segment.time_index.memory_bytes();
            segment.index.unload(segment.written.index_entries);
            segment.time_index.unload(segment.written.time_index_entries);
            left += segment.index.memory_bytes() + segment.time_index.memory_bytes();
        }
        before - left
    }
}

impl Segment {
    /// Derives the head, and the index entries behind the written ones, from the written mark and
    /// the batches in memory.
    pub(super) fn advance_head(&mut self, tail: &Tail) {
        let old = self.head;
        let mut mark = self.written;
        self.truncate_indexes(&mark);
        if !mark.sealed {
            for batch in tail.from(mark.next_offset) {
                if mark.bytes == old.bytes {
                    break;
                }
                let entries = mark.advance(self.start, &batch.span, batch.indexed, batch.appended);
                if let Some(entry) = entries.0 {
                    self.index.push(entry);
                }
                if let Some(entry) = entries.1 {
                    self.time_index.push(entry);
                }
            }
            if old.sealed
                && let Some(entry) = mark.seal(self.start)
            {
                self.time_index.push(entry);
            }
        }
        assert_eq!((mark.bytes, mark.next_offset), (old.bytes, old.next_offset));
        self.head = mark;
    }
}

/// The entries of an index file that are not in memory.
fn stored<E: Entry>(data: &[u8], index: &Sparse<E>) -> Result<Vec<E>, IndexError> {
    let bytes = index.unloaded() as usize * E::BYTES;
    let data = data.get(..bytes).ok_or(IndexError::Short)?;
    if index.fits(data) { Ok(decode_entries(data)) } else { Err(IndexError::Checksum) }
}

fn check_index(segment: &Segment, stored: &[IndexEntry]) -> Result<(), IndexError> {
    ascending(stored, segment.index.first_in_memory(), |earlier, later| {
        earlier.relative_offset < later.relative_offset && earlier.position < later.position
    })?;
    inside(stored, |entry| {
        // The first batch never has an entry, so position 0 is a hole in the file.
        is_offset_of(segment, entry.relative_offset)
            && (1..segment.written.bytes).contains(&entry.position)
    })
}

fn check_time_index(segment: &Segment, stored: &[TimeIndexEntry]) -> Result<(), IndexError> {
    ascending(stored, segment.time_index.first_in_memory(), |earlier, later| {
        earlier.timestamp < later.timestamp && earlier.relative_offset < later.relative_offset
    })?;
    inside(stored, |entry| {
        is_offset_of(segment, entry.relative_offset) && NO_TIMESTAMP < entry.timestamp
    })
}

fn is_offset_of(segment: &Segment, relative_offset: u32) -> bool {
    segment.start.plus(relative_offset.into()) < segment.written.next_offset
}

/// Checks that entries rise, and that what is in memory already follows them.
fn ascending<E: Entry>(
    stored: &[E],
    in_memory: Option<E>,
    rises: impl Fn(&E, &E) -> bool,
) -> Result<(), IndexError> {
    let later = stored.iter().skip(1).chain(in_memory.as_ref());
    let wrong = stored.iter().zip(later).position(|(earlier, later)| !rises(earlier, later));
    wrong.map_or(Ok(()), |at| Err(IndexError::NotAscending { entry: at + 1 }))
}

fn inside<E: Entry>(stored: &[E], is_inside: impl Fn(&E) -> bool) -> Result<(), IndexError> {
    let wrong = stored.iter().position(|entry| !is_inside(entry));
    wrong.map_or(Ok(()), |entry| Err(IndexError::OutsideSegment { entry }))
}
