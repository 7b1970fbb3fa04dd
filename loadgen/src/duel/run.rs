//! One run: a fresh broker, the work of a cell, and everything that was measured.

use std::path::Path;
use std::time::{Duration, Instant};

use super::broker::{Contenders, Server, Side, Start, Threads};
use super::cells::{Cell, Memory, Work};
use super::client::{Client, Place, Report, distributions, words};
use super::conditions::{Conditioning, Hog, Spinners};
use super::probe;
use super::ratio::void_by_lateness;
use super::results::{Measured, Verified};
use super::watch::Watch;
use crate::failure::Failure;

/// The topic of every run, and the one that is written to before, to warm up.
pub(super) const TOPIC: &str = "duel";
const WARM: &str = "warm-up";
/// How long a client may take beyond what it was asked for.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// Seconds in which late answers are still waited for.
const DRAIN: &str = "30";

/// What is the same for all runs of a duel.
#[derive(Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) contenders: &'a Contenders,
    pub(crate) conditioning: Option<&'a Conditioning>,
    pub(crate) out: &'a Path,
    /// Seconds of warm-up; our broker needs less than a Java virtual machine.
    pub(crate) warm_seconds: [f64; 2],
    /// Most bytes that are written to warm up, and while measuring.
    pub(crate) warm_bytes_max: u64,
    pub(crate) bytes_max: u64,
    /// Kafka's threads for large batches, and for small requests.
    pub(crate) threads: [Threads; 2],
    /// Restarts too, where only a start is asked for.
    pub(crate) thorough: bool,
}

/// What a run gave, and why it does not count, if it does not.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) measured: Measured,
    pub(crate) void: Option<String>,
}

/// A run under way.
pub(super) struct Session<'a> {
    pub(super) terms: &'a Terms<'a>,
    pub(super) cell: &'a Cell,
    pub(super) side: Side,
    pub(super) server: Server<'a>,
    client_cores: Vec<usize>,
    /// Seconds of the measured part.
    pub(super) seconds: f64,
    /// Begins the names of the files of this run.
    file: &'a str,
    pub(super) measured: Measured,
    pub(super) void: Option<String>,
    clients: usize,
}

/// Runs the cell once against one broker.
pub(crate) fn run(
    terms: &Terms<'_>,
    cell: &Cell,
    side: Side,
    seconds: f64,
    file: &str,
) -> Result<Outcome, Failure> {
    let start = Start {
        placement: cell.placement,
        threads: terms.threads[usize::from(cell.small)],
        plain: cell.work == Work::Start,
    };
    match (cell.memory, terms.conditioning) {
        // Before anything else: what the last run used is there only for a moment.
        (Memory::Conditioned, Some(conditioning)) => conditioning.hold()?,
        (Memory::AsFound, Some(conditioning)) => conditioning.release(),
        (_, None) => {}
    }
    let server = terms.contenders.prepare(side, start)?;
    let mut session = Session {
        terms,
        cell,
        side,
        server,
        client_cores: terms.contenders.client_cores(cell.placement),
        seconds,
        file,
        measured: Measured::default(),
        void: None,
        clients: 0,
    };
    match cell.work {
        Work::Produce => session.produce()?,
        Work::Latency { disturbed } => session.latency(disturbed)?,
        Work::Tail { fan_out } => session.tail(fan_out)?,
        Work::Read => session.read()?,
        Work::Drain { gib } => session.drain(gib)?,
        Work::Start => session.rest()?,
        Work::Crash { gib } => session.crash(gib)?,
        Work::Many => session.many()?,
    }
    Ok(Outcome { measured: session.measured, void: session.void })
}

impl Session<'_> {
    // The broker.

    pub(super) fn serve(&mut self) -> Result<(), Failure> {
        let start_ms = self.server.serve()?;
        self.measured.put("start", "ms", start_ms);
        Ok(())
    }

    pub(super) fn configs(&self) -> Vec<(String, String)> {
        let mut configs =
            vec![("flush.messages".to_owned(), self.cell.durability.flush_messages())];
        if self.cell.record_bytes >= 1 << 20 {
            configs.push(("max.message.bytes".to_owned(), (4 << 20).to_string()));
        }
        configs
    }

    fn create(&self, topic: &str) -> Result<(), Failure> {
        let mut control = probe::open(self.server.port)?;
        control.topic_or_create(topic, self.cell.partitions, 1, &self.configs())?;
        Ok(())
    }

    // Clients.

    pub(super) fn client(
        &mut self,
        command: &str,
        topic: &str,
        arguments: Vec<String>,
    ) -> Result<(Client, String), Failure> {
        self.clients += 1;
        let name = format!("client-{}", self.clients);
        let mut all = vec!["--topic".to_owned(), topic.to_owned()];
        all.extend(arguments);
        let place = Place {
            port: self.server.port,
            cores: &self.client_cores,
            directory: self.server.files(),
        };
        Ok((Client::start(place, &name, command, &all)?, name))
    }

    /// Options of a client that writes for `seconds`, but no more than `bytes_max`.
    pub(super) fn writing(&self, seconds: f64, bytes_max: u64) -> Vec<String> {
        let mut arguments = words(self.cell.load);
        let records = bytes_max / self.cell.record_bytes.max(1);
        arguments.extend(words("--record-bytes"));
        arguments.push(self.cell.record_bytes.to_string());
        arguments.extend(words(&format!(
            "--seconds {seconds} --records {records} --drain-seconds {DRAIN}"
        )));
        arguments
    }

    pub(super) fn patience(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds) + PATIENCE
    }

    /// Runs one client to its end.
    pub(super) fn run_client(
        &mut self,
        command: &str,
        topic: &str,
        arguments: Vec<String>,
        seconds: f64,
    ) -> Result<(Report, String), Failure> {
        let (client, name) = self.client(command, topic, arguments)?;
        let report = client.finish(Session::patience(seconds))?;
        self.server.check()?;
        Ok((report, name))
    }

    /// Seconds of warm-up for this broker.
    pub(super) fn warm_seconds(&self) -> f64 {
        let [ours, theirs] = self.terms.warm_seconds;
        if self.side == Side::Ringmain { ours } else { theirs }
    }

    /// The cell's load for a while, into a topic of its own.
    fn warm_up(&mut self, command: &str) -> Result<(), Failure> {
        let seconds = self.warm_seconds();
        if seconds > 0.0 {
            self.create(WARM)?;
            let arguments = self.writing(seconds, self.terms.warm_bytes_max);
            self.run_client(command, WARM, arguments, seconds)?;
        }
        self.create(TOPIC)
    }

    // What is found out.

    fn take_over(&mut self, name: &str, kind: &'static str) -> Result<(), Failure> {
        self.measured.percentiles =
            distributions(self.server.files(), name, kind, self.terms.out, self.file)?;
        Ok(())
    }

    fn take_timeline(&mut self, report: &Report) {
        let row = |[second, produced, _]: &[f64; 3]| [*second, *produced];
        self.measured.timeline = report.timeline.iter().map(row).collect();
    }

    pub(super) fn check_lateness(&mut self, report: &Report) {
        if let Some(late) = report.lateness_p99_ms() {
            self.measured.put("generator lateness p99", "ms", late);
            self.void = self.void.take().or(void_by_lateness(late));
        }
    }

    /// Counts the records of the topic and reads all of them back with their CRCs; `exact` if no
    /// more may be there than were acknowledged.
    pub(super) fn verify(&mut self, acknowledged: f64, exact: bool) -> Result<(), Failure> {
        let there = probe::record_count(self.server.port, TOPIC)?;
        let acknowledged = acknowledged as u64;
        let mut problems = acknowledged.saturating_sub(there);
        if exact {
            problems += there.saturating_sub(acknowledged);
        }
        if there > 0 {
            let arguments = words("--until-end --check --seconds 0 --connections 4 --threads 2");
            let (client, _) = self.client("consume", TOPIC, arguments)?;
            let report = client.finish(5 * PATIENCE)?;
            problems += there.abs_diff(report.consumed.records as u64);
            self.measured.put("read back", "MB/s", report.consumed.mb_per_second);
        }
        self.measured.verified = Verified { records: there, problems };
        self.judge_data(acknowledged);
        Ok(())
    }

    pub(super) fn judge_data(&mut self, acknowledged: u64) {
        let Verified { records, problems } = self.measured.verified;
        if problems > 0 {
            self.void = Some(format!(
                "the data is wrong: {acknowledged} records acknowledged, {records} in the log, {problems} missing, unexpected or unreadable"
            ));
        }
    }

    fn put_flow(&mut self, report: &Report) {
        let flow = report.produced;
        self.measured.put("throughput", "MB/s", flow.mb_per_second);
        self.measured.put("acknowledgements", "1/s", flow.requests_per_second);
        self.measured.put("records", "1/s", flow.records_per_second);
        report.put_latency(
            "response",
            ["response p50", "response p99", "response p99.9"],
            &mut self.measured,
        );
        if report.unanswered_requests > 0.0 {
            self.measured.put("requests without an answer", "", report.unanswered_requests);
        }
    }

    // Works.

    fn produce(&mut self) -> Result<(), Failure> {
        self.serve()?;
        let idle_bytes = super::watch::memory_bytes(self.server.pid(), "VmRSS");
        self.warm_up("produce")?;
        let watch = Watch::begin(self.server.pid())?;
        let arguments = self.writing(self.seconds, self.terms.bytes_max);
        let (report, name) = self.run_client("produce", TOPIC, arguments, self.seconds)?;
        let cost = watch.end();
        self.put_flow(&report);
        cost.put(&mut self.measured);
        cost.put_per_gb(report.produced.bytes, &mut self.measured);
        let per_request = 1e6 * cost.server_seconds / report.produced.requests.max(1.0);
        self.measured.put("server CPU per request", "CPU-µs", per_request);
        if let Some(connections) = connections(self.cell.load) {
            let per = (cost.resident_bytes_max - idle_bytes).max(0.0) / connections / 1000.0;
            self.measured.put("memory per connection", "KB", per);
        }
        self.check_lateness(&report);
        self.take_over(&name, "response")?;
        self.take_timeline(&report);
        self.verify(report.produced.records, report.unanswered_requests == 0.0)
    }

    fn latency(&mut self, disturbed: bool) -> Result<(), Failure> {
        self.serve()?;
        let _awake = if self.cell.awake { Some(Spinners::start()?) } else { None };
        self.warm_up("latency")?;
        let disturbance = if disturbed { Some(self.disturb()?) } else { None };
        let watch = Watch::begin(self.server.pid())?;
        let mut arguments = self.writing(self.seconds, self.terms.bytes_max);
        // Connections and buffers have their first requests behind them then.
        arguments.extend(words("--warmup-seconds 0.5"));
        let (report, name) = self.run_client("latency", TOPIC, arguments, self.seconds)?;
        if let Some((reader, hog)) = disturbance {
            reader.abandon();
            drop(hog);
        }
        let cost = watch.end();
        self.put_flow(&report);
        report.put_latency(
            "end_to_end",
            ["end to end p50", "end to end p99", "end to end p99.9"],
            &mut self.measured,
        );
        // Without CPU for each GB: kept-awake cores would count.
        cost.put(&mut self.measured);
        self.check_lateness(&report);
        if let Some(failure) = &report.failure {
            self.void = self.void.take().or(Some(failure.clone()));
        }
        self.take_over(&name, "end to end")?;
        self.take_timeline(&report);
        // What was sent in the half second before the measurement is in the log as well.
        self.verify(report.produced.records, false)
    }

    /// A reader of 50 MB replies, and a busy loop on the first core.
    fn disturb(&mut self) -> Result<(Client, Hog), Failure> {
        const BIG: &str = "big";
        self.create(BIG)?;
        let fill = words("--producers 4 --batch-bytes 256k --records 262144 --seconds 0");
        self.run_client("produce", BIG, fill, PATIENCE.as_secs_f64())?;
        let read = words("--repeat --seconds 0 --fetch-bytes 50M --partition-fetch-bytes 50M");
        let (reader, _) = self.client("consume", BIG, read)?;
        Ok((reader, Hog::start()?))
    }

    fn tail(&mut self, fan_out: usize) -> Result<(), Failure> {
        self.serve()?;
        self.create(WARM)?;
        self.create(TOPIC)?;
        let warm_seconds = self.warm_seconds();
        if warm_seconds > 0.0 {
            self.tail_once(WARM, fan_out, warm_seconds)?;
        }
        let watch = Watch::begin(self.server.pid())?;
        let tail = self.tail_once(TOPIC, fan_out, self.seconds)?;
        let cost = watch.end();
        let delivered: f64 = tail.read.iter().map(|report| report.consumed.bytes).sum();
        self.put_flow(&tail.written);
        self.measured.put("delivered", "MB/s", delivered / 1e6 / tail.seconds);
        self.measured.put("consumers behind at the end", "s", tail.behind_seconds);
        cost.put(&mut self.measured);
        cost.put_per_gb(delivered, &mut self.measured);
        if let Some(late) = tail.written.lateness_p99_ms() {
            self.measured.put("generator lateness p99", "ms", late);
        }
        self.take_over(&tail.writer, "response")?;
        let mut timeline: Vec<[f64; 2]> = Vec::new();
        for report in &tail.read {
            for (at, [second, _, consumed]) in report.timeline.iter().enumerate() {
                match timeline.get_mut(at) {
                    Some(row) => row[1] += consumed,
                    None => timeline.push([*second, *consumed]),
                }
            }
        }
        self.measured.timeline = timeline;
        let written = tail.written.produced.records as u64;
        let there = probe::record_count(self.server.port, TOPIC)?;
        let missing: u64 =
            tail.read.iter().map(|report| written.abs_diff(report.consumed.records as u64)).sum();
        self.measured.verified =
            Verified { records: there, problems: written.abs_diff(there) + missing };
        self.judge_data(written);
        Ok(())
    }

    /// Consumers wait at the empty topic, then the writer begins; all end at the last record.
    fn tail_once(&mut self, topic: &str, fan_out: usize, seconds: f64) -> Result<Tail, Failure> {
        const RATE: f64 = 100e6;
        let whole = 256;
        let records = (RATE * seconds) as u64 / self.cell.record_bytes / whole * whole;
        let consume = words(&format!("--records {records} --seconds 0 --check"));
        let mut readers = Vec::new();
        for _ in 0..fan_out {
            readers.push(self.client("consume", topic, consume.clone())?.0);
        }
        crate::process::pause(Duration::from_millis(300))?;
        let started = Instant::now();
        let mut arguments = self.writing(0.0, records * self.cell.record_bytes);
        arguments.extend(words("--threads 1"));
        let (written, writer) = self.run_client("produce", topic, arguments, seconds)?;
        let written_at = started.elapsed().as_secs_f64();
        let mut read = Vec::new();
        for reader in readers {
            read.push(reader.finish(Session::patience(seconds))?);
        }
        let seconds = started.elapsed().as_secs_f64();
        Ok(Tail { written, writer, read, seconds, behind_seconds: seconds - written_at })
    }

    fn read(&mut self) -> Result<(), Failure> {
        const BYTES: u64 = 2 << 30;
        self.serve()?;
        self.create(TOPIC)?;
        let fill = self.writing(0.0, BYTES);
        let (filled, _) = self.run_client("produce", TOPIC, fill, PATIENCE.as_secs_f64())?;
        let consume =
            |seconds: f64| words(&format!("--repeat --connections 4 --seconds {seconds} --check"));
        let warm_seconds = self.warm_seconds();
        if warm_seconds > 0.0 {
            self.run_client("consume", TOPIC, consume(warm_seconds), warm_seconds)?;
        }
        let watch = Watch::begin(self.server.pid())?;
        let (report, _) = self.run_client("consume", TOPIC, consume(self.seconds), self.seconds)?;
        let cost = watch.end();
        self.measured.put("read", "MB/s", report.consumed.mb_per_second);
        cost.put(&mut self.measured);
        cost.put_per_gb(report.consumed.bytes, &mut self.measured);
        let row = |[second, _, consumed]: &[f64; 3]| [*second, *consumed];
        self.measured.timeline = report.timeline.iter().map(row).collect();
        self.verify(filled.produced.records, true)
    }
}

/// What came of writing and reading at once.
struct Tail {
    written: Report,
    /// Name of the client that wrote.
    writer: String,
    read: Vec<Report>,
    /// From the start of the writer to the end of the last reader.
    seconds: f64,
    behind_seconds: f64,
}

/// The connections that a load asks for, if it asks for very many.
fn connections(load: &str) -> Option<f64> {
    let words = words(load);
    let at = words.iter().position(|word| word == "--connections")?;
    words.get(at + 1)?.parse().ok().filter(|count| *count >= 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_per_connection_needs_many_of_them() {
        assert_eq!(connections("--producers 5000 --connections 5000 --rate 5"), Some(5000.0));
        assert_eq!(connections("--connections 64"), None);
        assert_eq!(connections("--producers 4"), None);
    }
}
