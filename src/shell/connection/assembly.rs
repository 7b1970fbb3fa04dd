//! Frames out of a stream of bytes: the length prefix, then a buffer that is the frame.
//!
//! Knows no socket. Bytes come from two sides: copied out of provided buffers ([`Assembly::feed`]),
//! or received by the kernel straight into the frame ([`Assembly::room`]).
//!
//! Memory: up to [`FIRST_STEP_BYTES`] the frame gets its exact size at once; beyond that the buffer
//! doubles as bytes really arrive, so that a peer pays for memory with traffic. Even the first step
//! costs address space only: untouched pages are not resident.

use std::mem::MaybeUninit;

use bytes::BytesMut;

use crate::wire::frame::request_length;

/// Largest buffer given for an announcement alone.
pub(super) const FIRST_STEP_BYTES: usize = 1024 * 1024;

/// What feeding bytes came to.
#[derive(Debug)]
pub(super) enum Fed {
    /// A whole frame, without its prefix. There may be more input.
    Frame(BytesMut),
    /// The prefix announces a length no request has. Nothing can follow.
    Bad(i32),
    /// All input is used up and no frame is whole.
    Starved,
}

/// The unfinished frame of a connection.
#[derive(Debug)]
pub(super) struct Assembly {
    prefix: [u8; 4],
    prefix_length: usize,
    frame: BytesMut,
    /// Length of the frame under way, once its prefix is known.
    expected: Option<usize>,
    frame_bytes_max: usize,
}

impl Assembly {
    /// An assembly that accepts frames of at most `frame_bytes_max` bytes.
    #[must_use]
    pub(super) fn new(frame_bytes_max: usize) -> Assembly {
        Assembly {
            prefix: [0; 4],
            prefix_length: 0,
            frame: BytesMut::new(),
            expected: None,
            frame_bytes_max,
        }
    }

    /// Whether a frame has begun and is not whole.
    #[must_use]
    pub(super) fn is_partial(&self) -> bool {
        self.prefix_length > 0
    }

    /// Bytes that have arrived of the frame under way, its prefix included.
    #[must_use]
    pub(super) fn received(&self) -> usize {
        self.prefix_length + self.frame.len()
    }

    /// Bytes the frame under way still lacks; 0 between frames and inside a prefix.
    #[must_use]
    pub(super) fn missing(&self) -> usize {
        self.expected.map_or(0, |expected| expected - self.frame.len())
    }

    /// Takes bytes from the front of `input`, up to the end of one frame.
    pub(super) fn feed(&mut self, input: &mut &[u8]) -> Fed {
        if self.expected.is_none() {
            let wanted = (self.prefix.len() - self.prefix_length).min(input.len());
            let (bytes, rest) = input.split_at(wanted);
            *input = rest;
            self.prefix[self.prefix_length..self.prefix_length + wanted].copy_from_slice(bytes);
            self.prefix_length += wanted;
            if self.prefix_length < self.prefix.len() {
                return Fed::Starved;
            }
            match request_length(self.prefix, self.frame_bytes_max) {
                Ok(expected) => {
                    self.frame = BytesMut::with_capacity(expected.min(FIRST_STEP_BYTES));
                    self.expected = Some(expected);
                }
                Err(_) => return Fed::Bad(i32::from_be_bytes(self.prefix)),
            }
        }
        let wanted = self.missing().min(input.len());
        let (bytes, rest) = input.split_at(wanted);
        *input = rest;
        // Copied because the provided buffer goes back to the kernel; large bodies do not come
        // this way.
        self.frame.extend_from_slice(bytes);
        match self.take() {
            Some(frame) => Fed::Frame(frame),
            None => Fed::Starved,
        }
    }

    /// Where the kernel may put the next bytes of the frame under way: never empty while bytes are
    /// missing, never beyond the frame.
    pub(super) fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        let missing = self.missing();
        if missing > 0 && self.frame.capacity() == self.frame.len() {
            let step = self.frame.len().max(FIRST_STEP_BYTES).min(missing);
            self.frame.reserve(step);
        }
        let spare = self.frame.spare_capacity_mut();
        let length = spare.len().min(missing);
        &mut spare[..length]
    }

    /// Counts bytes the kernel put into [`Assembly::room`].
    ///
    /// # Safety
    /// The first `count` bytes of the last `room` have been written.
    #[allow(unsafe_code)]
    pub(super) unsafe fn advance(&mut self, count: usize) {
        assert!(count <= self.missing(), "the kernel was given room for the frame only");
        // SAFETY: the caller's promise, and `room` was within the capacity.
        unsafe { self.frame.set_len(self.frame.len() + count) }
    }

    /// The frame under way, if it is whole.
    pub(super) fn take(&mut self) -> Option<BytesMut> {
        if self.expected? != self.frame.len() {
            return None;
        }
        self.expected = None;
        self.prefix_length = 0;
        Some(std::mem::take(&mut self.frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stdx::prng::Prng;

    fn stream_of(frames: &[Vec<u8>]) -> Vec<u8> {
        frames
            .iter()
            .flat_map(|frame| {
                let mut bytes = (frame.len() as i32).to_be_bytes().to_vec();
                bytes.extend_from_slice(frame);
                bytes
            })
            .collect()
    }

    #[test]
    fn frames_survive_any_cutting_of_the_stream() {
        for seed in 0..200 {
            let mut prng = Prng::new(seed);
            let frames: Vec<Vec<u8>> = (0..prng.between(1, 12))
                .map(|_| {
                    let mut frame = vec![0; prng.between(10, 3000) as usize];
                    prng.fill(&mut frame);
                    frame
                })
                .collect();
            let stream = stream_of(&frames);
            let mut assembly = Assembly::new(3000);
            let mut seen = Vec::new();
            let mut at = 0;
            while at < stream.len() {
                let length = (prng.between(1, 700) as usize).min(stream.len() - at);
                if assembly.missing() > 0 && prng.chance(1, 2) {
                    let room = assembly.room();
                    let length = length.min(room.len());
                    for (to, from) in room.iter_mut().zip(&stream[at..at + length]) {
                        to.write(*from);
                    }
                    #[allow(unsafe_code)]
                    // SAFETY: written just above.
                    unsafe {
                        assembly.advance(length);
                    }
                    at += length;
                    seen.extend(assembly.take());
                    continue;
                }
                let mut input = &stream[at..at + length];
                at += length;
                loop {
                    match assembly.feed(&mut input) {
                        Fed::Frame(frame) => seen.push(frame),
                        Fed::Starved => break,
                        Fed::Bad(length) => panic!("seed {seed}: bad length {length}"),
                    }
                }
                assert!(input.is_empty());
            }
            let seen: Vec<Vec<u8>> = seen.into_iter().map(|frame| frame.to_vec()).collect();
            assert_eq!(seen, frames, "seed {seed}");
            assert!(!assembly.is_partial());
        }
    }

    #[test]
    fn lengths_no_request_has_are_refused_before_memory_is_taken() {
        for length in [-1, i32::MIN, 0, 9, 101, i32::MAX] {
            let mut assembly = Assembly::new(100);
            let bytes = length.to_be_bytes();
            let mut input = &bytes[..];
            assert!(matches!(assembly.feed(&mut input), Fed::Bad(seen) if seen == length));
            assert_eq!(assembly.frame.capacity(), 0);
        }
    }

    #[test]
    fn an_announcement_costs_the_first_step_at_most() {
        let mut assembly = Assembly::new(usize::MAX);
        let bytes = 100_000_000_i32.to_be_bytes();
        let mut input = &bytes[..];
        assert!(matches!(assembly.feed(&mut input), Fed::Starved));
        assert!(assembly.frame.capacity() <= 2 * FIRST_STEP_BYTES);
        assert_eq!(assembly.missing(), 100_000_000);
        assert!(assembly.room().len() <= 2 * FIRST_STEP_BYTES);
    }
}
