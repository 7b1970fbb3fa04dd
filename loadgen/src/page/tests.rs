//! The page of a realistic duel, and of broken and hostile ones.

use std::fs;

use serde_json::Value;

use super::*;

const SAMPLE: &str = include_str!("sample.json");

fn sample() -> Value {
    serde_json::from_str(SAMPLE).unwrap()
}

fn rendered(value: &Value) -> String {
    render(&value.to_string()).unwrap()
}

/// Calls `change` on every value inside, children first.
fn walk(value: &mut Value, change: &mut impl FnMut(&mut Value)) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, change)),
        Value::Object(fields) => fields.values_mut().for_each(|field| walk(field, change)),
        _ => {}
    }
    change(value);
}

/// Tags that are opened have to be closed, in order; what is found in between does not matter.
fn assert_well_formed(html: &str) {
    const VOID: [&str; 6] = ["meta", "link", "br", "line", "!doctype", "img"];
    let mut open = Vec::new();
    let (_, body) = html.split_once("</style>").unwrap();
    for (at, _) in body.match_indices('<') {
        let tag = &body[at + 1..at + body[at..].find('>').expect("every tag ends")];
        let name = tag.split([' ', '\n']).next().unwrap();
        if let Some(name) = name.strip_prefix('/') {
            if !["head", "html"].contains(&name) {
                assert_eq!(
                    open.pop(),
                    Some(name),
                    "near {}",
                    &body[at.saturating_sub(200)..at + 20]
                );
            }
        } else if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<&str>::new());
    for wrong in ["NaN", "inf\"", "Some(", "None"] {
        assert!(!body.contains(wrong), "{wrong}");
    }
}

#[test]
fn the_sample_has_a_row_for_every_ratio_and_curves_for_both() {
    let html = render(SAMPLE).unwrap();
    assert_well_formed(&html);
    let sample = sample();
    let cells = sample["cells"].as_array().unwrap();
    let ratios: usize = cells.iter().map(|cell| cell["ratios"].as_array().unwrap().len()).sum();
    assert_eq!(html.matches("<td class=\"verdict\"><span class=").count(), ratios + 4 + 3);
    assert_eq!(html.matches("class=\"strip scale\"").count(), cells.len());
    assert_eq!(html.matches("<article ").count(), cells.len());
    // W3 has one kind of latency, W8 three.
    assert_eq!(html.matches("class=\"plot latency\"").count(), 4);
    assert_eq!(
        html.matches("<path class=\"median ringmain\"").count(),
        html.matches("<path class=\"median kafka\"").count() + 1
    );
    for said in [
        "Ringmain and Apache Kafka, side by side",
        "21 November 2026, 14:03 UTC",
        "took 2 h 35 min",
        "<b>2.33×</b><small>2.21× to 2.46×</small>",
        "Kafka is ahead",
        "no clear difference",
        "✕ moved",
        "✕ too slow",
        "✕ too costly",
        "Voided runs: 2 of 10.",
        "3 requests ran into their timeout &lt;30 s&gt;",
        "num.network.threads=3",
        "D1, acknowledged from stable storage",
        "ringload duel --cells W1,W3,W6,W8,W10,W17 --out duel-report",
    ] {
        assert!(html.contains(said), "{said}");
    }
    for absent in ["<script", "http://", "https://", "Not finished", "quick run", "url("] {
        assert!(!html.contains(absent), "{absent}");
    }
}

#[test]
fn voided_runs_move_no_curve_and_no_bar() {
    let honest = rendered(&sample());
    let mut wild = sample();
    for cell in wild["cells"].as_array_mut().unwrap() {
        for run in
            cell["runs"].as_array_mut().unwrap().iter_mut().filter(|run| !run["void"].is_null())
        {
            run["timeline"] = serde_json::json!([[1.0, 1e9], [2.0, 1e9]]);
            run["percentiles"] = serde_json::json!([{"kind": "other", "points": [[0.5, 1e6]]}]);
            run["values"]["server CPU"] = Value::from(1e6);
        }
    }
    let drawings = |html: &str| -> Vec<String> {
        html.split("<svg ")
            .skip(1)
            .map(|part| part.split("</svg>").next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(drawings(&honest), drawings(&rendered(&wild)));
}

#[test]
fn quick_unfinished_and_damaged_duels_say_so_first() {
    let mut duel = sample();
    duel["quick"] = Value::Bool(true);
    duel["finished"] = Value::Bool(false);
    duel["cells"][0]["runs"][0]["verified"]["problems"] = Value::from(3);
    let html = rendered(&duel);
    let warnings = html.find("class=\"score\"").unwrap();
    for said in
        ["A quick run.", "Not finished.", "Data was damaged.</b> Reading back found 3 problems"]
    {
        assert!(html.find(said).is_some_and(|at| at < warnings), "{said}");
    }
}

#[test]
fn every_number_may_be_missing() {
    let mut duel = sample();
    walk(&mut duel, &mut |value| {
        if value.is_number() {
            *value = Value::Null;
        }
    });
    duel["format"] = Value::from(1);
    let html = rendered(&duel);
    assert_well_formed(&html);
    assert!(html.contains("no interval") && !html.contains("class=\"plot"));
}

#[test]
fn every_field_may_be_missing_or_empty() {
    for text in [
        r#"{"format": 1}"#,
        r#"{"format": 1, "cells": []}"#,
        r#"{"format": 1, "cells": [{}], "brokers": [{}], "limits": [{}], "generator": [{}]}"#,
        r#"{"format": 1, "cells": [{"ratios": [{}], "runs": [{}, {"percentiles": [{}], "timeline": [[]]}]}]}"#,
    ] {
        match render(text) {
            Ok(html) => assert_well_formed(&html),
            Err(error) => assert!(text.contains("[[]]"), "{error}"),
        }
    }
    assert!(render(r#"{"format": 1}"#).unwrap().contains("No cell has been measured yet"));
    // Each field of the sample in turn.
    let mut count = 0;
    walk(&mut sample(), &mut |_| count += 1);
    for index in (0..count).step_by(17) {
        let (mut duel, mut at) = (sample(), 0);
        walk(&mut duel, &mut |value| {
            if at == index {
                *value = Value::Null;
            }
            at += 1;
        });
        if duel.is_object() && duel["format"] == 1 {
            // A null where a list or an object stood is an empty one; in a list it may be refused.
            if let Ok(html) = render(&duel.to_string()) {
                assert_well_formed(&html);
            }
        }
    }
}

#[test]
fn absurd_numbers_stay_inside_the_drawings() {
    for wild in [0.0, -1.0, 1e-300, 1e300, 1e18] {
        let mut duel = sample();
        walk(&mut duel, &mut |value| {
            if value.is_number() {
                *value = Value::from(wild);
            }
        });
        duel["format"] = Value::from(1);
        let html = rendered(&duel);
        assert_well_formed(&html);
        for name in [" x=\"", " y=\"", " x1=\"", " x2=\"", " cx=\"", " cy=\"", " width=\""] {
            for (at, _) in html.match_indices(name) {
                let number = html[at + name.len()..].split('"').next().unwrap();
                let number: f64 = number.parse().unwrap_or_else(|_| panic!("{number}"));
                assert!((-1.0..2000.0).contains(&number), "{name}{number} from {wild}");
            }
        }
    }
}

#[test]
fn no_text_of_the_file_becomes_html() {
    let hostile = "<img src=x onerror='a'>\"&</pre></td></svg></style>\u{0}";
    let mut duel = sample();
    let mut changed = 0;
    walk(&mut duel, &mut |value| {
        if let Value::Object(fields) = value {
            // The names of measures are texts of the file, too.
            for name in ["values", "units"] {
                if let Some(Value::Object(measures)) = fields.get_mut(name) {
                    let own = measures.clone();
                    measures.extend(
                        own.into_iter().map(|(name, value)| (format!("{name}{hostile}"), value)),
                    );
                }
            }
        }
        if let Value::String(text) = value {
            // Those that the page goes by keep their beginning.
            *text = if ["ringmain", "kafka"].contains(&text.as_str()) {
                text.clone()
            } else {
                format!("{text}{hostile}")
            };
            changed += 1;
        }
    });
    assert!(changed > 100);
    let html = rendered(&duel);
    assert_well_formed(&html);
    assert!(!html.contains("<img") && !html.contains("onerror='") && !html.contains('\u{0}'));
    assert!(html.contains("&lt;img src=x onerror=&#39;a&#39;&gt;&quot;&amp;&lt;/pre&gt;"));
}

#[test]
fn the_page_is_written_beside_the_results() {
    let directory = std::env::temp_dir().join(format!("ringload-page-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    assert!(matches!(write(&directory), Err(Failure::Local(_))));
    fs::write(directory.join(RESULTS), "{}").unwrap();
    assert!(matches!(write(&directory), Err(Failure::Usage(_))));
    fs::write(directory.join(RESULTS), SAMPLE).unwrap();
    let page = write(&directory).unwrap();
    assert_eq!(fs::read_to_string(page).unwrap(), render(SAMPLE).unwrap());
    fs::remove_dir_all(&directory).unwrap();
}
