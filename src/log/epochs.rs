//! Leader-epoch history of one partition: which epoch began at which offset (KIP-101, KIP-279).
//!
//! Epochs and start offsets both rise strictly from entry to entry. Knows nothing of segments: the
//! log tells it what was appended, truncated and deleted.

use std::fmt::Write as _;

use crate::ids::{LeaderEpoch, Offset};

/// The first offset of a leader epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// Offset of the first record written in it.
    pub start_offset: Offset,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochHistory {
    entries: Vec<EpochEntry>,
}

/// Why the text of a `leader-epoch-checkpoint` file was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochTextError {
    /// The first line is not the version this format has (0).
    Version,
    /// The second line is not the number of entries that follow.
    Count,
    /// A line (counted from 1) is not `epoch offset`.
    Line(usize),
    /// A line (counted from 1) does not rise above the one before it.
    NotAscending(usize),
}

impl EpochHistory {
    /// A history from its entries; `None` unless epochs and offsets are not negative and rise.
    #[must_use]
    pub fn from_entries(entries: Vec<EpochEntry>) -> Option<EpochHistory> {
        let real = |entry: &EpochEntry| 0 <= entry.epoch.0 && 0 <= entry.start_offset.0;
        let rises = entries.is_sorted_by(follows);
        (entries.iter().all(real) && rises).then_some(EpochHistory { entries })
    }

    /// The entries, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// The newest epoch that has records, or has been announced by [`EpochHistory::assign`].
    #[must_use]
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// Notes that `epoch` begins at `start_offset`. An epoch already under way keeps its start
    /// unless the new one is smaller. Entries that would stand at or above the new one in epoch or
    /// offset go: they never had records that are still there. Returns whether anything changed.
    pub fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> bool {
        assert!(0 <= epoch.0 && 0 <= start_offset.0, "a real epoch and a real offset");
        if let Some(last) = self.entries.last()
            && last.epoch == epoch
            && last.start_offset <= start_offset
        {
            return false;
        }
        while self
            .entries
            .pop_if(|last| epoch <= last.epoch || start_offset <= last.start_offset)
            .is_some()
        {}
        self.entries.push(EpochEntry { epoch, start_offset });
        true
    }

    /// The largest epoch not above `epoch` and the offset where it ends (exclusive), for
    /// OffsetForLeaderEpoch. The latest epoch ends at `log_end`. An epoch older than all that is
    /// known answers with itself and the start of the oldest known one. `None` (Kafka's undefined
    /// epoch and offset) for an epoch that is newer than all that is known.
    #[must_use]
    pub fn end_offset_for(
        &self,
        epoch: LeaderEpoch,
        log_end: Offset,
    ) -> Option<(LeaderEpoch, Offset)> {
        if epoch.0 < 0 {
            return None;
        }
        if self.latest() == Some(epoch) {
            return Some((epoch, log_end));
        }
        let at = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let higher = self.entries.get(at)?;
        let floor = at.checked_sub(1).and_then(|at| self.entries.get(at));
        Some((floor.map_or(epoch, |entry| entry.epoch), higher.start_offset))
    }

    /// The epoch that `offset` was written in.
    #[must_use]
    pub fn epoch_for(&self, offset: Offset) -> Option<LeaderEpoch> {
        let at = self.entries.partition_point(|entry| entry.start_offset <= offset);
        self.entries.get(at.checked_sub(1)?).map(|entry| entry.epoch)
    }

    /// Drops entries that start at or after `end_offset`: the records were truncated.
    pub fn truncate_from_end(&mut self, end_offset: Offset) {
        let keep = self.entries.partition_point(|entry| entry.start_offset < end_offset);
        self.entries.truncate(keep);
    }

    /// Drops entries that end at or before `start_offset`, and lets the epoch that is under way
    /// there start there: the records before it were deleted.
    pub fn truncate_from_start(&mut self, start_offset: Offset) {
        let past = self.entries.partition_point(|entry| entry.start_offset <= start_offset);
        if let Some(under_way) = past.checked_sub(1) {
            self.entries.drain(..under_way);
            if let Some(first) = self.entries.first_mut() {
                first.start_offset = start_offset;
            }
        }
    }

    /// The text of Kafka's `leader-epoch-checkpoint` file: version 0, the count, and a line
    /// `epoch offset` for each entry.
    #[must_use]
    pub fn encode_text(&self) -> String {
        let mut text = format!("0\n{}\n", self.entries.len());
        for entry in &self.entries {
            let written = writeln!(text, "{} {}", entry.epoch, entry.start_offset);
            assert!(written.is_ok(), "writing to a string cannot fail");
        }
        text
    }

    /// Reads the text of a `leader-epoch-checkpoint` file.
    pub fn decode_text(text: &str) -> Result<EpochHistory, EpochTextError> {
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
        let version = lines.next().map(|(_, line)| line);
        if version != Some("0") {
            return Err(EpochTextError::Version);
        }
        let count = lines.next().and_then(|(_, line)| line.parse::<usize>().ok());
        let count = count.ok_or(EpochTextError::Count)?;
        let mut entries: Vec<EpochEntry> = Vec::new();
        for (number, line) in lines {
            let entry = parse_line(line).ok_or(EpochTextError::Line(number))?;
            if entries.last().is_some_and(|last| !follows(last, &entry)) {
                return Err(EpochTextError::NotAscending(number));
            }
            entries.push(entry);
        }
        if entries.len() == count {
            Ok(EpochHistory { entries })
        } else {
            Err(EpochTextError::Count)
        }
    }
}

fn follows(earlier: &EpochEntry, later: &EpochEntry) -> bool {
    earlier.epoch < later.epoch && earlier.start_offset < later.start_offset
}

fn parse_line(line: &str) -> Option<EpochEntry> {
    let (epoch, offset) = line.split_once(' ')?;
    let epoch = LeaderEpoch(epoch.parse().ok()?);
    let start_offset = Offset(offset.parse().ok()?);
    (0 <= epoch.0 && 0 <= start_offset.0).then_some(EpochEntry { epoch, start_offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(entries: &[(i32, i64)]) -> EpochHistory {
        let mut history = EpochHistory::default();
        for (epoch, start_offset) in entries {
            history.assign(LeaderEpoch(*epoch), Offset(*start_offset));
        }
        history
    }

    fn pairs(history: &EpochHistory) -> Vec<(i32, i64)> {
        history.entries().iter().map(|entry| (entry.epoch.0, entry.start_offset.0)).collect()
    }

    #[test]
    fn assigning_the_same_epoch_again_changes_nothing() {
        let mut history = history(&[(1, 10)]);
        assert!(!history.assign(LeaderEpoch(1), Offset(20)));
        assert!(history.assign(LeaderEpoch(1), Offset(5)));
        assert_eq!(pairs(&history), [(1, 5)]);
    }

    #[test]
    fn assigning_removes_what_would_not_rise() {
        assert_eq!(pairs(&history(&[(1, 10), (2, 20), (3, 30), (4, 20)])), [(1, 10), (4, 20)]);
        assert_eq!(pairs(&history(&[(1, 10), (5, 20), (3, 30)])), [(1, 10), (3, 30)]);
        assert_eq!(pairs(&history(&[(1, 10), (2, 10)])), [(2, 10)]);
    }

    #[test]
    fn end_offsets_follow_kip_101_and_279() {
        let history = history(&[(2, 10), (4, 20), (6, 30)]);
        let end = |epoch| {
            history
                .end_offset_for(LeaderEpoch(epoch), Offset(40))
                .map(|(epoch, offset)| (epoch.0, offset.0))
        };
        assert_eq!(end(-1), None);
        assert_eq!(end(1), Some((1, 10)));
        assert_eq!(end(2), Some((2, 20)));
        assert_eq!(end(3), Some((2, 20)));
        assert_eq!(end(5), Some((4, 30)));
        assert_eq!(end(6), Some((6, 40)));
        assert_eq!(end(7), None);
        assert_eq!(EpochHistory::default().end_offset_for(LeaderEpoch(0), Offset(4)), None);
    }

    #[test]
    fn epoch_of_an_offset() {
        let history = history(&[(2, 10), (4, 20)]);
        let epoch = |offset| history.epoch_for(Offset(offset)).map(|epoch| epoch.0);
        assert_eq!([epoch(9), epoch(10), epoch(19), epoch(20)], [None, Some(2), Some(2), Some(4)]);
    }

    #[test]
    fn truncation_from_both_ends() {
        let mut cut = history(&[(2, 10), (4, 20), (6, 30)]);
        cut.truncate_from_end(Offset(30));
        assert_eq!(pairs(&cut), [(2, 10), (4, 20)]);
        cut.truncate_from_start(Offset(9));
        assert_eq!(pairs(&cut), [(2, 10), (4, 20)]);
        cut.truncate_from_start(Offset(15));
        assert_eq!(pairs(&cut), [(2, 15), (4, 20)]);
        cut.truncate_from_start(Offset(20));
        assert_eq!(pairs(&cut), [(4, 20)]);
        cut.truncate_from_start(Offset(99));
        assert_eq!(pairs(&cut), [(4, 99)]);
        cut.truncate_from_end(Offset(0));
        assert_eq!(pairs(&cut), []);
    }

    #[test]
    fn text_is_that_of_kafka() {
        let history = history(&[(0, 0), (3, 170)]);
        assert_eq!(history.encode_text(), "0\n2\n0 0\n3 170\n");
        assert_eq!(EpochHistory::decode_text("0\n2\n0 0\n3 170\n"), Ok(history));
        assert_eq!(EpochHistory::decode_text("0\n0\n"), Ok(EpochHistory::default()));
    }

    #[test]
    fn damaged_text_is_refused() {
        let refusal = |text| EpochHistory::decode_text(text).err();
        assert_eq!(refusal(""), Some(EpochTextError::Version));
        assert_eq!(refusal("1\n0\n"), Some(EpochTextError::Version));
        assert_eq!(refusal("0\n"), Some(EpochTextError::Count));
        assert_eq!(refusal("0\n2\n0 0\n"), Some(EpochTextError::Count));
        assert_eq!(refusal("0\n99999999999\n0 0\n"), Some(EpochTextError::Count));
        assert_eq!(refusal("0\n1\n0\n"), Some(EpochTextError::Line(3)));
        assert_eq!(refusal("0\n1\n-1 5\n"), Some(EpochTextError::Line(3)));
        assert_eq!(refusal("0\n2\n1 5\n2 5\n"), Some(EpochTextError::NotAscending(4)));
    }
}
