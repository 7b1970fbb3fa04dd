//! What a file's entries still wait for.

use crate::ids::{Offset, TopicPartition};
use crate::stdx::map::Map;

/// For each partition with entries in a journal file: the offset up to which its segments must be
/// durable before the file may be overwritten.
#[derive(Clone, Debug, Default)]
pub struct Coverage(Map<TopicPartition, Offset>);

impl Coverage {
    /// Notes an entry of `at` that ends at `next_offset`.
    pub fn note(&mut self, at: TopicPartition, next_offset: Offset) {
        let noted = self.0.entry(at).or_insert(next_offset);
        *noted = next_offset.max(*noted);
    }

    /// Whether nothing waits any more.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All partitions and offsets, in the order of partitions.
    #[must_use]
    pub fn sorted(&self) -> Vec<(TopicPartition, Offset)> {
        let mut all: Vec<_> = self.0.iter().map(|(at, next)| (*at, *next)).collect();
        all.sort_unstable();
        all
    }

    /// Takes back what goes beyond the recovered end of its partition: those entries were not
    /// applied ([`Gap`](super::Gap)), so no segment will ever have them. `None` stands for a
    /// partition that no longer exists.
    pub fn clip(&mut self, mut end: impl FnMut(TopicPartition) -> Option<Offset>) {
        self.0.retain(|at, next| match end(*at) {
            Some(end) => {
                *next = end.min(*next);
                true
            }
            None => false,
        });
    }

    /// Drops what is below the offset that `flushed` knows; `None` stands for a partition that no
    /// longer exists.
    pub(super) fn release(&mut self, mut flushed: impl FnMut(TopicPartition) -> Option<Offset>) {
        self.0.retain(|at, next| flushed(*at).is_some_and(|flushed| flushed < *next));
    }

    /// Drops a partition.
    pub(super) fn forget(&mut self, at: TopicPartition) {
        self.0.remove(&at);
    }
}
