//! Pairs of bars: what the server cost in each cell, with the range of the runs.
//!
//! A request at a low rate costs a hundred times what a full batch does, byte for byte. So each pair
//! has a scale of its own: bars are compared within a cell, and carry their numbers.

use super::curves::{class_of, median};
use super::drawing::{Drawing, WIDTH};
use super::results::{Broker, Cell};
use super::scale::Scale;
use super::text::{dotted, number, shortened};

/// Where the longest bar ends; right of it there is room for its number and name.
const BARS_RIGHT: f64 = WIDTH - 186.0;
const BAR_HEIGHT: f64 = 16.0;
/// Characters of a line above the bars that fit the drawing on a phone.
const LABEL_MAX: usize = 46;
/// Height of a cell: its name and conditions, two bars, and the space to the next.
const GROUP_HEIGHT: f64 = 98.0;
/// Cells in one drawing.
const GROUPS_MAX: usize = 4;

/// What a broker's runs cost: lowest, median and highest.
type Range = [f64; 3];

/// Some cells, one above the other.
#[derive(Debug, Default)]
pub(super) struct Chart<'a> {
    groups: Vec<Group<'a>>,
}

#[derive(Debug)]
struct Group<'a> {
    name: String,
    conditions: String,
    unit: String,
    bars: Vec<(&'a Broker, Option<Range>)>,
}

/// The charts of what the server cost, of all cells that know it.
pub(super) fn server_cpu<'a>(cells: &[Cell], brokers: &'a [Broker]) -> Vec<Chart<'a>> {
    let mut charts: Vec<Chart<'_>> = Vec::new();
    for cell in cells {
        let Some((metric, unit)) = cpu_measure(cell) else { continue };
        let bars: Vec<_> =
            brokers.iter().map(|broker| (broker, range(cell, &broker.id, metric))).collect();
        if bars.iter().all(|(_, range)| range.is_none()) {
            continue;
        }
        let name = format!("{} {}", cell.id, cell.title);
        let conditions = dotted(&[unit, &cell.durability, &cell.placement, &cell.memory]);
        if charts.last().is_none_or(|chart| chart.groups.len() == GROUPS_MAX) {
            charts.push(Chart::default());
        }
        if let Some(chart) = charts.last_mut() {
            chart.groups.push(Group { name, conditions, unit: unit.to_owned(), bars });
        }
    }
    charts
}

/// The measure of a cell that says what the server cost, with its unit: for each GB if there is one.
fn cpu_measure(cell: &Cell) -> Option<(&str, &str)> {
    let of_runs = cell.runs.iter().flat_map(|run| &run.units);
    let of_ratios = cell.ratios.iter().map(|ratio| (&ratio.metric, &ratio.unit));
    let all = of_runs.chain(of_ratios).map(|(metric, unit)| (metric.as_str(), unit.as_str()));
    // A share of a core over time is no cost of work done.
    let costs =
        all.filter(|(metric, unit)| metric.starts_with("server CPU") && unit.starts_with("CPU-"));
    costs.min_by_key(|(metric, unit)| (!unit.ends_with("/GB"), metric.len()))
}

/// Lowest, median and highest of a broker's runs; without them, what the ratio names.
fn range(cell: &Cell, broker: &str, metric: &str) -> Option<Range> {
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
        let height = self.groups.len() as f64 * GROUP_HEIGHT;
        let mut drawing = Drawing::new("plot bars", WIDTH, height, title, &self.said());
        for (index, group) in self.groups.iter().enumerate() {
            group.draw(&mut drawing, index as f64 * GROUP_HEIGHT);
        }
        drawing.finish()
    }

    fn said(&self) -> String {
        let mut said = Vec::new();
        for group in &self.groups {
            let bar = |(broker, range): &(&Broker, Option<Range>)| {
                let middle =
                    range.map_or_else(|| "not measured".to_owned(), |range| number(range[1]));
                format!("{} {middle}", broker.name)
            };
            let bars: Vec<String> = group.bars.iter().map(bar).collect();
            said.push(format!("{} ({}): {}", group.name, group.conditions, bars.join(", ")));
        }
        said.join("; ")
    }
}

impl Group<'_> {
    fn draw(&self, drawing: &mut Drawing, top: f64) {
        let ranges = self.bars.iter().filter_map(|(_, range)| *range);
        let highest = ranges.map(|range| range[2]).fold(1e-9, f64::max);
        let across = Scale::between(0.0, highest, 0.0, BARS_RIGHT);
        drawing.letters("label start", (0.0, top + 20.0), &shortened(&self.name, LABEL_MAX));
        let conditions = shortened(&self.conditions, LABEL_MAX);
        drawing.letters("faint start", (0.0, top + 39.0), &conditions);
        for (index, (broker, range)) in self.bars.iter().enumerate() {
            let y = top + 47.0 + index as f64 * (BAR_HEIGHT + 4.0);
            let base = y + BAR_HEIGHT - 3.0;
            let Some(range) = range else {
                let text = format!("not measured: {}", broker.name);
                drawing.letters("faint start", (6.0, base), &text);
                continue;
            };
            self.draw_bar(drawing, across, y, broker, *range);
            let right = across.at(range[2]) + 8.0;
            let text = format!("{} {}", number(range[1]), broker.name);
            drawing.letters("value start", (right, base), &text);
        }
    }

    fn draw_bar(
        &self,
        drawing: &mut Drawing,
        across: Scale,
        y: f64,
        broker: &Broker,
        [lowest, middle, highest]: Range,
    ) {
        let title = format!(
            "{}: {} {}, runs from {} to {}",
            broker.name,
            number(middle),
            self.unit,
            number(lowest),
            number(highest)
        );
        let class = format!("bar {}", class_of(&broker.id));
        let width = across.at(middle).max(1.5);
        drawing.bar(&class, (0.0, y), (width, BAR_HEIGHT), &title);
        if highest > lowest {
            let centre = y + BAR_HEIGHT / 2.0;
            drawing.line("range", (across.at(lowest), centre), (across.at(highest), centre));
        }
    }
}
