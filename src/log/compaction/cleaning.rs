//! The cleaning itself: a machine that says what to read and write, and in which order.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;

use super::batch::{Kept, Rules, keep, note_keys};
use super::keys::Keys;
use super::output::{CleanedSegment, Compacted, Output, OutputFile};
use super::plan::{CompactionPlan, Source};
use crate::batch::{BatchError, BatchHeader, Batches, Located};
use crate::ids::Offset;
use crate::log::mark::BatchSpan;
use crate::time::Timestamp;

/// Bytes read at a time, unless one batch has more.
const READ_BYTES: u32 = 1024 * 1024;

/// What has to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read from the `.log` of a segment and hand what is there to [`Cleaning::on_read`].
    Read {
        /// Whose.
        file: OutputFile,
        /// From here, in bytes.
        position: u32,
        /// So many bytes.
        length: u32,
    },
    /// Write to the `.log` of a new segment, which is made by its first write (position 0).
    Write {
        /// Whose.
        file: OutputFile,
        /// Here, in bytes.
        position: u32,
        /// What, in this order.
        pieces: Vec<Bytes>,
    },
    /// A new segment is whole: write its indexes, flush all three files and their directory.
    Seal {
        /// Whose.
        file: OutputFile,
        /// Length of its `.log`.
        bytes: u32,
        /// All of its `.index`.
        index: Vec<u8>,
        /// All of its `.timeindex`.
        time_index: Vec<u8>,
    },
    /// There is nothing more to do.
    Done(Compacted),
}

/// Why a segment cannot be cleaned. It stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CleanError {
    /// The file ends before the segment does.
    Short {
        /// Which.
        segment: Offset,
        /// Where something was expected.
        position: u32,
    },
    /// What stands there is no batch of this segment.
    Damaged {
        /// Which.
        segment: Offset,
        /// Of the first wrong byte.
        position: u32,
        /// What is wrong; `None` if the batch is sound and not one of this place.
        fault: Option<BatchError>,
    },
}

impl fmt::Display for CleanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CleanError::Short { segment, position } => {
                write!(f, "the file of segment {segment} ends at {position}, before its records do")
            }
            CleanError::Damaged { segment, position, fault: Some(fault) } => {
                write!(f, "segment {segment} is damaged at {position}: {fault}")
            }
            CleanError::Damaged { segment, position, fault: None } => {
                write!(f, "segment {segment} has a batch at {position} that is out of order")
            }
        }
    }
}

impl std::error::Error for CleanError {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    Keys,
    Copy,
}

/// See the module. It can be dropped at any time; the files it has made are then of no use.
#[derive(Clone, Debug)]
pub struct Cleaning {
    plan: CompactionPlan,
    keys: Keys,
    pass: Pass,
    /// Number of the source being read.
    source: usize,
    /// Next byte of it.
    position: u32,
    /// Smallest offset the next batch may have.
    next_offset: Offset,
    /// Bytes wanted from there.
    wanted: u32,
    /// Bytes that the read under way was asked for.
    asked: u32,
    /// The keys of the dirty part did not all fit.
    keys_full: bool,
    /// Records below were looked at for keys.
    keys_end: Offset,
    output: Option<Output>,
    steps: VecDeque<Step>,
    segments: Vec<CleanedSegment>,
    failed: Option<CleanError>,
}

impl Cleaning {
    /// Ready for its first step. `seed` is drawn anew for each cleaning.
    #[must_use]
    pub fn new(plan: CompactionPlan, seed: (u64, u64)) -> Cleaning {
        let keys = Keys::new(seed, plan.options.keys_bytes_max);
        let dirty_from = plan.dirty_from;
        let source = plan.sources.iter().position(|source| dirty_from < source.next_offset);
        let keys_end = plan.sources.last().map_or(dirty_from, |source| source.next_offset);
        let source = source.unwrap_or(plan.sources.len());
        Cleaning {
            next_offset: plan.sources.get(source).map_or(dirty_from, |source| source.segment),
            source,
            plan,
            keys,
            pass: Pass::Keys,
            position: 0,
            wanted: READ_BYTES,
            asked: 0,
            keys_full: false,
            keys_end,
            output: None,
            steps: VecDeque::new(),
            segments: Vec::new(),
            failed: None,
        }
    }

    /// What to do next. A read is answered by [`Cleaning::on_read`] before the next step is asked
    /// for; everything else is done by then.
    ///
    /// # Errors
    /// The segments cannot be cleaned. Nothing but dropping this is left to do.
    pub fn next_step(&mut self) -> Result<Step, CleanError> {
        loop {
            if let Some(error) = &self.failed {
                return Err(error.clone());
            }
            if let Some(step) = self.steps.pop_front() {
                return Ok(step);
            }
            let Some(source) = self.plan.sources.get(self.source).filter(|_| !self.pass_is_over())
            else {
                match self.pass {
                    Pass::Keys => self.begin_copy(),
                    Pass::Copy => {
                        if let Some(compacted) = self.finish() {
                            return Ok(Step::Done(compacted));
                        }
                    }
                }
                continue;
            };
            if source.bytes <= self.position {
                self.next_source();
                continue;
            }
            let file = source.file();
            self.asked = self.wanted.min(source.bytes - self.position);
            return Ok(Step::Read { file, position: self.position, length: self.asked });
        }
    }

    /// What was read. Less than was asked for only at the end of the file.
    pub fn on_read(&mut self, data: &Bytes) {
        let Some(source) = self.plan.sources.get(self.source).copied() else { return };
        if data.len() < self.asked as usize {
            let position = self.position + data.len() as u32;
            self.failed = Some(CleanError::Short { segment: source.segment, position });
            return;
        }
        let mut batches = Batches::checked(data);
        for located in batches.by_ref() {
            let span = BatchSpan::of(&located.header)
                .filter(|span| {
                    // The checksum leaves the offset out. What was never compacted has no gaps.
                    let gap = self.next_offset < span.base_offset;
                    self.next_offset <= span.base_offset && !(gap && source.generation == 0)
                })
                .filter(|span| span.next_offset <= source.next_offset);
            let Some(span) = span else {
                self.position += located.position as u32;
                return self.fail(None);
            };
            self.next_offset = span.next_offset;
            match self.pass {
                Pass::Keys => self.note(&located),
                Pass::Copy => {
                    let batch = data.slice_ref(located.bytes);
                    self.copy(&batch, &located.header, &span, &source);
                }
            }
            if self.pass_is_over() {
                return;
            }
        }
        self.position += batches.position() as u32;
        self.wanted = READ_BYTES;
        match batches.stopped_by() {
            None => {}
            Some(BatchError::Truncated { needed, .. })
                if *needed <= (source.bytes - self.position) as usize =>
            {
                self.wanted = READ_BYTES.max(*needed as u32);
            }
            Some(fault) => self.fail(Some(fault.clone())),
        }
    }

    fn fail(&mut self, fault: Option<BatchError>) {
        let segment = self.plan.sources.get(self.source).map_or(Offset(0), |s| s.segment);
        self.failed = Some(CleanError::Damaged { segment, position: self.position, fault });
    }

    fn note(&mut self, located: &Located<'_>) {
        let header = &located.header;
        let first = header.base_offset;
        if header.next_offset() <= self.plan.dirty_from {
            return;
        }
        if !note_keys(located.bytes, header, &mut self.keys) {
            self.keys_full = true;
            // The next cleaning goes on with this batch. If it is the first one, its keys are too
            // many for ever: those that were noted have to do.
            self.keys_end =
                if first <= self.plan.dirty_from { header.next_offset() } else { first };
        }
    }

    fn copy(&mut self, batch: &Bytes, header: &BatchHeader, span: &BatchSpan, source: &Source) {
        let rules = Rules {
            now: self.plan.now,
            delete_retention_ms: self.plan.options.delete_retention_ms,
            keys_end: self.keys_end,
        };
        let (batch, span) = match keep(batch, header, &self.keys, &rules) {
            Kept::Nothing => return,
            Kept::Whole => (batch.clone(), *span),
            Kept::Part(part) => {
                let header =
                    BatchHeader::parse(&part).ok().and_then(|header| BatchSpan::of(&header));
                (part, header.expect("a batch that was just written"))
            }
        };
        if self.output.as_ref().is_some_and(|output| !output.has_room_for(&batch)) {
            self.begin_output(span.base_offset, source.created);
        }
        let output = self.output.as_mut().expect("a source is read into an output");
        output.push(batch, &span, source.last_append);
        self.steps.extend(output.poll_write());
    }

    /// Whether what is left of the sources is of no interest to this pass.
    fn pass_is_over(&self) -> bool {
        match self.pass {
            Pass::Keys => self.keys_full,
            Pass::Copy => {
                let source = self.plan.sources.get(self.source);
                source.is_some_and(|source| self.keys_end <= source.segment)
            }
        }
    }

    fn begin_copy(&mut self) {
        self.pass = Pass::Copy;
        self.source = 0;
        self.begin_source();
    }

    fn next_source(&mut self) {
        self.source += 1;
        self.begin_source();
    }

    fn begin_source(&mut self) {
        self.position = 0;
        self.wanted = READ_BYTES;
        let Some(source) = self.plan.sources.get(self.source).copied() else { return };
        self.next_offset = source.segment;
        if self.pass == Pass::Copy && self.plan.begins_output(self.source) && !self.pass_is_over() {
            self.begin_output(source.segment, source.created);
        }
    }

    fn begin_output(&mut self, segment: Offset, created: Timestamp) {
        let file = OutputFile { segment, generation: self.plan.generation };
        let next = Output::new(file, created, self.plan.index_interval_bytes);
        let ended = self.output.replace(next);
        self.seal(ended);
    }

    fn seal(&mut self, output: Option<Output>) {
        if let Some((steps, segment)) = output.and_then(Output::seal) {
            self.steps.extend(steps);
            self.segments.push(segment);
        }
    }

    /// Seals the last output first, which may leave steps to do before all is done.
    fn finish(&mut self) -> Option<Compacted> {
        let ended = self.output.take();
        self.seal(ended);
        if !self.steps.is_empty() {
            return None;
        }
        let replaced = self.plan.sources.get(..self.source).unwrap_or_default();
        Some(Compacted {
            replaced: replaced.iter().map(Source::file).collect(),
            bytes_before: replaced.iter().map(|source| u64::from(source.bytes)).sum(),
            bytes_after: self.segments.iter().map(|s| u64::from(s.mark.bytes)).sum(),
            segments: std::mem::take(&mut self.segments),
            clean_offset: self.keys_end,
        })
    }
}
