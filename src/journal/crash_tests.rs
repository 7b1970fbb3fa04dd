//! Crashes at every point of a trace, and rot at every byte.

use super::memory_disk::{BLOCK, Disk, Driver, Recovered, options, partition};
use super::{
    Coverage, Dumped, Ends, EntryKind, FileHeader, FileNumber, GroupSequence, Lane, Lost,
    PlanFault, Refusal, ReplayedEntry, Slot, Stop, dump, limit,
};
use crate::ids::{Incarnation, Offset};
use crate::stdx::prng::Prng;

const LANE: Lane = Lane::Flushed;

/// An entry as the trace appended it: its group, its offset, its payload.
type Appended = (GroupSequence, i64, Vec<u8>);

fn payload(prng: &mut Prng, bytes_max: u64) -> Vec<u8> {
    let mut payload = vec![0; prng.between(1, bytes_max) as usize];
    prng.fill(&mut payload);
    payload
}

/// What replay gave must be the groups from some one below what was released to some last one,
/// whole, and all that were durable.
fn check(recovered: &Recovered, state: &State<'_>, context: &str) {
    let State { appended, released, driver, .. } = state;
    let durable = driver.journal.durable();
    let last = recovered.end.last;
    let is_kept = appended
        .iter()
        .all(|(group, base, _)| *group <= last || *group > durable || base < released);
    assert!(is_kept, "{context}: durable up to {durable:?}, recovered {:?}", recovered.end);
    let first = recovered.entries.first().map_or(i64::MAX, |entry| entry.base_offset.0);
    let is_kept =
        appended.iter().all(|(group, base, _)| *group > last || base < released || *base >= first);
    assert!(is_kept, "{context}: released up to {released}, recovered from {first}");
    let expected = appended.iter().filter(|(group, base, _)| *group <= last && *base >= first);
    let found = recovered.entries.iter().map(|entry| (entry.base_offset.0, &entry.payload[..]));
    let expected = expected.map(|(_, base, payload)| (*base, &payload[..]));
    assert!(expected.eq(found), "{context}: other entries than those appended");
    assert_eq!(recovered.end.lost, None, "{context}: {:?}", recovered.end);
}

/// A trace after one of its steps.
struct State<'a> {
    driver: &'a Driver,
    disk: &'a Disk,
    appended: &'a [Appended],
    /// The offset up to which entries were released.
    released: i64,
    step: usize,
}

/// Runs a trace and calls `at_step` with the state after every step.
fn trace(seed: u64, steps: usize, mut at_step: impl FnMut(State<'_>)) {
    let mut prng = Prng::new(seed);
    let mut disk = Disk::default();
    let mut driver = Driver::new(options(1, LANE));
    let mut appended: Vec<Appended> = Vec::new();
    let mut next = 0;
    let mut released = 0;
    for step in 0..steps {
        match prng.below(4) {
            0 | 1 => {
                // Some are larger than a group of several.
                let large = prng.below(8) == 0;
                let payload = payload(&mut prng, if large { 25_000 } else { 3000 });
                match driver.append(partition(0), next, next + 1, &payload) {
                    Ok(group) => {
                        appended.push((group, next, payload));
                        next += 1;
                    }
                    Err(refusal) => assert_eq!(refusal, Refusal::Full),
                }
            }
            2 => {
                driver.poll();
            }
            _ => {
                if !driver.pending.is_empty() {
                    let index = prng.below(driver.pending.len() as u64) as usize;
                    driver.complete(index, &mut disk);
                }
            }
        }
        if driver.journal.needs_checkpoint().is_some() {
            // Everything durable also reaches the segments, so the ring turns.
            let durable = driver.journal.durable();
            released = appended.iter().filter(|(group, ..)| *group <= durable).count() as i64;
            driver.journal.release(GroupSequence(u64::MAX), |_| Some(Offset(released)));
        }
        let (driver, disk, appended) = (&driver, &disk, &appended[..]);
        at_step(State { driver, disk, appended, released, step });
    }
}

fn check_crash(crashed: &Disk, state: &State<'_>, context: &str) {
    let (plan, recovered) = crashed.recover();
    assert_eq!(plan.faults, [], "{context}");
    let durable = state.driver.journal.durable();
    match &recovered[..] {
        [] => assert_eq!(durable, GroupSequence(0), "{context}: nothing recovered"),
        [one] => check(one, state, context),
        _ => panic!("{context}: one journal has one chain"),
    }
}

#[test]
fn every_cut_of_every_unfinished_write_keeps_what_was_durable() {
    let mut crash_count = 0;
    let mut beyond_durable_count = 0;
    let mut recycled_count = 0;
    trace(1, 260, |state| {
        let State { driver, disk, step, .. } = state;
        for (cut_index, cut) in driver.pending.iter().enumerate() {
            // The other unfinished writes: lost, kept, those before kept, those behind kept.
            for others in 0..4 {
                for sector_count in 0..=cut.sectors() {
                    // The cut one keeps its first sectors, or its last.
                    for keeps_first in [true, false] {
                        let mut crashed = disk.clone();
                        for (index, pending) in driver.pending.iter().enumerate() {
                            let survives = match others {
                                0 => false,
                                1 => true,
                                2 => index < cut_index,
                                _ => index > cut_index,
                            };
                            pending.write(&mut crashed, LANE, |sector| {
                                if index == cut_index {
                                    (sector < sector_count) == keeps_first
                                } else {
                                    survives
                                }
                            });
                        }
                        let context =
                            format!("step {step} cut {cut_index} {others} {sector_count}");
                        check_crash(&crashed, &state, &context);
                        crash_count += 1;
                        let (_, recovered) = crashed.recover();
                        let last = recovered.first().map(|one| one.end.last);
                        beyond_durable_count += u32::from(last > Some(driver.journal.durable()));
                        let front = recovered.first().map(|one| one.chain.files[0].1.number);
                        recycled_count += u32::from(front > Some(FileNumber(4)));
                    }
                }
            }
        }
    });
    // The enumeration is worth something only if it meets all of these.
    assert!(crash_count > 5_000, "{crash_count}");
    assert!(beyond_durable_count > 100, "{beyond_durable_count}");
    assert!(recycled_count > 100, "{recycled_count}");
}

#[test]
fn random_subsets_of_sectors_keep_what_was_durable() {
    for seed in 0..60 {
        let mut losses = Prng::new(seed ^ 0xdead);
        trace(seed, 220, |state| {
            let mut crashed = state.disk.clone();
            for pending in &state.driver.pending {
                let odds = losses.below(5);
                pending.write(&mut crashed, LANE, |_| losses.below(4) < odds);
            }
            check_crash(&crashed, &state, &format!("seed {seed} step {}", state.step));
        });
    }
}

/// A settled journal of `group_count` groups with one entry each, all in flight one by one.
fn settled(incarnation: u64, group_count: i64, disk: &mut Disk) -> Driver {
    let mut prng = Prng::new(incarnation);
    let mut driver = Driver::new(options(incarnation, LANE));
    driver.settle(disk);
    for base in 0..group_count {
        driver
            .append(
                partition(0),
                base,
                base + 1,
                &payload(&mut prng, if base % 5 == 4 { 20_000 } else { 2500 }),
            )
            .unwrap();
        driver.settle(disk);
        driver.journal.release(GroupSequence(u64::MAX), |_| Some(Offset(base - 3)));
    }
    driver
}

fn only(disk: &Disk) -> Recovered {
    let (plan, mut recovered) = disk.recover();
    assert_eq!(plan.faults, []);
    assert_eq!(recovered.len(), 1);
    recovered.remove(0)
}

#[test]
fn a_bit_flip_at_any_byte_is_noticed_or_harms_nothing() {
    let mut disk = Disk::default();
    settled(1, 9, &mut disk);
    let whole = only(&disk);
    assert!(whole.chain.files.len() >= 2);
    let keys = disk.listing();
    let mut lost_count = 0;
    for key in keys {
        for at in 0..disk.files[&key].len() {
            let mut rotten = disk.clone();
            rotten.files.get_mut(&key).unwrap()[at] ^= 1 << (at % 8);
            let context = format!("{key:?} byte {at}");
            let (plan, recovered) = rotten.recover();
            if !plan.faults.is_empty() {
                continue;
            }
            // The header of a file that was prepared ahead may have become unreadable: a fault.
            assert_eq!(recovered.len(), 1, "{context}");
            let recovered = &recovered[0];
            // What is yielded was appended, in any case.
            assert!(whole.entries.starts_with(&recovered.entries), "{context}");
            if recovered.end.lost.is_some() {
                lost_count += 1;
            } else if recovered.entries != whole.entries {
                // Only the newest group has no later one that knows it to have been durable.
                assert_eq!(recovered.end.last.0 + 1, whole.end.last.0, "{context}");
            }
        }
    }
    assert!(lost_count > 1000, "{lost_count}");
}

#[test]
fn stale_groups_of_a_recycled_file_are_never_read() {
    let mut disk = Disk::default();
    settled(1, 40, &mut disk);
    let recovered = only(&disk);
    // All slots were used several times, so old groups follow the new ones.
    assert!(recovered.chain.files.iter().all(|(_, header)| header.number.0 > 4));
    assert_eq!(recovered.end.last, GroupSequence(40));
    assert!(matches!(recovered.end.stop, Stop::Stale | Stop::Foreign), "{:?}", recovered.end);
    assert_eq!(recovered.end.lost, None);
    let offsets: Vec<_> = recovered.entries.iter().map(|entry| entry.base_offset.0).collect();
    assert_eq!(offsets, (offsets[0]..40).collect::<Vec<_>>());
}

#[test]
fn the_same_journal_of_another_incarnation_shard_or_file_is_never_read() {
    let mut disk = Disk::default();
    settled(1, 2, &mut disk);
    let key = (LANE, Slot(0));
    let original = FileHeader::parse(&disk.files[&key]).unwrap();
    let others = [
        FileHeader { incarnation: Incarnation(2), ..original },
        FileHeader { shard: crate::ids::ShardId(1), ..original },
        FileHeader { lane: Lane::Unflushed, ..original },
        FileHeader {
            number: FileNumber(7),
            oldest: (original.incarnation, FileNumber(7)),
            ..original
        },
    ];
    for header in others {
        // A new header over old groups: the file was recycled and nothing written yet.
        let mut recycled = Disk::default();
        recycled.files.insert(key, disk.files[&key].clone());
        header.write(recycled.files.get_mut(&key).unwrap());
        let recovered = only(&recycled);
        assert_eq!(recovered.entries, []);
        assert_eq!(recovered.end.stop, Stop::Stale);
    }
    // And a group that the device wrote to another place of the same file.
    let file = disk.files.get_mut(&key).unwrap();
    file.copy_within(BLOCK as usize..2 * BLOCK as usize, 4 * BLOCK as usize);
    file[BLOCK as usize..2 * BLOCK as usize].fill(0);
    file.copy_within(4 * BLOCK as usize..5 * BLOCK as usize, 2 * BLOCK as usize);
    assert_eq!(only(&disk).entries, []);
}

#[test]
fn a_lost_write_of_acknowledged_groups_is_reported() {
    let mut disk = Disk::default();
    settled(1, 9, &mut disk);
    let whole = only(&disk);
    // A write that the device acknowledged and dropped: the second group is zeroes.
    let file = disk.files.get_mut(&(LANE, Slot(0))).unwrap();
    let mut positions = Vec::new();
    dump(&file.clone(), |dumped| {
        if let Dumped::Group { position, bytes, .. } = dumped {
            positions.push((position as usize, bytes));
        }
    });
    let (position, bytes) = positions[1];
    file[position..position + bytes].fill(0);
    let recovered = only(&disk);
    assert_eq!(recovered.entries, whole.entries[..1]);
    assert_eq!(recovered.end.stop, Stop::Zeroes);
    assert_eq!(recovered.end.lost.map(|lost| lost.first), Some(GroupSequence(2)));
}

#[test]
fn what_lands_after_a_start_has_read_is_not_read_by_the_next() {
    let mut disk = Disk::default();
    let mut driver = settled(1, 1, &mut disk);
    for base in 1..3 {
        driver.append(partition(0), base, base + 1, &[7; 5000]).unwrap();
        driver.poll();
    }
    // The process is killed with two groups on their way; the next start reads what is there.
    let seen = only(&disk);
    assert_eq!(seen.end.last, GroupSequence(1));
    let mut ends = Ends::default();
    ends.note(&seen.chain, seen.end.last);
    let records = [(Incarnation(2), Ends::decode(&ends.encode()).unwrap())];
    let limit = limit(&records, &seen.chain);
    let again = |disk: &Disk| disk.replay_until(seen.chain.clone(), BLOCK as usize, limit);
    assert_eq!(again(&disk).entries, seen.entries);
    driver.settle(&mut disk);
    // Were it not for the limit the start after it would find more.
    assert_eq!(only(&disk).end.last, GroupSequence(3));
    let recovered = again(&disk);
    assert_eq!(recovered.entries, seen.entries);
    assert_eq!((recovered.end.stop, recovered.end.lost), (Stop::Limit, None));
    // What the start before it has read has to be there.
    disk.files.values_mut().for_each(|file| file[BLOCK as usize..].fill(0));
    let lost = Lost { first: GroupSequence(1), durable: GroupSequence(1) };
    assert_eq!(again(&disk).end.lost, Some(lost));
    // And of what it has not read not even that is searched for.
    let none = disk.replay_until(seen.chain.clone(), BLOCK as usize, Some(GroupSequence(0)));
    assert_eq!((none.entries, none.end.stop, none.end.lost), (vec![], Stop::Limit, None));
}

#[test]
fn a_file_that_is_gone_is_reported() {
    let mut disk = Disk::default();
    let mut driver = settled(1, 0, &mut disk);
    for base in 0..12 {
        driver.append(partition(0), base, base + 1, &[7; 5000]).unwrap();
        driver.settle(&mut disk);
    }
    disk.files.remove(&(LANE, Slot(1)));
    let (plan, recovered) = disk.recover();
    assert!(matches!(plan.faults[..], [PlanFault::Missing { file: FileNumber(2), .. }]));
    assert_eq!(recovered[0].end.last, GroupSequence(3));
}

#[test]
fn a_file_that_is_too_short_ends_there() {
    let mut disk = Disk::default();
    settled(1, 2, &mut disk);
    let key = (LANE, Slot(0));
    for length in 60..disk.files[&key].len() {
        let mut short = disk.clone();
        short.files.get_mut(&key).unwrap().truncate(length);
        let (_, recovered) = short.recover();
        for recovered in recovered {
            assert!(recovered.entries.len() <= 2);
        }
    }
}

#[test]
fn garbage_never_panics() {
    let mut prng = Prng::new(77);
    let mut disk = Disk::default();
    settled(3, 12, &mut disk);
    let whole: Vec<ReplayedEntry> = only(&disk).entries;
    for _ in 0..400 {
        let mut garbage = disk.clone();
        for file in garbage.files.values_mut() {
            for _ in 0..prng.below(4) {
                let at = prng.below(file.len() as u64) as usize;
                let end = (at + prng.below(5000) as usize).min(file.len());
                match prng.below(3) {
                    0 => prng.fill(&mut file[at..end]),
                    1 => file[at..end].fill(0xff),
                    _ => {
                        let from = prng.below((file.len() - (end - at)) as u64 + 1) as usize;
                        file.copy_within(from..from + (end - at), at);
                    }
                }
            }
        }
        let (_, recovered) = garbage.recover();
        for entry in recovered.iter().flat_map(|recovered| &recovered.entries) {
            assert!(whole.contains(entry), "bytes that were never appended");
        }
        for file in garbage.files.values() {
            dump(file, |dumped| assert!(!dumped.to_string().is_empty()));
        }
    }
}

#[test]
fn dump_shows_all_of_a_file() {
    let mut disk = Disk::default();
    let mut driver = Driver::new(options(5, LANE));
    driver.append(partition(2), 10, 12, b"abc").unwrap();
    driver.append(partition(3), 0, 1, b"").unwrap();
    driver.settle(&mut disk);
    let mut lines = Vec::new();
    dump(&disk.files[&(LANE, Slot(0))], |dumped| lines.push(dumped.to_string()));
    assert_eq!(
        lines,
        [
            "journal file: 1 oldest: 1 of 0 incarnation: 5 shard: 0 lane: flushed size: 32768",
            "group: 1 position: 4096 size: 4096 durable: 0 entries: 2",
            "| Batch topic: AwMDAwMDAwMDAwMDAwMDAw partition: 2 baseOffset: 10 nextOffset: 12 \
             leaderEpoch: 5 payloadsize: 3",
            "| Batch topic: AwMDAwMDAwMDAwMDAwMDAw partition: 3 baseOffset: 0 nextOffset: 1 \
             leaderEpoch: 5 payloadsize: 0",
            "end at position 8192: zeroes: never written",
        ]
    );
    assert_eq!(EntryKind::from_code(EntryKind::LogStart.code()), Some(EntryKind::LogStart));
    let empty: Vec<_> = Coverage::default().sorted();
    assert_eq!(empty, []);
}
