//! How long each run may be, so that all of them fit into the time that there is.

use std::time::{Duration, Instant};

/// A run is never shorter: nothing would be left of it but its beginning.
const RUN_SECONDS_MIN: f64 = 3.0;

/// The time of a duel, shared out.
#[derive(Debug)]
pub(crate) struct Pace {
    started: Instant,
    budget: Option<Duration>,
    /// Length of a run when time is no matter.
    nominal: f64,
    pairs_left: usize,
    /// Seconds that a pair takes besides its two measured parts, on average.
    overhead: f64,
    pairs_done: usize,
}

impl Pace {
    pub(crate) fn new(
        budget: Option<Duration>,
        nominal: f64,
        pairs: usize,
        overhead_guess: f64,
    ) -> Pace {
        Pace {
            started: Instant::now(),
            budget,
            nominal,
            pairs_left: pairs,
            overhead: overhead_guess,
            pairs_done: 0,
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Length of the measured part of the runs to come.
    pub(crate) fn run_seconds(&self) -> f64 {
        self.run_seconds_at(self.elapsed().as_secs_f64())
    }

    fn run_seconds_at(&self, elapsed: f64) -> f64 {
        let Some(budget) = self.budget else { return self.nominal };
        let left = budget.as_secs_f64() - elapsed;
        let pair = left / self.pairs_left.max(1) as f64;
        ((pair - self.overhead) / 2.0).clamp(RUN_SECONDS_MIN.min(self.nominal), self.nominal)
    }

    /// Whether the time is up.
    pub(crate) fn is_over(&self) -> bool {
        self.budget.is_some_and(|budget| self.elapsed() >= budget)
    }

    /// A pair was done, or will not be.
    pub(crate) fn pair_done(&mut self, took: Duration, run_seconds: f64) {
        let overhead = (took.as_secs_f64() - 2.0 * run_seconds).max(0.0);
        let done = self.pairs_done as f64;
        self.overhead = if self.pairs_done == 0 {
            overhead
        } else {
            (self.overhead * done + overhead) / (done + 1.0)
        };
        self.pairs_done += 1;
        self.pairs_left = self.pairs_left.saturating_sub(1);
    }

    /// Pairs that will not be done after all.
    pub(crate) fn give_up(&mut self, pairs: usize) {
        self.pairs_left = self.pairs_left.saturating_sub(pairs);
    }

    /// What is left, as far as can be told.
    pub(crate) fn left(&self) -> Duration {
        let pair = self.overhead + 2.0 * self.run_seconds();
        Duration::from_secs_f64(pair * self.pairs_left as f64)
    }
}

/// A length of time for people.
pub(crate) fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds >= 3600 {
        format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60)
    } else if seconds >= 60 {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    } else {
        format!("{seconds} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_get_shorter_when_time_runs_out_and_never_too_short() {
        let mut pace = Pace::new(Some(Duration::from_secs(600)), 6.0, 20, 18.0);
        assert_eq!(pace.run_seconds_at(0.0), 6.0);
        // Pairs turn out to take 22 s besides the runs: 600 s / 19 - 22 s leave less than 2 x 6 s.
        pace.pair_done(Duration::from_secs(34), 6.0);
        let seconds = pace.run_seconds_at(34.0);
        assert!((3.0..6.0).contains(&seconds), "{seconds}");
        assert_eq!(pace.run_seconds_at(500.0), RUN_SECONDS_MIN);
        assert!(!pace.is_over());
        let free = Pace::new(None, 20.0, 5, 60.0);
        assert_eq!(free.run_seconds_at(1e6), 20.0);
    }

    #[test]
    fn times_are_short_to_read() {
        assert_eq!(shown(Duration::from_secs(59)), "59 s");
        assert_eq!(shown(Duration::from_secs(61)), "1 min 01 s");
        assert_eq!(shown(Duration::from_secs(7_260)), "2 h 01 min");
    }
}
