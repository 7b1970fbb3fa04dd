//! Whether the wall clock can be believed when records are deleted by age.
//!
//! A clock that jumps forward would make everything old at once, and what retention deletes does
//! not come back. So the wall clock is compared with the monotonic one between two calls; after a
//! jump nothing is deleted by age until the new time has held for a while, or the old is back.

use std::time::Duration;

use crate::time::{Instant, Now};

/// Largest difference between wall clock and monotonic clock, since the last call, that is not
/// taken for a jump. Also how far a record's timestamp may lie ahead of its append and still count.
pub const CLOCK_STEP_MAX: Duration = Duration::from_secs(3600);
/// How long the clock has to go evenly after a jump before it is believed again.
pub const CLOCK_CONFIRM: Duration = Duration::from_secs(3600);

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClockGuard {
    /// The last reading on the line that is believed.
    trusted: Option<Now>,
    /// Since a jump: the last reading on the new line, and when the line began.
    doubted: Option<(Now, Instant)>,
}

impl ClockGuard {
    /// Takes a reading of both clocks; returns whether the wall clock may be believed.
    pub fn check(&mut self, now: Now) -> bool {
        let Some(trusted) = self.trusted else {
            self.trusted = Some(now);
            return true;
        };
        if on_line(trusted, now) {
            self.trusted = Some(now);
            self.doubted = None;
            return true;
        }
        let began = match self.doubted {
            Some((last, began)) if on_line(last, now) => began,
            _ => now.instant,
        };
        if CLOCK_CONFIRM <= now.instant.since(began) {
            self.trusted = Some(now);
            self.doubted = None;
            return true;
        }
        self.doubted = Some((now, began));
        false
    }
}

/// Whether both clocks have gone the same way from one reading to the next.
fn on_line(earlier: Now, later: Now) -> bool {
    let passed_ms = later.instant.since(earlier.instant).as_millis();
    let passed_ms = i64::try_from(passed_ms).unwrap_or(i64::MAX);
    let expected = earlier.timestamp.0.saturating_add(passed_ms);
    u128::from(expected.abs_diff(later.timestamp.0)) <= CLOCK_STEP_MAX.as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    const HOUR_MS: i64 = 3_600_000;

    fn at(monotonic_ms: i64, wall_ms: i64) -> Now {
        Now { instant: Instant(monotonic_ms as u64 * 1_000_000), timestamp: Timestamp(wall_ms) }
    }

    #[test]
    fn an_even_clock_is_believed() {
        let mut guard = ClockGuard::default();
        for hour in 0..100 {
            // Half a second per hour is drift, not a jump; a day without a call is no jump either.
            assert!(guard.check(at(hour * 24 * HOUR_MS, hour * (24 * HOUR_MS + 500))));
        }
    }

    #[test]
    fn a_jump_is_refused_until_it_has_held() {
        for jump in [400 * 24 * HOUR_MS, -2 * HOUR_MS] {
            let mut guard = ClockGuard::default();
            let wall = 1_000 * HOUR_MS;
            assert!(guard.check(at(0, wall)));
            assert!(!guard.check(at(1_000, wall + 1_000 + jump)));
            assert!(!guard.check(at(HOUR_MS, wall + HOUR_MS + jump)));
            assert!(guard.check(at(HOUR_MS + 1_000, wall + HOUR_MS + 1_000 + jump)));
            assert!(guard.check(at(HOUR_MS + 2_000, wall + HOUR_MS + 2_000 + jump)));
        }
    }

    #[test]
    fn a_clock_that_comes_back_is_believed_at_once() {
        let mut guard = ClockGuard::default();
        assert!(guard.check(at(0, 0)));
        assert!(!guard.check(at(1_000, 24 * HOUR_MS)));
        assert!(guard.check(at(2_000, 2_000)));
    }

    #[test]
    fn every_further_jump_starts_the_wait_again() {
        let mut guard = ClockGuard::default();
        assert!(guard.check(at(0, 0)));
        assert!(!guard.check(at(1_000, 24 * HOUR_MS)));
        assert!(!guard.check(at(HOUR_MS, 48 * HOUR_MS)));
        assert!(!guard.check(at(HOUR_MS + 2_000, 48 * HOUR_MS + 2_000)));
        assert!(guard.check(at(2 * HOUR_MS, 49 * HOUR_MS)));
    }
}
