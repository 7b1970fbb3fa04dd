//! Each cell: its curves, its note, and all of its runs, those that do not count included.

use std::collections::BTreeMap;

use super::bars;
use super::curves::{self, PERCENTILES, Series};
use super::head::name_of;
use super::results::{Cell, Results, Run};
use super::table::conditions;
use super::text::{NOTHING, count, dotted, escaped, number_or_nothing};

/// Legend, drawing, and what stands below it.
fn figure(caption: &str, legend: &str, drawing: &str, below: &str) -> String {
    format!(
        "<figure>\n<figcaption><b>{}</b>{legend}</figcaption>\n<div class=\"drawing\">{drawing}</div>\n{below}</figure>\n",
        escaped(caption)
    )
}

fn legend(series: &[Series<'_>]) -> String {
    let keys = series.iter().map(|series| {
        format!("<span><i class=\"key {}\"></i>{}</span>", series.class, escaped(series.name))
    });
    format!("<span class=\"legend\">{}</span>", keys.collect::<String>())
}

/// What the servers cost, all cells in one drawing for each unit.
pub(super) fn render_costs(results: &Results) -> String {
    let charts = bars::server_cpu(&results.cells, &results.brokers);
    if charts.is_empty() {
        return String::new();
    }
    let mut html = String::from("<section id=\"cpu\">\n<h2>What the broker costs</h2>\n");
    html += "<p>CPU time of the whole machine minus the client's, so that the kernel's work for a broker counts as the \
             broker's. Each pair of bars has a scale of its own. Shorter is better; the thin line spans the runs.</p>\n<div class=\"figures\">\n";
    for (index, chart) in charts.iter().enumerate() {
        let part = if charts.len() == 1 {
            String::new()
        } else {
            format!(" ({} of {})", index + 1, charts.len())
        };
        let title = format!("Server CPU{part}");
        html += &figure(&title, "", &chart.draw(&title), "");
    }
    html += "</div>\n</section>\n";
    html
}

/// A section for each cell.
pub(super) fn render(results: &Results) -> String {
    if results.cells.is_empty() {
        return String::new();
    }
    let mut html = String::from("<section id=\"cells\">\n<h2>Cell by cell</h2>\n");
    html += "<p>In the plots every run is a faint line, the median of the runs a strong one. \
             Latency counts from the moment a request was <em>meant</em> to be sent, unless it says otherwise.</p>\n";
    for (index, cell) in results.cells.iter().enumerate() {
        html += &section(results, index, cell);
    }
    html += "</section>\n";
    html
}

fn section(results: &Results, index: usize, cell: &Cell) -> String {
    let mut html = format!(
        "<article id=\"cell-{index}\">\n<h3>{} {}</h3>\n<p class=\"workload\">{}</p>\n<ul class=\"tags\">",
        escaped(&cell.id),
        escaped(&cell.title),
        escaped(&cell.workload)
    );
    for condition in conditions(cell) {
        html += &format!("<li>{}</li>", escaped(&condition));
    }
    html += "</ul>\n";
    if !cell.note.is_empty() {
        html += &format!("<p class=\"note\">{}</p>\n", escaped(&cell.note));
    }
    let name = format!("{} {}", cell.id, cell.title);
    let figures = latency_figures(results, cell, &name) + &timeline_figure(results, cell, &name);
    if !figures.is_empty() {
        html += &format!("<div class=\"figures\">\n{figures}</div>\n");
    }
    html += &voided(results, cell);
    html += &every_run(results, cell);
    html += "</article>\n";
    html
}

fn latency_figures(results: &Results, cell: &Cell, name: &str) -> String {
    let mut html = String::new();
    for kind in curves::latency_kinds(cell) {
        let series = curves::latencies(cell, &results.brokers, kind);
        if series.is_empty() {
            continue;
        }
        let caption = format!("Latency: {kind} time");
        let drawing = curves::percentile_plot(&format!("{name}, {kind} time"), kind, &series);
        html += &figure(&caption, &legend(&series), &drawing, &percentile_table(&series));
    }
    html
}

/// The numbers of a latency plot.
fn percentile_table(series: &[Series<'_>]) -> String {
    let there = |share: f64| series.iter().any(|series| series.percentile(share).is_some());
    let columns: Vec<(f64, &str)> =
        PERCENTILES.into_iter().filter(|(share, _)| there(*share)).collect();
    let worst = series.iter().any(|series| series.worst().is_some());
    let mut html = String::from(
        "<div class=\"wide\"><table class=\"small\"><thead><tr><th scope=\"col\">ms</th>",
    );
    for (_, label) in &columns {
        html += &format!("<th scope=\"col\" class=\"n\">{label}</th>");
    }
    html += if worst {
        "<th scope=\"col\" class=\"n\">max</th></tr></thead><tbody>"
    } else {
        "</tr></thead><tbody>"
    };
    for series in series {
        html += &format!("<tr><th scope=\"row\">{}</th>", escaped(series.name));
        for (share, _) in &columns {
            html +=
                &format!("<td class=\"n\">{}</td>", number_or_nothing(series.percentile(*share)));
        }
        if worst {
            html += &format!("<td class=\"n\">{}</td>", number_or_nothing(series.worst()));
        }
        html += "</tr>";
    }
    html + "</tbody></table></div>\n"
}

fn timeline_figure(results: &Results, cell: &Cell, name: &str) -> String {
    let series = curves::timelines(cell, &results.brokers);
    if series.is_empty() {
        return String::new();
    }
    let of_runs = cell.runs.iter().find_map(|run| run.units.get("throughput"));
    let of_ratios =
        cell.ratios.iter().find(|ratio| ratio.metric == "throughput").map(|ratio| &ratio.unit);
    let unit = of_runs.or(of_ratios).map_or("unit not named", String::as_str);
    let drawing = curves::timeline_plot(&format!("{name}, throughput over time"), unit, &series);
    figure("Throughput over time", &legend(&series), &drawing, "")
}

fn run_name(results: &Results, run: &Run) -> String {
    let pair = run.pair.map(|pair| format!("pair {pair}"));
    let order = if run.order.is_empty() { String::new() } else { format!("order {}", run.order) };
    dotted(&[name_of(&results.brokers, &run.broker), &pair.unwrap_or_default(), &order])
}

fn voided(results: &Results, cell: &Cell) -> String {
    let voided: Vec<&Run> = cell.runs.iter().filter(|run| !run.counts()).collect();
    if voided.is_empty() {
        return String::new();
    }
    let mut html = format!(
        "<p class=\"voided-title\"><b>Voided runs: {} of {}.</b> They count for nothing above.</p>\n<ul class=\"voided\">\n",
        voided.len(),
        cell.runs.len()
    );
    for run in voided {
        let why =
            run.void.as_deref().filter(|why| !why.is_empty()).unwrap_or("no reason was given");
        html += &format!("<li>{}: {}</li>\n", escaped(&run_name(results, run)), escaped(why));
    }
    html + "</ul>\n"
}

/// All runs with all their values, folded.
fn every_run(results: &Results, cell: &Cell) -> String {
    if cell.runs.is_empty() {
        return String::new();
    }
    let mut measures: BTreeMap<&str, &str> = BTreeMap::new();
    for run in &cell.runs {
        for metric in run.values.keys() {
            let unit = run.units.get(metric).map_or("", String::as_str);
            let known = measures.entry(metric).or_insert(unit);
            if known.is_empty() {
                *known = unit;
            }
        }
    }
    let mut html = format!(
        "<details><summary>Every run ({})</summary>\n<div class=\"wide\"><table class=\"small\">\n<thead><tr><th scope=\"col\">Run</th>",
        cell.runs.len()
    );
    for (metric, unit) in &measures {
        let unit = if unit.is_empty() {
            String::new()
        } else {
            format!("<small>{}</small>", escaped(unit))
        };
        html += &format!("<th scope=\"col\" class=\"n\">{}{unit}</th>", escaped(metric));
    }
    html += "<th scope=\"col\" class=\"n\">records checked</th><th scope=\"col\" class=\"n\">problems</th>";
    html += "<th scope=\"col\">distributions</th></tr></thead>\n<tbody>\n";
    for run in &cell.runs {
        let class = if run.counts() { "" } else { " class=\"void\"" };
        let void = if run.counts() { "" } else { " (void)" };
        html += &format!(
            "<tr{class}><th scope=\"row\">{}{void}</th>",
            escaped(&run_name(results, run))
        );
        for metric in measures.keys() {
            html += &format!("<td class=\"n\">{}</td>", number_or_nothing(run.value(metric)));
        }
        for number in [run.verified.records, run.verified.problems] {
            let shown = number.map_or_else(|| NOTHING.to_owned(), count);
            html += &format!("<td class=\"n\">{shown}</td>");
        }
        let files: Vec<String> = run
            .percentiles
            .iter()
            .filter(|percentiles| !percentiles.hgrm.is_empty())
            .map(|percentiles| file_link(&percentiles.hgrm, &percentiles.kind))
            .collect();
        html += &format!("<td>{}</td></tr>\n", files.join(", "));
    }
    html + "</tbody></table></div>\n</details>\n"
}

/// A link to a file beside the page; the bare name where it is no plain file name.
fn file_link(file: &str, label: &str) -> String {
    let plain = !file.starts_with('.')
        && file.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    let label = if label.is_empty() { file } else { label };
    if plain {
        format!("<a href=\"{}\">{}</a>", escaped(file), escaped(label))
    } else {
        escaped(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_file_names_become_links() {
        assert_eq!(file_link("W1-A.hgrm", "response"), "<a href=\"W1-A.hgrm\">response</a>");
        assert_eq!(file_link("javascript:x", "a"), "javascript:x");
        assert_eq!(file_link("../x", "a"), "../x");
        assert_eq!(file_link("a b", ""), "a b");
    }
}
