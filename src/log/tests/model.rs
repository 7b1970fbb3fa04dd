//! Random lists of operations on a log, a disk and a model that is a plain list of batches.

use std::collections::BTreeSet;

use super::disk::Disk;
use super::*;
use crate::batch::find_timestamp;
use crate::stdx::prng::Prng;
use crate::time::{Instant, Now};

#[derive(Clone)]
struct ModelBatch {
    base: i64,
    next: i64,
    epoch: i32,
    timestamps: Vec<i64>,
    bytes: Bytes,
}

struct World {
    random: Prng,
    log: Log,
    disk: Disk,
    /// Every batch ever appended and not truncated; the journal never forgets here.
    batches: Vec<ModelBatch>,
    start: i64,
    epoch: i32,
    high_watermark: i64,
    now: i64,
    writing: Option<Offset>,
    checkpoint: LogCheckpoint,
    /// Files to delete when the next checkpoint is stored.
    removed: Vec<Offset>,
    options: LogOptions,
    /// What has happened, so that the test can tell whether it tests anything.
    seen: BTreeSet<&'static str>,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Prng::new(seed);
        let start = if random.chance(1, 2) { 0 } else { 5_000_000_000 };
        let options = random_options(&mut random);
        let log = Log::new(Offset(start), options, Timestamp(1_000_000));
        World {
            checkpoint: log.checkpoint(),
            random,
            log,
            disk: Disk::default(),
            batches: Vec::new(),
            start,
            epoch: 0,
            high_watermark: start,
            now: 1_000_000,
            writing: None,
            removed: Vec::new(),
            options,
            seen: BTreeSet::new(),
        }
    }

    fn step(&mut self) {
        self.now += self.random.below(1_000) as i64;
        match self.random.below(100) {
            0..22 => self.append(),
            22..45 => self.write(),
            45..50 => self.end_write(),
            50..56 => self.flush(),
            56..60 => self.end_flush(),
            60..64 => {
                let bytes = self.random.below(8_000) as usize;
                let before = self.log.tail_bytes();
                let freed = self.log.evict(bytes);
                assert_eq!(before - freed, self.log.tail_bytes());
            }
            64..66 => {
                let budget = self.random.below(200) as usize;
                self.log.unload_indexes(budget);
            }
            66..84 => self.read(),
            84..88 => self.lookup_timestamp(),
            88 => {
                self.log.roll(Timestamp(self.now));
            }
            89..91 => self.store_checkpoint(),
            91..94 => self.retain(),
            94 => self.delete_records(),
            95 => {
                self.options = random_options(&mut self.random);
                self.log.set_options(self.options);
            }
            96..98 => self.crash(),
            98 => self.truncate(),
            _ => self.dump(),
        }
        let log = &self.log;
        assert!(log.flushed_offset() <= log.written_offset());
        assert!(log.written_offset() <= log.next_offset());
        assert!(log.unwritten_bytes() <= log.tail_bytes());
        assert_eq!(log.start_offset().0, self.start);
        assert_eq!(log.next_offset().0.max(self.next()), self.next().max(log.next_offset().0));
    }

    fn next(&self) -> i64 {
        self.batches.last().map_or(self.start, |batch| batch.next)
    }

    fn append(&mut self) {
        for _ in 0..self.random.between(1, 4) {
            if self.random.chance(1, 30) {
                self.epoch += 1;
            }
            let gap = if self.random.chance(1, 50) { self.random.below(10) } else { 0 };
            let base = self.log.next_offset().0 + gap as i64;
            let count = self.random.between(1, 6) as usize;
            let (now, random) = (self.now, &mut self.random);
            let timestamp = |random: &mut Prng| match random.below(20) {
                0 => -1,
                1 => now + 1_000_000,
                2 => random.below(now as u64) as i64,
                _ => now - random.below(3_000) as i64,
            };
            let timestamps: Vec<i64> = (0..count).map(|_| timestamp(random)).collect();
            let value_bytes = if random.chance(1, 10) { 900 } else { random.below(120) };
            let bytes = batch(base, self.epoch, &timestamps, value_bytes as usize);
            append(&mut self.log, &bytes, self.now);
            self.batches.push(ModelBatch {
                base,
                next: base + count as i64,
                epoch: self.epoch,
                timestamps,
                bytes,
            });
        }
        assert_eq!(self.log.next_offset().0, self.next());
        if self.random.chance(3, 4) {
            self.high_watermark = self.next();
        }
    }

    fn write(&mut self) {
        let bytes_max = self.random.below(6_000) as usize;
        let write = self.log.poll_write(Offset(self.high_watermark), bytes_max);
        if self.writing.is_some() {
            assert_eq!(write, None, "one write at a time");
            return;
        }
        let Some(write) = write else {
            let all = self.log.written_offset().0 >= self.high_watermark;
            assert!(
                all || !self.batches.iter().any(|batch| {
                    self.log.written_offset().0 <= batch.base && batch.next <= self.high_watermark
                })
            );
            return;
        };
        assert!(write.next_offset.0 <= self.high_watermark || write.pieces.is_empty());
        assert!(write.pieces.len() < 2 || write.bytes() <= bytes_max);
        self.disk.write(&write);
        self.writing = Some(write.next_offset);
        if self.random.chance(3, 4) {
            self.end_write();
        }
    }

    fn end_write(&mut self) {
        if let Some(next_offset) = self.writing.take() {
            self.log.on_written(next_offset);
        }
    }

    fn flush(&mut self) {
        for flush in self.log.poll_flush() {
            self.disk.begin_flush(flush.segment);
        }
        if self.random.chance(1, 2) {
            self.end_flush();
        }
    }

    fn end_flush(&mut self) {
        if let Some(segment) = self.disk.end_flush(&mut self.random) {
            self.log.on_flushed(segment);
        }
    }

    fn end_all(&mut self) {
        self.end_write();
        while let Some(segment) = self.disk.end_flush(&mut self.random) {
            self.log.on_flushed(segment);
        }
    }

    fn load_index(&mut self, segment: Offset) {
        let index = self.disk.data(segment, FileKind::Index);
        let time_index = self.disk.data(segment, FileKind::TimeIndex);
        match self.log.on_index(segment, index, time_index) {
            Ok(()) => {
                self.seen.insert("index loaded");
            }
            Err(IndexError::UnknownSegment) => panic!("nothing has been deleted meanwhile"),
            Err(_) => {
                self.seen.insert("index rebuilt");
                self.end_all();
                let scan = self.scan(segment, Offset(i64::MAX));
                let rewrite = self.log.rebuild_index(scan).expect("the log file is whole");
                self.disk.rewrite(&rewrite);
            }
        }
    }

    fn scan(&mut self, segment: Offset, until: Offset) -> SegmentScan {
        let files = self.log.segment_files(segment).expect("the segment exists");
        let data = &self.disk.data(segment, FileKind::Log)[..files.bytes as usize];
        let mut scan = SegmentScan::new(segment, self.options.index_interval_bytes, until);
        let mut bytes = 1;
        loop {
            let at = scan.position() as usize;
            let end = (at + bytes + self.random.below(2_000) as usize).min(data.len());
            match scan.push(&data[at..end]) {
                _ if scan.position() as usize == data.len() => return scan,
                Scan::Found { .. } => return scan,
                Scan::NeedMore { bytes: more, .. } => bytes = more,
                Scan::Corrupt { position } => panic!("corrupt at {position}"),
            }
        }
    }

    fn read(&mut self) {
        let span = (self.next() - self.start) as u64;
        let offset = self.start - 2 + self.random.below(span + 5) as i64;
        let up_to = if self.random.chance(1, 2) {
            self.high_watermark
        } else {
            self.start + self.random.below(span + 1) as i64
        };
        let bytes_max = self.random.below(3_000) as usize;
        let at_least_one = self.random.chance(2, 3);
        let up_to = Offset(up_to);
        let answer = loop {
            match self.log.read(Offset(offset), bytes_max, up_to, at_least_one) {
                Read::NeedIndex(segment) => self.load_index(segment),
                answer => break answer,
            }
        };
        if offset < self.start || self.log.next_offset().0 < offset {
            assert_eq!(answer, Read::OutOfRange);
            return;
        }
        let at = self.batches.partition_point(|batch| batch.next <= offset);
        let readable = self.batches[at..].iter().take_while(|batch| batch.next <= up_to.0);
        let expected: Vec<u8> = readable.clone().flat_map(|batch| batch.bytes.clone()).collect();
        let first = readable.clone().next().map_or(0, |batch| batch.bytes.len());
        let got = match answer {
            Read::OutOfRange | Read::NeedIndex(_) => panic!("{answer:?} at {offset}"),
            Read::Empty => {
                assert!(
                    expected.is_empty()
                        || up_to.0 <= offset
                        || (!at_least_one && bytes_max < first)
                );
                return;
            }
            Read::Tail(pieces, next_offset) => {
                self.seen.insert("tail read");
                let bytes: usize = pieces.iter().map(Bytes::len).sum();
                assert!(bytes <= bytes_max || (at_least_one && pieces.len() == 1));
                let last = self.batches.iter().find(|batch| batch.next == next_offset.0);
                assert_eq!(last.expect("ends at a batch").bytes, pieces[pieces.len() - 1]);
                assert!(!pieces.is_empty());
                pieces.concat()
            }
            Read::File(read) => self.read_file(&read, bytes_max, first),
        };
        assert!(expected.starts_with(&got), "a prefix of what may be read from {offset}");
    }

    fn read_file(&mut self, read: &FileRead, bytes_max: usize, first: usize) -> Vec<u8> {
        let written = self.log.segment_files(read.segment).expect("the segment exists");
        assert!(read.position < read.end && read.end <= written.bytes);
        let data = &self.disk.data(read.segment, FileKind::Log)[..read.end as usize];
        if let Some(boundary) = read.boundary {
            assert!(read.position < boundary && boundary <= read.end);
            assert!((boundary - read.position) as usize <= bytes_max);
            let whole = whole_batches(&data[read.position as usize..], usize::MAX);
            assert_eq!(whole, data.len() - read.position as usize);
            let whole = &data[read.position as usize..boundary as usize];
            assert_eq!(whole_batches(whole, usize::MAX), whole.len());
        }
        let mut position = read.position;
        let mut bytes = 1;
        let found = loop {
            let end = (position as usize + bytes + self.random.below(500) as usize).min(data.len());
            match locate(&data[position as usize..end], position, read.target) {
                Scan::Found { position, .. } => break position,
                Scan::NeedMore { position: at, bytes: more } => (position, bytes) = (at, more),
                Scan::Corrupt { position } => panic!("corrupt at {position}"),
            }
            if data.len() <= position as usize {
                assert!(first == 0 && !read.end_exact, "the target is in the range");
                return Vec::new();
            }
        };
        self.seen.insert(if read.end_exact { "file read" } else { "file read, open end" });
        if read.exact {
            assert_eq!(found, read.position);
        }
        let rest = &data[found as usize..];
        if read.end_exact {
            assert_eq!(readable(rest, usize::MAX, read.up_to), rest.len());
        }
        let length = readable(rest, bytes_max.max(first), read.up_to);
        rest[..length].to_vec()
    }

    fn lookup_timestamp(&mut self) {
        let target = Timestamp(self.now - 4_000 + self.random.below(5_000) as i64);
        let visible = |batch: &&ModelBatch| self.start < batch.next;
        let expected = self.batches.iter().filter(visible).find_map(|batch| {
            let records = batch.timestamps.iter().zip(batch.base..);
            let mut found = records.filter(|(timestamp, _)| target.0 <= **timestamp);
            found.next().map(|(timestamp, offset)| (offset, *timestamp))
        });
        let mut from = Offset(self.start);
        let got = loop {
            match self.log.lookup_timestamp(target, from) {
                TimeLookup::None => break None,
                TimeLookup::NeedIndex(segment) => self.load_index(segment),
                TimeLookup::Tail(bytes, next_offset) => {
                    match find_timestamp(&bytes, target).expect("a good batch") {
                        Some(found) => break Some(found),
                        None => from = next_offset,
                    }
                }
                TimeLookup::File(read) => {
                    self.seen.insert("time in file");
                    let data = &self.disk.data(read.segment, FileKind::Log)[..read.end as usize];
                    let rest = &data[read.position as usize..];
                    match locate_timestamp(rest, read.position, target, from) {
                        Scan::Found { position, header } => {
                            let bytes = &data[position as usize..][..header.size()];
                            match find_timestamp(bytes, target).expect("a good batch") {
                                Some(found) => break Some(found),
                                None => from = header.next_offset(),
                            }
                        }
                        Scan::NeedMore { position, .. } => {
                            assert_eq!(position, read.end);
                            from = read.next_offset;
                        }
                        Scan::Corrupt { position } => panic!("corrupt at {position}"),
                    }
                }
            }
        };
        assert_eq!(got.map(|(offset, timestamp)| (offset.0, timestamp.0)), expected);
    }

    fn store_checkpoint(&mut self) {
        self.checkpoint = self.log.checkpoint();
        for segment in std::mem::take(&mut self.removed) {
            self.disk.delete(segment);
        }
    }

    fn retain(&mut self) {
        let now =
            Now { instant: Instant(self.now as u64 * 1_000_000), timestamp: Timestamp(self.now) };
        let retention = self.log.retention(now, Offset(self.high_watermark));
        self.log.delete_segments(&retention.delete);
        if retention.roll {
            self.log.roll(Timestamp(self.now));
        }
        self.removed.extend(&retention.delete);
        let first = self.log.segments().next().expect("there is an active segment").0;
        if retention.roll {
            self.seen.insert("rolled by retention");
        }
        if !retention.delete.is_empty() {
            self.seen.insert("deleted by retention");
            assert!(first <= self.high_watermark);
            self.start = self.start.max(first);
        }
        if let Some(keep) = self.options.retention_bytes {
            let first = self.log.find_segment(Offset(first)).map_or(0, |first| first.head.bytes);
            let stuck = !self.options.delete
                || self.high_watermark < self.next()
                || self.log.flushed_offset().0 < self.next()
                || self.disk.is_flushing();
            assert!(stuck || retention.roll || self.log.bytes() - u64::from(first) < keep.max(1));
        }
    }

    fn delete_records(&mut self) {
        if self.start < self.high_watermark {
            let span = (self.high_watermark - self.start) as u64;
            self.start += self.random.below(span / 4 + 1) as i64;
            self.log.advance_start(Offset(self.start));
        }
    }

    fn truncate(&mut self) {
        if self.high_watermark <= self.start {
            return;
        }
        // As if the high watermark had not moved so far.
        let back = self.random.below(40) as i64;
        let offset = Offset((self.next() - back).max(self.start));
        if self.random.chance(4, 5) {
            self.end_all();
        }
        let mut result = self.log.truncate_to(offset);
        if let Err(TruncateError::NeedScan(segment)) = result {
            self.seen.insert("truncated by scan");
            let scan = self.scan(segment, offset);
            result = self.log.truncate_scanned(offset, scan);
        }
        let Ok(plan) = result else {
            assert_eq!(result, Err(TruncateError::Busy));
            return;
        };
        self.seen.insert("truncated");
        for segment in &plan.delete {
            self.seen.insert("truncated segments away");
            self.disk.delete(*segment);
        }
        for truncation in &plan.truncate {
            self.disk.truncate(truncation);
        }
        if let Some(rewrite) = &plan.rewrite {
            self.disk.rewrite(rewrite);
            assert_eq!(self.disk.end_last_flush(), rewrite.segment);
        }
        self.batches.retain(|batch| batch.next <= offset.0);
        let end = self.log.next_offset();
        assert!(
            end <= offset
                && self.next().min(end.0) == self.batches.last().map_or(end.0, |b| b.next)
        );
        self.start = self.start.min(end.0);
        self.high_watermark = self.high_watermark.min(end.0);
        self.epoch += 1;
        self.store_checkpoint();
    }

    fn crash(&mut self) {
        let damage = self.random.chance(1, 3);
        self.writing = None;
        self.disk.crash(&mut self.random, damage);
        let found = self.disk.found();
        let now = Timestamp(self.now);
        let restored = Log::restore(&self.checkpoint, self.options, &found, &[], now);
        let (log, plan) = restored.expect("what was durable is there");
        self.log = log;
        self.disk.recover(&plan);
        assert_eq!(self.log.checkpoint(), self.checkpoint, "restoring loses nothing");
        self.removed.clear();
        if !plan.truncate.is_empty() {
            self.seen.insert("truncated at recovery");
        }
        if !plan.delete.is_empty() {
            self.seen.insert("deleted at recovery");
        }
        for segment in plan.rebuild {
            self.seen.insert("rebuilt at recovery");
            let scan = self.scan(segment, Offset(i64::MAX));
            let rewrite = self.log.rebuild_index(scan).expect("the log file is whole");
            self.disk.rewrite(&rewrite);
        }
        for batch in &self.batches {
            if self.checkpoint.next_offset <= batch.base {
                append(&mut self.log, &batch.bytes, self.now);
            }
        }
        self.log.advance_start(Offset(self.start));
        if self.start != self.log.start_offset().0 {
            panic!("the start offset is ahead");
        }
    }

    fn dump(&mut self) {
        let segments: Vec<Offset> = self.log.segments().collect();
        for segment in &segments {
            if self.log.segment_files(*segment).is_some_and(|files| files.bytes > 0) {
                self.log.unload_indexes(0);
                self.load_index(*segment);
            }
        }
        self.end_all();
        for segment in self.disk.segments() {
            if let Some(files) = self.log.segment_files(segment) {
                assert_eq!(self.disk.data(segment, FileKind::Log).len(), files.bytes as usize);
                assert_eq!(
                    self.disk.data(segment, FileKind::Index).len(),
                    files.index_bytes as usize
                );
                self.disk.dump(segment, files.sealed);
            } else {
                assert!(self.removed.contains(&segment), "no files are left behind");
            }
        }
        let epochs: Vec<i32> = self.log.epochs().entries().iter().map(|e| e.epoch.0).collect();
        let mut expected: Vec<i32> = Vec::new();
        for batch in self.batches.iter().filter(|batch| self.start < batch.next) {
            if expected.last() != Some(&batch.epoch) {
                expected.push(batch.epoch);
            }
        }
        assert!(epochs.ends_with(&expected), "{epochs:?} {expected:?}");
    }
}

fn random_options(random: &mut Prng) -> LogOptions {
    LogOptions {
        segment_bytes: random.between(200, 6_000) as u32,
        segment_ms: random.between(1_000, 200_000),
        segment_jitter_ms: random.below(1_000),
        index_interval_bytes: random.below(600) as u32,
        segment_index_bytes: random.between(30, 400) as u32,
        retention_bytes: random.chance(1, 2).then(|| random.below(4) * random.below(8_000)),
        retention_ms: random.chance(1, 2).then(|| random.between(10_000, 400_000)),
        delete: random.chance(5, 6),
        ..OPTIONS
    }
}

#[test]
fn random_operations_agree_with_the_model() {
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let result = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..1_000 {
                world.step();
            }
            world.dump();
            world.seen
        });
        seen.extend(result.unwrap_or_else(|_| panic!("seed {seed}")));
    }
    assert_eq!(seen.len(), 14, "{seen:?}");
}
