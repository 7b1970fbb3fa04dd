//! When requests are meant to be sent.
//!
//! A schedule knows nothing of what became of earlier requests. That is its point: latency counted
//! from the intended time includes the wait a slow broker imposes on what came after.

use ringmain::stdx::prng::Prng;

use crate::options::Arrivals;

/// Intended send times of one thread, in ns of the run's clock.
#[derive(Debug)]
pub(crate) struct Schedule {
    arrivals: Arrivals,
    interval_ns: f64,
    start_ns: f64,
    /// Requests scheduled so far.
    index: u64,
    /// Sum of the drawn gaps, for Poisson arrivals.
    elapsed_ns: f64,
    random: Prng,
}

impl Schedule {
    /// `per_second` requests a second from `start_ns` on. `phase` (0 to 1 of one interval) sets
    /// threads with constant arrivals apart, so that together they are evenly spaced too.
    pub(crate) fn new(
        arrivals: Arrivals,
        per_second: f64,
        start_ns: u64,
        phase: f64,
        random: Prng,
    ) -> Schedule {
        let interval_ns = 1e9 / per_second;
        let offset = if arrivals == Arrivals::Constant { interval_ns * phase } else { 0.0 };
        let mut schedule = Schedule {
            arrivals,
            interval_ns,
            start_ns: start_ns as f64 + offset,
            index: 0,
            elapsed_ns: 0.0,
            random,
        };
        schedule.elapsed_ns = schedule.gap();
        schedule
    }

    fn gap(&mut self) -> f64 {
        // A uniform number in (0, 1]: never the logarithm of zero.
        let uniform = ((self.random.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        -uniform.ln() * self.interval_ns
    }

    /// The next intended time.
    pub(crate) fn next_ns(&self) -> u64 {
        let elapsed = match self.arrivals {
            // From the index, not by adding up: no rounding error accumulates.
            Arrivals::Constant => self.index as f64 * self.interval_ns,
            Arrivals::Poisson => self.elapsed_ns,
        };
        (self.start_ns + elapsed) as u64
    }

    /// Moves on to the request after.
    pub(crate) fn advance(&mut self) {
        self.index += 1;
        if self.arrivals == Arrivals::Poisson {
            self.elapsed_ns += self.gap();
        }
    }

    /// One of `count` producers for the next request: in turn when arrivals are constant, at
    /// random when they are Poisson, so that each producer's own arrivals are Poisson too.
    pub(crate) fn pick(&mut self, count: usize) -> usize {
        match self.arrivals {
            Arrivals::Constant => (self.index % count.max(1) as u64) as usize,
            Arrivals::Poisson => self.random.below(count as u64) as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_arrivals_do_not_drift() {
        let mut schedule = Schedule::new(Arrivals::Constant, 3.0, 1_000, 0.0, Prng::new(1));
        assert_eq!(schedule.next_ns(), 1_000);
        for _ in 0..3_000_000 {
            schedule.advance();
        }
        assert_eq!(schedule.next_ns(), 1_000 + 1_000_000 * 1_000_000_000);
    }

    #[test]
    fn poisson_arrivals_have_the_mean_and_the_spread() {
        let mut schedule = Schedule::new(Arrivals::Poisson, 1000.0, 0, 0.0, Prng::new(7));
        let (mut last, mut sum_of_squares) = (0.0, 0.0);
        let count = 200_000;
        for _ in 0..count {
            let next = schedule.next_ns() as f64;
            sum_of_squares += (next - last) * (next - last);
            last = next;
            schedule.advance();
        }
        let mean = last / f64::from(count);
        assert!((mean / 1e6 - 1.0).abs() < 0.02, "{mean}");
        // For exponential gaps the mean square is twice the squared mean.
        let ratio = sum_of_squares / f64::from(count) / (mean * mean);
        assert!((ratio - 2.0).abs() < 0.1, "{ratio}");
    }

    #[test]
    fn the_same_seed_gives_the_same_times() {
        let times = |seed| {
            let mut schedule = Schedule::new(Arrivals::Poisson, 10.0, 5, 0.5, Prng::new(seed));
            (0..100).map(|_| (schedule.next_ns(), schedule.advance())).collect::<Vec<_>>()
        };
        assert_eq!(times(3), times(3));
        assert_ne!(times(3), times(4));
    }
}
