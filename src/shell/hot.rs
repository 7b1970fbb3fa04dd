//! The hot task: turns, and the two ways to wait between them.
//!
//! 1. Spin for at most [`SPIN`], only while recent waits were that short: a peer on another core is
//!    about to answer, and sleeping would cost more than looking.
//! 2. Block in the own ring. While glommio has work of ours (background threads), for at most
//!    [`BLOCK`], since its results come through glommio and its tasks stand still meanwhile;
//!    otherwise for at most [`BLOCK_IDLE`].
//!
//! The hot task never parks in glommio. glommio 0.9 can park with runnable tasks when a reactor
//! event comes at the wrong moment: a pause of the whole process is enough, and with idle-priority
//! spinners on every core a parked shard slept until the watchdog woke it, a second later, as a
//! matter of course. A wait inside the own ring is not exposed to that.
//!
//! While background work is under way the hot task yields to glommio by a short sleep every [`PASS`]:
//! a yield would keep this task runnable, and glommio looks at its own rings and timers only when
//! nothing is. Such a pass is a park too, so heartbeats end it, fast ones while work is open, and the
//! watchdog wakes from outside (see [`super::watch`]). With nothing of ours under way there is none.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::clock;
use super::fatal;
use super::turn::{After, Shard};
use super::turn_meter::TurnMeter;
use super::watch::{Pulse, State};
use crate::shard::engine::Engine;
use crate::time::Instant;

/// Longest spin.
const SPIN: Duration = Duration::from_micros(20);
/// Longest wait inside the own ring while glommio has work of ours.
const BLOCK: Duration = Duration::from_micros(200);
/// Longest wait inside the own ring otherwise. Bounds how late the heartbeats and a stop are seen.
const BLOCK_IDLE: Duration = Duration::from_millis(100);
/// Time between passes through glommio's reactor while it has work of ours.
const PASS: Duration = Duration::from_micros(500);
/// What a pass sleeps. Zero would return at once without a look at the reactor.
const PASS_SLEEP: Duration = Duration::from_micros(1);
/// Heartbeat periods while somebody waits for this shard; no multiple of each other, so that they
/// cannot all meet the same bad moment.
const HEARTBEATS_FAST: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(37)];
/// Heartbeat period otherwise.
const HEARTBEAT_SLOW: Duration = Duration::from_millis(150);
/// Fast heartbeats go on for so long after the last work.
const CALM_AFTER: Duration = Duration::from_millis(300);
/// How sure spinning has to be of success: short waits count up, long ones count down.
const SPIN_CONFIDENCE_MAX: i32 = 8;

/// Runs a shard until it has stopped. Inside an executor, as its main future.
pub(super) async fn run<E: Engine>(shard: &mut Shard<E>, should_stop: &dyn Fn() -> bool) {
    let mut waiter = Waiter {
        heart: Rc::new(Heart {
            beats: Cell::new(true),
            fast: Cell::new(0),
            until: Cell::default(),
        }),
        passed: clock::instant(),
        spin_confidence: 0,
    };
    waiter.heart.start_slow();
    let pulse = Arc::clone(&shard.pulse);
    answer_nudges(&pulse);
    let mut meter = TurnMeter::new();
    loop {
        if !shard.is_stopping() && should_stop() {
            shard.stop();
        }
        meter.begin();
        let after = shard.turn();
        meter.end(shard.pulse.last_operation());
        match after {
            After::Stopped => break,
            After::Again => {
                enter(shard);
                waiter.pass_if_due(shard).await;
            }
            After::Wait { until } => waiter.wait(shard, until).await,
        }
    }
    shard.wind_up();
    waiter.heart.beats.set(false);
    pulse.set(State::Gone);
}

fn enter<E: Engine>(shard: &mut Shard<E>) {
    if (shard.ring.has_unsubmitted() || shard.ring.has_news())
        && let Err(error) = shard.ring.enter()
    {
        fatal::ring_failed(&error);
    }
}

struct Waiter {
    heart: Rc<Heart>,
    /// When glommio last had its turn.
    passed: Instant,
    spin_confidence: i32,
}

impl Waiter {
    /// Lets glommio look at its rings and timers, if it is time.
    async fn pass_if_due<E: Engine>(&mut self, shard: &Shard<E>) {
        if shard.background.open() > 0 && clock::instant().since(self.passed) >= PASS {
            shard.pulse.set(State::Passing);
            glommio::timer::sleep(PASS_SLEEP).await;
            shard.pulse.set(State::Awake);
            self.passed = clock::instant();
        }
    }

    /// Submits, and returns when there is something to do or `until` has come.
    async fn wait<E: Engine>(&mut self, shard: &mut Shard<E>, until: Option<Instant>) {
        enter(shard);
        if shard.has_news() {
            self.pass_if_due(shard).await;
            return;
        }
        let began = clock::instant();
        if shard.has_open_work() {
            self.heart.start_fast(began);
        }
        if self.spin_confidence > 0 {
            loop {
                for _ in 0..16 {
                    std::hint::spin_loop();
                }
                if shard.has_news() {
                    self.learn(true);
                    enter(shard);
                    self.pass_if_due(shard).await;
                    return;
                }
                if clock::instant().since(began) >= SPIN {
                    break;
                }
            }
        }
        if !shard.mesh.fall_asleep() {
            return;
        }
        let longest = if shard.background.open() > 0 { BLOCK } else { BLOCK_IDLE };
        let left = until.map_or(longest, |until| until.since(began).min(longest));
        shard.pulse.set(State::Parked { open: shard.has_open_work() });
        if let Err(error) = shard.ring.wait(left) {
            fatal::ring_failed(&error);
        }
        shard.pulse.set(State::Awake);
        let waited = clock::instant().since(began);
        self.learn(waited < SPIN * 2);
        shard.mesh.wake_up();
        self.pass_if_due(shard).await;
    }

    fn learn(&mut self, was_short: bool) {
        let change = if was_short { 1 } else { -1 };
        self.spin_confidence =
            (self.spin_confidence + change).clamp(-SPIN_CONFIDENCE_MAX, SPIN_CONFIDENCE_MAX);
    }
}

/// The timers that keep glommio's executor from sleeping for ever.
struct Heart {
    beats: Cell<bool>,
    /// Fast heartbeats running.
    fast: Cell<usize>,
    /// Fast heartbeats are wanted until then.
    until: Cell<Instant>,
}

impl Heart {
    fn start_slow(self: &Rc<Heart>) {
        let heart = Rc::clone(self);
        glommio::spawn_local(async move {
            while heart.beats.get() {
                glommio::timer::sleep(HEARTBEAT_SLOW).await;
            }
        })
        .detach();
    }

    fn start_fast(self: &Rc<Heart>, now: Instant) {
        self.until.set(now + CALM_AFTER);
        if self.fast.get() > 0 {
            return;
        }
        for period in HEARTBEATS_FAST {
            self.fast.set(self.fast.get() + 1);
            let heart = Rc::clone(self);
            glommio::spawn_local(async move {
                while heart.beats.get() && clock::instant() < heart.until.get() {
                    glommio::timer::sleep(period).await;
                }
                heart.fast.set(heart.fast.get() - 1);
            })
            .detach();
        }
    }
}

/// A task that does nothing but wait to be woken from another thread: such a wake reaches an
/// executor even when it sleeps with runnable tasks.
fn answer_nudges(pulse: &Arc<Pulse>) {
    let pulse = Arc::clone(pulse);
    let nudged: std::pin::Pin<Box<dyn Future<Output = ()>>> =
        Box::pin(std::future::poll_fn(move |context| pulse.on_polled(context.waker())));
    glommio::spawn_local(nudged).detach();
}
