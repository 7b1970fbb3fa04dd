//! The bytes of headers, as the module's page of tables says.

use std::fmt;

use super::entry::{Entry, EntryKind, FileNumber, GroupSequence, Lane};
use crate::ids::{Incarnation, LeaderEpoch, Offset, PartitionId, ShardId, TopicId, TopicPartition};
use crate::limits;

/// Bytes of a group before its first entry.
pub const GROUP_HEADER_BYTES: usize = 80;
/// Bytes of an entry before its payload.
pub const ENTRY_HEADER_BYTES: usize = 48;

const _: () =
    assert!(GROUP_HEADER_BYTES + ENTRY_HEADER_BYTES == limits::JOURNAL_ENTRY_HEADERS_BYTES);

const FILE_MAGIC: [u8; 8] = *b"RMJFILE\0";
const GROUP_MAGIC: [u8; 8] = *b"RMGROUP\0";
const VERSION: u32 = 1;
const FILE_CRC_AT: usize = 56;
const GROUP_CRC_AT: usize = 72;

/// Rounds up to whole blocks.
pub(super) fn whole_blocks(bytes: usize) -> usize {
    bytes.next_multiple_of(limits::JOURNAL_BLOCK_BYTES)
}

/// Writes fields one behind the other into a fixed header.
struct Fields<'a>(&'a mut [u8]);

impl Fields<'_> {
    fn put(&mut self, field: &[u8]) {
        let (slot, rest) = std::mem::take(&mut self.0).split_at_mut(field.len());
        slot.copy_from_slice(field);
        self.0 = rest;
    }
}

/// Reads fields one behind the other.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }
}

/// The first block of a journal file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// The start of this data directory that wrote it.
    pub incarnation: Incarnation,
    /// The shard that wrote it, under that start's shard count.
    pub shard: ShardId,
    /// Which of the shard's journals.
    pub lane: Lane,
    /// Order among the files of the same incarnation, shard and lane.
    pub number: FileNumber,
    /// Length of the file.
    pub file_bytes: u64,
    /// The oldest file of this shard and lane that was in use when this one was prepared. It may
    /// be of an earlier incarnation. Incarnation 0 stands for this one by a journal that took over
    /// no earlier files, and so does not say that they are not needed.
    pub oldest: (Incarnation, FileNumber),
}

/// Why a first block is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// All zero: the file was filled and never used.
    Unused,
    /// Shorter than a header, or other bytes than a journal's.
    Foreign,
    /// The checksum does not fit: the header has rotted.
    Corrupt,
    /// Written by a version that this one does not read.
    Version(u32),
}

impl fmt::Display for HeaderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderFault::Unused => f.write_str("never used"),
            HeaderFault::Foreign => f.write_str("not a journal file"),
            HeaderFault::Corrupt => f.write_str("file header with a wrong checksum"),
            HeaderFault::Version(version) => write!(f, "journal format version {version}"),
        }
    }
}

impl FileHeader {
    /// Writes the header to the start of `block`, whose remainder the caller has zeroed.
    pub(super) fn write(&self, block: &mut [u8]) {
        let mut header = [0; FILE_CRC_AT];
        let mut fields = Fields(&mut header);
        fields.put(&FILE_MAGIC);
        fields.put(&VERSION.to_le_bytes());
        fields.put(&self.shard.0.to_le_bytes());
        fields.put(&[self.lane.code(), 0]);
        fields.put(&self.incarnation.0.to_le_bytes());
        fields.put(&self.number.0.to_le_bytes());
        fields.put(&self.file_bytes.to_le_bytes());
        fields.put(&self.oldest.0.0.to_le_bytes());
        fields.put(&self.oldest.1.0.to_le_bytes());
        let crc = crc32c::crc32c(&header);
        let mut fields = Fields(block);
        fields.put(&header);
        fields.put(&crc.to_le_bytes());
    }

    /// Reads the header from a file's first bytes (a whole block, or at least 60 bytes).
    ///
    /// # Errors
    /// Says what else the bytes are.
    pub fn parse(block: &[u8]) -> Result<FileHeader, HeaderFault> {
        let (header, rest) =
            block.split_first_chunk::<FILE_CRC_AT>().ok_or(HeaderFault::Foreign)?;
        let crc = Cursor(rest).u32().ok_or(HeaderFault::Foreign)?;
        if header.iter().all(|byte| *byte == 0) {
            return Err(HeaderFault::Unused);
        }
        let mut cursor = Cursor(header);
        if cursor.take() != Some(FILE_MAGIC) {
            return Err(HeaderFault::Foreign);
        }
        let version = cursor.u32().ok_or(HeaderFault::Foreign)?;
        // Another version may keep its checksum elsewhere, so the version is looked at first.
        if version != VERSION {
            return Err(HeaderFault::Version(version));
        }
        if crc32c::crc32c(header) != crc {
            return Err(HeaderFault::Corrupt);
        }
        (|| {
            let shard = ShardId(cursor.u16()?);
            let lane = Lane::from_code(cursor.u8()?)?;
            cursor.u8()?;
            Some(FileHeader {
                shard,
                lane,
                incarnation: Incarnation(cursor.u64()?),
                number: FileNumber(cursor.u64()?),
                file_bytes: cursor.u64()?,
                oldest: (Incarnation(cursor.u64()?), FileNumber(cursor.u64()?)),
            })
        })()
        .ok_or(HeaderFault::Corrupt)
    }
}

/// What stands before the entries of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupHeader {
    pub(super) incarnation: Incarnation,
    pub(super) file: FileNumber,
    pub(super) sequence: GroupSequence,
    pub(super) file_first: GroupSequence,
    pub(super) durable: GroupSequence,
    pub(super) shard: ShardId,
    pub(super) lane: Lane,
    pub(super) block: u32,
    pub(super) previous_crc: u32,
    pub(super) entry_count: u32,
    pub(super) entries_bytes: u32,
    pub(super) entries_crc: u32,
}

/// Why a block does not start with a group header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoGroup {
    /// The block starts with zeroes.
    Zeroes,
    /// Other bytes than a group's.
    Foreign,
    /// The header's checksum does not fit.
    Corrupt,
}

impl GroupHeader {
    /// Writes the header to the start of a group and returns its CRC, which the next group carries.
    pub(super) fn write(&self, group: &mut [u8]) -> u32 {
        let mut header = [0; GROUP_CRC_AT];
        let mut fields = Fields(&mut header);
        fields.put(&GROUP_MAGIC);
        fields.put(&self.incarnation.0.to_le_bytes());
        fields.put(&self.file.0.to_le_bytes());
        fields.put(&self.sequence.0.to_le_bytes());
        fields.put(&self.file_first.0.to_le_bytes());
        fields.put(&self.durable.0.to_le_bytes());
        fields.put(&self.shard.0.to_le_bytes());
        fields.put(&[self.lane.code(), 0]);
        fields.put(&self.block.to_le_bytes());
        fields.put(&self.previous_crc.to_le_bytes());
        fields.put(&self.entry_count.to_le_bytes());
        fields.put(&self.entries_bytes.to_le_bytes());
        fields.put(&self.entries_crc.to_le_bytes());
        let crc = crc32c::crc32c(&header);
        let mut fields = Fields(group);
        fields.put(&header);
        fields.put(&crc.to_le_bytes());
        fields.put(&[0; GROUP_HEADER_BYTES - GROUP_CRC_AT - 4]);
        crc
    }

    /// Reads a header and its CRC from the start of a block.
    pub(super) fn parse(block: &[u8]) -> Result<(GroupHeader, u32), NoGroup> {
        let (header, rest) = block.split_first_chunk::<GROUP_CRC_AT>().ok_or(NoGroup::Foreign)?;
        let crc = Cursor(rest).u32().ok_or(NoGroup::Foreign)?;
        if header.iter().all(|byte| *byte == 0) {
            return Err(NoGroup::Zeroes);
        }
        let mut cursor = Cursor(header);
        if cursor.take() != Some(GROUP_MAGIC) {
            return Err(NoGroup::Foreign);
        }
        if crc32c::crc32c(header) != crc {
            return Err(NoGroup::Corrupt);
        }
        let parsed = (|| {
            let incarnation = Incarnation(cursor.u64()?);
            let file = FileNumber(cursor.u64()?);
            let sequence = GroupSequence(cursor.u64()?);
            let file_first = GroupSequence(cursor.u64()?);
            let durable = GroupSequence(cursor.u64()?);
            let shard = ShardId(cursor.u16()?);
            let lane = Lane::from_code(cursor.u8()?)?;
            cursor.u8()?;
            Some(GroupHeader {
                incarnation,
                file,
                sequence,
                file_first,
                durable,
                shard,
                lane,
                block: cursor.u32()?,
                previous_crc: cursor.u32()?,
                entry_count: cursor.u32()?,
                entries_bytes: cursor.u32()?,
                entries_crc: cursor.u32()?,
            })
        })();
        parsed.map(|header| (header, crc)).ok_or(NoGroup::Corrupt)
    }
}

/// The header of an entry.
pub(super) fn entry_header(entry: &Entry<'_>) -> [u8; ENTRY_HEADER_BYTES] {
    let payload_bytes =
        u32::try_from(entry.payload.len()).expect("a payload that fits into a group fits a u32");
    let mut header = [0; ENTRY_HEADER_BYTES];
    let mut fields = Fields(&mut header);
    fields.put(&payload_bytes.to_le_bytes());
    fields.put(&[entry.kind.code(), 0, 0, 0]);
    fields.put(&entry.at.topic.0);
    fields.put(&entry.at.partition.0.to_le_bytes());
    fields.put(&entry.leader_epoch.0.to_le_bytes());
    fields.put(&entry.base_offset.0.to_le_bytes());
    fields.put(&entry.next_offset.0.to_le_bytes());
    header
}

/// Reads the entry at the start of `bytes`; also what is behind it. `None` if it is none, which
/// under a good checksum means that a newer version wrote it.
pub(super) fn parse_entry(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let mut cursor = Cursor(bytes);
    let payload_bytes = usize::try_from(cursor.u32()?).ok()?;
    let kind = EntryKind::from_code(cursor.u8()?)?;
    cursor.take::<3>()?;
    let topic = TopicId(cursor.take()?);
    let partition = PartitionId(cursor.i32()?);
    let leader_epoch = LeaderEpoch(cursor.i32()?);
    let base_offset = Offset(cursor.i64()?);
    let next_offset = Offset(cursor.i64()?);
    let (payload, rest) = cursor.0.split_at_checked(payload_bytes)?;
    let at = TopicPartition { topic, partition };
    let checked = None;
    Some((Entry { kind, at, base_offset, next_offset, leader_epoch, payload, checked }, rest))
}
