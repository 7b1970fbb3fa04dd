//! `results.json`, as far as the page shows it.
//!
//! Invariant: whatever is missing or null becomes an empty text or list, or a number that is not
//! there; only a text that is no JSON, or of another format, is refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// The format of `results.json` that this program knows.
const FORMAT: u64 = 1;

/// A point of a curve; either half may be missing.
type Point = (Option<f64>, Option<f64>);

/// A duel.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Results {
    #[serde(deserialize_with = "or_default")]
    format: u64,
    #[serde(deserialize_with = "or_default")]
    pub(super) started: String,
    pub(super) seconds: Option<f64>,
    #[serde(deserialize_with = "or_default")]
    pub(super) quick: bool,
    #[serde(deserialize_with = "or_default")]
    pub(super) finished: bool,
    #[serde(deserialize_with = "or_default")]
    pub(super) command: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) machine: Machine,
    #[serde(deserialize_with = "or_default")]
    pub(super) limits: Vec<Limit>,
    #[serde(deserialize_with = "or_default")]
    pub(super) generator: Vec<Generator>,
    #[serde(deserialize_with = "or_default")]
    pub(super) brokers: Vec<Broker>,
    #[serde(deserialize_with = "or_default")]
    pub(super) cells: Vec<Cell>,
}

/// Where it ran.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Machine {
    #[serde(deserialize_with = "or_default")]
    pub(super) cpu: String,
    pub(super) cores: Option<f64>,
    pub(super) memory_bytes: Option<f64>,
    #[serde(deserialize_with = "or_default")]
    pub(super) kernel: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) filesystem: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) notes: Vec<String>,
}

/// What the machine itself reaches, before and after the duel.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Limit {
    #[serde(deserialize_with = "or_default")]
    pub(super) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) unit: String,
    pub(super) before: Option<f64>,
    pub(super) after: Option<f64>,
}

/// What the load generator reaches with a broker that does nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Generator {
    #[serde(deserialize_with = "or_default")]
    pub(super) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) unit: String,
    pub(super) value: Option<f64>,
    pub(super) cpu_seconds_per_gb: Option<f64>,
    pub(super) times_faster_broker: Option<f64>,
}

/// One of the two that are compared.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Broker {
    #[serde(deserialize_with = "or_default")]
    pub(super) id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) version: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) configuration: String,
}

/// One workload under one set of conditions.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Cell {
    #[serde(deserialize_with = "or_default")]
    pub(super) id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) title: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) workload: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) durability: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) placement: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) memory: String,
    pub(super) pairs: Option<f64>,
    pub(super) seconds_per_run: Option<f64>,
    #[serde(deserialize_with = "or_default")]
    pub(super) ratios: Vec<Ratio>,
    #[serde(deserialize_with = "or_default")]
    pub(super) runs: Vec<Run>,
    #[serde(deserialize_with = "or_default")]
    pub(super) note: String,
}

/// One measure of a cell, compared: how many times better Ringmain is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Ratio {
    #[serde(deserialize_with = "or_default")]
    pub(super) metric: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) unit: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) better: String,
    pub(super) ringmain: Option<f64>,
    pub(super) kafka: Option<f64>,
    pub(super) low: Option<f64>,
    pub(super) median: Option<f64>,
    pub(super) high: Option<f64>,
    pub(super) target: Option<f64>,
    #[serde(deserialize_with = "or_default")]
    pub(super) verdict: String,
}

/// One run of one broker.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Run {
    #[serde(deserialize_with = "or_default")]
    pub(super) broker: String,
    pub(super) pair: Option<f64>,
    #[serde(deserialize_with = "or_default")]
    pub(super) order: String,
    /// Why the run does not count.
    pub(super) void: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) values: BTreeMap<String, Option<f64>>,
    #[serde(deserialize_with = "or_default")]
    pub(super) units: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) percentiles: Vec<Percentiles>,
    #[serde(deserialize_with = "or_default")]
    timeline: Vec<Point>,
    #[serde(deserialize_with = "or_default")]
    pub(super) verified: Verified,
}

impl Run {
    /// Whether the run counts.
    pub(super) fn counts(&self) -> bool {
        self.void.is_none()
    }

    /// Throughput over time.
    pub(super) fn timeline(&self) -> Vec<(f64, f64)> {
        whole(&self.timeline)
    }

    pub(super) fn value(&self, metric: &str) -> Option<f64> {
        self.values.get(metric).copied().flatten()
    }
}

/// A distribution of latencies: share of the requests, and the milliseconds it stayed below.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Percentiles {
    #[serde(deserialize_with = "or_default")]
    pub(super) kind: String,
    #[serde(deserialize_with = "or_default")]
    points: Vec<Point>,
    #[serde(deserialize_with = "or_default")]
    pub(super) hgrm: String,
}

impl Percentiles {
    pub(super) fn points(&self) -> Vec<(f64, f64)> {
        whole(&self.points)
    }
}

/// What reading everything back found.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Verified {
    pub(super) records: Option<f64>,
    pub(super) problems: Option<f64>,
}

/// Reads `results.json`.
pub(super) fn parse(text: &str) -> Result<Results, String> {
    let results: Results = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if results.format != FORMAT {
        return Err(format!("its format is {}, this program reads {FORMAT}", results.format));
    }
    Ok(results)
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// The points with both halves.
fn whole(points: &[Point]) -> Vec<(f64, f64)> {
    points.iter().filter_map(|(x, y)| x.zip(*y)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_null_or_missing_is_empty() {
        let text = r#"{"format": 1, "quick": null, "machine": null, "unknown": [1], "cells": [
            {"id": null, "pairs": null, "ratios": null, "runs": [{"void": null, "values": {"a": null},
             "timeline": [[1.0, null], [2.0, 3.0]], "verified": null}]}]}"#;
        let results = parse(text).unwrap();
        assert!(!results.quick && !results.finished);
        let run = &results.cells[0].runs[0];
        assert!(run.counts());
        assert_eq!(run.value("a"), None);
        assert_eq!(run.timeline(), [(2.0, 3.0)]);
    }

    #[test]
    fn other_formats_and_other_texts_are_refused() {
        assert!(parse(r#"{"format": 2}"#).unwrap_err().contains("format is 2"));
        assert!(parse("{}").is_err());
        assert!(parse("").is_err());
        assert!(parse(r#"{"format": 1, "cells": 3}"#).is_err());
    }
}
