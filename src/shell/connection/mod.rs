//! The connections of a shard: accepted, read into frames, answered in order, closed.
//!
//! Decides nothing about requests: whole frames go to the engine, replies come from it. Knows the
//! ring and the provided buffers; time is handed in.
//!
//! Invariants
//! - A slot has at most one receive and one send (or wait for writability) in the ring. Its socket
//!   and buffers live until both have completed, even after the engine has been told that the
//!   connection is gone.
//! - After `on_closed` the engine hears nothing more of a connection id, and the id is never used
//!   again: it carries a serial number beside the slot.
//! - Bytes that arrived while the connection may not be read wait in `stash`; while there is a
//!   stash, nothing new is received, so it is bounded by what was on its way.

mod assembly;
mod gather;
mod listener;
mod outbox;
mod receive;
mod send;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tracing::debug;

pub(super) use listener::Listener;

use self::assembly::Assembly;
use self::gather::Gather;
use self::outbox::Outbox;
use super::background::Background;
use super::descriptors::{Descriptors, Lease};
use super::disk::Place;
use super::finished::Finished;
use super::operation::Operation;
use super::ring::Ring;
use super::segment_files::{SegmentFiles, SegmentKey};
use super::sys;
use crate::ids::ConnectionId;
use crate::shard::engine::{Engine, Reply};
use crate::time::{Instant, Now};

/// Low bits of a connection id that hold its slot.
const SLOT_BITS: u32 = 20;
/// Connections a shard can hold at once, whatever the engine allows.
const SLOTS_MAX: usize = 1 << SLOT_BITS;
/// How long a peer that closed its sending side is kept for replies that are still owed to it.
const LINGER: Duration = Duration::from_secs(2);

/// What the receive in the ring is, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Armed {
    /// None.
    No,
    /// Multishot, into provided buffers.
    Many,
    /// Once, into a provided buffer.
    Once,
    /// Once, straight into the frame under way.
    Direct,
}

/// What the sending side waits for.
enum Sending {
    /// Nothing: the next send may start.
    Idle,
    /// The send in the ring.
    Submitted(Box<Gather>),
    /// Room in the socket, after a file range found it full.
    Writable,
    /// A cold file range.
    File,
}

/// One connection.
struct Connection {
    id: ConnectionId,
    socket: OwnedFd,
    /// Held, not read.
    _descriptor: Lease,
    // Receiving.
    assembly: Assembly,
    armed: Armed,
    cancelling: bool,
    stash: BytesMut,
    /// Frames were large lately: read header and body apart instead of by multishot.
    large_frames: bool,
    small_in_a_row: u32,
    paused: bool,
    /// In `held`.
    held: bool,
    /// The peer sends nothing more.
    ended: bool,
    frames: u64,
    // Sending.
    outbox: Outbox,
    sending: Sending,
    replies: u64,
    /// In `dirty`.
    dirty: bool,
    /// Of this file everything up to this position was just brought into the page cache.
    warm: Option<(SegmentKey, u32)>,
    /// Close once the outbox is empty.
    closing: bool,
    /// The engine knows that it is gone; waits for its last completion.
    gone: bool,
}

impl Connection {
    fn new(
        id: ConnectionId,
        socket: OwnedFd,
        descriptor: Lease,
        frame_bytes_max: usize,
    ) -> Connection {
        Connection {
            id,
            socket,
            _descriptor: descriptor,
            assembly: Assembly::new(frame_bytes_max),
            armed: Armed::No,
            cancelling: false,
            stash: BytesMut::new(),
            large_frames: false,
            small_in_a_row: 0,
            paused: false,
            held: false,
            ended: false,
            frames: 0,
            outbox: Outbox::default(),
            sending: Sending::Idle,
            replies: 0,
            dirty: false,
            warm: None,
            closing: false,
            gone: false,
        }
    }

    fn in_ring(&self) -> bool {
        self.armed != Armed::No || matches!(self.sending, Sending::Submitted(_) | Sending::Writable)
    }
}

/// Something the engine has to be told outside of a completion's own turn.
enum Fact {
    Sent(ConnectionId),
    Closed(ConnectionId),
}

/// The parts of the shard that sending a file range needs.
pub(super) struct FileSource<'a> {
    /// Open segment files.
    pub files: &'a mut SegmentFiles,
    /// Where cold ranges are read.
    pub background: &'a Background<Finished>,
    /// Where the files are.
    pub place: &'a Arc<Place>,
}

/// All connections of a shard.
pub(super) struct Connections {
    slots: Vec<Option<Connection>>,
    free: Vec<u32>,
    serial: u64,
    facts: VecDeque<Fact>,
    /// Slots with bytes or receives held back.
    held: VecDeque<u32>,
    /// Slots with something to send.
    dirty: VecDeque<u32>,
    lingering: VecDeque<(Instant, ConnectionId)>,
    /// Spare ones. In boxes, because the kernel has the address of one that is in use.
    #[allow(clippy::vec_box)]
    gathers: Vec<Box<Gather>>,
    frame_bytes_max: usize,
    descriptors: Arc<Descriptors>,
}

impl Connections {
    /// None yet. Frames longer than `frame_bytes_max` are refused.
    #[must_use]
    pub(super) fn new(frame_bytes_max: usize, descriptors: Arc<Descriptors>) -> Connections {
        Connections {
            slots: Vec::new(),
            free: Vec::new(),
            serial: 0,
            facts: VecDeque::new(),
            held: VecDeque::new(),
            dirty: VecDeque::new(),
            lingering: VecDeque::new(),
            gathers: Vec::new(),
            frame_bytes_max,
            descriptors,
        }
    }

    /// Whether no slot is in use, not even by a connection that waits for its last completion.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    /// Whether a reply has not left in full. Looks at every connection.
    #[must_use]
    pub(super) fn has_unsent(&self) -> bool {
        self.slots.iter().flatten().any(|connection| !connection.outbox.is_empty())
    }

    /// Replies are on their way out.
    #[must_use]
    pub(super) fn sending(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Whether this module has something to do without waiting for the ring.
    #[must_use]
    pub(super) fn has_work(&self, may_read: bool) -> bool {
        !self.facts.is_empty() || !self.dirty.is_empty() || (may_read && !self.held.is_empty())
    }

    /// When [`Connections::on_time`] must be called.
    #[must_use]
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.lingering.front().map(|(at, _)| *at)
    }

    fn slot_of(&self, id: ConnectionId) -> Option<u32> {
        let slot = (id.0 & (SLOTS_MAX as u64 - 1)) as u32;
        let connection = self.slots.get(slot as usize)?.as_ref()?;
        (connection.id == id && !connection.gone).then_some(slot)
    }

    fn at(&mut self, slot: u32) -> &mut Connection {
        self.slots[slot as usize].as_mut().expect("an operation keeps its slot")
    }

    /// Takes an accepted socket in, unless descriptors run short or the engine refuses it.
    pub(super) fn accept<E: Engine>(
        &mut self,
        socket: OwnedFd,
        engine: &mut E,
        ring: &mut Ring,
        now: Now,
    ) {
        let Some(descriptor) = self.descriptors.connection(now.instant) else { return };
        let prepared = sys::peer_address(socket.as_fd()).and_then(|peer| {
            sys::set_no_delay(socket.as_fd())?;
            sys::keep_alive(socket.as_fd())?;
            Ok(peer)
        });
        let peer: SocketAddr = match prepared {
            Ok(peer) => peer,
            Err(error) => {
                debug!(%error, "a connection was gone before it was taken in");
                return;
            }
        };
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots.len() < SLOTS_MAX => {
                self.slots.push(None);
                (self.slots.len() - 1) as u32
            }
            None => return,
        };
        self.serial += 1;
        let id = ConnectionId(self.serial << SLOT_BITS | u64::from(slot));
        if !engine.on_accept(id, peer, now) {
            self.free.push(slot);
            return;
        }
        self.slots[slot as usize] =
            Some(Connection::new(id, socket, descriptor, self.frame_bytes_max));
        self.arm(slot, ring, true);
    }

    /// The engine's `Pause`.
    pub(super) fn pause(&mut self, id: ConnectionId, ring: &mut Ring) {
        if let Some(slot) = self.slot_of(id) {
            self.at(slot).paused = true;
            self.stop_receiving(slot, ring);
        }
    }

    /// The engine's `Resume`.
    pub(super) fn resume(&mut self, id: ConnectionId) {
        if let Some(slot) = self.slot_of(id) {
            self.at(slot).paused = false;
            self.hold(slot);
        }
    }

    /// The engine's `Reply`. Replies to a connection that is gone are dropped.
    pub(super) fn reply(&mut self, id: ConnectionId, reply: Reply) {
        if let Some(slot) = self.slot_of(id) {
            let connection = self.at(slot);
            if connection.closing {
                return;
            }
            connection.outbox.push(reply);
            connection.replies += 1;
            self.make_dirty(slot);
        }
    }

    /// The engine's `Close`.
    pub(super) fn close(&mut self, id: ConnectionId, flush: bool, ring: &mut Ring) {
        if let Some(slot) = self.slot_of(id) {
            let connection = self.at(slot);
            if !flush {
                self.end(slot, ring);
                return;
            }
            connection.closing = true;
            connection.paused = true;
            self.stop_receiving(slot, ring);
            self.make_dirty(slot);
        }
    }

    /// Ends every connection at once; the engine has stopped.
    pub(super) fn end_all(&mut self, ring: &mut Ring) {
        for slot in 0..self.slots.len() as u32 {
            if self.slots[slot as usize].as_ref().is_some_and(|connection| !connection.gone) {
                self.end(slot, ring);
            }
        }
    }

    fn make_dirty(&mut self, slot: u32) {
        let connection = self.at(slot);
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push_back(slot);
        }
    }

    /// Makes the next turns look at the receiving side of this connection.
    fn hold(&mut self, slot: u32) {
        let connection = self.at(slot);
        if !connection.held {
            connection.held = true;
            self.held.push_back(slot);
        }
    }

    /// Ends a connection: the engine is told in this turn, the socket is closed with the last
    /// completion.
    fn end(&mut self, slot: u32, ring: &mut Ring) {
        let connection = self.at(slot);
        assert!(!connection.gone, "a connection ends once");
        connection.gone = true;
        if connection.armed != Armed::No {
            ring.cancel(Operation::Receive(slot));
        }
        match connection.sending {
            Sending::Submitted(_) => ring.cancel(Operation::Send(slot)),
            Sending::Writable => ring.cancel(Operation::Writable(slot)),
            Sending::Idle | Sending::File => {}
        }
        if !matches!(connection.sending, Sending::Submitted(_)) {
            connection.outbox.clear();
        }
        let id = connection.id;
        self.facts.push_back(Fact::Closed(id));
        self.release(slot);
    }

    /// Frees the slot of a connection that is gone, once the ring knows nothing of it.
    fn release(&mut self, slot: u32) {
        let connection = self.at(slot);
        if connection.gone && !connection.in_ring() && !connection.dirty && !connection.held {
            // Dropping the connection closes its socket.
            self.slots[slot as usize] = None;
            self.free.push(slot);
        }
    }

    /// Closes a connection whose peer has finished, unless something is still owed to it.
    fn finish_ended(&mut self, slot: u32, ring: &mut Ring) {
        let connection = self.at(slot);
        let settled = connection.outbox.is_empty()
            && connection.stash.is_empty()
            && connection.replies >= connection.frames;
        if connection.ended && settled && !connection.gone {
            self.end(slot, ring);
        }
    }

    /// Tells the engine what is to be told.
    pub(super) fn tell<E: Engine>(&mut self, engine: &mut E, now: Now) {
        while let Some(fact) = self.facts.pop_front() {
            match fact {
                Fact::Sent(id) => engine.on_sent(id, now),
                Fact::Closed(id) => engine.on_closed(id, now),
            }
        }
    }

    /// Closes those whose peer finished long enough ago.
    pub(super) fn on_time(&mut self, ring: &mut Ring, now: Instant) {
        while let Some((at, id)) = self.lingering.front().copied() {
            if at > now {
                break;
            }
            self.lingering.pop_front();
            if let Some(slot) = self.slot_of(id) {
                self.end(slot, ring);
            }
        }
    }
}
