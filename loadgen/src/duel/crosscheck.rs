//! The same load from generators of others, against both brokers: whether what `ringload` says
//! about them is what others see.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ringmain::stdx::prng::Prng;

use super::broker::{Contenders, Server, Side, Start, Threads};
use super::cells::{Durability, Placement};
use super::client::{Client, Place, words};
use super::probe;
use super::results::CrossCheck;
use crate::failure::Failure;
use crate::process::{Program, found};

const TOPIC: &str = "cross-check";
const PATIENCE: Duration = Duration::from_secs(180);
const RECORD_BYTES: usize = 1024;
const PARTITIONS: i32 = 16;

/// Runs every tool that is there against both brokers.
pub(crate) fn run(
    contenders: &Contenders,
    threads: Threads,
    quick: bool,
) -> Result<Vec<CrossCheck>, Failure> {
    let records = if quick { 100_000 } else { 1_000_000 };
    let mut checks = Vec::new();
    for side in [Side::Ringmain, Side::Kafka] {
        let start = Start { placement: Placement::Free, threads, plain: false };
        let mut server = contenders.prepare(side, start)?;
        server.serve()?;
        let flush = ("flush.messages".to_owned(), Durability::Memory.flush_messages());
        probe::create_and_use(server.port, TOPIC, PARTITIONS, &[flush])?;
        // Twice: the first time is the broker's warm-up.
        reference(&server, records)?;
        let ringload = reference(&server, records)?;
        for tool in [librdkafka, java] {
            let mut check = tool(contenders, &server, records)?;
            check.broker = side.id();
            check.ringload = Some(ringload);
            check.note =
                check.note.or_else(|| counted(&server).err().map(|error| error.to_string()));
            checks.push(check);
        }
    }
    Ok(checks)
}

/// The log can still be counted: the broker has survived the tool.
fn counted(server: &Server<'_>) -> Result<u64, Failure> {
    probe::record_count(server.port, TOPIC)
}

/// `ringload` with the load of the tools: MB/s.
fn reference(server: &Server<'_>, records: usize) -> Result<f64, Failure> {
    let line = format!("--topic {TOPIC} --batch-bytes 256k --in-flight 5 --records {records}");
    let place = Place { port: server.port, cores: &[], directory: server.files() };
    let report = Client::start(place, "reference", "produce", &words(&line))?.finish(PATIENCE)?;
    Ok(report.produced.mb_per_second)
}

/// librdkafka's own load generator, or kcat with as many lines.
fn librdkafka(_: &Contenders, server: &Server<'_>, records: usize) -> Result<CrossCheck, Failure> {
    let address = format!("127.0.0.1:{}", server.port);
    let settings = ["batch.size=262144", "batch.num.messages=256", "linger.ms=5", "acks=all"];
    let mut check = CrossCheck {
        tool: "rdkafka_performance".to_owned(),
        workload: format!(
            "{records} records of 1 KiB, {PARTITIONS} partitions, 1 producer, 256 KiB batches, D0"
        ),
        broker: "",
        unit: "MB/s",
        value: None,
        ringload: None,
        note: None,
    };
    let log = server.files().join("librdkafka.log");
    if let Some(tool) = found("rdkafka_performance") {
        let mut command = Command::new(tool);
        command.args(["-P", "-t", TOPIC, "-b", &address, "-s", &RECORD_BYTES.to_string()]);
        command.args(["-c", &records.to_string()]);
        for setting in settings {
            command.args(["-X", setting]);
        }
        finish(command, &log, &mut check, records)?;
    } else if let Some(tool) = found("kcat") {
        "kcat".clone_into(&mut check.tool);
        let lines = server.files().join("lines");
        write_lines(&lines, records)
            .map_err(|error| Failure::Local(format!("{}: {error}", lines.display())))?;
        let mut command = Command::new(tool);
        command.args(["-P", "-t", TOPIC, "-b", &address, "-l"]);
        for setting in settings {
            command.args(["-X", setting]);
        }
        command.arg(&lines);
        finish(command, &log, &mut check, records)?;
    } else {
        check.note = Some("neither rdkafka_performance nor kcat is installed".to_owned());
    }
    Ok(check)
}

/// Runs a tool that says nothing to rely on: its rate is that of its whole life.
fn finish(
    command: Command,
    log: &Path,
    check: &mut CrossCheck,
    records: usize,
) -> Result<(), Failure> {
    let started = Instant::now();
    let mut program = Program::start(command, &[], log)?;
    if program.wait(PATIENCE)?.success() {
        let seconds = started.elapsed().as_secs_f64();
        check.value = Some((records * RECORD_BYTES) as f64 / 1e6 / seconds);
        check.note = Some("from its start to its end".to_owned());
    } else {
        check.note = Some(program.said());
    }
    Ok(())
}

/// Lines of letters, each as long as a record.
fn write_lines(path: &Path, records: usize) -> std::io::Result<()> {
    let mut to = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut random = Prng::new(1);
    let mut line = vec![b'a'; RECORD_BYTES + 1];
    for _ in 0..records {
        // Half of it compresses to nothing, as the payloads of ringload do.
        for byte in line.iter_mut().take(RECORD_BYTES / 2) {
            *byte = b'a' + (random.next_u64() % 26) as u8;
        }
        if let Some(last) = line.last_mut() {
            *last = b'\n';
        }
        to.write_all(&line)?;
    }
    to.flush()
}

/// `kafka-producer-perf-test`.
fn java(
    contenders: &Contenders,
    server: &Server<'_>,
    records: usize,
) -> Result<CrossCheck, Failure> {
    let jvm = ["-Xms512m", "-Xmx512m", "-XX:+UseG1GC"];
    let mut command = contenders.kafka.class(jvm, "org.apache.kafka.tools.ProducerPerformance");
    command.args(["--topic", TOPIC, "--num-records", &records.to_string()]);
    command.args(["--record-size", &RECORD_BYTES.to_string(), "--throughput", "-1"]);
    command.arg("--producer-props").arg(format!("bootstrap.servers=127.0.0.1:{}", server.port));
    command.args(["batch.size=262144", "linger.ms=5", "acks=all"]);
    let mut program = Program::start(command, &[], &server.files().join("java.log"))?;
    let ended = program.wait(PATIENCE)?;
    let said = program.said();
    let value = records_per_second(&said).map(|rate| rate * RECORD_BYTES as f64 / 1e6);
    let failed = !ended.success() || value.is_none();
    Ok(CrossCheck {
        tool: "kafka-producer-perf-test".to_owned(),
        workload: format!(
            "{records} records of 1 KiB, {PARTITIONS} partitions, 1 producer, 256 KiB batches, D0"
        ),
        broker: "",
        unit: "MB/s",
        value,
        ringload: None,
        note: failed.then_some(said),
    })
}

/// The rate in the last line of what the performance test says.
fn records_per_second(said: &str) -> Option<f64> {
    let line = said.lines().rev().find(|line| line.contains("records/sec"))?;
    let before = line.split("records/sec").next()?;
    before.split_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rate_of_the_performance_test_counts() {
        let said = "1 records sent, 5.0 records/sec (0.00 MB/sec), 1.0 ms avg latency\n\
            100000 records sent, 51046.452 records/sec (49.85 MB/sec), 400.00 ms avg latency, 600.00 ms max latency.\n";
        assert_eq!(records_per_second(said), Some(51046.452));
        assert_eq!(records_per_second("nothing"), None);
    }
}
