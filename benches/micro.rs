//! What the hot nouns of the core cost: instructions per operation, which are the same in every run,
//! and nanoseconds, which are not.
//!
//!     cargo bench --no-default-features --bench micro [-- NAME...]      both, for operations whose names contain NAME
//!     cargo bench --no-default-features --bench micro -- --check        instructions against benches/micro.txt; fails if
//!                                                 an operation takes over 5 % more than there
//!     cargo bench --no-default-features --bench micro -- --update       writes that file
//!
//! Instructions are counted by valgrind's callgrind, one process for each operation, in an empty
//! environment; hardware counters are missing on most virtual machines. Code of another compiler or
//! C library counts differently, so the file names what it was made with, and a check against
//! others shows the differences without judging them.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant as Clock;

use bytes::{Bytes, BytesMut};
use ringmain::batch::{self, BatchHeader};
use ringmain::fetch::{FetchTopic, SessionCache, SessionPartition, SessionRequest};
use ringmain::ids::{
    Incarnation, LeaderEpoch, Offset, PartitionId, ShardId, TopicId, TopicPartition,
};
use ringmain::journal::{Action, Checked, Entry, EntryKind, Journal, JournalOptions, Lane};
use ringmain::limits;
use ringmain::log::{Log, LogOptions, Read};
use ringmain::producer::{ProducerTable, Verdict};
use ringmain::stdx::few::Few;
use ringmain::time::{Instant, Timestamp};
use ringmain::wire::fetch::FetchRequest;
use ringmain::wire::header::RequestHeader;
use ringmain::wire::message::Message;
use ringmain::wire::primitive::Reader;
use ringmain::wire::produce::ProduceRequest;

#[path = "rig.rs"]
mod rig;

use rig::{PARTITIONS, Rig};

/// An operation may take so many hundredths more than the file says.
const GROWTH_MAX: u64 = 5;
/// Runs of which the fastest is told.
const TIMED_RUNS: usize = 7;

const TOPIC: TopicId = TopicId([5; 16]);
const PRODUCERS: usize = 100;

/// Does the operation once; to be called as often as it was made for.
type Operation = Box<dyn FnMut()>;

struct Case {
    name: &'static str,
    /// How often it is done in one run, and before it.
    rounds: usize,
    warm_up: usize,
    make: fn(usize) -> Operation,
}

const CASES: [Case; 14] = [
    Case { name: "decode_produce_1", rounds: 1_000, warm_up: 10, make: |_| decode_produce(1) },
    Case { name: "decode_produce_16", rounds: 500, warm_up: 10, make: |_| decode_produce(16) },
    Case { name: "decode_fetch_16", rounds: 500, warm_up: 10, make: |_| decode_fetch(16) },
    Case { name: "batch_check_1k", rounds: 1_000, warm_up: 10, make: |_| batch_check(1 << 10) },
    Case { name: "batch_check_64k", rounds: 100, warm_up: 10, make: |_| batch_check(64 << 10) },
    Case { name: "journal_group_16x1k", rounds: 200, warm_up: 20, make: journal_group },
    Case { name: "producer_check", rounds: 1_000, warm_up: 1_000, make: producer_check },
    Case { name: "fetch_session_100", rounds: 200, warm_up: 10, make: |_| fetch_session() },
    Case { name: "fetch_plan_tail_64k", rounds: 500, warm_up: 10, make: |_| fetch_plan() },
    Case { name: "turn_produce_1x1k", rounds: 500, warm_up: 300, make: |n| produce_turn(n, 1, 1) },
    Case { name: "turn_produce_16x1k", rounds: 100, warm_up: 50, make: |n| produce_turn(n, 16, 1) },
    Case { name: "turn_produce_wide", rounds: 100, warm_up: 50, make: |n| produce_turn(n, 1, 16) },
    Case { name: "turn_fetch_1", rounds: 500, warm_up: 300, make: |n| fetch_turn(n, 1) },
    Case { name: "turn_fetch_16", rounds: 100, warm_up: 50, make: |n| fetch_turn(n, 16) },
];

/// Header and body of a Produce request, all partitions visited.
fn decode_produce(partitions: i32) -> Operation {
    let frame = Rig::new().produce(partitions, &rig::batch(0, 1_000));
    Box::new(move || {
        let mut reader = Reader::new(black_box(&frame));
        let header = RequestHeader::decode(&mut reader).expect("a header");
        let request = ProduceRequest::decode_from(reader.rest(), header.api_version);
        for topic in request.expect("a body").topic_data.iter() {
            for partition in topic.partition_data.iter() {
                black_box(partition);
            }
        }
    })
}

/// The same of a Fetch request.
fn decode_fetch(partitions: i32) -> Operation {
    let frame = Rig::new().fetch(1, 1, partitions, 1_000, 1 << 20);
    Box::new(move || {
        let mut reader = Reader::new(black_box(&frame));
        let header = RequestHeader::decode(&mut reader).expect("a header");
        let request = FetchRequest::decode_from(reader.rest(), header.api_version);
        for topic in request.expect("a body").topics.iter() {
            for partition in topic.partitions.iter() {
                black_box(partition);
            }
        }
    })
}

/// Header, sums and rules of a batch as produced.
fn batch_check(value_bytes: usize) -> Operation {
    let batch = rig::batch(0, value_bytes);
    Box::new(move || {
        black_box(batch::check_produce(black_box(&batch)).expect("a good batch"));
    })
}

/// Sixteen entries of 1 KiB into a group, the group out, and its end; now and then the next file.
fn journal_group(_: usize) -> Operation {
    let mut journal = Journal::new(JournalOptions {
        shard: ShardId(0),
        lane: Lane::Flushed,
        incarnation: Incarnation(1),
        file_bytes: limits::JOURNAL_FILE_BYTES,
        depth: limits::JOURNAL_DEPTH,
        group_bytes_max: limits::JOURNAL_GROUP_BYTES_MAX,
        files_max: 4,
    });
    let payload = vec![7; 1 << 10];
    // As of a batch, whose own sum begins behind the fields that the broker stamps.
    let checked = Checked { from: 21, crc: crc32c::crc32c(&payload[21..]) };
    let mut next = 0;
    Box::new(move || {
        for index in 0..PARTITIONS {
            let at = TopicPartition { topic: TOPIC, partition: PartitionId(index) };
            let entry = Entry {
                kind: EntryKind::Batch,
                at,
                base_offset: Offset(next),
                next_offset: Offset(next + 1),
                leader_epoch: LeaderEpoch(0),
                payload: black_box(&payload),
                checked: Some(checked),
            };
            journal.append(&entry).expect("there is room");
        }
        next += 1;
        while let Some(action) = journal.poll_action() {
            match action {
                Action::PrepareFile { file, .. } => journal.on_file_ready(file),
                Action::Write { group, buffer, .. } => {
                    journal.on_written(group, black_box(buffer));
                }
            }
        }
        assert!(journal.is_settled(), "the group is written");
    })
}

/// Decides about a batch of one of a hundred idempotent producers, in turn, and notes it.
fn producer_check(rounds: usize) -> Operation {
    let mut table = ProducerTable::new(limits::PARTITION_PRODUCERS_MAX);
    let stamps = (0..rounds).map(|round| {
        let header = BatchHeader::parse(&rig::batch(round / PRODUCERS, 1)).expect("a header");
        let mut stamp = header.producer().expect("of a producer");
        stamp.id.0 += (round % PRODUCERS) as i64;
        stamp
    });
    let stamps: Vec<_> = stamps.collect();
    let mut round = 0;
    Box::new(move || {
        let (stamp, offset) = (&stamps[round], Offset(round as i64));
        assert_eq!(table.check(black_box(stamp)), Ok(Verdict::New));
        table.apply(stamp, offset, offset, Timestamp(0), Instant(1));
        round += 1;
    })
}

/// What to read for a request of a session of a hundred partitions that names one of them.
fn fetch_session() -> Operation {
    let partition = |index, offset| SessionPartition {
        topic: FetchTopic::Id(TOPIC),
        partition: PartitionId(index),
        offset: Offset(offset),
        bytes_max: 1 << 20,
        current_leader_epoch: None,
        last_fetched_epoch: None,
        told_high_watermark: None,
        told_log_start: None,
        told_error: false,
    };
    let request = |session_id, epoch, partitions| SessionRequest {
        session_id,
        epoch,
        uses_topic_ids: true,
        partitions,
        forgotten: Vec::new(),
    };
    let mut sessions = SessionCache::new(ShardId(0), 10, 1_000);
    let all = (0..100).map(|index| partition(index, 0)).collect();
    let opened = sessions.open(request(0, 0, all), Instant(1)).expect("a new session");
    let session = opened.session.expect("there is room").0;
    let mut epoch = 0;
    Box::new(move || {
        epoch += 1;
        let named = Few::from_buf([partition(7, i64::from(epoch))]);
        let opened = sessions.open(request(session, epoch, named), Instant(1));
        assert_eq!(black_box(opened).expect("the next epoch").partitions.len(), 100);
    })
}

/// The batches of 1 KiB that a fetch of 64 KiB gets from the middle of a thousand in memory.
fn fetch_plan() -> Operation {
    let options = LogOptions {
        segment_bytes: 1 << 30,
        segment_ms: u64::MAX,
        segment_jitter_ms: 0,
        jitter_seed: 0,
        index_interval_bytes: 4_096,
        segment_index_bytes: 10 << 20,
        retention_bytes: None,
        retention_ms: None,
        delete: true,
        file_delete_delay_ms: 60_000,
    };
    let mut log = Log::new(Offset(0), options, Timestamp(0));
    for number in 0..1_000 {
        let mut batch = rig::batch(number, 1_000);
        batch::stamp(&mut batch, Offset(number as i64), LeaderEpoch(0));
        let header = BatchHeader::parse(&batch).expect("a header");
        log.append(batch.freeze(), &header, Timestamp(0));
    }
    Box::new(move || match black_box(log.read(Offset(500), 64 << 10, Offset(1_000), true)) {
        Read::Tail(pieces, _) => {
            assert!(pieces.iter().map(Bytes::len).sum::<usize>() > 60 << 10);
        }
        other => panic!("it is in memory: {other:?}"),
    })
}

/// So many Produce requests to so many partitions each arrive together, are committed together, and
/// answered.
fn produce_turn(rounds: usize, requests: usize, partitions: i32) -> Operation {
    let mut rig = Rig::new();
    let frames =
        (0..rounds * requests).map(|number| rig.produce(partitions, &rig::batch(number, 1_000)));
    let mut frames: Vec<BytesMut> = frames.collect();
    let mut sent = 0;
    Box::new(move || {
        for frame in &mut frames[sent..sent + requests] {
            rig.frame(std::mem::take(frame));
        }
        rig.turn();
        sent += requests;
        assert_eq!(rig.replies(), sent, "every request was answered");
        if sent == frames.len() {
            assert_eq!(rig.produced().last(), Some(&(sent as i64 - 1)));
        }
    })
}

/// A Fetch request of a session gets a batch of 1 KiB of each partition from memory.
fn fetch_turn(rounds: usize, partitions: i32) -> Operation {
    let batch_bytes = rig::batch(0, 1_000).len();
    let mut rig = Rig::new();
    for number in 0..rounds {
        let frame = rig.produce(partitions, &rig::batch(number, 1_000));
        rig.frame(frame);
        rig.turn();
    }
    let first = rig.fetch(0, 0, partitions, 0, batch_bytes);
    rig.frame(first);
    rig.turn();
    let (session, bytes) = rig.fetched();
    assert_eq!(bytes, batch_bytes * partitions as usize);
    let frames =
        (0..rounds).map(|n| rig.fetch(session, n as i32 + 1, partitions, n as i64, batch_bytes));
    let mut frames: Vec<BytesMut> = frames.collect();
    let before = rig.replies();
    let mut sent = 0;
    Box::new(move || {
        rig.frame(std::mem::take(&mut frames[sent]));
        rig.turn();
        sent += 1;
        assert_eq!(rig.replies(), before + sent, "every request was answered");
        if sent == frames.len() {
            assert_eq!(rig.fetched(), (session, bytes));
        }
    })
}

/// What is counted: callgrind is told this function's name.
#[inline(never)]
fn measured(operation: &mut dyn FnMut(), rounds: usize) {
    for _ in 0..rounds {
        operation();
    }
}

impl Case {
    fn warm(&self) -> Operation {
        let mut operation = (self.make)(self.warm_up + self.rounds);
        for _ in 0..self.warm_up {
            operation();
        }
        operation
    }

    /// Nanoseconds of one operation.
    fn time(&self) -> f64 {
        let runs = (0..TIMED_RUNS).map(|_| {
            let mut operation = self.warm();
            let start = Clock::now();
            measured(&mut *operation, self.rounds);
            start.elapsed().as_nanos() as f64 / self.rounds as f64
        });
        runs.fold(f64::INFINITY, f64::min)
    }

    /// Instructions of one operation.
    fn count(&self) -> Result<u64, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let output = Command::new("valgrind")
            .env_clear()
            .env("PATH", path)
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg("--toggle-collect=*micro*measured*")
            .arg(program)
            .args(["--once", self.name])
            .output()
            .map_err(|error| format!("valgrind: {error}"))?;
        let told = String::from_utf8_lossy(&output.stderr);
        let collected =
            told.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
        match collected {
            Some(all) if output.status.success() && 0 < all => {
                Ok(u64::div_euclid(all, self.rounds as u64))
            }
            _ => Err(format!("{} could not be counted:\n{told}", self.name)),
        }
    }
}

/// What the counts depend on besides the source.
fn toolchain() -> Result<String, String> {
    let say = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        let output = output.map_err(|error| format!("{program}: {error}"))?;
        Ok::<_, String>(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let compiler = say("rustc", &["--version"])?;
    let library = say("getconf", &["GNU_LIBC_VERSION"])?;
    Ok(format!("{compiler}, {library}, {}", say("valgrind", &["--version"])?))
}

fn baseline() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/micro.txt"))
}

const MADE_WITH: &str = "# made with ";

/// The toolchain of the file, and what it says of each operation.
fn read_baseline() -> Result<(String, BTreeMap<String, u64>), String> {
    let text = std::fs::read_to_string(baseline())
        .map_err(|error| format!("{}: {error}", baseline().display()))?;
    let mut made_with = String::new();
    let mut counts = BTreeMap::new();
    for line in text.lines() {
        if let Some(toolchain) = line.strip_prefix(MADE_WITH) {
            made_with = toolchain.to_owned();
        } else if !line.starts_with('#') {
            let fields = line.split_once(' ').map(|(name, count)| (name, count.trim().parse()));
            let Some((name, Ok(count))) = fields else {
                return Err(format!("benches/micro.txt has a line that says nothing: {line}"));
            };
            counts.insert(name.to_owned(), count);
        }
    }
    Ok((made_with, counts))
}

fn update() -> Result<(), String> {
    let mut text = format!(
        "# Instructions of one operation; see micro.rs. Written by: cargo bench --no-default-features --bench micro -- --update\n{MADE_WITH}{}\n",
        toolchain()?
    );
    for case in &CASES {
        text += &format!("{:22}{:>9}\n", case.name, case.count()?);
    }
    print!("{text}");
    std::fs::write(baseline(), text).map_err(|error| error.to_string())
}

/// Whether nothing grew.
fn check() -> Result<bool, String> {
    let (made_with, mut known) = read_baseline()?;
    let here = toolchain()?;
    let comparable = made_with == here;
    let mut good = true;
    println!("{:22}{:>9}{:>9}", "instructions", "known", "now");
    for case in &CASES {
        let now = case.count()?;
        let Some(before) = known.remove(case.name) else {
            println!("{:22}{:>9}{now:>9}  not in benches/micro.txt", case.name, "-");
            good = false;
            continue;
        };
        let change = (now as f64 / before as f64 - 1.0) * 100.0;
        let verdict = if now * 100 > before * (100 + GROWTH_MAX) {
            good &= !comparable;
            "  grew"
        } else if now * (100 + GROWTH_MAX) < before * 100 {
            "  shrank: --update keeps it"
        } else {
            ""
        };
        println!("{:22}{before:>9}{now:>9}{change:>+8.1} %{verdict}", case.name);
    }
    for name in known.keys() {
        println!("{name} is in benches/micro.txt and no longer measured");
        good = false;
    }
    if !comparable {
        println!("not judged: the file was made with {made_with}; this is {here}");
    }
    Ok(good)
}

fn show(wanted: &[&str]) -> Result<(), String> {
    println!("{:22}{:>13}{:>11}", "", "instructions", "ns");
    for case in &CASES {
        if wanted.is_empty() || wanted.iter().any(|name| case.name.contains(name)) {
            println!("{:22}{:>13}{:>11.0}", case.name, case.count()?, case.time());
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    // What cargo passes to every benchmark says nothing here.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["--once", name] => {
            let case = CASES.iter().find(|case| case.name == *name).expect("a known operation");
            measured(&mut *case.warm(), case.rounds);
            Ok(true)
        }
        ["--check"] => check(),
        ["--update"] => update().map(|()| true),
        wanted if wanted.iter().all(|name| !name.starts_with('-')) => show(wanted).map(|()| true),
        _ => Err("[--check | --update | NAME...]".to_owned()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("micro: {reason}");
            ExitCode::FAILURE
        }
    }
}
