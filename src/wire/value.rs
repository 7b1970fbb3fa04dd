//! How each kind of value stands on the wire: numbers, strings, bytes, nullable values, records.

use super::primitive::{DecodeError, Reader, Writer, unsigned_varint_size};

/// What the bytes of a value depend on besides the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Version of the message the value is part of.
    pub version: i16,
    /// Whether lengths are compact and structures end in tagged fields (KIP-482).
    pub flexible: bool,
    /// Whether the field may be null in this version.
    pub nullable: bool,
}

/// A value that can be read from, written to and measured for the wire.
pub trait Value<'a>: Clone + PartialEq {
    /// Reads the value.
    fn read(reader: &mut Reader<'a>, form: Form) -> Result<Self, DecodeError>;
    /// Writes the value.
    fn write(&self, writer: &mut Writer<'_>, form: Form);
    /// How many bytes `write` writes, bytes of holes included.
    fn measure(&self, form: Form) -> usize;
    /// The fewest bytes any value of this type takes: what bounds an array's count.
    fn size_min(form: Form) -> usize;

    /// Passes over `count` values, refusing what `read` refuses.
    fn skip(reader: &mut Reader<'a>, count: usize, form: Form) -> Result<(), DecodeError> {
        for _ in 0..count {
            Self::read(reader, form)?;
        }
        Ok(())
    }
}

/// A value with a null form of its own, usable inside an `Option`.
pub trait Nullable<'a>: Value<'a> {
    /// Reads the value or null.
    fn read_nullable(reader: &mut Reader<'a>, form: Form) -> Result<Option<Self>, DecodeError>;
    /// Writes the value, or null.
    fn write_nullable(value: Option<&Self>, writer: &mut Writer<'_>, form: Form);
    /// How many bytes `write_nullable` writes.
    fn measure_nullable(value: Option<&Self>, form: Form) -> usize;
    /// What is written for null in versions that have none.
    fn empty() -> Self;
}

impl<'a, T: Nullable<'a>> Value<'a> for Option<T> {
    fn read(reader: &mut Reader<'a>, form: Form) -> Result<Self, DecodeError> {
        if form.nullable { T::read_nullable(reader, form) } else { T::read(reader, form).map(Some) }
    }

    fn write(&self, writer: &mut Writer<'_>, form: Form) {
        match self {
            None if !form.nullable => T::empty().write(writer, form),
            value => T::write_nullable(value.as_ref(), writer, form),
        }
    }

    fn measure(&self, form: Form) -> usize {
        match self {
            None if !form.nullable => T::empty().measure(form),
            value => T::measure_nullable(value.as_ref(), form),
        }
    }

    fn size_min(form: Form) -> usize {
        // Null is shorter than or as long as every value.
        T::measure_nullable(None, form)
    }
}

macro_rules! number {
    ($($type:ty)*) => {$(
        impl<'a> Value<'a> for $type {
            fn read(reader: &mut Reader<'a>, _: Form) -> Result<Self, DecodeError> {
                reader.array().map(<$type>::from_be_bytes)
            }

            fn write(&self, writer: &mut Writer<'_>, _: Form) {
                writer.put(&self.to_be_bytes());
            }

            fn measure(&self, _: Form) -> usize {
                size_of::<$type>()
            }

            fn size_min(_: Form) -> usize {
                size_of::<$type>()
            }

            fn skip(reader: &mut Reader<'a>, count: usize, _: Form) -> Result<(), DecodeError> {
                let length = count.checked_mul(size_of::<$type>()).ok_or(DecodeError::Truncated)?;
                reader.take(length).map(drop)
            }
        }
    )*};
}

number!(i8 i16 i32 i64 u16 u32 f64);

impl<'a> Value<'a> for bool {
    fn read(reader: &mut Reader<'a>, _: Form) -> Result<Self, DecodeError> {
        // Kafka takes every non-zero byte for true.
        reader.array::<1>().map(|[byte]| byte != 0)
    }

    fn write(&self, writer: &mut Writer<'_>, _: Form) {
        writer.put(&[u8::from(*self)]);
    }

    fn measure(&self, _: Form) -> usize {
        1
    }

    fn size_min(_: Form) -> usize {
        1
    }
}

/// A topic id or directory id (KIP-516).
impl<'a> Value<'a> for [u8; 16] {
    fn read(reader: &mut Reader<'a>, _: Form) -> Result<Self, DecodeError> {
        reader.array()
    }

    fn write(&self, writer: &mut Writer<'_>, _: Form) {
        writer.put(self);
    }

    fn measure(&self, _: Form) -> usize {
        self.len()
    }

    fn size_min(_: Form) -> usize {
        16
    }
}

/// Implements `Value` through `Nullable` for what is a length followed by bytes.
macro_rules! measured {
    ($type:ty) => {
        impl<'a> Value<'a> for $type {
            fn read(reader: &mut Reader<'a>, form: Form) -> Result<Self, DecodeError> {
                Self::read_nullable(reader, form)?.ok_or(DecodeError::NullNotAllowed)
            }

            fn write(&self, writer: &mut Writer<'_>, form: Form) {
                Self::write_nullable(Some(self), writer, form);
            }

            fn measure(&self, form: Form) -> usize {
                Self::measure_nullable(Some(self), form)
            }

            fn size_min(form: Form) -> usize {
                Self::measure_nullable(None, form)
            }
        }
    };
}

measured!(&'a str);
measured!(&'a [u8]);

impl<'a> Nullable<'a> for &'a str {
    fn read_nullable(reader: &mut Reader<'a>, form: Form) -> Result<Option<Self>, DecodeError> {
        let Some(length) = reader.length(form.flexible, |reader| reader.i16().map(i32::from))?
        else {
            return Ok(None);
        };
        let bytes = reader.take(length)?;
        std::str::from_utf8(bytes).map(Some).map_err(|_| DecodeError::InvalidUtf8)
    }

    fn write_nullable(value: Option<&Self>, writer: &mut Writer<'_>, form: Form) {
        let value = value.map(|value| representable(value, form));
        write_compact_length(writer, form, value.map(str::len), |writer, length| {
            writer.i16(length.map_or(-1, |length| length as i16));
        });
        writer.put(value.unwrap_or_default().as_bytes());
    }

    fn measure_nullable(value: Option<&Self>, form: Form) -> usize {
        let length = value.map(|value| representable(value, form).len());
        compact_length_size(form, length, 2) + length.unwrap_or(0)
    }

    fn empty() -> Self {
        ""
    }
}

/// Inflexible versions measure a string with 15 bits. A reply that carries a longer one (a
/// configuration value someone set through a newer version) is cut rather than malformed.
fn representable(value: &str, form: Form) -> &str {
    if form.flexible { value } else { &value[..value.floor_char_boundary(i16::MAX as usize)] }
}

impl<'a> Nullable<'a> for &'a [u8] {
    fn read_nullable(reader: &mut Reader<'a>, form: Form) -> Result<Option<Self>, DecodeError> {
        match reader.length(form.flexible, Reader::i32)? {
            None => Ok(None),
            Some(length) => reader.take(length).map(Some),
        }
    }

    fn write_nullable(value: Option<&Self>, writer: &mut Writer<'_>, form: Form) {
        write_length(writer, form, value.map(|value| value.len()));
        writer.put(value.copied().unwrap_or_default());
    }

    fn measure_nullable(value: Option<&Self>, form: Form) -> usize {
        let length = value.map(|value| value.len());
        length_size(form, length) + length.unwrap_or(0)
    }

    fn empty() -> Self {
        &[]
    }
}

/// Writes the length of bytes or an array: four bytes, or compact.
pub(super) fn write_length(writer: &mut Writer<'_>, form: Form, length: Option<usize>) {
    write_compact_length(writer, form, length, |writer, length| {
        writer.i32(length.map_or(-1, |length| length as i32));
    });
}

/// How many bytes [`write_length`] writes.
pub(super) fn length_size(form: Form, length: Option<usize>) -> usize {
    compact_length_size(form, length, 4)
}

fn write_compact_length(
    writer: &mut Writer<'_>,
    form: Form,
    length: Option<usize>,
    wide: impl FnOnce(&mut Writer<'_>, Option<usize>),
) {
    assert!(length.unwrap_or(0) < i32::MAX as usize, "no frame is as long as this value");
    if form.flexible {
        writer.unsigned_varint(length.map_or(0, |length| length as u32 + 1));
    } else {
        wide(writer, length);
    }
}

fn compact_length_size(form: Form, length: Option<usize>, wide: usize) -> usize {
    if form.flexible {
        unsigned_varint_size(length.map_or(0, |length| length as u32 + 1))
    } else {
        wide
    }
}

/// The record batches of one partition in a fetch response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Records<'a> {
    /// Null. Kafka itself sends empty bytes instead; some clients know nothing else.
    #[default]
    Null,
    /// Bytes copied into the output; what decoding gives.
    Bytes(&'a [u8]),
    /// So many bytes that are not written but reported as a [`Hole`](super::primitive::Hole): the
    /// caller sends them from where they are. Never the result of decoding.
    Hole(usize),
}

impl Records<'_> {
    fn length(&self) -> Option<usize> {
        match *self {
            Records::Null => None,
            Records::Bytes(bytes) => Some(bytes.len()),
            Records::Hole(length) => Some(length),
        }
    }
}

impl<'a> Value<'a> for Records<'a> {
    fn read(reader: &mut Reader<'a>, form: Form) -> Result<Self, DecodeError> {
        match <&[u8]>::read_nullable(reader, form)? {
            None if !form.nullable => Err(DecodeError::NullNotAllowed),
            None => Ok(Records::Null),
            Some(bytes) => Ok(Records::Bytes(bytes)),
        }
    }

    fn write(&self, writer: &mut Writer<'_>, form: Form) {
        write_length(writer, form, self.length());
        match *self {
            Records::Null => {}
            Records::Bytes(bytes) => writer.put(bytes),
            Records::Hole(length) => writer.hole(length),
        }
    }

    fn measure(&self, form: Form) -> usize {
        length_size(form, self.length()) + self.length().unwrap_or(0)
    }

    fn size_min(form: Form) -> usize {
        length_size(form, None)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    const WIDE: Form = Form { version: 0, flexible: false, nullable: true };
    const COMPACT: Form = Form { version: 0, flexible: true, nullable: true };

    fn written<'a>(value: &impl Value<'a>, form: Form) -> Vec<u8> {
        let mut buffer = BytesMut::new();
        value.write(&mut Writer::new(&mut buffer), form);
        assert_eq!(buffer.len(), value.measure(form));
        buffer.to_vec()
    }

    #[test]
    fn strings_in_both_forms() {
        assert_eq!(written(&"ab", WIDE), b"\x00\x02ab");
        assert_eq!(written(&"ab", COMPACT), b"\x03ab");
        assert_eq!(written(&None::<&str>, WIDE), b"\xff\xff");
        assert_eq!(written(&None::<&str>, COMPACT), b"\x00");
        let refuses = |bytes: &[u8], form| <&str>::read(&mut Reader::new(bytes), form).unwrap_err();
        assert_eq!(refuses(b"\xff\xff", WIDE), DecodeError::NullNotAllowed);
        assert_eq!(refuses(b"\xff\xfe", WIDE), DecodeError::NegativeLength(-2));
        assert_eq!(refuses(b"\x00", COMPACT), DecodeError::NullNotAllowed);
        assert_eq!(refuses(b"\x02\xff", COMPACT), DecodeError::InvalidUtf8);
        assert_eq!(refuses(b"\x7f\xff\xff", WIDE), DecodeError::Truncated);
    }

    #[test]
    fn a_null_that_a_version_does_not_know_is_written_as_empty() {
        let form = Form { nullable: false, ..WIDE };
        assert_eq!(written(&None::<&str>, form), b"\x00\x00");
        assert_eq!(written(&None::<&[u8]>, form), b"\x00\x00\x00\x00");
    }

    #[test]
    fn an_overlong_string_is_cut_between_characters() {
        let long = "é".repeat(20_000);
        let bytes = written(&long.as_str(), WIDE);
        assert_eq!(bytes.len(), 2 + 32_766);
        assert_eq!(<&str>::read(&mut Reader::new(&bytes), WIDE), Ok(&long[..32_766]));
        assert_eq!(written(&long.as_str(), COMPACT).len(), 3 + 40_000);
    }

    #[test]
    fn a_hole_counts_without_being_written() {
        let mut buffer = BytesMut::new();
        let mut writer = Writer::new(&mut buffer);
        Records::Hole(300).write(&mut writer, COMPACT);
        assert_eq!(writer.holes().len(), 1);
        assert_eq!(&buffer[..], b"\xad\x02");
        assert_eq!(Records::Hole(300).measure(COMPACT), 302);
        assert_eq!(Records::Hole(300).measure(WIDE), 304);
    }
}
