//! The last batches of one producer.

use crate::ids::{Offset, Sequence};
use crate::limits::PRODUCER_BATCHES_RETAINED;
use crate::time::Timestamp;

/// Sequences are numbers below this and wrap to 0.
const SEQUENCES: i64 = i32::MAX as i64 + 1;

/// A batch as it is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) base_offset: Offset,
    pub(super) last_offset: Offset,
    pub(super) last_sequence: Sequence,
    pub(super) timestamp: Timestamp,
}

impl Batch {
    /// A batch has one sequence per offset, so its first sequence need not be kept.
    pub(super) fn first_sequence(&self) -> Sequence {
        let delta = self.last_offset.0 - self.base_offset.0;
        Sequence((i64::from(self.last_sequence.0) - delta).rem_euclid(SEQUENCES) as i32)
    }
}

/// The batches that a retry can still be recognized among, oldest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    batches: [Batch; PRODUCER_BATCHES_RETAINED],
    count: usize,
}

impl Window {
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Batch> {
        self.batches.iter().take(self.count)
    }

    pub(super) fn last(&self) -> Option<&Batch> {
        self.iter().next_back()
    }

    /// Adds a batch; the oldest makes room for it.
    pub(super) fn push(&mut self, batch: Batch) {
        if self.count == PRODUCER_BATCHES_RETAINED {
            self.batches.rotate_left(1);
        } else {
            self.count += 1;
        }
        match self.batches.get_mut(self.count - 1) {
            Some(slot) => *slot = batch,
            None => panic!("a window holds {PRODUCER_BATCHES_RETAINED} batches"),
        }
    }

    /// The batch with exactly this range of sequences.
    pub(super) fn find(&self, first: Sequence, last: Sequence) -> Option<&Batch> {
        self.iter().find(|batch| batch.last_sequence == last && batch.first_sequence() == first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sequence_of_a_batch_that_wraps() {
        let batch = Batch {
            base_offset: Offset(100),
            last_offset: Offset(119),
            last_sequence: Sequence(9),
            timestamp: Timestamp(0),
        };
        assert_eq!(batch.first_sequence(), Sequence(i32::MAX - 9));
    }

    #[test]
    fn the_oldest_batch_makes_room() {
        let mut window = Window::default();
        for sequence in 0..7 {
            window.push(Batch { last_sequence: Sequence(sequence), ..Batch::default() });
        }
        let sequences: Vec<_> = window.iter().map(|batch| batch.last_sequence.0).collect();
        assert_eq!(sequences, [2, 3, 4, 5, 6]);
    }
}
