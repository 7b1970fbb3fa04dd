//! The simulator's runs. See `sim`.

mod sim;

use std::collections::{BTreeMap, BTreeSet};

use ringmain::ids::TopicPartition;
use ringmain::stdx::prng::Prng;

use sim::{Coverage, Event, FINAL, History, Mutant, Outcome, Value, check, run};

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
            println!("{}", describe(seed, &outcome));
            failed.push(describe(seed, &outcome));
        }
    }
    println!("{coverage}");
    let some: Vec<_> = failed.iter().take(20).cloned().collect();
    assert!(failed.is_empty(), "{} of {count} seeds fail\n{}", failed.len(), some.join("\n"));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 100..106 {
        let (first, second) = (outcome(seed, None), outcome(seed, None));
        assert_eq!((first.trace, first.steps), (second.trace, second.steps), "seed {seed}");
        assert_eq!(first.history.events, second.history.events, "seed {seed}");
    }
}

/// Seeds until a planted fault is noticed.
fn seeds_to_catch(mutant: Mutant, most: u64) -> Option<(u64, String)> {
    (1..=most).find_map(|seed| {
        let violations = outcome(seed, Some(mutant)).violations;
        violations.first().map(|violation| (seed, violation.clone()))
    })
}

#[test]
fn planted_faults_are_caught() {
    for mutant in Mutant::ALL {
        let caught = seeds_to_catch(mutant, 40);
        println!("{mutant:?}: {caught:?}");
        assert!(caught.is_some(), "{mutant:?} lives");
    }
}

/// A partition that promises durability and keeps everything, with what was read of it at the end.
fn drained(history: &History) -> Vec<(TopicPartition, Vec<usize>)> {
    let mut found: BTreeMap<TopicPartition, Vec<usize>> = BTreeMap::new();
    for (index, event) in history.events.iter().enumerate() {
        if let Event::Poll { consumer: FINAL, at, .. } = event
            && history.promises.get(at).is_some_and(|promise| promise.durable && !promise.compacted)
        {
            found.entry(*at).or_default().push(index);
        }
    }
    let deleted = |at: &TopicPartition| {
        history.events.iter().any(|event| matches!(event, Event::Deleting { at: d } if d == at))
    };
    found.into_iter().filter(|(at, polls)| polls.len() >= 4 && !deleted(at)).collect()
}

/// The first value of each batch that was acknowledged with its offset.
fn acked_values(history: &History) -> BTreeSet<Value> {
    let mut sent = BTreeMap::new();
    let mut acked = BTreeSet::new();
    for event in &history.events {
        match event {
            Event::Send { id, first, .. } => drop(sent.insert(*id, *first)),
            Event::Acked { id, base_offset: Some(_) } => acked.extend(sent.get(id)),
            _ => {}
        }
    }
    acked
}

/// Changes a good history in one way; `None` if it has no place for that.
fn spoil(history: &History, kind: u64, random: &mut Prng) -> Option<History> {
    let mut history = history.clone();
    let partitions = drained(&history);
    let (at, polls) = partitions.get(random.below(partitions.len() as u64) as usize)?;
    let place = random.below(polls.len() as u64 - 1) as usize;
    let (one, other) = (polls[place], polls[place + 1]);
    let value = |event: &Event| match event {
        Event::Poll { value, .. } => *value,
        _ => unreachable!("a poll"),
    };
    let (first, second) = (value(&history.events[one]), value(&history.events[other]));
    let acked = acked_values(&history);
    let mut put = |index: usize, new: Value| {
        if let Event::Poll { value, .. } = &mut history.events[index] {
            *value = new;
        }
    };
    match kind {
        // Drop one record.
        0 => drop(history.events.remove(one)),
        // One record twice.
        1 => put(other, first),
        // Two records change places, of which one is known to be acknowledged where it was.
        2 if !acked.contains(&first) => return None,
        2 => {
            put(one, second);
            put(other, first);
        }
        // An acknowledgement names another offset.
        3 => {
            let read: BTreeSet<_> = polls.iter().map(|at| value(&history.events[*at])).collect();
            let sent: BTreeSet<_> = history
                .events
                .iter()
                .filter_map(|event| match event {
                    Event::Send { id, first, .. } if read.contains(first) => Some(*id),
                    _ => None,
                })
                .collect();
            let acked = history.events.iter_mut().filter_map(|event| match event {
                Event::Acked { id, base_offset: Some(base_offset) } if sent.contains(id) => {
                    Some(base_offset)
                }
                _ => None,
            });
            let mut acked: Vec<_> = acked.collect();
            let count = acked.len() as u64;
            let chosen = acked.get_mut(random.below(count) as usize)?;
            **chosen += 1;
        }
        // The end of a partition is gone, from an acknowledged record on.
        4 => {
            let from =
                polls.iter().find(|index| acked.contains(&value(&history.events[**index])))?;
            for index in polls.iter().rev().filter(|index| *index >= from) {
                history.events.remove(*index);
            }
        }
        // The high watermark falls.
        _ => {
            let marks = history.events.iter().position(|event| {
                matches!(event, Event::Marks { consumer: FINAL, at: m, high_watermark, .. }
                    if m == at && *high_watermark > 0)
            })?;
            let Event::Marks { consumer, at, log_start, .. } = history.events[marks] else {
                return None;
            };
            let event = Event::Marks { consumer, at, high_watermark: 0, log_start };
            history.events.insert(marks + 1, event);
        }
    }
    Some(history)
}

#[test]
fn spoiled_histories_are_caught() {
    let mut random = Prng::new(7);
    let mut spoiled = 0;
    for seed in 200..212 {
        let history = outcome(seed, None).history;
        assert_eq!(check(&history), Vec::<String>::new(), "seed {seed}");
        for round in 0..60 {
            let kind = round % 6;
            if let Some(history) = spoil(&history, kind, &mut random) {
                spoiled += 1;
                let found = check(&history);
                assert!(!found.is_empty(), "seed {seed}: a history spoiled in way {kind} passes");
            }
        }
    }
    assert!(spoiled > 300, "only {spoiled} histories could be spoiled");
}
