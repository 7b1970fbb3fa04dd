//! Putting the entries of several chains into each partition's order.

use std::collections::{BTreeMap, VecDeque};

use super::entry::EntryKind;
use super::replay::ReplayedEntry;
use crate::ids::{LeaderEpoch, Offset, TopicPartition};
use crate::stdx::map::Map;

/// What [`Merge::offer`] did with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It continues its partition; [`Merge::poll_entry`] yields it.
    Ready,
    /// The segments have it, or the partition is gone.
    Skipped,
    /// Left over from a history that was cut off: the log before it is of a later term.
    Stale,
    /// Something before it is still to come from another chain.
    Parked,
    /// It starts below the partition's end and ends above it, or twice the same is waiting: no
    /// history writes that.
    Overlap,
}

/// How far a partition goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveredEnd {
    /// Offset after the last record.
    pub next_offset: Offset,
    /// Term of the last record; `None` without records.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// An entry that nothing leads up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The end of the partition.
    pub expected: Offset,
    /// The first entry behind the gap. It is not applied, nor is any after it.
    pub found: ReplayedEntry,
}

/// Brings replayed entries into the order of their partitions.
///
/// Within one incarnation a partition's entries come from one shard, but possibly from both lanes,
/// each in order. So entries are offered chain by chain, an entry that is ahead is parked, and what
/// is still parked when the incarnation's chains are all read is a gap. Offer the incarnations in
/// order, and call [`end_incarnation`](Merge::end_incarnation) between them.
///
/// The leader epoch decides about what a gap left behind. Say incarnation 1 leaves offset 12 in one
/// lane without 11 in the other; incarnation 2 goes on with other records at 11 and 12; 11 reaches
/// the segments, and the broker crashes. Now incarnation 1's 12 fits exactly, before incarnation
/// 2's has its turn. But 11 is of a later term, and terms never fall along a log. Several merges can work
/// side by side if each has its own partitions.
#[derive(Debug, Default)]
pub struct Merge {
    /// `None`: the partition is gone.
    ends: Map<TopicPartition, Option<RecoveredEnd>>,
    parked: BTreeMap<TopicPartition, BTreeMap<Offset, ReplayedEntry>>,
    ready: VecDeque<ReplayedEntry>,
}

impl Merge {
    /// Nothing read yet.
    #[must_use]
    pub fn new() -> Merge {
        Merge::default()
    }

    /// Takes an entry. `recovered_end` is asked once per partition for how far its segments go;
    /// `None` if there is no such partition.
    pub fn offer(
        &mut self,
        entry: ReplayedEntry,
        recovered_end: impl FnOnce(TopicPartition) -> Option<RecoveredEnd>,
    ) -> Placed {
        let end = *self.ends.entry(entry.at).or_insert_with(|| recovered_end(entry.at));
        let Some(end) = end else { return Placed::Skipped };
        match entry.kind {
            // Has no place among the offsets: the caller keeps the greatest and applies it last.
            EntryKind::LogStart => {
                self.ready.push_back(entry);
                Placed::Ready
            }
            EntryKind::Batch if entry.next_offset <= end.next_offset => Placed::Skipped,
            EntryKind::Batch if Some(entry.leader_epoch) < end.leader_epoch => Placed::Stale,
            EntryKind::Batch if entry.base_offset < end.next_offset => Placed::Overlap,
            EntryKind::Batch if entry.base_offset > end.next_offset => {
                let parked = self.parked.entry(entry.at).or_default();
                if parked.contains_key(&entry.base_offset) {
                    return Placed::Overlap;
                }
                parked.insert(entry.base_offset, entry);
                Placed::Parked
            }
            EntryKind::Batch => {
                self.make_ready(entry);
                Placed::Ready
            }
        }
    }

    fn make_ready(&mut self, entry: ReplayedEntry) {
        let at = entry.at;
        let mut next_offset = entry.next_offset;
        let mut leader_epoch = entry.leader_epoch;
        self.ready.push_back(entry);
        if let Some(parked) = self.parked.get_mut(&at) {
            while let Some(next) = parked.remove(&next_offset) {
                if next.leader_epoch < leader_epoch {
                    break;
                }
                next_offset = next.next_offset;
                leader_epoch = next.leader_epoch;
                self.ready.push_back(next);
            }
            if parked.is_empty() {
                self.parked.remove(&at);
            }
        }
        let leader_epoch = Some(leader_epoch);
        self.ends.insert(at, Some(RecoveredEnd { next_offset, leader_epoch }));
    }

    /// The partition goes on at `next_offset`, above its end: the start that wrote the next
    /// incarnation had nothing below it any more.
    pub fn skip_to(&mut self, at: TopicPartition, next_offset: Offset) {
        if let Some(Some(end)) = self.ends.get_mut(&at) {
            assert!(end.next_offset <= next_offset, "a partition is not cut back");
            end.next_offset = next_offset;
        }
    }

    /// The next entry to apply.
    pub fn poll_entry(&mut self) -> Option<ReplayedEntry> {
        self.ready.pop_front()
    }

    /// All chains of an incarnation have been offered: what is still parked has lost what came
    /// before it. In the order of partitions, one gap for each.
    pub fn end_incarnation(&mut self) -> Vec<Gap> {
        let parked = std::mem::take(&mut self.parked);
        let gaps = parked.into_iter().filter_map(|(at, mut entries)| {
            let expected = self.ends.get(&at).copied().flatten()?.next_offset;
            let (_, found) = entries.pop_first()?;
            Some(Gap { expected, found })
        });
        gaps.collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::ids::{PartitionId, TopicId};

    fn at(partition: i32) -> TopicPartition {
        TopicPartition { topic: TopicId([1; 16]), partition: PartitionId(partition) }
    }

    fn entry(partition: i32, base: i64, next: i64) -> ReplayedEntry {
        ReplayedEntry {
            kind: EntryKind::Batch,
            at: at(partition),
            base_offset: Offset(base),
            next_offset: Offset(next),
            leader_epoch: LeaderEpoch(0),
            payload: Bytes::new(),
        }
    }

    fn end_at(next_offset: i64) -> Option<RecoveredEnd> {
        let leader_epoch = (next_offset > 0).then_some(LeaderEpoch(0));
        Some(RecoveredEnd { next_offset: Offset(next_offset), leader_epoch })
    }

    fn ready(merge: &mut Merge) -> Vec<(i64, i64)> {
        std::iter::from_fn(|| merge.poll_entry())
            .map(|entry| (entry.base_offset.0, entry.next_offset.0))
            .collect()
    }

    #[test]
    fn two_lanes_come_together_in_offset_order() {
        let mut merge = Merge::new();
        let mut offer = |base, next| merge.offer(entry(0, base, next), |_| end_at(10));
        assert_eq!(offer(5, 10), Placed::Skipped);
        assert_eq!(offer(10, 12), Placed::Ready);
        assert_eq!(offer(15, 16), Placed::Parked);
        assert_eq!(offer(18, 20), Placed::Parked);
        // The other lane.
        assert_eq!(offer(12, 15), Placed::Ready);
        assert_eq!(offer(16, 18), Placed::Ready);
        assert_eq!(ready(&mut merge), [(10, 12), (12, 15), (15, 16), (16, 18), (18, 20)]);
        assert_eq!(merge.end_incarnation(), []);
    }

    #[test]
    fn what_nothing_leads_up_to_is_a_gap_and_the_next_incarnation_goes_on() {
        let mut merge = Merge::new();
        let end = |_| end_at(0);
        assert_eq!(merge.offer(entry(1, 0, 3), end), Placed::Ready);
        assert_eq!(merge.offer(entry(1, 4, 5), end), Placed::Parked);
        assert_eq!(merge.offer(entry(1, 5, 9), end), Placed::Parked);
        let gap = Gap { expected: Offset(3), found: entry(1, 4, 5) };
        assert_eq!(merge.end_incarnation(), [gap]);
        assert_eq!(merge.offer(entry(1, 3, 6), end), Placed::Ready);
        assert_eq!(ready(&mut merge), [(0, 3), (3, 6)]);
        assert_eq!(merge.end_incarnation(), []);
    }

    #[test]
    fn overlaps_and_partitions_that_are_gone() {
        let mut merge = Merge::new();
        assert_eq!(merge.offer(entry(0, 3, 6), |_| end_at(4)), Placed::Overlap);
        assert_eq!(merge.offer(entry(0, 7, 8), |_| None), Placed::Parked);
        assert_eq!(merge.offer(entry(0, 7, 9), |_| None), Placed::Overlap);
        assert_eq!(merge.offer(entry(1, 0, 1), |_| None), Placed::Skipped);
        assert_eq!(merge.offer(entry(1, 1, 2), |_| end_at(1)), Placed::Skipped);
        assert_eq!(ready(&mut merge), []);
    }

    #[test]
    fn what_a_gap_left_behind_does_not_pass_for_what_came_after() {
        let end =
            |_| Some(RecoveredEnd { next_offset: Offset(12), leader_epoch: Some(LeaderEpoch(2)) });
        let of_term = |leader_epoch, base, next| ReplayedEntry {
            leader_epoch: LeaderEpoch(leader_epoch),
            ..entry(0, base, next)
        };
        let mut merge = Merge::new();
        assert_eq!(merge.offer(of_term(1, 12, 20), end), Placed::Stale);
        assert_eq!(merge.offer(of_term(1, 20, 21), end), Placed::Stale);
        assert_eq!(merge.end_incarnation(), []);
        assert_eq!(merge.offer(of_term(2, 11, 12), end), Placed::Skipped);
        assert_eq!(merge.offer(of_term(2, 12, 13), end), Placed::Ready);
        assert_eq!(ready(&mut merge), [(12, 13)]);
    }

    #[test]
    fn a_log_start_passes_at_once() {
        let mut merge = Merge::new();
        let start = ReplayedEntry { kind: EntryKind::LogStart, ..entry(0, 30, 30) };
        assert_eq!(merge.offer(start, |_| end_at(4)), Placed::Ready);
        assert_eq!(merge.offer(entry(0, 4, 40), |_| None), Placed::Ready);
        assert_eq!(ready(&mut merge), [(30, 30), (4, 40)]);
    }
}
