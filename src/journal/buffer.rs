//! Aligned buffers for direct I/O.

use std::fmt;

use super::format::whole_blocks;
use crate::limits::JOURNAL_BLOCK_BYTES;

/// Bytes whose address and length are multiples of the journal's block, as direct I/O demands.
///
/// The alignment is found in a larger plain vector, so no unsafe code is needed. The vector never
/// grows, so the address holds for the buffer's whole life, also when the buffer is moved.
pub struct GroupBuffer {
    bytes: Vec<u8>,
    start: usize,
    /// How much of it is to be written. Zero while the group is open.
    len: usize,
}

impl GroupBuffer {
    /// A buffer with room for `capacity` bytes, rounded up to whole blocks. Untouched pages of it
    /// cost no memory: zeroed memory of this size comes from the kernel page by page.
    pub(super) fn new(capacity: usize) -> GroupBuffer {
        let capacity = whole_blocks(capacity);
        let bytes = vec![0; capacity + JOURNAL_BLOCK_BYTES];
        let start = bytes.as_ptr().align_offset(JOURNAL_BLOCK_BYTES);
        assert!(start < JOURNAL_BLOCK_BYTES, "an address can be aligned within one block");
        GroupBuffer { bytes, start, len: 0 }
    }

    /// How many bytes it has room for.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.len() - JOURNAL_BLOCK_BYTES
    }

    /// What is to be written: aligned, and whole blocks long.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self.bytes.get(self.start..self.start + self.len) {
            Some(slice) => slice,
            None => panic!("a group buffer is longer than its memory"),
        }
    }

    /// Room for `len` bytes from `at`. To ask for more than the capacity is a bug.
    pub(super) fn room_mut(&mut self, at: usize, len: usize) -> &mut [u8] {
        match self.bytes.get_mut(self.start + at..self.start + at + len) {
            Some(room) => room,
            None => panic!("a group outgrew its buffer"),
        }
    }

    /// Zeroes from `used` to the end of its block and makes the buffer that long.
    pub(super) fn seal(&mut self, used: usize) {
        let len = whole_blocks(used);
        self.room_mut(used, len - used).fill(0);
        self.len = len;
    }
}

impl fmt::Debug for GroupBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupBuffer({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_also_after_a_move() {
        let buffers: Vec<_> = [1, 4096, 5000, 1 << 20]
            .into_iter()
            .map(|capacity| {
                let mut buffer = GroupBuffer::new(capacity);
                buffer.seal(capacity);
                buffer
            })
            .collect();
        for buffer in buffers {
            assert_eq!(buffer.as_slice().as_ptr().align_offset(JOURNAL_BLOCK_BYTES), 0);
            assert!(buffer.as_slice().len().is_multiple_of(JOURNAL_BLOCK_BYTES));
        }
    }

    #[test]
    fn sealing_clears_what_an_earlier_use_left() {
        let mut buffer = GroupBuffer::new(JOURNAL_BLOCK_BYTES);
        buffer.room_mut(0, JOURNAL_BLOCK_BYTES).fill(7);
        buffer.seal(10);
        let (used, padding) = buffer.as_slice().split_at(10);
        assert!(used.iter().all(|byte| *byte == 7));
        assert!(padding.iter().all(|byte| *byte == 0));
    }
}
