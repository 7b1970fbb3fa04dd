//! A run: its workers on their threads, a progress line each second, and the sum of all counts.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::failure::Failure;
use crate::options::{Cpus, OutputOptions};
use crate::system::{self, Usage};
use crate::tally::{Clock, Recent, Tally};
use crate::worker::{News, Timing, Worker};

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    /// Used by the whole process during the measured part and what followed it.
    pub(crate) usage: Usage,
    /// Length of the measured part: to the last answer that counted.
    pub(crate) seconds: f64,
    /// Each full second of the measured part: its end, MB produced and MB consumed in it.
    pub(crate) timeline: Vec<[f64; 3]>,
    pub(crate) interrupted: bool,
    pub(crate) failure: Option<Failure>,
}

/// Runs the workers to their end.
pub(crate) fn drive(
    workers: Vec<Worker>,
    news: &Receiver<News>,
    clock: Clock,
    timing: Timing,
    cpus: &Cpus,
    output: &OutputOptions,
) -> Result<Outcome, Failure> {
    let mut threads = Vec::new();
    let mut running = workers.len();
    let cpus = Arc::new(cpus.clone());
    for (index, worker) in workers.into_iter().enumerate() {
        let cpus = Arc::clone(&cpus);
        let spawned =
            std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                match cpus.pin(index) {
                    Ok(()) => worker.run(),
                    Err(failure) => {
                        let _ = worker.news.send(News::Ended(Some(failure)));
                    }
                }
            });
        threads.push(spawned.map_err(|error| Failure::Local(format!("no thread: {error}")))?);
    }
    let mut outcome = Outcome {
        tally: Tally::default(),
        usage: Usage::default(),
        seconds: 0.0,
        timeline: Vec::new(),
        interrupted: false,
        failure: None,
    };
    let mut recent = Recent::default();
    let mut before = None;
    let mut second = 1_u64;
    while running > 0 {
        let now_ns = clock.now_ns();
        if before.is_none() && now_ns >= timing.measure_from_ns {
            before = Some(Usage::now());
        }
        // A little after the full second: the workers' counts are in by then.
        let progress_ns = second * 1_000_000_000 + 50_000_000;
        if now_ns >= progress_ns {
            if !output.quiet {
                progress(second, &recent, now_ns < timing.measure_from_ns);
            }
            let since_ns = now_ns.saturating_sub(timing.measure_from_ns);
            if since_ns >= 1_000_000_000 {
                let (produced, fetched) = (recent.produced_bytes, recent.fetched_bytes);
                outcome.timeline.push([
                    (since_ns / 100_000_000) as f64 / 10.0,
                    produced as f64 / 1e6,
                    fetched as f64 / 1e6,
                ]);
            }
            recent = Recent::default();
            second = (now_ns / 1_000_000_000).max(second) + 1;
        }
        let mut wake_ns = second * 1_000_000_000 + 50_000_000;
        if before.is_none() {
            wake_ns = wake_ns.min(timing.measure_from_ns);
        }
        let wait = Duration::from_nanos(wake_ns.saturating_sub(clock.now_ns()));
        match news.recv_timeout(wait) {
            Ok(News::Counted(counted)) => {
                recent.add(&counted.0);
                outcome.tally.add(&counted.1);
            }
            Ok(News::Ended(failure)) => {
                running -= 1;
                outcome.failure = outcome.failure.take().or(failure);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => running = 0,
        }
    }
    let usage = Usage::now();
    for thread in threads {
        if thread.join().is_err() {
            return Err(Failure::Local("a worker panicked".to_owned()));
        }
    }
    outcome.usage = usage.since(&before.unwrap_or(usage));
    let last_ns = outcome.tally.produced.last_ns.max(outcome.tally.fetched.last_ns);
    outcome.seconds = last_ns.saturating_sub(timing.measure_from_ns) as f64 / 1e9;
    outcome.interrupted = system::is_interrupted();
    Ok(outcome)
}

fn progress(second: u64, recent: &Recent, warming_up: bool) {
    let mut line = format!("{second:>5} s");
    let sides = [
        ("produced", recent.produced_records, recent.produced_bytes),
        ("consumed", recent.fetched_records, recent.fetched_bytes),
    ];
    for (name, records, bytes) in sides {
        if records > 0 || (name == "produced" && recent.fetched_records == 0) {
            let mb = bytes as f64 / 1e6;
            line += &format!("  {name} {records:>9} records/s {mb:>8.1} MB/s");
        }
    }
    let (p50, p99) = (recent.latency.quantile_ms(0.5), recent.latency.quantile_ms(0.99));
    line += &format!("  p50 {p50:>8.3} ms  p99 {p99:>8.3} ms");
    if recent.errors > 0 {
        line += &format!("  errors {}", recent.errors);
    }
    if warming_up {
        line += "  (warm-up)";
    }
    eprintln!("{line}");
}
