//! Why the numbers may be believed: the machine's limits before and after, the generator's own
//! proof, both configurations, and how to repeat it all.

use super::results::{Generator, Limit, Results};
use super::text::{NOTHING, escaped, number, number_or_nothing, times};

/// A limit that moved by more than this between its two measurements voids what lies between.
const LIMIT_MOVED_MAX: f64 = 0.15;
/// How many times faster than the faster broker the generator must be with a broker that does
/// nothing.
const GENERATOR_TIMES_MIN: f64 = 2.0;
/// What the generator may cost at 1 KiB records.
const GENERATOR_CPU_MAX: f64 = 0.25;

/// The sections after the cells.
pub(super) fn render(results: &Results) -> String {
    [limits(results), generator(results), configurations(results), repeat(results)].concat()
}

fn limits(results: &Results) -> String {
    if results.limits.is_empty() {
        return String::new();
    }
    let mut html = String::from("<section id=\"limits\">\n<h2>The machine's limits</h2>\n");
    html += "<p>What the machine does without any broker, measured before and after. A limit that moved by more than \
             15&nbsp;% means that something else was going on.</p>\n<div class=\"wide\"><table>\n";
    html += "<thead><tr><th scope=\"col\">Limit</th><th scope=\"col\" class=\"n\">Before</th>\
             <th scope=\"col\" class=\"n\">After</th><th scope=\"col\">Unit</th><th scope=\"col\" class=\"n\">Change</th>\
             <th scope=\"col\"></th></tr></thead>\n<tbody>\n";
    for limit in &results.limits {
        html += &limit_row(limit);
    }
    html + "</tbody></table></div>\n</section>\n"
}

fn limit_row(limit: &Limit) -> String {
    let change = limit.before.zip(limit.after).filter(|(before, _)| *before != 0.0);
    let change = change.map(|(before, after)| (after - before) / before.abs());
    let percent =
        change.map_or_else(|| NOTHING.to_owned(), |change| format!("{:+.1} %", change * 100.0));
    let remark = match change {
        Some(change) if change.abs() > LIMIT_MOVED_MAX => "<span class=\"missed\">✕ moved</span>",
        Some(_) => "<span class=\"met\">✓ steady</span>",
        None => "<span class=\"open\">not measured twice</span>",
    };
    format!(
        "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td><td class=\"n\">{percent}</td><td class=\"verdict\">{remark}</td></tr>\n",
        escaped(&limit.name),
        number_or_nothing(limit.before),
        number_or_nothing(limit.after),
        escaped(&limit.unit),
    )
}

fn generator(results: &Results) -> String {
    if results.generator.is_empty() {
        return String::new();
    }
    let mut html = String::from("<section id=\"generator\">\n<h2>The generator's own proof</h2>\n");
    html += &format!(
        "<p>The load generator against a broker that does nothing: it must be at least {} as fast as the faster broker, \
         or it is the generator that was measured, and may cost at most {GENERATOR_CPU_MAX} CPU-s/GB at 1&nbsp;KiB records.</p>\n",
        times(GENERATOR_TIMES_MIN).replace(".00", "")
    );
    html += "<div class=\"wide\"><table>\n<thead><tr><th scope=\"col\">Against</th><th scope=\"col\" class=\"n\">Reached</th>\
             <th scope=\"col\">Unit</th><th scope=\"col\" class=\"n\">Own CPU-s/GB</th>\
             <th scope=\"col\" class=\"n\">Faster broker</th><th scope=\"col\"></th></tr></thead>\n<tbody>\n";
    for generator in &results.generator {
        html += &generator_row(generator);
    }
    html + "</tbody></table></div>\n</section>\n"
}

fn generator_row(generator: &Generator) -> String {
    let slow = generator.times_faster_broker.is_some_and(|times| times < GENERATOR_TIMES_MIN);
    let costly = generator.cpu_seconds_per_gb.is_some_and(|cost| cost > GENERATOR_CPU_MAX);
    let remark = match (slow, costly) {
        (true, true) => "<span class=\"missed\">✕ too slow, too costly</span>",
        (true, false) => "<span class=\"missed\">✕ too slow</span>",
        (false, true) => "<span class=\"missed\">✕ too costly</span>",
        (false, false) if generator.times_faster_broker.is_none() => {
            "<span class=\"open\">not compared</span>"
        }
        (false, false) => "<span class=\"met\">✓ holds</span>",
    };
    format!(
        "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"verdict\">{remark}</td></tr>\n",
        escaped(&generator.name),
        number_or_nothing(generator.value),
        escaped(&generator.unit),
        number_or_nothing(generator.cpu_seconds_per_gb),
        generator.times_faster_broker.map_or_else(|| NOTHING.to_owned(), times),
    )
}

fn configurations(results: &Results) -> String {
    if results.brokers.is_empty() {
        return String::new();
    }
    let mut html = String::from("<section id=\"configurations\">\n<h2>Configurations</h2>\n");
    for broker in &results.brokers {
        html += &format!(
            "<details><summary>{} {}</summary>\n<pre>{}</pre>\n</details>\n",
            escaped(&broker.name),
            escaped(&broker.version),
            escaped(if broker.configuration.is_empty() {
                "not recorded"
            } else {
                &broker.configuration
            })
        );
    }
    html + "</section>\n"
}

fn repeat(results: &Results) -> String {
    let mut html = String::from("<section id=\"repeat\">\n<h2>How to repeat it</h2>\n");
    if !results.command.is_empty() {
        html += &format!(
            "<p>On a machine that does nothing else:</p>\n<pre>{}</pre>\n",
            escaped(&results.command)
        );
    }
    html += &format!(
        "<p>The two brokers take turns in the order A&nbsp;B&nbsp;B&nbsp;A, each run on a fresh data directory of the same file \
         system. Each pair of runs gives a ratio; the page shows the median of the ratios and a 95&nbsp;% bootstrap interval. \
         D0 (acknowledged from memory) and D1 (from stable storage) are never mixed in a ratio. A run is voided, and says \
         so, when the generator was late or the machine's limits moved by more than {}&nbsp;%. MB and GB are powers of \
         ten.</p>\n",
        number(LIMIT_MOVED_MAX * 100.0).trim_end_matches(".0"),
    );
    html += "<p>All numbers are in <a href=\"results.json\">results.json</a>; <code>ringload page DIR</code> makes this page \
             from it again.</p>\n</section>\n";
    html
}
