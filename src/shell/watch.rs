//! The watchdog: a plain thread that sees shards stand still, wakes them and says so.
//!
//! A shard with work that takes no turn for [`STALLED`] is reported, once per stall, and woken by
//! both ways in: its eventfd and a waker of its executor. A parked shard without known work is woken
//! just as often, without a word: if its executor lost a wake-up, requests may wait in its sockets
//! unseen. When the watchdog itself overslept, the whole process was paused, and every shard is
//! woken at once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::{info, warn};

use super::clock;
use super::mesh::Door;
use super::operation::Operation;
use crate::time::Instant;

/// How often the watchdog looks.
const LOOK: Duration = Duration::from_millis(250);
/// A shard without a turn for so long is woken.
const STALLED: Duration = Duration::from_secs(1);

/// What a shard is doing between turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// In a turn, spinning, or in its own ring.
    Awake,
    /// Letting glommio have a turn.
    Passing,
    /// Asleep in glommio.
    Parked {
        /// Somebody waits for this shard.
        open: bool,
    },
    /// Ended.
    Gone,
}

/// A shard's signs of life, written by its own thread only.
pub(super) struct Pulse {
    turned: AtomicU64,
    state: AtomicU64,
    operation: AtomicU64,
    /// The waker of a task in the executor, and whether the shard has ended.
    nudge: Mutex<Option<Waker>>,
    gone: AtomicBool,
}

impl Default for Pulse {
    fn default() -> Pulse {
        Pulse {
            turned: AtomicU64::new(clock::instant().0),
            state: AtomicU64::new(0),
            operation: AtomicU64::new(Operation::Cancel.pack()),
            nudge: Mutex::new(None),
            gone: AtomicBool::new(false),
        }
    }
}

impl Pulse {
    /// A turn begins.
    pub(super) fn turn(&self, now: Instant) {
        self.turned.store(now.0, Ordering::Relaxed);
    }

    /// What the turn is busy with.
    pub(super) fn doing(&self, operation: Operation) {
        self.operation.store(operation.pack(), Ordering::Relaxed);
    }

    /// What the last turn was busy with at its end.
    pub(super) fn last_operation(&self) -> Operation {
        Operation::unpack(self.operation.load(Ordering::Relaxed))
    }

    /// What the shard does now.
    pub(super) fn set(&self, state: State) {
        let bits = match state {
            State::Awake => 0,
            State::Passing => 1,
            State::Parked { open: false } => 2,
            State::Parked { open: true } => 3,
            State::Gone => 4,
        };
        self.state.store(bits, Ordering::Relaxed);
        if state == State::Gone {
            self.gone.store(true, Ordering::SeqCst);
            self.nudge();
        }
    }

    fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            0 => State::Awake,
            1 => State::Passing,
            2 => State::Parked { open: false },
            3 => State::Parked { open: true },
            _ => State::Gone,
        }
    }

    /// Polls the task that is woken by [`Pulse::nudge`]. One waker is out at a time, since glommio
    /// counts them in 16 bits.
    pub(super) fn on_polled(&self, waker: &Waker) -> Poll<()> {
        if self.gone.load(Ordering::SeqCst) {
            return Poll::Ready(());
        }
        let mut nudge = self.nudge.lock().unwrap_or_else(PoisonError::into_inner);
        *nudge = Some(waker.clone());
        Poll::Pending
    }

    /// Wakes the executor from another thread.
    fn nudge(&self) {
        let waker = self.nudge.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// What the watchdog knows of a shard.
struct Watched {
    pulse: Arc<Pulse>,
    reported: bool,
}

/// The running watchdog.
pub(super) struct Watchdog {
    end: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watchdog {
    /// Watches these shards, in order of shard.
    pub(super) fn start(pulses: Vec<Arc<Pulse>>, doors: Arc<[Door]>) -> std::io::Result<Watchdog> {
        let end = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&end);
        let mut shards: Vec<Watched> =
            pulses.into_iter().map(|pulse| Watched { pulse, reported: false }).collect();
        let thread = std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
            let mut looked = clock::instant();
            while !ends.load(Ordering::SeqCst) {
                std::thread::park_timeout(LOOK);
                let now = clock::instant();
                let overslept = now.since(looked) > LOOK * 2;
                looked = now;
                for (shard, watched) in shards.iter_mut().enumerate() {
                    watched.look(shard, &doors[shard], overslept, now);
                }
            }
        })?;
        Ok(Watchdog { end, thread })
    }

    /// Ends it.
    pub(super) fn stop(self) {
        self.end.store(true, Ordering::SeqCst);
        self.thread.thread().unpark();
        // It panics only where the process ends anyway.
        let _ = self.thread.join();
    }
}

impl Watched {
    fn look(&mut self, shard: usize, door: &Door, overslept: bool, now: Instant) {
        let state = self.pulse.state();
        if state == State::Gone {
            return;
        }
        let still = now.since(Instant(self.pulse.turned.load(Ordering::Relaxed)));
        if still < STALLED {
            if self.reported {
                self.reported = false;
                info!(shard, "a shard moves again");
            }
            if overslept {
                self.wake(door);
            }
            return;
        }
        if state != (State::Parked { open: false }) && !overslept && !self.reported {
            self.reported = true;
            let operation = self.pulse.last_operation();
            warn!(
                shard,
                ?state,
                ?operation,
                still_ms = still.as_millis() as u64,
                "a shard stands still; waking it"
            );
        }
        self.wake(door);
    }

    fn wake(&self, door: &Door) {
        door.wake();
        self.pulse.nudge();
    }
}
