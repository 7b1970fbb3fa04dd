//! The simulator's runs. See `sim`.

mod sim;

use sim::{Coverage, Mutant, Outcome, run};

fn seeds() -> (u64, u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match number("RINGMAIN_SEED") {
        Some(seed) => (seed, 1),
        None => (1, number("RINGMAIN_SEEDS").unwrap_or(60)),
    }
}

/// Runs a seed; a panic in the core is a violation like any other.
fn outcome(seed: u64, mutant: Option<Mutant>) -> Outcome {
    let run = std::panic::AssertUnwindSafe(|| run(seed, mutant));
    std::panic::catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Outcome::panicked(text.unwrap_or_default())
    })
}

fn describe(seed: u64, outcome: &Outcome) -> String {
    format!(
        "seed {seed} after {} steps:\n  {}\n  replay: RINGMAIN_SEED={seed} cargo test \
         --no-default-features --test simulation",
        outcome.steps,
        outcome.violations.iter().take(5).cloned().collect::<Vec<_>>().join("\n  ")
    )
}

#[test]
fn every_seed_keeps_the_promises() {
    let (first, count) = seeds();
    let mut coverage = Coverage::default();
    let mut failed = Vec::new();
    for seed in first..first + count {
        let outcome = outcome(seed, None);
        coverage.merge(&outcome.coverage);
        if !outcome.violations.is_empty() {
            failed.push(describe(seed, &outcome));
        }
    }
    println!("{coverage}");
    let some: Vec<_> = failed.iter().take(20).cloned().collect();
    assert!(failed.is_empty(), "{} of {count} seeds fail\n{}", failed.len(), some.join("\n"));
}
