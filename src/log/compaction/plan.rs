//! Which segments are cleaned and when, and the exchange of the old segments for the new ones.

use super::output::{Compacted, OutputFile};
use crate::ids::Offset;
use crate::log::Log;
use crate::log::mark::RELATIVE_OFFSET_MAX;
use crate::log::segment::Segment;
use crate::time::Timestamp;

/// What decides when and how a log is compacted, under Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CompactionOptions {
    /// Share of the cleanable bytes that has to be dirty (`min.cleanable.dirty.ratio`).
    pub dirty_ratio_min: f64,
    /// Records younger than this stay as they are (`min.compaction.lag.ms`).
    pub lag_min_ms: u64,
    /// A dirty record older than this makes a cleaning due whatever the ratio
    /// (`max.compaction.lag.ms`); `None` for no limit.
    pub lag_max_ms: Option<u64>,
    /// How long tombstones stay after the cleaning that has first met them
    /// (`delete.retention.ms`).
    pub delete_retention_ms: u64,
    /// Memory for the keys of one cleaning, in bytes (`log.cleaner.dedupe.buffer.size`).
    pub keys_bytes_max: usize,
}

/// What one cleaning reads and by which rules.
#[derive(Clone, Debug, PartialEq)]
pub struct CompactionPlan {
    /// The segments, oldest first: the log's first ones.
    pub sources: Vec<Source>,
    /// Everything below was cleaned before.
    pub dirty_from: Offset,
    /// Of the segments that will be made.
    pub generation: u32,
    /// Wall clock.
    pub now: Timestamp,
    /// The rules.
    pub options: CompactionOptions,
    pub(super) index_interval_bytes: u32,
    pub(super) segment_bytes: u32,
    pub(super) segment_index_bytes: u32,
}

/// A segment to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The offset it starts at.
    pub segment: Offset,
    /// How often it was cleaned; part of its identity.
    pub generation: u32,
    /// Size of its `.log`.
    pub bytes: u32,
    /// Offset after its last record.
    pub next_offset: Offset,
    pub(super) index_bytes: u32,
    pub(super) created: Timestamp,
    pub(super) last_append: Timestamp,
}

impl Source {
    fn of(segment: &Segment) -> Source {
        let mark = &segment.flushed;
        Source {
            segment: segment.start,
            generation: segment.generation,
            bytes: mark.bytes,
            next_offset: mark.next_offset,
            index_bytes: mark.index_position().max(mark.time_index_position()),
            created: segment.created,
            last_append: mark.last_append,
        }
    }

    /// Its file.
    #[must_use]
    pub fn file(&self) -> OutputFile {
        OutputFile { segment: self.segment, generation: self.generation }
    }
}

impl CompactionPlan {
    /// Whether a new segment begins with this source: the ones before fill one up by themselves, as
    /// if nothing would go. So no rule about segments can be broken by what stays.
    pub(super) fn begins_output(&self, source: usize) -> bool {
        let (mut bytes, mut index_bytes) = (0u64, 0u64);
        let mut start = None;
        let mut begins = false;
        for at in self.sources.iter().take(source + 1) {
            bytes += u64::from(at.bytes);
            index_bytes += u64::from(at.index_bytes);
            let first = *start.get_or_insert(at.segment);
            begins = first == at.segment
                || bytes > u64::from(self.segment_bytes)
                || index_bytes > u64::from(self.segment_index_bytes)
                || at.next_offset.0 - first.0 > RELATIVE_OFFSET_MAX;
            if begins {
                start = Some(at.segment);
                bytes = u64::from(at.bytes);
                index_bytes = u64::from(at.index_bytes);
            }
        }
        begins
    }
}

/// The exchange of segments that is under way.
#[derive(Clone, Debug)]
pub(in crate::log) struct Replacement {
    pub(in crate::log) compacted: Compacted,
    pub(in crate::log) segments: Vec<Segment>,
}

impl Log {
    /// Everything below was cleaned before.
    #[must_use]
    pub fn clean_offset(&self) -> Offset {
        self.clean_offset
    }

    /// Decides whether a cleaning is due and of what: closed segments that are durable to their end,
    /// lie below the high watermark and are old enough.
    #[must_use]
    pub fn compaction_plan(
        &self,
        options: &CompactionOptions,
        now: Timestamp,
        high_watermark: Offset,
    ) -> Option<CompactionPlan> {
        if self.replacement.is_some() {
            return None;
        }
        let lag_min_ms = i64::try_from(options.lag_min_ms).unwrap_or(i64::MAX);
        let closed = self.segments.len() - 1;
        let sources: Vec<Source> = self
            .segments
            .iter()
            .take(closed)
            .take_while(|segment| {
                segment.is_durable()
                    && segment.flushing.is_none()
                    && segment.head.next_offset <= high_watermark
                    && (lag_min_ms == 0
                        || segment.head.max_timestamp.0 <= now.0.saturating_sub(lag_min_ms))
            })
            .map(Source::of)
            .collect();
        let is_dirty = |source: &&Source| self.clean_offset < source.next_offset;
        let dirty: u64 = sources.iter().filter(is_dirty).map(|s| u64::from(s.bytes)).sum();
        let all: u64 = sources.iter().map(|source| u64::from(source.bytes)).sum();
        if dirty == 0
            || !(self.is_overdue(options, now) || ratio(dirty, all) > options.dirty_ratio_min)
        {
            return None;
        }
        let generation = self.segments.iter().map(|segment| segment.generation).max();
        Some(CompactionPlan {
            sources,
            dirty_from: self.clean_offset,
            generation: generation.unwrap_or(0) + 1,
            now,
            options: *options,
            index_interval_bytes: self.options.index_interval_bytes,
            segment_bytes: self.options.segment_bytes.min(i32::MAX as u32),
            segment_index_bytes: self.options.segment_index_bytes,
        })
    }

    /// Whether the oldest dirty record waits longer than `max.compaction.lag.ms`.
    fn is_overdue(&self, options: &CompactionOptions, now: Timestamp) -> bool {
        let first = self.segments.iter().find(|s| self.clean_offset < s.head.next_offset);
        let (Some(first), Some(lag_max_ms)) = (first, options.lag_max_ms) else { return false };
        let written = first.head.first_timestamp.max(first.created);
        i64::try_from(lag_max_ms).is_ok_and(|max| max < now.0.saturating_sub(written.0))
    }

    /// Takes the result of a cleaning. From now on checkpoints name the new segments, while reads
    /// are still served from the old ones. False if the log has lost some of those meanwhile, or is
    /// busy with them: then the new files are of no use.
    pub fn prepare_replacement(&mut self, compacted: Compacted) -> bool {
        let fits = self.replacement.is_none()
            && compacted.replaced.len() < self.segments.len()
            && self.segments.iter().zip(&compacted.replaced).all(|(segment, replaced)| {
                segment.start == replaced.segment
                    && segment.generation == replaced.generation
                    && segment.is_durable()
                    && segment.flushing.is_none()
            });
        if fits {
            let segments = compacted.segments.iter().map(|cleaned| cleaned.segment()).collect();
            self.replacement = Some(Replacement { compacted, segments });
        }
        fits
    }

    /// The new segments whose names have to be put in place, once a checkpoint that was made after
    /// [`Log::prepare_replacement`] is durable.
    #[must_use]
    pub fn replacement(&self) -> Option<&Compacted> {
        self.replacement.as_ref().map(|replacement| &replacement.compacted)
    }

    /// The names are in place: the new segments serve from now on. Returns the bytes of tail that
    /// had to go with the old ones.
    pub fn finish_replacement(&mut self) -> usize {
        let Replacement { compacted, segments } =
            self.replacement.take().expect("a replacement is under way");
        let count = compacted.replaced.len();
        let end = self.segments.get(count).expect("the active segment stays").start;
        let mut freed = 0;
        while self.tail.first().is_some_and(|batch| batch.span.base_offset < end) {
            freed += self.drop_first();
        }
        self.segments.drain(..count);
        for segment in segments.into_iter().rev() {
            self.segments.push_front(segment);
        }
        self.clean_offset = self.clean_offset.max(compacted.clean_offset);
        freed
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio of sizes")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
