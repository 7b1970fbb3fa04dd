//! The message header and vectors of one gathered send, at an address that does not move while the
//! kernel uses it.
#![allow(unsafe_code)]

use bytes::Bytes;

use super::outbox::GATHER_MAX;

/// Room for one gathered send.
pub(super) struct Gather {
    message: libc::msghdr,
    vectors: [libc::iovec; GATHER_MAX],
}

impl Gather {
    /// Empty.
    pub(super) fn new() -> Box<Gather> {
        // SAFETY: both are plain C structures for which all zeroes are valid.
        unsafe { Box::new(std::mem::zeroed()) }
    }

    /// Points at these pieces. They have to outlive the send.
    pub(super) fn fill(&mut self, pieces: &[&Bytes]) {
        assert!(pieces.len() <= GATHER_MAX);
        for (vector, piece) in self.vectors.iter_mut().zip(pieces) {
            vector.iov_base = piece.as_ptr().cast_mut().cast();
            vector.iov_len = piece.len();
        }
        self.message.msg_iov = self.vectors.as_mut_ptr();
        self.message.msg_iovlen = pieces.len();
    }

    /// For the ring.
    pub(super) fn message(&self) -> *const libc::msghdr {
        &raw const self.message
    }
}
