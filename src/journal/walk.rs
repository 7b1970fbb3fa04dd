//! One step along the groups of a file: is what stands here the exact successor?

use std::fmt;

use super::entry::{Entry, FileNumber, GroupSequence, Lane};
use super::format::{GROUP_HEADER_BYTES, GroupHeader, NoGroup, parse_entry, whole_blocks};
use crate::ids::{Incarnation, ShardId};
use crate::limits::{JOURNAL_BLOCK_BYTES, JOURNAL_LARGE_GROUP_BYTES_MAX};

/// Why reading stopped at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The file is full.
    EndOfFile,
    /// The file is shorter than its header says.
    ShortFile,
    /// Zeroes: nothing was written here since the file was filled.
    Zeroes,
    /// Bytes in the middle of an older use of the file.
    Foreign,
    /// A group header with a wrong checksum: torn or rotted.
    CorruptHeader,
    /// A group of an older use of the file, or one that belongs elsewhere.
    Stale,
    /// A group of this file, but not the next one.
    Gap {
        /// The sequence that should stand here.
        expected: GroupSequence,
        /// The sequence that does.
        found: GroupSequence,
    },
    /// The next sequence, but its predecessor was another group than the one read.
    BrokenChain,
    /// A header without all of its entries: torn or rotted.
    CorruptEntries,
    /// Entries with a good checksum that make no sense to this version.
    UnknownEntries,
    /// An earlier start has read no further.
    Limit,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::EndOfFile => f.write_str("the file is full"),
            Stop::ShortFile => f.write_str("the file is shorter than its header says"),
            Stop::Zeroes => f.write_str("zeroes: never written"),
            Stop::Foreign => f.write_str("no group: bytes of an older use of the file"),
            Stop::CorruptHeader => f.write_str("group header with a wrong checksum"),
            Stop::Stale => f.write_str("group of an older use of the file"),
            Stop::Gap { expected, found } => {
                write!(f, "group {} where {} should be", found.0, expected.0)
            }
            Stop::BrokenChain => f.write_str("group that follows another one than the one read"),
            Stop::CorruptEntries => f.write_str("group with incomplete or corrupt entries"),
            Stop::UnknownEntries => f.write_str("entries that a newer version wrote"),
            Stop::Limit => f.write_str("an earlier start has read no further"),
        }
    }
}

/// What every group of one file has in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) incarnation: Incarnation,
    pub(super) shard: ShardId,
    pub(super) lane: Lane,
    pub(super) file: FileNumber,
}

/// What the next group must carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) sequence: GroupSequence,
    pub(super) previous_crc: u32,
}

/// A group that was found good.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) header: GroupHeader,
    /// What the group after it must carry.
    pub(super) successor: Expected,
    /// How far the next group is.
    pub(super) bytes: usize,
    entries: &'a [u8],
}

impl<'a> Group<'a> {
    /// Its entries, of which there are as many as the header says.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        Entries(self.entries)
    }
}

struct Entries<'a>(&'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let (entry, rest) = parse_entry(self.0)?;
        self.0 = rest;
        Some(entry)
    }
}

/// What stands at a place.
#[derive(Debug)]
pub(super) enum Step<'a> {
    Group(Group<'a>),
    /// The header is good, but the group is longer than the bytes at hand: that many are needed.
    Need(usize),
    Stop(Stop),
}

/// The header of a group that belongs exactly here, whatever its sequence.
pub(super) fn header_at(
    bytes: &[u8],
    position: u64,
    identity: &Identity,
) -> Result<(GroupHeader, u32), Stop> {
    let (header, crc) = GroupHeader::parse(bytes).map_err(|no_group| match no_group {
        NoGroup::Zeroes => Stop::Zeroes,
        NoGroup::Foreign => Stop::Foreign,
        NoGroup::Corrupt => Stop::CorruptHeader,
    })?;
    let found = Identity {
        incarnation: header.incarnation,
        shard: header.shard,
        lane: header.lane,
        file: header.file,
    };
    let block = position / JOURNAL_BLOCK_BYTES as u64;
    if found != *identity || u64::from(header.block) != block {
        return Err(Stop::Stale);
    }
    Ok((header, crc))
}

/// Looks at `bytes`, which start at `position` of a file with `file_bytes` and hold at least one
/// block. Without `expected` it is the first group of the file, whatever its sequence.
pub(super) fn step<'a>(
    bytes: &'a [u8],
    position: u64,
    file_bytes: u64,
    identity: &Identity,
    expected: Option<Expected>,
) -> Step<'a> {
    let (header, crc) = match header_at(bytes, position, identity) {
        Ok(found) => found,
        Err(stop) => return Step::Stop(stop),
    };
    let sequence = expected.map_or(header.file_first, |expected| expected.sequence);
    if header.sequence != sequence {
        return Step::Stop(Stop::Gap { expected: sequence, found: header.sequence });
    }
    if expected.is_some_and(|expected| expected.previous_crc != header.previous_crc) {
        return Step::Stop(Stop::BrokenChain);
    }
    let used = u64::from(header.entries_bytes) + GROUP_HEADER_BYTES as u64;
    let used = usize::try_from(used).unwrap_or(usize::MAX);
    if used > JOURNAL_LARGE_GROUP_BYTES_MAX || used as u64 > file_bytes.saturating_sub(position) {
        return Step::Stop(Stop::CorruptEntries);
    }
    let Some(entries) = bytes.get(GROUP_HEADER_BYTES..used) else {
        return Step::Need(whole_blocks(used));
    };
    if crc32c::crc32c(entries) != header.entries_crc {
        return Step::Stop(Stop::CorruptEntries);
    }
    let mut walk = Entries(entries);
    let mut entry_count = 0_u32;
    while walk.next().is_some() {
        entry_count += 1;
    }
    if entry_count != header.entry_count || !walk.0.is_empty() {
        return Step::Stop(Stop::UnknownEntries);
    }
    let sequence = GroupSequence(header.sequence.0.saturating_add(1));
    let successor = Expected { sequence, previous_crc: crc };
    Step::Group(Group { header, successor, bytes: whole_blocks(used), entries })
}

#[cfg(test)]
mod tests {
    use super::super::memory_disk::{BLOCK, Disk, Driver, options, partition};
    use super::*;

    /// The first two groups of a file, and what they have in common.
    fn two_groups() -> (Vec<u8>, Identity) {
        let mut disk = Disk::default();
        let mut driver = Driver::new(options(4, Lane::Flushed));
        for base in 0..2 {
            driver.append(partition(0), base, base + 1, &[7; 5000]).unwrap();
            driver.settle(&mut disk);
        }
        let file = disk.files.into_values().next().unwrap();
        let (incarnation, shard) = (Incarnation(4), ShardId(0));
        (file, Identity { incarnation, shard, lane: Lane::Flushed, file: FileNumber(1) })
    }

    fn stop(bytes: &[u8], position: u64, identity: &Identity, expected: Option<Expected>) -> Stop {
        match step(bytes, position, 8 * BLOCK, identity, expected) {
            Step::Stop(stop) => stop,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_field_of_a_header_is_looked_at() {
        let (file, identity) = two_groups();
        let first = &file[BLOCK as usize..];
        let Step::Group(group) = step(first, BLOCK, 8 * BLOCK, &identity, None) else { panic!() };
        let next = group.successor;
        let second = &first[group.bytes..];
        let position = BLOCK + group.bytes as u64;
        assert!(matches!(step(second, position, 8 * BLOCK, &identity, Some(next)), Step::Group(_)));
        let others = [
            Identity { incarnation: Incarnation(3), ..identity },
            Identity { shard: ShardId(1), ..identity },
            Identity { lane: Lane::Unflushed, ..identity },
            Identity { file: FileNumber(2), ..identity },
        ];
        for other in &others {
            assert_eq!(stop(second, position, other, Some(next)), Stop::Stale);
        }
        assert_eq!(stop(second, position + BLOCK, &identity, Some(next)), Stop::Stale);
        let later = Expected { sequence: GroupSequence(3), ..next };
        let gap = Stop::Gap { expected: GroupSequence(3), found: GroupSequence(2) };
        assert_eq!(stop(second, position, &identity, Some(later)), gap);
        let earlier = Expected { sequence: GroupSequence(1), ..next };
        let gap = Stop::Gap { expected: GroupSequence(1), found: GroupSequence(2) };
        assert_eq!(stop(second, position, &identity, Some(earlier)), gap);
        // The second group of a file is not its first.
        assert_eq!(stop(second, position, &identity, None), gap);
        let other = Expected { previous_crc: next.previous_crc ^ 1, ..next };
        assert_eq!(stop(second, position, &identity, Some(other)), Stop::BrokenChain);
    }

    #[test]
    fn a_group_longer_than_what_was_read_says_how_much_it_needs() {
        let (file, identity) = two_groups();
        let piece = &file[BLOCK as usize..2 * BLOCK as usize];
        let needed = step(piece, BLOCK, 8 * BLOCK, &identity, None);
        assert!(matches!(needed, Step::Need(8192)), "{needed:?}");
        // But not more than the file has.
        let stop = step(piece, BLOCK, 2 * BLOCK, &identity, None);
        assert!(matches!(stop, Step::Stop(Stop::CorruptEntries)), "{stop:?}");
    }
}
