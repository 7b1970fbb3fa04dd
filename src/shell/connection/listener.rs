//! The listening socket of a shard: every shard opens the same port, the kernel spreads the
//! connections.

use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::time::Duration;

use tracing::{info, warn};

use crate::shell::clock;
use crate::shell::operation::Operation;
use crate::shell::ring::{Completion, Ring};
use crate::shell::sys;

/// How long accepting pauses after it failed, for want of descriptors most likely: without a pause
/// the same error would come back at once, for ever.
const RETRY: Duration = Duration::from_millis(100);

/// A shard's listener.
pub(crate) struct Listener {
    socket: Option<OwnedFd>,
    backlog: u32,
    armed: bool,
    failing: bool,
}

impl Listener {
    /// From a bound socket; `backlog` connections may wait to be accepted.
    #[must_use]
    pub(crate) fn new(socket: OwnedFd, backlog: u32) -> Listener {
        Listener { socket: Some(socket), backlog, armed: false, failing: false }
    }

    /// Starts to accept.
    pub(crate) fn start(&mut self, ring: &mut Ring) -> std::io::Result<()> {
        if let Some(socket) = &self.socket {
            sys::listen(socket.as_fd(), i32::try_from(self.backlog).unwrap_or(i32::MAX))?;
            ring.accept(socket.as_fd());
            self.armed = true;
        }
        Ok(())
    }

    /// Accepts nothing more. The socket is closed with the last completion.
    pub(crate) fn stop(&mut self, ring: &mut Ring) {
        if self.armed {
            ring.cancel(Operation::Accept);
        }
        if let Some(socket) = self.socket.take()
            && self.armed
        {
            // The kernel holds the file while the accept is in the ring; the descriptor may go.
            drop(socket);
        }
    }

    /// An accept completed. A new connection's socket, if it brought one.
    #[allow(unsafe_code)]
    pub(crate) fn on_accepted(
        &mut self,
        completion: Completion,
        ring: &mut Ring,
    ) -> Option<OwnedFd> {
        if !completion.more() {
            self.armed = false;
        }
        let result = completion.result;
        if result >= 0 {
            if self.failing {
                self.failing = false;
                info!("accepting connections again");
            }
            if !self.armed {
                self.on_retry(ring);
            }
            // SAFETY: the kernel made this descriptor for us just now.
            let socket = unsafe { OwnedFd::from_raw_fd(result) };
            return self.socket.is_some().then_some(socket);
        }
        if !self.armed && self.socket.is_some() {
            if !self.failing {
                self.failing = true;
                let error = std::io::Error::from_raw_os_error(-result);
                warn!(%error, "cannot accept connections; trying again");
            }
            ring.timeout(clock::instant() + RETRY, Operation::AcceptRetry);
        }
        None
    }

    /// The pause after a failure is over.
    pub(crate) fn on_retry(&mut self, ring: &mut Ring) {
        if let Some(socket) = &self.socket
            && !self.armed
        {
            ring.accept(socket.as_fd());
            self.armed = true;
        }
    }
}
