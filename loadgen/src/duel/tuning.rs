//! The threads that are best for Kafka on this machine: a small search before a full duel.

use std::time::Duration;

use super::broker::{Contenders, DEFAULT_THREADS, Side, Start, Threads};
use super::cells::{INGEST, Placement, SMALL};
use super::client::{Client, Place, words};
use crate::failure::Failure;

const NETWORK: [u32; 3] = [1, 2, 3];
const IO: [u32; 4] = [1, 2, 4, 8];
/// Seconds of warm-up and of measurement, for each of the two loads.
const SECONDS: [f64; 2] = [4.0, 3.0];
const PATIENCE: Duration = Duration::from_secs(120);

/// What was found: threads for large batches and for small requests, and how, in words.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) threads: [Threads; 2],
    pub(crate) search: String,
}

/// Kafka's defaults, not searched for.
pub(crate) fn fixed() -> Found {
    let Threads { network, io } = DEFAULT_THREADS;
    Found {
        threads: [DEFAULT_THREADS; 2],
        search: format!(
            "Kafka's defaults, num.network.threads={network} num.io.threads={io}; a full duel searches for the best"
        ),
    }
}

/// Tries all combinations under a load of large batches and one of small requests.
pub(crate) fn search(contenders: &Contenders) -> Result<Found, Failure> {
    let mut tried = Vec::new();
    for network in NETWORK {
        for io in IO {
            let threads = Threads { network, io };
            let rates = try_one(contenders, threads)?;
            eprintln!(
                "Kafka with {network} network and {io} io threads: {:.0} MB/s, {:.0} small requests/s",
                rates[0], rates[1]
            );
            tried.push((threads, rates));
        }
    }
    Ok(choose(&tried))
}

fn try_one(contenders: &Contenders, threads: Threads) -> Result<[f64; 2], Failure> {
    let start = Start { placement: Placement::Free, threads, plain: false };
    let mut server = contenders.prepare(Side::Kafka, start)?;
    server.serve()?;
    let mut rates = [0.0; 2];
    for (index, load) in [INGEST, SMALL].into_iter().enumerate() {
        for (step, seconds) in SECONDS.into_iter().enumerate() {
            let mut arguments = words(load);
            arguments.extend(words(&format!(
                "--topic load-{index} --partitions 16 --seconds {seconds} --records 4000000"
            )));
            let place = Place { port: server.port, cores: &[], directory: server.files() };
            let name = format!("try-{index}-{step}");
            let report = Client::start(place, &name, "produce", &arguments)?.finish(PATIENCE)?;
            // The first step only warms up; the second one is what stays.
            rates[index] = if index == 0 {
                report.produced.mb_per_second
            } else {
                report.produced.requests_per_second
            };
        }
    }
    Ok(rates)
}

fn choose(tried: &[(Threads, [f64; 2])]) -> Found {
    let best = |index: usize| {
        let by_rate =
            |a: &&(Threads, [f64; 2]), b: &&(Threads, [f64; 2])| a.1[index].total_cmp(&b.1[index]);
        tried.iter().max_by(by_rate).map_or(DEFAULT_THREADS, |(threads, _)| *threads)
    };
    let threads = [best(0), best(1)];
    let named = |threads: Threads| {
        format!("num.network.threads={} num.io.threads={}", threads.network, threads.io)
    };
    let rows: Vec<String> = tried
        .iter()
        .map(|(threads, rates)| {
            format!("{}x{}: {:.0} MB/s {:.0}/s", threads.network, threads.io, rates[0], rates[1])
        })
        .collect();
    Found {
        threads,
        search: format!(
            "best for large batches {}, for small requests {}; tried network x io: {}",
            named(threads[0]),
            named(threads[1]),
            rows.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_load_gets_the_threads_that_were_best_for_it() {
        let threads = |network, io| Threads { network, io };
        let tried = [
            (threads(1, 1), [100.0, 9_000.0]),
            (threads(2, 4), [400.0, 7_000.0]),
            (threads(3, 8), [300.0, 8_000.0]),
        ];
        let found = choose(&tried);
        assert_eq!(found.threads, [threads(2, 4), threads(1, 1)]);
        assert!(found.search.contains("3x8: 300 MB/s 8000/s"), "{}", found.search);
        assert_eq!(choose(&[]).threads, [DEFAULT_THREADS; 2]);
    }
}
