//! The records inside a batch, read one by one out of bytes that may say anything.

use std::borrow::Cow;

use super::compression::decompressed;
use super::error::{BatchError, RecordFault};
use super::header::{BatchHeader, HEADER_BYTES, TimestampType};
use super::varint::{read_varint, read_varlong};
use crate::ids::Offset;
use crate::time::Timestamp;

/// The records of one batch, decompressed. Iterate over a reference to it.
#[derive(Clone, Debug)]
pub struct Records<'b> {
    header: BatchHeader,
    body: Cow<'b, [u8]>,
}

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'r> {
    /// Its offset in the partition.
    pub offset: Offset,
    /// Its time; the batch's append time where the batch has one.
    pub timestamp: Timestamp,
    /// The key, if it has one.
    pub key: Option<&'r [u8]>,
    /// The value; `None` is a tombstone to compaction.
    pub value: Option<&'r [u8]>,
    /// Its headers, already checked.
    pub headers: Headers<'r>,
}

/// One header of a record (KIP-82).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'r> {
    /// The key, UTF-8 by convention. Not checked, as the broker never does.
    pub key: &'r [u8],
    /// The value, if it has one.
    pub value: Option<&'r [u8]>,
}

/// The headers of one record, read while iterating. Their bytes were checked when the record was
/// read, so no header is missing or cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<'r> {
    count: i32,
    bytes: &'r [u8],
}

/// Iterates over the records of a batch; ends after the first error.
#[derive(Clone, Debug)]
pub struct RecordsIter<'r> {
    header: &'r BatchHeader,
    rest: &'r [u8],
    /// Index of the next record.
    index: i32,
    /// Smallest offset delta the next record may have.
    offset_delta_min: i64,
    failed: bool,
}

impl<'b> Records<'b> {
    /// Opens the records of the batch at the start of `batch`, decompressing them to at most
    /// `limit` bytes where they are compressed. The checksum is not looked at.
    ///
    /// # Errors
    /// What [`BatchHeader::parse`] reports, `Truncated`, `RecordCount`, `UnknownCompression`,
    /// `Decompress`.
    pub fn open(batch: &'b [u8], limit: usize) -> Result<Records<'b>, BatchError> {
        let header = BatchHeader::parse(batch)?;
        let needed = header.size();
        let body = batch
            .get(HEADER_BYTES..needed)
            .ok_or(BatchError::Truncated { needed, present: batch.len() })?;
        let BatchHeader { record_count, last_offset_delta, .. } = header;
        let count_error = BatchError::RecordCount { record_count, last_offset_delta };
        if record_count < 0 || i64::from(last_offset_delta) + 1 < i64::from(record_count) {
            return Err(count_error);
        }
        // What the log cleaner leaves of a batch whose records are all gone is a bare header,
        // whatever its attributes say.
        let body = if record_count == 0 && body.is_empty() {
            Cow::Borrowed(body)
        } else {
            decompressed(header.compression()?, body, limit)?
        };
        // The smallest record has seven bytes; a count that cannot be true is found out here, not
        // after a walk.
        if body.len() / RECORD_BYTES_MIN < usize::try_from(record_count).unwrap_or(usize::MAX) {
            return Err(count_error);
        }
        Ok(Records { header, body })
    }

    /// The header of the batch.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Size of the records, decompressed, in bytes.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        self.body.len()
    }

    /// The records, in offset order.
    #[must_use]
    pub fn iter(&self) -> RecordsIter<'_> {
        RecordsIter {
            header: &self.header,
            rest: &self.body,
            index: 0,
            offset_delta_min: 0,
            failed: false,
        }
    }
}

impl<'r> IntoIterator for &'r Records<'_> {
    type Item = Result<Record<'r>, BatchError>;
    type IntoIter = RecordsIter<'r>;

    fn into_iter(self) -> RecordsIter<'r> {
        self.iter()
    }
}

/// Length, attributes, timestamp delta, offset delta, null key, null value, header count.
const RECORD_BYTES_MIN: usize = 7;

impl<'r> RecordsIter<'r> {
    fn read(&mut self) -> Result<Record<'r>, RecordFault> {
        let length = read_varint(&mut self.rest)?;
        let length = usize::try_from(length).map_err(|_| RecordFault::Length)?;
        let (mut body, rest) = self.rest.split_at_checked(length).ok_or(RecordFault::Truncated)?;
        self.rest = rest;
        // The record attributes have no meaning yet and are ignored, as Kafka does.
        body = body.split_first().ok_or(RecordFault::Truncated)?.1;
        let timestamp_delta = read_varlong(&mut body)?;
        let offset_delta = i64::from(read_varint(&mut body)?);
        if offset_delta < self.offset_delta_min
            || i64::from(self.header.last_offset_delta) < offset_delta
        {
            return Err(RecordFault::OffsetDelta);
        }
        self.offset_delta_min = offset_delta + 1;
        let key = read_nullable(&mut body)?;
        let value = read_nullable(&mut body)?;
        let headers = Headers::read(body)?;
        let timestamp = match self.header.timestamp_type() {
            // The sum wraps as it does in the clients, who would otherwise see another time.
            TimestampType::CreateTime => {
                Timestamp(self.header.base_timestamp.0.wrapping_add(timestamp_delta))
            }
            TimestampType::LogAppendTime => self.header.max_timestamp,
        };
        let offset = Offset(self.header.base_offset.0.saturating_add(offset_delta));
        Ok(Record { offset, timestamp, key, value, headers })
    }
}

impl<'r> Iterator for RecordsIter<'r> {
    type Item = Result<Record<'r>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if self.header.record_count <= self.index {
            if self.rest.is_empty() {
                return None;
            }
            self.failed = true;
            return Some(Err(BatchError::BytesAfterRecords { count: self.rest.len() }));
        }
        let index = self.index;
        self.index += 1;
        let record = self.read().map_err(|fault| BatchError::Record { index, fault });
        self.failed = record.is_err();
        Some(record)
    }
}

/// Takes a length and so many bytes off the front; -1 is null.
fn read_nullable<'r>(bytes: &mut &'r [u8]) -> Result<Option<&'r [u8]>, RecordFault> {
    match read_varint(bytes)? {
        -1 => Ok(None),
        length => {
            let length = usize::try_from(length).map_err(|_| RecordFault::Length)?;
            let (field, rest) = bytes.split_at_checked(length).ok_or(RecordFault::Truncated)?;
            *bytes = rest;
            Ok(Some(field))
        }
    }
}

fn read_header<'r>(bytes: &mut &'r [u8]) -> Result<Header<'r>, RecordFault> {
    let key = read_nullable(bytes)?.ok_or(RecordFault::Length)?;
    let value = read_nullable(bytes)?;
    Ok(Header { key, value })
}

impl<'r> Headers<'r> {
    /// Checks a count and so many headers, which must use up `bytes`.
    fn read(mut bytes: &'r [u8]) -> Result<Headers<'r>, RecordFault> {
        let count = read_varint(&mut bytes)?;
        // A header has two bytes at least.
        let fits = usize::try_from(count).is_ok_and(|count| count <= bytes.len() / 2);
        if !fits {
            return Err(RecordFault::HeaderCount);
        }
        let mut rest = bytes;
        for _ in 0..count {
            read_header(&mut rest)?;
        }
        if rest.is_empty() { Ok(Headers { count, bytes }) } else { Err(RecordFault::BytesLeft) }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::try_from(self.count).unwrap_or(0)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count <= 0
    }

    /// The headers, in the order the producer gave them.
    pub fn iter(&self) -> impl Iterator<Item = Header<'r>> + use<'r> {
        let mut bytes = self.bytes;
        (0..self.count).map_while(move |_| read_header(&mut bytes).ok())
    }
}
