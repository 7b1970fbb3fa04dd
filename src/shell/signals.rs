//! SIGTERM and SIGINT: the first asks every shard to stop in order, the second ends the process.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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

impl std::fmt::Debug for StopSwitch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StopSwitch").field("asked", &self.asked).finish_non_exhaustive()
    }
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

/// Whom a signal reaches.
#[derive(Debug)]
enum Stage {
    /// Nobody yet.
    Starting,
    /// These shards.
    Serving(Arc<StopSwitch>),
}

/// The process's signals, on their way to an orderly stop.
#[derive(Clone, Debug)]
pub struct StopSignals {
    stage: Arc<Mutex<Stage>>,
}

impl StopSignals {
    /// Listens from now on, on a thread of its own. SIGPIPE is ignored: a peer that went away is an
    /// error of its connection.
    ///
    /// # Errors
    /// The system gives no thread or no descriptors.
    pub fn listen() -> io::Result<StopSignals> {
        super::sys::ignore_broken_pipes();
        let mut signals = Signals::new([SIGTERM, SIGINT])?;
        let stop = StopSignals { stage: Arc::new(Mutex::new(Stage::Starting)) };
        let stage = Arc::clone(&stop.stage);
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                let stage = stage.lock().unwrap_or_else(PoisonError::into_inner);
                match &*stage {
                    Stage::Starting => {
                        info!(signal, "stopped before the start was complete");
                        // With the lock held: no port opens any more.
                        fatal::exit(ExitStatus::Stopped);
                    }
                    Stage::Serving(switch) => ask(switch, signal),
                }
            }
        })?;
        Ok(stop)
    }

    /// From now on a signal stops these shards in order. Comes before the first of them takes a
    /// connection.
    pub(super) fn hand_over(&self, switch: Arc<StopSwitch>) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = Stage::Serving(switch);
    }
}

fn ask(switch: &StopSwitch, signal: i32) {
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
