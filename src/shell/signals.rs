//! SIGTERM and SIGINT: the first asks every shard to stop in order, the second ends the process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing::{error, info};

use super::fatal::{self, ExitStatus};
use super::mesh::Door;

/// How long an orderly stop may take.
pub const STOP_MAX: Duration = Duration::from_secs(30);

/// Tells every shard to stop.
pub struct StopSwitch {
    asked: AtomicBool,
    doors: Arc<[Door]>,
}

impl StopSwitch {
    /// For the shards behind these doors.
    #[must_use]
    pub fn new(doors: Arc<[Door]>) -> StopSwitch {
        StopSwitch { asked: AtomicBool::new(false), doors }
    }

    /// Asks the shards to stop, and wakes those that sleep.
    pub fn stop(&self) {
        self.asked.store(true, Ordering::SeqCst);
        for door in self.doors.iter() {
            door.wake();
        }
    }

    /// Whether the shards were asked to stop.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Turns the process's signals into an orderly stop, on a thread of its own. SIGPIPE is ignored:
/// a peer that went away is an error of its connection.
pub fn listen(switch: Arc<StopSwitch>) -> io::Result<()> {
    super::sys::ignore_broken_pipes();
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if switch.is_asked() {
                error!(signal, "asked to stop again; ending at once");
                fatal::exit(ExitStatus::Forced);
            }
            info!(signal, "stopping");
            switch.stop();
            std::thread::spawn(|| {
                std::thread::sleep(STOP_MAX);
                error!(seconds = STOP_MAX.as_secs(), "the stop takes too long; ending at once");
                fatal::exit(ExitStatus::Forced);
            });
        }
    })?;
    Ok(())
}
