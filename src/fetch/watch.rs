//! Long polls: who is to be woken when which partition has how many new bytes for consumers.
//!
//! Positions count the bytes that ever became readable in a partition. A watch spans several
//! partitions and fires once, at the first of them that reaches the position it waits for; whoever
//! wants more than there is yet costs nothing until then. The lists at the other partitions keep
//! its id until they next fire or are pruned; a fired id is simply unknown.

use std::collections::BTreeSet;

use crate::ids::TopicPartition;
use crate::stdx::few::Few;
use crate::stdx::map::Map;

/// Names a watch; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WatchId(u64);

#[derive(Debug, Default)]
struct List {
    /// By the position waited for, then in the order they came.
    ids: BTreeSet<(u64, WatchId)>,
    /// Length after the last pruning: the next one is due at twice that, which keeps an idle
    /// partition in many consumers' polls from collecting dead ids without end.
    pruned_count: usize,
}

/// The watches over one shard's partitions; `W` says who waits.
#[derive(Debug)]
pub struct Watches<W> {
    watches: Map<WatchId, W>,
    lists: Map<TopicPartition, List>,
    next: u64,
}

impl<W> Default for Watches<W> {
    fn default() -> Watches<W> {
        Watches { watches: Map::default(), lists: Map::default(), next: 0 }
    }
}

impl<W> Watches<W> {
    /// Waits for the first of `partitions` to reach the position beside it.
    pub fn watch(
        &mut self,
        waiter: W,
        partitions: impl IntoIterator<Item = (TopicPartition, u64)>,
    ) -> WatchId {
        let id = WatchId(self.next);
        self.next += 1;
        self.watches.insert(id, waiter);
        for (at, position) in partitions {
            let list = self.lists.entry(at).or_default();
            if list.ids.len() >= 2 * list.pruned_count + 8 {
                list.ids.retain(|(_, id)| self.watches.contains_key(id));
                list.pruned_count = list.ids.len();
            }
            list.ids.insert((position, id));
        }
        id
    }

    /// Gives up waiting.
    pub fn cancel(&mut self, id: WatchId) {
        self.watches.remove(&id);
    }

    /// The partition has reached this position: everybody who waits for no more.
    pub fn fire(&mut self, at: TopicPartition, position: u64) -> Few<W> {
        let Some(list) = self.lists.get_mut(&at) else { return Few::new() };
        let mut fired = Few::new();
        while let Some((wanted, _)) = list.ids.first()
            && *wanted <= position
            && let Some((_, id)) = list.ids.pop_first()
        {
            fired.extend(self.watches.remove(&id));
        }
        if list.ids.is_empty() {
            self.lists.remove(&at);
        }
        fired
    }

    /// The partition is gone: everybody who waits for it.
    pub fn remove(&mut self, at: TopicPartition) -> Few<W> {
        self.fire(at, u64::MAX)
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.watches.len()
    }

    /// True when nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{PartitionId, TopicId};

    fn at(partition: i32) -> TopicPartition {
        TopicPartition { topic: TopicId([1; 16]), partition: PartitionId(partition) }
    }

    #[test]
    fn a_watch_over_two_partitions_fires_once() {
        let mut watches = Watches::default();
        watches.watch("a", [(at(0), 1), (at(1), 1)]);
        watches.watch("b", [(at(1), 1)]);
        assert_eq!(watches.fire(at(0), 1).as_slice(), ["a"]);
        assert_eq!(watches.fire(at(1), 1).as_slice(), ["b"]);
        assert_eq!(watches.fire(at(1), 1).as_slice(), Vec::<&str>::new());
        assert!(watches.is_empty());
    }

    #[test]
    fn whoever_waits_for_more_is_left_alone() {
        let mut watches = Watches::default();
        watches.watch("much", [(at(0), 1000)]);
        watches.watch("first", [(at(0), 10)]);
        watches.watch("second", [(at(0), 10)]);
        assert_eq!(watches.fire(at(0), 9).as_slice(), Vec::<&str>::new());
        assert_eq!(watches.fire(at(0), 10).as_slice(), ["first", "second"]);
        assert_eq!(watches.fire(at(0), 999).as_slice(), Vec::<&str>::new());
        assert_eq!(watches.len(), 1);
        assert_eq!(watches.remove(at(0)).as_slice(), ["much"]);
        assert!(watches.is_empty() && watches.lists.is_empty());
    }

    #[test]
    fn dead_ids_at_an_idle_partition_do_not_pile_up() {
        let mut watches = Watches::default();
        for _ in 0..10_000 {
            let id = watches.watch((), [(at(0), 1), (at(1), 1)]);
            watches.cancel(id);
        }
        assert!(watches.lists.values().all(|list| list.ids.len() <= 16));
    }
}
