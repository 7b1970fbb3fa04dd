//! Judges a history. The rules are those of Jepsen's Kafka workload, as far as they apply to one
//! node without transactions, and three of our own.
//!
//! - *inconsistent offset*: one offset shows two values;
//! - *duplicate*: one value stands at two offsets;
//! - *lost write*: a value that was acknowledged, or read by anyone, is not there at the end;
//! - *phantom*: a value is read that was never sent to this partition, or whose send was refused;
//! - *non-monotonic send*: values of an idempotent producer stand in another order than they were
//!   sent in, or one between two others is missing although it was acknowledged;
//! - *poll skip*: a consumer's next record is not the one after its last;
//! - *regress*: the high watermark falls, or deleted records come back, or the log start passes
//!   what anybody asked for.
//!
//! A partition that does not promise durability may lose what was not yet stable whenever the power
//! is cut; offsets after such a cut count as other offsets than before. What a kill takes from it is
//! a violation all the same.

use std::collections::{BTreeMap, BTreeSet};

use ringmain::ids::TopicPartition;

use super::history::{Event, FINAL, History, Promise, SendId, Value};

struct Sent {
    at: TopicPartition,
    first: Value,
    count: u32,
    idempotent: bool,
    failed: bool,
    /// The age in which it was acknowledged.
    acked: Option<(u32, Option<i64>)>,
}

#[derive(Default)]
struct Partition {
    /// By age and offset.
    values: BTreeMap<(u32, i64), Value>,
    /// Where a value was seen, by age.
    places: BTreeMap<(u32, Value), i64>,
    /// Everything anybody read: value to (age, offset).
    read: BTreeMap<Value, (u32, i64)>,
    drained: BTreeMap<i64, Value>,
    drain_start: Option<i64>,
    asked_start: i64,
    /// Requests to delete everything that were not answered.
    unbounded: u32,
    deleted_start: i64,
    deleting: bool,
}

#[derive(Default)]
struct Reader {
    next: Option<i64>,
    age: u32,
    /// With the age in which it was told.
    high_watermark: (u32, i64),
}

struct Checker<'h> {
    history: &'h History,
    age: u32,
    sent: BTreeMap<SendId, Sent>,
    /// By producer and first counter.
    owners: BTreeMap<(u32, u64), SendId>,
    partitions: BTreeMap<TopicPartition, Partition>,
    readers: BTreeMap<(u32, TopicPartition), Reader>,
    violations: Vec<String>,
}

/// Everything that is wrong with a history.
pub(crate) fn check(history: &History) -> Vec<String> {
    let mut checker = Checker {
        history,
        age: 0,
        sent: BTreeMap::new(),
        owners: BTreeMap::new(),
        partitions: BTreeMap::new(),
        readers: BTreeMap::new(),
        violations: Vec::new(),
    };
    for event in &history.events {
        checker.on_event(event);
    }
    checker.finish();
    checker.violations
}

impl Checker<'_> {
    fn violation(&mut self, text: String) {
        self.violations.push(text);
    }

    fn promise(&self, at: TopicPartition) -> Promise {
        let known = self.history.promises.get(&at).copied();
        known.unwrap_or(Promise { durable: true, retention: false, compacted: false })
    }

    /// Ages only matter where a power cut may take something.
    fn age(&self, at: TopicPartition) -> u32 {
        if self.promise(at).durable { 0 } else { self.age }
    }

    fn on_event(&mut self, event: &Event) {
        match *event {
            Event::Send { id, at, first, count, idempotent } => {
                let sent = Sent { at, first, count, idempotent, failed: false, acked: None };
                self.sent.insert(id, sent);
                self.owners.insert((first.producer, first.counter), id);
            }
            Event::Acked { id, base_offset } => self.on_acked(id, base_offset),
            Event::Failed { id } => {
                if let Some(sent) = self.sent.get_mut(&id) {
                    sent.failed = true;
                }
            }
            Event::Reset { consumer, at, offset } => {
                let age = self.age(at);
                let reader = self.readers.entry((consumer, at)).or_default();
                (reader.next, reader.age) = (Some(offset), age);
                if consumer == FINAL {
                    let partition = self.partitions.entry(at).or_default();
                    partition.drain_start = Some(offset);
                    let deleted = partition.deleted_start;
                    if offset < deleted {
                        self.violation(format!(
                            "regress: {at:?} starts at {offset} again, after {deleted}"
                        ));
                    }
                }
            }
            Event::Poll { consumer, at, offset, value } => {
                self.on_poll(consumer, at, offset, value)
            }
            Event::Marks { consumer, at, high_watermark, log_start } => {
                self.on_marks(consumer, at, high_watermark, log_start);
            }
            Event::DeleteRecords { at, before } => {
                let partition = self.partitions.entry(at).or_default();
                if before == i64::MAX {
                    partition.unbounded += 1;
                } else {
                    partition.asked_start = partition.asked_start.max(before);
                }
            }
            Event::RecordsDeleted { at, log_start, everything } => {
                let durable = self.promise(at).durable;
                let partition = self.partitions.entry(at).or_default();
                if everything {
                    partition.unbounded -= 1;
                    partition.asked_start = partition.asked_start.max(log_start);
                }
                if durable {
                    partition.deleted_start = partition.deleted_start.max(log_start);
                }
            }
            Event::Deleting { at } => self.partitions.entry(at).or_default().deleting = true,
            Event::PowerCut => self.age += 1,
            Event::Drain => {}
        }
    }

    fn on_acked(&mut self, id: SendId, base_offset: Option<i64>) {
        let Some(sent) = self.sent.get(&id) else { return };
        let (at, first, count) = (sent.at, sent.first, sent.count);
        let age = self.age(at);
        if sent.failed {
            self.violation(format!("{at:?}: a send was refused and acknowledged: {first:?}"));
        }
        if let Some(base_offset) = base_offset {
            for index in 0..count {
                let value = Value { counter: first.counter + u64::from(index), ..first };
                self.see(at, age, base_offset + i64::from(index), value);
            }
        }
        if let Some(sent) = self.sent.get_mut(&id) {
            sent.acked = Some((self.age, base_offset));
        }
    }

    fn see(&mut self, at: TopicPartition, age: u32, offset: i64, value: Value) {
        let partition = self.partitions.entry(at).or_default();
        let other = partition.values.insert((age, offset), value).filter(|other| *other != value);
        let place = partition.places.insert((age, value), offset).filter(|place| *place != offset);
        if let Some(other) = other {
            self.violation(format!(
                "inconsistent offset: {at:?} offset {offset} is {other:?} and {value:?}"
            ));
        }
        if let Some(place) = place {
            self.violation(format!("duplicate: {at:?} {value:?} is at {place} and at {offset}"));
        }
    }

    fn send_of(&self, value: Value) -> Option<&Sent> {
        let key = (value.producer, value.counter);
        let (_, id) = self.owners.range(..=key).next_back()?;
        let sent = self.sent.get(id)?;
        let end = sent.first.counter + u64::from(sent.count);
        (sent.first.producer == value.producer && value.counter < end).then_some(sent)
    }

    fn on_poll(&mut self, consumer: u32, at: TopicPartition, offset: i64, value: Value) {
        let age = self.age(at);
        match self.send_of(value) {
            Some(sent) if sent.at == at && !sent.failed => {}
            Some(sent) if sent.failed => {
                self.violation(format!("phantom: {at:?} offset {offset}: {value:?} was refused"));
            }
            _ => self.violation(format!(
                "phantom: {at:?} offset {offset}: {value:?} was never sent here"
            )),
        }
        self.see(at, age, offset, value);
        let partition = self.partitions.entry(at).or_default();
        partition.read.insert(value, (age, offset));
        if consumer == FINAL {
            partition.drained.insert(offset, value);
        }
        if offset < partition.deleted_start {
            let start = partition.deleted_start;
            // A reply that was under way when the deletion was acknowledged still carries it.
            if consumer == FINAL {
                self.violation(format!(
                    "regress: {at:?} offset {offset} was deleted up to {start}"
                ));
            }
        }
        let gaps = self.promise(at).compacted;
        let reader = self.readers.entry((consumer, at)).or_default();
        let expected = reader.next.replace(offset + 1);
        let same_age = std::mem::replace(&mut reader.age, age) == age;
        let skips = |expected: &i64| if gaps { offset < *expected } else { *expected != offset };
        if let Some(expected) = expected.filter(|expected| same_age && skips(expected)) {
            self.violation(format!(
                "poll skip: consumer {consumer} of {at:?} expected {expected} and got {offset}"
            ));
        }
    }

    fn on_marks(&mut self, consumer: u32, at: TopicPartition, high_watermark: i64, log_start: i64) {
        let promise = self.promise(at);
        let age = self.age(at);
        let reader = self.readers.entry((consumer, at)).or_default();
        let (told, last) = std::mem::replace(&mut reader.high_watermark, (age, high_watermark));
        if told == age && high_watermark < last {
            self.violation(format!(
                "regress: high watermark of {at:?} fell from {last} to {high_watermark}"
            ));
        }
        if !promise.retention {
            let partition = self.partitions.entry(at).or_default();
            let asked = partition.asked_start;
            if partition.unbounded == 0 && asked < log_start {
                self.violation(format!(
                    "regress: {at:?} starts at {log_start}, but only {asked} was asked for"
                ));
            }
        }
    }

    fn finish(&mut self) {
        let sent = std::mem::take(&mut self.sent);
        for sent in sent.values() {
            self.check_kept(sent);
        }
        let partitions = std::mem::take(&mut self.partitions);
        for (at, partition) in &partitions {
            if partition.deleting {
                continue;
            }
            self.check_read(*at, partition);
            self.check_order(*at, partition, &sent);
        }
        self.sent = sent;
    }

    /// What was acknowledged is there, where it was said to be.
    fn check_kept(&mut self, sent: &Sent) {
        let Some((acked, base_offset)) = sent.acked else { return };
        let at = sent.at;
        let durable = self.promise(at).durable;
        let Some(partition) = self.partitions.get(&at) else {
            return self.violation(format!("lost write: {at:?} was never drained"));
        };
        if partition.deleting || !durable && acked < self.age {
            return;
        }
        let Some(start) = partition.drain_start else {
            return self.violation(format!("lost write: {at:?} was never drained"));
        };
        let found: BTreeSet<Value> = partition.drained.values().copied().collect();
        let mut lost = Vec::new();
        for index in 0..sent.count {
            let value = Value { counter: sent.first.counter + u64::from(index), ..sent.first };
            let deleted = match base_offset {
                Some(base_offset) => base_offset + i64::from(index) < start,
                // Known to be there before, but not where.
                None => 0 < start,
            };
            if !deleted && !found.contains(&value) {
                lost.push(value);
            }
        }
        if let Some(value) = lost.first() {
            self.violation(format!(
                "lost write: {at:?} {value:?} and {} more were acknowledged at {base_offset:?}",
                lost.len() - 1
            ));
        }
    }

    /// What anybody read is still there, and at the same place.
    fn check_read(&mut self, at: TopicPartition, partition: &Partition) {
        let age = self.age(at);
        let start = partition.drain_start.unwrap_or(0);
        if partition.drain_start.is_none() && !partition.read.is_empty() {
            self.violation(format!("lost write: {at:?} was read and never drained"));
        }
        for (value, (seen, offset)) in &partition.read {
            let kept = partition.drained.get(offset) == Some(value);
            if *seen == age && start <= *offset && !kept {
                self.violation(format!("lost write: {at:?} {value:?} was read at {offset}"));
            }
        }
    }

    fn check_order(
        &mut self,
        at: TopicPartition,
        partition: &Partition,
        sent: &BTreeMap<SendId, Sent>,
    ) {
        let idempotent: BTreeSet<u32> = sent
            .values()
            .filter(|sent| sent.idempotent && sent.at == at)
            .map(|sent| sent.first.producer)
            .collect();
        let mut last: BTreeMap<u32, u64> = BTreeMap::new();
        for (offset, value) in &partition.drained {
            if !idempotent.contains(&value.producer) {
                continue;
            }
            if let Some(before) = last.insert(value.producer, value.counter)
                && value.counter <= before
            {
                self.violation(format!(
                    "non-monotonic send: {at:?} offset {offset}: {value:?} comes after {before}"
                ));
            }
        }
    }
}
