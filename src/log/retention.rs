//! Which segments may go: by time, by size, and below the start offset.
//!
//! Kafka takes the age of a segment from its largest record timestamp alone. Then one record
//! stamped far in the future keeps its segment for ever, and an import of old records is deleted
//! while it is being written. Here the time of a segment is that of its last append, or its largest
//! record timestamp where that is later by no more than [`CLOCK_STEP_MAX`].

use super::Log;
use super::clock::CLOCK_STEP_MAX;
use super::segment::Segment;
use crate::ids::Offset;
use crate::time::{Now, Timestamp};

/// What retention asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Segments to delete, oldest first, with [`Log::delete_segments`].
    pub delete: Vec<Offset>,
    /// Whether the active segment has to be closed ([`Log::roll`]), because all of it has expired.
    /// It can be deleted when its end is written and flushed.
    pub roll: bool,
}

impl Log {
    /// Decides which segments go, oldest first and never past the high watermark, and never one
    /// that is not yet durable to its end. After a jump of the wall clock nothing is deleted by age
    /// for a while.
    pub fn retention(&mut self, now: Now, high_watermark: Offset) -> Retention {
        let believed = self.clock.check(now);
        if believed {
            self.restamp(now.timestamp);
        }
        let mut retention = Retention::default();
        if self.replacement.is_some() {
            // The first segments are just being exchanged; the next check finds the new ones.
            return retention;
        }
        let retention_bytes = self.options.retention_bytes.filter(|_| self.options.delete);
        let retention_ms = self.options.retention_ms.filter(|_| self.options.delete && believed);
        let mut excess = retention_bytes.map_or(0, |keep| self.bytes().saturating_sub(keep));
        for (at, segment) in self.segments.iter().enumerate() {
            let next = self.segments.get(at + 1);
            let bytes = u64::from(segment.head.bytes);
            let below_start = next.is_some_and(|next| next.start <= self.start_offset);
            let too_large = retention_bytes.is_some() && bytes <= excess;
            let too_old = retention_ms.is_some_and(|keep| is_older(segment, now.timestamp, keep));
            if bytes == 0
                || !(below_start || too_large || too_old)
                || high_watermark < segment.head.next_offset
            {
                break;
            }
            if next.is_none() {
                retention.roll = true;
                break;
            }
            if !segment.is_durable() || segment.flushing.is_some() {
                break;
            }
            excess = excess.saturating_sub(bytes);
            retention.delete.push(segment.start);
        }
        retention
    }

    /// A segment whose last append lies ahead of a clock that is believed was stamped by one that
    /// was wrong. It is taken to be from now, so that it goes one retention time later instead of
    /// years. One that is still on its way to disk waits until it has arrived there.
    fn restamp(&mut self, now: Timestamp) {
        let latest = Timestamp(now.0.saturating_add(step_max_ms()));
        for segment in &mut self.segments {
            if segment.head == segment.flushed && latest < segment.head.last_append {
                segment.head.last_append = now;
                segment.written.last_append = now;
                segment.flushed.last_append = now;
            }
        }
    }

    /// Removes the oldest segments, as [`Log::retention`] has named them, and moves the start
    /// offset up to what is left. Their files go after the next checkpoint is durable.
    pub fn delete_segments(&mut self, segments: &[Offset]) {
        for start in segments {
            let first = self.segments.front().expect("a log has an active segment");
            assert_eq!(first.start, *start, "the oldest segments go first");
            assert!(first.is_durable() && self.segments.len() > 1, "only closed, durable segments");
            let end = first.head.next_offset;
            while self.tail.first().is_some_and(|batch| batch.span.base_offset < end) {
                self.drop_first();
            }
            self.segments.pop_front();
        }
        let first = self.segments.front().expect("a log has an active segment").start;
        self.advance_start(first);
    }

    /// Moves the start offset up (DeleteRecords); a smaller one changes nothing. Returns whether it
    /// moved. The caller bounds it by the high watermark.
    pub fn advance_start(&mut self, start_offset: Offset) -> bool {
        assert!(start_offset <= self.next_offset(), "the start is inside the log");
        if start_offset <= self.start_offset {
            return false;
        }
        self.start_offset = start_offset;
        self.epochs.truncate_from_start(start_offset);
        true
    }
}

fn step_max_ms() -> i64 {
    CLOCK_STEP_MAX.as_millis() as i64
}

/// Whether nothing in the segment is younger than `keep_ms`.
fn is_older(segment: &Segment, now: Timestamp, keep_ms: u64) -> bool {
    let appended = segment.head.last_append;
    let recorded = segment.head.max_timestamp;
    let plausible = recorded.0 <= appended.0.saturating_add(step_max_ms());
    let newest = if plausible { appended.max(recorded) } else { appended };
    let age_ms = now.0.saturating_sub(newest.0);
    i64::try_from(keep_ms).is_ok_and(|keep_ms| keep_ms < age_ms)
}
