//! Putting the entries of several chains into each partition's order.

use std::collections::{BTreeMap, VecDeque};

use super::entry::EntryKind;
use super::replay::ReplayedEntry;
use crate::ids::{Offset, TopicPartition};
use crate::stdx::map::Map;

/// What [`Merge::offer`] did with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It continues its partition; [`Merge::poll_entry`] yields it.
    Ready,
    /// The segments have it, or the partition is gone.
    Skipped,
    /// Something before it is still to come from another chain.
    Parked,
    /// It starts below the partition's end and ends above it, or twice the same is waiting: no
    /// history writes that.
    Overlap,
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
/// order, and call [`end_incarnation`](Merge::end_incarnation) between them. Several merges can work
/// side by side if each has its own partitions.
#[derive(Debug, Default)]
pub struct Merge {
    /// `None`: the partition is gone.
    ends: Map<TopicPartition, Option<Offset>>,
    parked: BTreeMap<TopicPartition, BTreeMap<Offset, ReplayedEntry>>,
    ready: VecDeque<ReplayedEntry>,
}

impl Merge {
    /// Nothing read yet.
    #[must_use]
    pub fn new() -> Merge {
        Merge::default()
    }

    /// Takes an entry. `recovered_end` is asked once per partition for the offset after the last
    /// record that the segments have; `None` if there is no such partition.
    pub fn offer(
        &mut self,
        entry: ReplayedEntry,
        recovered_end: impl FnOnce(TopicPartition) -> Option<Offset>,
    ) -> Placed {
        let end = *self.ends.entry(entry.at).or_insert_with(|| recovered_end(entry.at));
        let Some(end) = end else { return Placed::Skipped };
        match entry.kind {
            // Has no place among the offsets: the caller keeps the greatest and applies it last.
            EntryKind::LogStart => {
                self.ready.push_back(entry);
                Placed::Ready
            }
            EntryKind::Batch if entry.next_offset <= end => Placed::Skipped,
            EntryKind::Batch if entry.base_offset < end => Placed::Overlap,
            EntryKind::Batch if entry.base_offset > end => {
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
        let mut end = entry.next_offset;
        self.ready.push_back(entry);
        if let Some(parked) = self.parked.get_mut(&at) {
            while let Some(next) = parked.remove(&end) {
                end = next.next_offset;
                self.ready.push_back(next);
            }
            if parked.is_empty() {
                self.parked.remove(&at);
            }
        }
        self.ends.insert(at, Some(end));
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
            let expected = self.ends.get(&at).copied().flatten()?;
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
    use crate::ids::{LeaderEpoch, PartitionId, TopicId};

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

    fn ready(merge: &mut Merge) -> Vec<(i64, i64)> {
        std::iter::from_fn(|| merge.poll_entry())
            .map(|entry| (entry.base_offset.0, entry.next_offset.0))
            .collect()
    }

    #[test]
    fn two_lanes_come_together_in_offset_order() {
        let mut merge = Merge::new();
        let mut offer = |base, next| merge.offer(entry(0, base, next), |_| Some(Offset(10)));
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
        let end = |_| Some(Offset(0));
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
        assert_eq!(merge.offer(entry(0, 3, 6), |_| Some(Offset(4))), Placed::Overlap);
        assert_eq!(merge.offer(entry(0, 7, 8), |_| None), Placed::Parked);
        assert_eq!(merge.offer(entry(0, 7, 9), |_| None), Placed::Overlap);
        assert_eq!(merge.offer(entry(1, 0, 1), |_| None), Placed::Skipped);
        assert_eq!(merge.offer(entry(1, 1, 2), |_| Some(Offset(1))), Placed::Skipped);
        assert_eq!(ready(&mut merge), []);
    }

    #[test]
    fn a_log_start_passes_at_once() {
        let mut merge = Merge::new();
        let start = ReplayedEntry { kind: EntryKind::LogStart, ..entry(0, 30, 30) };
        assert_eq!(merge.offer(start, |_| Some(Offset(4))), Placed::Ready);
        assert_eq!(merge.offer(entry(0, 4, 40), |_| None), Placed::Ready);
        assert_eq!(ready(&mut merge), [(30, 30), (4, 40)]);
    }
}
