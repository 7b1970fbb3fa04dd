//! Hash maps whose behaviour is the same in every run: std's tables with a fixed hasher.
//!
//! Iteration order still depends on capacity history, so nothing that leaves the house (replies,
//! records, traces) may follow it; sort first. The hasher is FxHash-like: fast on the short integer
//! and id keys of the hot path. Keys chosen by a peer (topic names) go through `BTreeMap` instead,
//! where a crafted set of keys cannot degrade into a list.

use std::hash::{BuildHasherDefault, Hasher};

/// A hash map with a fixed hasher.
#[allow(clippy::disallowed_types)]
pub type Map<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<FixedHasher>>;
/// A hash set with a fixed hasher.
#[allow(clippy::disallowed_types)]
pub type Set<K> = std::collections::HashSet<K, BuildHasherDefault<FixedHasher>>;

/// Multiply-and-rotate hashing of machine words.
#[derive(Clone, Copy, Default)]
pub struct FixedHasher(u64);

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl FixedHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(MULTIPLIER);
    }
}

impl Hasher for FixedHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.mix(u64::from_le_bytes(word) ^ chunk.len() as u64);
        }
    }

    fn write_u8(&mut self, n: u8) {
        self.mix(n.into());
    }

    fn write_u16(&mut self, n: u16) {
        self.mix(n.into());
    }

    fn write_u32(&mut self, n: u32) {
        self.mix(n.into());
    }

    fn write_u64(&mut self, n: u64) {
        self.mix(n);
    }

    fn write_usize(&mut self, n: usize) {
        self.mix(n as u64);
    }

    fn finish(&self) -> u64 {
        // Tables take their bucket from the low bits, where multiplication mixes least.
        self.0 ^ (self.0 >> 32)
    }
}
