//! The load generator as a program of its own, so that its CPU can be told from the broker's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use super::results::{Measured, Percentiles, points};
use crate::failure::Failure;
use crate::process::Program;

/// Versions that every broker of a duel speaks, so that all get the same bytes.
const VERSIONS: [&str; 4] = ["--api-version", "Produce=12", "--api-version", "Fetch=17"];

/// The report that `ringload --json` writes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Report {
    pub(crate) seconds: f64,
    pub(crate) produced: Flow,
    pub(crate) consumed: Flow,
    pub(crate) latency_ms: BTreeMap<String, Points>,
    pub(crate) error_count: f64,
    pub(crate) unanswered_requests: f64,
    pub(crate) cpu_seconds_per_gb: f64,
    /// Second, MB produced, MB consumed.
    pub(crate) timeline: Vec<[f64; 3]>,
    pub(crate) failure: Option<String>,
}

/// One direction of the data.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Flow {
    pub(crate) records: f64,
    pub(crate) bytes: f64,
    pub(crate) requests: f64,
    pub(crate) mb_per_second: f64,
    pub(crate) requests_per_second: f64,
    pub(crate) records_per_second: f64,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Points {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
}

impl Report {
    /// Puts the percentiles of one latency as values; `names` are for p50, p99 and p99.9.
    pub(crate) fn put_latency(
        &self,
        latency: &str,
        names: [&'static str; 3],
        measured: &mut Measured,
    ) {
        if let Some(found) = self.latency_ms.get(latency) {
            for (name, value) in names.into_iter().zip([found.p50, found.p99, found.p99_9]) {
                measured.put(name, "ms", value);
            }
        }
    }

    /// How late the generator was, if it had a schedule.
    pub(crate) fn lateness_p99_ms(&self) -> Option<f64> {
        self.latency_ms.get("lateness").map(|lateness| lateness.p99)
    }
}

/// A run of `ringload`.
#[derive(Debug)]
pub(crate) struct Client {
    program: Program,
    /// Where report, log and distributions go; the names begin with this.
    stem: PathBuf,
}

/// What a client is to do, and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) port: u16,
    /// Cores it may run on; all if empty.
    pub(crate) cores: &'a [usize],
    /// A directory for its files.
    pub(crate) directory: &'a Path,
}

/// Arguments from a line.
pub(crate) fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// A command of this very program.
pub(crate) fn this_program() -> Result<Command, Failure> {
    let path = std::env::current_exe()
        .map_err(|error| Failure::Local(format!("cannot find this program: {error}")))?;
    Ok(Command::new(path))
}

impl Client {
    /// Starts `command` (produce, consume, latency) with `arguments`; `name` is unique in `place`.
    pub(crate) fn start(
        place: Place<'_>,
        name: &str,
        command: &str,
        arguments: &[String],
    ) -> Result<Client, Failure> {
        let stem = place.directory.join(name);
        let mut program = this_program()?;
        program.arg(command).args(["--bootstrap", &format!("127.0.0.1:{}", place.port)]);
        program.args(VERSIONS).args(arguments).args(["--quiet", "--json"]);
        program.arg(stem.with_extension("json")).arg("--hgrm").arg(stem.with_extension("hgrm"));
        let log = stem.with_extension("log");
        let program = Program::start(program, place.cores, &log)?;
        if command == "latency" {
            // On a machine that is shared with the broker, a clock that has to wait for its turn
            // would measure the wait. Without the right to it, late runs are void as ever.
            crate::system::favour(program.pid());
        }
        Ok(Client { program, stem })
    }

    /// Its report once it has ended. What was not answered in time is no failure of the run: the
    /// report says so.
    pub(crate) fn finish(mut self, patience: Duration) -> Result<Report, Failure> {
        let status = self.program.wait(patience)?;
        let text = fs::read_to_string(self.stem.with_extension("json")).unwrap_or_default();
        let Ok(report) = serde_json::from_str::<Report>(&text) else {
            return Err(self.program.complain(&format!("ended with {status}, without a report")));
        };
        let overloaded = report.unanswered_requests > 0.0 && report.error_count == 0.0;
        if status.success() || overloaded {
            Ok(report)
        } else {
            Err(self.program.complain(&format!("ended with {status}")))
        }
    }

    /// Asks it to end, for the report on what it has done so far.
    pub(crate) fn conclude(self, patience: Duration) -> Result<Report, Failure> {
        crate::system::terminate(self.program.pid());
        self.finish(patience)
    }

    /// Ends it; whatever it did is not of interest.
    pub(crate) fn abandon(mut self) {
        self.program.kill();
    }
}

/// Takes over the distributions that the client `name` left in `from`: the main one of `kind`, and
/// that of responses beside it if it has its own. They go to `to` as `file`.
pub(crate) fn distributions(
    from: &Path,
    name: &str,
    kind: &'static str,
    to: &Path,
    file: &str,
) -> Result<Vec<Percentiles>, Failure> {
    let mut taken = Vec::new();
    let mut sources = vec![(kind, format!("{name}.hgrm"))];
    if kind != "response" {
        sources.push(("response", format!("{name}.response.hgrm")));
    }
    for (kind, source) in sources {
        let Ok(text) = fs::read_to_string(from.join(&source)) else { continue };
        let hgrm = format!("{file}.{}.hgrm", kind.replace(' ', "-"));
        crate::report::write_file(&to.join(&hgrm), &text)?;
        taken.push(Percentiles { kind, points: points(&text), hgrm });
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_it_is_written() {
        let text = r#"{"command": "produce", "seconds": 2.5,
            "produced": {"records": 10, "bytes": 2000, "requests": 2, "mb_per_second": 0.8},
            "latency_ms": {"response": {"p50": 1.5, "p99": 2, "p99_9": 3, "max": 4},
                           "lateness": {"p50": 0.001, "p99": 0.25}},
            "timeline": [[1, 0.5, 0]], "error_count": 0, "unanswered_requests": 1}"#;
        let report: Report = serde_json::from_str(text).unwrap();
        assert_eq!(report.produced.bytes, 2000.0);
        assert_eq!(report.consumed.records, 0.0);
        assert_eq!(report.timeline, [[1.0, 0.5, 0.0]]);
        assert_eq!(report.lateness_p99_ms(), Some(0.25));
        let mut measured = Measured::default();
        report.put_latency("response", ["a", "b", "c"], &mut measured);
        report.put_latency("end_to_end", ["x", "y", "z"], &mut measured);
        assert_eq!(measured.value("b"), Some(2.0));
        assert_eq!(measured.value("x"), None);
    }
}
