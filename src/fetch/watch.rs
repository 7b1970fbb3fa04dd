//! Long polls: who is to be woken when which partition's high watermark moves.
//!
//! A watch spans several partitions and fires once, at the first of them. The lists at the other
//! partitions keep its id until they next fire or are pruned; a fired id is simply unknown.

use crate::ids::TopicPartition;
use crate::stdx::map::Map;

/// Names a watch; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WatchId(u64);

#[derive(Debug, Default)]
struct List {
    ids: Vec<WatchId>,
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
    /// Waits for the first of `partitions` to move.
    pub fn watch(
        &mut self,
        waiter: W,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> WatchId {
        let id = WatchId(self.next);
        self.next += 1;
        self.watches.insert(id, waiter);
        for at in partitions {
            let list = self.lists.entry(at).or_default();
            if list.ids.len() >= 2 * list.pruned_count + 8 {
                list.ids.retain(|id| self.watches.contains_key(id));
                list.pruned_count = list.ids.len();
            }
            list.ids.push(id);
        }
        id
    }

    /// Gives up waiting.
    pub fn cancel(&mut self, id: WatchId) {
        self.watches.remove(&id);
    }

    /// The partition moved: everybody who waits for it, in the order they came.
    pub fn fire(&mut self, at: TopicPartition) -> Vec<W> {
        let Some(list) = self.lists.remove(&at) else { return Vec::new() };
        list.ids.iter().filter_map(|id| self.watches.remove(id)).collect()
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
        watches.watch("a", [at(0), at(1)]);
        watches.watch("b", [at(1)]);
        assert_eq!(watches.fire(at(0)), ["a"]);
        assert_eq!(watches.fire(at(1)), ["b"]);
        assert_eq!(watches.fire(at(1)), Vec::<&str>::new());
        assert!(watches.is_empty());
    }

    #[test]
    fn dead_ids_at_an_idle_partition_do_not_pile_up() {
        let mut watches = Watches::default();
        for _ in 0..10_000 {
            let id = watches.watch((), [at(0), at(1)]);
            watches.cancel(id);
        }
        assert!(watches.lists.values().all(|list| list.ids.len() <= 16));
    }
}
