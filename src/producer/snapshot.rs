//! The table as plain data, for the disk.

use rkyv::{Archive, Deserialize, Serialize};

use super::table::ProducerTable;
use super::window::{Batch, Window};
use crate::ids::{Offset, ProducerEpoch, ProducerId, Sequence};
use crate::time::{Instant, Timestamp};

/// A [`ProducerTable`] at one point of its log.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerTableSnapshot {
    /// The end of the last batch that is in it.
    pub next_offset: i64,
    /// The producers, the one that had been quiet for longest first.
    pub producers: Vec<ProducerSnapshot>,
}

/// One producer of a [`ProducerTableSnapshot`].
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ProducerSnapshot {
    /// The producer id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// Its last batches, oldest first.
    pub batches: Vec<BatchSnapshot>,
}

/// One batch of a [`ProducerSnapshot`].
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct BatchSnapshot {
    /// Offset of its first record.
    pub base_offset: i64,
    /// Offset of its last record.
    pub last_offset: i64,
    /// Sequence of its last record; that of its first follows from the offsets.
    pub last_sequence: i32,
    /// What a duplicate is answered with, in milliseconds since 1970.
    pub timestamp: i64,
}

impl BatchSnapshot {
    /// The batch, if the numbers can be those of one.
    fn parse(&self) -> Option<Batch> {
        let delta = self.last_offset.checked_sub(self.base_offset)?;
        let is_batch = self.base_offset >= 0
            && (0..=i64::from(i32::MAX)).contains(&delta)
            && self.last_sequence >= 0;
        is_batch.then_some(Batch {
            base_offset: Offset(self.base_offset),
            last_offset: Offset(self.last_offset),
            last_sequence: Sequence(self.last_sequence),
            timestamp: Timestamp(self.timestamp),
        })
    }
}

impl ProducerTable {
    /// The table as it is. Write it only once the log is durable up to its
    /// [`next_offset`](ProducerTable::next_offset): of a window that is ahead of the log
    /// [`restore`](ProducerTable::restore) can only keep what the log still has.
    #[must_use]
    pub fn snapshot(&self) -> ProducerTableSnapshot {
        let producers = self.by_turn().map(|(id, producer)| ProducerSnapshot {
            id: id.0,
            epoch: producer.epoch.0,
            batches: producer
                .window
                .iter()
                .map(|batch| BatchSnapshot {
                    base_offset: batch.base_offset.0,
                    last_offset: batch.last_offset.0,
                    last_sequence: batch.last_sequence.0,
                    timestamp: batch.timestamp.0,
                })
                .collect(),
        });
        ProducerTableSnapshot { next_offset: self.next_offset().0, producers: producers.collect() }
    }

    /// The table of a snapshot, as far as the log that was recovered up to `log_end` (exclusive,
    /// the journal included) still has the batches. A producer of which nothing is left is unknown
    /// again. What the log has beyond the snapshot is then [applied](ProducerTable::apply). Time
    /// until expiry starts at `now`. Numbers that no batch has are dropped like lost ones.
    #[must_use]
    pub fn restore(
        snapshot: &ProducerTableSnapshot,
        log_end: Offset,
        producers_max: usize,
        now: Instant,
    ) -> ProducerTable {
        let mut table = ProducerTable::new(producers_max);
        for producer in &snapshot.producers {
            let mut window = Window::default();
            producer
                .batches
                .iter()
                .filter_map(BatchSnapshot::parse)
                .filter(|batch| batch.last_offset < log_end)
                .for_each(|batch| window.push(batch));
            // A producer without batches that was so in the snapshot is one whose epoch a control
            // batch has raised. The fence holds on.
            let is_left = window.last().is_some() || producer.batches.is_empty();
            if is_left && producer.id >= 0 {
                table.put(ProducerId(producer.id), ProducerEpoch(producer.epoch), window, now);
            }
        }
        table.set_next_offset(Offset(snapshot.next_offset.min(log_end.0)));
        table
    }
}
