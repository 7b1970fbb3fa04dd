//! Frames of the catalog log.
//!
//! ```text
//! magic 4 | format version 2 | kind 2 | length 4 | crc32c 4 | sequence 8 | index 4 | count 4
//! record
//! ```
//!
//! All numbers are little-endian; `length` counts the record's bytes, and the checksum covers
//! everything but the magic and itself. The first frame of a catalog has sequence 1.
//!
//! The records of one plan form a group: `count` of them, this one being number `index`. A group is
//! appended with one write and flushed before the next one is written. That makes the end of a log
//! readable without guessing:
//! 1. Power fails during an append: some sectors of the last group are missing, in any order. No
//!    reply left for any of its records, so the whole group is cut off.
//! 2. A sector of an older group rots: a later group can be read behind the damage, and it was only
//!    written after the damaged one was durable. Acknowledged records are lost; this is an error
//!    that needs a person, never something to cut.
//!
//! Damage to the very last group looks like 1 in both cases; the device has to be trusted there.
//! The files may be pre-allocated or recycled: zeroes, and old frames whose sequence does not
//! continue the log, count as nothing.

use std::fmt;

use super::FORMAT_VERSION;
use super::record::Record;
use super::record_codec::{DecodeError, decode_record, encode_record};

/// First bytes of every frame.
pub const FRAME_MAGIC: [u8; 4] = *b"RmCl";
/// Bytes of a frame in front of its record.
pub const FRAME_HEADER_BYTES: usize = 32;
/// Largest record, in bytes: one topic with [`crate::limits::TOPIC_PARTITIONS_MAX`] partitions and
/// all its configs fits many times over.
pub const RECORD_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most records in one group.
pub const GROUP_RECORDS_MAX: usize = 1_000_000;

/// The frame of a single record, as a group of its own.
#[must_use]
pub fn encode(record: &Record, sequence: u64) -> Vec<u8> {
    encode_group(std::slice::from_ref(record), sequence)
}

/// The frames of one plan's records, to be appended with one write. `first_sequence` is the image's
/// version plus one.
#[must_use]
pub fn encode_group(records: &[Record], first_sequence: u64) -> Vec<u8> {
    assert!(records.len() <= GROUP_RECORDS_MAX, "a group has at most {GROUP_RECORDS_MAX} records");
    let mut bytes = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let body = encode_record(record);
        assert!(body.len() <= RECORD_BYTES_MAX, "a record has at most {RECORD_BYTES_MAX} bytes");
        let header = Header {
            format_version: FORMAT_VERSION,
            kind: record.kind(),
            length: body.len() as u32,
            sequence: first_sequence + index as u64,
            index: index as u32,
            count: records.len() as u32,
        };
        bytes.extend_from_slice(&FRAME_MAGIC);
        bytes.extend_from_slice(&header.before_checksum());
        bytes.extend_from_slice(&header.checksum(&body).to_le_bytes());
        bytes.extend_from_slice(&header.after_checksum());
        bytes.extend_from_slice(&body);
    }
    bytes
}

struct Header {
    format_version: u16,
    kind: u16,
    length: u32,
    sequence: u64,
    index: u32,
    count: u32,
}

impl Header {
    fn before_checksum(&self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..2].copy_from_slice(&self.format_version.to_le_bytes());
        bytes[2..4].copy_from_slice(&self.kind.to_le_bytes());
        bytes[4..].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }

    fn after_checksum(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.index.to_le_bytes());
        bytes[12..].copy_from_slice(&self.count.to_le_bytes());
        bytes
    }

    fn checksum(&self, body: &[u8]) -> u32 {
        let crc = crc32c::crc32c(&self.before_checksum());
        let crc = crc32c::crc32c_append(crc, &self.after_checksum());
        crc32c::crc32c_append(crc, body)
    }
}

/// One frame whose checksum holds.
struct Frame<'a> {
    header: Header,
    body: &'a [u8],
    /// Bytes of the whole frame.
    bytes: usize,
}

impl Frame<'_> {
    /// Sequence of the first record of this frame's group.
    fn group_sequence(&self) -> u64 {
        self.header.sequence - u64::from(self.header.index)
    }
}

/// Why there is no frame at the start of some bytes.
fn read_frame(bytes: &[u8]) -> Result<Frame<'_>, EndReason> {
    if bytes.is_empty() {
        return Err(EndReason::EndOfFile);
    }
    let Some((header, rest)) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>() else {
        let zero = bytes.iter().all(|byte| *byte == 0);
        return Err(if zero { EndReason::EndOfFile } else { EndReason::HeaderCut });
    };
    if header[..4] != FRAME_MAGIC {
        let zero = header.iter().all(|byte| *byte == 0);
        return Err(if zero { EndReason::Blank } else { EndReason::NoMagic });
    }
    let mut at = 4;
    let mut field = |count: usize| {
        let value = header.iter().skip(at).take(count).rev();
        at += count;
        value.fold(0_u64, |value, byte| (value << 8) | u64::from(*byte))
    };
    let (format_version, kind, length) = (field(2) as u16, field(2) as u16, field(4) as u32);
    let checksum = field(4) as u32;
    let (sequence, index, count) = (field(8), field(4) as u32, field(4) as u32);
    let header = Header { format_version, kind, length, sequence, index, count };
    if length as usize > RECORD_BYTES_MAX {
        return Err(EndReason::TooLong);
    }
    let Some((body, _)) = rest.split_at_checked(length as usize) else {
        return Err(EndReason::RecordCut);
    };
    if header.checksum(body) != checksum {
        return Err(EndReason::Checksum);
    }
    // A sequence that high is none; it would only serve to overflow what is computed from it.
    if index >= count || u64::from(index) >= sequence || sequence > u64::MAX / 2 {
        return Err(EndReason::GroupBounds);
    }
    Ok(Frame { header, body, bytes: FRAME_HEADER_BYTES + body.len() })
}

/// Why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The bytes ended at the end of a frame, or nothing but zeroes was left.
    EndOfFile,
    /// Zeroes, as pre-allocation leaves them.
    Blank,
    /// A whole frame whose sequence does not continue the log: left over in a recycled file.
    Stale,
    /// The bytes ended inside a frame's header.
    HeaderCut,
    /// Neither a frame nor zeroes.
    NoMagic,
    /// The length is beyond [`RECORD_BYTES_MAX`].
    TooLong,
    /// The bytes ended inside a record.
    RecordCut,
    /// The checksum does not fit.
    Checksum,
    /// The checksum fits, but index, count and sequence contradict each other.
    GroupBounds,
    /// All frames so far are whole, but the last group is not complete.
    GroupCut,
}

impl EndReason {
    /// True if an append was interrupted here, and so something is cut off.
    #[must_use]
    pub fn is_torn(self) -> bool {
        !matches!(self, EndReason::EndOfFile | EndReason::Blank | EndReason::Stale)
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EndReason::EndOfFile => "end of the file",
            EndReason::Blank => "blank bytes",
            EndReason::Stale => "frames of an older use of the file",
            EndReason::HeaderCut => "a frame header that is cut off",
            EndReason::NoMagic => "bytes that are no frame",
            EndReason::TooLong => "a frame with an impossible length",
            EndReason::RecordCut => "a record that is cut off",
            EndReason::Checksum => "a frame with a wrong checksum",
            EndReason::GroupBounds => "a frame with impossible numbers",
            EndReason::GroupCut => "a group of records that is not complete",
        })
    }
}

/// Where and why the readable part of a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEnd {
    /// Bytes up to the end of the last complete group; what follows is to be overwritten.
    pub valid_bytes: usize,
    /// Why it ends there.
    pub reason: EndReason,
    /// Sequence of the last record before the end; `None` if there was none.
    pub last_sequence: Option<u64>,
}

/// Why a log cannot be used at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogError {
    /// Damage in the middle: records that were durable are lost, since later ones can be read.
    Corrupt {
        /// Where the damage begins.
        position: usize,
        /// What was found there.
        reason: EndReason,
        /// Where a later frame of this log begins.
        later_position: usize,
        /// Its sequence.
        later_sequence: u64,
    },
    /// A frame of a newer format.
    NewerFormat {
        /// Where.
        position: usize,
        /// Its format version.
        found: u16,
    },
    /// A record of a kind that this release does not know.
    UnknownKind {
        /// Where.
        position: usize,
        /// The kind.
        kind: u16,
        /// The format version of its frame.
        format_version: u16,
    },
    /// The checksum fits, but the record makes no sense: a bug of whoever wrote it.
    Malformed {
        /// Where.
        position: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// Records are missing between the image and the log.
    Gap {
        /// The sequence that should have come.
        expected: u64,
        /// The one that came.
        found: u64,
    },
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::Corrupt { position, reason, later_position, later_sequence } => write!(
                f,
                "the catalog log is damaged at byte {position} ({reason}), but record \
                 {later_sequence} at byte {later_position} is whole: durable records are lost"
            ),
            LogError::NewerFormat { position, found } => write!(
                f,
                "the catalog log has format {found} at byte {position}, this release knows up to \
                 {FORMAT_VERSION}: start the newer release"
            ),
            LogError::UnknownKind { position, kind, format_version } => write!(
                f,
                "the catalog log has a record of unknown kind {kind} (format {format_version}) at \
                 byte {position}: it was written by a newer release"
            ),
            LogError::Malformed { position, reason } => {
                write!(f, "the catalog log has a malformed record at byte {position}: {reason}")
            }
            LogError::Gap { expected, found } => write!(
                f,
                "the catalog log lacks records: {expected} should come next, {found} does"
            ),
        }
    }
}

/// One record of the log, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Where its frame begins.
    pub position: usize,
    /// Its sequence.
    pub sequence: u64,
    /// True for the last record of its group.
    pub ends_group: bool,
    /// The record.
    pub record: Record,
}

/// Walks the frames of a log and yields the records of complete groups. After the last one,
/// [`CatalogLogReader::end`] says where and why it stopped.
pub struct CatalogLogReader<'a> {
    bytes: &'a [u8],
    position: usize,
    last_sequence: Option<u64>,
    image_version: u64,
    group: std::vec::IntoIter<LogEntry>,
    end: Option<LogEnd>,
    failed: bool,
}

impl<'a> CatalogLogReader<'a> {
    /// Reads `bytes`, the contents of one log file from its beginning. The first frame may have any
    /// sequence. `image_version` is that of the snapshot the log is read onto (0 without one): a
    /// torn first group is told from a damaged old one by it.
    #[must_use]
    pub fn new(bytes: &'a [u8], image_version: u64) -> CatalogLogReader<'a> {
        CatalogLogReader {
            bytes,
            position: 0,
            last_sequence: None,
            image_version,
            group: Vec::new().into_iter(),
            end: None,
            failed: false,
        }
    }

    /// Where and why the log ended, once the reader has yielded everything; `None` before that, and
    /// after an error.
    #[must_use]
    pub fn end(&self) -> Option<LogEnd> {
        self.end
    }

    fn rest(&self, position: usize) -> &'a [u8] {
        self.bytes.get(position..).unwrap_or_default()
    }

    /// Reads one whole group, or `None` at the end.
    fn read_group(&mut self) -> Result<Option<Vec<LogEntry>>, LogError> {
        let mut entries: Vec<LogEntry> = Vec::new();
        let mut position = self.position;
        let mut expected = self.last_sequence.map(|sequence| sequence + 1);
        let mut count = None;
        loop {
            let frame = match read_frame(self.rest(position)) {
                Ok(frame) => frame,
                Err(reason) => {
                    return self.stop(position, entries.is_empty(), reason).map(|()| None);
                }
            };
            let index = entries.len() as u32;
            if expected.is_some_and(|expected| frame.header.sequence != expected)
                || frame.header.index != index
                || count.is_some_and(|count| frame.header.count != count)
            {
                return self.stop(position, entries.is_empty(), EndReason::Stale).map(|()| None);
            }
            if frame.header.format_version > FORMAT_VERSION {
                return Err(LogError::NewerFormat { position, found: frame.header.format_version });
            }
            let record =
                decode_record(frame.header.kind, frame.body).map_err(|error| match error {
                    DecodeError::UnknownKind(kind) => LogError::UnknownKind {
                        position,
                        kind,
                        format_version: frame.header.format_version,
                    },
                    DecodeError::Malformed(reason) => LogError::Malformed { position, reason },
                })?;
            let sequence = frame.header.sequence;
            let ends_group = frame.header.count == index + 1;
            entries.push(LogEntry { position, sequence, ends_group, record });
            position += frame.bytes;
            expected = Some(sequence + 1);
            count = Some(frame.header.count);
            if ends_group {
                self.position = position;
                self.last_sequence = Some(sequence);
                return Ok(Some(entries));
            }
        }
    }

    /// Ends the log at the last complete group, unless a later group proves that what is damaged
    /// had been durable.
    fn stop(
        &mut self,
        position: usize,
        at_group_start: bool,
        reason: EndReason,
    ) -> Result<(), LogError> {
        // The group that was being appended when the damage arose starts with this sequence; its
        // other frames may have reached the device, those of a later group may not.
        let torn_group = self.last_sequence.unwrap_or(self.image_version) + 1;
        let later = self.later_frame(position, torn_group);
        if let Some((later_position, later_sequence)) = later {
            return Err(LogError::Corrupt { position, reason, later_position, later_sequence });
        }
        let reason = match reason {
            EndReason::EndOfFile | EndReason::Blank | EndReason::Stale if !at_group_start => {
                EndReason::GroupCut
            }
            reason => reason,
        };
        self.end =
            Some(LogEnd { valid_bytes: self.position, reason, last_sequence: self.last_sequence });
        Ok(())
    }

    /// The first whole frame behind `position` that cannot be of the group that was torn there: it
    /// belongs to a later group, or begins that very group, which would have begun at the damage.
    fn later_frame(&self, position: usize, torn_group: u64) -> Option<(usize, u64)> {
        // Frames are not aligned, so every place is tried; the magic is rare in other bytes.
        let mut at = position;
        while let Some(found) = find(self.rest(at), FRAME_MAGIC) {
            at += found;
            if let Ok(frame) = read_frame(self.rest(at))
                && (frame.group_sequence() > torn_group || frame.header.sequence == torn_group)
            {
                return Some((at, frame.header.sequence));
            }
            at += 1;
        }
        None
    }
}

fn find(bytes: &[u8], magic: [u8; 4]) -> Option<usize> {
    bytes.windows(magic.len()).position(|window| window == magic)
}

impl Iterator for CatalogLogReader<'_> {
    type Item = Result<LogEntry, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.group.next() {
                return Some(Ok(entry));
            }
            if self.end.is_some() || self.failed {
                return None;
            }
            match self.read_group() {
                Ok(Some(group)) => self.group = group.into_iter(),
                Ok(None) => return None,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
    }
}
