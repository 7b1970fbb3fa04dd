//! How much CPU time turns take, for those who ask with `RINGMAIN_LOG=info,ringmain::turns=debug`.
//!
//! CPU time of the thread, not time on the clock: a turn that waits for its core says something about
//! the machine. It costs two system calls a turn, so it is off unless the log line would be seen.

use std::time::Duration;

use tracing::{Level, debug, enabled};

use super::operation::Operation;
use super::sys;

/// Where the lines go to.
const TARGET: &str = "ringmain::turns";
/// Shorter turns are not worth a line.
const LONG: Duration = Duration::from_millis(10);

/// Measures the turns of one shard.
pub(super) struct TurnMeter {
    /// CPU time of the thread when the turn began, in nanoseconds. `None`: nobody asks.
    began: Option<u64>,
}

impl TurnMeter {
    /// Whether somebody asks is decided once.
    pub(super) fn new() -> TurnMeter {
        TurnMeter { began: enabled!(target: TARGET, Level::DEBUG).then_some(0) }
    }

    /// A turn begins.
    pub(super) fn begin(&mut self) {
        if let Some(began) = &mut self.began {
            *began = sys::thread_cpu_nanos();
        }
    }

    /// It ended; `last` is the last completion it looked at.
    pub(super) fn end(&self, last: Operation) {
        let Some(began) = self.began else { return };
        let took = Duration::from_nanos(sys::thread_cpu_nanos().saturating_sub(began));
        if took >= LONG {
            debug!(target: TARGET, cpu_us = took.as_micros() as u64, ?last, "a long turn");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What a turn that burns so much CPU time writes to the log.
    fn logged(filter: &str, burnt: Duration) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        // As the broker's own lines look, which the abuse rig reads.
        let subscriber = tracing_subscriber::fmt()
            .compact()
            .with_target(false)
            .with_env_filter(filter)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let mut meter = TurnMeter::new();
            meter.begin();
            let until = sys::thread_cpu_nanos() + burnt.as_nanos() as u64;
            while sys::thread_cpu_nanos() < until {}
            meter.end(Operation::Accept);
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_long_turn_is_told_to_those_who_ask() {
        let line = logged("info,ringmain::turns=debug", LONG);
        assert!(line.contains("DEBUG a long turn cpu_us=1"), "{line}");
        assert_eq!(logged("info", LONG), "");
        assert_eq!(logged("info,ringmain::turns=debug", LONG / 4), "");
    }
}
