//! The table of results: for every cell its conditions, then a row for each measure.

use super::head::{effort, name_of};
use super::interval::{self, Ahead, ahead};
use super::results::{Cell, Ratio, Results};
use super::scale::Scale;
use super::text::{NOTHING, dotted, escaped, number_or_nothing, tick, times};

/// What the page calls the conditions of a cell.
pub(super) fn conditions(cell: &Cell) -> Vec<String> {
    let durability = match cell.durability.as_str() {
        "D0" => "D0, acknowledged from memory",
        "D1" => "D1, acknowledged from stable storage",
        other => other,
    };
    let named = |name: &str, condition: &str| {
        if condition.is_empty() { String::new() } else { format!("{name}: {condition}") }
    };
    let all = [
        durability.to_owned(),
        named("placement", &cell.placement),
        named("memory", &cell.memory),
        effort(cell.pairs, cell.seconds_per_run),
    ];
    all.into_iter().filter(|condition| !condition.is_empty()).collect()
}

/// The section with the table.
pub(super) fn render(results: &Results) -> String {
    let with_ratios = results.cells.iter().enumerate().filter(|(_, cell)| !cell.ratios.is_empty());
    let rows: Vec<(usize, &Cell)> = with_ratios.collect();
    if rows.is_empty() {
        return String::new();
    }
    let scale = interval::scale(&results.cells);
    let ours = escaped(name_of(&results.brokers, "ringmain"));
    let theirs = escaped(name_of(&results.brokers, "kafka"));
    let mut html = String::from("<section id=\"results\">\n<h2>Results</h2>\n");
    html += &format!(
        "<p>How many times better {ours} is than {theirs}: the median of the pairs of runs, with its 95&nbsp;% interval. \
         <b>Above 1× {ours} is better, below 1× {theirs}.</b> In the strips the dot is the median, \
         the bar the interval, the upright mark the target.</p>\n"
    );
    html += "<table class=\"ratios\">\n<thead><tr><th scope=\"col\">Measure</th>";
    html += &format!(
        "<th scope=\"col\" class=\"n\">{ours}</th><th scope=\"col\" class=\"n\">{theirs}</th>"
    );
    html += "<th scope=\"col\" class=\"n\">Ratio (95&nbsp;%)</th>";
    html += "<th scope=\"col\" class=\"sides\"><span>◂ Kafka better</span><span>Ringmain better ▸</span></th>";
    html +=
        "<th scope=\"col\" class=\"n\">Target</th><th scope=\"col\">Verdict</th></tr></thead>\n";
    for (index, cell) in rows {
        html += &group(&scale, index, cell, &ours, &theirs);
    }
    html += "</table>\n</section>\n";
    html
}

fn group(scale: &Scale, index: usize, cell: &Cell, ours: &str, theirs: &str) -> String {
    let mut html =
        String::from("<tbody>\n<tr class=\"cell\"><th scope=\"rowgroup\" colspan=\"4\">");
    html += &format!(
        "<a href=\"#cell-{index}\"><b>{}</b> {}</a>",
        escaped(&cell.id),
        escaped(&cell.title)
    );
    let conditions = conditions(cell);
    let conditions: Vec<&str> = conditions.iter().map(String::as_str).collect();
    html += &format!(
        "<small>{}</small><small>{}</small></th>",
        escaped(&cell.workload),
        escaped(&dotted(&conditions))
    );
    html += &format!(
        "<td class=\"strip\">{}</td><td colspan=\"2\"></td></tr>\n",
        interval::draw_axis(scale)
    );
    for ratio in &cell.ratios {
        html += &row(scale, ratio, ours, theirs);
    }
    html += "</tbody>\n";
    html
}

fn row(scale: &Scale, ratio: &Ratio, ours: &str, theirs: &str) -> String {
    let unit = if ratio.unit.is_empty() {
        String::new()
    } else {
        format!(" <small>{}</small>", escaped(&ratio.unit))
    };
    let value = |name: &str, value: Option<f64>| {
        let unit = if value.is_some() { unit.as_str() } else { "" };
        format!(
            "<td class=\"n value\" data-name=\"{name}\">{}{unit}</td>",
            number_or_nothing(value)
        )
    };
    let better = match ratio.better.as_str() {
        "higher" => "<small>more is better</small>",
        "lower" => "<small>less is better</small>",
        _ => "",
    };
    let mut html = format!("<tr><th scope=\"row\">{}{better}</th>", escaped(&ratio.metric));
    html += &value(ours, ratio.ringmain);
    html += &value(theirs, ratio.kafka);
    let interval = match (ratio.low, ratio.high) {
        // A single pair has no spread.
        (Some(low), Some(high)) if low == high => "<small>no interval</small>".to_owned(),
        (Some(low), Some(high)) => format!("<small>{} to {}</small>", times(low), times(high)),
        _ => "<small>no interval</small>".to_owned(),
    };
    let median = ratio.median.map_or_else(|| NOTHING.to_owned(), times);
    html +=
        &format!("<td class=\"n ratio {}\"><b>{median}</b>{interval}</td>", ahead(ratio).class());
    html += &format!("<td class=\"strip\">{}</td>", interval::draw(scale, ratio));
    let target =
        ratio.target.map_or_else(|| NOTHING.to_owned(), |target| format!("≥ {}×", tick(target)));
    html += &format!("<td class=\"n target\" data-name=\"Target\">{target}</td>");
    html += &format!("<td class=\"verdict\">{}</td></tr>\n", verdict(ratio));
    html
}

/// The verdict as a word with a sign, and who is ahead if that is not Ringmain.
fn verdict(ratio: &Ratio) -> String {
    let (class, sign) = match ratio.verdict.as_str() {
        "met" => ("met", "✓ "),
        "missed" => ("missed", "✕ "),
        "void" => ("void", "⊘ "),
        _ => ("open", ""),
    };
    let word = if ratio.verdict.is_empty() { "open" } else { &ratio.verdict };
    let behind = match ahead(ratio) {
        Ahead::Kafka => "<small>Kafka is ahead</small>",
        Ahead::Neither => "<small>no clear difference</small>",
        Ahead::Ringmain | Ahead::Unknown => "",
    };
    format!("<span class=\"{class}\">{sign}{}</span>{behind}", escaped(word))
}
