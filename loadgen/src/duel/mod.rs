//! `ringload duel`: this broker and Apache Kafka on this machine, under the same load.
//!
//! In reading order: [`cells`] (what is measured, as data), [`broker`] (the contenders), [`client`]
//! (the generator as a program of its own), [`conditions`] and [`watch`] (the machine), [`limits`]
//! (what it can do at most), [`run`] and [`restarts`] (one run), [`ratio`] (what runs say),
//! [`pace`] (time), [`tuning`] (Kafka at its best), [`crosscheck`] (other generators), [`results`]
//! (the file). This module goes through the cells pair by pair.
//!
//! Rules: both brokers get the same bytes from the same program, on fresh directories of the same
//! filesystem, in pairs whose order alternates; the classes of durability are never mixed; the data
//! of every run is read back; runs whose generator was late, and cells around which the machine
//! changed, count for nothing.

mod broker;
mod cells;
mod client;
mod conditions;
mod crosscheck;
mod limits;
mod pace;
mod probe;
mod ratio;
mod restarts;
mod results;
mod run;
mod tuning;
mod watch;

use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use broker::{Contenders, Side};
use cells::{Cell, Memory, Work};
use conditions::{Conditioning, Ungrouped};
use pace::{Pace, shown};
use ratio::{Better, PAIRS_MIN, Verdict};
use results::{Goal, Limit, Ratio, Results, Run};
use run::Terms;

use crate::failure::Failure;
use crate::kafka::Choice;
use crate::page;
use crate::system;

/// Options of the command.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DuelOptions {
    /// Cells to run, such as W1,W3 (default: all; with --quick W1,W3,W6,W8,W17).
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) cells: Vec<String>,
    /// Short runs of the cells that matter most, within 15 minutes.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Minutes that the duel may take; runs get shorter to fit (default: 14 with --quick, else no limit).
    #[arg(long, value_name = "N")]
    pub(crate) minutes: Option<f64>,
    /// Pairs of runs for each cell; below 5 no ratio is claimed.
    #[arg(long, default_value_t = PAIRS_MIN, value_name = "N")]
    pub(crate) pairs: usize,
    /// Seconds of the measured part of a run (default: 6 with --quick, else 20).
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<f64>,
    /// Seconds for which Kafka is warmed up before each run (default: 5 with --quick, else 30).
    #[arg(long, value_name = "N")]
    pub(crate) warmup_seconds: Option<f64>,
    /// Our broker (default: the one beside this program, built first if need be).
    #[arg(long, value_name = "PATH")]
    pub(crate) ringmain: Option<PathBuf>,
    /// Where data directories are made and removed; must be on a real disk.
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    pub(crate) root: PathBuf,
    /// Memory in GiB that is held in use before runs in conditioned memory and given out as they take
    /// it (default: all but 1 GiB of what is free); 0 leaves the memory as it is found.
    #[arg(long, value_name = "GIB")]
    pub(crate) condition: Option<f64>,
    /// Most that a run writes while it is measured, in GiB (default: 4 with --quick, else 12).
    #[arg(long, value_name = "GIB")]
    pub(crate) max_gib: Option<f64>,
    /// Also run kafka-producer-perf-test and librdkafka's generator (or kcat) against both brokers;
    /// always done without --quick.
    #[arg(long)]
    pub(crate) cross_check: bool,
    #[command(flatten)]
    pub(crate) kafka: Choice,
    /// Where the results go.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

/// Free disk space without which no run is begun, besides what it writes.
const SPARE_BYTES: u64 = 4 << 30;
const GIB: u64 = 1 << 30;
/// Pairs that may be done again because a run of them was void.
const RETRIES: usize = 2;
/// Makes all intervals repeatable.
const SEED: u64 = 0x6475_656c;

/// Runs the command.
pub(crate) fn run(options: &DuelOptions) -> Result<(), Failure> {
    let cells = cells::chosen(&options.cells, options.quick).map_err(Failure::Usage)?;
    if options.pairs == 0 {
        return Err(Failure::Usage("--pairs must be at least 1".to_owned()));
    }
    let machine = conditions::describe(&options.root)?;
    conditions::refuse_memory(&machine, &options.root)?;
    std::fs::create_dir_all(&options.out)
        .map_err(|error| Failure::Local(format!("{}: {error}", options.out.display())))?;
    let ringmain = broker::ringmain_program(options.ringmain.as_deref())?;
    let kafka = options.kafka.install()?;
    let started = SystemTime::now();
    let _ungrouped = Ungrouped::start();
    let contenders = Contenders::new(ringmain, kafka, options.root.clone(), machine.memory_bytes)?;
    let mut duel = Duel {
        options,
        pace: pace(options, &cells),
        results: Results {
            format: 1,
            started: results::rfc3339(started),
            seconds: 0.0,
            quick: options.quick,
            finished: false,
            command: std::env::args().collect::<Vec<_>>().join(" "),
            machine,
            limits: Vec::new(),
            generator: Vec::new(),
            brokers: Vec::new(),
            cells: Vec::new(),
            cross_checks: Vec::new(),
        },
    };
    let done = duel.work(&contenders, &cells);
    duel.results.finished = done.is_ok();
    duel.write()?;
    done?;
    eprintln!(
        "done in {}: {}",
        shown(duel.pace.elapsed()),
        options.out.join("index.html").display()
    );
    Ok(())
}

/// The time that is to be shared out.
fn pace(options: &DuelOptions, cells: &[Cell]) -> Pace {
    let minutes = options.minutes.or(options.quick.then_some(14.0));
    // What is done at the end needs its time too.
    let budget = minutes.map(|minutes| Duration::from_secs_f64((minutes * 60.0 - 20.0).max(60.0)));
    let seconds = options.seconds.unwrap_or(if options.quick { 6.0 } else { 20.0 });
    let overhead = if options.quick { 22.0 } else { 80.0 };
    Pace::new(budget, seconds, cells.len() * options.pairs, overhead)
}

/// A duel under way.
struct Duel<'a> {
    options: &'a DuelOptions,
    pace: Pace,
    results: Results,
}

impl Duel<'_> {
    fn write(&mut self) -> Result<(), Failure> {
        self.results.seconds = self.pace.elapsed().as_secs_f64();
        self.results.write(&self.options.out)?;
        page::write(&self.options.out).map(drop)
    }

    fn work(&mut self, contenders: &Contenders, cells: &[Cell]) -> Result<(), Failure> {
        let options = self.options;
        eprintln!("measuring the generator itself");
        let seconds = if options.quick { 2.0 } else { 10.0 };
        self.results.generator = limits::generator(contenders, seconds)?;
        let found = if options.quick { tuning::fixed() } else { tuning::search(contenders)? };
        self.results.brokers = vec![
            results::Broker {
                id: Side::Ringmain.id(),
                name: "Ringmain",
                version: contenders.ringmain_version(),
                configuration: contenders.ringmain_configuration(),
            },
            results::Broker {
                id: Side::Kafka.id(),
                name: "Apache Kafka",
                version: contenders.kafka.version.clone(),
                configuration: contenders.kafka_configuration(&found.search),
            },
        ];
        let conditioning = self.conditioning()?;
        let warm = options.warmup_seconds.unwrap_or(if options.quick { 5.0 } else { 30.0 });
        let max = options.max_gib.unwrap_or(if options.quick { 4.0 } else { 12.0 });
        let terms = Terms {
            contenders,
            conditioning: conditioning.as_ref(),
            out: &options.out,
            warm_seconds: [warm.min(if options.quick { 2.0 } else { 5.0 }), warm],
            warm_bytes_max: bytes_of_gib(max / 2.0),
            bytes_max: bytes_of_gib(max),
            threads: found.threads,
            thorough: !options.quick,
        };
        for (number, cell) in cells.iter().enumerate() {
            eprintln!("{} {}: {}, {}", cell.id, cell.title, cell.workload, label(cell));
            self.cell(&terms, number, cell)?;
            self.write()?;
        }
        if options.cross_check || !options.quick {
            eprintln!("cross-checking with the generators of others");
            self.results.cross_checks =
                crosscheck::run(contenders, found.threads[0], options.quick)?;
        }
        limits::compare_generator(&mut self.results.generator, &self.results.cells);
        Ok(())
    }

    /// How memory is conditioned, if it is to be and may be.
    fn conditioning(&mut self) -> Result<Option<Conditioning>, Failure> {
        let bytes = self.options.condition.map(bytes_of_gib);
        if bytes == Some(0) {
            self.results
                .machine
                .notes
                .push("memory as found in all cells (--condition 0)".to_owned());
            return Ok(None);
        }
        if let Some(conditioning) = Conditioning::start(bytes)? {
            return Ok(Some(conditioning));
        }
        let note = "memory as found in all cells: dropping the page cache needs root";
        self.results.machine.notes.push(note.to_owned());
        eprintln!("{note}");
        Ok(None)
    }

    /// All pairs of one cell, and what they say.
    fn cell(&mut self, terms: &Terms<'_>, number: usize, cell: &Cell) -> Result<(), Failure> {
        let free = system::free_bytes(terms.contenders.root());
        let needed = terms.bytes_max + terms.warm_bytes_max + SPARE_BYTES;
        if free < needed {
            return Err(Failure::Local(format!(
                "{} has {} GiB free, {} are needed: give --root DIR",
                terms.contenders.root().display(),
                free / GIB,
                needed / GIB
            )));
        }
        let pairs = self.options.pairs;
        let before = cell.limit.measure(terms.contenders)?;
        let seconds = self.pace.run_seconds();
        let mut runs: Vec<Run> = Vec::new();
        let mut pair = 0;
        while valid_pairs(&runs) < pairs && pair < pairs + RETRIES && !self.pace.is_over() {
            pair += 1;
            let since = Instant::now();
            self.pair(terms, (number, cell), pair, seconds, &mut runs)?;
            if pair <= pairs {
                self.pace.pair_done(since.elapsed(), seconds);
            }
            if pair >= 2 && fails_always(&runs) {
                break;
            }
        }
        self.pace.give_up(pairs.saturating_sub(pair));
        let after = cell.limit.measure(terms.contenders)?;
        let name = format!("{}, around {} {}", cell.limit.name(), cell.id, label(cell));
        let drift = ratio::void_by_drift(cell.limit.name(), before, after);
        self.results.limits.push(Limit { name, unit: cell.limit.unit(), before, after });
        let mut result =
            judge(cell, runs, seconds, drift, terms.conditioning.is_some(), self.options.quick);
        if let Work::Drain { gib } | Work::Crash { gib } = cell.work
            && bytes_of_gib(gib) > terms.bytes_max
        {
            let less = format!("only {:.2} GiB", terms.bytes_max as f64 / GIB as f64);
            result.note = Some(result.note.map_or(less.clone(), |note| format!("{less}; {note}")));
        }
        for row in &result.ratios {
            let times = row.median.map_or("no ratio".to_owned(), |median| format!("{median:.2}x"));
            eprintln!("  {}: {times}", row.metric);
        }
        self.results.cells.push(result);
        Ok(())
    }

    /// Both brokers once, in alternating order.
    fn pair(
        &self,
        terms: &Terms<'_>,
        (number, cell): (usize, &Cell),
        pair: usize,
        seconds: f64,
        runs: &mut Vec<Run>,
    ) -> Result<(), Failure> {
        let order = if pair % 2 == 1 {
            [Side::Ringmain, Side::Kafka]
        } else {
            [Side::Kafka, Side::Ringmain]
        };
        for (side, place) in order.into_iter().zip(["A", "B"]) {
            // The cell's place in the list keeps cells of one name apart.
            let file = format!(
                "{}-{}-{}-{pair}-{place}-{}",
                cell.id,
                number + 1,
                cell.durability.name(),
                side.id()
            );
            let outcome = match run::run(terms, cell, side, seconds, &file) {
                Ok(outcome) => outcome,
                Err(failure) if system::is_interrupted() => return Err(failure),
                Err(failure) => {
                    run::Outcome { void: Some(failure.to_string()), ..run::Outcome::default() }
                }
            };
            let mut line = format!("  pair {pair}/{} {:<8}", self.options.pairs, side.id());
            for metric in cell.metrics {
                if let Some(value) = outcome.measured.value(metric.name) {
                    let _ = write!(line, "  {} {value:.3} {}", metric.name, metric.unit);
                }
            }
            if let Some(void) = &outcome.void {
                let _ = write!(line, "  void: {void}");
            }
            eprintln!("{line}  ({} left)", shown(self.pace.left()));
            let (measured, void) = (outcome.measured, outcome.void);
            runs.push(Run { broker: side.id(), pair, order: place, void, measured });
        }
        Ok(())
    }
}

/// Durability, placement and memory in a few words.
fn label(cell: &Cell) -> String {
    let memory = match cell.memory {
        Memory::Conditioned => "conditioned",
        Memory::AsFound => "as found",
    };
    format!("{}, {}, memory {memory}", cell.durability.name(), cell.placement.name())
}

/// Pairs of which both runs count.
fn valid_pairs(runs: &[Run]) -> usize {
    pairs_of(runs).len()
}

/// Whether one of the brokers has not been measured even once: it will fail again.
fn fails_always(runs: &[Run]) -> bool {
    [Side::Ringmain, Side::Kafka].into_iter().any(|side| {
        let mut own = runs.iter().filter(|run| run.broker == side.id());
        own.all(|run| run.measured.values.is_empty())
    })
}

fn bytes_of_gib(gib: f64) -> u64 {
    (gib.max(0.0) * GIB as f64) as u64
}

/// The two runs of each pair of which both count: ours, theirs.
fn pairs_of(runs: &[Run]) -> Vec<(&Run, &Run)> {
    let counts =
        |side: Side| runs.iter().filter(move |run| run.broker == side.id() && run.void.is_none());
    counts(Side::Ringmain)
        .filter_map(|ours| {
            let theirs = counts(Side::Kafka).find(|theirs| theirs.pair == ours.pair)?;
            Some((ours, theirs))
        })
        .collect()
}

/// What the runs of a cell say.
fn judge(
    cell: &Cell,
    runs: Vec<Run>,
    seconds: f64,
    drift: Option<String>,
    conditioned: bool,
    quick: bool,
) -> results::Cell {
    let pairs = pairs_of(&runs);
    let count = if drift.is_some() { 0 } else { pairs.len() };
    let mut ratios = Vec::new();
    for metric in cell.metrics {
        let of = |run: &Run| run.measured.value(metric.name);
        let found: Vec<f64> = pairs
            .iter()
            .filter_map(|(ours, theirs)| ratio::ratio(metric.better, of(ours)?, of(theirs)?))
            .collect();
        let middle = |runs: Vec<f64>| ratio::median(&runs);
        let ringmain = middle(pairs.iter().filter_map(|(ours, _)| of(ours)).collect());
        let kafka = middle(pairs.iter().filter_map(|(_, theirs)| of(theirs)).collect());
        // Not measured in this kind of duel.
        if ringmain.is_none() && kafka.is_none() && !pairs.is_empty() {
            continue;
        }
        let interval = ratio::interval(&found, SEED);
        ratios.push(Ratio {
            metric: metric.name,
            unit: metric.unit,
            better: metric.better,
            ringmain,
            kafka,
            low: interval.map(|interval| interval.low),
            median: interval.map(|interval| interval.median),
            high: interval.map(|interval| interval.high),
            target: metric.target,
            verdict: ratio::verdict(interval, count.min(found.len()), metric.target),
        });
    }
    let goals = cell.goals.iter().map(|goal| goal_of(goal, &pairs, count)).collect();
    let memory = match cell.memory {
        Memory::Conditioned if conditioned => "conditioned",
        _ => "as found",
    };
    let note = note(pairs.len(), drift, quick, cell, seconds);
    results::Cell {
        id: cell.id,
        title: cell.title,
        workload: cell.workload.to_owned(),
        durability: cell.durability.name(),
        placement: cell.placement.name(),
        memory,
        pairs: pairs.len(),
        seconds_per_run: seconds,
        ratios,
        goals,
        runs,
        note,
    }
}

fn goal_of(goal: &cells::Goal, pairs: &[(&Run, &Run)], count: usize) -> Goal {
    let ours: Vec<f64> =
        pairs.iter().filter_map(|(ours, _)| ours.measured.value(goal.name)).collect();
    let ringmain = ratio::median(&ours);
    let reached = |value: f64| match goal.better {
        Better::Higher => value >= goal.bound,
        Better::Lower => value <= goal.bound,
    };
    let verdict = match ringmain {
        None => Verdict::Void,
        Some(_) if count < PAIRS_MIN => Verdict::Void,
        Some(value) if reached(value) => Verdict::Met,
        Some(_) => Verdict::Missed,
    };
    Goal {
        metric: goal.name,
        unit: goal.unit,
        better: goal.better,
        target: goal.bound,
        ringmain,
        verdict,
    }
}

/// What has to be said about a cell besides its figures.
fn note(
    pairs: usize,
    drift: Option<String>,
    quick: bool,
    cell: &Cell,
    seconds: f64,
) -> Option<String> {
    let mut said = Vec::new();
    if let Some(drift) = drift {
        said.push(format!("void: {drift}"));
    }
    if pairs < PAIRS_MIN {
        said.push(format!(
            "too few pairs that count, {pairs}: a ratio is claimed from {PAIRS_MIN} on"
        ));
    }
    if quick && cell.work != Work::Start {
        said.push(format!("short runs of {seconds:.0} s after a short warm-up"));
    }
    let names_memory = cell.metrics.iter().any(|metric| metric.name == "RSS");
    if names_memory && cell.work != Work::Start {
        said.push(
            "Kafka's RSS includes its heap, which is touched as a whole at its start".to_owned(),
        );
    }
    if cell.work == Work::Start {
        said.push("Kafka with the heap of its own start script, not touched beforehand".to_owned());
    }
    (!said.is_empty()).then(|| said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duel::results::Measured;

    fn run_of(side: Side, pair: usize, throughput: f64, void: Option<&str>) -> Run {
        let mut measured = Measured::default();
        measured.put("throughput", "MB/s", throughput);
        Run { broker: side.id(), pair, order: "A", void: void.map(str::to_owned), measured }
    }

    fn five_pairs() -> Vec<Run> {
        (1..=5)
            .flat_map(|pair| {
                let more = pair as f64;
                [
                    run_of(Side::Ringmain, pair, 900.0 + more, None),
                    run_of(Side::Kafka, pair, 300.0, None),
                ]
            })
            .collect()
    }

    #[test]
    fn five_pairs_give_a_verdict_and_a_void_run_takes_its_pair_along() {
        let cell = cells::CELLS.first().unwrap();
        let judged = judge(cell, five_pairs(), 6.0, None, true, true);
        let row = &judged.ratios[0];
        assert_eq!((row.metric, row.verdict, judged.pairs), ("throughput", Verdict::Met, 5));
        assert!((row.median.unwrap() - 3.01).abs() < 1e-9, "{row:?}");
        assert_eq!(row.kafka, Some(300.0));
        assert_eq!(judged.memory, "conditioned");
        // The metrics that no run has are not shown.
        assert_eq!(judged.ratios.len(), 1);

        let mut runs = five_pairs();
        runs[3].void = Some("late".to_owned());
        let judged = judge(cell, runs, 6.0, None, false, true);
        assert_eq!((judged.pairs, judged.ratios[0].verdict), (4, Verdict::Void));
        assert_eq!(judged.memory, "as found");
        assert!(judged.note.unwrap().contains("that count, 4"));
    }

    #[test]
    fn nothing_is_claimed_when_the_machine_changed() {
        let cell = cells::CELLS.first().unwrap();
        let drift = ratio::void_by_drift("x", 100.0, 50.0);
        let judged = judge(cell, five_pairs(), 6.0, drift, true, false);
        assert_eq!(judged.ratios[0].verdict, Verdict::Void);
        assert!(judged.note.unwrap().starts_with("void: the machine changed"));
    }

    #[test]
    fn a_cell_without_any_run_says_so_for_each_metric() {
        let cell = cells::CELLS.first().unwrap();
        let judged = judge(cell, Vec::new(), 6.0, None, true, false);
        assert_eq!(judged.ratios.len(), cell.metrics.len());
        assert!(judged.ratios.iter().all(|row| row.verdict == Verdict::Void));
    }
}
