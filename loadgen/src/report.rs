//! The results: a table for people, JSON and percentile files for programs.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::failure::Failure;
use crate::histogram::Latency;
use crate::options::OutputOptions;
use crate::run::Outcome;
use crate::tally::Side;

/// Lateness above which a run says nothing about the broker.
const LATENESS_P99_MS_MAX: f64 = 1.0;

/// Shows and stores the outcome of a run.
pub(crate) struct Report<'a> {
    pub(crate) command: &'a str,
    /// One line on what was run.
    pub(crate) title: String,
    pub(crate) outcome: &'a Outcome,
    /// Which latency is the main one.
    pub(crate) open_loop: bool,
}

/// Digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Report<'_> {
    fn rows(&self) -> Vec<(&'static str, &Latency)> {
        let tally = &self.outcome.tally;
        let mut rows = Vec::new();
        if tally.end_to_end.count() > 0 {
            rows.push(("end to end", &tally.end_to_end));
        }
        if tally.produced.requests > 0 {
            rows.push(("response", &tally.produced.response));
            rows.push(("service", &tally.produced.service));
        }
        if tally.fetched.requests > 0 {
            rows.push(("fetch", &tally.fetched.service));
        }
        if self.open_loop {
            rows.push(("lateness", &tally.lateness));
        }
        rows
    }

    fn sides(&self) -> Vec<(&'static str, &Side)> {
        let tally = &self.outcome.tally;
        let sides = [("produced", &tally.produced), ("consumed", &tally.fetched)];
        sides.into_iter().filter(|(_, side)| side.requests > 0).collect()
    }

    fn is_late(&self) -> bool {
        self.open_loop && self.outcome.tally.lateness.quantile_ms(0.99) > LATENESS_P99_MS_MAX
    }

    /// CPU seconds per GB; each byte counts once, whether produced or consumed.
    fn cpu_seconds_per_gb(&self) -> Option<f64> {
        let tally = &self.outcome.tally;
        let gb = (tally.produced.bytes + tally.fetched.bytes) as f64 / 1e9;
        (gb > 0.0).then(|| self.outcome.usage.cpu_seconds() / gb)
    }

    /// The table.
    pub(crate) fn to_text(&self) -> String {
        let outcome = self.outcome;
        let tally = &outcome.tally;
        let mut text = format!("\n{}\n\n", self.title);
        let seconds = outcome.seconds.max(1e-9);
        for (name, side) in self.sides() {
            let _ = writeln!(
                text,
                "{name:<12} {:>14} records in {seconds:.2} s {:>14} records/s {:>10.2} MB/s {:>10} requests/s",
                grouped(side.records),
                grouped((side.records as f64 / seconds) as u64),
                side.bytes as f64 / 1e6 / seconds,
                grouped((side.requests as f64 / seconds) as u64),
            );
        }
        if !self.rows().is_empty() {
            let _ = writeln!(
                text,
                "\n{:<12} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
                "ms", "p50", "p90", "p99", "p99.9", "max", "mean"
            );
        }
        for (name, latency) in self.rows() {
            let [p50, p90, p99, p999] =
                [0.5, 0.9, 0.99, 0.999].map(|quantile| latency.quantile_ms(quantile));
            let (max, mean) = (latency.max_ms(), latency.mean_ms());
            let _ = writeln!(
                text,
                "{name:<12} {p50:>10.3} {p90:>10.3} {p99:>10.3} {p999:>10.3} {max:>10.3} {mean:>10.3}"
            );
        }
        let _ = write!(text, "\n{:<12} {}", "errors", tally.error_count());
        for (code, count) in &tally.errors {
            let _ = write!(text, "  {code} {count}");
        }
        if tally.unanswered_requests > 0 {
            let _ = write!(text, "  unanswered requests {}", tally.unanswered_requests);
        }
        let usage = &outcome.usage;
        let _ = write!(
            text,
            "\n{:<12} {:.2} s (user {:.2}, system {:.2})",
            "own CPU",
            usage.cpu_seconds(),
            usage.user_seconds,
            usage.system_seconds
        );
        if let Some(per_gb) = self.cpu_seconds_per_gb() {
            let _ = write!(text, "  {per_gb:.3} CPU-s/GB");
        }
        let _ = writeln!(
            text,
            "  peak memory {} MiB  context switches {}",
            usage.resident_bytes_max >> 20,
            grouped(usage.context_switches)
        );
        if self.is_late() {
            let _ = writeln!(
                text,
                "warning: the generator itself was late (p99 above {LATENESS_P99_MS_MAX} ms): these latencies say nothing about the broker"
            );
        }
        if outcome.interrupted {
            text.push_str("interrupted\n");
        }
        text
    }

    /// The same for programs. Names are stable.
    pub(crate) fn to_json(&self) -> String {
        let outcome = self.outcome;
        let tally = &outcome.tally;
        let mut json = Json::new();
        json.text("command", self.command);
        json.text("title", &self.title);
        json.number("seconds", outcome.seconds);
        let seconds = outcome.seconds.max(1e-9);
        for (name, side) in self.sides() {
            json.open(name);
            json.number("records", side.records as f64);
            json.number("bytes", side.bytes as f64);
            json.number("payload_bytes", side.payload_bytes as f64);
            json.number("requests", side.requests as f64);
            json.number("records_per_second", side.records as f64 / seconds);
            json.number("mb_per_second", side.bytes as f64 / 1e6 / seconds);
            json.number("requests_per_second", side.requests as f64 / seconds);
            json.close();
        }
        json.open("latency_ms");
        for (name, latency) in self.rows() {
            json.open(&name.replace(' ', "_"));
            json.number("count", latency.count() as f64);
            for (name, quantile) in
                [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999), ("p99_99", 0.9999)]
            {
                json.number(name, latency.quantile_ms(quantile));
            }
            json.number("max", latency.max_ms());
            json.number("mean", latency.mean_ms());
            json.close();
        }
        json.close();
        json.open("errors");
        for (code, count) in &tally.errors {
            json.number(&code.to_string(), *count as f64);
        }
        json.close();
        json.rows("timeline", &outcome.timeline);
        json.number("error_count", tally.error_count() as f64);
        json.number("unanswered_requests", tally.unanswered_requests as f64);
        json.number("delayed_requests", tally.delayed_requests as f64);
        json.number("cpu_user_seconds", outcome.usage.user_seconds);
        json.number("cpu_system_seconds", outcome.usage.system_seconds);
        json.number("cpu_seconds_per_gb", self.cpu_seconds_per_gb().unwrap_or(0.0));
        json.number("resident_bytes_max", outcome.usage.resident_bytes_max as f64);
        json.number("context_switches", outcome.usage.context_switches as f64);
        json.boolean("open_loop", self.open_loop);
        json.boolean("generator_late", self.is_late());
        json.boolean("interrupted", outcome.interrupted);
        if let Some(failure) = &outcome.failure {
            json.text("failure", &failure.to_string());
        }
        json.finish()
    }

    /// Prints the table and writes the files asked for; then the run's own failure, if any.
    pub(crate) fn deliver(&self, output: &OutputOptions) -> Result<(), Failure> {
        print!("{}", self.to_text());
        if let Some(path) = &output.json {
            write_file(path, &self.to_json())?;
        }
        if let Some(path) = &output.hgrm {
            for (index, (name, latency)) in self.rows().into_iter().enumerate() {
                let mut to = path.clone();
                if index > 0 {
                    let extension = path.extension().unwrap_or_default().to_string_lossy();
                    to.set_extension(format!("{}.{extension}", name.replace(' ', "-")));
                }
                write_file(&to, &latency.to_hgrm())?;
            }
        }
        match &self.outcome.failure {
            Some(failure) => Err(failure.clone()),
            None if self.outcome.tally.error_count() > 0 => Err(Failure::Violated(format!(
                "{} requests or partitions were refused",
                self.outcome.tally.error_count()
            ))),
            None if self.outcome.tally.unanswered_requests > 0 && !self.outcome.interrupted => {
                Err(Failure::Violated(format!(
                    "{} requests were never answered",
                    self.outcome.tally.unanswered_requests
                )))
            }
            None => Ok(()),
        }
    }
}

/// Writes a file of results.
pub(crate) fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text)
        .map_err(|error| Failure::Local(format!("cannot write {}: {error}", path.display())))
}

/// Writes one JSON object.
#[derive(Debug)]
pub(crate) struct Json {
    text: String,
    depth: usize,
    first: bool,
}

impl Json {
    pub(crate) fn new() -> Json {
        Json { text: "{".to_owned(), depth: 1, first: true }
    }

    fn quoted(&mut self, text: &str) {
        self.text.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => {
                    self.text.push('\\');
                    self.text.push(c);
                }
                c if c < ' ' => {
                    let _ = write!(self.text, "\\u{:04x}", u32::from(c));
                }
                c => self.text.push(c),
            }
        }
        self.text.push('"');
    }

    fn name(&mut self, name: &str) {
        self.text.push_str(if self.first { "\n" } else { ",\n" });
        self.first = false;
        self.text.extend(std::iter::repeat_n("  ", self.depth));
        self.quoted(name);
        self.text.push_str(": ");
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.quoted(value);
    }

    pub(crate) fn number(&mut self, name: &str, value: f64) {
        self.name(name);
        // JSON has no infinities; Rust prints whole numbers without a fraction and never in
        // exponent form.
        let value = if value.is_finite() { value } else { 0.0 };
        let _ = write!(self.text, "{value}");
    }

    pub(crate) fn boolean(&mut self, name: &str, value: bool) {
        self.name(name);
        let _ = write!(self.text, "{value}");
    }

    /// An array of arrays of numbers.
    pub(crate) fn rows<const N: usize>(&mut self, name: &str, rows: &[[f64; N]]) {
        self.name(name);
        let rows = rows.iter().map(|row| {
            let numbers: Vec<String> = row.iter().map(f64::to_string).collect();
            format!("[{}]", numbers.join(", "))
        });
        let _ = write!(self.text, "[{}]", rows.collect::<Vec<_>>().join(", "));
    }

    pub(crate) fn open(&mut self, name: &str) {
        self.name(name);
        self.text.push('{');
        self.depth += 1;
        self.first = true;
    }

    pub(crate) fn close(&mut self) {
        self.depth -= 1;
        if !self.first {
            self.text.push('\n');
            self.text.extend(std::iter::repeat_n("  ", self.depth));
        }
        self.text.push('}');
        self.first = false;
    }

    pub(crate) fn finish(mut self) -> String {
        self.close();
        self.text.push('\n');
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_nests_and_escapes() {
        let mut json = Json::new();
        json.text("a", "x\"\\\n");
        json.open("empty");
        json.close();
        json.open("inner");
        json.number("n", 1.5);
        json.number("big", 1e15);
        json.close();
        json.boolean("b", true);
        json.rows("rows", &[[1.0, 0.5], [2.0, 3.0]]);
        let expected = "{\n  \"a\": \"x\\\"\\\\\\u000a\",\n  \"empty\": {},\n  \"inner\": {\n    \"n\": 1.5,\n    \"big\": 1000000000000000\n  },\n  \"b\": true,\n  \"rows\": [[1, 0.5], [2, 3]]\n}\n";
        assert_eq!(json.finish(), expected);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
