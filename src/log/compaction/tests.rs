//! Random histories against a model, with crashes at every step of the exchange; and the rules one
//! by one.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::*;
use crate::batch::{BatchBuilder, BatchHeader, Batches, Compression, Records};
use crate::ids::{LeaderEpoch, Offset};
use crate::log::{
    FileKind, Found, FoundCleaned, Log, LogCheckpoint, LogOptions, Read, Scan, SegmentScan, locate,
};
use crate::stdx::prng::Prng;
use crate::time::Timestamp;

const LOG: LogOptions = LogOptions {
    segment_bytes: 1500,
    segment_ms: u64::MAX,
    segment_jitter_ms: 0,
    jitter_seed: 0,
    index_interval_bytes: 100,
    segment_index_bytes: 10 << 20,
    retention_bytes: None,
    retention_ms: None,
    delete: false,
    file_delete_delay_ms: 0,
};

const OPTIONS: CompactionOptions = CompactionOptions {
    dirty_ratio_min: 0.0,
    lag_min_ms: 0,
    lag_max_ms: None,
    delete_retention_ms: 100,
    keys_bytes_max: 1 << 20,
};

/// The key and the value of a record to append.
type Given<'r> = (Option<&'r [u8]>, Option<&'r [u8]>);

/// One record as it was appended.
type Written = (Option<Vec<u8>>, Option<Vec<u8>>);

/// A log, its files, and everything that was ever appended to it.
struct World {
    log: Log,
    files: BTreeMap<(Offset, FileKind), Bytes>,
    cleaned: BTreeMap<(Offset, FileKind, u32), Bytes>,
    checkpoint: LogCheckpoint,
    history: BTreeMap<Offset, Written>,
    now: i64,
}

impl World {
    fn new() -> World {
        let log = Log::new(Offset(0), LOG, Timestamp(0));
        World {
            checkpoint: log.checkpoint(),
            log,
            files: BTreeMap::new(),
            cleaned: BTreeMap::new(),
            history: BTreeMap::new(),
            now: 1000,
        }
    }

    /// Appends a batch of records, each a key and a value or a tombstone.
    fn append(&mut self, records: &[Given<'_>], compression: Compression) {
        let base = self.log.next_offset();
        let mut builder =
            BatchBuilder::new().placed(base, LeaderEpoch(0)).compression(compression, None);
        for (index, (key, value)) in (0..).zip(records) {
            builder.add(Timestamp(self.now), *key, *value, &[]);
            let written = (key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec));
            self.history.insert(base.plus(index), written);
        }
        let batch = builder.build().freeze();
        let header = BatchHeader::parse(&batch).unwrap();
        self.log.append(batch, &header, Timestamp(self.now));
    }

    fn store(&mut self) {
        while let Some(write) = self.log.poll_write(self.log.next_offset(), usize::MAX) {
            let mut add = |kind, position: u32, bytes: &[u8]| {
                let file = self.files.entry((write.segment, kind)).or_default();
                assert_eq!(file.len(), position as usize);
                *file = [file, bytes].concat().into();
            };
            add(FileKind::Log, write.position, &write.pieces.concat());
            add(FileKind::Index, write.index_position, &write.index_entries);
            add(FileKind::TimeIndex, write.time_index_position, &write.time_index_entries);
            self.log.on_written(write.next_offset);
        }
        for flush in self.log.poll_flush() {
            self.log.on_flushed(flush.segment);
        }
        self.checkpoint = self.log.checkpoint();
    }

    fn plan(&self, options: &CompactionOptions) -> Option<CompactionPlan> {
        self.log.compaction_plan(options, Timestamp(self.now), self.log.next_offset())
    }

    /// Does what a cleaning says, to its end.
    fn clean(&mut self, plan: CompactionPlan) -> Result<Compacted, CleanError> {
        let mut cleaning = Cleaning::new(plan, (3, 4));
        loop {
            match cleaning.next_step()? {
                Step::Read { file, position, length } => {
                    let data = &self.files[&(file.segment, FileKind::Log)];
                    let from = (position as usize).min(data.len());
                    let to = (from + length as usize).min(data.len());
                    cleaning.on_read(&data.slice(from..to));
                }
                Step::Write { file, position, pieces } => {
                    let at = (file.segment, FileKind::Log, file.generation);
                    let data = self.cleaned.entry(at).or_default();
                    assert_eq!(data.len(), position as usize, "written in order");
                    *data = [data.clone(), pieces.concat().into()].concat().into();
                }
                Step::Seal { file, bytes, index, time_index } => {
                    let at = |kind| (file.segment, kind, file.generation);
                    assert_eq!(self.cleaned[&at(FileKind::Log)].len(), bytes as usize);
                    self.cleaned.insert(at(FileKind::Index), index.into());
                    self.cleaned.insert(at(FileKind::TimeIndex), time_index.into());
                }
                Step::Done(compacted) => return Ok(compacted),
            }
        }
    }

    /// Puts the names of the new segments in place, as far as `steps` single renames go.
    fn rename(&mut self, steps: usize) {
        let compacted = self.log.replacement().expect("a replacement is under way");
        let names = compacted.segments.iter().flat_map(|segment| {
            FileKind::ALL.map(|kind| (segment.file().segment, kind, segment.file().generation))
        });
        let names: Vec<_> = names.take(steps).collect();
        for (segment, kind, generation) in names {
            let content = self.cleaned.remove(&(segment, kind, generation)).unwrap();
            self.files.insert((segment, kind), content);
        }
    }

    /// All of an exchange.
    fn exchange(&mut self, compacted: Compacted) {
        assert!(self.log.prepare_replacement(compacted));
        self.checkpoint = self.log.checkpoint();
        self.rename(usize::MAX);
        self.drop_replaced();
        self.log.finish_replacement();
        assert_eq!(self.log.checkpoint(), self.checkpoint, "it says the same before and after");
    }

    fn drop_replaced(&mut self) {
        let compacted = self.log.replacement().expect("a replacement is under way");
        let stays: Vec<_> = compacted.segments.iter().map(|s| s.file().segment).collect();
        for gone in compacted.replaced.iter().filter(|old| !stays.contains(&old.segment)) {
            for kind in FileKind::ALL {
                self.files.remove(&(gone.segment, kind));
            }
        }
    }

    /// The process ends and starts again from its last checkpoint. What the journal would bring is
    /// not part of this: everything is stored before.
    fn crash(&mut self) {
        let found: Vec<Found> = self
            .files
            .iter()
            .map(|((segment, kind), data)| Found {
                segment: *segment,
                kind: *kind,
                bytes: data.len() as u64,
            })
            .collect();
        let cleaned: Vec<FoundCleaned> = self
            .cleaned
            .iter()
            .map(|((segment, kind, generation), data)| FoundCleaned {
                segment: *segment,
                kind: *kind,
                generation: *generation,
                bytes: data.len() as u64,
            })
            .collect();
        let now = Timestamp(self.now);
        let (log, plan) =
            Log::restore(&self.checkpoint, LOG, &found, &cleaned, now).expect("it restores");
        for file in plan.adopt {
            let content = self.cleaned.remove(&(file.segment, file.kind, file.generation));
            self.files.insert((file.segment, file.kind), content.unwrap());
        }
        for file in plan.discard {
            self.cleaned.remove(&(file.segment, file.kind, file.generation)).unwrap();
        }
        assert!(self.cleaned.is_empty());
        for truncation in plan.truncate {
            let file = self.files.get_mut(&(truncation.segment, truncation.kind)).unwrap();
            file.truncate(truncation.bytes as usize);
        }
        for file in plan.delete {
            self.files.remove(&file).unwrap();
        }
        assert!(plan.rebuild.is_empty());
        self.log = log;
    }

    /// Every record of the log by its offset, from files and memory.
    fn records(&self) -> BTreeMap<Offset, Written> {
        let mut records = BTreeMap::new();
        let mut add = |bytes: &[u8]| {
            let mut batches = Batches::checked(bytes);
            for located in batches.by_ref() {
                for record in &Records::open(located.bytes, 1 << 20).unwrap() {
                    let record = record.unwrap();
                    let written =
                        (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
                    assert_eq!(records.insert(record.offset, written), None, "an offset is unique");
                }
            }
            assert_eq!(batches.stopped_by(), None);
        };
        for ((_, kind), data) in &self.files {
            if *kind == FileKind::Log {
                add(data);
            }
        }
        records
    }

    /// What compaction promises: nothing changes its offset or content, nothing appears, and what
    /// went had a newer record of its key, or was a tombstone or without a key.
    fn check(&self) {
        let records = self.records();
        let mut newest: BTreeMap<&[u8], Offset> = BTreeMap::new();
        for (offset, (key, _)) in &self.history {
            if let Some(key) = key {
                newest.insert(key, *offset);
            }
        }
        for (offset, written) in &records {
            assert_eq!(Some(written), self.history.get(offset), "{offset}");
        }
        for (offset, (key, value)) in &self.history {
            if records.contains_key(offset) {
                continue;
            }
            assert!(*offset < self.log.clean_offset(), "{offset} is in the dirty part");
            if let Some(key) = key {
                let superseded = *offset < newest[key.as_slice()];
                assert!(superseded || value.is_none(), "the last value at {offset} is gone");
                // What superseded it is there, or is a tombstone that has done its work.
                let later =
                    records.range(offset.plus(1)..).any(|(_, (k, _))| k.as_ref() == Some(key));
                let erased = self.history[&newest[key.as_slice()]].1.is_none();
                assert!(later || erased, "nothing stands for the key of {offset}");
            }
        }
    }

    /// A reader that starts anywhere meets the next record there is.
    fn check_reads(&mut self) {
        let records = self.records();
        for offset in 0..self.log.next_offset().0 {
            let offset = Offset(offset);
            let expected = records.range(offset..).next().map(|(offset, _)| *offset);
            let read = loop {
                match self.log.read(offset, 1 << 20, self.log.next_offset(), true) {
                    Read::NeedIndex(segment) => {
                        let index = &self.files[&(segment, FileKind::Index)];
                        let time_index = &self.files[&(segment, FileKind::TimeIndex)];
                        self.log.on_index(segment, index, time_index).expect("a good index");
                    }
                    read => break read,
                }
            };
            let found = match read {
                Read::Empty => None,
                Read::Tail(pieces, _) => first_from(&pieces[0], offset),
                Read::File(read) => {
                    let data = &self.files[&(read.segment, FileKind::Log)];
                    let data = &data[read.position as usize..read.end as usize];
                    match locate(data, read.position, read.target) {
                        Scan::Found { position, .. } => {
                            first_from(&data[(position - read.position) as usize..], offset)
                        }
                        other => panic!("{other:?} for {offset}"),
                    }
                }
                other => panic!("{other:?} for {offset}"),
            };
            // The batch at hand may hold nothing at or after the offset any more; it then leads to
            // the next one.
            if let Some(found) = found {
                assert_eq!(Some(found), expected, "from {offset}");
            }
        }
    }

    /// The indexes are what a scan of the segment gives.
    fn check_indexes(&mut self) {
        let starts: Vec<Offset> = self.log.segments().collect();
        for start in starts {
            let Some(data) = self.files.get(&(start, FileKind::Log)) else { continue };
            let mut scan = SegmentScan::new(start, LOG.index_interval_bytes, Offset(i64::MAX));
            let _ = scan.push(data);
            let mut copy = self.log.clone();
            let rewrite = copy.rebuild_index(scan).expect("the segment is whole");
            assert_eq!(rewrite.index, self.files[&(start, FileKind::Index)]);
            assert_eq!(rewrite.time_index, self.files[&(start, FileKind::TimeIndex)]);
        }
    }
}

fn first_from(bytes: &[u8], offset: Offset) -> Option<Offset> {
    let records = Records::open(bytes, 1 << 20).unwrap();
    records.iter().map(|record| record.unwrap().offset).find(|found| offset <= *found)
}

fn random_batch(world: &mut World, random: &mut Prng) {
    let count = 1 + random.below(5) as usize;
    let keys: Vec<Vec<u8>> = (0..count).map(|_| vec![random.below(12) as u8]).collect();
    let values: Vec<Option<Vec<u8>>> = (0..count)
        .map(|_| (!random.chance(1, 5)).then(|| vec![7; random.below(60) as usize]))
        .collect();
    let keyless = random.chance(1, 20);
    let records: Vec<_> = keys
        .iter()
        .zip(&values)
        .map(|(key, value)| ((!keyless).then_some(key.as_slice()), value.as_deref()))
        .collect();
    let codec = Compression::ALL[random.below(Compression::ALL.len() as u64) as usize];
    world.append(&records, codec);
    world.now += random.below(20) as i64;
}

#[test]
fn the_newest_record_of_each_key_survives_cleanings_and_crashes() {
    let (mut crashes, mut exchanges, mut dropped) = (0, 0, 0);
    for seed in 0..200 {
        let mut random = Prng::new(seed);
        let mut world = World::new();
        for _ in 0..6 {
            for _ in 0..random.below(60) {
                random_batch(&mut world, &mut random);
            }
            world.store();
            let keys_bytes_max = if random.chance(1, 3) { 200 } else { 1 << 20 };
            let Some(plan) = world.plan(&CompactionOptions { keys_bytes_max, ..OPTIONS }) else {
                continue;
            };
            let dirty_from = plan.dirty_from;
            let compacted = world.clean(plan).expect("sound segments");
            assert!(dirty_from < compacted.clean_offset, "every cleaning gets ahead");
            // A horizon that is set, or another level of the codec, can make a little more of a batch.
            dropped += compacted.bytes_before.saturating_sub(compacted.bytes_after);
            match random.below(3) {
                // Power is lost before the checkpoint that names the new segments.
                0 => {
                    assert!(world.log.prepare_replacement(compacted));
                    world.crash();
                    crashes += 1;
                }
                // Behind it, amid the renames.
                1 => {
                    assert!(world.log.prepare_replacement(compacted));
                    world.checkpoint = world.log.checkpoint();
                    world.rename(random.below(12) as usize);
                    world.crash();
                    crashes += 1;
                }
                _ => {
                    world.exchange(compacted);
                    exchanges += 1;
                }
            }
            world.check();
            world.check_reads();
            world.check_indexes();
        }
    }
    assert!(
        crashes > 100 && exchanges > 100 && dropped > 100_000,
        "{crashes} {exchanges} {dropped}"
    );
}

fn key_values(world: &World) -> Vec<(i64, Option<Vec<u8>>)> {
    world.records().into_iter().map(|(offset, (_, value))| (offset.0, value)).collect()
}

/// Appends one record of key `k` and closes its segment.
fn put(world: &mut World, value: Option<&[u8]>) {
    world.append(&[(Some(b"k"), value)], Compression::None);
    world.log.roll(Timestamp(world.now));
    world.store();
}

#[test]
fn a_tombstone_stays_for_its_time_and_then_goes() {
    let mut world = World::new();
    put(&mut world, Some(b"1"));
    put(&mut world, None);
    let plan = world.plan(&OPTIONS).unwrap();
    let compacted = world.clean(plan).unwrap();
    world.exchange(compacted);
    assert_eq!(key_values(&world), [(1, None)], "the value is gone, the tombstone tells of it");
    // Other records make the next cleaning due; the horizon is not over yet.
    world.now += 99;
    world.append(&[(Some(b"x"), Some(b"2"))], Compression::None);
    world.log.roll(Timestamp(world.now));
    world.store();
    let plan = world.plan(&OPTIONS).unwrap();
    let compacted = world.clean(plan).unwrap();
    world.exchange(compacted);
    assert_eq!(key_values(&world), [(1, None), (2, Some(b"2".to_vec()))]);
    world.now += 1;
    world.append(&[(Some(b"y"), Some(b"3"))], Compression::None);
    world.log.roll(Timestamp(world.now));
    world.store();
    let plan = world.plan(&OPTIONS).unwrap();
    let compacted = world.clean(plan).unwrap();
    world.exchange(compacted);
    assert_eq!(key_values(&world), [(2, Some(b"2".to_vec())), (3, Some(b"3".to_vec()))]);
    assert_eq!(world.log.start_offset(), Offset(0), "readers from the start are not sent away");
    world.check_reads();
    world.crash();
    world.check_reads();
}

#[test]
fn a_cleaning_is_due_by_the_ratio_or_by_the_age_of_what_is_dirty() {
    let mut world = World::new();
    for _ in 0..4 {
        put(&mut world, Some(b"v"));
    }
    let compacted = world.clean(world.plan(&OPTIONS).unwrap()).unwrap();
    world.exchange(compacted);
    assert_eq!(world.plan(&OPTIONS), None, "nothing is dirty");
    put(&mut world, Some(b"v"));
    assert!(world.plan(&CompactionOptions { dirty_ratio_min: 0.49, ..OPTIONS }).is_some());
    let lazy = CompactionOptions { dirty_ratio_min: 0.5, ..OPTIONS };
    assert_eq!(world.plan(&lazy), None, "half is not more than half");
    world.now += 10;
    assert_eq!(world.plan(&CompactionOptions { lag_max_ms: Some(10), ..lazy }), None);
    assert!(world.plan(&CompactionOptions { lag_max_ms: Some(9), ..lazy }).is_some());
    let young = CompactionOptions { lag_min_ms: 11, ..OPTIONS };
    assert!(world.plan(&young).is_none_or(|plan| plan.sources.len() < 2));
}

#[test]
fn what_is_not_durable_or_above_the_high_watermark_is_left_alone() {
    let mut world = World::new();
    put(&mut world, Some(b"1"));
    put(&mut world, Some(b"2"));
    world.append(&[(Some(b"k"), Some(b"3"))], Compression::None);
    let plan = world.log.compaction_plan(&OPTIONS, Timestamp(2000), Offset(1)).unwrap();
    assert_eq!(plan.sources.len(), 1);
    world.log.roll(Timestamp(world.now));
    let plan = world.plan(&OPTIONS).unwrap();
    assert_eq!(plan.sources.len(), 2, "the third is not written yet");
}

#[test]
fn segments_that_went_meanwhile_make_the_result_useless() {
    let mut world = World::new();
    put(&mut world, Some(b"1"));
    put(&mut world, Some(b"2"));
    let compacted = world.clean(world.plan(&OPTIONS).unwrap()).unwrap();
    world.log.delete_segments(&[Offset(0)]);
    assert!(!world.log.prepare_replacement(compacted));
}

#[test]
fn damage_ends_a_cleaning_and_nothing_is_exchanged() {
    let mut world = World::new();
    put(&mut world, Some(b"1"));
    put(&mut world, Some(b"2"));
    let plan = world.plan(&OPTIONS).unwrap();
    let whole = world.files[&(Offset(1), FileKind::Log)].clone();
    for at in 0..whole.len() {
        let mut data = whole.to_vec();
        // The base offset and the leader epoch lie outside the checksum; a wrong epoch is not seen.
        if (12..16).contains(&at) {
            continue;
        }
        data[at] ^= 0x10;
        world.files.insert((Offset(1), FileKind::Log), data.into());
        world.cleaned.clear();
        assert!(world.clean(plan.clone()).is_err(), "byte {at}");
    }
    let short = whole.slice(..whole.len() - 1);
    world.files.insert((Offset(1), FileKind::Log), short);
    let error = world.clean(plan).unwrap_err();
    assert!(matches!(error, CleanError::Short { segment: Offset(1), .. }), "{error}");
}
