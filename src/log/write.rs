//! Write-behind: which bytes go to which file next, what has to be flushed, and what may leave
//! memory.

use bytes::Bytes;

use super::Log;
use super::mark::Mark;
use super::sparse::encode_entries;
use crate::ids::Offset;

/// The next piece of a segment to write. The shell writes the bytes to `.log`, then the entries to
/// `.index` and `.timeindex`, each at its position, and answers with [`Log::on_written`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentWrite {
    /// The segment.
    pub segment: Offset,
    /// Whether its files have to be created (or taken from the recycled ones) first.
    pub create: bool,
    /// Where in `.log` the pieces go.
    pub position: u32,
    /// Whole batches, in order. Empty when a segment that was fully written is closed.
    pub pieces: Vec<Bytes>,
    /// Where in `.index` the entries go.
    pub index_position: u32,
    /// Encoded entries of the offset index.
    pub index_entries: Vec<u8>,
    /// Where in `.timeindex` the entries go.
    pub time_index_position: u32,
    /// Encoded entries of the time index.
    pub time_index_entries: Vec<u8>,
    /// Offset after the last batch of this write.
    pub next_offset: Offset,
    /// Whether this is the last write to this segment: its files end where this write ends.
    pub seals: bool,
}

impl SegmentWrite {
    /// Bytes that go to `.log`.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }
}

/// A segment with written bytes that are not yet flushed. The shell flushes its three files (and
/// the directory if they are new) and answers with [`Log::on_flushed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFlush {
    /// The segment.
    pub segment: Offset,
    /// Whether no flush has covered this segment before, so that its directory entries have to be
    /// made durable as well.
    pub created: bool,
    /// Bytes of `.log` that the flush makes durable for the first time.
    pub bytes: u32,
    /// Offset after the last record that is durable when this flush, and those of all segments
    /// before it, have succeeded.
    pub next_offset: Offset,
}

/// Written lengths of the files of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFiles {
    /// Of `.log`.
    pub bytes: u32,
    /// Of `.index`.
    pub index_bytes: u32,
    /// Of `.timeindex`.
    pub time_index_bytes: u32,
    /// Whether they are final.
    pub sealed: bool,
}

/// The write under way.
#[derive(Clone, Debug)]
pub(super) struct Outstanding {
    segment: Offset,
    mark: Mark,
}

impl Log {
    /// The next contiguous piece to write: batches that end at or below `up_to`, at most
    /// `bytes_max` bytes but at least one batch, all of one segment. `None` when there is nothing
    /// to write, or the write before is not yet reported by [`Log::on_written`].
    pub fn poll_write(&mut self, up_to: Offset, bytes_max: usize) -> Option<SegmentWrite> {
        if self.outstanding.is_some() {
            return None;
        }
        let segment = self.segment(self.write_segment);
        let from = segment.written;
        let head = segment.head;
        let mut mark = from;
        let mut pieces = Vec::new();
        let mut bytes = 0;
        for batch in self.tail.from(from.next_offset) {
            let fits = pieces.is_empty() || bytes + batch.bytes.len() <= bytes_max;
            if mark.bytes == head.bytes || up_to < batch.span.next_offset || !fits {
                break;
            }
            assert_eq!(batch.position, mark.bytes, "a batch is written where it was placed");
            let _ = mark.advance(segment.start, &batch.span, batch.indexed, batch.appended);
            bytes += batch.bytes.len();
            pieces.push(batch.bytes.clone());
        }
        let seals = head.sealed && mark.bytes == head.bytes;
        if seals {
            let _ = mark.seal(segment.start);
            assert_eq!(mark, head, "writing arrives where appending did");
        } else if pieces.is_empty() {
            return None;
        }
        let index = segment.index.range(from.index_entries, mark.index_entries);
        let time_index = segment.time_index.range(from.time_index_entries, mark.time_index_entries);
        let write = SegmentWrite {
            segment: segment.start,
            create: !segment.has_files,
            position: from.bytes,
            pieces,
            index_position: from.index_position(),
            index_entries: encode_entries(index),
            time_index_position: from.time_index_position(),
            time_index_entries: encode_entries(time_index),
            next_offset: mark.next_offset,
            seals,
        };
        self.outstanding = Some(Outstanding { segment: write.segment, mark });
        self.segment_mut(write.segment).has_files = true;
        Some(write)
    }

    /// The write that [`Log::poll_write`] gave last is in the files. `next_offset` is the one it
    /// named. A write that failed is never reported: its log directory is lost to this process.
    pub fn on_written(&mut self, next_offset: Offset) {
        let Outstanding { segment: start, mark } =
            self.outstanding.take().expect("a write is under way");
        assert_eq!(mark.next_offset, next_offset, "the write that is under way");
        let segment = self.segment_mut(start);
        let bytes = mark.bytes - segment.written.bytes;
        segment.written = mark;
        self.unwritten_bytes -= bytes as usize;
        if mark.sealed {
            let next = self.segment_after(start).expect("a closed segment has a successor");
            self.write_segment = next.start;
        }
    }

    /// How much of the files of a segment is written; `None` if there is no such segment.
    #[must_use]
    pub fn segment_files(&self, segment: Offset) -> Option<SegmentFiles> {
        let written = &self.find_segment(segment)?.written;
        Some(SegmentFiles {
            bytes: written.bytes,
            index_bytes: written.index_position(),
            time_index_bytes: written.time_index_position(),
            sealed: written.sealed,
        })
    }

    /// Which of its contents a segment has: compaction replaces it. `None` if there is no such
    /// segment.
    #[must_use]
    pub fn generation(&self, segment: Offset) -> Option<u32> {
        self.find_segment(segment).map(|segment| segment.generation)
    }

    /// The segments by the offsets they start at, oldest first; the last is the active one.
    pub fn segments(&self) -> impl Iterator<Item = Offset> {
        self.segments.iter().map(|segment| segment.start)
    }

    /// Whether a write is under way.
    #[must_use]
    pub fn write_outstanding(&self) -> bool {
        self.outstanding.is_some()
    }

    /// The segments with written bytes that no flush covers yet, oldest first. Each is under way
    /// from now on and given once; what is written meanwhile needs another flush.
    pub fn poll_flush(&mut self) -> Vec<SegmentFlush> {
        let from = self.segment_index_for(self.flush_segment);
        let mut flushes = Vec::new();
        for segment in self.segments.range_mut(from..) {
            if segment.flushing.is_none() && segment.flushed != segment.written {
                segment.flushing = Some(segment.written);
                flushes.push(SegmentFlush {
                    segment: segment.start,
                    created: segment.flushed.bytes == 0,
                    bytes: segment.written.bytes - segment.flushed.bytes,
                    next_offset: segment.written.next_offset,
                });
            }
        }
        flushes
    }

    /// The flush of this segment that [`Log::poll_flush`] gave has succeeded. One that failed is
    /// never reported.
    pub fn on_flushed(&mut self, segment: Offset) {
        let segment = self.segment_mut(segment);
        let mark = segment.flushing.take().expect("a flush of this segment is under way");
        segment.flushed = mark;
        while self.segment(self.flush_segment).is_durable() {
            let next = self.segment_after(self.flush_segment);
            self.flush_segment = next.expect("a closed segment has a successor").start;
        }
    }

    /// Frees the oldest batches of the tail that are written, until `bytes` bytes are free.
    /// Returns how many are.
    pub fn evict(&mut self, bytes: usize) -> usize {
        let mut freed = 0;
        let written_offset = self.written_offset();
        while freed < bytes
            && self.tail.first().is_some_and(|first| first.span.next_offset <= written_offset)
        {
            freed += self.drop_first();
        }
        freed
    }

    /// Drops the first batch of the tail; returns its bytes.
    pub(super) fn drop_first(&mut self) -> usize {
        let batch = self.tail.pop_first().expect("a batch to drop");
        let at = self.segment_index_for(batch.span.base_offset);
        let segment = self.segments.get(at).expect("a log has an active segment");
        if batch.position == 0 {
            self.tail_mark = Mark::start(segment.start, segment.created);
        }
        let _ = self.tail_mark.advance(segment.start, &batch.span, batch.indexed, batch.appended);
        self.tail_start = batch.span.next_offset;
        batch.bytes.len()
    }
}
