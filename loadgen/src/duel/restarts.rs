//! Runs in which the broker's own life is the matter: starts, rests, crashes, backlogs, many
//! partitions.

use std::time::{Duration, Instant};

use super::client::{Report, words};
use super::conditions;
use super::probe;
use super::run::{PATIENCE, Session, TOPIC};
use super::watch::{Watch, memory_bytes, process_seconds};
use crate::failure::Failure;
use crate::process::pause;

const GIB: f64 = (1_u64 << 30) as f64;
/// How long a broker is left alone before its rest is measured.
const SETTLE: Duration = Duration::from_secs(2);

impl Session<'_> {
    pub(super) fn rest(&mut self) -> Result<(), Failure> {
        let start_ms = self.server.until_first_ack(TOPIC, true)?;
        self.measured.put("start to first ack", "ms", start_ms);
        pause(SETTLE)?;
        let pid = self.server.pid();
        let (before, since) = (process_seconds(pid), Instant::now());
        pause(Duration::from_secs_f64(self.seconds.min(10.0)))?;
        let busy = process_seconds(pid) - before;
        self.measured.put("CPU idle", "% of a core", 100.0 * busy / since.elapsed().as_secs_f64());
        self.measured.put("RSS idle", "MB", memory_bytes(pid, "VmRSS") / 1e6);
        let mut acknowledged = 1.0;
        if self.terms.thorough {
            self.server.stop()?;
            let restart_ms = self.server.until_first_ack(TOPIC, false)?;
            self.measured.put("restart to first ack", "ms", restart_ms);
            acknowledged += 1.0;
        }
        // A request that was answered by a broken connection may have been carried out.
        self.verify(acknowledged, false)
    }

    pub(super) fn crash(&mut self, gib: f64) -> Result<(), Failure> {
        self.serve()?;
        let bytes = ((gib * GIB) as u64).min(self.terms.bytes_max);
        probe::create_and_use(self.server.port, TOPIC, self.cell.partitions, &self.configs())?;
        let fill = self.writing(0.0, bytes);
        let (filled, _) = self.run_client("produce", TOPIC, fill, 5.0 * PATIENCE.as_secs_f64())?;
        self.measured.put("throughput", "MB/s", filled.produced.mb_per_second);
        // It dies while records stream in, so that there is an unfinished end to clean up.
        let stream = self.writing(60.0, self.terms.bytes_max);
        let (client, _) = self.client("produce", TOPIC, stream)?;
        pause(Duration::from_secs(2))?;
        self.server.kill();
        client.abandon();
        let restart_ms = self.server.until_first_ack(TOPIC, false)?;
        self.measured.put("restart to first ack", "ms", restart_ms);
        let resident = memory_bytes(self.server.pid(), "VmRSS");
        self.measured.put("RSS", "MB", resident / 1e6);
        self.verify(filled.produced.records + 2.0, false)
    }

    pub(super) fn many(&mut self) -> Result<(), Failure> {
        self.serve()?;
        let (port, partitions) = (self.server.port, self.cell.partitions);
        let creation = probe::create_and_use(port, TOPIC, partitions, &self.configs())?;
        self.measured.put("creation", "s", creation);
        let watch = Watch::begin(self.server.pid())?;
        let load = self.writing(self.seconds, self.terms.bytes_max);
        let (report, _) = self.run_client("produce", TOPIC, load, self.seconds)?;
        let cost = watch.end();
        self.measured.put("throughput", "MB/s", report.produced.mb_per_second);
        let names = ["response p50", "response p99", "response p99.9"];
        report.put_latency("response", names, &mut self.measured);
        cost.put(&mut self.measured);
        cost.put_per_gb(report.produced.bytes, &mut self.measured);
        self.check_lateness(&report);
        let since = Instant::now();
        self.server.stop()?;
        self.measured.put("stop", "s", since.elapsed().as_secs_f64());
        let restart_ms = self.server.until_first_ack(TOPIC, false)?;
        self.measured.put("restart to first ack", "ms", restart_ms);
        self.verify(report.produced.records + 2.0, false)
    }

    pub(super) fn drain(&mut self, gib: f64) -> Result<(), Failure> {
        self.serve()?;
        probe::create_and_use(self.server.port, TOPIC, self.cell.partitions, &self.configs())?;
        let bytes = ((gib * GIB) as u64).min(self.terms.bytes_max);
        let mut fill = self.writing(0.0, bytes);
        replace_rate(&mut fill, "0");
        let (filled, _) = self.run_client("produce", TOPIC, fill, 5.0 * PATIENCE.as_secs_f64())?;
        // First without a reader, for the latency that the drain is compared with.
        let quiet = self.writing(self.seconds, self.terms.bytes_max);
        let (quiet, _) = self.run_client("produce", TOPIC, quiet, self.seconds)?;
        let backlog = filled.produced.records + quiet.produced.records;
        self.drop_caches();
        let watch = Watch::begin(self.server.pid())?;
        let load = self.writing(600.0, u64::MAX);
        let (writer, _) = self.client("produce", TOPIC, load)?;
        let drain = words(&format!("--records {} --seconds 0 --check", backlog as u64));
        let (drained, _) =
            self.run_client("consume", TOPIC, drain, 5.0 * PATIENCE.as_secs_f64())?;
        let written = writer.conclude(PATIENCE)?;
        let cost = watch.end();
        self.measured.put("drained", "MB/s", drained.consumed.mb_per_second);
        let p99 = |report: &Report| {
            report.latency_ms.get("response").map_or(f64::NAN, |latency| latency.p99)
        };
        let (while_drained, alone) = (p99(&written), p99(&quiet));
        self.measured.put("response p99 while drained", "ms", while_drained);
        self.measured.put("response p99 quiet", "ms", alone);
        self.measured.put("times the quiet response p99", "", while_drained / alone);
        cost.put(&mut self.measured);
        self.check_lateness(&quiet);
        let row = |[second, _, consumed]: &[f64; 3]| [*second, *consumed];
        self.measured.timeline = drained.timeline.iter().map(row).collect();
        // The last requests of a writer that is stopped are in the log without its knowing.
        self.verify(backlog + written.produced.records + 1.0, false)
    }

    fn drop_caches(&mut self) {
        if !conditions::drop_caches() {
            self.void = Some("the page cache may not be dropped: that needs root".to_owned());
        }
    }
}

/// Another value for an option that a load has.
fn replace_rate(arguments: &mut [String], rate: &str) {
    if let Some(at) = arguments.iter().position(|word| word == "--rate")
        && let Some(value) = arguments.get_mut(at + 1)
    {
        rate.clone_into(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_of_a_load_is_replaced() {
        let mut arguments = words("--producers 4 --rate 100MB --seconds 1");
        replace_rate(&mut arguments, "0");
        assert_eq!(arguments.join(" "), "--producers 4 --rate 0 --seconds 1");
    }
}
