//! Group commit without crashes: order, back-pressure, recycling, checkpoints.

use super::memory_disk::{BLOCK, Disk, Driver, Pending, options, partition};
use super::{
    Action, Checked, CheckpointDemand, ENTRY_HEADER_BYTES, Entry, EntryKind, GROUP_HEADER_BYTES,
    GroupSequence, Journal, JournalOptions, Lane, Refusal, Slot,
};
use crate::ids::{LeaderEpoch, Offset};

fn driver() -> (Driver, Disk) {
    let mut driver = Driver::new(options(1, Lane::Flushed));
    let mut disk = Disk::default();
    driver.settle(&mut disk);
    (driver, disk)
}

/// Payload of the largest entry of these options.
const LARGEST: usize = 3 * BLOCK as usize - GROUP_HEADER_BYTES - ENTRY_HEADER_BYTES;

fn groups(driver: &Driver) -> Vec<(Slot, u64, u64)> {
    let groups = driver.pending.iter().filter_map(|pending| match pending {
        Pending::Group { slot, position, group, .. } => Some((*slot, *position / BLOCK, group.0)),
        Pending::Prepare { .. } => None,
    });
    groups.collect()
}

fn complete(driver: &mut Driver, disk: &mut Disk, sequence: u64) {
    let is_it = |pending: &Pending| match pending {
        Pending::Group { group, .. } => group.0 == sequence,
        Pending::Prepare { .. } => false,
    };
    let index = driver.pending.iter().position(is_it).expect("the group is in flight");
    driver.complete(index, disk);
}

#[test]
fn what_arrives_together_shares_a_group() {
    let (mut driver, _) = driver();
    assert_eq!(driver.append(partition(0), 0, 1, b"a"), Ok(GroupSequence(1)));
    assert_eq!(driver.append(partition(1), 7, 9, b"b"), Ok(GroupSequence(1)));
    assert!(driver.journal.has_open());
    assert_eq!(driver.poll(), [GroupSequence(1)]);
    assert!(!driver.journal.has_open() && !driver.journal.is_settled());
    assert_eq!(driver.append(partition(0), 1, 2, b"c"), Ok(GroupSequence(2)));
}

#[test]
fn a_group_collects_while_the_device_is_busy() {
    let (mut driver, mut disk) = driver();
    for base in 0..3 {
        driver.append(partition(0), base, base + 1, b"x").unwrap();
        assert_eq!(driver.poll().len(), 1);
    }
    for base in 3..10 {
        assert_eq!(driver.append(partition(0), base, base + 1, b"x"), Ok(GroupSequence(4)));
        assert_eq!(driver.poll(), []);
    }
    complete(&mut driver, &mut disk, 1);
    assert_eq!(driver.poll(), [GroupSequence(4)]);
    assert_eq!(groups(&driver), [(Slot(0), 2, 2), (Slot(0), 3, 3), (Slot(0), 4, 4)]);
}

#[test]
fn a_group_is_durable_only_with_all_before_it() {
    let (mut driver, mut disk) = driver();
    for base in 0..3 {
        driver.append(partition(0), base, base + 1, b"x").unwrap();
        driver.poll();
    }
    complete(&mut driver, &mut disk, 3);
    complete(&mut driver, &mut disk, 2);
    assert_eq!(driver.journal.durable(), GroupSequence(0));
    complete(&mut driver, &mut disk, 1);
    assert_eq!(driver.journal.durable(), GroupSequence(3));
    driver.settle(&mut disk);
    assert!(driver.journal.is_settled());
}

#[test]
fn full_groups_wait_and_then_push_back() {
    let (mut driver, mut disk) = driver();
    let mut taken = 0;
    while driver.append(partition(0), taken, taken + 1, &[1; LARGEST]).is_ok() {
        driver.poll();
        taken += 1;
    }
    // Two in the first file and one in the second, which is the device's depth, three waiting, one
    // open; but the second file was not there, so only two were issued.
    assert_eq!(groups(&driver).len(), 2);
    assert_eq!(taken, 6);
    assert_eq!(driver.append(partition(0), taken, taken + 1, b"x"), Err(Refusal::Full));
    driver.settle(&mut disk);
    assert_eq!(driver.journal.durable(), GroupSequence(6));
    assert_eq!(driver.append(partition(0), taken, taken + 1, b"x"), Ok(GroupSequence(7)));
}

#[test]
fn a_large_entry_gets_a_group_of_its_own() {
    const WHOLE_FILE: usize = 7 * BLOCK as usize - GROUP_HEADER_BYTES - ENTRY_HEADER_BYTES;
    let (mut driver, mut disk) = driver();
    driver.settle(&mut disk);
    assert_eq!(driver.append(partition(0), 0, 1, &[1; WHOLE_FILE + 1]), Err(Refusal::TooLarge));
    let entries = [(10, 1), (LARGEST + 1, 2), (10, 3), (10, 3), (WHOLE_FILE, 4), (1, 5)];
    for (next, (bytes, group)) in (0..).zip(entries) {
        let payload = vec![7; bytes];
        let appended = driver.append(partition(0), next, next + 1, &payload);
        if bytes == WHOLE_FILE {
            assert_eq!(appended, Err(Refusal::Full), "one large entry waits at a time");
            driver.settle(&mut disk);
            let appended = driver.append(partition(0), next, next + 1, &payload);
            assert_eq!(appended, Ok(GroupSequence(group)));
        } else {
            assert_eq!(appended, Ok(GroupSequence(group)));
        }
    }
    driver.settle(&mut disk);
    assert_eq!(driver.journal.durable(), GroupSequence(5));
}

#[test]
fn a_file_is_prepared_ahead_and_a_roll_does_not_wait() {
    let (mut driver, mut disk) = driver();
    driver.append(partition(0), 0, 1, b"x").unwrap();
    driver.poll();
    // Opening the first file asked for the second.
    let prepares = driver.pending.iter().filter(|p| matches!(p, Pending::Prepare { .. })).count();
    assert_eq!(prepares, 1);
    driver.settle(&mut disk);
    for base in 1..8 {
        driver.append(partition(0), base, base + 1, b"x").unwrap();
        assert_eq!(driver.poll().len(), 1, "the group of {base} waits");
        while let Some(index) =
            driver.pending.iter().position(|p| matches!(p, Pending::Group { .. }))
        {
            driver.complete(index, &mut disk);
        }
    }
}

#[test]
fn the_ring_asks_for_checkpoints_and_recycles() {
    let (mut driver, mut disk) = driver();
    let mut next = 0;
    let mut append = |driver: &mut Driver, disk: &mut Disk| {
        driver.append(partition(next as i32 % 2), next, next + 1, &[1; 9000]).unwrap();
        next += 1;
        driver.settle(disk);
    };
    // Two groups fit into a file.
    for _ in 0..4 {
        append(&mut driver, &mut disk);
    }
    assert_eq!(driver.journal.needs_checkpoint(), None);
    append(&mut driver, &mut disk);
    let demand =
        CheckpointDemand { partitions: vec![(partition(0), Offset(1)), (partition(1), Offset(2))] };
    assert_eq!(driver.journal.needs_checkpoint(), Some(demand));
    assert_eq!(driver.journal.needs_checkpoint(), None, "a file is asked for once");
    for _ in 0..3 {
        append(&mut driver, &mut disk);
    }
    // Four files are full, and none is free.
    driver.append(partition(0), 100, 101, &[1; 9000]).unwrap();
    driver.settle(&mut disk);
    assert!(driver.journal.has_open());
    driver.journal.release(GroupSequence(u64::MAX), |_| Some(Offset(1)));
    driver.settle(&mut disk);
    assert!(driver.journal.has_open(), "one of two partitions is not enough");
    driver.journal.release(GroupSequence(u64::MAX), |_| Some(Offset(2)));
    driver.settle(&mut disk);
    assert!(driver.journal.is_settled());
    assert_eq!(disk.files.len(), 4);
}

#[test]
fn a_deleted_topic_holds_no_file() {
    let (mut driver, mut disk) = driver();
    for base in 0..8 {
        driver.append(partition(0), base, base + 1, &[1; 9000]).unwrap();
        driver.settle(&mut disk);
    }
    driver.append(partition(0), 8, 9, &[1; 9000]).unwrap();
    driver.settle(&mut disk);
    assert!(driver.journal.has_open());
    driver.journal.forget(partition(0));
    driver.settle(&mut disk);
    assert!(driver.journal.is_settled());
    while let Some(demand) = driver.journal.needs_checkpoint() {
        assert_eq!(demand.partitions, []);
    }
}

#[test]
fn a_file_with_a_write_in_flight_is_not_given_away() {
    let mut driver = Driver::new(JournalOptions { files_max: 2, ..options(1, Lane::Flushed) });
    let mut disk = Disk::default();
    driver.settle(&mut disk);
    for base in 0..2 {
        driver.append(partition(0), base, base + 1, &[1; 9000]).unwrap();
        driver.poll();
    }
    // The second file is prepared, then a group opens it while the first file's are in flight.
    let prepare = driver.pending.iter().position(|p| matches!(p, Pending::Prepare { .. })).unwrap();
    driver.complete(prepare, &mut disk);
    driver.append(partition(0), 2, 3, &[1; 9000]).unwrap();
    driver.poll();
    // The segments are ahead of the journal.
    driver.journal.release(GroupSequence(u64::MAX), |_| Some(Offset(2)));
    driver.poll();
    assert_eq!(groups(&driver).len(), 3);
    assert_eq!(driver.pending.len(), 3, "the first file is not prepared anew");
    complete(&mut driver, &mut disk, 1);
    complete(&mut driver, &mut disk, 2);
    driver.poll();
    assert!(driver.pending.iter().any(|p| matches!(p, Pending::Prepare { create: false, .. })));
}

#[test]
fn buffers_are_used_again() {
    let (mut driver, mut disk) = driver();
    let mut addresses = std::collections::BTreeSet::new();
    for base in 0..50 {
        driver.append(partition(0), base, base + 1, b"x").unwrap();
        driver.poll();
        for pending in &driver.pending {
            if let Pending::Group { buffer, .. } = pending {
                addresses.insert(buffer.as_slice().as_ptr().addr());
            }
        }
        driver.settle(&mut disk);
        driver.journal.release(GroupSequence(u64::MAX), |_| Some(Offset(base)));
    }
    assert_eq!(addresses.len(), 1);
}

/// A checksum that comes with a large payload gives the group that reading the payload gives.
#[test]
fn a_known_checksum_changes_nothing() {
    let payload: Vec<u8> = (0..40_000_u32).map(|at| (at % 253) as u8).collect();
    let group = |checked: Option<Checked>| {
        let options = JournalOptions {
            file_bytes: 64 * BLOCK,
            group_bytes_max: 32 * BLOCK as usize,
            ..options(1, Lane::Flushed)
        };
        let mut journal = Journal::new(options);
        while let Some(action) = journal.poll_action() {
            if let Action::PrepareFile { file, .. } = action {
                journal.on_file_ready(file);
            }
        }
        for base in 0..2 {
            let entry = Entry {
                kind: EntryKind::Batch,
                at: partition(0),
                base_offset: Offset(base),
                next_offset: Offset(base + 1),
                leader_epoch: LeaderEpoch(1),
                payload: &payload,
                checked,
            };
            journal.append(&entry).unwrap();
        }
        match journal.poll_action() {
            Some(Action::Write { buffer, .. }) => buffer.as_slice().to_vec(),
            other => panic!("{other:?}"),
        }
    };
    let checked = Checked { from: 21, crc: crc32c::crc32c(&payload[21..]) };
    assert!(group(None) == group(Some(checked)));
}
