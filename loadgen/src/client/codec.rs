//! The primitive types of Kafka's wire format, written and read.
//!
//! One writer and one reader serve the old and the flexible (KIP-482) encodings: they are told
//! once which of the two a message uses. It is an implementation of its own on purpose: a checker
//! that shared the broker's codec would agree with the broker's mistakes.

use crate::failure::Failure;

/// Writes one message.
#[derive(Debug)]
pub(crate) struct Encoder {
    pub(crate) bytes: Vec<u8>,
    flexible: bool,
}

impl Encoder {
    pub(crate) fn new(bytes: Vec<u8>, flexible: bool) -> Encoder {
        Encoder { bytes, flexible }
    }

    pub(crate) fn i8(&mut self, value: i8) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn i16(&mut self, value: i16) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.bytes.push(u8::from(value));
    }

    pub(crate) fn uuid(&mut self, value: &[u8; 16]) {
        self.bytes.extend_from_slice(value);
    }

    fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    pub(crate) fn string(&mut self, value: &str) {
        self.nullable_string(Some(value));
    }

    pub(crate) fn nullable_string(&mut self, value: Option<&str>) {
        match (value, self.flexible) {
            (Some(text), true) => self.unsigned_varint(text.len() as u32 + 1),
            (Some(text), false) => self.i16(text.len() as i16),
            (None, true) => self.unsigned_varint(0),
            (None, false) => self.i16(-1),
        }
        self.bytes.extend_from_slice(value.unwrap_or_default().as_bytes());
    }

    /// The length in front of an array's elements.
    pub(crate) fn array(&mut self, count: usize) {
        if self.flexible {
            self.unsigned_varint(count as u32 + 1);
        } else {
            self.i32(count as i32);
        }
    }

    /// The length in front of a field of bytes or records.
    pub(crate) fn bytes_length(&mut self, length: usize) {
        self.array(length);
    }

    /// An empty section of tagged fields, where the encoding has one.
    pub(crate) fn tags(&mut self) {
        if self.flexible {
            self.bytes.push(0);
        }
    }
}

/// Reads one message from a peer; every read can fail and none panics.
#[derive(Debug, Clone)]
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
    flexible: bool,
}

fn short() -> Failure {
    Failure::Malformed("a field ends past the frame".to_owned())
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(rest: &'a [u8], flexible: bool) -> Decoder<'a> {
        Decoder { rest, flexible }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Failure> {
        let (head, tail) = self.rest.split_at_checked(count).ok_or_else(short)?;
        self.rest = tail;
        Ok(head)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or_else(short)?;
        self.rest = tail;
        Ok(*head)
    }

    pub(crate) fn i8(&mut self) -> Result<i8, Failure> {
        self.fixed().map(i8::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, Failure> {
        self.fixed().map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Failure> {
        self.fixed().map(i32::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Failure> {
        self.fixed().map(i64::from_be_bytes)
    }

    pub(crate) fn bool(&mut self) -> Result<bool, Failure> {
        Ok(self.i8()? != 0)
    }

    pub(crate) fn uuid(&mut self) -> Result<[u8; 16], Failure> {
        self.fixed()
    }

    fn unsigned_varint(&mut self) -> Result<u32, Failure> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.fixed::<1>()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Failure::Malformed("a varint is too long".to_owned()))
    }

    /// Length of an array, bytes or string field; `None` is null.
    fn length(&mut self, short_form: bool) -> Result<Option<usize>, Failure> {
        if self.flexible {
            return Ok((self.unsigned_varint()? as usize).checked_sub(1));
        }
        let length = if short_form { i32::from(self.i16()?) } else { self.i32()? };
        Ok(usize::try_from(length).ok())
    }

    pub(crate) fn nullable_string(&mut self) -> Result<Option<&'a str>, Failure> {
        let Some(length) = self.length(true)? else { return Ok(None) };
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes)
            .map(Some)
            .map_err(|_| Failure::Malformed("a string is not UTF-8".to_owned()))
    }

    pub(crate) fn string(&mut self) -> Result<&'a str, Failure> {
        Ok(self.nullable_string()?.unwrap_or_default())
    }

    /// Number of elements that follow; null counts as none. Never more than bytes are left, as
    /// every element has at least one byte.
    pub(crate) fn array(&mut self) -> Result<usize, Failure> {
        let count = self.length(false)?.unwrap_or(0);
        if count > self.rest.len() { Err(short()) } else { Ok(count) }
    }

    /// A field of bytes or records; null counts as empty.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Failure> {
        let length = self.length(false)?.unwrap_or(0);
        self.take(length)
    }

    /// Skips a section of tagged fields, where the encoding has one.
    pub(crate) fn tags(&mut self) -> Result<(), Failure> {
        if self.flexible {
            for _ in 0..self.unsigned_varint()? {
                self.unsigned_varint()?;
                let length = self.unsigned_varint()? as usize;
                self.take(length)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_encodings_read_back() {
        for flexible in [false, true] {
            let mut encoder = Encoder::new(Vec::new(), flexible);
            encoder.i16(-7);
            encoder.string("topic");
            encoder.nullable_string(None);
            encoder.array(300);
            encoder.bytes.extend_from_slice(&[9; 300]);
            encoder.tags();
            let mut decoder = Decoder::new(&encoder.bytes, flexible);
            assert_eq!(decoder.i16().ok(), Some(-7));
            assert_eq!(decoder.string().ok(), Some("topic"));
            assert_eq!(decoder.nullable_string().ok(), Some(None));
            assert_eq!(decoder.array().ok(), Some(300));
            assert_eq!(decoder.take(300).ok(), Some([9; 300].as_slice()));
            assert!(decoder.tags().is_ok());
            assert!(decoder.rest.is_empty());
        }
    }

    #[test]
    fn lying_lengths_are_errors() {
        assert!(Decoder::new(&[0x7f, 0xff, 0xff, 0xff], false).array().is_err());
        assert!(Decoder::new(&[0xff; 8], true).array().is_err());
        assert!(Decoder::new(&[0, 9, b'x'], false).string().is_err());
    }
}
