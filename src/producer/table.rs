//! The producers of one partition.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::window::{Batch, Window};
use crate::batch::ProducerStamp;
use crate::ids::{Offset, ProducerEpoch, ProducerId, Sequence};
use crate::time::{Instant, Timestamp};

/// What to do with a batch that is in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Append it, then [`apply`](ProducerTable::apply) it.
    New,
    /// It is in the log already: answer with these, once `last_offset` is durable, and append
    /// nothing.
    Duplicate {
        /// Offset of the first record.
        base_offset: Offset,
        /// Offset of the last record.
        last_offset: Offset,
        /// The timestamp that was given to [`apply`](ProducerTable::apply).
        timestamp: Timestamp,
    },
}

/// Why a batch must not be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A batch before this one is missing, or it is a retry of one that is no longer remembered
    /// (OUT_OF_ORDER_SEQUENCE_NUMBER).
    OutOfOrderSequence {
        /// The sequence that the next batch has to start with.
        expected: Sequence,
        /// The sequence that this one starts with.
        found: Sequence,
    },
    /// A newer session of the same producer has written here (INVALID_PRODUCER_EPOCH).
    InvalidProducerEpoch {
        /// The epoch of the newer session.
        current: ProducerEpoch,
        /// The epoch of this one.
        found: ProducerEpoch,
    },
}

/// One producer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Producer {
    pub(super) epoch: ProducerEpoch,
    pub(super) window: Window,
    last_append: Instant,
    /// When it was last appended to, as a number that no two appends share.
    turn: u64,
}

/// The producers of one partition. See the module's page.
#[derive(Clone, Debug)]
pub struct ProducerTable {
    /// The producer ids come from peers, who could choose them so that a hash table degrades.
    producers: BTreeMap<ProducerId, Producer>,
    producers_max: usize,
    /// Turns in order, oldest first. A producer's older turns stay behind as stale pairs until they
    /// are met or swept, so that an append costs no search.
    turns: VecDeque<(u64, ProducerId)>,
    turn_last: u64,
    /// The end of the last batch that was applied.
    next_offset: Offset,
}

impl ProducerTable {
    /// An empty table of at most `producers_max` producers (at least 1). When one more comes, the
    /// one that has been quiet for longest is forgotten: its next batch is then taken as that of an
    /// unknown producer.
    #[must_use]
    pub fn new(producers_max: usize) -> ProducerTable {
        assert!(producers_max >= 1, "the producer that appends is remembered");
        ProducerTable {
            producers: BTreeMap::new(),
            producers_max,
            turns: VecDeque::new(),
            turn_last: 0,
            next_offset: Offset(0),
        }
    }

    /// How many producers are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Whether no producer is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// The end of the last batch that was applied: what begins before it is known already.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// Decides about a batch from a client. A batch without sequences, as a coordinator writes, is
    /// only fenced by its epoch.
    ///
    /// # Errors
    /// As Kafka's `ProducerAppendInfo`.
    pub fn check(&self, stamp: &ProducerStamp) -> Result<Verdict, Refusal> {
        // Nothing is known after expiry, or after all of its records and this broker's memory of
        // them are gone. Any sequence will do, else the producer could never write again.
        let Some(producer) = self.producers.get(&stamp.id) else { return Ok(Verdict::New) };
        if stamp.epoch < producer.epoch {
            let (current, found) = (producer.epoch, stamp.epoch);
            return Err(Refusal::InvalidProducerEpoch { current, found });
        }
        let found = stamp.first_sequence;
        if found.0 < 0 {
            return Ok(Verdict::New);
        }
        let expected = if stamp.epoch > producer.epoch {
            Sequence(0)
        } else {
            if let Some(batch) = producer.window.find(found, stamp.last_sequence) {
                return Ok(Verdict::Duplicate {
                    base_offset: batch.base_offset,
                    last_offset: batch.last_offset,
                    timestamp: batch.timestamp,
                });
            }
            producer.window.last().map_or(Sequence(0), |batch| batch.last_sequence.plus(1))
        };
        if found == expected {
            Ok(Verdict::New)
        } else {
            Err(Refusal::OutOfOrderSequence { expected, found })
        }
    }

    /// Notes a batch that was appended, or that replay found in the log. Nothing is checked: the
    /// log has it. A batch that the table has noted already, which replay on top of a snapshot
    /// brings, changes nothing.
    ///
    /// `timestamp` is what a duplicate is answered with: the batch's largest timestamp.
    pub fn apply(
        &mut self,
        stamp: &ProducerStamp,
        base_offset: Offset,
        last_offset: Offset,
        timestamp: Timestamp,
        now: Instant,
    ) {
        if base_offset < self.next_offset {
            return;
        }
        assert!(base_offset <= last_offset, "a batch has an offset");
        self.next_offset = last_offset.plus(1);
        let producer = self.touch(stamp.id, stamp.epoch, now);
        if producer.epoch != stamp.epoch {
            producer.epoch = stamp.epoch;
            producer.window = Window::default();
        }
        // Control batches and a coordinator's have no sequences, and no retry to recognize.
        if stamp.last_sequence.0 >= 0 && !stamp.control {
            let last_sequence = stamp.last_sequence;
            producer.window.push(Batch { base_offset, last_offset, last_sequence, timestamp });
        }
    }

    /// Forgets producers that have not appended for `expiration` (`producer.id.expiration.ms`).
    pub fn expire(&mut self, now: Instant, expiration: Duration) {
        while let Some((turn, id)) = self.turns.front() {
            match self.producers.get(id) {
                Some(producer) if producer.turn == *turn => {
                    if now.since(producer.last_append) < expiration {
                        return;
                    }
                    self.producers.remove(id);
                }
                _ => {}
            }
            self.turns.pop_front();
        }
    }

    /// The producer, made if need be, as the one that appended last.
    fn touch(&mut self, id: ProducerId, epoch: ProducerEpoch, now: Instant) -> &mut Producer {
        if !self.producers.contains_key(&id) {
            while self.producers.len() >= self.producers_max {
                self.forget_oldest();
            }
        }
        self.turn_last += 1;
        match self.turns.back_mut() {
            // The usual case: one producer appends again and again.
            Some((turn, last)) if *last == id => *turn = self.turn_last,
            _ => self.turns.push_back((self.turn_last, id)),
        }
        if self.turns.len() > 2 * self.producers_max.min(self.producers.len() + 4) {
            let producers = &self.producers;
            let newest = self.turn_last;
            self.turns.retain(|(turn, id)| {
                *turn == newest || producers.get(id).is_some_and(|producer| producer.turn == *turn)
            });
        }
        let turn = self.turn_last;
        let window = Window::default();
        let producer =
            self.producers.entry(id).or_insert(Producer { epoch, window, last_append: now, turn });
        producer.last_append = now;
        producer.turn = turn;
        producer
    }

    fn forget_oldest(&mut self) {
        let Some((turn, id)) = self.turns.pop_front() else {
            panic!("every producer has a turn");
        };
        if self.producers.get(&id).is_some_and(|producer| producer.turn == turn) {
            self.producers.remove(&id);
        }
    }

    /// All producers, the one that has been quiet for longest first.
    pub(super) fn by_turn(&self) -> impl Iterator<Item = (ProducerId, &Producer)> {
        self.turns.iter().filter_map(|(turn, id)| {
            let producer = self.producers.get(id)?;
            (producer.turn == *turn).then_some((*id, producer))
        })
    }

    /// Puts a producer in as the newest, with the batches it had.
    pub(super) fn put(
        &mut self,
        id: ProducerId,
        epoch: ProducerEpoch,
        window: Window,
        now: Instant,
    ) {
        let producer = self.touch(id, epoch, now);
        producer.epoch = epoch;
        producer.window = window;
    }

    pub(super) fn set_next_offset(&mut self, next_offset: Offset) {
        self.next_offset = next_offset;
    }
}
