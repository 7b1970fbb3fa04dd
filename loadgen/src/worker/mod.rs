//! One thread of the generator: an event loop over its connections.
//!
//! A worker writes ([`Producing`]), reads ([`Fetching`]), or both. It never waits for anything but
//! readiness of its sockets and the next intended send time. It knows nothing of other workers but
//! a few shared counters, and reports what it counted once a second.
//!
//! Invariants: the intended time of a request is set by the schedule alone; a request is either
//! recorded once or counted as unanswered.

mod fetching;
mod producing;
mod stamp;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;

pub(crate) use fetching::{FetchPartition, Fetching, Inspect};
pub(crate) use producing::{Cargo, Producer, Producing, ProducingSetup};
pub(crate) use stamp::STAMP_BYTES;

use crate::failure::Failure;
use crate::system::{self, Poller, Readiness};
use crate::tally::{Clock, Recent, Tally};

/// When a run measures and when it ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Warm-up is before, measurement after.
    pub(crate) measure_from_ns: u64,
    /// Nothing is sent any more from here on.
    pub(crate) stop_ns: Option<u64>,
    /// How long answers are waited for afterwards.
    pub(crate) patience_ns: u64,
}

/// Counters that the workers of one run share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Workers that have sent all they will, and got all their answers.
    pub(crate) producing_done: AtomicUsize,
    pub(crate) producing_workers: AtomicUsize,
    pub(crate) acknowledged_records: AtomicU64,
    pub(crate) received_records: AtomicU64,
    /// A worker failed: all end.
    pub(crate) failed: AtomicUsize,
}

/// What a worker tells the run once a second and at its end.
#[derive(Debug)]
pub(crate) enum News {
    Counted(Box<(Recent, Tally)>),
    Ended(Option<Failure>),
}

/// One thread's part of a run.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) clock: Clock,
    pub(crate) timing: Timing,
    pub(crate) producing: Option<Producing>,
    pub(crate) fetching: Option<Fetching>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) news: Sender<News>,
}

/// What both sides of a worker count into.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) recent: Recent,
    pub(crate) tally: Tally,
}

const SECOND_NS: u64 = 1_000_000_000;
/// Longest sleep: how soon an interrupt or another worker's failure is noticed.
const NAP_NS: u64 = 100_000_000;

impl Worker {
    /// Runs to the end and reports.
    pub(crate) fn run(mut self) {
        let mut counts = Counts::default();
        let result = self.work(&mut counts);
        if result.is_err() {
            self.shared.failed.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(producing) = &self.producing {
            counts.tally.unanswered_requests += producing.unanswered();
        }
        self.report(&mut counts);
        // The run may have ended for another reason and no longer listen.
        let _ = self.news.send(News::Ended(result.err()));
    }

    fn report(&self, counts: &mut Counts) {
        let Counts { recent, tally } = std::mem::take(counts);
        let _ = self.news.send(News::Counted(Box::new((recent, tally))));
    }

    fn work(&mut self, counts: &mut Counts) -> Result<(), Failure> {
        let local = |error: std::io::Error| Failure::Local(format!("epoll: {error}"));
        let mut poller = Poller::new().map_err(local)?;
        let produce_lanes = self.producing.as_ref().map_or(0, Producing::lane_count);
        if let Some(producing) = &self.producing {
            producing.watch(&poller).map_err(local)?;
        }
        if let Some(fetching) = &self.fetching {
            fetching.watch(&poller, produce_lanes).map_err(local)?;
        }
        let mut ready: Vec<Readiness> = Vec::new();
        let mut report_ns = self.clock.now_ns() + SECOND_NS;
        let mut producing_done = self.producing.is_none();
        loop {
            let now_ns = self.clock.now_ns();
            if system::is_interrupted() || self.shared.failed.load(Ordering::Relaxed) > 0 {
                return Ok(());
            }
            if now_ns >= report_ns {
                self.report(counts);
                report_ns += SECOND_NS * (1 + (now_ns - report_ns) / SECOND_NS);
            }
            let mut wake_ns = report_ns.min(now_ns + NAP_NS);
            if let Some(producing) = &mut self.producing {
                producing.dispatch(now_ns, &self.timing, counts)?;
                wake_ns = wake_ns.min(producing.wake_ns(&self.timing));
                if !producing_done && producing.is_done(now_ns, &self.timing) {
                    producing_done = true;
                    self.shared.producing_done.fetch_add(1, Ordering::Release);
                }
            }
            let mut fetching_done = true;
            if let Some(fetching) = &mut self.fetching {
                fetching.dispatch(now_ns)?;
                wake_ns = wake_ns.min(fetching.wake_ns());
                fetching_done = fetching.is_done(now_ns, &self.timing, &self.shared);
            }
            if producing_done && fetching_done {
                return Ok(());
            }
            ready.clear();
            poller.wait(wake_ns.saturating_sub(self.clock.now_ns()), &mut ready).map_err(local)?;
            for event in &ready {
                let (producing, fetching) = (&mut self.producing, &mut self.fetching);
                match event.token.checked_sub(produce_lanes) {
                    None => {
                        if let Some(producing) = producing {
                            producing.on_ready(
                                event,
                                &self.clock,
                                &self.timing,
                                &self.shared,
                                counts,
                            )?;
                        }
                    }
                    Some(lane) => {
                        if let Some(fetching) = fetching {
                            fetching.on_ready(
                                lane,
                                event,
                                &self.clock,
                                &self.timing,
                                &self.shared,
                                counts,
                            )?;
                        }
                    }
                }
            }
        }
    }
}
