//! `ringload consume`: how fast a broker hands out records.

use std::sync::mpsc::channel;

use crate::client::control::{Control, refuse};
use crate::client::metadata::Topic;
use crate::client::requests::{FETCH, FetchShape};
use crate::failure::Failure;
use crate::options::{ConsumeOptions, FetchOptions, From, TargetOptions};
use crate::produce::{prepare, timing, workers};
use crate::report::Report;
use crate::run::drive;
use crate::tally::Clock;
use crate::worker::{FetchPartition, Fetching, Inspect};

/// `ListOffsets` timestamps with a meaning of their own.
pub(crate) const EARLIEST: i64 = -2;
pub(crate) const LATEST: i64 = -1;

/// The offset that `timestamp` stands for, by partition.
pub(crate) fn offsets(
    topic: &Topic,
    target: &TargetOptions,
    timestamp: i64,
) -> Result<Vec<i64>, Failure> {
    let mut offsets = vec![0; topic.leaders.len()];
    for (node, partitions) in topic.by_leader() {
        let mut control = target.open(topic.address(node)?)?;
        let listed = control.list_offsets(&topic.topic.name, &partitions, timestamp)?;
        let mut answered = 0;
        for (partition, code, offset) in listed {
            refuse(&format!("ListOffsets of partition {partition}"), code)?;
            if let Some(slot) = offsets.get_mut(partition as usize) {
                *slot = offset;
                answered += 1;
            }
        }
        if answered != partitions.len() {
            return Err(Failure::Malformed("ListOffsets left out partitions".to_owned()));
        }
    }
    Ok(offsets)
}

/// The Fetch requests of a run.
pub(crate) fn fetch_shape(
    control: &Control,
    topic: &Topic,
    fetch: &FetchOptions,
) -> Result<FetchShape, Failure> {
    let bytes = |bytes: u64| i32::try_from(bytes).unwrap_or(i32::MAX);
    Ok(FetchShape {
        version: topic.version(control.versions.pick(&FETCH)?),
        wait_ms_max: fetch.fetch_wait_ms,
        bytes_min: bytes(fetch.fetch_min_bytes),
        bytes_max: bytes(fetch.fetch_bytes),
        partition_bytes_max: bytes(fetch.partition_fetch_bytes),
        topic: topic.topic.clone(),
    })
}

/// Deals out partitions to `connections` consumers in turn, and these to `threads` in turn.
pub(crate) fn deal(
    partitions: Vec<FetchPartition>,
    connections: usize,
    threads: usize,
) -> Vec<Vec<Vec<FetchPartition>>> {
    let mut dealt = vec![Vec::new(); threads];
    let mut shares = vec![Vec::new(); connections.clamp(1, partitions.len().max(1))];
    let share_count = shares.len();
    for (at, partition) in partitions.into_iter().enumerate() {
        if let Some(share) = shares.get_mut(at % share_count) {
            share.push(partition);
        }
    }
    for (at, share) in shares.into_iter().enumerate() {
        if let Some(thread) = dealt.get_mut(at % threads) {
            thread.push(share);
        }
    }
    dealt
}

/// Runs the command.
pub(crate) fn run(options: &ConsumeOptions) -> Result<(), Failure> {
    let ConsumeOptions { target, fetch, limits, placement, output, .. } = options;
    let (control, topic) = prepare(target)?;
    let earliest = offsets(&topic, target, EARLIEST)?;
    let latest = offsets(&topic, target, LATEST)?;
    let partitions: Vec<_> = (0..)
        .zip(earliest.iter().zip(&latest))
        .map(|(partition, (earliest, latest))| FetchPartition {
            partition,
            next_offset: match options.from {
                From::Earliest => *earliest,
                From::Latest => *latest,
                From::Offset(offset) => offset,
            },
            repeat_from: options.repeat.then_some(*earliest),
            end_offset: options.until_end.then_some(*latest),
        })
        .collect();
    let there: i64 = latest.iter().zip(&earliest).map(|(latest, earliest)| latest - earliest).sum();
    let connections = options.connections.max(1);
    let threads = placement.threads.clamp(1, connections.min(partitions.len().max(1)));
    let shape = fetch_shape(&control, &topic, fetch)?;
    let inspect = if fetch.check { Inspect::Check } else { Inspect::Count };
    let mut halves = Vec::new();
    for shares in deal(partitions, connections, threads) {
        let fetching = Fetching::open(
            &topic,
            shape.clone(),
            inspect,
            shares,
            limits.records,
            target.request_timeout(),
        )?;
        halves.push(Some(fetching));
    }
    let clock = Clock::start();
    let mut timing = timing(clock, limits, 0);
    if options.until_end && limits.seconds.is_none() {
        timing.stop_ns = None;
    }
    let (sender, news) = channel();
    let nothing = halves.iter().map(|_| None).collect();
    let workers = workers(nothing, halves, (clock, timing), &sender);
    drop(sender);
    let outcome = drive(workers, &news, clock, timing, &placement.cpus, output)?;
    let title = format!(
        "consume  {}/{}: {} partitions, {connections} connections, {there} records in the log, replies of up to {} B ({} B a partition){}",
        target.bootstrap,
        topic.topic.name,
        topic.partitions(),
        shape.bytes_max,
        shape.partition_bytes_max,
        if fetch.check { ", each record checked" } else { "" },
    );
    Report { command: "consume", title, outcome: &outcome, open_loop: false }.deliver(output)
}
