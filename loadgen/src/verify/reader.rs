//! Reads what is there: once at the end, completely; and, if asked for, while it is written.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::history::History;
use super::value::{Numbered, Seen};
use crate::batch::walk;
use crate::client::control::Control;
use crate::client::errors::ErrorCode;
use crate::client::metadata::Topic;
use crate::client::requests::{FETCH, FetchShape};
use crate::consume::{EARLIEST, LATEST, offsets};
use crate::failure::Failure;
use crate::options::TargetOptions;
use crate::system;

const PAUSE: Duration = Duration::from_millis(100);
/// How long a log that ends before its acknowledged records is given to show more.
const SETTLE: Duration = Duration::from_secs(10);
const FETCH_BYTES_MAX: i32 = 4 << 20;

/// Whether reading again may help.
fn may_pass(failure: &Failure) -> bool {
    match failure {
        Failure::Unreachable(_) | Failure::Malformed(_) => true,
        Failure::Refused { code, .. } => code.is_retriable(),
        _ => false,
    }
}

/// Tries until it works, the failure cannot pass, or the patience is over.
fn persist<T>(
    patience: Duration,
    mut attempt: impl FnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let give_up = Instant::now() + patience;
    loop {
        match attempt() {
            Err(failure)
                if may_pass(&failure) && Instant::now() < give_up && !system::is_interrupted() =>
            {
                std::thread::sleep(PAUSE);
            }
            other => return other,
        }
    }
}

/// The topic, from a broker that may still be starting.
pub(super) fn find_topic(
    target: &TargetOptions,
    name: &str,
    patience: Duration,
) -> Result<Topic, Failure> {
    persist(patience, || {
        let mut control = target.open(&target.bootstrap)?;
        control.topic_when_ready(name, Duration::ZERO)
    })
}

/// What one Fetch brought.
struct Fetched {
    code: ErrorCode,
    high_watermark: i64,
    next_offset: i64,
    records: Vec<(i64, Seen)>,
    damage: Vec<(i64, String)>,
}

/// Reads one partition.
struct PartitionReader<'a> {
    target: &'a TargetOptions,
    topic: Topic,
    partition: i32,
    control: Option<(Control, FetchShape)>,
    correlation_id: i32,
}

impl<'a> PartitionReader<'a> {
    fn new(target: &'a TargetOptions, topic: Topic, partition: i32) -> PartitionReader<'a> {
        PartitionReader { target, topic, partition, control: None, correlation_id: 0 }
    }

    fn connect(&self) -> Result<(Control, FetchShape), Failure> {
        let mut control = self.target.open(&self.target.bootstrap)?;
        let topic = control.topic_when_ready(&self.topic.topic.name, Duration::ZERO)?;
        if topic.topic.id != self.topic.topic.id {
            return Err(Failure::Violated(format!(
                "topic {} was deleted and created again",
                topic.topic.name
            )));
        }
        let leader = topic.leaders.get(self.partition as usize).copied().unwrap_or(-1);
        let control = self.target.open(topic.address(leader)?)?;
        let shape = FetchShape {
            version: topic.version(control.versions.pick(&FETCH)?),
            wait_ms_max: 200,
            bytes_min: 1,
            bytes_max: FETCH_BYTES_MAX,
            partition_bytes_max: FETCH_BYTES_MAX,
            topic: topic.topic,
        };
        Ok((control, shape))
    }

    /// One Fetch from `offset` on. After a failure the next one connects anew.
    fn fetch(&mut self, offset: i64) -> Result<Fetched, Failure> {
        let result = self.try_fetch(offset);
        if result.as_ref().map_or(true, |fetched| fetched.code.is_error()) {
            self.control = None;
        }
        result
    }

    fn try_fetch(&mut self, offset: i64) -> Result<Fetched, Failure> {
        if self.control.is_none() {
            self.control = Some(self.connect()?);
        }
        let Some((control, shape)) = &mut self.control else {
            return Err(Failure::Local("no connection".to_owned()));
        };
        self.correlation_id = self.correlation_id.wrapping_add(1) & i32::MAX;
        let request = shape.encode(self.correlation_id, [(self.partition, offset)].into_iter());
        control.send(&request)?;
        let frame = control.receive()?;
        let mut fetched = Fetched {
            code: ErrorCode::NONE,
            high_watermark: -1,
            next_offset: offset,
            records: Vec::new(),
            damage: Vec::new(),
        };
        let mut answered = 0;
        let correlation_id = shape.decode(&frame, |partition| {
            if partition.partition != self.partition {
                return Err(Failure::Malformed("a partition that was not asked for".to_owned()));
            }
            answered += 1;
            fetched.code = partition.code;
            fetched.high_watermark = partition.high_watermark;
            if !partition.code.is_error() {
                inspect(partition.records, offset, &mut fetched);
            }
            Ok(())
        })?;
        if correlation_id != self.correlation_id || answered != 1 {
            return Err(Failure::Malformed("a reply to another Fetch".to_owned()));
        }
        Ok(fetched)
    }
}

/// Takes apart the records of a reply. What makes no sense is damage, not a reason to stop early
/// without a word.
fn inspect(records: &[u8], asked: i64, fetched: &mut Fetched) {
    let result = walk(records, |batch| {
        if batch.base_offset > fetched.next_offset || batch.next_offset() <= fetched.next_offset {
            fetched.damage.push((
                fetched.next_offset,
                format!(
                    "a batch of offsets {} to {} instead",
                    batch.base_offset,
                    batch.next_offset() - 1
                ),
            ));
        }
        if !batch.crc_matches() {
            fetched.damage.push((batch.base_offset, "a batch with a wrong CRC".to_owned()));
        }
        let before = fetched.records.len();
        let result = batch.records(|record| {
            if record.offset >= asked {
                fetched.records.push((record.offset, Numbered::read(record.value)));
            }
            Ok(())
        });
        if let Err(failure) = result {
            fetched.damage.push((batch.base_offset, failure.to_string()));
            fetched.records.truncate(before);
        }
        if batch.next_offset() <= fetched.next_offset {
            // Going on from here would ask for the same bytes for ever.
            return Err(Failure::Malformed("batches that do not move on".to_owned()));
        }
        fetched.next_offset = batch.next_offset();
        Ok(())
    });
    if let Err(failure) = result {
        fetched.damage.push((fetched.next_offset, failure.to_string()));
    }
}

/// Reads all partitions of the history to their ends. Returns how long it took.
pub(super) fn read_all(
    target: &TargetOptions,
    topic: &Topic,
    history: &mut History,
    patience: Duration,
) -> Result<Duration, Failure> {
    let begun = Instant::now();
    let (earliest, latest) = persist(patience, || {
        let name = &topic.topic.name;
        let fresh = find_topic(target, name, Duration::ZERO)?;
        Ok((offsets(&fresh, target, EARLIEST)?, offsets(&fresh, target, LATEST)?))
    })?;
    for partition in 0..history.plan().starts.len() {
        let at = |offsets: &[i64]| offsets.get(partition).copied().unwrap_or_default();
        let range = (at(&earliest), at(&latest));
        let reader = PartitionReader::new(target, topic.clone(), partition as i32);
        read_partition(reader, history, range, patience)?;
    }
    Ok(begun.elapsed())
}

fn read_partition(
    mut reader: PartitionReader<'_>,
    history: &mut History,
    (earliest, latest): (i64, i64),
    patience: Duration,
) -> Result<(), Failure> {
    let partition = reader.partition as usize;
    let (from, needed) = history.checker().range_to_read(partition);
    // What retention has taken away counts as lost by itself: it is not there.
    let mut offset = from.max(earliest);
    let mut end = latest;
    history.checker().on_read_begins(partition, offset);
    let mut last_progress = Instant::now();
    loop {
        if offset >= end {
            let ends_early = end < needed && last_progress.elapsed() < SETTLE.min(patience);
            if !ends_early {
                break;
            }
        }
        if system::is_interrupted() {
            return Err(Failure::Violated("interrupted before all was read".to_owned()));
        }
        let fetched = match reader.fetch(offset) {
            Ok(fetched) => fetched,
            Err(failure) if may_pass(&failure) && last_progress.elapsed() < patience => {
                std::thread::sleep(PAUSE);
                continue;
            }
            Err(failure) => return Err(failure),
        };
        if fetched.code == ErrorCode::OFFSET_OUT_OF_RANGE {
            // The log ends before its own end of a moment ago, or before what was acknowledged.
            let checker = history.checker();
            if offset < latest {
                checker.on_damage(partition, offset, "inside the log, yet out of range");
            }
            break;
        }
        if fetched.code.is_error() {
            let passes = fetched.code.is_retriable() && last_progress.elapsed() < patience;
            if !passes {
                let asked = format!("Fetch of partition {partition}");
                return Err(Failure::Refused { asked, code: fetched.code });
            }
            std::thread::sleep(PAUSE);
            continue;
        }
        end = end.max(fetched.high_watermark);
        let checker = history.checker();
        for (at, what) in &fetched.damage {
            checker.on_damage(partition, *at, what);
        }
        for (at, seen) in &fetched.records {
            checker.on_record(partition, *at, *seen);
        }
        if fetched.next_offset > offset {
            offset = fetched.next_offset;
            last_progress = Instant::now();
        } else if !fetched.damage.is_empty() {
            // Unreadable from here on: the partition stays incomplete.
            return Ok(());
        } else if last_progress.elapsed() >= patience {
            return Ok(());
        }
    }
    history.checker().on_read_complete(partition);
    Ok(())
}

/// A thread that reads while the producers write.
pub(super) struct Along {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), Failure>>,
}

impl Along {
    pub(super) fn start(
        target: TargetOptions,
        topic: Topic,
        history: Arc<Mutex<History>>,
        patience: Duration,
    ) -> Along {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread =
            std::thread::spawn(move || follow(&target, &topic, &history, patience, &stopped));
        Along { stop, thread }
    }

    pub(super) fn stop(self) -> Result<(), Failure> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| Failure::Local("the reader beside the writers panicked".to_owned()))?
    }
}

fn follow(
    target: &TargetOptions,
    topic: &Topic,
    history: &Mutex<History>,
    patience: Duration,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let poisoned = |_| Failure::Local("a producer panicked".to_owned());
    let starts = history.lock().map_err(poisoned)?.plan().starts.clone();
    let mut readers: Vec<_> = (0..)
        .zip(&starts)
        .map(|(partition, start)| (PartitionReader::new(target, topic.clone(), partition), *start))
        .collect();
    let mut last_success = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        for (reader, offset) in &mut readers {
            match reader.fetch(*offset) {
                Ok(fetched) if fetched.code == ErrorCode::OFFSET_OUT_OF_RANGE => {
                    return Err(Failure::Violated(format!(
                        "partition {}: offset {offset} was readable before and is out of range now",
                        reader.partition
                    )));
                }
                Ok(fetched) if !fetched.code.is_error() => {
                    last_success = Instant::now();
                    *offset = fetched.next_offset;
                    let mut history = history.lock().map_err(poisoned)?;
                    history.seen_along(reader.partition as usize, &fetched.records);
                    for (at, what) in &fetched.damage {
                        history.checker().on_damage(reader.partition as usize, *at, what);
                    }
                }
                Ok(fetched) if !fetched.code.is_retriable() => {
                    let asked = format!("Fetch of partition {}", reader.partition);
                    return Err(Failure::Refused { asked, code: fetched.code });
                }
                Err(failure) if !may_pass(&failure) || last_success.elapsed() > patience => {
                    return Err(failure);
                }
                Ok(_) | Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }
    Ok(())
}
