//! The cases of Kafka's `ProducerStateManagerTest` that need no transactions, by their names.

use std::time::Duration;

use super::{ProducerTable, ProducerTableSnapshot, Refusal, Verdict};
use crate::batch::{NO_SEQUENCE, ProducerStamp};
use crate::ids::{Offset, ProducerEpoch, ProducerId, Sequence};
use crate::time::{Instant, Timestamp};

const ID: i64 = 1;
const EXPIRATION: Duration = Duration::from_secs(86_400);
const START: Instant = Instant(0);

fn stamp(id: i64, epoch: i16, first: i32, last: i32) -> ProducerStamp {
    ProducerStamp {
        id: ProducerId(id),
        epoch: ProducerEpoch(epoch),
        first_sequence: Sequence(first),
        last_sequence: Sequence(last),
        transactional: false,
        control: false,
    }
}

fn marker(id: i64, epoch: i16) -> ProducerStamp {
    let stamp = stamp(id, epoch, NO_SEQUENCE.0, NO_SEQUENCE.0);
    ProducerStamp { transactional: true, control: true, ..stamp }
}

fn apply(table: &mut ProducerTable, stamp: &ProducerStamp, base: i64, last: i64, now: Instant) {
    let timestamp = Timestamp(1000 + base);
    table.apply(stamp, Offset(base), Offset(last), timestamp, now);
}

/// As a client's append: checked, then applied. One record.
fn append(table: &mut ProducerTable, epoch: i16, sequence: i32, at: i64) -> Result<(), Refusal> {
    let stamp = stamp(ID, epoch, sequence, sequence);
    assert_eq!(table.check(&stamp)?, Verdict::New);
    apply(table, &stamp, at, at, START);
    Ok(())
}

fn out_of_order(expected: i32, found: i32) -> Refusal {
    Refusal::OutOfOrderSequence { expected: Sequence(expected), found: Sequence(found) }
}

fn duplicate(base: i64, last: i64) -> Verdict {
    let (base_offset, last_offset) = (Offset(base), Offset(last));
    Verdict::Duplicate { base_offset, last_offset, timestamp: Timestamp(1000 + base) }
}

fn only(table: &ProducerTable) -> (i16, Vec<(i64, i64, i32)>) {
    let snapshot = table.snapshot();
    let [producer] = &snapshot.producers[..] else { panic!("{snapshot:?}") };
    let batches = producer.batches.iter();
    let batches = batches.map(|batch| (batch.base_offset, batch.last_offset, batch.last_sequence));
    (producer.epoch, batches.collect())
}

#[test]
fn basic_id_mapping() {
    let mut table = ProducerTable::new(10);
    assert_eq!(append(&mut table, 0, 0, 0), Ok(()));
    assert_eq!(append(&mut table, 0, 1, 1), Ok(()));
    assert_eq!(table.check(&stamp(ID, 0, 1, 1)), Ok(duplicate(1, 1)));
    assert_eq!(append(&mut table, 0, 5, 2), Err(out_of_order(2, 5)));
    assert_eq!(append(&mut table, 1, 0, 3), Ok(()));
    let fenced =
        Refusal::InvalidProducerEpoch { current: ProducerEpoch(1), found: ProducerEpoch(0) };
    assert_eq!(append(&mut table, 0, 0, 4), Err(fenced));
    // Also a batch that the older epoch wrote is no duplicate any more.
    assert_eq!(table.check(&stamp(ID, 0, 1, 1)), Err(fenced));
}

#[test]
fn producer_sequence_wrap_around() {
    let mut table = ProducerTable::new(10);
    apply(&mut table, &stamp(ID, 15, i32::MAX, i32::MAX), 735, 735, START);
    assert_eq!(append(&mut table, 15, 0, 1235), Ok(()));
    assert_eq!(only(&table), (15, vec![(735, 735, i32::MAX), (1235, 1235, 0)]));
    assert_eq!(table.check(&stamp(ID, 15, i32::MAX, i32::MAX)), Ok(duplicate(735, 735)));
}

#[test]
fn producer_sequence_with_wrap_around_batch_record() {
    let mut table = ProducerTable::new(10);
    let wrapping = stamp(ID, 15, i32::MAX - 10, 9);
    apply(&mut table, &wrapping, 2000, 2020, START);
    assert_eq!(table.check(&wrapping), Ok(duplicate(2000, 2020)));
    assert_eq!(table.check(&stamp(ID, 15, 10, 10)), Ok(Verdict::New));
}

#[test]
fn producer_sequence_invalid_wrap_around() {
    let mut table = ProducerTable::new(10);
    apply(&mut table, &stamp(ID, 15, i32::MAX, i32::MAX), 735, 735, START);
    assert_eq!(append(&mut table, 15, 1, 1235), Err(out_of_order(0, 1)));
}

#[test]
fn no_validation_on_first_entry_when_loading_log() {
    let mut table = ProducerTable::new(10);
    apply(&mut table, &stamp(ID, 5, 16, 16), 735, 735, START);
    assert_eq!(only(&table), (5, vec![(735, 735, 16)]));
}

#[test]
fn an_unknown_producer_starts_anywhere() {
    let table = ProducerTable::new(10);
    assert_eq!(table.check(&stamp(ID, 5, 16, 20)), Ok(Verdict::New));
}

#[test]
fn control_record_bumps_producer_epoch() {
    let mut table = ProducerTable::new(10);
    append(&mut table, 0, 0, 0).unwrap();
    apply(&mut table, &marker(ID, 1), 1, 1, START);
    assert_eq!(only(&table), (1, vec![]));
    assert_eq!(append(&mut table, 1, 0, 2), Ok(()));
}

#[test]
fn out_of_sequence_after_control_record_epoch_bump() {
    let mut table = ProducerTable::new(10);
    append(&mut table, 0, 0, 0).unwrap();
    append(&mut table, 0, 1, 1).unwrap();
    apply(&mut table, &marker(ID, 1), 2, 2, START);
    assert_eq!(append(&mut table, 1, 2, 3), Err(out_of_order(0, 2)));
    assert_eq!(append(&mut table, 2, 2, 3), Err(out_of_order(0, 2)));
    assert_eq!(append(&mut table, 1, 0, 3), Ok(()));
    assert_eq!(only(&table), (1, vec![(3, 3, 0)]));
}

#[test]
fn a_marker_of_the_same_epoch_keeps_the_window() {
    let mut table = ProducerTable::new(10);
    append(&mut table, 0, 0, 0).unwrap();
    apply(&mut table, &marker(ID, 0), 1, 1, START);
    assert_eq!(table.check(&stamp(ID, 0, 0, 0)), Ok(duplicate(0, 0)));
    assert_eq!(append(&mut table, 0, 1, 2), Ok(()));
}

#[test]
fn accept_append_without_producer_state_on_replica() {
    let mut table = ProducerTable::new(10);
    append(&mut table, 0, 0, 0).unwrap();
    append(&mut table, 0, 1, 1).unwrap();
    let mut recovered = ProducerTable::restore(&table.snapshot(), Offset(2), 10, START);
    recovered.expire(START + EXPIRATION, EXPIRATION);
    assert!(recovered.is_empty());
    apply(&mut recovered, &stamp(ID, 0, 2, 2), 2, 2, START + EXPIRATION);
    assert_eq!(only(&recovered), (0, vec![(2, 2, 2)]));
}

#[test]
fn accept_append_with_sequence_gaps_on_replica() {
    let mut table = ProducerTable::new(10);
    append(&mut table, 0, 0, 0).unwrap();
    assert_eq!(append(&mut table, 0, 3, 1), Err(out_of_order(1, 3)));
    apply(&mut table, &stamp(ID, 0, 3, 3), 1, 1, START);
    assert_eq!(only(&table), (0, vec![(0, 0, 0), (1, 1, 3)]));
}

#[test]
fn load_from_snapshot_retains_non_expired_producers() {
    let mut table = ProducerTable::new(10);
    apply(&mut table, &stamp(1, 0, 0, 0), 0, 0, START);
    apply(&mut table, &stamp(2, 0, 0, 0), 1, 1, START);
    let table = ProducerTable::restore(&table.snapshot(), Offset(2), 10, START);
    assert_eq!(table.check(&stamp(1, 0, 0, 0)), Ok(duplicate(0, 0)));
    assert_eq!(table.check(&stamp(2, 0, 0, 0)), Ok(duplicate(1, 1)));
}

#[test]
fn truncate_fully_and_start_at() {
    let mut table = ProducerTable::new(10);
    append(&mut table, 0, 0, 0).unwrap();
    append(&mut table, 0, 1, 1).unwrap();
    let table = ProducerTable::restore(&table.snapshot(), Offset(0), 10, START);
    assert!(table.is_empty());
    assert_eq!(table.next_offset(), Offset(0));
}

#[test]
fn pid_expiration_timeout() {
    let mut table = ProducerTable::new(10);
    append(&mut table, 5, 0, 1).unwrap();
    table.expire(START + (EXPIRATION - Duration::from_nanos(1)), EXPIRATION);
    assert_eq!(table.len(), 1);
    table.expire(START + EXPIRATION, EXPIRATION);
    assert_eq!(table.len(), 0);
    assert_eq!(append(&mut table, 5, 1, 2), Ok(()));
    assert_eq!(only(&table), (5, vec![(2, 2, 1)]));
    assert_eq!(table.next_offset(), Offset(3));
}

#[test]
fn sequence_not_validated_for_group_metadata_topic() {
    let mut table = ProducerTable::new(10);
    append(&mut table, 1, 99, 99).unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let unsequenced = stamp(ID, 1, NO_SEQUENCE.0, NO_SEQUENCE.0);
    for at in 100..102 {
        assert_eq!(table.check(&unsequenced), Ok(Verdict::New));
        apply(&mut table, &unsequenced, at, at, START);
    }
    assert!(table.check(&stamp(ID, 0, NO_SEQUENCE.0, NO_SEQUENCE.0)).is_err());
}

#[test]
fn only_the_last_five_batches_are_recognized() {
    let mut table = ProducerTable::new(10);
    for sequence in 0..6 {
        append(&mut table, 0, sequence, i64::from(sequence)).unwrap();
    }
    assert_eq!(table.check(&stamp(ID, 0, 0, 0)), Err(out_of_order(6, 0)));
    for sequence in 1..6 {
        let at = i64::from(sequence);
        assert_eq!(table.check(&stamp(ID, 0, sequence, sequence)), Ok(duplicate(at, at)));
    }
    // The same sequences in other batches are not the same batches.
    assert_eq!(table.check(&stamp(ID, 0, 4, 5)), Err(out_of_order(6, 4)));
}

#[test]
fn read_write_snapshot() {
    let mut table = ProducerTable::new(10);
    apply(&mut table, &stamp(1, 3, i32::MAX - 1, 1), 0, 3, START);
    apply(&mut table, &stamp(2, 100, 0, 9), 10, 19, START);
    apply(&mut table, &marker(3, 5), 20, 20, START);
    let snapshot = table.snapshot();
    let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(&snapshot).unwrap();
    let read = rkyv::from_bytes::<ProducerTableSnapshot, rkyv::rancor::Error>(&bytes).unwrap();
    assert_eq!(read, snapshot);
    let restored = ProducerTable::restore(&read, Offset(21), 10, START);
    assert_eq!(restored.snapshot(), snapshot);
}

#[test]
fn load_from_corrupt_snapshot_file() {
    use super::{BatchSnapshot, ProducerSnapshot};
    let batch = |base_offset, last_offset, last_sequence| BatchSnapshot {
        base_offset,
        last_offset,
        last_sequence,
        timestamp: 0,
    };
    let batches = vec![
        batch(5, 4, 0),
        batch(-1, 3, 0),
        batch(0, i64::MAX, 0),
        batch(i64::MIN, i64::MAX, 0),
        batch(0, 0, -1),
        batch(7, 7, 7),
    ];
    let producers = vec![
        ProducerSnapshot { id: 1, epoch: 0, batches: batches.clone() },
        ProducerSnapshot { id: -1, epoch: 0, batches: batches.clone() },
        ProducerSnapshot { id: 2, epoch: 0, batches: batches[..5].to_vec() },
        ProducerSnapshot { id: 1, epoch: 1, batches },
    ];
    let snapshot = ProducerTableSnapshot { next_offset: i64::MAX, producers };
    let table = ProducerTable::restore(&snapshot, Offset(100), 10, START);
    assert_eq!(only(&table), (1, vec![(7, 7, 7)]));
    assert_eq!(table.next_offset(), Offset(100));
}

#[test]
fn the_quietest_producer_makes_room() {
    let mut table = ProducerTable::new(2);
    apply(&mut table, &stamp(1, 0, 0, 0), 0, 0, START);
    apply(&mut table, &stamp(2, 0, 0, 0), 1, 1, START);
    apply(&mut table, &stamp(1, 0, 1, 1), 2, 2, START);
    apply(&mut table, &stamp(3, 0, 0, 0), 3, 3, START);
    let ids: Vec<_> = table.snapshot().producers.iter().map(|producer| producer.id).collect();
    assert_eq!(ids, [1, 3]);
    assert_eq!(table.check(&stamp(2, 0, 7, 7)), Ok(Verdict::New));
}
