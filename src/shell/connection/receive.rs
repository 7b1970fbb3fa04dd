//! The receiving side.
//!
//! Small frames come by multishot receive into provided buffers and are copied out, which lets one
//! entry serve many frames and idle connections hold no memory. When a body lacks more than
//! [`DIRECT_BYTES`], the multishot is cancelled and the kernel receives straight into the frame.
//! As long as frames are large, the multishot stays off: a single receive brings each header with
//! the start of its body.
#![allow(unsafe_code)]

use std::os::fd::AsFd;

use bytes::Buf;
use tracing::debug;

use super::assembly::Fed;
use super::{Armed, Connections, LINGER};
use crate::shard::engine::Engine;
use crate::shell::buffers::Buffers;
use crate::shell::operation::Operation;
use crate::shell::ring::{Completion, Ring};
use crate::time::Now;

/// A body that lacks more than this is received straight into its frame.
const DIRECT_BYTES: usize = 64 * 1024;
/// Most bytes of one direct receive.
const DIRECT_STEP_BYTES: usize = 1024 * 1024;
/// Small frames after which a connection with large ones is served by multishot again.
const SMALL_IN_A_ROW: u32 = 16;
/// Frames one connection may hand over before the engine's actions are carried out.
const FRAMES_PER_TURN: usize = 64;

impl Connections {
    /// Puts the receive that fits into the ring, unless there is one or none is wanted.
    pub(super) fn arm(&mut self, slot: u32, ring: &mut Ring, may_read: bool) {
        let connection = self.at(slot);
        if connection.gone || connection.ended || connection.paused {
            return;
        }
        let missing = connection.assembly.missing();
        if connection.armed != Armed::No {
            if connection.armed == Armed::Many && missing > DIRECT_BYTES && !connection.cancelling {
                connection.cancelling = true;
                ring.cancel(Operation::Receive(slot));
            }
            return;
        }
        if !may_read || !connection.stash.is_empty() {
            self.hold(slot);
            return;
        }
        let socket = connection.socket.as_fd();
        let operation = Operation::Receive(slot);
        if missing > DIRECT_BYTES {
            connection.armed = Armed::Direct;
            connection.large_frames = true;
            connection.small_in_a_row = 0;
            let room = connection.assembly.room();
            let length = room.len().min(DIRECT_STEP_BYTES) as u32;
            // SAFETY: the frame's buffer is not touched while `Direct` is armed: nothing is fed (the
            // stash is empty and provided buffers are not in use), and the slot outlives the
            // completion.
            unsafe {
                ring.receive_into(socket, room.as_mut_ptr().cast(), length, operation);
            }
        } else if connection.large_frames {
            connection.armed = Armed::Once;
            ring.receive_once(socket, operation);
        } else {
            connection.armed = Armed::Many;
            ring.receive_many(socket, operation);
        }
    }

    /// Cancels a receive that would go on delivering. One that is about to deliver once may.
    pub(super) fn stop_receiving(&mut self, slot: u32, ring: &mut Ring) {
        let connection = self.at(slot);
        if connection.armed == Armed::Many && !connection.cancelling {
            connection.cancelling = true;
            ring.cancel(Operation::Receive(slot));
        }
    }

    /// A receive of this slot completed.
    pub(crate) fn on_received<E: Engine>(
        &mut self,
        slot: u32,
        completion: Completion,
        engine: &mut E,
        ring: &mut Ring,
        buffers: &mut Buffers,
        now: Now,
    ) {
        let connection = self.at(slot);
        let direct = connection.armed == Armed::Direct;
        if !completion.more() {
            connection.armed = Armed::No;
            connection.cancelling = false;
        }
        if connection.gone {
            if let Some(id) = completion.buffer() {
                buffers.give(id);
            }
            self.release(slot);
            return;
        }
        let result = completion.result;
        if result > 0 {
            let count = result as usize;
            if direct {
                // SAFETY: the kernel wrote so many bytes at the start of the room.
                unsafe { connection.assembly.advance(count) }
                if connection.assembly.missing() > 0 {
                    engine.on_progress(connection.id, connection.assembly.received(), now);
                } else {
                    self.deliver(slot, &[], engine, ring, now);
                }
            } else {
                let id = completion.buffer().expect("bytes arrive in a provided buffer");
                self.deliver(slot, buffers.received(id, count), engine, ring, now);
                buffers.give(id);
            }
        } else {
            if let Some(id) = completion.buffer() {
                buffers.give(id);
            }
            match -result {
                0 => self.on_end_of_stream(slot, now),
                // Cancelled by us, out of provided buffers for a moment, or interrupted.
                libc::ECANCELED | libc::ENOBUFS | libc::EAGAIN | libc::EINTR => {}
                errno => {
                    let error = std::io::Error::from_raw_os_error(errno);
                    debug!(connection = %connection.id, %error, "the peer is gone");
                    self.end(slot, ring);
                    return;
                }
            }
        }
        if self.slots[slot as usize].as_ref().is_some_and(|connection| !connection.gone) {
            self.arm(slot, ring, engine.may_read());
            self.finish_ended(slot, ring);
        }
    }

    fn on_end_of_stream(&mut self, slot: u32, now: Now) {
        let connection = self.at(slot);
        connection.ended = true;
        let id = connection.id;
        self.lingering.push_back((now.instant + LINGER, id));
    }

    /// Hands over the frames that are whole, and keeps the bytes that may not be looked at yet.
    fn deliver<E: Engine>(
        &mut self,
        slot: u32,
        bytes: &[u8],
        engine: &mut E,
        ring: &mut Ring,
        now: Now,
    ) {
        let mut input = bytes;
        let connection = self.at(slot);
        let mut delivered = 0;
        if !connection.stash.is_empty() {
            connection.stash.extend_from_slice(input);
            input = &[];
        }
        let mut bad = None;
        loop {
            let waiting = !connection.stash.is_empty() || !input.is_empty();
            if connection.paused || delivered == FRAMES_PER_TURN || !engine.may_read() {
                break;
            }
            let frame = if let Some(frame) = connection.assembly.take() {
                frame
            } else if waiting {
                let fed = if connection.stash.is_empty() {
                    connection.assembly.feed(&mut input)
                } else {
                    let mut stashed = &connection.stash[..];
                    let fed = connection.assembly.feed(&mut stashed);
                    let used = connection.stash.len() - stashed.len();
                    connection.stash.advance(used);
                    fed
                };
                match fed {
                    Fed::Frame(frame) => frame,
                    Fed::Starved => continue,
                    Fed::Bad(length) => {
                        bad = Some(length);
                        break;
                    }
                }
            } else {
                break;
            };
            delivered += 1;
            connection.frames += 1;
            if frame.len() <= DIRECT_BYTES && connection.large_frames {
                connection.small_in_a_row += 1;
                if connection.small_in_a_row >= SMALL_IN_A_ROW {
                    connection.large_frames = false;
                }
            }
            engine.on_frame(connection.id, frame, now);
        }
        if let Some(length) = bad {
            // Whatever follows has no meaning; the engine says what becomes of the connection.
            connection.ended = true;
            connection.stash.clear();
            let id = connection.id;
            self.lingering.push_back((now.instant + LINGER, id));
            engine.on_bad_frame(id, length, now);
            self.stop_receiving(slot, ring);
            return;
        }
        connection.stash.extend_from_slice(input);
        if connection.assembly.is_partial() && delivered == 0 && connection.stash.is_empty() {
            engine.on_progress(connection.id, connection.assembly.received(), now);
        }
        if !connection.stash.is_empty()
            || (connection.assembly.is_partial() && connection.assembly.missing() == 0)
        {
            self.hold(slot);
            self.stop_receiving(slot, ring);
        }
    }

    /// Goes on with connections whose bytes or receives were held back, each at most once.
    pub(crate) fn release_held<E: Engine>(&mut self, engine: &mut E, ring: &mut Ring, now: Now) {
        for _ in 0..self.held.len() {
            if !engine.may_read() {
                return;
            }
            let Some(slot) = self.held.pop_front() else { return };
            let connection = self.at(slot);
            connection.held = false;
            if connection.gone {
                self.release(slot);
                continue;
            }
            if connection.paused {
                // `resume` holds it again.
                continue;
            }
            self.deliver(slot, &[], engine, ring, now);
            self.arm(slot, ring, engine.may_read());
            self.finish_ended(slot, ring);
        }
    }
}
