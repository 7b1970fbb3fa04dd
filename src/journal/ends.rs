//! How far a start has read the journals of the starts before it.
//!
//! A killed process may still have writes on their way to the device: they can land after the next
//! start has read the file and taken the torn group there for the end. That start then gives other
//! records the offsets of the missing ones. Were the late group found by the start after it, it
//! would come first, and what was acknowledged in its place would be dropped. So every start writes
//! down, before it acknowledges anything, how far it has read each journal ([`Ends`]), and no later
//! start reads further ([`limit`]). What the earlier start has read it has also made durable: a
//! later one that finds less has met a damage.
//!
//! The file `journal/<start>/ends`, all integers little-endian:
//!
//! | at | type | field |
//! |---|---|---|
//! | 0 | 8 bytes | magic `RMJENDS\0` |
//! | 8 | u32 | format version, 1 |
//! | 12 | u32 | number of journals |
//! | 16 | 20 bytes each | incarnation (u64), shard (u16), lane (u8), 0 (u8), last group read (u64) |
//! | behind | u32 | CRC32C of everything before |

use std::collections::BTreeMap;
use std::fmt;

use super::entry::{GroupSequence, Lane};
use super::plan::Chain;
use crate::ids::{Incarnation, ShardId};

const MAGIC: [u8; 8] = *b"RMJENDS\0";
const VERSION: u32 = 1;
const ROW_BYTES: usize = 20;

/// The last group that one start has read of each journal that it found. A journal that is not
/// named was not there, and so nothing of it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ends(BTreeMap<(Incarnation, ShardId, Lane), GroupSequence>);

/// Why bytes are no [`Ends`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndsFault {
    /// Cut short, rotted, or something else.
    Unreadable,
    /// Written by a version that this one does not read.
    Version(u32),
}

impl fmt::Display for EndsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndsFault::Unreadable => f.write_str("it is cut short or damaged"),
            EndsFault::Version(version) => write!(f, "format version {version}"),
        }
    }
}

impl Ends {
    /// Notes the last group that was read of a journal, 0 if none was.
    pub fn note(&mut self, chain: &Chain, last: GroupSequence) {
        self.0.insert((chain.incarnation, chain.shard, chain.lane), last);
    }

    /// Whether no journal is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The whole file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let count = u32::try_from(self.0.len()).expect("so many shards there are not");
        let mut bytes = Vec::new();
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        for ((incarnation, shard, lane), last) in &self.0 {
            bytes.extend(incarnation.0.to_le_bytes());
            bytes.extend(shard.0.to_le_bytes());
            bytes.extend([lane.code(), 0]);
            bytes.extend(last.0.to_le_bytes());
        }
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// Reads a file back.
    ///
    /// # Errors
    /// The bytes are not what [`Ends::encode`] makes.
    pub fn decode(bytes: &[u8]) -> Result<Ends, EndsFault> {
        Ends::parse(bytes).unwrap_or(Err(EndsFault::Unreadable))
    }

    fn parse(bytes: &[u8]) -> Option<Result<Ends, EndsFault>> {
        let (content, crc) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(content) != u32::from_le_bytes(*crc) {
            return None;
        }
        let (magic, rest) = content.split_first_chunk::<8>()?;
        let (version, rest) = rest.split_first_chunk::<4>()?;
        let (count, rows) = rest.split_first_chunk::<4>()?;
        let version = u32::from_le_bytes(*version);
        if *magic == MAGIC && version != VERSION {
            return Some(Err(EndsFault::Version(version)));
        }
        let (rows, left) = rows.as_chunks::<ROW_BYTES>();
        if *magic != MAGIC || !left.is_empty() || u32::from_le_bytes(*count) as usize != rows.len()
        {
            return None;
        }
        let mut ends = Ends::default();
        for row in rows {
            let (incarnation, row) = row.split_first_chunk::<8>()?;
            let (shard, row) = row.split_first_chunk::<2>()?;
            let ([lane, _], row) = row.split_first_chunk::<2>()?;
            let last = row.first_chunk::<8>()?;
            let key = (
                Incarnation(u64::from_le_bytes(*incarnation)),
                ShardId(u16::from_le_bytes(*shard)),
                Lane::from_code(*lane)?,
            );
            ends.0.insert(key, GroupSequence(u64::from_le_bytes(*last)));
        }
        Some(Ok(ends))
    }
}

/// How far a chain may be read, given what each start has written down: as far as every later start
/// has read it. `None`: no start has read it yet.
#[must_use]
pub fn limit(records: &[(Incarnation, Ends)], chain: &Chain) -> Option<GroupSequence> {
    let key = (chain.incarnation, chain.shard, chain.lane);
    records
        .iter()
        .filter(|(reader, _)| *reader > chain.incarnation)
        .map(|(_, ends)| ends.0.get(&key).copied().unwrap_or_default())
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(incarnation: u64, shard: u16, lane: Lane) -> Chain {
        let (incarnation, shard) = (Incarnation(incarnation), ShardId(shard));
        Chain { incarnation, shard, lane, files: Vec::new() }
    }

    fn ends(lasts: &[(u64, u16, Lane, u64)]) -> Ends {
        let mut ends = Ends::default();
        for (incarnation, shard, lane, last) in lasts {
            ends.note(&chain(*incarnation, *shard, *lane), GroupSequence(*last));
        }
        ends
    }

    #[test]
    fn what_is_written_is_read_and_every_changed_byte_is_seen() {
        let ends = ends(&[
            (1, 0, Lane::Flushed, 7),
            (1, 0, Lane::Unflushed, 0),
            (3, 2, Lane::Flushed, u64::MAX),
        ]);
        let bytes = ends.encode();
        assert_eq!(Ends::decode(&bytes), Ok(ends));
        assert_eq!(Ends::decode(&Ends::default().encode()), Ok(Ends::default()));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(Ends::decode(&changed), Err(EndsFault::Unreadable));
            assert_eq!(Ends::decode(&bytes[..at]), Err(EndsFault::Unreadable));
        }
        let mut later = bytes[..bytes.len() - 4].to_vec();
        later[8] = 2;
        later.extend(crc32c::crc32c(&later).to_le_bytes());
        assert_eq!(Ends::decode(&later), Err(EndsFault::Version(2)));
    }

    #[test]
    fn every_later_start_sets_a_limit_and_the_lowest_counts() {
        let records = [
            (Incarnation(2), ends(&[(1, 0, Lane::Flushed, 7)])),
            (Incarnation(3), ends(&[(1, 0, Lane::Flushed, 6), (2, 0, Lane::Flushed, 9)])),
        ];
        let limit = |incarnation, shard, lane| limit(&records, &chain(incarnation, shard, lane));
        assert_eq!(limit(1, 0, Lane::Flushed), Some(GroupSequence(6)));
        assert_eq!(limit(2, 0, Lane::Flushed), Some(GroupSequence(9)));
        assert_eq!(limit(3, 0, Lane::Flushed), None);
        // Nobody saw these.
        assert_eq!(limit(1, 1, Lane::Flushed), Some(GroupSequence(0)));
        assert_eq!(limit(2, 0, Lane::Unflushed), Some(GroupSequence(0)));
    }
}
