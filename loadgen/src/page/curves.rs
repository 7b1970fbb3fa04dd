//! Plots with two axes: latency over percentiles, throughput over time. Each run is a faint line,
//! the median of the runs a strong one.

use super::drawing::{BOTTOM, Drawing, HEIGHT, LEFT, RIGHT, TOP, WIDTH};
use super::results::{Broker, Cell};
use super::scale::Scale;
use super::text::{duration, number, tick};

/// A line of a plot: its points, in order.
type Curve = Vec<(f64, f64)>;

/// The percentiles that get a tick, a dot, and a number under the plot.
pub(super) const PERCENTILES: [(f64, &str); 6] = [
    (0.5, "p50"),
    (0.9, "p90"),
    (0.99, "p99"),
    (0.999, "p99.9"),
    (0.9999, "p99.99"),
    (0.99999, "p99.999"),
];

/// What one broker's runs of a cell say about one thing.
#[derive(Debug)]
pub(super) struct Series<'a> {
    /// The class that draws it: `ringmain` or `kafka`.
    pub(super) class: &'a str,
    pub(super) name: &'a str,
    runs: Vec<Curve>,
    median: Curve,
    /// The worst of each run.
    worst: Vec<f64>,
}

impl Series<'_> {
    /// The median of the runs at the share `percentile`, in ms.
    pub(super) fn percentile(&self, percentile: f64) -> Option<f64> {
        value_at(&self.median, nines(percentile))
    }

    /// The median of the runs' worst.
    pub(super) fn worst(&self) -> Option<f64> {
        median(&self.worst)
    }

    /// The median over time, averaged.
    pub(super) fn mean(&self) -> Option<f64> {
        let sum: f64 = self.median.iter().map(|(_, y)| y).sum();
        (!self.median.is_empty()).then(|| sum / self.median.len() as f64)
    }
}

/// The class of a broker in drawings.
pub(super) fn class_of(broker: &str) -> &'static str {
    if broker == "ringmain" { "ringmain" } else { "kafka" }
}

/// How rare what lies above a share of all is: 0.9 is 1, 0.99 is 2, and so on.
fn nines(share: f64) -> f64 {
    -(1.0 - share).log10()
}

/// The middle of the values, or the mean of the two in the middle.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get((sorted.len() - 1) / 2)?;
    Some((lower + upper) / 2.0)
}

/// The height of a curve above `x`, between its points; `None` beyond its ends.
fn value_at(curve: &[(f64, f64)], x: f64) -> Option<f64> {
    let close = |point: &&(f64, f64)| (point.0 - x).abs() < 1e-9;
    if let Some(point) = curve.iter().find(close) {
        return Some(point.1);
    }
    let after = curve.iter().position(|point| point.0 > x)?;
    let (x1, y1) = *curve.get(after.checked_sub(1)?)?;
    let (x2, y2) = *curve.get(after)?;
    Some(y1 + (y2 - y1) * (x - x1) / (x2 - x1))
}

/// The median of the curves wherever at least half of them are.
fn median_curve(curves: &[Curve]) -> Curve {
    let mut places: Vec<f64> = curves.iter().flatten().map(|(x, _)| *x).collect();
    places.sort_by(f64::total_cmp);
    places.dedup_by(|a, b| (*a - *b).abs() < 1e-9);
    let at = |x: f64| {
        let values: Vec<f64> = curves.iter().filter_map(|curve| value_at(curve, x)).collect();
        let enough = values.len() * 2 >= curves.len();
        enough.then(|| median(&values)).flatten().map(|y| (x, y))
    };
    places.into_iter().filter_map(at).collect()
}

/// The kinds of latency that runs of the cell have, in order of appearance.
pub(super) fn latency_kinds(cell: &Cell) -> Vec<&str> {
    let mut kinds = Vec::new();
    for percentiles in cell.runs.iter().filter(|run| run.counts()).flat_map(|run| &run.percentiles)
    {
        if !kinds.contains(&percentiles.kind.as_str()) {
            kinds.push(&percentiles.kind);
        }
    }
    kinds
}

/// Both brokers' latencies of one kind; brokers without any are left out.
pub(super) fn latencies<'a>(cell: &Cell, brokers: &'a [Broker], kind: &str) -> Vec<Series<'a>> {
    series(cell, brokers, |run| {
        let all = run.percentiles.iter().filter(|percentiles| percentiles.kind == kind);
        let points: Curve = all.flat_map(|percentiles| percentiles.points()).collect();
        let worst = points.iter().filter(|(share, _)| *share >= 1.0).map(|(_, ms)| *ms);
        let worst = worst.reduce(f64::max);
        let finite = points.iter().filter(|(share, ms)| (0.0..1.0).contains(share) && *ms > 0.0);
        (finite.map(|(share, ms)| (nines(*share), *ms)).collect(), worst)
    })
}

/// Both brokers' throughput over time; brokers without any are left out.
pub(super) fn timelines<'a>(cell: &Cell, brokers: &'a [Broker]) -> Vec<Series<'a>> {
    let mut all = series(cell, brokers, |run| (run.timeline(), None));
    // A run of a second or two has nothing that could be called a course.
    all.retain(|series| series.median.len() > 1);
    all
}

fn series<'a>(
    cell: &Cell,
    brokers: &'a [Broker],
    curve: impl Fn(&super::results::Run) -> (Curve, Option<f64>),
) -> Vec<Series<'a>> {
    let mut found = Vec::new();
    for broker in brokers {
        let (mut runs, mut worst) = (Vec::new(), Vec::new());
        for run in cell.runs.iter().filter(|run| run.counts() && run.broker == broker.id) {
            let (mut points, run_worst) = curve(run);
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            worst.extend(run_worst);
            if !points.is_empty() {
                runs.push(points);
            }
        }
        if !runs.is_empty() {
            let median = median_curve(&runs);
            let class = class_of(&broker.id);
            found.push(Series { class, name: &broker.name, runs, median, worst });
        }
    }
    found
}

/// Latency over percentiles: the rarer the further right, each step ten times.
pub(super) fn percentile_plot(title: &str, kind: &str, series: &[Series<'_>]) -> String {
    let points = || series.iter().flat_map(|series| series.runs.iter().flatten());
    let worst = || series.iter().flat_map(|series| series.worst.iter().copied());
    let rarest = points().map(|(x, _)| *x).fold(1.0, f64::max);
    let commonest = points().map(|(x, _)| *x).fold(rarest, f64::min);
    let first = if commonest < nines(0.5) - 1e-9 { 0.0 } else { nines(0.5) };
    let lowest = points().map(|(_, y)| *y).fold(f64::INFINITY, f64::min);
    let highest = points().map(|(_, y)| *y).chain(worst()).fold(lowest, f64::max);

    // The worst of a run has no rarity of its own: it stands in a column at the right end.
    let has_worst = worst().next().is_some();
    let end = if has_worst { RIGHT - 64.0 } else { RIGHT };
    let across = Scale::between(first, rarest, LEFT, end);
    let up = Scale::logarithmic(lowest, highest, BOTTOM, TOP);

    let said: Vec<String> = series.iter().map(said_of).collect();
    let mut drawing = Drawing::new("plot latency", WIDTH, HEIGHT, title, &said.join("; "));
    drawing.upright_axis(&up, &format!("{kind} time, ms (log scale)"));
    let mut ticks = Vec::new();
    for (share, label) in
        PERCENTILES.into_iter().filter(|(share, _)| nines(*share) <= rarest + 1e-9)
    {
        ticks.push((across.at(nines(share)), label.to_owned()));
    }
    if has_worst {
        ticks.push((RIGHT, "max".to_owned()));
    }
    drawing.level_axis(&ticks, "share of requests at or below, each step ten times rarer");

    for series in series {
        for run in &series.runs {
            let places: Curve = run.iter().map(|(x, y)| (across.at(*x), up.at(*y))).collect();
            drawing.curve(&format!("run {}", series.class), &places);
        }
    }
    for series in series {
        let class = series.class;
        let places: Curve = series.median.iter().map(|(x, y)| (across.at(*x), up.at(*y))).collect();
        if let (Some(ms), Some(last)) = (series.worst(), places.last()) {
            let worst = (RIGHT - 6.0, up.at(ms));
            drawing.curve(&format!("to-worst {class}"), &[*last, worst]);
            drawing.dot(
                &format!("dot {class}"),
                worst,
                &format!("{} max: {} ms", series.name, number(ms)),
            );
        }
        drawing.curve(&format!("median {class}"), &places);
        for (share, label) in PERCENTILES {
            if let Some(ms) = series.percentile(share) {
                let place = (across.at(nines(share)), up.at(ms));
                let title = format!("{} {label}: {} ms", series.name, number(ms));
                drawing.dot(&format!("dot {class}"), place, &title);
            }
        }
    }
    drawing.finish()
}

fn said_of(series: &Series<'_>) -> String {
    let mut said = Vec::new();
    for (share, label) in PERCENTILES {
        if let Some(ms) = series.percentile(share) {
            said.push(format!("{label} {} ms", number(ms)));
        }
    }
    format!("{}: {}", series.name, said.join(", "))
}

/// Throughput over time, from 0 upwards.
pub(super) fn timeline_plot(title: &str, unit: &str, series: &[Series<'_>]) -> String {
    let points = || series.iter().flat_map(|series| series.runs.iter().flatten());
    let highest = points().map(|(_, y)| *y).fold(0.0, f64::max);
    let longest = points().map(|(x, _)| *x).fold(0.0, f64::max);
    let across = Scale::between(0.0, longest, LEFT, RIGHT);
    let up = Scale::from_zero(highest, BOTTOM, TOP);

    let mean = |series: &Series<'_>| {
        let mean = series.mean().map(|mean| format!("{} {unit}", number(mean)));
        format!("{}: {} on average", series.name, mean.unwrap_or_default())
    };
    let said: Vec<String> = series.iter().map(mean).collect();
    let said = format!("Over {}. {}", duration(longest), said.join("; "));
    let mut drawing = Drawing::new("plot timeline", WIDTH, HEIGHT, title, &said);
    drawing.upright_axis(&up, unit);
    let ticks: Vec<(f64, String)> =
        across.ticks().into_iter().map(|seconds| (across.at(seconds), tick(seconds))).collect();
    drawing.level_axis(&ticks, "seconds since the measured part began");
    for strong in [false, true] {
        for series in series {
            let curves = if strong { std::slice::from_ref(&series.median) } else { &series.runs };
            let class = if strong { "median" } else { "run" };
            for curve in curves {
                let places: Curve = curve.iter().map(|(x, y)| (across.at(*x), up.at(*y))).collect();
                drawing.curve(&format!("{class} {}", series.class), &places);
            }
        }
    }
    drawing.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_numbers_and_curves() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, f64::NAN]), Some(2.5));
        let curves = [
            vec![(0.0, 0.0), (2.0, 2.0)],
            vec![(0.0, 4.0), (1.0, 5.0), (2.0, 6.0)],
            vec![(1.0, 3.0), (9.0, 3.0)],
        ];
        // Beyond 2 only one of three is left.
        assert_eq!(median_curve(&curves), [(0.0, 2.0), (1.0, 3.0), (2.0, 3.0)]);
    }

    #[test]
    fn curves_have_values_between_their_points_only() {
        let curve = [(1.0, 10.0), (3.0, 20.0)];
        assert_eq!(value_at(&curve, 2.0), Some(15.0));
        assert_eq!(value_at(&curve, 3.0), Some(20.0));
        assert_eq!(value_at(&curve, 3.1), None);
        assert_eq!(value_at(&curve, 0.9), None);
        assert_eq!(value_at(&[], 1.0), None);
        assert!((nines(0.999) - 3.0).abs() < 1e-9);
    }
}
