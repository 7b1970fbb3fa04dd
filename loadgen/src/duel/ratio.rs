//! What the figures of a cell say: ratios per pair, their interval, the verdict.

use ringmain::stdx::prng::Prng;
use serde::Serialize;

/// Pairs below which no ratio is claimed.
pub(crate) const PAIRS_MIN: usize = 5;
/// How far a limit of the machine may move around a cell, as a share.
pub(crate) const DRIFT_MAX: f64 = 0.15;
/// How late the generator itself may be, for latencies to say something about the broker.
pub(crate) const LATENESS_P99_MS_MAX: f64 = 1.0;
/// How often the pairs are drawn anew for the interval.
const DRAWS: usize = 10_000;

/// Which direction is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// How many times better `ours` is; `None` where that means nothing.
pub(crate) fn ratio(better: Better, ours: f64, theirs: f64) -> Option<f64> {
    let (above, below) = match better {
        Better::Higher => (ours, theirs),
        Better::Lower => (theirs, ours),
    };
    (above > 0.0 && below > 0.0 && above.is_finite() && below.is_finite()).then(|| above / below)
}

/// The middle of some values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.len().checked_sub(1)? / 2, sorted.len() / 2);
    Some((sorted.get(low)? + sorted.get(high)?) / 2.0)
}

/// A median and where it lies with 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Interval {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

/// The median of `ratios` and its bootstrap interval: of the medians of as many draws, with
/// replacement, the middle 95 %. The same seed gives the same interval.
pub(crate) fn interval(ratios: &[f64], seed: u64) -> Option<Interval> {
    let middle = median(ratios)?;
    let mut random = Prng::new(seed);
    let mut medians = Vec::with_capacity(DRAWS);
    let mut drawn = vec![0.0; ratios.len()];
    for _ in 0..DRAWS {
        for slot in &mut drawn {
            *slot = *ratios.get(random.below(ratios.len() as u64) as usize)?;
        }
        medians.push(median(&drawn)?);
    }
    medians.sort_by(f64::total_cmp);
    let low = *medians.get(DRAWS * 25 / 1000)?;
    let high = *medians.get(DRAWS * 975 / 1000 - 1)?;
    Some(Interval { low, median: middle, high })
}

/// What is said about a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Verdict {
    #[serde(rename = "met")]
    Met,
    #[serde(rename = "missed")]
    Missed,
    #[serde(rename = "no target")]
    NoTarget,
    #[serde(rename = "void")]
    Void,
}

/// Only the lower end of the interval counts, and only if there are pairs enough.
pub(crate) fn verdict(found: Option<Interval>, pairs: usize, target: Option<f64>) -> Verdict {
    match (found, target) {
        (None, _) => Verdict::Void,
        (Some(_), _) if pairs < PAIRS_MIN => Verdict::Void,
        (Some(_), None) => Verdict::NoTarget,
        (Some(found), Some(target)) if found.low >= target => Verdict::Met,
        (Some(_), Some(_)) => Verdict::Missed,
    }
}

/// Why latencies of a run with this lateness of the generator say nothing.
pub(crate) fn void_by_lateness(p99_ms: f64) -> Option<String> {
    (p99_ms > LATENESS_P99_MS_MAX).then(|| {
        format!("the generator was late: p99 {p99_ms:.2} ms, above {LATENESS_P99_MS_MAX} ms")
    })
}

/// Why the runs between two measurements of a limit of the machine say nothing.
pub(crate) fn void_by_drift(name: &str, before: f64, after: f64) -> Option<String> {
    let moved = (after / before - 1.0).abs();
    // Not a number when there was no limit to begin with.
    (moved.is_nan() || moved > DRIFT_MAX)
        .then(|| format!("the machine changed: {name} {before:.0} before, {after:.0} after"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_says_how_many_times_better_ours_is() {
        assert_eq!(ratio(Better::Higher, 6.0, 2.0), Some(3.0));
        assert_eq!(ratio(Better::Lower, 2.0, 6.0), Some(3.0));
        assert_eq!(ratio(Better::Lower, 0.0, 6.0), None);
        assert_eq!(ratio(Better::Higher, 6.0, f64::NAN), None);
    }

    #[test]
    fn medians_of_even_and_odd_counts() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn the_interval_holds_the_median_and_depends_on_the_seed_alone() {
        let ratios = [2.0, 2.2, 2.1, 1.9, 8.0, 2.05, 1.95];
        let found = interval(&ratios, 7).unwrap();
        assert_eq!(found.median, 2.05);
        assert!(found.low >= 1.9 && found.low < 2.05, "{found:?}");
        // One outlier among seven is the middle of hardly any draw.
        assert!(found.high > 2.05 && found.high < 8.0, "{found:?}");
        assert_eq!(interval(&ratios, 7), Some(found));
        let equal = interval(&[3.0; 5], 1).unwrap();
        assert_eq!((equal.low, equal.median, equal.high), (3.0, 3.0, 3.0));
        assert_eq!(interval(&[], 1), None);
    }

    #[test]
    fn the_lower_end_decides_and_few_pairs_decide_nothing() {
        let found = Some(Interval { low: 1.9, median: 2.5, high: 3.0 });
        assert_eq!(verdict(found, 5, Some(2.0)), Verdict::Missed);
        assert_eq!(verdict(found, 5, Some(1.9)), Verdict::Met);
        assert_eq!(verdict(found, 4, Some(1.0)), Verdict::Void);
        assert_eq!(verdict(found, 5, None), Verdict::NoTarget);
        assert_eq!(verdict(None, 5, None), Verdict::Void);
    }

    #[test]
    fn runs_are_void_when_the_generator_was_late_or_the_machine_changed() {
        assert_eq!(void_by_lateness(0.9), None);
        assert!(void_by_lateness(1.1).unwrap().contains("1.10 ms"));
        assert_eq!(void_by_drift("x", 100.0, 114.0), None);
        assert_eq!(void_by_drift("x", 100.0, 86.0), None);
        assert!(void_by_drift("x", 100.0, 116.0).is_some());
        assert!(void_by_drift("x", 100.0, 84.0).is_some());
        assert!(void_by_drift("x", 0.0, 0.0).is_some());
    }
}
