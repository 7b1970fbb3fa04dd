//! `results.json`, format 1: everything a duel found out, for the report page and for programs.
//!
//! Latencies in ms, sizes in bytes, MB = 10^6 bytes, GB = 10^9 bytes; a number that could not be
//! measured is null.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::ratio::{Better, Verdict};
use crate::failure::Failure;

/// The whole file.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Results {
    pub(crate) format: u32,
    pub(crate) started: String,
    pub(crate) seconds: f64,
    pub(crate) quick: bool,
    /// False while cells are missing that were asked for.
    pub(crate) finished: bool,
    pub(crate) command: String,
    pub(crate) machine: Machine,
    pub(crate) limits: Vec<Limit>,
    pub(crate) generator: Vec<Generator>,
    pub(crate) brokers: Vec<Broker>,
    pub(crate) cells: Vec<Cell>,
    pub(crate) cross_checks: Vec<CrossCheck>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    pub(crate) filesystem: String,
    pub(crate) notes: Vec<String>,
}

/// What the machine itself can do, before and after a cell.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Limit {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) before: f64,
    pub(crate) after: f64,
}

/// The load generator against a broker that does nothing.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Generator {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
    pub(crate) cpu_seconds_per_gb: f64,
    /// Than the faster of the two brokers; null when no cell was run that tells.
    pub(crate) times_faster_broker: Option<f64>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Broker {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) version: String,
    pub(crate) configuration: String,
}

/// One workload in one durability class, placement and state of the memory.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Cell {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) workload: String,
    pub(crate) durability: &'static str,
    pub(crate) placement: &'static str,
    pub(crate) memory: &'static str,
    /// Pairs of which both runs count.
    pub(crate) pairs: usize,
    pub(crate) seconds_per_run: f64,
    pub(crate) ratios: Vec<Ratio>,
    /// What our broker alone was to reach.
    pub(crate) goals: Vec<Goal>,
    pub(crate) runs: Vec<Run>,
    pub(crate) note: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Ratio {
    pub(crate) metric: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    pub(crate) ringmain: Option<f64>,
    pub(crate) kafka: Option<f64>,
    pub(crate) low: Option<f64>,
    pub(crate) median: Option<f64>,
    pub(crate) high: Option<f64>,
    pub(crate) target: Option<f64>,
    pub(crate) verdict: Verdict,
}

/// An absolute target of our broker.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Goal {
    pub(crate) metric: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    pub(crate) target: f64,
    pub(crate) ringmain: Option<f64>,
    pub(crate) verdict: Verdict,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Run {
    pub(crate) broker: &'static str,
    pub(crate) pair: usize,
    /// A: the first run of its pair, B: the second.
    pub(crate) order: &'static str,
    /// Why the run does not count, if it does not.
    pub(crate) void: Option<String>,
    #[serde(flatten)]
    pub(crate) measured: Measured,
}

/// What one run gave.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Measured {
    pub(crate) values: BTreeMap<&'static str, f64>,
    pub(crate) units: BTreeMap<&'static str, &'static str>,
    pub(crate) percentiles: Vec<Percentiles>,
    /// Seconds since the start, MB/s.
    pub(crate) timeline: Vec<[f64; 2]>,
    pub(crate) verified: Verified,
}

impl Measured {
    pub(crate) fn put(&mut self, name: &'static str, unit: &'static str, value: f64) {
        self.values.insert(name, value);
        self.units.insert(name, unit);
    }

    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied()
    }
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Percentiles {
    /// `response` or `end to end`.
    pub(crate) kind: &'static str,
    /// Quantile and ms.
    pub(crate) points: Vec<[f64; 2]>,
    /// The file with the whole distribution, beside the results.
    pub(crate) hgrm: String,
}

/// Records counted in the log and read back with their CRCs.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Verified {
    pub(crate) records: u64,
    pub(crate) problems: u64,
}

/// A load generator of others against one broker.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CrossCheck {
    pub(crate) tool: String,
    pub(crate) workload: String,
    pub(crate) broker: &'static str,
    pub(crate) unit: &'static str,
    /// What the tool itself said.
    pub(crate) value: Option<f64>,
    /// What `ringload` reached with the same load.
    pub(crate) ringload: Option<f64>,
    pub(crate) note: Option<String>,
}

impl Results {
    /// Writes the file whole: a reader sees the old one or the new one.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), Failure> {
        let path = directory.join("results.json");
        let local = |error: std::io::Error| Failure::Local(format!("{}: {error}", path.display()));
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Failure::Local(format!("results: {error}")))?;
        let beside = directory.join("results.json.new");
        fs::write(&beside, text + "\n").map_err(local)?;
        fs::rename(&beside, &path).map_err(local)
    }
}

/// A time of day as RFC 3339 has it, in UTC.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (mut day, second) = (seconds / 86_400, seconds % 86_400);
    let leap = |year: u64| {
        (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400)
    };
    let mut year = 1970;
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{:02}Z", day + 1, second % 60)
}

/// Quantiles and values of a percentile distribution in HdrHistogram's text form.
pub(crate) fn points(hgrm: &str) -> Vec<[f64; 2]> {
    let mut points: Vec<[f64; 2]> = Vec::new();
    for line in hgrm.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace().map(str::parse::<f64>);
        if let (Some(Ok(value)), Some(Ok(quantile))) = (words.next(), words.next()) {
            points.push([quantile, value]);
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::histogram::Latency;
    use crate::process::Scratch;

    #[test]
    fn times_of_day() {
        let at = |seconds| rfc3339(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(at(1_735_689_599), "2024-12-31T23:59:59Z");
        assert_eq!(at(1_767_225_600), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn percentile_files_are_read_back() {
        let mut latency = Latency::default();
        for ms in 1..=100_u64 {
            latency.record_ns(ms * 1_000_000);
        }
        let points = points(&latency.to_hgrm());
        let last = points.last().unwrap();
        assert_eq!(last[0], 1.0);
        assert!((last[1] - 100.0).abs() < 0.2, "{points:?}");
        let half = points.iter().find(|point| point[0] >= 0.5).unwrap();
        assert!((half[1] - 50.0).abs() < 2.0, "{points:?}");
    }

    #[test]
    fn the_file_has_the_names_that_its_readers_know() {
        let mut measured = Measured::default();
        measured.put("throughput", "MB/s", 1200.0);
        measured.put("server CPU", "CPU-s/GB", f64::NAN);
        let run = Run { broker: "ringmain", pair: 1, order: "A", void: None, measured };
        let results = Results {
            format: 1,
            started: rfc3339(UNIX_EPOCH),
            seconds: 1.5,
            quick: true,
            finished: false,
            command: "ringload duel".to_owned(),
            machine: Machine {
                cpu: "some".to_owned(),
                cores: 2,
                memory_bytes: 1,
                kernel: "6".to_owned(),
                filesystem: "ext4".to_owned(),
                notes: vec![],
            },
            limits: vec![],
            generator: vec![],
            brokers: vec![],
            cells: vec![Cell {
                id: "W1",
                title: "Ingest",
                workload: String::new(),
                durability: "D0",
                placement: "free",
                memory: "conditioned",
                pairs: 1,
                seconds_per_run: 6.0,
                ratios: vec![Ratio {
                    metric: "throughput",
                    unit: "MB/s",
                    better: Better::Higher,
                    ringmain: Some(1200.0),
                    kafka: None,
                    low: None,
                    median: None,
                    high: None,
                    target: Some(2.0),
                    verdict: Verdict::Void,
                }],
                goals: vec![],
                runs: vec![run],
                note: None,
            }],
            cross_checks: vec![],
        };
        let scratch = Scratch::new(&std::env::temp_dir(), "ringload-results-test", 1).unwrap();
        results.write(scratch.path()).unwrap();
        let text = fs::read_to_string(scratch.path().join("results.json")).unwrap();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        let cell = &read["cells"][0];
        assert_eq!(cell["ratios"][0]["verdict"], "void");
        assert_eq!(cell["ratios"][0]["better"], "higher");
        assert_eq!(cell["runs"][0]["values"]["throughput"], 1200.0);
        assert_eq!(cell["runs"][0]["units"]["throughput"], "MB/s");
        assert!(cell["runs"][0]["values"]["server CPU"].is_null());
        assert_eq!(cell["runs"][0]["verified"]["problems"], 0);
        assert_eq!(read["finished"], false);
        assert!(!scratch.path().join("results.json.new").exists());
    }
}
