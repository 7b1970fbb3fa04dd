//! What the machine itself can do, and the generator with it: measured around every cell, against
//! brokers that do nothing and files that are already there.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use super::broker::{Contenders, Side};
use super::cells::{INGEST, Placement};
use super::client::{Client, Place, Report, this_program, words};
use super::ratio::{Better, median};
use super::results::{Cell, Generator};
use crate::failure::Failure;
use crate::process::{Program, free_port, pause};

/// Longest that a null broker's client may take beyond its run.
const PATIENCE: Duration = Duration::from_secs(30);
/// Seconds of one measurement; the best of several counts.
const SECONDS: f64 = 1.0;
const TRIES: usize = 3;

/// A limit of the machine that a cell may come near.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Receiving and checking batches, without a disk.
    Ingest,
    /// Sending batches.
    Fetch,
    /// Small requests, one at a time.
    Echo,
    /// Small durable overwrites, one at a time.
    Disk,
}

impl Limit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Limit::Ingest => "null-sink ingest, memory",
            Limit::Fetch => "null-source fetch",
            Limit::Echo => "null-sink echo, 1 KiB, one at a time",
            Limit::Disk => "durable 4 KiB overwrites, one at a time",
        }
    }

    pub(crate) fn unit(self) -> &'static str {
        match self {
            Limit::Ingest | Limit::Fetch => "MB/s",
            Limit::Echo => "requests/s",
            Limit::Disk => "writes/s",
        }
    }

    /// The best of a few short measurements.
    pub(crate) fn measure(self, contenders: &Contenders) -> Result<f64, Failure> {
        let mut best = 0.0_f64;
        if self == Limit::Disk {
            for _ in 0..TRIES {
                best = best.max(durable_writes(contenders.root(), SECONDS / 2.0)?);
            }
            return Ok(best);
        }
        let null = Null::start(contenders, self == Limit::Fetch)?;
        for number in 0..TRIES {
            let report = null.run(self, SECONDS, number)?;
            best = best.max(match self {
                Limit::Fetch => report.consumed.mb_per_second,
                Limit::Echo => report.produced.requests_per_second,
                _ => report.produced.mb_per_second,
            });
        }
        Ok(best)
    }
}

/// A broker that does nothing.
struct Null {
    port: u16,
    /// Before its directory, so that it goes before it.
    _program: Program,
    directory: crate::process::Scratch,
}

impl Null {
    fn start(contenders: &Contenders, source: bool) -> Result<Null, Failure> {
        let directory = contenders.scratch()?;
        let port = free_port()?;
        let mut command = this_program()?;
        command.arg(if source { "null-source" } else { "null-sink" });
        command.args(["--partitions", "16", "--listen", &format!("127.0.0.1:{port}")]);
        if !source {
            command.arg("--crc");
        }
        let mut program = Program::start(command, &[], &directory.path().join("null.log"))?;
        let give_up = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if program.ended()?.is_some() || Instant::now() > give_up {
                return Err(program.complain("does not serve"));
            }
            pause(Duration::from_millis(5))?;
        }
        Ok(Null { port, _program: program, directory })
    }

    fn run(&self, limit: Limit, seconds: f64, number: usize) -> Result<Report, Failure> {
        let (command, line) = match limit {
            Limit::Fetch => ("consume", ""),
            Limit::Echo => ("produce", "--records-per-batch 1 --in-flight 1"),
            Limit::Ingest | Limit::Disk => ("produce", INGEST),
        };
        let mut arguments = words(line);
        arguments.extend(["--seconds".to_owned(), seconds.to_string()]);
        let place = Place { port: self.port, cores: &[], directory: self.directory.path() };
        Client::start(place, &format!("null-{number}"), command, &arguments)?.finish(PATIENCE)
    }
}

/// Direct, flushed overwrites of 4 KiB in a file that is already written: writes per second.
fn durable_writes(root: &Path, seconds: f64) -> Result<f64, Failure> {
    const BLOCK: usize = 4096;
    const BLOCKS: u64 = 4096;
    let path = root.join(format!("{}-{}-disk", super::broker::PREFIX, std::process::id()));
    let local = |error: std::io::Error| Failure::Local(format!("{}: {error}", path.display()));
    let measure = || -> std::io::Result<f64> {
        fs::write(&path, vec![0xa5; BLOCK * BLOCKS as usize])?;
        File::open(&path)?.sync_all()?;
        let flags = libc::O_DIRECT | libc::O_DSYNC;
        let file = OpenOptions::new().write(true).custom_flags(flags).open(&path)?;
        let buffer = vec![0x5a; 2 * BLOCK];
        // Direct writes want memory that is aligned as the blocks of the device are.
        let block = buffer.get(buffer.as_ptr().align_offset(BLOCK)..).unwrap_or_default();
        let block = block.get(..BLOCK).unwrap_or_default();
        let (started, mut count) = (Instant::now(), 0_u64);
        while started.elapsed().as_secs_f64() < seconds {
            file.write_all_at(block, count % BLOCKS * BLOCK as u64)?;
            count += 1;
        }
        Ok(count as f64 / started.elapsed().as_secs_f64())
    };
    let rate = measure().map_err(local);
    let _ = fs::remove_file(&path);
    rate
}

/// The generator's own speed and cost, at the load of W1 and at reading as fast as possible.
pub(crate) fn generator(contenders: &Contenders, seconds: f64) -> Result<Vec<Generator>, Failure> {
    let mut found = Vec::new();
    for (name, limit) in [("null-sink", Limit::Ingest), ("null-source", Limit::Fetch)] {
        let null = Null::start(contenders, limit == Limit::Fetch)?;
        let report = null.run(limit, seconds, 0)?;
        let flow = if limit == Limit::Fetch { report.consumed } else { report.produced };
        found.push(Generator {
            name,
            unit: "MB/s",
            value: flow.mb_per_second,
            cpu_seconds_per_gb: report.cpu_seconds_per_gb,
            times_faster_broker: None,
        });
    }
    Ok(found)
}

/// Sets the generator's speed beside that of the faster broker, as far as cells tell it.
pub(crate) fn compare_generator(generator: &mut [Generator], cells: &[Cell]) {
    for row in generator {
        let metric = if row.name == "null-sink" { "throughput" } else { "read back" };
        let fastest = |side: Side| {
            let values: Vec<f64> = cells
                .iter()
                .filter(|cell| cell.id == "W1" && cell.placement == Placement::Free.name())
                .flat_map(|cell| &cell.runs)
                .filter(|run| run.broker == side.id() && run.void.is_none())
                .filter_map(|run| run.measured.value(metric))
                .collect();
            median(&values)
        };
        let brokers = [Side::Ringmain, Side::Kafka].map(fastest);
        let faster = brokers.into_iter().flatten().max_by(f64::total_cmp);
        row.times_faster_broker =
            faster.and_then(|broker| super::ratio::ratio(Better::Higher, row.value, broker));
    }
}
