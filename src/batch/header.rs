//! The 61 bytes that every batch opens with.

use super::compression::Compression;
use super::error::BatchError;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use crate::time::Timestamp;

/// Size of the header, in bytes: the smallest batch.
pub const HEADER_BYTES: usize = 61;
/// Bytes in front of what the batch length counts: the base offset and the length field itself.
pub const LENGTH_PREFIX_BYTES: usize = 12;
/// The format this house reads and writes.
pub const MAGIC: i8 = 2;
/// On the wire: the batch has no producer id.
pub const NO_PRODUCER_ID: ProducerId = ProducerId(-1);
/// On the wire: the batch has no producer epoch.
pub const NO_PRODUCER_EPOCH: ProducerEpoch = ProducerEpoch(-1);
/// On the wire: the batch has no sequence (no producer id, or a control batch).
pub const NO_SEQUENCE: Sequence = Sequence(-1);
/// On the wire: the leader epoch is not known (every produced batch).
pub const NO_LEADER_EPOCH: LeaderEpoch = LeaderEpoch(-1);
/// On the wire: the record or batch has no timestamp.
pub const NO_TIMESTAMP: Timestamp = Timestamp(-1);

/// Smallest legal batch length field.
const BATCH_LENGTH_MIN: i32 = (HEADER_BYTES - LENGTH_PREFIX_BYTES) as i32;
/// Bytes that must be there before the magic byte can be read.
const MAGIC_END: usize = 17;

pub(super) const COMPRESSION_MASK: i16 = 0x07;
pub(super) const APPEND_TIME_BIT: i16 = 0x08;
pub(super) const TRANSACTIONAL_BIT: i16 = 0x10;
pub(super) const CONTROL_BIT: i16 = 0x20;
pub(super) const DELETE_HORIZON_BIT: i16 = 0x40;

/// What the timestamps of a batch mean (`message.timestamp.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// Each record carries the time its producer gave it.
    CreateTime,
    /// Every record has the batch's max timestamp: when the broker appended it.
    LogAppendTime,
}

/// Who wrote a batch, as far as idempotence and transactions care (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerStamp {
    /// The producer id, never negative.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// Sequence of the first record; [`NO_SEQUENCE`] in a control batch.
    pub first_sequence: Sequence,
    /// Sequence of the last record; [`NO_SEQUENCE`] in a control batch.
    pub last_sequence: Sequence,
    /// Whether the batch is part of a transaction (markers are, too).
    pub transactional: bool,
    /// Whether the batch holds control records.
    pub control: bool,
}

/// A parsed header. The fields are as they stand in the bytes; the methods say what they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record; 0 in a produced batch, set by [`stamp`](super::stamp).
    pub base_offset: Offset,
    /// Bytes that follow the length field.
    pub batch_length: i32,
    /// The leader epoch the batch was appended in; set by [`stamp`](super::stamp).
    pub leader_epoch: LeaderEpoch,
    /// Always 2 after [`BatchHeader::parse`].
    pub magic: i8,
    /// CRC-32C over everything that follows this field.
    pub crc: u32,
    /// Bits 0-2 compression, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon.
    pub attributes: i16,
    /// Last offset minus base offset. Survives compaction, even of the last record.
    pub last_offset_delta: i32,
    /// What the records' timestamp deltas count from; the delete horizon where that bit is set.
    pub base_timestamp: Timestamp,
    /// Largest timestamp of the records, or the append time.
    pub max_timestamp: Timestamp,
    /// -1 for none.
    pub producer_id: ProducerId,
    /// -1 for none.
    pub producer_epoch: ProducerEpoch,
    /// -1 for none.
    pub base_sequence: Sequence,
    /// Records in the batch; less than the offset range after compaction.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`; what follows it need not be there yet. Looks at
    /// magic and batch length only, so offsets and counts may still be nonsense: [`check`] is what
    /// vouches for them.
    ///
    /// # Errors
    /// `Truncated`, `LegacyMagic`, `UnknownMagic`, `LengthTooSmall`.
    ///
    /// [`check`]: super::check
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        let needed = if bytes.len() < MAGIC_END { MAGIC_END } else { HEADER_BYTES };
        let truncated = BatchError::Truncated { needed, present: bytes.len() };
        // The magic byte comes first: the fields behind it have no meaning in another format, and
        // the shortest legacy message is shorter than this header.
        let magic = match bytes.get(MAGIC_END - 1) {
            None => return Err(truncated),
            Some(byte) => i8::from_be_bytes([*byte]),
        };
        // A recycled or preallocated file is zeros after its last batch; that is not a legacy
        // message, and its length says so.
        if let Some((_, [a, b, c, d])) =
            bytes.first_chunk::<LENGTH_PREFIX_BYTES>().and_then(|prefix| prefix.split_last_chunk())
        {
            let batch_length = i32::from_be_bytes([*a, *b, *c, *d]);
            let min = if magic == MAGIC { BATCH_LENGTH_MIN } else { LEGACY_LENGTH_MIN };
            if batch_length < min {
                return Err(BatchError::LengthTooSmall { batch_length });
            }
        }
        match magic {
            MAGIC => Fields(bytes).header().ok_or(truncated),
            0 | 1 => Err(BatchError::LegacyMagic { magic }),
            _ => Err(BatchError::UnknownMagic { magic }),
        }
    }

    /// Size of the whole batch, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        LENGTH_PREFIX_BYTES.saturating_add(usize::try_from(self.batch_length).unwrap_or(0))
    }

    /// Offset of the last record the batch was written with.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        Offset(self.base_offset.0.saturating_add(self.last_offset_delta.into()))
    }

    /// The offset after the last.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        Offset(self.last_offset().0.saturating_add(1))
    }

    /// How the records are compressed.
    ///
    /// # Errors
    /// `UnknownCompression`.
    pub fn compression(&self) -> Result<Compression, BatchError> {
        let id = (self.attributes & COMPRESSION_MASK) as u8;
        Compression::from_id(id).ok_or(BatchError::UnknownCompression { id })
    }

    /// What the timestamps mean.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & APPEND_TIME_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the batch belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Whether the batch holds control records, which no consumer sees.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// Whether the base timestamp is a delete horizon (KIP-534).
    #[must_use]
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON_BIT != 0
    }

    /// Who wrote the batch; `None` without a producer id.
    #[must_use]
    pub fn producer(&self) -> Option<ProducerStamp> {
        if self.producer_id.0 < 0 {
            return None;
        }
        let sequenced = self.base_sequence.0 >= 0 && self.last_offset_delta >= 0;
        let (first_sequence, last_sequence) = if sequenced {
            (self.base_sequence, self.base_sequence.plus(self.last_offset_delta))
        } else {
            (NO_SEQUENCE, NO_SEQUENCE)
        };
        Some(ProducerStamp {
            id: self.producer_id,
            epoch: self.producer_epoch,
            first_sequence,
            last_sequence,
            transactional: self.is_transactional(),
            control: self.is_control(),
        })
    }

    /// The header as it stands in front of a batch.
    pub(super) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut rest = bytes.as_mut_slice();
        let mut put = |field: &[u8]| {
            let (slot, tail) = std::mem::take(&mut rest).split_at_mut(field.len());
            slot.copy_from_slice(field);
            rest = tail;
        };
        put(&self.base_offset.0.to_be_bytes());
        put(&self.batch_length.to_be_bytes());
        put(&self.leader_epoch.0.to_be_bytes());
        put(&self.magic.to_be_bytes());
        put(&self.crc.to_be_bytes());
        put(&self.attributes.to_be_bytes());
        put(&self.last_offset_delta.to_be_bytes());
        put(&self.base_timestamp.0.to_be_bytes());
        put(&self.max_timestamp.0.to_be_bytes());
        put(&self.producer_id.0.to_be_bytes());
        put(&self.producer_epoch.0.to_be_bytes());
        put(&self.base_sequence.0.to_be_bytes());
        put(&self.record_count.to_be_bytes());
        assert!(rest.is_empty(), "the fields fill the header");
        bytes
    }
}

/// Smallest length field of a legacy message (crc, magic, attributes, two null lengths).
const LEGACY_LENGTH_MIN: i32 = 14;

/// Reads big-endian fields off the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn header(mut self) -> Option<BatchHeader> {
        Some(BatchHeader {
            base_offset: Offset(i64::from_be_bytes(self.take()?)),
            batch_length: i32::from_be_bytes(self.take()?),
            leader_epoch: LeaderEpoch(i32::from_be_bytes(self.take()?)),
            magic: i8::from_be_bytes(self.take()?),
            crc: u32::from_be_bytes(self.take()?),
            attributes: i16::from_be_bytes(self.take()?),
            last_offset_delta: i32::from_be_bytes(self.take()?),
            base_timestamp: Timestamp(i64::from_be_bytes(self.take()?)),
            max_timestamp: Timestamp(i64::from_be_bytes(self.take()?)),
            producer_id: ProducerId(i64::from_be_bytes(self.take()?)),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(self.take()?)),
            base_sequence: Sequence(i32::from_be_bytes(self.take()?)),
            record_count: i32::from_be_bytes(self.take()?),
        })
    }
}
