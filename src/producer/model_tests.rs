//! The table against a naive model that keeps every batch ever appended, and searches.

use std::time::Duration;

use super::{ProducerTable, Refusal, Verdict};
use crate::batch::ProducerStamp;
use crate::ids::{Offset, ProducerEpoch, ProducerId, Sequence};
use crate::stdx::prng::Prng;
use crate::time::{Instant, Timestamp};

const SEQUENCES: i64 = 1 << 31;

#[derive(Clone, Debug)]
struct Appended {
    stamp: ProducerStamp,
    base: i64,
    last: i64,
    at: Instant,
}

/// All batches in the log, and from which on each producer is remembered.
#[derive(Clone, Default)]
struct Model {
    log: Vec<Appended>,
}

impl Model {
    fn of(&self, id: ProducerId) -> impl DoubleEndedIterator<Item = &Appended> {
        self.log.iter().filter(move |batch| batch.stamp.id == id)
    }

    fn check(&self, stamp: &ProducerStamp) -> Result<Verdict, Refusal> {
        let Some(newest) = self.of(stamp.id).next_back() else { return Ok(Verdict::New) };
        let epoch = newest.stamp.epoch;
        if stamp.epoch < epoch {
            return Err(Refusal::InvalidProducerEpoch { current: epoch, found: stamp.epoch });
        }
        // The last five, and of them those of the newest epoch: an epoch's batches are adjacent.
        let same_epoch = self.of(stamp.id).rev().take_while(|batch| batch.stamp.epoch == epoch);
        let found = same_epoch.take(5).find(|batch| batch.stamp == *stamp);
        if let Some(batch) = found {
            return Ok(Verdict::Duplicate {
                base_offset: Offset(batch.base),
                last_offset: Offset(batch.last),
                timestamp: Timestamp(batch.base * 2),
            });
        }
        let expected = if stamp.epoch > epoch {
            0
        } else {
            ((i64::from(newest.stamp.last_sequence.0) + 1) % SEQUENCES) as i32
        };
        if stamp.first_sequence.0 == expected {
            Ok(Verdict::New)
        } else {
            let (expected, found) = (Sequence(expected), stamp.first_sequence);
            Err(Refusal::OutOfOrderSequence { expected, found })
        }
    }
}

struct World {
    prng: Prng,
    model: Model,
    table: ProducerTable,
    end: i64,
    now: Instant,
    duplicate_count: u32,
    wrap_count: u32,
}

impl World {
    fn new(seed: u64) -> World {
        World {
            prng: Prng::new(seed),
            model: Model::default(),
            table: ProducerTable::new(100),
            end: 0,
            now: Instant(0),
            duplicate_count: 0,
            wrap_count: 0,
        }
    }

    fn stamp(&mut self, first: i64, count: i64, id: i64, epoch: i16) -> ProducerStamp {
        ProducerStamp {
            id: ProducerId(id),
            epoch: ProducerEpoch(epoch),
            first_sequence: Sequence((first % SEQUENCES) as i32),
            last_sequence: Sequence(((first + count - 1) % SEQUENCES) as i32),
            transactional: false,
            control: false,
        }
    }

    /// What a client could send: mostly the next batch, often a retry, sometimes nonsense.
    fn draw(&mut self) -> ProducerStamp {
        let id = self.prng.below(4) as i64;
        let count = self.prng.between(1, 20) as i64;
        let newest = self.model.of(ProducerId(id)).next_back().cloned();
        let Some(newest) = newest else {
            // Begin shortly before the wrap.
            let first = SEQUENCES - 1 - self.prng.below(60) as i64;
            return self.stamp(first, count, id, 32_760);
        };
        let epoch = newest.stamp.epoch.0;
        let next = (i64::from(newest.stamp.last_sequence.0) + 1) % SEQUENCES;
        let skip = self.prng.between(1, 3) as i64;
        match self.prng.below(20) {
            0..10 => self.stamp(next, count, id, epoch),
            10..16 => {
                let back = self.prng.below(8) as usize;
                let old = self.model.of(ProducerId(id)).rev().nth(back);
                old.map_or(newest.stamp, |old| old.stamp)
            }
            16 => self.stamp(next + skip, count, id, epoch),
            17 => self.stamp(0, count, id, epoch.saturating_add(1)),
            18 => self.stamp(next, count, id, epoch.saturating_add(1)),
            _ => self.stamp(0, count, id, epoch - 1),
        }
    }

    fn apply(&mut self, stamp: ProducerStamp) {
        let delta = i64::from(stamp.last_sequence.0) - i64::from(stamp.first_sequence.0);
        // Batches without a producer come in between.
        let base = self.end + self.prng.below(3) as i64;
        let last = base + delta.rem_euclid(SEQUENCES);
        self.wrap_count += u32::from(delta < 0);
        self.end = last + 1;
        let appended = Appended { stamp, base, last, at: self.now };
        apply(&mut self.table, &appended);
        self.model.log.push(appended);
    }

    fn step(&mut self) {
        let stamp = self.draw();
        let expected = self.model.check(&stamp);
        assert_eq!(self.table.check(&stamp), expected, "{stamp:?}");
        match expected {
            Ok(Verdict::New) => self.apply(stamp),
            Ok(Verdict::Duplicate { .. }) => self.duplicate_count += 1,
            Err(_) => {}
        }
        self.now = self.now + Duration::from_secs(self.prng.below(10));
        if self.prng.chance(1, 20) {
            let (now, expiration) = (self.now, Duration::from_secs(40));
            self.table.expire(now, expiration);
            let quiet: Vec<_> = (0..4)
                .map(ProducerId)
                .filter(|id| {
                    let newest = self.model.of(*id).next_back();
                    newest.is_some_and(|batch| now.since(batch.at) >= expiration)
                })
                .collect();
            self.model.log.retain(|batch| !quiet.contains(&batch.stamp.id));
        }
    }
}

fn apply(table: &mut ProducerTable, batch: &Appended) {
    let (base, last) = (Offset(batch.base), Offset(batch.last));
    table.apply(&batch.stamp, base, last, Timestamp(batch.base * 2), batch.at);
}

#[test]
fn the_table_decides_as_the_model() {
    let (mut duplicate_count, mut wrap_count) = (0, 0);
    for seed in 0..200 {
        println!("seed {seed}");
        let mut world = World::new(seed);
        (0..400).for_each(|_| world.step());
        duplicate_count += world.duplicate_count;
        wrap_count += world.wrap_count;
    }
    assert!(duplicate_count > 1000 && wrap_count > 100, "{duplicate_count} {wrap_count}");
}

#[test]
fn a_snapshot_at_any_point_and_a_replay_give_the_same_table() {
    for seed in 0..40 {
        println!("seed {seed}");
        let mut world = World::new(seed);
        let mut snapshots = vec![(world.table.snapshot(), 0)];
        // Without expiry, so that the whole log can be replayed.
        for _ in 0..60 {
            let stamp = world.draw();
            if world.table.check(&stamp) == Ok(Verdict::New) {
                world.apply(stamp);
                snapshots.push((world.table.snapshot(), world.model.log.len()));
            }
        }
        for (snapshot, count) in snapshots {
            // Replay from the start of the log, which the snapshot mostly has already.
            let mut restored =
                ProducerTable::restore(&snapshot, Offset(world.end), 100, Instant(0));
            assert_eq!(restored.snapshot(), snapshot);
            world.model.log.iter().for_each(|batch| apply(&mut restored, batch));
            assert_eq!(restored.snapshot(), world.table.snapshot(), "from {count}");

            // The log has lost its end: what is left is decided as by a broker that never had it.
            let kept = world.prng.below(count as u64 + 1) as usize;
            let shorter = Model { log: world.model.log[..kept].to_vec() };
            let log_end = Offset(shorter.log.last().map_or(0, |batch| batch.last + 1));
            let restored = ProducerTable::restore(&snapshot, log_end, 100, Instant(0));
            for batch in &world.model.log[..count] {
                match restored.check(&batch.stamp) {
                    Ok(Verdict::Duplicate { base_offset, last_offset, .. }) => {
                        assert!(last_offset < log_end, "a claim to have what was lost");
                        let has = |kept: &Appended| {
                            kept.stamp == batch.stamp
                                && (kept.base, kept.last) == (base_offset.0, last_offset.0)
                        };
                        assert!(shorter.log.iter().any(has));
                    }
                    Ok(Verdict::New) | Err(_) => {}
                }
            }
        }
    }
}

#[test]
fn many_producers_stay_within_the_bound() {
    let mut prng = Prng::new(3);
    let mut table = ProducerTable::new(50);
    let mut newest: Vec<i64> = Vec::new();
    for at in 0..20_000 {
        let id = prng.below(200) as i64;
        let stamp = ProducerStamp {
            id: ProducerId(id),
            epoch: ProducerEpoch(0),
            first_sequence: Sequence(0),
            last_sequence: Sequence(0),
            transactional: false,
            control: false,
        };
        table.apply(&stamp, Offset(at), Offset(at), Timestamp(0), Instant(at as u64));
        newest.retain(|known| *known != id);
        newest.push(id);
        if newest.len() > 50 {
            newest.remove(0);
        }
        assert!(table.len() <= 50);
    }
    let ids: Vec<_> = table.snapshot().producers.iter().map(|producer| producer.id).collect();
    assert_eq!(ids, newest);
}
