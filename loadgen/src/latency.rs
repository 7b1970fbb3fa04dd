//! `ringload latency`: how long a record takes from its intended send to its receipt.

use std::sync::mpsc::channel;
use std::time::{SystemTime, UNIX_EPOCH};

use ringmain::stdx::prng::Prng;

use crate::consume::{LATEST, deal, fetch_shape, offsets};
use crate::failure::Failure;
use crate::options::{Acks, LatencyOptions, LoadOptions, Rate};
use crate::produce::{Content, Prepared, begin, describe, prepare, producing, workers};
use crate::report::Report;
use crate::run::drive;
use crate::worker::{FetchPartition, Fetching, Inspect, STAMP_BYTES};

/// Records per second when no rate is given: a closed loop would measure a queue of its own.
const DEFAULT_RATE: f64 = 1000.0;

/// Runs the command.
pub(crate) fn run(options: &LatencyOptions) -> Result<(), Failure> {
    let LatencyOptions { target, fetch, limits, placement, output, .. } = options;
    let mut load = LoadOptions { ..options.load.clone() };
    load.records_per_batch = Some(load.records_per_batch.unwrap_or(1));
    if load.rate == Rate::Max {
        load.rate = Rate::Records(DEFAULT_RATE);
    }
    load.check()?;
    if (load.record_bytes as usize) < STAMP_BYTES {
        return Err(Failure::Usage(format!("--record-bytes must be at least {STAMP_BYTES}")));
    }
    if load.keyed > 0 || load.acks == Acks::None {
        return Err(Failure::Usage("latency needs acknowledgements and has no keys".to_owned()));
    }
    let (mut control, topic) = prepare(target)?;
    let partitions: Vec<_> = (0..)
        .zip(offsets(&topic, target, LATEST)?)
        .map(|(partition, next_offset)| FetchPartition {
            partition,
            next_offset,
            repeat_from: None,
            end_offset: None,
        })
        .collect();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let run = Prng::new(since.as_nanos() as u64 ^ u64::from(std::process::id())).next_u64();
    let threads = placement.threads.clamp(1, load.connections());
    let content = Content::Stamped { run };
    let prepared = Prepared { target, load: &load, limits, topic: &topic };
    let mut writing = producing(&prepared, &mut control, &content, threads)?;
    let shape = fetch_shape(&control, &topic, fetch)?;
    let mut reading = Vec::new();
    for shares in deal(partitions, options.consumers, threads) {
        let fetching = Fetching::open(
            &topic,
            shape.clone(),
            Inspect::Stamps { run },
            shares,
            None,
            target.request_timeout(),
        )?;
        reading.push(Some(fetching));
    }
    let (clock, timing) = begin(&mut writing, &load, limits);
    let (sender, news) = channel();
    let writing = writing.into_iter().map(Some).collect();
    let workers = workers(writing, reading, (clock, timing), &sender);
    drop(sender);
    let mut outcome = drive(workers, &news, clock, timing, &placement.cpus, output)?;
    let acknowledged = outcome.tally.produced.records;
    let received = outcome.tally.end_to_end.count();
    if received < acknowledged && outcome.failure.is_none() && !outcome.interrupted {
        outcome.failure = Some(Failure::Violated(format!(
            "{} acknowledged records were not received",
            acknowledged - received
        )));
    }
    let title =
        format!("latency  {}, {} consumers", describe(target, &load, &topic), options.consumers);
    Report { command: "latency", title, outcome: &outcome, open_loop: true }.deliver(output)
}
