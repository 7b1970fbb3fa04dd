//! The command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::client::control::Control;
use crate::client::requests::ALL;
use crate::duel::DuelOptions;
use crate::failure::Failure;
use crate::kafka::KafkaOptions;

/// Load generator and checker for any broker that speaks Kafka's protocol.
///
/// Exit status: 0 done; 1 violations found or errors met; 2 wrong options; 3 broker unreachable;
/// 4 broker refused; 5 broker's reply malformed; 6 local failure.
#[derive(Debug, Parser)]
#[command(name = "ringload", version, max_term_width = 100)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write records, at a given rate or as fast as the broker takes them.
    Produce(ProduceOptions),
    /// Read records.
    Consume(ConsumeOptions),
    /// Write and read at once, and time each record from its intended send to its receipt.
    Latency(LatencyOptions),
    /// Write numbered records through any failure and check what can be read afterwards.
    Verify(VerifyOptions),
    /// Serve a broker that acknowledges and forgets, to measure the generator itself.
    NullSink(NullOptions),
    /// Serve a broker that answers fetches with prepared data, to measure the generator itself.
    NullSource(NullOptions),
    /// Make the page of a duel, DIR/index.html, from its DIR/results.json.
    Page(PageOptions),
    /// Run Apache Kafka as a single node on loopback until interrupted.
    Kafka(KafkaOptions),
    /// Measure this project's broker and Apache Kafka side by side, under the same load.
    Duel(Box<DuelOptions>),
}

/// Which broker and topic.
#[derive(Debug, Clone, Args)]
pub(crate) struct TargetOptions {
    /// A broker to begin with, HOST:PORT.
    #[arg(long, short = 'b', default_value = "127.0.0.1:9092")]
    pub(crate) bootstrap: String,
    /// The topic; created when missing.
    #[arg(long, short = 't', default_value = "ringload")]
    pub(crate) topic: String,
    /// Partitions of a topic that is created.
    #[arg(long, short = 'p', default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) partitions: i32,
    /// Replicas of a topic that is created; -1 is the broker's default.
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    pub(crate) replication: i16,
    /// A configuration of a topic that is created, e.g. flush.messages=1. May be repeated.
    #[arg(long = "topic-config", value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub(crate) topic_configs: Vec<(String, String)>,
    /// How long the broker may take to accept a connection or to answer.
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    pub(crate) request_timeout_ms: u32,
    /// Highest version of an API to use, e.g. Produce=9: to send two brokers the same bytes.
    /// May be repeated.
    #[arg(long = "api-version", value_name = "API=VERSION", value_parser = parse_version)]
    pub(crate) version_caps: Vec<(i16, i16)>,
}

impl TargetOptions {
    /// Connects to one broker of the cluster.
    pub(crate) fn open(&self, address: &str) -> Result<Control, Failure> {
        Control::open(address, self.request_timeout(), &self.version_caps)
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.request_timeout_ms.max(1)))
    }
}

/// What is written, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct LoadOptions {
    /// Independent producers, each with its own order of records (default: one per connection).
    #[arg(long)]
    pub(crate) producers: Option<usize>,
    /// Connections to each broker; producers share them (default: one per producer).
    #[arg(long)]
    pub(crate) connections: Option<usize>,
    /// Size of a record's value; k, M and G are powers of 1024.
    #[arg(long, default_value = "1k", value_parser = parse_bytes)]
    pub(crate) record_bytes: u64,
    /// Size of a record batch before compression, rounded to whole records.
    #[arg(long, default_value = "16k", value_parser = parse_bytes)]
    pub(crate) batch_bytes: u64,
    /// Records in a batch, instead of --batch-bytes.
    #[arg(long, conflicts_with = "batch_bytes")]
    pub(crate) records_per_batch: Option<u64>,
    /// When the broker is to acknowledge.
    #[arg(long, default_value = "all")]
    pub(crate) acks: Acks,
    /// Requests in flight on each connection.
    #[arg(long, default_value_t = 5)]
    pub(crate) in_flight: usize,
    /// Records per second (50000) or bytes per second (20MB, 20MiB), over all producers; 0 sends
    /// the next request as soon as an earlier one is answered.
    #[arg(long, default_value = "0")]
    pub(crate) rate: Rate,
    /// How intended send times are spread, when there is a rate.
    #[arg(long, default_value = "constant")]
    pub(crate) arrivals: Arrivals,
    /// Codec of the record batches.
    #[arg(long, default_value = "none")]
    pub(crate) compression: Compression,
    /// Share of each record that compresses to nothing; the rest is random.
    #[arg(long, default_value_t = 0.5)]
    pub(crate) compressible: f64,
    /// Producers with ids and sequences (needs acks all and at most 5 in flight).
    #[arg(long)]
    pub(crate) idempotent: bool,
    /// Keyed records: their number of distinct keys. A request then carries one small batch for
    /// each partition its keys fall on.
    #[arg(long, value_name = "KEYS", default_value_t = 0)]
    pub(crate) keyed: u64,
    /// Seed of payloads, keys and Poisson arrivals.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

impl LoadOptions {
    /// Records in each request.
    pub(crate) fn records_per_request(&self) -> u64 {
        let by_bytes = self.batch_bytes / self.record_bytes.max(1);
        self.records_per_batch.unwrap_or(by_bytes).max(1)
    }

    pub(crate) fn producers(&self) -> usize {
        self.producers.or(self.connections).unwrap_or(1)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.unwrap_or_else(|| self.producers())
    }

    /// Refuses what makes no sense together.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let usage = |text: &str| Err(Failure::Usage(text.to_owned()));
        if self.producers() == 0 || self.connections() == 0 || self.in_flight == 0 {
            return usage("--producers, --connections and --in-flight must be at least 1");
        }
        if self.connections() > self.producers() {
            return usage("--connections must not exceed --producers");
        }
        if !(0.0..=1.0).contains(&self.compressible) {
            return usage("--compressible is a share from 0 to 1");
        }
        if self.idempotent && (self.acks != Acks::All || self.in_flight > 5) {
            return usage("--idempotent needs --acks all and --in-flight of at most 5");
        }
        if self.records_per_request() * self.record_bytes.max(1) > 1 << 30 {
            return usage("a batch may have at most 1 GiB");
        }
        Ok(())
    }

    /// Requests per second over all producers; `None` is as many as possible.
    pub(crate) fn requests_per_second(&self) -> Option<f64> {
        let records = self.records_per_request() as f64;
        match self.rate {
            Rate::Max => None,
            Rate::Records(rate) => Some(rate / records),
            Rate::Bytes(rate) => Some(rate / records / self.record_bytes.max(1) as f64),
        }
    }
}

/// How long a run takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct LimitOptions {
    /// Seconds of the measured part; 0 is no limit (default 10 unless --records is given).
    #[arg(long, short = 's')]
    pub(crate) seconds: Option<f64>,
    /// End after this many records.
    #[arg(long, short = 'n')]
    pub(crate) records: Option<u64>,
    /// Seconds before the measured part, which count for nothing.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) warmup_seconds: f64,
    /// Seconds after the end in which answers are still waited for.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) drain_seconds: f64,
}

impl LimitOptions {
    /// Length of the measured part in ns.
    pub(crate) fn measured_ns(&self) -> Option<u64> {
        let default = if self.records.is_some() { 0.0 } else { 10.0 };
        let seconds = self.seconds.unwrap_or(default);
        (seconds > 0.0).then_some((seconds * 1e9) as u64)
    }

    pub(crate) fn drain_ns(&self) -> u64 {
        (self.drain_seconds.max(0.0) * 1e9) as u64
    }

    pub(crate) fn warmup_ns(&self) -> u64 {
        (self.warmup_seconds.max(0.0) * 1e9) as u64
    }
}

/// Where the generator runs.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlacementOptions {
    /// Threads that send and receive.
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
    /// Cores to pin the threads to, e.g. 1 or 0,2-3.
    #[arg(long, value_name = "LIST", default_value = "")]
    pub(crate) cpus: Cpus,
}

/// Where the results go.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutputOptions {
    /// Write the results as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the latency distributions in HdrHistogram's percentile text format: the main one to
    /// FILE, others beside it with their name before the extension.
    #[arg(long, value_name = "FILE")]
    pub(crate) hgrm: Option<PathBuf>,
    /// No progress lines.
    #[arg(long, short = 'q')]
    pub(crate) quiet: bool,
}

/// What a consumer asks for.
#[derive(Debug, Clone, Args)]
pub(crate) struct FetchOptions {
    /// Most bytes of one reply.
    #[arg(long, default_value = "8M", value_parser = parse_bytes)]
    pub(crate) fetch_bytes: u64,
    /// Most bytes of one partition in a reply.
    #[arg(long, default_value = "1M", value_parser = parse_bytes)]
    pub(crate) partition_fetch_bytes: u64,
    /// How long the broker may wait for --fetch-min-bytes.
    #[arg(long, value_name = "MS", default_value_t = 500)]
    pub(crate) fetch_wait_ms: i32,
    /// Bytes that a reply waits for.
    #[arg(long, default_value = "1", value_parser = parse_bytes)]
    pub(crate) fetch_min_bytes: u64,
    /// Check the CRC of every batch and the structure of every record.
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ProduceOptions {
    #[command(flatten)]
    pub(crate) target: TargetOptions,
    #[command(flatten)]
    pub(crate) load: LoadOptions,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
    #[command(flatten)]
    pub(crate) placement: PlacementOptions,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ConsumeOptions {
    #[command(flatten)]
    pub(crate) target: TargetOptions,
    /// Connections to each broker, which share out the partitions.
    #[arg(long, default_value_t = 1)]
    pub(crate) connections: usize,
    #[command(flatten)]
    pub(crate) fetch: FetchOptions,
    /// Where to begin in each partition.
    #[arg(long, default_value = "earliest")]
    pub(crate) from: From,
    /// End when everything that was there at the start has been read.
    #[arg(long)]
    pub(crate) until_end: bool,
    /// Start again from the beginning at the end of the log, to go on reading for the time given.
    #[arg(long, conflicts_with = "until_end")]
    pub(crate) repeat: bool,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
    #[command(flatten)]
    pub(crate) placement: PlacementOptions,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct LatencyOptions {
    #[command(flatten)]
    pub(crate) target: TargetOptions,
    #[command(flatten)]
    pub(crate) load: LoadOptions,
    /// Consumers, each with a connection and its share of the partitions.
    #[arg(long, default_value_t = 1)]
    pub(crate) consumers: usize,
    #[command(flatten)]
    pub(crate) fetch: FetchOptions,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
    #[command(flatten)]
    pub(crate) placement: PlacementOptions,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct VerifyOptions {
    #[command(flatten)]
    pub(crate) target: TargetOptions,
    /// Independent producers; each writes to all partitions over its own connections.
    #[arg(long, default_value_t = 2)]
    pub(crate) producers: u32,
    /// Size of a record's value.
    #[arg(long, default_value = "256", value_parser = parse_bytes)]
    pub(crate) record_bytes: u64,
    /// Records in a batch.
    #[arg(long, default_value_t = 10)]
    pub(crate) records_per_batch: u32,
    /// When the broker is to acknowledge.
    #[arg(long, default_value = "all")]
    pub(crate) acks: Acks,
    /// Requests in flight on each connection.
    #[arg(long, default_value_t = 5)]
    pub(crate) in_flight: usize,
    /// Records per second over all producers; 0 is as many as possible.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) rate: f64,
    /// Codec of the record batches.
    #[arg(long, default_value = "none")]
    pub(crate) compression: Compression,
    /// Producers without ids and sequences. Retried batches may then be there twice or out of
    /// order; only losses, corruption, and what was never retried count as violations.
    #[arg(long)]
    pub(crate) no_idempotence: bool,
    /// Seed of the payloads.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
    /// Seconds after the end of writing (or after an outage began) in which batches without an
    /// answer are sent again; also the patience of the reader.
    #[arg(long, default_value_t = 60.0)]
    pub(crate) deadline: f64,
    /// File for what was acknowledged: written before it counts, so that it can be checked later
    /// from another process.
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Flush the state file to its device with every entry.
    #[arg(long)]
    pub(crate) state_sync: bool,
    /// Only read and check what FILE says was acknowledged.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["state", "phase"])]
    pub(crate) check: Option<PathBuf>,
    /// What to do; read needs --state.
    #[arg(long, default_value = "both")]
    pub(crate) phase: Phase,
    /// While writing, read as well, and check that nothing once read ever changes.
    #[arg(long)]
    pub(crate) read_along: bool,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct NullOptions {
    /// Where to listen, HOST:PORT.
    #[arg(long, default_value = "127.0.0.1:9092")]
    pub(crate) listen: String,
    /// Partitions of the one topic it has, whatever its name.
    #[arg(long, short = 'p', default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) partitions: i32,
    /// Size of the records that are served.
    #[arg(long, default_value = "1k", value_parser = parse_bytes)]
    pub(crate) record_bytes: u64,
    /// Size of the batches that are served.
    #[arg(long, default_value = "256k", value_parser = parse_bytes)]
    pub(crate) batch_bytes: u64,
    /// Records in each partition.
    #[arg(long, default_value_t = 1_000_000_000)]
    pub(crate) records: u64,
    /// Read produced batches and compute their CRC, as a broker has to, instead of dropping them.
    #[arg(long)]
    pub(crate) crc: bool,
    /// Cores to pin the threads to.
    #[arg(long, value_name = "LIST", default_value = "")]
    pub(crate) cpus: Cpus,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PageOptions {
    /// Where the results are, and where the page goes.
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}

/// When a broker acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Acks {
    /// Never.
    #[value(name = "0")]
    None,
    /// When the leader has it.
    #[value(name = "1")]
    Leader,
    /// When all in-sync replicas have it.
    #[value(name = "all", alias = "-1")]
    All,
}

impl Acks {
    pub(crate) fn wire(self) -> i16 {
        match self {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arrivals {
    Constant,
    Poisson,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Phase {
    Write,
    Read,
    Both,
}

/// Where a consumer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Earliest,
    Latest,
    Offset(i64),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<From, String> {
        match text {
            "earliest" => Ok(From::Earliest),
            "latest" => Ok(From::Latest),
            _ => match text.parse() {
                Ok(offset) if offset >= 0 => Ok(From::Offset(offset)),
                _ => Err("earliest, latest, or an offset".to_owned()),
            },
        }
    }
}

/// How much is to be sent per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rate {
    Max,
    Records(f64),
    Bytes(f64),
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        let text = text.strip_suffix("/s").unwrap_or(text);
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let wrong = || "a number of records (50000) or bytes (20MB, 20MiB) per second".to_owned();
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let rate = match unit {
            "" => Rate::Records(number),
            "k" => Rate::Records(number * 1e3),
            "M" => Rate::Records(number * 1e6),
            "B" => Rate::Bytes(number),
            "kB" | "KB" => Rate::Bytes(number * 1e3),
            "MB" => Rate::Bytes(number * 1e6),
            "GB" => Rate::Bytes(number * 1e9),
            "KiB" => Rate::Bytes(number * 1024.0),
            "MiB" => Rate::Bytes(number * 1024.0 * 1024.0),
            "GiB" => Rate::Bytes(number * 1024.0 * 1024.0 * 1024.0),
            _ => return Err(wrong()),
        };
        Ok(if number > 0.0 { rate } else { Rate::Max })
    }
}

/// A list of cores.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Cpus(Vec<usize>);

impl FromStr for Cpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Cpus, String> {
        let mut cpus = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| {
                text.trim().parse::<usize>().map_err(|_| format!("{text} is no core number"))
            };
            let (first, last) = (number(first)?, number(last)?);
            if last < first || last > 4095 {
                return Err(format!("{part} is no range of cores"));
            }
            cpus.extend(first..=last);
        }
        Ok(Cpus(cpus))
    }
}

impl Cpus {
    /// Pins the calling thread, which is the `index`-th of its kind.
    pub(crate) fn pin(&self, index: usize) -> Result<(), Failure> {
        if self.0.is_empty() {
            return Ok(());
        }
        let id = self.0.get(index % self.0.len()).copied().unwrap_or_default();
        if core_affinity::set_for_current(core_affinity::CoreId { id }) {
            Ok(())
        } else {
            Err(Failure::Local(format!("cannot run on core {id}")))
        }
    }
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| "a size such as 1024, 16k or 1M".to_owned())?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return Err("a size such as 1024, 16k or 1M".to_owned()),
    };
    number.checked_mul(factor).ok_or_else(|| "too large".to_owned())
}

fn parse_version(text: &str) -> Result<(i16, i16), String> {
    let (name, version) = parse_pair(text)?;
    let api = ALL.iter().find(|api| api.name.eq_ignore_ascii_case(&name));
    let api = api.ok_or_else(|| format!("{name} is no API that ringload uses"))?;
    let version = version.parse().ok().filter(|v| (api.lowest..=api.highest).contains(v));
    let wrong = || format!("ringload speaks {} {} to {}", api.name, api.lowest, api.highest);
    Ok((api.key, version.ok_or_else(wrong)?))
}

pub(crate) fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| "KEY=VALUE".to_owned())?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn sizes_rates_and_cores() {
        assert_eq!(parse_bytes("16k"), Ok(16384));
        assert!(parse_bytes("16x").is_err());
        assert_eq!("0".parse(), Ok(Rate::Max));
        assert_eq!("2.5k".parse(), Ok(Rate::Records(2500.0)));
        assert_eq!("20MB/s".parse(), Ok(Rate::Bytes(20e6)));
        assert!("fast".parse::<Rate>().is_err());
        assert_eq!("0,2-4".parse(), Ok(Cpus(vec![0, 2, 3, 4])));
        assert!("3-1".parse::<Cpus>().is_err());
    }
}
