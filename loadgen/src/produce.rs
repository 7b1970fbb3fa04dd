//! `ringload produce`: how fast, or how evenly at a given rate, a broker takes records.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel};

use ringmain::stdx::prng::Prng;

use crate::batch::{Payloads, Templates};
use crate::client::control::Control;
use crate::client::metadata::Topic;
use crate::client::requests::{PRODUCE, ProduceShape};
use crate::failure::Failure;
use crate::options::{LimitOptions, LoadOptions, ProduceOptions, TargetOptions};
use crate::report::Report;
use crate::run::drive;
use crate::schedule::Schedule;
use crate::tally::Clock;
use crate::worker::{
    Cargo, Fetching, News, Producer, Producing, ProducingSetup, Shared, Timing, Worker,
};

/// Time between the end of preparation and the first intended send.
const START_NS: u64 = 20_000_000;
/// Sets the random source of payloads apart from that of arrivals.
const PAYLOAD_SEED: u64 = 0x7061_796c_6f61_6473;

/// Timing of a run that starts after `delay_ns`.
pub(crate) fn timing(clock: Clock, limits: &LimitOptions, delay_ns: u64) -> Timing {
    let measure_from_ns = clock.now_ns() + delay_ns + limits.warmup_ns();
    Timing {
        measure_from_ns,
        stop_ns: limits.measured_ns().map(|measured| measure_from_ns + measured),
        patience_ns: limits.drain_ns(),
    }
}

/// Starts the clock of a run whose connections are all open, and sets its schedules.
pub(crate) fn begin(
    halves: &mut [Producing],
    load: &LoadOptions,
    limits: &LimitOptions,
) -> (Clock, Timing) {
    let clock = Clock::start();
    // A closed loop sends at once; a schedule waits until all threads are there.
    let delay_ns = if load.requests_per_second().is_some() { START_NS } else { 0 };
    let timing = timing(clock, limits, delay_ns);
    let start_ns = timing.measure_from_ns - limits.warmup_ns();
    let mut random = Prng::new(load.seed);
    let threads = halves.len() as f64;
    for (thread, half) in halves.iter_mut().enumerate() {
        let part = half.producer_count() as f64 / load.producers() as f64;
        let schedule = load.requests_per_second().map(|rate| {
            let phase = thread as f64 / threads;
            Schedule::new(load.arrivals, rate * part, start_ns, phase, random.fork())
        });
        half.begin(clock, schedule);
    }
    (clock, timing)
}

/// Connects, and finds or creates the topic.
pub(crate) fn prepare(target: &TargetOptions) -> Result<(Control, Topic), Failure> {
    let mut control = target.open(&target.bootstrap)?;
    let topic = control.topic_or_create(
        &target.topic,
        target.partitions,
        target.replication,
        &target.topic_configs,
    )?;
    Ok((control, topic))
}

/// A share of `total` for the `index`-th of `count`, such that all shares add up.
pub(crate) fn share(total: u64, index: usize, count: usize) -> u64 {
    let (index, count) = (index as u64, count as u64);
    total / count + u64::from(index < total % count)
}

/// Which records the producers of a run write.
pub(crate) enum Content {
    /// Prepared before the run.
    Prepared(Arc<Templates>),
    /// With the intended time in each; `run` tells this run's records from others.
    Stamped { run: u64 },
}

/// A run of producers, prepared.
pub(crate) struct Prepared<'a> {
    pub(crate) target: &'a TargetOptions,
    pub(crate) load: &'a LoadOptions,
    pub(crate) limits: &'a LimitOptions,
    pub(crate) topic: &'a Topic,
}

/// The writing halves of `threads` workers.
pub(crate) fn producing(
    prepared: &Prepared<'_>,
    control: &mut Control,
    content: &Content,
    threads: usize,
) -> Result<Vec<Producing>, Failure> {
    let Prepared { target, load, limits, topic } = *prepared;
    let version = topic.version(control.versions.pick(&PRODUCE)?);
    let records_per_request = load.records_per_request();
    let requests = limits.records.map(|records| records.div_ceil(records_per_request));
    let mut random = Prng::new(load.seed ^ PAYLOAD_SEED);
    let mut halves = Vec::new();
    for thread in 0..threads {
        // Connection c of the run belongs to thread c % threads, producer p to connection
        // p % connections.
        let connections: Vec<usize> = (thread..load.connections()).step_by(threads).collect();
        let mut producers = Vec::new();
        for number in 0..load.producers() {
            let connection = connections.iter().position(|c| *c == number % load.connections());
            if let Some(connection) = connection {
                let identity =
                    if load.idempotent { Some(control.init_producer_id()?) } else { None };
                producers.push(Producer::new(identity, topic.partitions(), connection, number));
            }
        }
        let payloads = payloads(load);
        let cargo = match content {
            Content::Prepared(templates) if load.keyed > 0 => Cargo::Keyed(Arc::clone(templates)),
            Content::Prepared(templates) => Cargo::Prepared(Arc::clone(templates)),
            Content::Stamped { run } => Cargo::Stamped {
                payloads,
                run: *run,
                number: (thread as u64) << 48,
                value: vec![0; payloads.record_bytes],
            },
        };
        let producing = Producing::open(ProducingSetup {
            topic,
            shape: ProduceShape {
                version,
                acks: load.acks.wire(),
                timeout_ms: target.request_timeout_ms as i32,
                topic: topic.topic.clone(),
            },
            cargo,
            producers,
            connections: connections.len(),
            in_flight_max: load.in_flight,
            requests: requests.map(|requests| share(requests, thread, threads)),
            records_per_request,
            timeout: target.request_timeout(),
            random: random.fork(),
        })?;
        halves.push(producing);
    }
    Ok(halves)
}

/// How the records of a run look.
pub(crate) fn payloads(load: &LoadOptions) -> Payloads {
    Payloads {
        record_bytes: load.record_bytes as usize,
        compressible: load.compressible,
        keys: load.keyed,
        compression: load.compression,
    }
}

/// Workers from their halves.
pub(crate) fn workers(
    producing: Vec<Option<Producing>>,
    fetching: Vec<Option<Fetching>>,
    (clock, timing): (Clock, Timing),
    news: &Sender<News>,
) -> Vec<Worker> {
    let shared = Arc::new(Shared::default());
    let producing_workers = producing.iter().flatten().count();
    shared.producing_workers.store(producing_workers, Ordering::Relaxed);
    producing
        .into_iter()
        .zip(fetching)
        .map(|(producing, fetching)| Worker {
            clock,
            timing,
            producing,
            fetching,
            shared: Arc::clone(&shared),
            news: news.clone(),
        })
        .collect()
}

/// Runs the command.
pub(crate) fn run(options: &ProduceOptions) -> Result<(), Failure> {
    let ProduceOptions { target, load, limits, placement, output } = options;
    load.check()?;
    let threads = placement.threads.clamp(1, load.connections());
    let (mut control, topic) = prepare(target)?;
    let templates = Templates::new(
        &payloads(load),
        load.records_per_request() as usize,
        topic.partitions(),
        load.seed,
    );
    let content = Content::Prepared(Arc::new(templates));
    let prepared = Prepared { target, load, limits, topic: &topic };
    let mut halves = producing(&prepared, &mut control, &content, threads)?;
    let (clock, timing) = begin(&mut halves, load, limits);
    let (sender, news) = channel();
    let count = halves.len();
    let halves = halves.into_iter().map(Some).collect();
    let workers = workers(halves, (0..count).map(|_| None).collect(), (clock, timing), &sender);
    drop(sender);
    let outcome = drive(workers, &news, clock, timing, &placement.cpus, output)?;
    let report = Report {
        command: "produce",
        title: format!("produce  {}", describe(target, load, &topic)),
        outcome: &outcome,
        open_loop: load.requests_per_second().is_some(),
    };
    report.deliver(output)
}

/// The load in one line.
pub(crate) fn describe(target: &TargetOptions, load: &LoadOptions, topic: &Topic) -> String {
    let name = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
    let rate = match load.rate {
        crate::options::Rate::Max => "as fast as possible".to_owned(),
        crate::options::Rate::Records(rate) => {
            format!("{rate} records/s, {} arrivals", name(&load.arrivals))
        }
        crate::options::Rate::Bytes(rate) => {
            format!("{} MB/s, {} arrivals", rate / 1e6, name(&load.arrivals))
        }
    };
    format!(
        "{}/{}: {} partitions, {} producers, {} connections, {} x {} B a request{}, acks {}{}, {} in flight, compression {}, {rate}",
        target.bootstrap,
        topic.topic.name,
        topic.partitions(),
        load.producers(),
        load.connections(),
        load.records_per_request(),
        load.record_bytes,
        if load.keyed > 0 { format!(" with {} keys", load.keyed) } else { String::new() },
        name(&load.acks),
        if load.idempotent { ", idempotent" } else { "" },
        load.in_flight,
        name(&load.compression),
    )
}
