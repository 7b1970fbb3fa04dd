//! Which bytes of a partition's segments have not been looked at since the start.
//!
//! What this process has written was checked when it came. What a start finds has lain on a device
//! for who knows how long: it is checked when it is first read, before a client gets it.

use std::collections::BTreeMap;

use crate::ids::Offset;
use crate::log::Log;

/// Most bytes that are checked in one turn, except for a batch that is larger.
pub(super) const CHECK_BYTES: u32 = 1024 * 1024;

/// A segment that was found.
#[derive(Debug)]
struct Found {
    /// Its length then. What is behind was written since.
    end: u32,
    /// Checked from here,
    from: u32,
    /// to here. Readers go forward, so one stretch grows over the whole segment.
    to: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Unchecked(BTreeMap<Offset, Found>);

impl Unchecked {
    /// All that is in the segments of a log that was just restored.
    pub(super) fn new(log: &Log) -> Unchecked {
        let found = log.segments().filter_map(|segment| {
            let end = log.segment_files(segment).map(|files| files.bytes)?;
            (end > 0).then_some((segment, Found { end, from: 0, to: 0 }))
        });
        Unchecked(found.collect())
    }

    /// Whether some of these bytes have not been checked.
    pub(super) fn has(&self, segment: Offset, position: u32, length: u32) -> bool {
        self.0.get(&segment).is_some_and(|found| {
            let end = position.saturating_add(length).min(found.end);
            position < end && !(found.from <= position && end <= found.to)
        })
    }

    /// Compaction has read all of a segment and put another in its place.
    pub(super) fn forget(&mut self, segment: Offset) {
        self.0.remove(&segment);
    }

    /// These bytes have been checked.
    pub(super) fn checked(&mut self, segment: Offset, position: u32, length: u32) {
        let Some(found) = self.0.get_mut(&segment) else { return };
        let end = position.saturating_add(length);
        if position <= found.to && found.from <= end {
            found.from = found.from.min(position);
            found.to = found.to.max(end);
        } else {
            (found.from, found.to) = (position, end);
        }
        if found.from == 0 && found.end <= found.to {
            self.0.remove(&segment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_checked_once_and_what_was_written_since_is_not() {
        let mut unchecked =
            Unchecked(BTreeMap::from([(Offset(5), Found { end: 100, from: 0, to: 0 })]));
        assert!(!unchecked.has(Offset(0), 0, 100));
        assert!(!unchecked.has(Offset(5), 100, 50));
        assert!(unchecked.has(Offset(5), 99, 50));
        unchecked.checked(Offset(5), 40, 20);
        assert!(!unchecked.has(Offset(5), 45, 10));
        assert!(unchecked.has(Offset(5), 45, 16));
        unchecked.checked(Offset(5), 60, 40);
        assert!(!unchecked.has(Offset(5), 40, 200));
        assert!(unchecked.has(Offset(5), 39, 1));
        // A reader somewhere else: its stretch counts from here on.
        unchecked.checked(Offset(5), 0, 10);
        assert!(unchecked.has(Offset(5), 40, 1));
        unchecked.checked(Offset(5), 10, 90);
        assert!(unchecked.0.is_empty());
    }
}
