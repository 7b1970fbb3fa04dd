//! Appending: where a batch goes, and when a segment ends.

use bytes::Bytes;

use super::Log;
use super::mark::BatchSpan;
use super::segment::Segment;
use super::tail::TailBatch;
use crate::batch::BatchHeader;
use crate::ids::{LeaderEpoch, Offset};
use crate::time::Timestamp;

impl Log {
    /// Appends one batch, which must be checked and stamped: its base offset is at or after the log
    /// end (after it only on a follower of a compacted log). `now` is the wall clock.
    pub fn append(&mut self, batch: Bytes, header: &BatchHeader, now: Timestamp) {
        let span = BatchSpan::of(header).expect("a checked and stamped batch");
        assert_eq!(batch.len(), span.bytes as usize, "one whole batch");
        assert!(self.next_offset() <= span.base_offset, "offsets rise");
        if self.active().must_roll(&span, now, &self.options) {
            self.roll_at(span.base_offset, now);
        }
        let index_interval_bytes = self.options.index_interval_bytes;
        let active = self.active_mut();
        let position = active.head.bytes;
        let indexed = active.append(&span, now, index_interval_bytes);
        self.unwritten_bytes += batch.len();
        self.tail.push(TailBatch { span, position, indexed, appended: now, bytes: batch });
        if 0 <= header.leader_epoch.0 && self.epochs.latest() < Some(header.leader_epoch) {
            self.epochs.assign(header.leader_epoch, span.base_offset);
        }
    }

    /// Notes that a leader epoch begins at the log end, before its first record.
    pub fn begin_epoch(&mut self, epoch: LeaderEpoch) {
        let next_offset = self.next_offset();
        self.epochs.assign(epoch, next_offset);
    }

    /// Closes the active segment and opens the next one, unless it is empty. Returns whether it
    /// did.
    pub fn roll(&mut self, now: Timestamp) -> bool {
        if self.active().head.bytes == 0 {
            return false;
        }
        self.roll_at(self.next_offset(), now);
        true
    }

    fn roll_at(&mut self, start: Offset, now: Timestamp) {
        let active = self.active_mut();
        if active.head.bytes == 0 {
            // Nothing is lost by starting an empty segment elsewhere: it has no files yet.
            let old = active.start;
            *active = Segment::new(start, now);
            if self.write_segment == old {
                self.write_segment = start;
            }
            if self.flush_segment == old {
                self.flush_segment = start;
            }
            return;
        }
        active.seal();
        self.segments.push_back(Segment::new(start, now));
    }
}
