//! Cutting the end of the log off, as a follower does when its leader's history differs (KIP-101).

use super::Log;
use super::index_load::IndexRewrite;
use super::mark::Mark;
use super::names::FileKind;
use super::recovery::Truncation;
use super::scan::SegmentScan;
use super::segment::Segment;
use super::sparse::encode_entries;
use super::tail::Tail;
use crate::ids::Offset;
use crate::time::Timestamp;

/// What makes the files equal to the log after a truncation. It is executed and flushed before
/// anything else is done to the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TruncatePlan {
    /// Segments whose files go.
    pub delete: Vec<Offset>,
    /// Files to cut.
    pub truncate: Vec<Truncation>,
    /// Index files to write anew instead of cutting them.
    pub rewrite: Option<IndexRewrite>,
}

/// Why a truncation could not be made now. The log is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TruncateError {
    /// A write or a flush of what would go is under way; try again when it is reported.
    Busy,
    /// The cut lies in a part of this segment that is on disk only: scan its `.log` with
    /// `SegmentScan::new(segment, .., offset)` and call [`Log::truncate_scanned`].
    NeedScan(Offset),
    /// The scan is of another segment, or has reached neither the cut nor the written end.
    NotTheCut,
}

impl Log {
    /// Removes every batch that ends above `offset`. If `offset` is inside a batch, the batch goes
    /// and the log ends before it.
    pub fn truncate_to(&mut self, offset: Offset) -> Result<TruncatePlan, TruncateError> {
        if self.next_offset() <= offset {
            return Ok(TruncatePlan::default());
        }
        if self.is_busy_from(offset) {
            return Err(TruncateError::Busy);
        }
        let segment = self.cut_segment(offset);
        if offset <= segment.start {
            return Ok(self.cut(offset, Mark::start(segment.start, segment.created)));
        }
        if offset < self.tail_start {
            return Err(TruncateError::NeedScan(segment.start));
        }
        let mut mark = if segment.start < self.tail_start {
            self.tail_mark
        } else {
            Mark::start(segment.start, segment.created)
        };
        for batch in self.tail.from(mark.next_offset) {
            if offset < batch.span.next_offset || mark.bytes == segment.head.bytes {
                break;
            }
            let _ = mark.advance(segment.start, &batch.span, batch.indexed, batch.appended);
        }
        Ok(self.cut(offset, mark))
    }

    /// [`Log::truncate_to`] with the scan it asked for.
    pub fn truncate_scanned(
        &mut self,
        offset: Offset,
        scan: SegmentScan,
    ) -> Result<TruncatePlan, TruncateError> {
        if self.is_busy_from(offset) {
            return Err(TruncateError::Busy);
        }
        let segment = self.cut_segment(offset);
        let complete = scan.mark.bytes <= segment.written.bytes
            && (scan.cut_found || scan.mark.bytes == segment.written.bytes);
        if scan.segment != segment.start || scan.until != offset || !complete {
            return Err(TruncateError::NotTheCut);
        }
        let start = segment.start;
        let last_append = segment.head.last_append;
        let SegmentScan { mut mark, index, time_index, .. } = scan;
        mark.last_append = last_append;
        let rewrite = IndexRewrite {
            segment: start,
            index: encode_entries(&index),
            time_index: encode_entries(&time_index),
        };
        let segment = self.segment_mut(start);
        let written = segment.written;
        segment.truncate_indexes(&written);
        segment.index.rebuild(written.index_entries, index);
        segment.time_index.rebuild(written.time_index_entries, time_index);
        let mut plan = self.cut(offset, mark);
        plan.truncate.retain(|truncation| truncation.kind == FileKind::Log);
        plan.rewrite = Some(rewrite);
        // The indexes are those of the scan now, also where the cut takes no batch of this segment.
        let segment = self.segment_mut(start);
        segment.written = mark;
        if segment.flushed.bytes == mark.bytes {
            segment.flushed = mark;
        }
        Ok(plan)
    }

    /// Removes everything and starts again, empty, at `start`: the log this one follows begins
    /// there. The leader-epoch history goes as well.
    pub fn truncate_fully(
        &mut self,
        start: Offset,
        now: Timestamp,
    ) -> Result<TruncatePlan, TruncateError> {
        if self.is_busy_from(Offset(0)) {
            return Err(TruncateError::Busy);
        }
        let with_files = self.segments.iter().filter(|segment| segment.has_files);
        let delete = with_files.map(|segment| segment.start).collect();
        let clock = self.clock;
        *self = Log { clock, ..Log::new(start, self.options, now) };
        Ok(TruncatePlan { delete, ..TruncatePlan::default() })
    }

    /// Whether the files from the segment that holds `offset` on are being written or flushed. A
    /// report of that which came after the cut would be taken for one of what is written later.
    fn is_busy_from(&self, offset: Offset) -> bool {
        let from = self.segment_index_for(offset);
        self.write_outstanding()
            || self.segments.range(from..).any(|segment| segment.flushing.is_some())
    }

    fn cut_segment(&self, offset: Offset) -> &Segment {
        self.segments.get(self.segment_index_for(offset)).expect("a log has an active segment")
    }

    /// Lets the log end at `mark`, which is in the segment that holds `offset`.
    fn cut(&mut self, offset: Offset, mark: Mark) -> TruncatePlan {
        let mut plan = TruncatePlan::default();
        let at = self.segment_index_for(offset);
        for segment in self.segments.drain(at + 1..) {
            if segment.has_files {
                plan.delete.push(segment.start);
            }
        }
        while self.tail.last().is_some_and(|last| mark.next_offset <= last.span.base_offset) {
            self.tail.pop_last();
        }
        if mark.next_offset < self.tail_start {
            self.tail = Tail::default();
            self.tail_start = mark.next_offset;
            self.tail_mark = mark;
        }
        self.clean_offset = self.clean_offset.min(mark.next_offset);
        let segment = self.active_mut();
        segment.head = mark;
        if segment.written.sealed || mark.bytes < segment.written.bytes {
            segment.written = mark;
            plan.truncate.extend(FileKind::ALL.map(|kind| Truncation {
                segment: segment.start,
                kind,
                bytes: match kind {
                    FileKind::Log => mark.bytes,
                    FileKind::Index => mark.index_position(),
                    FileKind::TimeIndex => mark.time_index_position(),
                },
            }));
            if segment.flushed.sealed || mark.bytes < segment.flushed.bytes {
                segment.flushed = mark;
            }
        }
        segment.truncate_indexes(&mark);
        let start = segment.start;
        self.write_segment = self.write_segment.min(start);
        self.flush_segment = self.flush_segment.min(start);
        self.start_offset = self.start_offset.min(mark.next_offset);
        self.epochs.truncate_from_end(mark.next_offset);
        let unwritten = |segment: &Segment| (segment.head.bytes - segment.written.bytes) as usize;
        self.unwritten_bytes = self.segments.iter().map(unwritten).sum();
        plan
    }
}
