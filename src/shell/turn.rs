//! One turn of a shard: completions, messages and results become facts for the engine, its actions
//! are carried out, sends are started. Never waits and never awaits; how a shard waits between turns
//! is [`super::hot`].
//!
//! Every part of a turn is bounded, and what is left over makes the next turn begin at once.

use std::sync::Arc;
use std::time::Duration;

use super::background::Background;
use super::buffers::Buffers;
use super::clock;
use super::connection::{Connections, FileSource, Listener};
use super::descriptors::Descriptors;
use super::disk::{Disk, JournalFiles};
use super::fatal;
use super::finished::Finished;
use super::mesh::Mesh;
use super::operation::Operation;
use super::ring::{Completion, Ring};
use super::segment_files::SegmentFiles;
use super::watch::Pulse;
use crate::shard::engine::{Action, Engine};
use crate::time::{Instant, Now, earlier};

/// Completions taken in one turn.
const COMPLETIONS_PER_TURN: usize = 512;

/// How long peers have to take their last replies once the engine has stopped.
const LAST_REPLIES: Duration = Duration::from_secs(2);

/// What a turn left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// There is more to do at once.
    Again,
    /// Everything waits for something.
    Wait {
        /// When the next turn must begin at the latest.
        until: Option<Instant>,
    },
    /// The engine has stopped and its last replies are out.
    Stopped,
}

/// A shard and everything it owns. The ring comes first, so that it is dropped, and with it every
/// operation under way, before the memory its operations point to.
pub(super) struct Shard<E: Engine> {
    pub(super) ring: Ring,
    buffers: Buffers,
    engine: E,
    connections: Connections,
    listener: Listener,
    pub(super) mesh: Mesh<E::Message>,
    disk: Disk,
    journal: JournalFiles,
    files: SegmentFiles,
    pub(super) background: Background<Finished>,
    pub(super) pulse: Arc<Pulse>,
    completions: Vec<Completion>,
    /// Deadline of the earliest timeout in the ring.
    armed: Option<Instant>,
    stopping: bool,
    /// When the engine said that it is done.
    stopped: Option<Instant>,
}

/// The parts a shard is made of.
pub(super) struct Parts<E: Engine> {
    /// The own ring.
    pub ring: Ring,
    /// Decides.
    pub engine: E,
    /// Bound, not listening.
    pub listener: Listener,
    /// To the other shards.
    pub mesh: Mesh<E::Message>,
    /// File work.
    pub disk: Disk,
    /// Journal files.
    pub journal: JournalFiles,
    /// Blocking work.
    pub background: Background<Finished>,
    /// For the watchdog.
    pub pulse: Arc<Pulse>,
    /// Largest request frame, in bytes.
    pub frame_bytes_max: usize,
    /// Of the process.
    pub descriptors: Arc<Descriptors>,
}

impl<E: Engine> Shard<E> {
    /// Puts the parts together.
    pub(super) fn new(parts: Parts<E>) -> std::io::Result<Shard<E>> {
        let Parts { ring, engine, listener, mesh, disk, journal, background, pulse, .. } = parts;
        let buffers = Buffers::new(&ring)?;
        Ok(Shard {
            ring,
            buffers,
            engine,
            connections: Connections::new(parts.frame_bytes_max, Arc::clone(&parts.descriptors)),
            listener,
            mesh,
            disk,
            journal,
            files: SegmentFiles::new(parts.descriptors),
            background,
            pulse,
            completions: Vec::with_capacity(COMPLETIONS_PER_TURN),
            armed: None,
            stopping: false,
            stopped: None,
        })
    }

    /// Lets peers connect.
    pub(super) fn listen(&mut self) -> std::io::Result<()> {
        self.listener.start(&mut self.ring)
    }

    /// The process was asked to stop: no more connections, and the engine winds up.
    pub(super) fn stop(&mut self) {
        if !self.stopping {
            self.stopping = true;
            self.listener.stop(&mut self.ring);
            self.engine.on_stop(clock::now());
        }
    }

    /// Whether the next start needs this one's journals, as far as this shard knows. A file that is
    /// still being made for later is needed by nobody.
    #[must_use]
    pub(super) fn needs_journals(&self) -> bool {
        self.engine.needs_journals()
    }

    /// Whether [`Shard::stop`] was called.
    #[must_use]
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Whether somebody waits for this shard: then it is watched more closely.
    #[must_use]
    pub(super) fn has_open_work(&self) -> bool {
        self.journal.outstanding() > 0
            || self.disk.outstanding() > 0
            || self.background.open() > 0
            || self.connections.sending()
            || self.mesh.has_spilled()
    }

    /// Whether there is something to do that no completion will announce.
    #[must_use]
    fn has_work(&self) -> bool {
        self.connections.has_work(self.engine.may_read())
            || self.disk.has_ended()
            || self.journal.has_ended()
            || self.background.has_finished()
            || self.mesh.has_messages()
            || self.mesh.has_spilled()
    }

    /// Whether anything happened since the last turn. No system call.
    #[must_use]
    pub(super) fn has_news(&mut self) -> bool {
        self.ring.has_news() || self.mesh.has_messages() || self.background.has_finished()
    }

    /// One turn. The caller enters the ring before and after.
    pub(super) fn turn(&mut self) -> After {
        let now = clock::now();
        self.pulse.turn(now.instant);
        self.reap(now);
        self.take_results(now);
        let engine = &mut self.engine;
        self.mesh.receive(|from, message| engine.on_message(from, message, now));
        if engine.next_deadline().is_some_and(|deadline| deadline <= now.instant) {
            engine.on_time(now);
        }
        self.connections.on_time(&mut self.ring, now.instant);
        self.files.sweep(now.instant);
        self.connections.release_held(&mut self.engine, &mut self.ring, now);
        self.carry_out(now);
        let mut source = FileSource {
            files: &mut self.files,
            background: &self.background,
            place: self.disk.place(),
        };
        self.connections.pump_all(&mut self.ring, &mut source, now.instant);
        self.mesh.flush(&mut self.ring);
        if let Some(stopped) = self.stopped {
            let until = stopped + LAST_REPLIES;
            let unsent = self.connections.has_unsent() || self.mesh.has_spilled();
            if !unsent || until <= now.instant {
                return After::Stopped;
            }
            return if self.has_work() { After::Again } else { After::Wait { until: Some(until) } };
        }
        if self.has_work() {
            return After::Again;
        }
        let until = earlier(self.engine.next_deadline(), self.connections.next_deadline());
        // Already due again: the engine moves on with every call, so this is not a loop for ever.
        if until.is_some_and(|until| until <= now.instant) {
            return After::Again;
        }
        After::Wait { until }
    }

    fn reap(&mut self, now: Now) {
        let mut completions = std::mem::take(&mut self.completions);
        self.ring.reap(&mut completions, COMPLETIONS_PER_TURN);
        for completion in completions.drain(..) {
            self.on_completion(completion, now);
        }
        self.completions = completions;
    }

    fn on_completion(&mut self, completion: Completion, now: Now) {
        self.pulse.doing(completion.operation);
        let Shard { ring, engine, connections, .. } = self;
        match completion.operation {
            Operation::Accept => {
                if let Some(socket) = self.listener.on_accepted(completion, ring) {
                    connections.accept(socket, engine, ring, now);
                }
            }
            Operation::AcceptRetry => self.listener.on_retry(ring),
            Operation::Receive(slot) => {
                connections.on_received(slot, completion, engine, ring, &mut self.buffers, now);
            }
            Operation::Send(slot) => connections.on_send_completed(slot, completion, ring),
            Operation::Writable(slot) => connections.on_writable(slot),
            Operation::Journal(index) => self.journal.on_completed(index, completion, ring),
            Operation::Deadline => {
                // A later timeout than the one that counts may still be in the ring; it will find
                // nothing due.
                if self.armed.is_some_and(|armed| armed <= now.instant) {
                    self.armed = None;
                }
            }
            Operation::Knock(shard) => {
                if completion.result < 0 {
                    self.mesh.on_knock_failed(shard);
                }
            }
            Operation::Knocked | Operation::Cancel => {}
        }
    }

    fn take_results(&mut self, now: Now) {
        while let Some(finished) = self.background.take() {
            match finished {
                Finished::Warmed { connection, key, result } => {
                    let Shard { connections, files, ring, .. } = self;
                    connections.on_warmed(connection, key, result, files, ring, now.instant);
                }
                Finished::Files(batch) => self.disk.on_batch(*batch, &self.background),
                Finished::Read(done) => self.disk.on_read(done, &mut self.files, now),
                Finished::Inspected(job, inspected) => self.disk.on_inspected(job, *inspected),
                Finished::JournalFile(made) => self.journal.on_made(made),
                Finished::JournalFilled(filled) => {
                    self.journal.on_filled(filled, &mut self.ring, &self.background);
                }
            }
        }
        self.journal.tell(&mut self.engine, now);
        self.disk.tell(&mut self.engine, now);
        self.connections.tell(&mut self.engine, now);
    }

    /// Carries out the engine's actions, in order, until it has no more.
    fn carry_out(&mut self, now: Now) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Reply { connection, reply } => self.connections.reply(connection, reply),
                Action::Pause(connection) => self.connections.pause(connection, &mut self.ring),
                Action::Resume(connection) => self.connections.resume(connection),
                Action::Close { connection, flush } => {
                    self.connections.close(connection, flush, &mut self.ring);
                }
                Action::Message { to, message } => self.mesh.send(to, message),
                Action::Journal(lane, action) => {
                    self.journal.begin(lane, action, &mut self.ring, &self.background);
                }
                Action::File(job) => {
                    self.disk.begin(job, &mut self.files, &self.background, now);
                }
                Action::Stopped => self.stopped = self.stopped.or(Some(now.instant)),
                Action::Fatal(reason) => fatal::end(&reason),
            }
        }
    }

    /// Ends what is left: connections are closed, and the ring is emptied as far as it can be in
    /// the given number of rounds.
    pub(super) fn wind_up(&mut self) {
        self.listener.stop(&mut self.ring);
        self.connections.end_all(&mut self.ring);
        let now = clock::now();
        for _ in 0..100 {
            // Timeouts and the like are of no matter; the rest ends at once when cancelled.
            if self.ring.wait(Duration::from_millis(2)).is_err() {
                break;
            }
            self.reap(now);
            if self.connections.is_empty() && self.journal.outstanding() == 0 {
                break;
            }
        }
        self.connections.tell(&mut self.engine, now);
    }
}
