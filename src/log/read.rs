//! Reads: from which batch on, and whether memory or a file has it.

use bytes::Bytes;

use super::Log;
use super::index::IndexEntry;
use super::segment::Segment;
use crate::ids::Offset;
use crate::stdx::few::Few;

/// Where the answer to a read is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The offset is below the start offset or above the log end (OFFSET_OUT_OF_RANGE).
    OutOfRange,
    /// There is nothing to read yet below the bound, or nothing that fits.
    Empty,
    /// Whole batches from memory, and the offset after the last of them.
    Tail(Few<Bytes>, Offset),
    /// In a file.
    File(FileRead),
    /// In a file, but this segment's index has to be loaded first ([`Log::on_index`]).
    NeedIndex(Offset),
}

/// A range of a segment's `.log` that holds what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRead {
    /// The segment.
    pub segment: Offset,
    /// Which of its contents ([`FileRead::is_of`]).
    pub generation: u32,
    /// Where a batch starts that is the one with the target, or one before it.
    pub position: u32,
    /// Whether it is the one with the target, so that no search ([`locate`](super::locate)) is
    /// needed.
    pub exact: bool,
    /// End of what may be read, exclusive: a batch boundary. Behind it the log continues in memory
    /// or in the next segment: read again from `next_offset`.
    pub end: u32,
    /// Whether all batches before `end` lie wholly below `up_to`. If not, the last of them may
    /// reach above, and only their headers tell ([`readable`](super::readable)). Then, also, a
    /// search that comes to `end` without the target means that nothing may be read.
    pub end_exact: bool,
    /// A batch boundary after `position`, at most `bytes_max` bytes behind it, as far as the index
    /// in memory knows one: a range that ends there needs no look at the headers in it.
    pub boundary: Option<u32>,
    /// The offset that is looked for.
    pub target: Offset,
    /// Offset of the batch behind `end`.
    pub next_offset: Offset,
    /// The bound of this read: nothing at or above it may be served.
    pub up_to: Offset,
}

impl FileRead {
    /// Whether the segment still has the content this read is about. If compaction has replaced
    /// it, what the log says of it now has nothing to do with the positions here.
    #[must_use]
    pub fn is_of(&self, log: &Log) -> bool {
        let segment = log.find_segment(self.segment);
        segment.is_some_and(|segment| segment.generation == self.generation)
    }
}

impl Log {
    /// Finds what a fetch from `offset` gets: whole batches, the first being the one that contains
    /// `offset`, all below `up_to` (the high watermark or the last stable offset), at most
    /// `bytes_max` bytes. With `at_least_one`, a first batch larger than that is given all the
    /// same. What is no longer in memory is answered with its place in a file, up to where memory
    /// continues at the latest.
    #[must_use]
    pub fn read(
        &self,
        offset: Offset,
        bytes_max: usize,
        up_to: Offset,
        at_least_one: bool,
    ) -> Read {
        if offset < self.start_offset || self.next_offset() < offset {
            return Read::OutOfRange;
        }
        if up_to <= offset {
            return Read::Empty;
        }
        if self.tail_start <= offset {
            return self.read_tail(offset, bytes_max, up_to, at_least_one);
        }
        let mut at = self.segment_index_for(offset);
        let mut target = offset;
        // Between the last record of a segment and the first of the next there may be a gap.
        while let Some(segment) = self.segments.get(at)
            && segment.head.next_offset <= target
        {
            at += 1;
            target = self.segments.get(at).map_or(target, |next| next.start.max(target));
        }
        if up_to <= target {
            return Read::Empty;
        }
        if self.tail_start <= target {
            return self.read_tail(target, bytes_max, up_to, at_least_one);
        }
        let segment = self.segments.get(at).expect("below the tail there is a segment");
        match self.file_read(segment, target, bytes_max, up_to) {
            Some(read) if read.position < read.end => Read::File(read),
            Some(_) => Read::Empty,
            None => Read::NeedIndex(segment.start),
        }
    }

    fn read_tail(
        &self,
        offset: Offset,
        bytes_max: usize,
        up_to: Offset,
        at_least_one: bool,
    ) -> Read {
        let mut pieces = Few::new();
        let mut bytes = 0;
        let mut next_offset = offset;
        for batch in self.tail.from(offset) {
            let fits =
                bytes + batch.bytes.len() <= bytes_max || (at_least_one && pieces.is_empty());
            if up_to < batch.span.next_offset || !fits {
                break;
            }
            bytes += batch.bytes.len();
            next_offset = batch.span.next_offset;
            pieces.push(batch.bytes.clone());
        }
        if pieces.is_empty() { Read::Empty } else { Read::Tail(pieces, next_offset) }
    }

    /// The place of `target`, which is below the tail and in `segment`. `None` if the index has to
    /// be loaded.
    pub(super) fn file_read(
        &self,
        segment: &Segment,
        target: Offset,
        bytes_max: usize,
        up_to: Offset,
    ) -> Option<FileRead> {
        let (known_offset, position) = segment.position_before(target)?;
        let (end, next_offset, end_exact) = self.file_end(segment, up_to);
        let last = u32::try_from(bytes_max).unwrap_or(u32::MAX).saturating_add(position).min(end);
        let boundary = if last == end {
            Some(end)
        } else {
            segment
                .index
                .last_before(|entry: &IndexEntry| entry.position <= last)
                .map(|e| e.position)
        };
        Some(FileRead {
            segment: segment.start,
            generation: segment.generation,
            position,
            exact: known_offset == target,
            end,
            end_exact,
            boundary: boundary.filter(|boundary| position < *boundary),
            target,
            next_offset,
            up_to,
        })
    }

    /// The end of what a file read of `segment` may give: its position, the offset behind it, and
    /// whether the batches before it are known to end below `up_to`.
    fn file_end(&self, segment: &Segment, up_to: Offset) -> (u32, Offset, bool) {
        // Files are read up to where memory takes over.
        let (end, next_offset) = match self.tail.first() {
            Some(first)
                if segment.start <= first.span.base_offset
                    && first.span.base_offset < segment.head.next_offset =>
            {
                (first.position, self.tail_start)
            }
            _ => (segment.written.bytes, segment.written.next_offset),
        };
        if next_offset <= up_to {
            return (end, next_offset, true);
        }
        let relative = up_to.0.saturating_sub(segment.start.0);
        match segment.index.first_past(|entry| relative <= i64::from(entry.relative_offset)) {
            Some(past) if past.position < end => (past.position, up_to, false),
            _ => (end, up_to, false),
        }
    }

    /// The largest batch boundary at or before `position` in a segment that the index in memory
    /// knows of.
    #[must_use]
    pub fn boundary_at_most(&self, segment: Offset, position: u32) -> Option<u32> {
        let segment = self.find_segment(segment)?;
        if segment.written.bytes <= position {
            return Some(segment.written.bytes);
        }
        let entry = segment.index.last_before(|entry| entry.position <= position);
        Some(entry.map_or(0, |entry| entry.position))
    }
}
