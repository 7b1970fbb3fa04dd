//! Compares what was acknowledged with what is there. Pure: histories in, a verdict out.
//!
//! Rules, for each partition and producer:
//! - every acknowledged record is there (else *lost*), at the offset of its acknowledgement (else
//!   *moved*);
//! - no record is there twice (*duplicated*), none before an earlier one of its producer
//!   (*reordered*), none damaged (*corrupted*) or in another partition than it was written to
//!   (*misplaced*), none that was never written (*foreign*);
//! - offsets have no gaps and do not go back;
//! - what a reader saw while the writers wrote is still there, at the same offset (*vanished*).
//!
//! Without idempotence, a batch that was sent more than once may be there more than once, and
//! behind later ones. Records without acknowledgement may be there or not.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::value::{Numbered, Seen};

/// Offset of a record that has not been seen.
const UNSEEN: i64 = -1;
/// How many violations are told one by one.
const EXAMPLES_MAX: usize = 20;

/// One producer's records in one partition.
#[derive(Debug, Default)]
struct Stream {
    /// Acknowledged ranges: first number, count, base offset if told.
    acknowledged: Vec<(u64, u64, Option<i64>)>,
    /// Number behind the highest acknowledged one.
    acknowledged_end: u64,
    /// Ranges sent more than once: first number to end.
    retried: BTreeMap<u64, u64>,
    /// By number, the first offset at which the record was seen.
    offsets: Vec<i64>,
    /// The same, as a reader saw it while the writers wrote.
    offsets_along: Vec<i64>,
    /// Number behind the highest one seen so far.
    seen_end: u64,
}

impl Stream {
    fn was_retried(&self, number: u64) -> bool {
        self.retried.range(..=number).next_back().is_some_and(|(_, end)| number < *end)
    }

    fn offset(offsets: &[i64], number: u64) -> i64 {
        offsets.get(number as usize).copied().unwrap_or(UNSEEN)
    }

    fn note(offsets: &mut Vec<i64>, number: u64, offset: i64) {
        let index = number as usize;
        if index >= offsets.len() {
            offsets.resize(index + 1, UNSEEN);
        }
        if let Some(slot) = offsets.get_mut(index) {
            *slot = offset;
        }
    }
}

#[derive(Debug)]
struct Partition {
    start: i64,
    streams: Vec<Stream>,
    /// Offset expected next by the final reader.
    next_offset: Option<i64>,
    /// The final reader got to the end.
    complete: bool,
}

/// Collects a history and judges it.
#[derive(Debug)]
pub(super) struct Checker {
    run: u64,
    idempotent: bool,
    unacknowledged_max: u64,
    partitions: Vec<Partition>,
    verdict: Verdict,
}

/// The judgement.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) acknowledged: u64,
    pub(super) read: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) reordered: u64,
    pub(super) corrupted: u64,
    pub(super) misplaced: u64,
    pub(super) foreign: u64,
    pub(super) moved: u64,
    pub(super) vanished: u64,
    pub(super) offset_gaps: u64,
    /// Partitions that were not read to their end.
    pub(super) unread_partitions: u64,
    /// There without an acknowledgement: allowed.
    pub(super) unacknowledged_present: u64,
    /// Duplicates of retried batches without idempotence: allowed.
    pub(super) duplicated_by_retry: u64,
    /// Reordered by a retry without idempotence: allowed.
    pub(super) reordered_by_retry: u64,
    /// Whole records of other runs on the same topic: allowed.
    pub(super) of_other_runs: u64,
    /// What else went wrong, in words.
    pub(super) refusals: Vec<String>,
    examples: Vec<String>,
}

impl Checker {
    /// A checker for `producers` producers; `starts` are the ends of the partitions before the run.
    pub(super) fn new(
        run: u64,
        producers: u32,
        idempotent: bool,
        unacknowledged_max: u64,
        starts: &[i64],
    ) -> Checker {
        let partition = |start: &i64| {
            let mut streams = Vec::new();
            streams.resize_with(producers as usize, Stream::default);
            Partition { start: *start, streams, next_offset: None, complete: false }
        };
        Checker {
            run,
            idempotent,
            unacknowledged_max,
            partitions: starts.iter().map(partition).collect(),
            verdict: Verdict::default(),
        }
    }

    fn stream(&mut self, producer: u32, partition: u32) -> Option<&mut Stream> {
        self.partitions.get_mut(partition as usize)?.streams.get_mut(producer as usize)
    }

    /// A batch was acknowledged. False if there is no such producer or partition.
    pub(super) fn on_acknowledged(
        &mut self,
        producer: u32,
        partition: u32,
        (first, count): (u64, u64),
        base_offset: Option<i64>,
    ) -> bool {
        let Some(stream) = self.stream(producer, partition) else { return false };
        stream.acknowledged.push((first, count, base_offset));
        stream.acknowledged_end = stream.acknowledged_end.max(first.saturating_add(count));
        self.verdict.acknowledged += count;
        true
    }

    /// A batch is about to be sent again. False if there is no such producer or partition.
    pub(super) fn on_retried(
        &mut self,
        producer: u32,
        partition: u32,
        (first, count): (u64, u64),
    ) -> bool {
        let Some(stream) = self.stream(producer, partition) else { return false };
        let end = stream.retried.entry(first).or_default();
        *end = (*end).max(first.saturating_add(count));
        true
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.verdict.acknowledged
    }

    /// Where the final reader has to begin, and behind which offset it must have read at least.
    pub(super) fn range_to_read(&self, partition: usize) -> (i64, i64) {
        let Some(partition) = self.partitions.get(partition) else { return (0, 0) };
        let mut range = (partition.start, partition.start);
        for stream in &partition.streams {
            for (_, count, base_offset) in &stream.acknowledged {
                if let Some(base_offset) = base_offset {
                    range.0 = range.0.min((*base_offset).max(0));
                    range.1 = range.1.max(base_offset.saturating_add(*count as i64));
                }
            }
        }
        range
    }

    /// The final reader begins with this partition.
    pub(super) fn on_read_begins(&mut self, partition: usize, offset: i64) {
        if let Some(partition) = self.partitions.get_mut(partition) {
            partition.next_offset = Some(offset);
        }
    }

    /// The final reader saw a whole partition, to the end that it had to have.
    pub(super) fn on_read_complete(&mut self, partition: usize) {
        if let Some(partition) = self.partitions.get_mut(partition) {
            partition.complete = true;
        }
    }

    /// Bytes of a batch or record that make no sense.
    pub(super) fn on_damage(&mut self, partition: usize, offset: i64, what: &str) {
        self.verdict.corrupted += 1;
        self.verdict.example(format!("partition {partition} offset {offset}: {what}"));
    }

    /// A record as the reader beside the writers saw it.
    pub(super) fn on_record_along(&mut self, partition: usize, offset: i64, seen: Seen) {
        let Seen::Numbered(numbered) = seen else { return };
        let own = numbered.run == self.run && numbered.partition as usize == partition;
        if !own || !self.is_plausible(&numbered) {
            return;
        }
        if let Some(stream) = self.stream(numbered.producer, numbered.partition) {
            Stream::note(&mut stream.offsets_along, numbered.number, offset);
        }
    }

    /// A record of the final reader, in the order of offsets.
    pub(super) fn on_record(&mut self, partition: usize, offset: i64, seen: Seen) {
        self.verdict.read += 1;
        let place = || format!("partition {partition} offset {offset}");
        let Some(state) = self.partitions.get_mut(partition) else { return };
        if let Some(expected) = state.next_offset.filter(|expected| *expected != offset) {
            self.verdict.offset_gaps += 1;
            self.verdict.example(format!("{}: offset {expected} was expected", place()));
        }
        state.next_offset = Some(offset.saturating_add(1));
        let before = offset < state.start;
        let numbered = match seen {
            Seen::Numbered(numbered) if numbered.run == self.run => numbered,
            Seen::Numbered(_) => {
                self.verdict.of_other_runs += 1;
                return;
            }
            // What was there before this run is none of its business.
            _ if before => return,
            Seen::Corrupt => {
                return self.on_damage(partition, offset, "a record with a wrong checksum");
            }
            Seen::Foreign => {
                self.verdict.foreign += 1;
                return self.verdict.example(format!("{}: not a numbered record", place()));
            }
        };
        if numbered.partition as usize != partition {
            self.verdict.misplaced += 1;
            return self.verdict.example(format!(
                "{}: a record written to partition {}",
                place(),
                numbered.partition
            ));
        }
        if !self.is_plausible(&numbered) {
            self.verdict.foreign += 1;
            return self.verdict.example(format!(
                "{}: {} was never written",
                place(),
                name(&numbered)
            ));
        }
        self.on_own_record(offset, &numbered);
    }

    /// Whether a record with this number can have been written at all.
    fn is_plausible(&mut self, numbered: &Numbered) -> bool {
        let most = self.unacknowledged_max;
        self.stream(numbered.producer, numbered.partition)
            .is_some_and(|s| numbered.number < s.acknowledged_end.saturating_add(most))
    }

    fn on_own_record(&mut self, offset: i64, numbered: &Numbered) {
        let idempotent = self.idempotent;
        let Some(stream) = self.stream(numbered.producer, numbered.partition) else { return };
        let number = numbered.number;
        let excused = !idempotent && stream.was_retried(number);
        let first = Stream::offset(&stream.offsets, number);
        if first != UNSEEN {
            if excused {
                self.verdict.duplicated_by_retry += 1;
            } else {
                self.verdict.duplicated += 1;
                self.verdict.example(format!(
                    "{} is at offset {first} and again at {offset}",
                    name(numbered)
                ));
            }
            return;
        }
        Stream::note(&mut stream.offsets, number, offset);
        let behind = stream.seen_end;
        if number < behind {
            if excused {
                self.verdict.reordered_by_retry += 1;
            } else {
                self.verdict.reordered += 1;
                self.verdict.example(format!(
                    "{} is at offset {offset}, behind number {}",
                    name(numbered),
                    behind - 1
                ));
            }
        } else {
            stream.seen_end = number + 1;
        }
    }

    /// Judges, at the end of the final reading.
    pub(super) fn finish(mut self) -> Verdict {
        for (partition, state) in (0..).zip(&self.partitions) {
            if !state.complete {
                self.verdict.unread_partitions += 1;
                self.verdict.example(format!("partition {partition} was not read to its end"));
            }
            for (producer, stream) in (0..).zip(&state.streams) {
                let name = |number| name(&Numbered { run: self.run, producer, partition, number });
                self.verdict.judge_stream(stream, self.idempotent, name);
            }
        }
        self.verdict
    }
}

fn name(numbered: &Numbered) -> String {
    let Numbered { producer, partition, number, .. } = numbered;
    format!("record {number} of producer {producer} in partition {partition}")
}

impl Verdict {
    fn example(&mut self, text: String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(text);
        }
    }

    fn judge_stream(&mut self, stream: &Stream, idempotent: bool, name: impl Fn(u64) -> String) {
        let mut acknowledged = vec![false; stream.acknowledged_end as usize];
        for (first, count, base_offset) in &stream.acknowledged {
            for (step, number) in (0..*count as i64).zip(*first..) {
                if let Some(slot) = acknowledged.get_mut(number as usize) {
                    *slot = true;
                }
                let found = Stream::offset(&stream.offsets, number);
                if found == UNSEEN {
                    self.lost += 1;
                    let at =
                        base_offset.map_or(String::new(), |o| format!(" at offset {}", o + step));
                    self.example(format!("{} was acknowledged{at} and is lost", name(number)));
                    continue;
                }
                let promised = base_offset.map(|base| base.saturating_add(step));
                let excused = !idempotent && stream.was_retried(number);
                if promised.is_some_and(|promised| promised != found) && !excused {
                    self.moved += 1;
                    self.example(format!(
                        "{} was acknowledged at offset {} and is at {found}",
                        name(number),
                        promised.unwrap_or_default()
                    ));
                }
            }
        }
        let is_acknowledged = |number: usize| acknowledged.get(number).copied().unwrap_or(false);
        let present =
            |(number, offset): &(usize, &i64)| **offset != UNSEEN && !is_acknowledged(*number);
        self.unacknowledged_present +=
            stream.offsets.iter().enumerate().filter(present).count() as u64;
        for (number, along) in (0..).zip(&stream.offsets_along) {
            let found = Stream::offset(&stream.offsets, number);
            let excused = found != UNSEEN && !idempotent && stream.was_retried(number);
            if *along != UNSEEN && *along != found && !excused {
                self.vanished += 1;
                let now =
                    if found == UNSEEN { "nowhere".to_owned() } else { format!("at {found}") };
                self.example(format!(
                    "{} was read at offset {along} and is now {now}",
                    name(number)
                ));
            }
        }
    }

    /// Nothing was violated, and there was something to violate.
    pub(super) fn is_ok(&self) -> bool {
        self.acknowledged > 0
            && self.violations().iter().all(|(_, count)| *count == 0)
            && self.refusals.is_empty()
    }

    fn violations(&self) -> [(&'static str, u64); 10] {
        [
            ("lost", self.lost),
            ("duplicated", self.duplicated),
            ("reordered", self.reordered),
            ("corrupted", self.corrupted),
            ("misplaced", self.misplaced),
            ("foreign", self.foreign),
            ("moved", self.moved),
            ("vanished", self.vanished),
            ("offset gaps", self.offset_gaps),
            ("unread partitions", self.unread_partitions),
        ]
    }

    /// All counts by name: violations first, then what is allowed.
    pub(super) fn counts(&self) -> Vec<(&'static str, u64)> {
        let mut counts = vec![("acknowledged", self.acknowledged), ("read", self.read)];
        counts.extend(self.violations());
        counts.extend([
            ("unacknowledged but present", self.unacknowledged_present),
            ("duplicated by retry", self.duplicated_by_retry),
            ("reordered by retry", self.reordered_by_retry),
            ("of other runs", self.of_other_runs),
        ]);
        counts
    }

    /// The counts as a table, with examples of what was violated.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        for (name, count) in self.counts() {
            let _ = writeln!(text, "  {name:<28} {:>14}", crate::report::grouped(count));
        }
        for line in self.examples.iter().chain(&self.refusals) {
            let _ = writeln!(text, "  ! {line}");
        }
        text
    }

    /// One line.
    pub(super) fn summary(&self) -> String {
        if self.acknowledged == 0 {
            return "nothing was acknowledged, so nothing is proven".to_owned();
        }
        let mut parts: Vec<String> = self
            .violations()
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        parts.extend(self.refusals.first().cloned());
        if parts.is_empty() { "OK".to_owned() } else { parts.join(", ") }
    }
}

#[cfg(test)]
mod tests;
