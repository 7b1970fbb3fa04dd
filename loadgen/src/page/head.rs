//! The top of the page: what was compared, where and when, how it ended, and how far to trust it.

use super::interval::{Ahead, ahead};
use super::results::{Broker, Ratio, Results};
use super::text::{count, dotted, duration, escaped, moment, number};

/// The name of a broker, or its id.
pub(super) fn name_of<'a>(brokers: &'a [Broker], id: &'a str) -> &'a str {
    let broker = brokers.iter().find(|broker| broker.id == id);
    broker.map(|broker| broker.name.as_str()).filter(|name| !name.is_empty()).unwrap_or(id)
}

/// The title of the document.
pub(super) fn title(results: &Results) -> String {
    let names: Vec<&str> = results.brokers.iter().map(|broker| broker.name.as_str()).collect();
    let names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
    match names.as_slice() {
        [] => "A duel of brokers".to_owned(),
        names => format!("{}, side by side", names.join(" and ")),
    }
}

/// The head of the page.
pub(super) fn render(results: &Results) -> String {
    let mut html = format!("<header>\n<h1>{}</h1>\n", escaped(&title(results)));
    html += &format!("<p class=\"lead\">{}</p>\n", lead(results));
    html += &warnings(results);
    html += &score(results);
    html += &machine(results);
    html += "</header>\n";
    html
}

fn lead(results: &Results) -> String {
    let brokers: Vec<String> = results
        .brokers
        .iter()
        .map(|broker| {
            let class = super::curves::class_of(&broker.id);
            let version = escaped(&broker.version);
            format!("<b class=\"{class}\">{}</b> {version}", escaped(&broker.name))
        })
        .collect();
    let mut lead = brokers.join(" against ");
    if !lead.is_empty() {
        lead += ": ";
    }
    lead +=
        "the same bytes from the same client on one machine, in turns, on fresh data directories.";
    lead
}

/// What a reader must know before any number.
fn warnings(results: &Results) -> String {
    let mut lines = Vec::new();
    if !results.finished {
        let cells = results.cells.len();
        let so_far = if cells == 1 { "1 cell".to_owned() } else { format!("{cells} cells") };
        lines.push(format!(
            "<b>Not finished.</b> This duel is still running or was broken off: {so_far} so far."
        ));
    }
    if results.quick {
        lines.push(
            "<b>A quick run.</b> Short runs and few pairs: the intervals are wide, warm-up is short, rare \
             latencies are hardly seen. It shows the direction; only a full duel settles a target."
                .to_owned(),
        );
    }
    let problems: f64 = runs(results).filter_map(|run| run.verified.problems).sum();
    if problems > 0.0 {
        lines.push(format!(
            "<b>Data was damaged.</b> Reading back found {} problems; see the runs of the cells.",
            count(problems)
        ));
    }
    lines
        .into_iter()
        .map(|line| format!("<p class=\"warning\" role=\"note\">{line}</p>\n"))
        .collect()
}

fn runs(results: &Results) -> impl Iterator<Item = &super::results::Run> {
    results.cells.iter().flat_map(|cell| &cell.runs)
}

/// The outcome in a few counts. Losses stand beside wins in the same size.
fn score(results: &Results) -> String {
    let ratios: Vec<&Ratio> = results.cells.iter().flat_map(|cell| &cell.ratios).collect();
    if ratios.is_empty() {
        return "<p>No cell has been measured yet.</p>\n".to_owned();
    }
    let with_target = || ratios.iter().filter(|ratio| ratio.target.is_some());
    let verdicts = |verdict: &str| with_target().filter(|ratio| ratio.verdict == verdict).count();
    let leads = |who: Ahead| ratios.iter().filter(|ratio| ahead(ratio) == who).count();
    let (met, missed, void) = (verdicts("met"), verdicts("missed"), verdicts("void"));
    let voided = runs(results).filter(|run| !run.counts()).count();
    let counted: f64 = runs(results).filter_map(|run| run.verified.records).sum();
    let problems: f64 = runs(results).filter_map(|run| run.verified.problems).sum();
    let all_runs = runs(results).count();
    let tile = |class: &str, count: String, of: String, what: &str| {
        format!("<li class=\"{class}\"><b>{count}</b> <span>{of}</span><em>{what}</em></li>\n")
    };
    let of_targets = format!("of {}", met + missed + void);
    let of_ratios = format!("of {}", ratios.len());
    let mut tiles = String::from("<ul class=\"score\">\n");
    tiles += &tile("met", met.to_string(), of_targets.clone(), "targets met");
    tiles += &tile("missed", missed.to_string(), of_targets.clone(), "targets missed");
    tiles += &tile("", void.to_string(), of_targets, "targets void");
    tiles += &tile("", leads(Ahead::Ringmain).to_string(), of_ratios.clone(), "Ringmain ahead");
    tiles += &tile("", leads(Ahead::Kafka).to_string(), of_ratios.clone(), "Kafka ahead");
    let open = leads(Ahead::Neither) + leads(Ahead::Unknown);
    tiles += &tile("", open.to_string(), of_ratios, "undecided");
    tiles += &tile("", voided.to_string(), format!("of {all_runs}"), "runs voided");
    tiles += "</ul>\n";
    let read_back = if counted > 0.0 {
        format!(
            "{} records were read back and checked, {} problems found.",
            count(counted),
            count(problems)
        )
    } else {
        "No run was read back and checked.".to_owned()
    };
    let fine = format!(
        "{read_back} A target counts as met only if the lower end of the 95&nbsp;% interval reaches it; a broker \
         is ahead in one of the {} measures if the whole interval is on its side.",
        ratios.len()
    );
    tiles + &format!("<p class=\"fine\">{fine}</p>\n")
}

fn machine(results: &Results) -> String {
    let machine = &results.machine;
    let mut facts: Vec<(&str, String)> = Vec::new();
    let cores = machine.cores.map(|cores| format!("{} cores", count(cores)));
    let memory = machine
        .memory_bytes
        .map(|bytes| format!("{} GiB memory", number(bytes / (1_u64 << 30) as f64)));
    facts.push((
        "Machine",
        dotted(&[&machine.cpu, &cores.unwrap_or_default(), &memory.unwrap_or_default()]),
    ));
    facts.push(("System", dotted(&[&machine.kernel, &machine.filesystem])));
    let took = results.seconds.map(|seconds| format!("took {}", duration(seconds)));
    facts.push(("When", dotted(&[&moment(&results.started), &took.unwrap_or_default()])));
    if !machine.notes.is_empty() {
        facts.push(("Notes", machine.notes.join("\n")));
    }
    let mut html = String::from("<dl class=\"facts\">\n");
    for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
        html += &format!(
            "<div><dt>{name}</dt><dd>{}</dd></div>\n",
            escaped(fact).replace('\n', "<br>")
        );
    }
    html + "</dl>\n"
}

/// How many runs of how many seconds.
pub(super) fn effort(pairs: Option<f64>, seconds: Option<f64>) -> String {
    let pairs = pairs.map(|pairs| {
        let name = if pairs == 1.0 { "pair" } else { "pairs" };
        format!("{} {name} of runs", count(pairs))
    });
    let seconds = seconds.map(|seconds| format!("{} s a run", count(seconds)));
    let both: Vec<String> = [pairs, seconds].into_iter().flatten().collect();
    both.join(", ")
}
