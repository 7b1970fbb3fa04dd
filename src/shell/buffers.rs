//! The provided buffers of a shard's ring: the kernel picks one when bytes have arrived, so idle
//! connections hold no memory.
//!
//! Invariant: a buffer belongs to the kernel from [`Buffers::give`] until a completion names it, and
//! to us from then on until the next `give`.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use super::ring::Ring;

/// Bytes of one buffer. Holds a default producer batch or dozens of small requests.
pub(super) const BUFFER_BYTES: usize = 16 * 1024;
/// Number of buffers; a power of two. They are consumed within the turn that reaps them, so this
/// bounds one burst, not the number of connections; a burst beyond it re-arms its receives.
const BUFFERS: u16 = 256;
const PAGE: usize = 4096;

/// All provided buffers of one ring.
pub(super) struct Buffers {
    entries: NonNull<BufRingEntry>,
    bytes: NonNull<u8>,
    tail: u16,
}

fn entries_layout() -> Layout {
    let bytes = usize::from(BUFFERS) * size_of::<BufRingEntry>();
    Layout::from_size_align(bytes, PAGE).expect("a constant layout")
}

fn bytes_layout() -> Layout {
    Layout::from_size_align(usize::from(BUFFERS) * BUFFER_BYTES, PAGE).expect("a constant layout")
}

impl Buffers {
    /// Makes the buffers, all of them given to the kernel.
    ///
    /// The value must outlive the ring: its owner declares the ring before it, since fields are
    /// dropped in order of declaration.
    pub(super) fn new(ring: &Ring) -> io::Result<Buffers> {
        // SAFETY: both layouts have a non-zero size.
        let (entries, bytes) =
            unsafe { (alloc_zeroed(entries_layout()), alloc_zeroed(bytes_layout())) };
        let Some(bytes) = NonNull::new(bytes) else { handle_alloc_error(bytes_layout()) };
        let Some(entries) = NonNull::new(entries.cast::<BufRingEntry>()) else {
            handle_alloc_error(entries_layout())
        };
        let mut buffers = Buffers { entries, bytes, tail: 0 };
        for id in 0..BUFFERS {
            buffers.give(id);
        }
        // SAFETY: the memory is freed in `drop`, which runs after the ring's (see above).
        unsafe { ring.register_buffers(buffers.entries.as_ptr().cast(), BUFFERS)? };
        Ok(buffers)
    }

    /// The received bytes in a buffer.
    #[must_use]
    pub(super) fn received(&self, id: u16, length: usize) -> &[u8] {
        assert!(id < BUFFERS && length <= BUFFER_BYTES, "the kernel names its own buffers");
        // SAFETY: within the allocation, initialised (zeroed at first, then written by the kernel),
        // and the kernel does not touch it until it is given back through `&mut self`.
        unsafe {
            std::slice::from_raw_parts(
                self.bytes.as_ptr().add(usize::from(id) * BUFFER_BYTES),
                length,
            )
        }
    }

    /// Gives a buffer (back) to the kernel.
    pub(super) fn give(&mut self, id: u16) {
        assert!(id < BUFFERS);
        let index = usize::from(self.tail & (BUFFERS - 1));
        // SAFETY: within the allocations. The kernel reads entries below the tail only, and the
        // release store publishes the tail after the entry. The tail lies in the unused part of
        // the first entry, so setting the entry's three fields leaves it alone.
        unsafe {
            let entry = &mut *self.entries.as_ptr().add(index);
            entry.set_addr(self.bytes.as_ptr().add(usize::from(id) * BUFFER_BYTES) as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(id);
            self.tail = self.tail.wrapping_add(1);
            let tail = BufRingEntry::tail(self.entries.as_ptr()).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layouts.
        unsafe {
            dealloc(self.entries.as_ptr().cast(), entries_layout());
            dealloc(self.bytes.as_ptr(), bytes_layout());
        }
    }
}
