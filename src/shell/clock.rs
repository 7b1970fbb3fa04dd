//! The only clock: both times are read together, once per turn of a shard.

use crate::shell::sys;
use crate::time::{Instant, Now, Timestamp};

/// Both clocks now. [`Instant`] is CLOCK_MONOTONIC, so the ring's absolute timeouts take it as is.
#[must_use]
pub fn now() -> Now {
    Now { instant: instant(), timestamp: Timestamp(sys::realtime_millis()) }
}

/// The monotonic clock alone.
#[must_use]
pub fn instant() -> Instant {
    Instant(sys::monotonic_nanos())
}
