//! Pairs of bars: one value of each broker for every cell, with the range of the runs.

use super::curves::{class_of, median};
use super::drawing::{Drawing, WIDTH};
use super::results::{Broker, Cell};
use super::scale::Scale;
use super::text::{dotted, number, shortened, tick};

/// Where the longest bar ends; right of it there is room for its number and name.
const BARS_RIGHT: f64 = WIDTH - 176.0;
const BAR_HEIGHT: f64 = 16.0;
/// Characters of a line above the bars that fit the drawing on a phone.
const LABEL_MAX: usize = 46;
/// Height of a cell: its name and conditions, two bars, and the space to the next.
const GROUP_HEIGHT: f64 = 96.0;

/// The same measure of several cells, in one unit.
#[derive(Debug)]
pub(super) struct Chart<'a> {
    pub(super) unit: String,
    groups: Vec<Group<'a>>,
}

#[derive(Debug)]
struct Group<'a> {
    name: String,
    conditions: String,
    /// For each broker: its name, and lowest, median and highest of its runs.
    bars: Vec<(&'a Broker, Option<[f64; 3]>)>,
}

/// The charts of what the server cost, one for each unit in which cells have it.
pub(super) fn server_cpu<'a>(cells: &[Cell], brokers: &'a [Broker]) -> Vec<Chart<'a>> {
    let mut charts: Vec<Chart<'_>> = Vec::new();
    for cell in cells {
        for (metric, unit) in cpu_measures(cell) {
            let bars: Vec<_> =
                brokers.iter().map(|broker| (broker, range(cell, &broker.id, &metric))).collect();
            if bars.iter().all(|(_, range)| range.is_none()) {
                continue;
            }
            let name = format!("{} {}", cell.id, cell.title);
            let conditions = dotted(&[&cell.durability, &cell.placement, &cell.memory]);
            let group = Group { name, conditions, bars };
            match charts.iter_mut().find(|chart| chart.unit == unit) {
                Some(chart) => chart.groups.push(group),
                None => charts.push(Chart { unit, groups: vec![group] }),
            }
        }
    }
    charts
}

/// The measures of a cell that say what the server cost, with their units.
fn cpu_measures(cell: &Cell) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let of_runs = cell.runs.iter().flat_map(|run| &run.units);
    let of_ratios = cell.ratios.iter().map(|ratio| (&ratio.metric, &ratio.unit));
    for (metric, unit) in of_runs.chain(of_ratios) {
        // A share of a core over time is no cost of work done.
        let is_cost = metric.starts_with("server CPU") && unit.contains('/');
        if is_cost && !found.iter().any(|(known, _)| known == metric) {
            found.push((metric.clone(), unit.clone()));
        }
    }
    found
}

/// Lowest, median and highest of a broker's runs; without them, what the ratio names.
fn range(cell: &Cell, broker: &str, metric: &str) -> Option<[f64; 3]> {
    let runs = cell.runs.iter().filter(|run| run.counts() && run.broker == broker);
    let values: Vec<f64> = runs.filter_map(|run| run.value(metric)).collect();
    let Some(middle) = median(&values) else {
        let ratio = cell.ratios.iter().find(|ratio| ratio.metric == metric)?;
        let value = if broker == "ringmain" { ratio.ringmain } else { ratio.kafka }?;
        return Some([value; 3]);
    };
    let lowest = values.iter().copied().fold(middle, f64::min);
    let highest = values.iter().copied().fold(middle, f64::max);
    Some([lowest, middle, highest])
}

impl Chart<'_> {
    /// The drawing.
    pub(super) fn draw(&self, title: &str) -> String {
        let area = self.groups.len() as f64 * GROUP_HEIGHT;
        let bars = || self.groups.iter().flat_map(|group| &group.bars);
        let highest =
            bars().filter_map(|(_, range)| range.map(|range| range[2])).fold(0.0, f64::max);
        let across = Scale::from_zero(highest, 0.0, BARS_RIGHT);
        let mut drawing = Drawing::new("plot bars", WIDTH, area + 48.0, title, &self.said());
        for value in across.ticks() {
            let x = across.at(value).max(0.5);
            drawing.line(if value == 0.0 { "axis" } else { "grid" }, (x, 0.0), (x, area));
            let class = if value == 0.0 { "tick start" } else { "tick middle" };
            drawing.letters(class, (x, area + 17.0), &tick(value));
        }
        drawing.letters("name start", (0.0, area + 42.0), &self.unit);
        for (index, group) in self.groups.iter().enumerate() {
            let top = index as f64 * GROUP_HEIGHT;
            drawing.letters("label start", (4.0, top + 20.0), &shortened(&group.name, LABEL_MAX));
            let conditions = shortened(&group.conditions, LABEL_MAX);
            drawing.letters("faint start", (4.0, top + 39.0), &conditions);
            for (index, (broker, range)) in group.bars.iter().enumerate() {
                let y = top + 46.0 + index as f64 * (BAR_HEIGHT + 3.0);
                self.draw_bar(&mut drawing, across, y, broker, *range);
            }
        }
        drawing.finish()
    }

    fn draw_bar(
        &self,
        drawing: &mut Drawing,
        across: Scale,
        y: f64,
        broker: &Broker,
        range: Option<[f64; 3]>,
    ) {
        let base = y + BAR_HEIGHT - 3.5;
        let Some([lowest, middle, highest]) = range else {
            drawing.letters(
                "value faint start",
                (6.0, base),
                &format!("not measured: {}", broker.name),
            );
            return;
        };
        let title = format!(
            "{}: {} {}, runs from {} to {}",
            broker.name,
            number(middle),
            self.unit,
            number(lowest),
            number(highest)
        );
        let width = across.at(middle).max(1.0);
        drawing.bar(
            &format!("bar {}", class_of(&broker.id)),
            (0.0, y),
            (width, BAR_HEIGHT),
            &title,
        );
        let centre = y + BAR_HEIGHT / 2.0;
        if highest > lowest {
            drawing.line("range", (across.at(lowest), centre), (across.at(highest), centre));
        }
        let right = across.at(highest).max(width) + 7.0;
        drawing.letters(
            "value start",
            (right, base),
            &format!("{} {}", number(middle), broker.name),
        );
    }

    fn said(&self) -> String {
        let mut said = Vec::new();
        for group in &self.groups {
            let bar = |(broker, range): &(&Broker, Option<[f64; 3]>)| {
                let middle =
                    range.map_or_else(|| "not measured".to_owned(), |range| number(range[1]));
                format!("{} {middle}", broker.name)
            };
            let bars: Vec<String> = group.bars.iter().map(bar).collect();
            said.push(format!("{} ({}): {}", group.name, group.conditions, bars.join(", ")));
        }
        format!("In {}. {}", self.unit, said.join("; "))
    }
}
