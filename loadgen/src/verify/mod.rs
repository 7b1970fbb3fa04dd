//! `ringload verify`: is everything that was acknowledged there, once, in order, unharmed?
//!
//! Producers write numbered records ([`value`]) and send each batch again, the same bytes with the
//! same sequence, until it is acknowledged ([`writer`]). What is acknowledged goes to a file before
//! it counts ([`history`]). A reader then reads everything to the end ([`reader`]), and the checker
//! ([`checker`]) compares. The checker is pure, and its tests feed it histories with every kind of
//! fault.
//!
//! Invariant: no failure to read, to keep the history, or to get anything acknowledged passes for
//! success.

mod checker;
mod history;
mod reader;
mod value;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringmain::stdx::prng::Prng;

use crate::client::metadata::Topic;
use crate::consume::{LATEST, offsets};
use crate::failure::Failure;
use crate::options::{Acks, Phase, VerifyOptions};
use crate::produce::prepare;
use crate::report::{Json, grouped, write_file};
use crate::system;
use crate::tally::Clock;
use checker::Verdict;
use history::{History, Plan};

/// What the writing half has to say at its end.
#[derive(Debug, Default, Clone)]
struct Written {
    seconds: f64,
    /// Records that were sent and never acknowledged nor refused.
    unanswered_records: u64,
    reconnects: u64,
    retried_batches: u64,
    /// The user ended the writing: what was not answered by then says nothing about the broker.
    interrupted: bool,
    /// Why producers stopped writing to a partition.
    stopped: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(options: &VerifyOptions) -> Result<(), Failure> {
    if let Some(path) = &options.check {
        return read_and_judge(options, History::load(path)?, None);
    }
    match (options.phase, &options.state) {
        (Phase::Read, None) => {
            Err(Failure::Usage("--phase read needs --state, or use --check FILE".to_owned()))
        }
        (Phase::Write, None) => {
            Err(Failure::Usage("--phase write without --state leaves nothing to check".to_owned()))
        }
        (Phase::Read, Some(path)) => read_and_judge(options, History::load(path)?, None),
        (phase, state) => {
            let (history, written) = write(options, state.as_deref())?;
            if phase == Phase::Both {
                return read_and_judge(options, history, Some(written));
            }
            println!("{}", describe_written(&written, history.acknowledged_records()));
            if let Some(reason) = written.stopped.first() {
                return Err(Failure::Violated(reason.clone()));
            }
            if written.unanswered_records > 0 && !written.interrupted {
                return Err(Failure::Unreachable(format!(
                    "{} records without an answer at the deadline",
                    written.unanswered_records
                )));
            }
            Ok(())
        }
    }
}

fn patience(options: &VerifyOptions) -> Duration {
    Duration::from_secs_f64(options.deadline.clamp(0.0, 1e6))
}

fn write(options: &VerifyOptions, state: Option<&Path>) -> Result<(History, Written), Failure> {
    if options.acks == Acks::None {
        return Err(Failure::Usage("verify needs acknowledgements: --acks 1 or all".to_owned()));
    }
    let idempotent = !options.no_idempotence;
    if idempotent && (options.acks != Acks::All || options.in_flight > 5) {
        return Err(Failure::Usage(
            "idempotence needs --acks all and --in-flight of at most 5; or say --no-idempotence"
                .to_owned(),
        ));
    }
    if (options.record_bytes as usize) < value::VALUE_BYTES_MIN || options.record_bytes > 1 << 20 {
        return Err(Failure::Usage(format!(
            "--record-bytes must be from {} to 1M",
            value::VALUE_BYTES_MIN
        )));
    }
    if options.producers == 0 || options.records_per_batch == 0 || options.in_flight == 0 {
        return Err(Failure::Usage(
            "--producers, --records-per-batch and --in-flight must be at least 1".to_owned(),
        ));
    }
    let (_, topic) = prepare(&options.target)?;
    let starts = offsets(&topic, &options.target, LATEST)?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let plan = Plan {
        run: Prng::new(since.as_nanos() as u64 ^ u64::from(std::process::id())).next_u64(),
        topic: topic.topic.name.clone(),
        topic_id: topic.topic.id,
        producers: options.producers,
        idempotent,
        starts,
        // More than this many can never be on their way: a record with a higher number is made up.
        unacknowledged_max: (options.in_flight.max(writer::UNACKNOWLEDGED_BATCHES_MAX) as u64 + 1)
            * u64::from(options.records_per_batch),
    };
    let history = History::create(plan, state, options.state_sync)?;
    let history = Arc::new(Mutex::new(history));
    let clock = Clock::start();
    let along = options.read_along.then(|| {
        reader::Along::start(
            options.target.clone(),
            topic.clone(),
            Arc::clone(&history),
            patience(options),
        )
    });
    let result = writer::write(options, &topic, &history, clock);
    // Joined before anything else can end this function: the reader holds the history.
    let along = along.map_or(Ok(()), reader::Along::stop);
    let mut written = result?;
    along?;
    written.seconds = clock.now_ns() as f64 / 1e9;
    written.interrupted = system::is_interrupted();
    // An interrupt ends the writing; the reading takes another one.
    system::catch_interrupts();
    let history = Arc::into_inner(history).map(Mutex::into_inner);
    match history {
        Some(Ok(history)) => Ok((history, written)),
        _ => Err(Failure::Local("a thread of the writer did not end".to_owned())),
    }
}

fn read_and_judge(
    options: &VerifyOptions,
    mut history: History,
    written: Option<Written>,
) -> Result<(), Failure> {
    let name = history.plan().topic.clone();
    let topic = reader::find_topic(&options.target, &name, patience(options))?;
    check_identity(&topic, &history)?;
    let read = reader::read_all(&options.target, &topic, &mut history, patience(options))?;
    let note = history.note();
    let mut verdict = history.into_checker().finish();
    if let Some(written) = &written {
        verdict.refusals.extend(written.stopped.iter().cloned());
        if written.unanswered_records > 0 && !written.interrupted {
            verdict.refusals.push(format!(
                "{} records were sent again until the deadline and never answered",
                written.unanswered_records
            ));
        }
    }
    if let Some(written) = &written {
        println!("{}", describe_written(written, verdict.acknowledged));
    }
    println!("read         {} records in {:.2} s", grouped(verdict.read), read.as_secs_f64());
    print!("{}", verdict.to_text());
    if let Some(note) = note {
        println!("note: {note}");
    }
    if let Some(path) = &options.output.json {
        write_file(path, &to_json(&verdict, written.as_ref()))?;
    }
    if verdict.is_ok() {
        println!("OK");
        Ok(())
    } else {
        Err(Failure::Violated(format!("verify: {}", verdict.summary())))
    }
}

/// A topic deleted and created again is another topic: what was acknowledged went with the old one.
fn check_identity(topic: &Topic, history: &History) -> Result<(), Failure> {
    let plan = history.plan();
    if plan.topic_id != [0; 16] && topic.topic.id != [0; 16] && plan.topic_id != topic.topic.id {
        return Err(Failure::Violated(format!(
            "topic {} is not the one that was written to: its id has changed",
            plan.topic
        )));
    }
    if topic.leaders.len() < plan.starts.len() {
        return Err(Failure::Violated(format!(
            "topic {} has {} partitions, {} were written to",
            plan.topic,
            topic.leaders.len(),
            plan.starts.len()
        )));
    }
    Ok(())
}

fn describe_written(written: &Written, acknowledged: u64) -> String {
    format!(
        "written      {} records acknowledged in {:.2} s, {} unanswered, {} batches sent again, {} reconnects",
        grouped(acknowledged),
        written.seconds,
        written.unanswered_records,
        grouped(written.retried_batches),
        written.reconnects,
    )
}

fn to_json(verdict: &Verdict, written: Option<&Written>) -> String {
    let mut json = Json::new();
    json.text("command", "verify");
    json.boolean("ok", verdict.is_ok());
    for (name, count) in verdict.counts() {
        json.number(&name.replace(' ', "_"), count as f64);
    }
    json.number("refusals", verdict.refusals.len() as f64);
    if let Some(written) = written {
        json.number("write_seconds", written.seconds);
        json.number("unanswered_records", written.unanswered_records as f64);
        json.number("retried_batches", written.retried_batches as f64);
        json.number("reconnects", written.reconnects as f64);
    }
    json.text("summary", &verdict.summary());
    json.finish()
}
