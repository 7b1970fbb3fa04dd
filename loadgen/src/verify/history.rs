//! What was acknowledged, in memory and in a file that outlives the process.
//!
//! The file is text: a line for each fact, each line with its own checksum, appended with one write
//! before the fact counts. A line cut off at the end is what a kill leaves behind and is passed
//! over; damage anywhere else makes the file useless, and says so.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use super::checker::Checker;
use super::value::Seen;
use crate::failure::Failure;

/// What a run set out to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// Marks the records of this run.
    pub(super) run: u64,
    pub(super) topic: String,
    pub(super) topic_id: [u8; 16],
    pub(super) producers: u32,
    pub(super) idempotent: bool,
    /// End of each partition before the run.
    pub(super) starts: Vec<i64>,
    /// Most records of one producer and partition that can be there without acknowledgement.
    pub(super) unacknowledged_max: u64,
}

/// Facts, checked and kept.
#[derive(Debug)]
pub(super) struct History {
    plan: Plan,
    checker: Checker,
    file: Option<File>,
    sync: bool,
    note: Option<String>,
}

const TITLE: &str = "ringload-verify-1";

fn line(fact: &str) -> String {
    format!("{fact} #{:08x}\n", crc32c::crc32c(fact.as_bytes()))
}

/// The fact of a line without its newline, if its checksum is right.
fn fact(line: &[u8]) -> Option<&str> {
    let (fact, checksum) = std::str::from_utf8(line).ok()?.rsplit_once(" #")?;
    let expected = format!("{:08x}", crc32c::crc32c(fact.as_bytes()));
    (checksum == expected).then_some(fact)
}

impl Plan {
    fn to_facts(&self) -> String {
        let id: String = self.topic_id.iter().map(|byte| format!("{byte:02x}")).collect();
        let starts: Vec<String> = self.starts.iter().map(i64::to_string).collect();
        let mut facts = line(TITLE);
        facts += &line(&format!(
            "plan {:016x} {} {id} {} {} {} {}",
            self.run,
            self.topic,
            self.producers,
            u8::from(self.idempotent),
            self.unacknowledged_max,
            starts.join(",")
        ));
        facts
    }

    fn from_fact(fact: &str) -> Option<Plan> {
        let words: Vec<&str> = fact.split(' ').collect();
        let &["plan", run, topic, id, producers, idempotent, most, starts] = words.as_slice()
        else {
            return None;
        };
        let id = u128::from_str_radix(id, 16).ok()?;
        let starts = starts.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Plan {
            run: u64::from_str_radix(run, 16).ok()?,
            topic: topic.to_owned(),
            topic_id: id.to_be_bytes(),
            producers: producers.parse().ok()?,
            idempotent: idempotent == "1",
            starts,
            unacknowledged_max: most.parse().ok()?,
        })
    }

    fn checker(&self) -> Checker {
        Checker::new(
            self.run,
            self.producers,
            self.idempotent,
            self.unacknowledged_max,
            &self.starts,
        )
    }
}

impl History {
    /// A new history; its file must not be there yet, as it may hold the only proof of another run.
    pub(super) fn create(plan: Plan, path: Option<&Path>, sync: bool) -> Result<History, Failure> {
        let file = match path {
            None => None,
            Some(path) => {
                let opened = OpenOptions::new().append(true).create_new(true).open(path);
                Some(opened.map_err(|error| {
                    let hint = match error.kind() {
                        ErrorKind::AlreadyExists => " (check it with --check, or remove it)",
                        _ => "",
                    };
                    Failure::Local(format!("cannot create {}: {error}{hint}", path.display()))
                })?)
            }
        };
        let checker = plan.checker();
        let mut history = History { plan, checker, file, sync, note: None };
        let facts = history.plan.to_facts();
        history.append(&facts)?;
        Ok(history)
    }

    /// Reads the history of an earlier process.
    pub(super) fn load(path: &Path) -> Result<History, Failure> {
        let bytes = std::fs::read(path)
            .map_err(|error| Failure::Local(format!("cannot read {}: {error}", path.display())))?;
        History::parse(&bytes)
            .map_err(|reason| Failure::Local(format!("{}: {reason}", path.display())))
    }

    fn parse(bytes: &[u8]) -> Result<History, String> {
        let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        let good = lines.iter().rposition(|line| fact(line).is_some()).map_or(0, |at| at + 1);
        let mut facts = Vec::new();
        for (at, line) in lines.iter().take(good).enumerate() {
            facts.push(fact(line).ok_or_else(|| format!("line {} is damaged", at + 1))?);
        }
        let mut facts = facts.into_iter();
        if facts.next() != Some(TITLE) {
            return Err("not a state file of ringload verify".to_owned());
        }
        let plan = facts.next().and_then(Plan::from_fact).ok_or("its plan is damaged")?;
        let checker = plan.checker();
        let mut history = History { plan, checker, file: None, sync: false, note: None };
        for fact in facts {
            if !history.take(fact) {
                return Err(format!("a fact that makes no sense: {fact}"));
            }
        }
        if lines.iter().skip(good).any(|line| !line.is_empty()) {
            history.note = Some("the state file ends in the middle of a line".to_owned());
        }
        Ok(history)
    }

    fn take(&mut self, fact: &str) -> bool {
        let mut words = fact.split(' ');
        let kind = words.next();
        let numbers: Result<Vec<i64>, _> = words.map(str::parse).collect();
        let Ok(numbers) = numbers else { return false };
        let natural = |n: i64| u64::try_from(n).ok();
        let place = |n: i64| u32::try_from(n).ok();
        match (kind, numbers.as_slice()) {
            (Some("ack"), &[producer, partition, first, count, offset]) => {
                let range = natural(first).zip(natural(count));
                let places = place(producer).zip(place(partition));
                places.zip(range).is_some_and(|((producer, partition), range)| {
                    let offset = (offset >= 0).then_some(offset);
                    self.checker.on_acknowledged(producer, partition, range, offset)
                })
            }
            (Some("retry"), &[producer, partition, first, count]) => {
                let range = natural(first).zip(natural(count));
                let places = place(producer).zip(place(partition));
                places.zip(range).is_some_and(|((producer, partition), range)| {
                    self.checker.on_retried(producer, partition, range)
                })
            }
            _ => false,
        }
    }

    fn append(&mut self, lines: &str) -> Result<(), Failure> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut result = file.write_all(lines.as_bytes());
        if self.sync {
            result = result.and_then(|()| file.sync_data());
        }
        result.map_err(|error| Failure::Local(format!("cannot write the state file: {error}")))
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn acknowledged_records(&self) -> u64 {
        self.checker.acknowledged()
    }

    /// What is to be known about the file itself.
    pub(super) fn note(&self) -> Option<String> {
        self.note.clone()
    }

    /// A batch was acknowledged: kept first, then counted.
    pub(super) fn acknowledged(
        &mut self,
        producer: u32,
        partition: u32,
        (first, count): (u64, u64),
        base_offset: Option<i64>,
    ) -> Result<(), Failure> {
        let offset = base_offset.unwrap_or(-1);
        self.append(&line(&format!("ack {producer} {partition} {first} {count} {offset}")))?;
        self.checker.on_acknowledged(producer, partition, (first, count), base_offset);
        Ok(())
    }

    /// A batch is about to be sent again.
    pub(super) fn retried(
        &mut self,
        producer: u32,
        partition: u32,
        (first, count): (u64, u64),
    ) -> Result<(), Failure> {
        self.append(&line(&format!("retry {producer} {partition} {first} {count}")))?;
        self.checker.on_retried(producer, partition, (first, count));
        Ok(())
    }

    /// What the reader beside the writers saw.
    pub(super) fn seen_along(&mut self, partition: usize, records: &[(i64, Seen)]) {
        for (offset, seen) in records {
            self.checker.on_record_along(partition, *offset, *seen);
        }
    }

    pub(super) fn checker(&mut self) -> &mut Checker {
        &mut self.checker
    }

    pub(super) fn into_checker(self) -> Checker {
        self.checker
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            run: 0xabc,
            topic: "t".to_owned(),
            topic_id: [7; 16],
            producers: 2,
            idempotent: true,
            starts: vec![0, 12],
            unacknowledged_max: 60,
        }
    }

    fn file() -> Vec<u8> {
        let mut text = plan().to_facts();
        text += &line("ack 0 0 0 5 0");
        text += &line("retry 1 1 0 5");
        text += &line("ack 1 1 0 5 12");
        text.into_bytes()
    }

    #[test]
    fn a_file_reads_back() {
        let history = History::parse(&file()).unwrap();
        assert_eq!(*history.plan(), plan());
        assert_eq!(history.acknowledged_records(), 10);
        assert_eq!(history.note(), None);
    }

    #[test]
    fn a_cut_file_never_counts_more_than_it_says() {
        let whole = file();
        for length in 0..whole.len() {
            match History::parse(&whole[..length]) {
                Ok(history) => {
                    let lines = whole[..length].split(|byte| *byte == b'\n');
                    let acks =
                        lines.filter(|line| fact(line).is_some_and(|f| f.starts_with("ack")));
                    assert_eq!(history.acknowledged_records(), 5 * acks.count() as u64);
                }
                Err(_) => assert!(length < plan().to_facts().len()),
            }
        }
    }

    #[test]
    fn a_damaged_file_is_refused_or_only_shorter() {
        let whole = file();
        let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            match History::parse(&bad) {
                // Only damage to the last line, or to the newline before it, can be taken for a
                // cut.
                Ok(history) => {
                    assert!(at >= last, "byte {at}");
                    assert!(history.acknowledged_records() <= 10);
                }
                Err(_) => assert!(at <= last, "byte {at}"),
            }
        }
    }

    #[test]
    fn facts_of_unknown_producers_are_refused() {
        for bad in ["ack 2 0 0 5 0", "ack 0 2 0 5 0", "ack 0 0 -1 5 0", "ack 0 0 0 5", "what 1"] {
            let mut text = plan().to_facts();
            text += &line(bad);
            assert!(History::parse(text.as_bytes()).is_err(), "{bad}");
        }
    }
}
