//! From a checkpoint and what is found on disk back to a log, and what has to be done to the files
//! so that they are what the checkpoint says.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::Log;
use super::checkpoint::{LogCheckpoint, SegmentCheckpoint};
use super::clock::ClockGuard;
use super::epochs::{EpochEntry, EpochHistory};
use super::index::IndexEntry;
use super::mark::RELATIVE_OFFSET_MAX;
use super::names::{FileKind, file_name};
use super::options::LogOptions;
use super::segment::Segment;
use super::sparse::Entry;
use super::tail::Tail;
use super::time_index::TimeIndexEntry;
use crate::ids::{LeaderEpoch, Offset};
use crate::time::Timestamp;

/// A file of the log that exists on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The segment it belongs to.
    pub segment: Offset,
    /// What it holds.
    pub kind: FileKind,
    /// Its length, in bytes.
    pub bytes: u64,
}

/// A file that compaction has made and that has not taken its place yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundCleaned {
    /// The segment it is to be.
    pub segment: Offset,
    /// What it holds.
    pub kind: FileKind,
    /// Of its content.
    pub generation: u32,
    /// Its length, in bytes.
    pub bytes: u64,
}

/// A file that has to be cut to a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncation {
    /// The segment it belongs to.
    pub segment: Offset,
    /// What it holds.
    pub kind: FileKind,
    /// Length to cut it to, in bytes.
    pub bytes: u32,
}

/// What makes the files equal to the checkpoint. All of it comes before the first append.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryPlan {
    /// Cleaned files that the checkpoint names: they take the place of the file they stand for,
    /// before anything else is done.
    pub adopt: Vec<FoundCleaned>,
    /// Cleaned files that it does not name: of a cleaning that did not come to its end.
    pub discard: Vec<FoundCleaned>,
    /// Files that are longer than the checkpoint says: written, but not known to be durable.
    pub truncate: Vec<Truncation>,
    /// Files of segments that the checkpoint does not name: never durable, or already removed.
    pub delete: Vec<(Offset, FileKind)>,
    /// Segments with a missing or short index: scan them ([`SegmentScan`](super::SegmentScan)) and
    /// call [`Log::rebuild_index`].
    pub rebuild: Vec<Offset>,
}

/// Why a log cannot be opened. Records that were acknowledged are missing, so this is for a human.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecoveryError {
    /// A segment has no `.log` file.
    Missing {
        /// The segment.
        segment: Offset,
    },
    /// A `.log` file is shorter than what was durable in it.
    Short {
        /// The segment.
        segment: Offset,
        /// Bytes that were durable.
        durable: u32,
        /// Bytes that are there.
        found: u64,
    },
    /// The checkpoint contradicts itself.
    Checkpoint {
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl fmt::Display for RecoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecoveryError::Missing { segment } => {
                let name = file_name(*segment, FileKind::Log);
                write!(f, "segment file {name} is missing, but the checkpoint says it is durable")
            }
            RecoveryError::Short { segment, durable, found } => {
                let name = file_name(*segment, FileKind::Log);
                write!(f, "segment file {name} has {found} bytes, but {durable} were durable")
            }
            RecoveryError::Checkpoint { reason } => {
                write!(f, "the checkpoint of the log is damaged: {reason}")
            }
        }
    }
}

impl std::error::Error for RecoveryError {}

impl Log {
    /// The log as the checkpoint describes it, and what has to be done to the files found on disk.
    /// Afterwards the journal's batches from [`Log::next_offset`] on are appended again.
    pub fn restore(
        checkpoint: &LogCheckpoint,
        options: LogOptions,
        found: &[Found],
        cleaned: &[FoundCleaned],
        now: Timestamp,
    ) -> Result<(Log, RecoveryPlan), RecoveryError> {
        let epochs = check(checkpoint).map_err(|reason| RecoveryError::Checkpoint { reason })?;
        let plan = plan(&checkpoint.segments, found, cleaned)?;
        let mut segments: VecDeque<Segment> =
            checkpoint.segments.iter().map(SegmentCheckpoint::restore).collect();
        let next_offset = Offset(checkpoint.next_offset);
        if segments.back().is_none_or(|last| last.head.sealed) {
            segments.push_back(Segment::new(next_offset, now));
        }
        let active = segments.back().expect("just ensured");
        let log = Log {
            options,
            tail: Tail::default(),
            tail_start: next_offset,
            tail_mark: active.head,
            start_offset: Offset(checkpoint.start_offset),
            epochs,
            write_segment: active.start,
            outstanding: None,
            flush_segment: active.start,
            unwritten_bytes: 0,
            clock: ClockGuard::default(),
            clean_offset: Offset(checkpoint.clean_offset),
            replacement: None,
            segments,
        };
        Ok((log, plan))
    }
}

/// Checks that a checkpoint is one that [`Log::checkpoint`] could have made.
fn check(checkpoint: &LogCheckpoint) -> Result<EpochHistory, &'static str> {
    let ensure = |holds: bool, reason| if holds { Ok(()) } else { Err(reason) };
    ensure(0 <= checkpoint.start_offset, "its start offset is negative")?;
    ensure(0 <= checkpoint.next_offset, "its end offset is negative")?;
    let mut next_offset = 0;
    for (at, segment) in checkpoint.segments.iter().enumerate() {
        let last = at + 1 == checkpoint.segments.len();
        let relative = segment.next_offset.checked_sub(segment.start_offset);
        let span = relative.filter(|span| (1..=RELATIVE_OFFSET_MAX + 1).contains(span));
        let index_entries = segment.index_bytes / IndexEntry::BYTES as u32;
        let time_index_entries = segment.time_index_bytes / TimeIndexEntry::BYTES as u32;
        ensure(next_offset <= segment.start_offset, "its segments overlap")?;
        ensure(segment.start_offset < segment.next_offset, "it names a segment without records")?;
        ensure(span.is_some(), "a segment spans more offsets than an index can hold")?;
        ensure(
            0 < segment.bytes && segment.bytes <= i32::MAX as u32,
            "a segment has an impossible size",
        )?;
        ensure(
            segment.index_bytes % IndexEntry::BYTES as u32 == 0
                && segment.time_index_bytes % TimeIndexEntry::BYTES as u32 == 0
                && index_entries <= segment.bytes
                && time_index_entries <= index_entries + 1,
            "an index has an impossible size",
        )?;
        ensure(
            segment.bytes_since_index_entry <= segment.bytes
                && (segment.start_offset..segment.next_offset)
                    .contains(&segment.max_timestamp_offset)
                && (segment.start_offset..=segment.max_timestamp_offset)
                    .contains(&segment.indexed_timestamp_offset)
                && segment.indexed_timestamp <= segment.max_timestamp,
            "the numbers of a segment contradict each other",
        )?;
        ensure(last || segment.sealed, "a segment before the last is not closed")?;
        next_offset = segment.next_offset;
    }
    let ends_right = match checkpoint.segments.last() {
        Some(last) if !last.sealed => checkpoint.next_offset == next_offset,
        _ => next_offset <= checkpoint.next_offset,
    };
    ensure(ends_right, "its end offset is not that of its last segment")?;
    let first = checkpoint.segments.first().map_or(0, |first| first.start_offset);
    // Compaction may leave nothing of the first segments.
    let start_max = checkpoint.start_offset.max(checkpoint.clean_offset);
    ensure(first <= start_max, "it starts before its first segment")?;
    ensure(0 <= checkpoint.clean_offset, "its clean offset is negative")?;
    let last_epoch = checkpoint.epochs.last();
    ensure(
        last_epoch.is_none_or(|last| last.start_offset < checkpoint.next_offset),
        "a leader epoch begins behind its end",
    )?;
    let entries = checkpoint.epochs.iter().map(|entry| EpochEntry {
        epoch: LeaderEpoch(entry.epoch),
        start_offset: Offset(entry.start_offset),
    });
    EpochHistory::from_entries(entries.collect()).ok_or("its leader epochs do not rise")
}

fn plan(
    segments: &[SegmentCheckpoint],
    found: &[Found],
    cleaned: &[FoundCleaned],
) -> Result<RecoveryPlan, RecoveryError> {
    let is_named = |file: &&FoundCleaned| {
        segments.iter().any(|segment| {
            segment.start_offset == file.segment.0 && segment.generation == file.generation
        })
    };
    let (adopt, discard) = cleaned.iter().partition(is_named);
    let mut plan = RecoveryPlan { adopt, discard, ..RecoveryPlan::default() };
    let mut left: BTreeMap<(Offset, FileKind), u64> =
        found.iter().map(|file| ((file.segment, file.kind), file.bytes)).collect();
    left.extend(plan.adopt.iter().map(|file| ((file.segment, file.kind), file.bytes)));
    for checkpoint in segments {
        let segment = Offset(checkpoint.start_offset);
        let mut rebuild = false;
        for kind in FileKind::ALL {
            let durable = match kind {
                FileKind::Log => checkpoint.bytes,
                FileKind::Index => checkpoint.index_bytes,
                FileKind::TimeIndex => checkpoint.time_index_bytes,
            };
            let found = left.remove(&(segment, kind));
            match found {
                Some(found) if u64::from(durable) < found => {
                    plan.truncate.push(Truncation { segment, kind, bytes: durable });
                }
                Some(found) if found < u64::from(durable) => {
                    if kind == FileKind::Log {
                        return Err(RecoveryError::Short { segment, durable, found });
                    }
                    rebuild = true;
                }
                Some(_) => {}
                None if kind == FileKind::Log => {
                    return Err(RecoveryError::Missing { segment });
                }
                // Indexes are derived from the log, so a lost one costs time and nothing else.
                None => rebuild = true,
            }
        }
        if rebuild {
            plan.rebuild.push(segment);
        }
    }
    plan.delete.extend(left.into_keys());
    Ok(plan)
}
