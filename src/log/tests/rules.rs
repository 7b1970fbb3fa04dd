//! Kafka's rules, one by one, and damaged input.

use super::disk::Disk;
use super::*;
use crate::stdx::prng::Prng;
use crate::time::{Instant, Now};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

fn empty(options: LogOptions) -> Log {
    Log::new(Offset(0), options, Timestamp(0))
}

fn starts(log: &Log) -> Vec<i64> {
    log.segments().map(|segment| segment.0).collect()
}

/// Appends one batch of one record.
fn add(log: &mut Log, timestamp: i64, bytes: usize, now: i64) {
    let batch = batch_of(log.next_offset().0, timestamp, bytes);
    append(log, &batch, now);
}

fn write_all(log: &mut Log, disk: &mut Disk) {
    while let Some(write) = log.poll_write(log.next_offset(), usize::MAX) {
        disk.write(&write);
        log.on_written(write.next_offset);
    }
    for flush in log.poll_flush() {
        log.on_flushed(flush.segment);
    }
}

fn at(wall_ms: i64) -> Now {
    Now { instant: Instant(wall_ms as u64 * 1_000_000), timestamp: Timestamp(wall_ms) }
}

#[test]
fn a_segment_rolls_when_the_batch_would_not_fit() {
    let mut log = empty(LogOptions { segment_bytes: 300, ..OPTIONS });
    for _ in 0..4 {
        add(&mut log, 10, 100, 0);
    }
    assert_eq!(starts(&log), [0, 3]);
    add(&mut log, 10, 201, 0);
    assert_eq!(starts(&log), [0, 3, 4]);
    // Larger than a segment may be: it gets one of its own.
    add(&mut log, 10, 400, 0);
    add(&mut log, 10, 100, 0);
    assert_eq!(starts(&log), [0, 3, 4, 5, 6]);
}

#[test]
fn a_segment_rolls_by_the_time_of_its_records() {
    let mut log = empty(LogOptions { segment_ms: 1_000, ..OPTIONS });
    add(&mut log, 5_000, 100, 0);
    // The wall clock does not count when records have a time.
    add(&mut log, 6_000, 100, DAY_MS);
    assert_eq!(starts(&log), [0]);
    add(&mut log, 6_001, 100, DAY_MS);
    assert_eq!(starts(&log), [0, 2]);
    // From the first record of the new segment.
    add(&mut log, 7_001, 100, DAY_MS);
    add(&mut log, 1, 100, DAY_MS);
    add(&mut log, -1, 100, 2 * DAY_MS);
    assert_eq!(starts(&log), [0, 2]);
}

#[test]
fn a_segment_without_timestamps_rolls_by_the_wall_clock() {
    let mut log = empty(LogOptions { segment_ms: 1_000, ..OPTIONS });
    add(&mut log, -1, 100, 500);
    add(&mut log, -1, 100, 1_000);
    assert_eq!(starts(&log), [0]);
    add(&mut log, -1, 100, 1_001);
    assert_eq!(starts(&log), [0, 2]);
}

#[test]
fn jitter_brings_the_roll_forward_within_its_bound() {
    let mut rolls = Vec::new();
    for jitter_seed in 0..40 {
        let options =
            LogOptions { segment_ms: 1_000, segment_jitter_ms: 400, jitter_seed, ..OPTIONS };
        let mut log = empty(options);
        let mut timestamp = 0;
        while log.segment_count() == 1 {
            add(&mut log, timestamp, 100, 0);
            timestamp += 1;
        }
        rolls.push(timestamp - 1);
    }
    assert!(rolls.iter().all(|roll| (602..=1_001).contains(roll)), "{rolls:?}");
    assert!(rolls.iter().max() > rolls.iter().min());
}

#[test]
fn a_segment_rolls_when_an_index_is_full() {
    // Room for four offset entries, and for two time entries of which one is kept for the end.
    let options = LogOptions { index_interval_bytes: 0, segment_index_bytes: 32, ..OPTIONS };
    let mut log = empty(options);
    for _ in 0..6 {
        add(&mut log, -1, 100, 0);
    }
    assert_eq!(starts(&log), [0, 5]);
    let mut log = empty(options);
    for timestamp in 0..3 {
        add(&mut log, timestamp, 100, 0);
    }
    assert_eq!(starts(&log), [0, 2]);
}

#[test]
fn a_segment_rolls_before_relative_offsets_overflow() {
    let mut log = empty(OPTIONS);
    let last = i64::from(i32::MAX);
    append(&mut log, &batch(0, 0, &[1], 10), 0);
    append(&mut log, &batch(last, 0, &[1], 10), 0);
    assert_eq!(starts(&log), [0]);
    append(&mut log, &batch(last + 1, 0, &[1], 10), 0);
    assert_eq!(starts(&log), [0, last + 1]);
    // Also when nothing is there yet to be rolled.
    let mut log = empty(OPTIONS);
    append(&mut log, &batch(1 << 40, 0, &[1], 10), 0);
    assert_eq!(starts(&log), [1 << 40]);
    assert_eq!(log.written_offset(), Offset(1 << 40));
}

#[test]
fn index_entries_come_as_in_kafka() {
    let mut log = empty(LogOptions { index_interval_bytes: 250, ..OPTIONS });
    let mut disk = Disk::default();
    for timestamp in [50, 40, 60, 60, 30, 20, 10, 5] {
        add(&mut log, timestamp, 100, 0);
    }
    write_all(&mut log, &mut disk);
    // More than 250 bytes since the last entry: at 300 (offset 3), then at 600 (offset 6).
    let expected = [(3, 300), (6, 600)]
        .map(|(relative_offset, position)| IndexEntry { relative_offset, position });
    let index = disk.data(Offset(0), FileKind::Index);
    assert_eq!(decode_entries::<IndexEntry>(index), expected);
    // The largest timestamp so far is that of offset 2; it does not rise until the segment ends.
    let first = TimeIndexEntry { timestamp: Timestamp(60), relative_offset: 2 };
    let time_index =
        |disk: &Disk| decode_entries::<TimeIndexEntry>(disk.data(Offset(0), FileKind::TimeIndex));
    assert_eq!(time_index(&disk), [first]);
    add(&mut log, 70, 100, 0);
    log.roll(Timestamp(0));
    write_all(&mut log, &mut disk);
    let last = TimeIndexEntry { timestamp: Timestamp(70), relative_offset: 8 };
    assert_eq!(time_index(&disk), [first, last]);
    disk.dump(Offset(0), true);
}

#[test]
fn writes_stop_at_the_bound_and_one_is_under_way() {
    let mut log = empty(OPTIONS);
    for _ in 0..5 {
        add(&mut log, 1, 100, 0);
    }
    assert_eq!(log.poll_write(Offset(0), usize::MAX), None);
    let write = log.poll_write(Offset(3), 250).expect("two batches fit");
    assert_eq!((write.bytes(), write.next_offset, write.create), (200, Offset(2), true));
    assert_eq!(log.poll_write(Offset(5), usize::MAX), None);
    assert_eq!(log.evict(usize::MAX), 0, "what is being written stays in memory");
    log.on_written(Offset(2));
    assert_eq!((log.unwritten_bytes(), log.evict(150), log.tail_bytes()), (300, 200, 300));
    let write = log.poll_write(Offset(3), 1).expect("one batch at least");
    assert_eq!((write.position, write.next_offset, write.create), (200, Offset(3), false));
    log.on_written(Offset(3));
    assert_eq!(log.poll_write(Offset(3), usize::MAX), None);
}

#[test]
fn closing_a_written_segment_is_a_write_of_its_own() {
    let mut log = empty(OPTIONS);
    let mut disk = Disk::default();
    add(&mut log, 1, 100, 0);
    write_all(&mut log, &mut disk);
    assert!(log.roll(Timestamp(0)) && !log.roll(Timestamp(0)));
    let write = log.poll_write(Offset(0), 0).expect("the end of the segment");
    assert!(write.seals && write.pieces.is_empty());
    assert_eq!((write.position, write.time_index_entries.len()), (100, 12));
    log.on_written(write.next_offset);
    assert_eq!(log.poll_flush().len(), 1, "the final entry has to be flushed");
}

#[test]
fn a_flush_covers_what_was_written_when_it_began() {
    let mut log = empty(OPTIONS);
    let mut disk = Disk::default();
    add(&mut log, 1, 100, 0);
    let write = log.poll_write(Offset(1), usize::MAX).expect("a write");
    disk.write(&write);
    log.on_written(Offset(1));
    let flush = log.poll_flush();
    assert_eq!(flush.len(), 1);
    assert!(flush[0].created && flush[0].bytes == 100 && flush[0].next_offset == Offset(1));
    add(&mut log, 1, 100, 0);
    let write = log.poll_write(Offset(2), usize::MAX).expect("a write");
    log.on_written(write.next_offset);
    assert_eq!(log.poll_flush(), [], "one flush of a segment at a time");
    log.on_flushed(Offset(0));
    assert_eq!((log.flushed_offset(), log.checkpoint().next_offset), (Offset(1), 1));
    assert_eq!(log.poll_flush().len(), 1);
    log.on_flushed(Offset(0));
    assert_eq!(log.flushed_offset(), Offset(2));
}

#[test]
fn reads_begin_with_the_batch_that_contains_the_offset() {
    let mut log = Log::new(Offset(10), OPTIONS, Timestamp(0));
    let batches = [batch(10, 0, &[1, 2, 3], 10), batch(13, 0, &[1, 2], 10)];
    for batch in &batches {
        append(&mut log, batch, 0);
    }
    let read = |offset, bytes_max, up_to, at_least_one| {
        log.read(Offset(offset), bytes_max, Offset(up_to), at_least_one)
    };
    assert_eq!(read(9, 1_000, 15, true), Read::OutOfRange);
    assert_eq!(read(16, 1_000, 15, true), Read::OutOfRange);
    assert_eq!(read(15, 1_000, 15, true), Read::Empty);
    assert_eq!(read(12, 1_000, 12, true), Read::Empty);
    assert_eq!(read(10, 1_000, 12, true), Read::Empty, "a batch is whole below the bound");
    assert_eq!(read(12, 1_000, 13, true), Read::Tail(batches[..1].to_vec().into(), Offset(13)));
    assert_eq!(read(11, 1_000, 15, true), Read::Tail(batches.to_vec().into(), Offset(15)));
    assert_eq!(read(12, 1, 15, true), Read::Tail(batches[..1].to_vec().into(), Offset(13)));
    assert_eq!(read(12, 1, 15, false), Read::Empty);
}

#[test]
fn timestamps_are_found_by_segment_then_batch() {
    let mut log = empty(LogOptions { segment_bytes: 200, ..OPTIONS });
    for timestamp in [50, 10, 30, 90, 20] {
        add(&mut log, timestamp, 100, 0);
    }
    let found = |log: &Log, target| match log.lookup_timestamp(Timestamp(target), Offset(0)) {
        TimeLookup::Tail(_, next_offset) => Some(next_offset.0 - 1),
        TimeLookup::None => None,
        other => panic!("{other:?}"),
    };
    let offsets = [0, 50, 51, 90, 91].map(|target| found(&log, target));
    assert_eq!(offsets, [Some(0), Some(0), Some(3), Some(3), None]);
    assert_eq!(log.max_timestamp(), Some(Timestamp(90)));
    log.advance_start(Offset(1));
    assert_eq!(found(&log, 40), Some(3), "what is deleted is not found");
    assert_eq!(empty(OPTIONS).max_timestamp(), None);
}

#[test]
fn leader_epochs_are_noted_where_they_begin() {
    let mut log = empty(OPTIONS);
    append(&mut log, &batch(0, 3, &[1, 1], 0), 0);
    append(&mut log, &batch(2, 3, &[1], 0), 0);
    log.begin_epoch(LeaderEpoch(4));
    append(&mut log, &batch(3, 5, &[1], 0), 0);
    let entries = log.epochs().entries();
    assert_eq!(entries.len(), 2, "an epoch without records leaves nothing: {entries:?}");
    let end = log.epochs().end_offset_for(LeaderEpoch(3), log.next_offset());
    assert_eq!(end, Some((LeaderEpoch(3), Offset(3))));
    assert_eq!(log.checkpoint().epochs, [], "nothing of it is durable yet");
}

/// A log of five durable segments of 100 bytes, appended one day after the other, with these
/// timestamps, and an empty active one.
fn aged(timestamps: [i64; 5], options: LogOptions) -> Log {
    let mut log = Log::new(Offset(0), options, Timestamp(0));
    let mut disk = Disk::default();
    for (day, timestamp) in timestamps.into_iter().enumerate() {
        let now = day as i64 * DAY_MS;
        add(&mut log, timestamp, 100, now);
        log.roll(Timestamp(now));
    }
    write_all(&mut log, &mut disk);
    log
}

const DAYS: [i64; 5] = [0, DAY_MS, 2 * DAY_MS, 3 * DAY_MS, 4 * DAY_MS];

#[test]
fn retention_by_time_and_the_high_watermark() {
    let options = LogOptions { retention_ms: Some(DAY_MS as u64), ..OPTIONS };
    let mut log = aged(DAYS, options);
    let retain = |now, high_watermark| {
        let retention = log.clone().retention(at(now), Offset(high_watermark));
        assert!(!retention.roll);
        retention.delete.len()
    };
    assert_eq!(retain(DAY_MS, 5), 0, "older, not as old");
    assert_eq!(retain(DAY_MS + 1, 5), 1);
    assert_eq!(retain(4 * DAY_MS, 5), 3);
    assert_eq!(retain(4 * DAY_MS, 2), 2);
    assert_eq!(retain(9 * DAY_MS, 5), 5, "the empty active segment stays");
    let keep = log.retention(at(9 * DAY_MS), Offset(5)).delete;
    log.delete_segments(&keep);
    assert_eq!((starts(&log), log.start_offset()), (vec![5], Offset(5)));
    log.set_options(LogOptions { delete: false, ..options });
    let mut log = aged(DAYS, LogOptions { delete: false, ..options });
    assert_eq!(log.retention(at(9 * DAY_MS), Offset(5)), Retention::default());
}

#[test]
fn a_record_from_the_future_does_not_pin_its_segment() {
    let options = LogOptions { retention_ms: Some(DAY_MS as u64), ..OPTIONS };
    let mut log = aged([900 * DAY_MS, DAY_MS, 2 * DAY_MS, 3 * DAY_MS, 4 * DAY_MS], options);
    assert_eq!(log.retention(at(2 * DAY_MS), Offset(5)).delete, [Offset(0)]);
    // Somewhat ahead is a producer's clock, and counts.
    let mut log = aged([HOUR_MS, DAY_MS, 2 * DAY_MS, 3 * DAY_MS, 4 * DAY_MS], options);
    assert_eq!(log.clone().retention(at(DAY_MS + HOUR_MS), Offset(5)).delete, []);
    assert_eq!(log.retention(at(DAY_MS + HOUR_MS + 1), Offset(5)).delete, [Offset(0)]);
}

#[test]
fn old_records_are_kept_from_their_append_on() {
    let options = LogOptions { retention_ms: Some(DAY_MS as u64), ..OPTIONS };
    let mut log = aged([-1, 5, 5, 5, 5], options);
    assert_eq!(log.retention(at(4 * DAY_MS), Offset(5)).delete, [0, 1, 2].map(Offset));
}

#[test]
fn a_jump_of_the_clock_deletes_nothing_by_age() {
    let options =
        LogOptions { retention_ms: Some(DAY_MS as u64), retention_bytes: Some(450), ..OPTIONS };
    let mut log = aged(DAYS, options);
    assert_eq!(log.retention(at(0), Offset(5)).delete, []);
    let jumped = Now { timestamp: Timestamp(900 * DAY_MS), ..at(1_000) };
    assert_eq!(log.retention(jumped, Offset(5)).delete, []);
    let held =
        Now { instant: at(1_000 + HOUR_MS).instant, timestamp: Timestamp(900 * DAY_MS + HOUR_MS) };
    assert_eq!(log.retention(held, Offset(5)).delete.len(), 5);
}

#[test]
fn a_segment_appended_under_a_wrong_clock_goes_in_the_end() {
    let mut log =
        Log::new(Offset(0), LogOptions { retention_ms: Some(1_000), ..OPTIONS }, Timestamp(0));
    add(&mut log, 5, 100, 900 * DAY_MS);
    log.roll(Timestamp(0));
    write_all(&mut log, &mut Disk::default());
    assert_eq!(log.retention(at(DAY_MS), Offset(1)).delete, []);
    assert_eq!(log.retention(at(DAY_MS + 1_001), Offset(1)).delete, [Offset(0)]);
}

#[test]
fn retention_by_size_never_goes_below_it() {
    let sizes = [(500, 0), (401, 0), (400, 1), (399, 1), (0, 5)];
    for (retention_bytes, deleted) in sizes {
        let options = LogOptions { retention_bytes: Some(retention_bytes), ..OPTIONS };
        let mut log = aged(DAYS, options);
        let retention = log.retention(at(0), Offset(5));
        assert_eq!(retention.delete.len(), deleted, "{retention_bytes}");
    }
}

#[test]
fn what_is_below_the_start_goes_under_any_policy() {
    let mut log = aged(DAYS, LogOptions { delete: false, ..OPTIONS });
    assert!(log.advance_start(Offset(2)) && !log.advance_start(Offset(1)));
    assert_eq!(log.retention(at(0), Offset(5)).delete, [Offset(0), Offset(1)]);
}

#[test]
fn an_expired_active_segment_is_rolled_then_deleted() {
    let options = LogOptions { retention_ms: Some(1_000), ..OPTIONS };
    let mut log = Log::new(Offset(0), options, Timestamp(0));
    let mut disk = Disk::default();
    add(&mut log, 1, 100, 1);
    assert_eq!(log.retention(at(1_001), Offset(1)), Retention::default());
    let retention = log.retention(at(1_002), Offset(1));
    assert_eq!(retention, Retention { delete: vec![], roll: true });
    assert!(log.roll(Timestamp(1_002)));
    assert_eq!(log.retention(at(1_002), Offset(1)).delete, [], "not durable yet");
    write_all(&mut log, &mut disk);
    assert_eq!(log.retention(at(1_002), Offset(1)).delete, [Offset(0)]);
    log.delete_segments(&[Offset(0)]);
    assert_eq!(log.read(Offset(1), 1, Offset(1), true), Read::Empty);
    assert_eq!(log.read(Offset(0), 1, Offset(1), true), Read::OutOfRange);
    assert_eq!(log.tail_bytes(), 0);
}

#[test]
fn recovery_makes_the_files_what_the_checkpoint_says() {
    let mut log = aged(DAYS, OPTIONS);
    add(&mut log, 1, 100, 0);
    let checkpoint = log.checkpoint();
    let file = |segment, kind, bytes| Found { segment: Offset(segment), kind, bytes };
    let mut found: Vec<Found> = (0..5)
        .flat_map(|at| {
            let kinds = [(FileKind::Log, 100), (FileKind::Index, 0), (FileKind::TimeIndex, 12)];
            // A record without a timestamp above -1 would have no entry; offset 0 has timestamp 0.
            kinds.map(|(kind, bytes)| file(at, kind, bytes))
        })
        .collect();
    let restore = |found: &[Found]| {
        Log::restore(&checkpoint, OPTIONS, found, &[], Timestamp(0)).map(|(_, plan)| plan)
    };
    assert_eq!(restore(&found), Ok(RecoveryPlan::default()));
    found.push(file(5, FileKind::Log, 70));
    found.push(file(77, FileKind::TimeIndex, 0));
    found[3].bytes = 150;
    found[5].bytes = 24;
    found[8].bytes = 11;
    found.remove(10);
    let plan = restore(&found).expect("nothing durable is missing");
    let cut = |kind, bytes| Truncation { segment: Offset(1), kind, bytes };
    assert_eq!(plan.truncate, [cut(FileKind::Log, 100), cut(FileKind::TimeIndex, 12)]);
    assert_eq!(plan.delete, [(Offset(5), FileKind::Log), (Offset(77), FileKind::TimeIndex)]);
    assert_eq!(plan.rebuild, [Offset(2), Offset(3)]);
    found[3].bytes = 99;
    let error = restore(&found).expect_err("a durable byte is missing");
    assert_eq!(
        error.to_string(),
        "segment file 00000000000000000001.log has 99 bytes, but 100 were durable"
    );
    found.remove(3);
    assert_eq!(restore(&found), Err(RecoveryError::Missing { segment: Offset(1) }));
}

#[test]
fn a_damaged_checkpoint_is_refused_or_harmless() {
    let mut log = aged(DAYS, LogOptions { index_interval_bytes: 0, ..OPTIONS });
    for _ in 0..3 {
        add(&mut log, 5 * DAY_MS, 100, 0);
    }
    write_all(&mut log, &mut Disk::default());
    let good = log.checkpoint();
    let found: Vec<Found> = (0..6)
        .flat_map(|segment| {
            let segment = Offset(segment);
            FileKind::ALL.map(|kind| Found { segment, kind, bytes: 1 << 32 })
        })
        .collect();
    let stored = rkyv::to_bytes::<rkyv::rancor::Error>(&good).expect("a checkpoint is storable");
    let mut random = Prng::new(1);
    let mut refused = 0;
    for round in 0..5_000 {
        let mut bytes = stored.clone();
        for _ in 0..random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.next_u64() as u8;
        }
        let loaded = rkyv::from_bytes::<LogCheckpoint, rkyv::rancor::Error>(&bytes);
        let Ok(checkpoint) = loaded else { continue };
        match Log::restore(&checkpoint, OPTIONS, &found, &[], Timestamp(0)) {
            Ok((log, _)) => assert_eq!(log.checkpoint(), checkpoint, "round {round}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn hostile_index_bytes_are_refused_or_harmless() {
    let options = LogOptions { index_interval_bytes: 50, ..OPTIONS };
    let mut log = empty(options);
    let mut disk = Disk::default();
    for timestamp in 0..40 {
        add(&mut log, timestamp, 100, 0);
    }
    write_all(&mut log, &mut disk);
    log.evict(usize::MAX);
    log.unload_indexes(0);
    let index = disk.data(Offset(0), FileKind::Index).to_vec();
    let time_index = disk.data(Offset(0), FileKind::TimeIndex).to_vec();
    assert_eq!(log.read(Offset(9), 1, Offset(40), true), Read::NeedIndex(Offset(0)));
    assert_eq!(log.on_index(Offset(7), &index, &time_index), Err(IndexError::UnknownSegment));
    assert_eq!(log.on_index(Offset(0), &index[1..], &time_index), Err(IndexError::Short));
    let zeros = vec![0; index.len()];
    assert_eq!(log.on_index(Offset(0), &zeros, &time_index), Err(IndexError::Checksum));
    let mut random = Prng::new(2);
    let mut refused = 0;
    for _ in 0..3_000 {
        let (mut index, mut time_index) = (index.clone(), time_index.clone());
        for damaged in [&mut index, &mut time_index] {
            let from = random.below(damaged.len() as u64) as usize;
            let to = (from + random.below(16) as usize).min(damaged.len());
            random.fill(&mut damaged[from..to]);
        }
        let mut log = log.clone();
        if log.on_index(Offset(0), &index, &time_index).is_err() {
            refused += 1;
            continue;
        }
        let originals = [FileKind::Index, FileKind::TimeIndex].map(|k| disk.data(Offset(0), k));
        assert_eq!([&index[..], &time_index[..]], originals);
        let data = disk.data(Offset(0), FileKind::Log);
        for offset in 0..40 {
            let Read::File(read) = log.read(Offset(offset), 500, Offset(40), true) else {
                panic!("all of it is in the file")
            };
            let _ = locate(&data[read.position as usize..], read.position, read.target);
            let _ = log.lookup_timestamp(Timestamp(offset), Offset(0));
        }
    }
    assert!(refused > 1_000, "{refused}");
}

#[test]
fn every_damaged_bit_of_a_segment_is_seen() {
    let mut log = empty(OPTIONS);
    let mut disk = Disk::default();
    for (base, epoch) in [(0, 3), (2, 3), (4, 5), (6, 5)] {
        append(&mut log, &batch(base, epoch, &[base, base], 20), 0);
    }
    write_all(&mut log, &mut disk);
    let data = disk.data(Offset(0), FileKind::Log).to_vec();
    let size = data.len() / 4;
    assert_eq!(log.sound_bytes(&data, Offset(1), 0), data.len());
    assert_eq!(log.sound_bytes(&data[size..], Offset(2), 0), 3 * size);
    assert_eq!(log.sound_bytes(&data[..data.len() - 1], Offset(0), 0), 3 * size);
    assert_eq!(log.sound_bytes(&data, Offset(2), 0), 0, "the first batch is not the one asked for");
    for at in 0..data.len() {
        for bit in 0..8 {
            let mut damaged = data.clone();
            damaged[at] ^= 1 << bit;
            assert_eq!(log.sound_bytes(&damaged, Offset(0), 0), at / size * size, "byte {at}");
        }
    }
    let swapped = [&data[..size], &data[2 * size..3 * size], &data[size..2 * size]].concat();
    assert_eq!(log.sound_bytes(&swapped, Offset(0), 0), size);
}

#[test]
fn hostile_segment_bytes_never_pass_for_batches() {
    let good: Vec<u8> = (0..5).flat_map(|at| batch(at * 2, 0, &[at, at], 30).to_vec()).collect();
    let size = good.len() / 5;
    let found = |target| match locate(&good, 7_000, Offset(target)) {
        Scan::Found { position, .. } => (position as usize - 7_000) / size,
        other => panic!("{other:?}"),
    };
    assert_eq!([0, 1, 2, 9].map(found), [0, 0, 1, 4]);
    let end = 7_000 + good.len() as u32;
    assert_eq!(locate(&good, 7_000, Offset(10)), Scan::NeedMore { position: end, bytes: 61 });
    assert_eq!(locate(&good[..60], 0, Offset(0)), Scan::NeedMore { position: 0, bytes: 61 });
    assert_eq!(locate(&[0; 200], 5, Offset(0)), Scan::Corrupt { position: 5 });
    assert_eq!(whole_batches(&good, 3 * size - 1), 2 * size);
    assert_eq!(readable(&good, usize::MAX, Offset(5)), 2 * size);
    // Offsets that go back are not those of a log.
    let twice = [&good[..size], &good[..size]].concat();
    assert_eq!(locate(&twice, 0, Offset(9)), Scan::Corrupt { position: size as u32 });
    let mut random = Prng::new(3);
    for _ in 0..5_000 {
        let mut data = good.clone();
        let from = random.below(data.len() as u64) as usize;
        let to = (from + random.below(64) as usize).min(data.len());
        random.fill(&mut data[from..to]);
        for position in [0, u32::MAX - 100] {
            let _ = locate(&data, position, Offset(8));
            let _ = locate_timestamp(&data, position, Timestamp(9), Offset(0));
        }
        assert!(readable(&data, usize::MAX, Offset(9)) <= data.len());
        let mut scan = SegmentScan::new(Offset(0), 10, Offset(i64::MAX));
        let _ = scan.push(&data);
        assert!(scan.position() as usize <= data.len());
    }
}
