//! The newest offset of each key, by a hash of the key.

use siphasher::sip128::{Hash128, SipHasher24};

use crate::ids::Offset;
use crate::stdx::map::Map;

/// What one key takes, in bytes: hash and offset, and the table's share of empty places at its
/// fullest and emptiest.
const KEY_BYTES: usize = 24 * 2;

/// See the module. A key that collides with another would lose a record, so the hash is 128 bits of
/// `SipHash`, under a seed that no client knows: nobody can make keys that collide.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    hasher: SipHasher24,
    newest: Map<u128, Offset>,
    count_max: usize,
}

impl Keys {
    /// Room for as many keys as fit into so many bytes.
    pub(super) fn new(seed: (u64, u64), bytes_max: usize) -> Keys {
        let hasher = SipHasher24::new_with_keys(seed.0, seed.1);
        Keys { hasher, newest: Map::default(), count_max: (bytes_max / KEY_BYTES).max(1) }
    }

    /// Notes a record. False if its key is new and there is no room for another.
    pub(super) fn note(&mut self, key: &[u8], offset: Offset) -> bool {
        let hash = self.hash(key);
        let full = self.newest.len() >= self.count_max;
        if let Some(newest) = self.newest.get_mut(&hash) {
            *newest = (*newest).max(offset);
            return true;
        }
        if !full {
            self.newest.insert(hash, offset);
        }
        !full
    }

    /// Whether a newer record of this key was noted than the one at `offset`.
    pub(super) fn has_newer(&self, key: &[u8], offset: Offset) -> bool {
        self.newest.get(&self.hash(key)).is_some_and(|newest| offset < *newest)
    }

    fn hash(&self, key: &[u8]) -> u128 {
        let Hash128 { h1, h2 } = self.hasher.hash(key);
        u128::from(h1) << 64 | u128::from(h2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_offset_counts_whatever_the_order() {
        let mut keys = Keys::new((1, 2), 1 << 20);
        for offset in [5, 9, 7] {
            assert!(keys.note(b"a", Offset(offset)));
        }
        assert!(keys.note(b"", Offset(6)));
        assert!(keys.has_newer(b"a", Offset(7)));
        assert!(!keys.has_newer(b"a", Offset(9)));
        assert!(!keys.has_newer(b"", Offset(6)));
        assert!(!keys.has_newer(b"unknown", Offset(0)));
    }

    #[test]
    fn a_full_map_takes_known_keys_only() {
        let mut keys = Keys::new((1, 2), 2 * KEY_BYTES);
        assert!(keys.note(b"a", Offset(0)));
        assert!(keys.note(b"b", Offset(1)));
        assert!(!keys.note(b"c", Offset(2)));
        assert!(keys.note(b"a", Offset(3)));
        assert!(keys.has_newer(b"a", Offset(0)));
        assert!(!keys.has_newer(b"c", Offset(0)));
    }
}
