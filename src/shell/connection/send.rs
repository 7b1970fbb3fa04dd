//! The sending side.
//!
//! Replies that are in memory leave joined into one gathered send through the ring. A file range
//! leaves by `sendfile` in the middle of the turn, if its pages are in memory; the bytes before it
//! are sent in the same breath, marked as not the last. A full socket is waited for in the ring, a
//! cold range in the background; the other connections of the shard go on meanwhile.
#![allow(unsafe_code)]

use std::io::IoSlice;
use std::os::fd::AsFd;
use std::sync::Arc;

use tracing::warn;

use super::gather::Gather;
use super::outbox::Next;
use super::{Connections, Fact, FileSource, Sending};
use crate::shard::engine::FileRange;
use crate::shell::finished::Finished;
use crate::shell::operation::Operation;
use crate::shell::ring::{Completion, Ring};
use crate::shell::segment_files::{self, SegmentFiles, SegmentKey, WARM_BYTES};
use crate::shell::sys::{self, Sent};
use crate::time::Instant;

/// File bytes one connection may send in one turn, so that a fast reader of old data does not hold
/// up the others.
const FILE_BYTES_PER_TURN: usize = 1024 * 1024;
/// File bytes whose residency is checked, and which are sent, at a time.
const FILE_STEP_BYTES: u32 = 512 * 1024;

/// How one step of sending ended.
enum Step {
    /// Something left; there may be more to do.
    Sent(usize),
    /// Waiting; a completion or background work goes on.
    Waits,
    /// The connection is broken.
    Broken(String),
}

impl Connections {
    /// Sends what can be sent now, for every connection that has something, each at most once.
    pub(crate) fn pump_all(&mut self, ring: &mut Ring, source: &mut FileSource<'_>, now: Instant) {
        for _ in 0..self.dirty.len() {
            let Some(slot) = self.dirty.pop_front() else { return };
            self.at(slot).dirty = false;
            if self.at(slot).gone {
                self.release(slot);
            } else {
                self.pump(slot, ring, source, now);
            }
        }
    }

    fn pump(&mut self, slot: u32, ring: &mut Ring, source: &mut FileSource<'_>, now: Instant) {
        let mut budget = FILE_BYTES_PER_TURN;
        self.sent(slot, 0);
        loop {
            if !matches!(self.at(slot).sending, Sending::Idle) {
                return;
            }
            let step = match self.at(slot).outbox.next() {
                Next::Nothing => break,
                Next::Memory => self.send_memory(slot, ring),
                Next::File(_) if budget == 0 => {
                    self.make_dirty(slot);
                    return;
                }
                Next::File(range) => {
                    let range = range.clone();
                    self.send_range(slot, &range, &mut budget, ring, source, now)
                }
            };
            match step {
                Step::Sent(count) => self.sent(slot, count),
                Step::Waits => return,
                Step::Broken(reason) => {
                    warn!(connection = %self.at(slot).id, reason, "closing a connection");
                    self.end(slot, ring);
                    return;
                }
            }
        }
        if self.at(slot).closing {
            self.end(slot, ring);
        } else {
            self.finish_ended(slot, ring);
        }
    }

    /// Counts bytes that left, and notes the replies they finished.
    fn sent(&mut self, slot: u32, count: usize) {
        let connection = self.at(slot);
        let id = connection.id;
        for _ in 0..connection.outbox.consume(count) {
            self.facts.push_back(Fact::Sent(id));
        }
    }

    fn send_memory(&mut self, slot: u32, ring: &mut Ring) -> Step {
        let mut gather = self.gathers.pop().unwrap_or_else(Gather::new);
        let connection = self.at(slot);
        let mut pieces = Vec::new();
        let file_follows = connection.outbox.gather(&mut pieces);
        if file_follows {
            let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            let result = sys::send_gather(connection.socket.as_fd(), &slices, true);
            let step = match result {
                Ok(Sent::Bytes(count)) => Step::Sent(count),
                Ok(Sent::Full) => {
                    connection.sending = Sending::Writable;
                    ring.await_writable(connection.socket.as_fd(), Operation::Writable(slot));
                    Step::Waits
                }
                Err(error) => Step::Broken(format!("sending failed: {error}")),
            };
            self.gathers.push(gather);
            return step;
        }
        let socket = connection.socket.as_fd();
        let operation = Operation::Send(slot);
        // SAFETY: the bytes belong to the outbox, which drops them only when they are counted as
        // sent or, once the connection is gone, after this send has completed; the gather is kept
        // in `sending` until then.
        unsafe {
            match pieces[..] {
                [piece] => ring.send(socket, piece.as_ptr(), piece.len() as u32, operation),
                _ => {
                    gather.fill(&pieces);
                    ring.send_message(socket, gather.message(), operation);
                }
            }
        }
        connection.sending = Sending::Submitted(gather);
        Step::Waits
    }

    fn send_range(
        &mut self,
        slot: u32,
        range: &FileRange,
        budget: &mut usize,
        ring: &mut Ring,
        source: &mut FileSource<'_>,
        now: Instant,
    ) -> Step {
        let connection = self.at(slot);
        let key = SegmentFiles::key(range);
        let file = source.files.file(key, now);
        let length = range.length.min(FILE_STEP_BYTES).min(*budget as u32);
        let warmed = connection
            .warm
            .is_some_and(|(of, until)| of == key && range.position + length <= until);
        let file = match file {
            Some(file) if warmed || sys::is_cached(&file, range.position.into(), length.into()) => {
                file
            }
            file => {
                // Not sent until it is there: `sendfile` would wait for the device and with it the
                // whole shard.
                connection.sending = Sending::File;
                let connection = connection.id;
                let (place, range) = (Arc::clone(source.place), range.clone());
                source.background.run(move || {
                    let length = range.length.min(WARM_BYTES);
                    let result = segment_files::warm(&place, &range, file, length);
                    Finished::Warmed { connection, key, result }
                });
                return Step::Waits;
            }
        };
        let socket = connection.socket.as_fd();
        match sys::send_file(socket, &file, range.position.into(), length as usize) {
            Ok(Sent::Bytes(0)) => Step::Broken(format!(
                "segment {} of {} ends before byte {}",
                range.segment,
                range.directory.name,
                range.position + range.length
            )),
            Ok(Sent::Bytes(count)) => {
                *budget -= count;
                Step::Sent(count)
            }
            Ok(Sent::Full) => {
                connection.sending = Sending::Writable;
                ring.await_writable(socket, Operation::Writable(slot));
                Step::Waits
            }
            Err(error) => Step::Broken(format!("sending a file range failed: {error}")),
        }
    }

    /// A send of this slot completed.
    pub(crate) fn on_send_completed(&mut self, slot: u32, completion: Completion, ring: &mut Ring) {
        let connection = self.at(slot);
        let sending = std::mem::replace(&mut connection.sending, Sending::Idle);
        let gone = connection.gone;
        if let Sending::Submitted(gather) = sending {
            self.gathers.push(gather);
        }
        if gone {
            self.at(slot).outbox.clear();
            self.release(slot);
        } else if completion.result > 0 {
            self.sent(slot, completion.result as usize);
            self.make_dirty(slot);
        } else if matches!(-completion.result, libc::EAGAIN | libc::EINTR) {
            self.make_dirty(slot);
        } else {
            // Reset by the peer, most likely: it reads nothing any more.
            self.end(slot, ring);
        }
    }

    /// The socket of this slot takes bytes again, or the wait was cancelled.
    pub(crate) fn on_writable(&mut self, slot: u32) {
        self.at(slot).sending = Sending::Idle;
        if self.at(slot).gone {
            self.release(slot);
        } else {
            // A broken socket says so at the next send.
            self.make_dirty(slot);
        }
    }

    /// Background work opened a file and brought a range of it into memory.
    pub(crate) fn on_warmed(
        &mut self,
        connection: crate::ids::ConnectionId,
        key: SegmentKey,
        result: std::io::Result<Arc<std::fs::File>>,
        files: &mut SegmentFiles,
        ring: &mut Ring,
        now: Instant,
    ) {
        if let Ok(file) = &result {
            files.insert(key, Arc::clone(file), now);
        }
        let Some(slot) = self.slot_of(connection) else { return };
        let connection = self.at(slot);
        let Next::File(range) = connection.outbox.next() else {
            panic!("a connection that waits for a file has one next");
        };
        match result {
            Ok(_) => {
                // Sent without another look, so that a machine short of memory, which drops the
                // pages again at once, still moves forward.
                connection.warm = Some((key, range.position + range.length.min(WARM_BYTES)));
                connection.sending = Sending::Idle;
                self.make_dirty(slot);
            }
            Err(error) => {
                let (segment, name) = (range.segment, &range.directory.name);
                warn!(connection = %connection.id, %segment, name, %error,
                    "closing a connection: a file that was promised cannot be read");
                self.end(slot, ring);
            }
        }
    }
}
