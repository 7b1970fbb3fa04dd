//! The own io_uring of a shard: entries in, completions out, and three ways to wait.
//!
//! Knows no connection and no journal: what an entry is about travels as an [`Operation`].
//!
//! Invariants
//! - One thread makes, fills and reaps the ring (`SINGLE_ISSUER | DEFER_TASKRUN`): the kernel works
//!   on our behalf only while we are inside `enter`, never in the middle of a turn.
//! - Memory that an entry points to belongs to its caller until the entry's last completion.
//! - `in_flight` counts entries whose last completion has not been reaped; nothing that they point
//!   to may be freed before.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd, SubmitArgs, TimeoutFlags, Timespec};
use io_uring::{IoUring, cqueue, opcode, types};

use super::operation::Operation;
use super::sys;
use crate::time::Instant;

/// Entries that can be submitted at once; more make an extra system call, nothing worse.
const SUBMISSION_ENTRIES: u32 = 1024;
/// Completions the kernel keeps in shared memory; beyond it keeps them itself until there is room.
const COMPLETION_ENTRIES: u32 = 8192;

/// One completion.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    /// What completed.
    pub operation: Operation,
    /// Bytes or descriptor, or a negative errno.
    pub result: i32,
    flags: u32,
}

impl Completion {
    /// Whether the same entry will complete again.
    #[must_use]
    pub fn more(&self) -> bool {
        cqueue::more(self.flags)
    }

    /// The provided buffer that holds the received bytes.
    #[must_use]
    pub fn buffer(&self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }
}

/// A shard's ring.
pub struct Ring {
    ring: IoUring,
    event: Arc<OwnedFd>,
    /// Entries that found the submission queue full while the kernel would not take more.
    backlog: VecDeque<Entry>,
    /// Times that submitted entries point to until the kernel has copied them.
    #[allow(clippy::vec_box)]
    times: Vec<Box<Timespec>>,
    in_flight: u64,
}

impl Ring {
    /// A new ring of the calling thread.
    pub fn new() -> io::Result<Ring> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            // Lets a spinning shard see that there is work for `enter` without a system call.
            .setup_taskrun_flag()
            // One bad entry must not hold up the entries behind it.
            .setup_submit_all()
            .setup_cqsize(COMPLETION_ENTRIES)
            .dontfork()
            .build(SUBMISSION_ENTRIES)?;
        let event = Arc::new(sys::eventfd()?);
        ring.submitter().register_eventfd(event.as_raw_fd())?;
        let mut ring =
            Ring { ring, event, backlog: VecDeque::new(), times: Vec::new(), in_flight: 0 };
        ring.silence();
        Ok(ring)
    }

    /// The eventfd that is signalled by completions after [`Ring::announce`], and that anyone may
    /// signal to wake this shard.
    #[must_use]
    pub fn event(&self) -> &Arc<OwnedFd> {
        &self.event
    }

    /// The ring's descriptor, for peers' knocks.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.ring.as_raw_fd()
    }

    /// Registers a provided buffer ring.
    ///
    /// # Safety
    /// The memory must stay valid until this ring is dropped.
    pub unsafe fn register_buffers(&self, at: *const u8, entries: u16) -> io::Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.ring.submitter().register_buf_ring_with_flags(at as u64, entries, 0, 0) }
    }

    /// Entries whose last completion is still to come.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// # Safety
    /// What the entry points to must stay valid and, if the kernel writes it, unobserved, until the
    /// last completion has been reaped.
    unsafe fn push(&mut self, entry: Entry, operation: Operation) {
        let entry = entry.user_data(operation.pack());
        self.in_flight += 1;
        if !self.backlog.is_empty() {
            self.backlog.push_back(entry);
            return;
        }
        // SAFETY: the caller's promise.
        if unsafe { self.ring.submission().push(&entry) }.is_ok() {
            return;
        }
        // Full: hand the kernel what is there and try again. An error here (the kernel is short of
        // memory or its completion backlog is full) leaves the rest to the next turn.
        let submitted = self.ring.submit();
        // SAFETY: the caller's promise.
        if submitted.is_err() || unsafe { self.ring.submission().push(&entry) }.is_err() {
            self.backlog.push_back(entry);
        }
    }

    fn refill(&mut self) {
        while let Some(entry) = self.backlog.front() {
            // SAFETY: promised when the entry was first pushed.
            if unsafe { self.ring.submission().push(entry) }.is_err() {
                break;
            }
            self.backlog.pop_front();
        }
    }

    /// Accepts connections until cancelled; one completion each.
    pub fn accept(&mut self, listener: BorrowedFd<'_>) {
        let entry = opcode::AcceptMulti::new(Fd(listener.as_raw_fd()))
            .flags(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)
            .build();
        // SAFETY: points to nothing.
        unsafe { self.push(entry, Operation::Accept) }
    }

    /// Receives into provided buffers until cancelled or out of buffers.
    pub fn receive_many(&mut self, socket: BorrowedFd<'_>, operation: Operation) {
        let entry = opcode::RecvMulti::new(Fd(socket.as_raw_fd()), 0).build();
        // SAFETY: the registered buffers live as long as the ring.
        unsafe { self.push(entry, operation) }
    }

    /// Receives once into a provided buffer.
    pub fn receive_once(&mut self, socket: BorrowedFd<'_>, operation: Operation) {
        let entry = opcode::Recv::new(Fd(socket.as_raw_fd()), std::ptr::null_mut(), 0)
            .buf_group(0)
            .build()
            .flags(Flags::BUFFER_SELECT);
        // SAFETY: the registered buffers live as long as the ring.
        unsafe { self.push(entry, operation) }
    }

    /// Receives once into memory of the caller.
    ///
    /// # Safety
    /// `length` bytes from `to` must be writable and untouched until the completion is reaped.
    pub unsafe fn receive_into(
        &mut self,
        socket: BorrowedFd<'_>,
        to: *mut u8,
        length: u32,
        operation: Operation,
    ) {
        let entry = opcode::Recv::new(Fd(socket.as_raw_fd()), to, length).build();
        // SAFETY: the caller's promise.
        unsafe { self.push(entry, operation) }
    }

    /// Sends a gathered message, waiting for room in the socket as often as needed.
    ///
    /// # Safety
    /// The message, its vectors and their bytes must stay valid until the completion is reaped.
    pub unsafe fn send_message(
        &mut self,
        socket: BorrowedFd<'_>,
        message: *const libc::msghdr,
        operation: Operation,
    ) {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let entry =
            opcode::SendMsg::new(Fd(socket.as_raw_fd()), message).flags(flags as u32).build();
        // SAFETY: the caller's promise.
        unsafe { self.push(entry, operation) }
    }

    /// Sends one stretch of bytes, waiting for room in the socket as often as needed.
    ///
    /// # Safety
    /// The bytes must stay valid until the completion is reaped.
    pub unsafe fn send(
        &mut self,
        socket: BorrowedFd<'_>,
        from: *const u8,
        length: u32,
        operation: Operation,
    ) {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let entry = opcode::Send::new(Fd(socket.as_raw_fd()), from, length).flags(flags).build();
        // SAFETY: the caller's promise.
        unsafe { self.push(entry, operation) }
    }

    /// Writes to a file at a position, with `RWF_*` flags.
    ///
    /// # Safety
    /// The bytes must stay valid and unchanged until the completion is reaped.
    pub unsafe fn write(
        &mut self,
        file: BorrowedFd<'_>,
        from: *const u8,
        length: u32,
        position: u64,
        flags: i32,
        operation: Operation,
    ) {
        let entry = opcode::Write::new(Fd(file.as_raw_fd()), from, length)
            .offset(position)
            .rw_flags(flags)
            .build();
        // SAFETY: the caller's promise.
        unsafe { self.push(entry, operation) }
    }

    /// Completes once the socket takes bytes again, or is broken.
    pub fn await_writable(&mut self, socket: BorrowedFd<'_>, operation: Operation) {
        let entry = opcode::PollAdd::new(Fd(socket.as_raw_fd()), libc::POLLOUT as u32).build();
        // SAFETY: points to nothing.
        unsafe { self.push(entry, operation) }
    }

    /// Cancels the entries of `operation`; they complete with ECANCELED unless they were quicker.
    pub fn cancel(&mut self, operation: Operation) {
        let entry =
            opcode::AsyncCancel2::new(types::CancelBuilder::user_data(operation.pack()).all())
                .build();
        // SAFETY: points to nothing.
        unsafe { self.push(entry, Operation::Cancel) }
    }

    /// Completes at the given time.
    pub fn timeout(&mut self, at: Instant, operation: Operation) {
        let time = Timespec::new().sec(at.0 / 1_000_000_000).nsec((at.0 % 1_000_000_000) as u32);
        let time = Box::new(time);
        let entry = opcode::Timeout::new(&raw const *time).flags(TimeoutFlags::ABS).build();
        self.times.push(time);
        // SAFETY: the kernel copies the time when it takes the entry, and `times` is cleared only
        // after everything has been taken.
        unsafe { self.push(entry, operation) }
    }

    /// Posts [`Operation::Knocked`] into another shard's ring.
    pub fn knock(&mut self, ring: RawFd, shard: u16) {
        let entry = opcode::MsgRingData::new(Fd(ring), 0, Operation::Knocked.pack(), None).build();
        // SAFETY: points to nothing.
        unsafe { self.push(entry, Operation::Knock(shard)) }
    }

    /// Whether there are completions to reap or deferred work to run. No system call.
    #[must_use]
    pub fn has_news(&mut self) -> bool {
        !self.ring.completion().is_empty() || {
            let queue = self.ring.submission();
            queue.taskrun() || queue.cq_overflow()
        }
    }

    /// Whether entries wait for submission.
    #[must_use]
    pub fn has_unsubmitted(&mut self) -> bool {
        !self.backlog.is_empty() || !self.ring.submission().is_empty()
    }

    /// Submits what there is and lets the kernel run deferred work, without waiting.
    pub fn enter(&mut self) -> io::Result<()> {
        self.refill();
        // SAFETY: no argument is passed.
        let result = unsafe {
            let to_submit = self.ring.submission().len() as u32;
            self.ring.submitter().enter::<libc::sigset_t>(to_submit, 0, ENTER_GETEVENTS, None)
        };
        self.after_enter(result)
    }

    /// Submits what there is and waits for a completion, for `at_most`.
    pub fn wait(&mut self, at_most: Duration) -> io::Result<()> {
        self.refill();
        let time = Timespec::new().sec(at_most.as_secs()).nsec(at_most.subsec_nanos());
        let arguments = SubmitArgs::new().timespec(&time);
        let result = self.ring.submitter().submit_with_args(1, &arguments);
        self.after_enter(result)
    }

    fn after_enter(&mut self, result: io::Result<usize>) -> io::Result<()> {
        if self.backlog.is_empty() && self.ring.submission().is_empty() {
            self.times.clear();
        }
        match result {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // Timed out, interrupted, or the kernel wants its completions reaped first.
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// From here on completions signal the eventfd. Those that are already there did not: the
    /// caller enters and looks again before it relies on the signal.
    pub fn announce(&mut self) {
        self.ring.completion().enable_eventfd();
    }

    /// Completions no longer signal the eventfd, which costs them a wake-up each while this shard
    /// is awake anyway.
    pub fn silence(&mut self) {
        self.ring.completion().disable_eventfd();
    }

    /// Moves at most `count_max` completions to `into`.
    pub fn reap(&mut self, into: &mut Vec<Completion>, count_max: usize) {
        for entry in self.ring.completion().by_ref().take(count_max) {
            let operation = Operation::unpack(entry.user_data());
            let completion = Completion { operation, result: entry.result(), flags: entry.flags() };
            // A knock of a peer is the completion of the peer's entry, not of ours.
            if !completion.more() && operation != Operation::Knocked {
                self.in_flight -= 1;
            }
            into.push(completion);
        }
    }
}

/// `IORING_ENTER_GETEVENTS`: run deferred work and post completions.
const ENTER_GETEVENTS: u32 = 1;

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor lives as long as the ring.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }
    }
}

/// Opcodes this shell submits; each has to be there.
pub(super) fn missing_operations() -> io::Result<Vec<&'static str>> {
    let ring: IoUring<Entry, cqueue::Entry> = IoUring::new(2)?;
    let mut probe = io_uring::Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let needed = [
        ("accept", opcode::Accept::CODE),
        ("recv", opcode::Recv::CODE),
        ("send", opcode::Send::CODE),
        ("sendmsg", opcode::SendMsg::CODE),
        ("write", opcode::Write::CODE),
        ("poll", opcode::PollAdd::CODE),
        ("timeout", opcode::Timeout::CODE),
        ("cancel", opcode::AsyncCancel::CODE),
        ("message ring", opcode::MsgRingData::CODE),
    ];
    Ok(needed
        .into_iter()
        .filter(|(_, code)| !probe.is_supported(*code))
        .map(|(name, _)| name)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::clock;

    #[test]
    fn timeouts_come_in_order_of_time_and_waits_end() {
        let mut ring = Ring::new().unwrap();
        let now = clock::instant();
        ring.timeout(now + Duration::from_millis(3), Operation::Deadline);
        ring.timeout(now + Duration::from_millis(1), Operation::AcceptRetry);
        let mut seen = Vec::new();
        while seen.len() < 2 {
            ring.wait(Duration::from_millis(50)).unwrap();
            ring.reap(&mut seen, 16);
        }
        assert_eq!(
            seen.iter().map(|c| c.operation).collect::<Vec<_>>(),
            [Operation::AcceptRetry, Operation::Deadline]
        );
        assert_eq!(ring.in_flight(), 0);
    }

    #[test]
    fn more_entries_than_the_queue_holds_are_all_submitted() {
        let mut ring = Ring::new().unwrap();
        let now = clock::instant();
        let count = SUBMISSION_ENTRIES as usize * 3 + 7;
        for _ in 0..count {
            ring.timeout(now, Operation::Deadline);
        }
        let mut seen = Vec::new();
        while seen.len() < count {
            ring.wait(Duration::from_millis(50)).unwrap();
            ring.reap(&mut seen, 512);
        }
        assert_eq!(ring.in_flight(), 0);
        assert!(ring.times.is_empty());
    }

    #[test]
    fn an_announced_ring_signals_its_eventfd() {
        let mut ring = Ring::new().unwrap();
        ring.timeout(clock::instant() + Duration::from_millis(5), Operation::Deadline);
        ring.announce();
        ring.enter().unwrap();
        let mut file = std::fs::File::from(ring.event().try_clone().unwrap());
        let mut count = [0; 8];
        io::Read::read_exact(&mut file, &mut count).unwrap();
        assert!(u64::from_ne_bytes(count) >= 1);
        ring.silence();
        ring.enter().unwrap();
        let mut seen = Vec::new();
        ring.reap(&mut seen, 16);
        assert_eq!(seen.len(), 1);
    }
}
