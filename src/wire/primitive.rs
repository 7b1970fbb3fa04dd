//! Bytes in, bytes out: the reader and the writer under every message.
//!
//! The reader takes from a slice and refuses what is not there; no number it reads is trusted, so
//! no input makes it panic, loop or allocate. The writer appends to a buffer and may leave *holes*:
//! places where the caller later splices bytes that never pass through the buffer.

use std::fmt;
use std::ops::{Range, RangeInclusive};

use bytes::{BufMut, BytesMut};

use crate::stdx::few::Few;

/// Why bytes are not the message they claim to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end inside a value.
    Truncated,
    /// A length or count is below -1.
    NegativeLength(i32),
    /// A null stands where this version allows none.
    NullNotAllowed,
    /// A variable-length integer runs past 32 bits.
    VarintOverlong,
    /// A string is not UTF-8.
    InvalidUtf8,
    /// The arrays of a request have more elements together than are taken.
    TooManyElements(usize),
    /// An array claims more elements than the bytes that are left could hold.
    CountExceedsBytes {
        /// Elements claimed.
        count: usize,
        /// Most elements that fit.
        count_max: usize,
    },
    /// A structure claims more tagged fields than `limits::TAGGED_FIELDS_MAX`.
    TooManyTags(u32),
    /// Tags are not in strictly ascending order (KIP-482), so one may be there twice.
    TagsNotAscending(u32),
    /// The bytes go on after the value that should fill them.
    TrailingBytes(usize),
    /// The marker in front of a nullable structure is neither -1 nor 1.
    StructureMarker(i8),
    /// The API key is none that this broker serves.
    UnknownApiKey(i16),
    /// The structure carries a version that is not known.
    UnknownVersion(i16),
    /// The message has no such version here.
    UnsupportedVersion {
        /// The message's API key.
        api_key: i16,
        /// The version asked for.
        version: i16,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            DecodeError::Truncated => f.write_str("the bytes end inside a value"),
            DecodeError::NegativeLength(length) => write!(f, "negative length {length}"),
            DecodeError::NullNotAllowed => f.write_str("null where none is allowed"),
            DecodeError::VarintOverlong => f.write_str("variable-length integer above 32 bits"),
            DecodeError::InvalidUtf8 => f.write_str("string is not UTF-8"),
            DecodeError::CountExceedsBytes { count, count_max } => {
                write!(f, "array of {count} elements where at most {count_max} fit")
            }
            DecodeError::TooManyElements(max) => {
                write!(f, "more than {max} elements in the arrays of one request")
            }
            DecodeError::TooManyTags(count) => write!(f, "{count} tagged fields in one structure"),
            DecodeError::TagsNotAscending(tag) => write!(f, "tag {tag} is out of order"),
            DecodeError::TrailingBytes(count) => write!(f, "{count} bytes after the end"),
            DecodeError::StructureMarker(marker) => {
                write!(f, "marker {marker} before a nullable structure")
            }
            DecodeError::UnknownVersion(version) => write!(f, "version {version} is not known"),
            DecodeError::UnknownApiKey(key) => write!(f, "API key {key} is not served"),
            DecodeError::UnsupportedVersion { api_key, version } => {
                write!(f, "version {version} of API key {api_key} is not served")
            }
        }
    }
}

impl std::error::Error for DecodeError {}

/// The versions' contract in one place: `version` must be in `versions`.
pub(crate) fn check_version(
    api_key: i16,
    version: i16,
    versions: &RangeInclusive<i16>,
) -> Result<(), DecodeError> {
    if versions.contains(&version) {
        Ok(())
    } else {
        Err(DecodeError::UnsupportedVersion { api_key, version })
    }
}

/// Takes values off the front of a slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Elements that arrays may still have, of so many.
    elements_left: usize,
    elements_max: usize,
}

impl<'a> Reader<'a> {
    /// A reader over all of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader::limited(bytes, usize::MAX)
    }

    /// A reader over a request: its arrays have no more than so many elements together.
    pub(crate) fn limited(bytes: &'a [u8], elements_max: usize) -> Reader<'a> {
        Reader { rest: bytes, elements_left: elements_max, elements_max }
    }

    /// An array of so many elements follows.
    pub(crate) fn count_elements(&mut self, count: usize) -> Result<(), DecodeError> {
        let left = self.elements_left.checked_sub(count);
        self.elements_left = left.ok_or(DecodeError::TooManyElements(self.elements_max))?;
        Ok(())
    }

    /// Reads the next `length` bytes as a message of their own, under the same limits.
    pub(crate) fn within<T>(
        &mut self,
        length: usize,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let mut part = Reader { rest: self.take(length)?, ..*self };
        let value = read(&mut part)?;
        self.elements_left = part.elements_left;
        Ok(value)
    }

    /// The bytes not yet taken.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes are not yet taken.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next `length` bytes.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes, by value.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// What `read` took, as bytes.
    pub(crate) fn span<T>(
        &mut self,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<&'a [u8], DecodeError> {
        let before = self.rest;
        read(self)?;
        before.get(..before.len() - self.rest.len()).ok_or(DecodeError::Truncated)
    }

    /// A big-endian `i16`.
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        self.array().map(i16::from_be_bytes)
    }

    /// A big-endian `i32`.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    /// An unsigned variable-length integer of up to 32 bits, seven bits a byte, lowest first.
    pub fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array::<1>()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0x0f {
                return Err(DecodeError::VarintOverlong);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::VarintOverlong)
    }

    /// A length as `wide` reads it in inflexible versions, or the compact form (length plus one,
    /// 0 for null) in flexible ones.
    pub(crate) fn length(
        &mut self,
        flexible: bool,
        wide: impl FnOnce(&mut Reader<'a>) -> Result<i32, DecodeError>,
    ) -> Result<Option<usize>, DecodeError> {
        if flexible {
            return Ok(self.unsigned_varint()?.checked_sub(1).map(|length| length as usize));
        }
        match wide(self)? {
            -1 => Ok(None),
            length => {
                usize::try_from(length).map(Some).map_err(|_| DecodeError::NegativeLength(length))
            }
        }
    }

    /// Succeeds if every byte was taken.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes(self.rest.len())) }
    }
}

/// A place in the output where bytes are still to be spliced in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Index into the whole buffer before which the bytes belong.
    pub position: usize,
    /// How many bytes belong there. The lengths around the hole already count them.
    pub length: usize,
}

/// Appends values to a buffer.
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut BytesMut,
    holes: Few<Hole>,
}

impl<'b> Writer<'b> {
    /// A writer that appends to `buffer`, keeping what is in it.
    #[must_use]
    pub fn new(buffer: &'b mut BytesMut) -> Writer<'b> {
        Writer { buffer, holes: Few::new() }
    }

    /// Makes room for so many holes.
    pub fn expect_holes(&mut self, count: usize) {
        self.holes.reserve(count);
    }

    /// The holes left so far, in order of position.
    #[must_use]
    pub fn holes(&self) -> &[Hole] {
        &self.holes
    }

    /// Ends writing and hands over the holes, in order of position.
    #[must_use]
    pub fn into_holes(self) -> Few<Hole> {
        self.holes
    }

    /// Leaves `length` bytes out here, to be spliced in by the caller. Nothing is left for 0.
    pub fn hole(&mut self, length: usize) {
        if length > 0 {
            self.holes.push(Hole { position: self.buffer.len(), length });
        }
    }

    /// Appends bytes as they are.
    pub fn put(&mut self, bytes: &[u8]) {
        self.buffer.put_slice(bytes);
    }

    /// Appends a big-endian `i16`.
    pub fn i16(&mut self, value: i16) {
        self.buffer.put_i16(value);
    }

    /// Appends a big-endian `i32`.
    pub fn i32(&mut self, value: i32) {
        self.buffer.put_i32(value);
    }

    /// Appends an unsigned variable-length integer.
    pub fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.put_u8(value as u8);
    }
}

/// How many bytes [`Writer::unsigned_varint`] writes for `value`.
#[must_use]
pub fn unsigned_varint_size(value: u32) -> usize {
    (38 - value.leading_zeros() as usize) / 7 + usize::from(value == 0)
}

/// Where `part` lies within `frame`, if it is a piece of it. Decoded messages borrow from their
/// frame, so this finds the position of a payload without the decoder having to carry positions.
#[must_use]
pub fn range_in(frame: &[u8], part: &[u8]) -> Option<Range<usize>> {
    let start = (part.as_ptr() as usize).checked_sub(frame.as_ptr() as usize)?;
    let end = start.checked_add(part.len())?;
    (end <= frame.len()).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_of_every_length_come_back() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455, u32::MAX] {
            for value in [value, value.saturating_add(1)] {
                let mut buffer = BytesMut::new();
                Writer::new(&mut buffer).unsigned_varint(value);
                assert_eq!(buffer.len(), unsigned_varint_size(value), "size of {value}");
                let mut reader = Reader::new(&buffer);
                assert_eq!(reader.unsigned_varint(), Ok(value));
                assert_eq!(reader.finish(), Ok(()));
                for cut in 0..buffer.len() {
                    let mut reader = Reader::new(&buffer[..cut]);
                    assert_eq!(reader.unsigned_varint(), Err(DecodeError::Truncated));
                }
            }
        }
    }

    #[test]
    fn overlong_varints_are_refused() {
        let read = |bytes: &[u8]| Reader::new(bytes).unsigned_varint();
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(u32::MAX));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x10]), Err(DecodeError::VarintOverlong));
        assert_eq!(read(&[0x80, 0x80, 0x80, 0x80, 0x80]), Err(DecodeError::VarintOverlong));
        assert_eq!(read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), Err(DecodeError::VarintOverlong));
    }

    #[test]
    fn a_part_is_found_in_its_frame_only() {
        let frame = [1_u8, 2, 3, 4];
        let other = [1_u8, 2, 3, 4];
        assert_eq!(range_in(&frame, &frame[1..3]), Some(1..3));
        assert_eq!(range_in(&frame, &frame[4..]), Some(4..4));
        assert_eq!(range_in(&frame[..2], &frame[1..3]), None);
        assert_eq!(range_in(&frame, &other[1..3]), None);
    }

    #[test]
    fn holes_remember_where_they_are() {
        let mut buffer = BytesMut::from(&b"head"[..]);
        let mut writer = Writer::new(&mut buffer);
        writer.i16(7);
        writer.hole(100);
        writer.hole(0);
        writer.i16(8);
        assert_eq!(writer.into_holes().as_slice(), [Hole { position: 6, length: 100 }]);
        assert_eq!(&buffer[..], b"head\x00\x07\x00\x08");
    }
}
