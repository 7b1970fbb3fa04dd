//! Histories with planted faults: each must be noticed as what it is, and sound ones must pass.

use ringmain::stdx::prng::Prng;

use super::*;

const RUN: u64 = 42;
const BATCH: u64 = 5;
const PARTITIONS: u32 = 3;
const PRODUCERS: u32 = 2;

/// The log of a partition as a list of records, first offset first.
type Log = Vec<Seen>;

struct History {
    idempotent: bool,
    acknowledged: Vec<(u32, u32, u64, Option<i64>)>,
    retried: Vec<(u32, u32, u64)>,
    logs: Vec<Log>,
}

fn record(producer: u32, partition: u32, number: u64) -> Seen {
    Seen::Numbered(Numbered { run: RUN, producer, partition, number })
}

/// A sound history: every batch acknowledged, batches of the producers interleaved at random.
fn sound(random: &mut Prng, idempotent: bool) -> History {
    let mut history =
        History { idempotent, acknowledged: Vec::new(), retried: Vec::new(), logs: Vec::new() };
    for partition in 0..PARTITIONS {
        let mut log = Log::new();
        let mut next = [0_u64; PRODUCERS as usize];
        for _ in 0..random.between(10, 30) {
            let producer = random.below(u64::from(PRODUCERS)) as u32;
            let first = next[producer as usize];
            next[producer as usize] += BATCH;
            history.acknowledged.push((producer, partition, first, Some(log.len() as i64)));
            log.extend((first..first + BATCH).map(|number| record(producer, partition, number)));
        }
        history.logs.push(log);
    }
    history
}

fn judge(history: &History) -> Verdict {
    judge_with(history, |_| {})
}

fn judge_with(history: &History, also: impl FnOnce(&mut Checker)) -> Verdict {
    let starts = vec![0; history.logs.len()];
    let mut checker = Checker::new(RUN, PRODUCERS, history.idempotent, 6 * BATCH, &starts);
    for (producer, partition, first) in &history.retried {
        assert!(checker.on_retried(*producer, *partition, (*first, BATCH)));
    }
    for (producer, partition, first, base) in &history.acknowledged {
        assert!(checker.on_acknowledged(*producer, *partition, (*first, BATCH), *base));
    }
    also(&mut checker);
    for (partition, log) in history.logs.iter().enumerate() {
        checker.on_read_begins(partition, 0);
        for (offset, seen) in (0..).zip(log) {
            checker.on_record(partition, offset, *seen);
        }
        checker.on_read_complete(partition);
    }
    checker.finish()
}

fn for_many_seeds(check: impl Fn(&mut Prng)) {
    for seed in 0..200 {
        println!("seed {seed}");
        check(&mut Prng::new(seed));
    }
}

/// A random partition, and a random position in its log.
fn pick(random: &mut Prng, history: &History) -> (usize, usize) {
    let partition = random.below(history.logs.len() as u64) as usize;
    let at = random.below(history.logs[partition].len() as u64) as usize;
    (partition, at)
}

#[test]
fn sound_histories_pass() {
    for_many_seeds(|random| {
        for idempotent in [true, false] {
            let verdict = judge(&sound(random, idempotent));
            assert!(verdict.is_ok(), "{}", verdict.to_text());
            assert_eq!(verdict.acknowledged, verdict.read);
        }
    });
}

#[test]
fn a_dropped_record_is_lost() {
    for_many_seeds(|random| {
        for idempotent in [true, false] {
            let mut history = sound(random, idempotent);
            let (partition, at) = pick(random, &history);
            history.logs[partition].remove(at);
            let verdict = judge(&history);
            assert_eq!(verdict.lost, 1, "{}", verdict.to_text());
            assert!(!verdict.is_ok());
        }
    });
}

#[test]
fn a_cut_tail_is_lost() {
    for_many_seeds(|random| {
        let mut history = sound(random, true);
        let (partition, at) = pick(random, &history);
        let cut = history.logs[partition].len() - at;
        history.logs[partition].truncate(at);
        let verdict = judge(&history);
        assert_eq!(verdict.lost, cut as u64);
        assert!(!verdict.is_ok());
    });
}

#[test]
fn an_emptied_topic_is_lost() {
    let mut history = sound(&mut Prng::new(1), true);
    let all: usize = history.logs.iter().map(Vec::len).sum();
    history.logs.iter_mut().for_each(Vec::clear);
    let verdict = judge(&history);
    assert_eq!(verdict.lost, all as u64);
    assert!(!verdict.is_ok());
}

#[test]
fn a_duplicated_record_is_noticed() {
    for_many_seeds(|random| {
        for idempotent in [true, false] {
            let mut history = sound(random, idempotent);
            let (partition, at) = pick(random, &history);
            let copy = history.logs[partition][at];
            let to = random.between(at as u64 + 1, history.logs[partition].len() as u64) as usize;
            history.logs[partition].insert(to, copy);
            let verdict = judge(&history);
            assert_eq!(verdict.duplicated, 1, "{}", verdict.to_text());
            assert!(!verdict.is_ok());
        }
    });
}

#[test]
fn a_duplicated_retried_batch_is_excused_without_idempotence_only() {
    for_many_seeds(|random| {
        for idempotent in [true, false] {
            let mut history = sound(random, idempotent);
            let (producer, partition, first, _) =
                history.acknowledged[random.below(history.acknowledged.len() as u64) as usize];
            history.retried.push((producer, partition, first));
            let copies = (first..first + BATCH).map(|number| record(producer, partition, number));
            history.logs[partition as usize].extend(copies);
            let verdict = judge(&history);
            assert_eq!(verdict.is_ok(), !idempotent, "{}", verdict.to_text());
            assert_eq!(verdict.duplicated + verdict.duplicated_by_retry, BATCH);
        }
    });
}

#[test]
fn swapped_records_are_reordered() {
    for_many_seeds(|random| {
        for idempotent in [true, false] {
            let mut history = sound(random, idempotent);
            let (partition, at) = pick(random, &history);
            let at = at - at % BATCH as usize;
            history.logs[partition].swap(at, at + 1);
            let verdict = judge(&history);
            assert_eq!((verdict.reordered, verdict.moved), (1, 2), "{}", verdict.to_text());
            assert!(!verdict.is_ok());
        }
    });
}

#[test]
fn swapped_batches_are_reordered_even_without_offsets() {
    let mut history = sound(&mut Prng::new(5), true);
    history.acknowledged.iter_mut().for_each(|ack| ack.3 = None);
    let log = &mut history.logs[0];
    let producer = |seen: &Seen| match seen {
        Seen::Numbered(numbered) => numbered.producer,
        _ => unreachable!(),
    };
    let batches: Vec<usize> =
        (0..log.len()).step_by(BATCH as usize).filter(|at| producer(&log[*at]) == 0).collect();
    for step in 0..BATCH as usize {
        log.swap(batches[0] + step, batches[1] + step);
    }
    let verdict = judge(&history);
    assert_eq!(verdict.reordered, BATCH, "{}", verdict.to_text());
    assert!(!verdict.is_ok());
}

#[test]
fn damage_is_corrupted_and_lost() {
    for_many_seeds(|random| {
        let mut history = sound(random, true);
        let (partition, at) = pick(random, &history);
        history.logs[partition][at] = Seen::Corrupt;
        let verdict = judge(&history);
        assert_eq!((verdict.corrupted, verdict.lost), (1, 1), "{}", verdict.to_text());
        let (partition, at) = pick(random, &history);
        history.logs[partition][at] = Seen::Foreign;
        let verdict = judge(&history);
        assert_eq!(verdict.foreign, 1, "{}", verdict.to_text());
        assert!(!verdict.is_ok());
    });
    let history = sound(&mut Prng::new(1), true);
    let verdict =
        judge_with(&history, |checker| checker.on_damage(0, 3, "a batch with a wrong CRC"));
    assert!(!verdict.is_ok());
}

#[test]
fn a_record_in_the_wrong_partition_is_misplaced() {
    for_many_seeds(|random| {
        let mut history = sound(random, true);
        let (partition, at) = pick(random, &history);
        let stray = history.logs[partition].remove(at);
        history.logs[(partition + 1) % PARTITIONS as usize].push(stray);
        let verdict = judge(&history);
        assert_eq!((verdict.misplaced, verdict.lost), (1, 1), "{}", verdict.to_text());
        assert!(!verdict.is_ok());
    });
}

#[test]
fn a_record_that_was_never_written_is_foreign() {
    for (producer, number) in [(0, u64::MAX), (0, 100_000), (9, 0)] {
        let mut history = sound(&mut Prng::new(2), true);
        history.logs[0].push(record(producer, 0, number));
        let verdict = judge(&history);
        assert_eq!(verdict.foreign, 1, "{}", verdict.to_text());
        assert!(!verdict.is_ok());
    }
}

#[test]
fn an_acknowledged_offset_that_holds_another_record_is_noticed() {
    for_many_seeds(|random| {
        let mut history = sound(random, true);
        let at = random.below(history.acknowledged.len() as u64) as usize;
        let base = history.acknowledged[at].3.unwrap();
        history.acknowledged[at].3 = Some(base + 1);
        let verdict = judge(&history);
        assert_eq!(verdict.moved, BATCH, "{}", verdict.to_text());
        assert!(!verdict.is_ok());
    });
}

#[test]
fn records_without_acknowledgement_may_be_there_or_not() {
    for_many_seeds(|random| {
        let mut history = sound(random, true);
        let (producer, partition, first, base) = history.acknowledged.pop().unwrap();
        let verdict = judge(&history);
        assert!(verdict.is_ok(), "{}", verdict.to_text());
        assert_eq!(verdict.unacknowledged_present, BATCH);
        history.logs[partition as usize].truncate(base.unwrap() as usize);
        let verdict = judge(&history);
        assert!(verdict.is_ok(), "{}", verdict.to_text());
        assert_eq!(verdict.unacknowledged_present, 0, "{producer} {first}");
    });
}

#[test]
fn gaps_and_steps_back_of_offsets_are_noticed() {
    for offsets in [[0, 1, 3], [0, 1, 1], [0, 2, 1], [1, 2, 3]] {
        let mut checker = Checker::new(RUN, 1, true, 100, &[0]);
        checker.on_acknowledged(0, 0, (0, 3), None);
        checker.on_read_begins(0, 0);
        for (number, offset) in (0..).zip(offsets) {
            checker.on_record(0, offset, record(0, 0, number));
        }
        checker.on_read_complete(0);
        let verdict = checker.finish();
        assert!(verdict.offset_gaps > 0 && !verdict.is_ok(), "{offsets:?}");
    }
}

#[test]
fn what_was_read_along_must_stay() {
    for_many_seeds(|random| {
        let history = sound(random, true);
        let along = |checker: &mut Checker| {
            for (partition, log) in history.logs.iter().enumerate() {
                for (offset, seen) in (0..).zip(log) {
                    checker.on_record_along(partition, offset, *seen);
                }
            }
        };
        assert!(judge_with(&history, along).is_ok());
        // A record that nobody acknowledged, but somebody read, is gone.
        let verdict = judge_with(&history, |checker| {
            along(checker);
            let Checker { partitions, .. } = &*checker;
            let number = partitions[0].streams[0].acknowledged_end;
            checker.on_record_along(0, history.logs[0].len() as i64, record(0, 0, number));
        });
        assert_eq!(verdict.vanished, 1, "{}", verdict.to_text());
        assert!(!verdict.is_ok());
    });
}

#[test]
fn nothing_acknowledged_or_not_read_is_not_ok() {
    let mut history = sound(&mut Prng::new(3), true);
    history.acknowledged.clear();
    history.logs.iter_mut().for_each(Vec::clear);
    assert!(!judge(&history).is_ok());

    let mut checker = Checker::new(RUN, 1, true, 100, &[0, 0]);
    checker.on_acknowledged(0, 0, (0, 1), None);
    checker.on_read_begins(0, 0);
    checker.on_record(0, 0, record(0, 0, 0));
    checker.on_read_complete(0);
    // Partition 1 was never read.
    let verdict = checker.finish();
    assert_eq!(verdict.unread_partitions, 1);
    assert!(!verdict.is_ok());

    let mut verdict = judge(&sound(&mut Prng::new(4), true));
    verdict.refusals.push("a producer was refused".to_owned());
    assert!(!verdict.is_ok());
}

#[test]
fn other_runs_and_older_records_do_not_count() {
    let mut checker = Checker::new(RUN, 1, true, 100, &[2]);
    checker.on_acknowledged(0, 0, (0, 1), Some(3));
    checker.on_read_begins(0, 0);
    checker.on_record(0, 0, Seen::Foreign);
    checker.on_record(0, 1, Seen::Corrupt);
    let other = Numbered { run: RUN + 1, producer: 7, partition: 9, number: 3 };
    checker.on_record(0, 2, Seen::Numbered(other));
    checker.on_record(0, 3, record(0, 0, 0));
    checker.on_read_complete(0);
    let verdict = checker.finish();
    assert!(verdict.is_ok(), "{}", verdict.to_text());
    assert_eq!(verdict.of_other_runs, 1);
}

#[test]
fn the_reader_is_sent_to_where_acknowledgements_point() {
    let mut checker = Checker::new(RUN, 1, true, 100, &[50]);
    assert_eq!(checker.range_to_read(0), (50, 50));
    checker.on_acknowledged(0, 0, (0, 5), Some(60));
    assert_eq!(checker.range_to_read(0), (50, 65));
    // A log that was cut below where it ended before: its acknowledgements are still found.
    checker.on_acknowledged(0, 0, (5, 5), Some(10));
    assert_eq!(checker.range_to_read(0), (10, 65));
}
