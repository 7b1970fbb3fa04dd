//! Arrays: a checked piece of the frame when decoded, elements in memory when built.

use std::fmt;

use super::primitive::{DecodeError, Reader, Writer};
use super::value::{Form, Nullable, Value, length_size, write_length};

/// An array of a message.
///
/// Decoding walks it once, refuses what is malformed and keeps only the bytes; iterating decodes
/// again, element by element. So no request makes its decoder allocate, whatever count it claims.
/// To encode, build one from a `Vec<T>` or borrow a slice: `elements.into()`.
#[derive(Clone)]
pub struct Array<'a, T> {
    elements: Elements<'a, T>,
}

#[derive(Clone)]
enum Elements<'a, T> {
    /// Bytes that `T::skip` has passed over `count` times without refusing.
    Checked {
        bytes: &'a [u8],
        count: usize,
        form: Form,
    },
    Owned(Vec<T>),
    Borrowed(&'a [T]),
}

impl<T> Default for Array<'_, T> {
    fn default() -> Self {
        Array { elements: Elements::Owned(Vec::new()) }
    }
}

impl<T> From<Vec<T>> for Array<'_, T> {
    fn from(elements: Vec<T>) -> Self {
        Array { elements: Elements::Owned(elements) }
    }
}

impl<'a, T> From<&'a [T]> for Array<'a, T> {
    fn from(elements: &'a [T]) -> Self {
        Array { elements: Elements::Borrowed(elements) }
    }
}

impl<T> FromIterator<T> for Array<'_, T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        elements.into_iter().collect::<Vec<_>>().into()
    }
}

impl<'a, T> Array<'a, T> {
    /// How many elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.elements {
            Elements::Checked { count, .. } => *count,
            Elements::Owned(elements) => elements.len(),
            Elements::Borrowed(elements) => elements.len(),
        }
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a, T: Value<'a>> Array<'a, T> {
    /// The elements by value, in order. Of an array built in memory they are clones.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, 'a, T> {
        match &self.elements {
            Elements::Checked { bytes, count, form } => {
                Iter::Checked { reader: Reader::new(bytes), left: *count, form: *form }
            }
            Elements::Owned(elements) => Iter::Built(elements.iter()),
            Elements::Borrowed(elements) => Iter::Built(elements.iter()),
        }
    }

    /// Calls `visit` with each element in order, without cloning those in memory.
    fn for_each(&self, mut visit: impl FnMut(&T)) {
        match &self.elements {
            Elements::Checked { .. } => self.iter().for_each(|element| visit(&element)),
            Elements::Owned(elements) => elements.iter().for_each(visit),
            Elements::Borrowed(elements) => elements.iter().for_each(visit),
        }
    }
}

impl<'s, 'a, T: Value<'a>> IntoIterator for &'s Array<'a, T> {
    type Item = T;
    type IntoIter = Iter<'s, 'a, T>;

    fn into_iter(self) -> Iter<'s, 'a, T> {
        self.iter()
    }
}

impl<'a, T: Value<'a>> PartialEq for Array<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<'a, T: Value<'a> + fmt::Debug> fmt::Debug for Array<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

/// The elements of an [`Array`].
#[derive(Clone, Debug)]
pub enum Iter<'s, 'a, T> {
    /// Decodes from bytes that were checked when the array was decoded.
    Checked {
        /// What is left of them.
        reader: Reader<'a>,
        /// Elements left.
        left: usize,
        /// How they stand on the wire.
        form: Form,
    },
    /// Clones from memory.
    Built(std::slice::Iter<'s, T>),
}

impl<'a, T: Value<'a>> Iterator for Iter<'_, 'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match self {
            Iter::Checked { reader, left, form } => {
                *left = left.checked_sub(1)?;
                let element = T::read(reader, *form);
                assert!(element.is_ok(), "bytes that passed the check once pass it again");
                element.ok()
            }
            Iter::Built(elements) => elements.next().cloned(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match self {
            Iter::Checked { left, .. } => *left,
            Iter::Built(elements) => elements.len(),
        };
        (left, Some(left))
    }
}

impl<'a, T: Value<'a>> ExactSizeIterator for Iter<'_, 'a, T> {}

impl<'a, T: Value<'a>> Value<'a> for Array<'a, T> {
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
        length_size(form, None)
    }
}

impl<'a, T: Value<'a>> Nullable<'a> for Array<'a, T> {
    fn read_nullable(reader: &mut Reader<'a>, form: Form) -> Result<Option<Self>, DecodeError> {
        let Some(count) = reader.length(form.flexible, Reader::i32)? else {
            return Ok(None);
        };
        // The one place that bounds every array of every message. An element of no bytes would
        // make any count fit, so it is taken for one byte.
        let count_max = reader.remaining() / T::size_min(form).max(1);
        if count > count_max {
            return Err(DecodeError::CountExceedsBytes { count, count_max });
        }
        reader.count_elements(count)?;
        let bytes = reader.span(|reader| T::skip(reader, count, form))?;
        Ok(Some(Array { elements: Elements::Checked { bytes, count, form } }))
    }

    fn write_nullable(value: Option<&Self>, writer: &mut Writer<'_>, form: Form) {
        write_length(writer, form, value.map(Array::len));
        if let Some(array) = value {
            array.for_each(|element| element.write(writer, form));
        }
    }

    fn measure_nullable(value: Option<&Self>, form: Form) -> usize {
        let mut size = length_size(form, value.map(Array::len));
        if let Some(array) = value {
            array.for_each(|element| size += element.measure(form));
        }
        size
    }

    fn empty() -> Self {
        Array::default()
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    const WIDE: Form = Form { version: 0, flexible: false, nullable: false };
    const COMPACT: Form = Form { version: 0, flexible: true, nullable: false };

    #[test]
    fn decoded_and_built_arrays_are_equal() {
        for form in [WIDE, COMPACT] {
            let built = Array::from(vec!["a", "", "bcd"]);
            let mut buffer = BytesMut::new();
            built.write(&mut Writer::new(&mut buffer), form);
            assert_eq!(buffer.len(), built.measure(form));
            let mut reader = Reader::new(&buffer);
            let decoded = Array::<&str>::read(&mut reader, form).unwrap();
            assert_eq!(reader.finish(), Ok(()));
            assert_eq!(decoded, built);
            assert_eq!(decoded.iter().len(), 3);
            assert_eq!(decoded.iter().collect::<Vec<_>>(), ["a", "", "bcd"]);
            assert_ne!(decoded, Array::from(&["a", "", "bce"][..]));
        }
    }

    #[test]
    fn the_elements_of_nested_arrays_count_together() {
        let built =
            Array::from(vec![Array::from(vec![1_i32, 2]), Array::default(), Array::from(vec![3])]);
        let mut buffer = BytesMut::new();
        built.write(&mut Writer::new(&mut buffer), WIDE);
        let read = |elements_max| {
            let mut reader = Reader::limited(&buffer, elements_max);
            Array::<Array<'_, i32>>::read(&mut reader, WIDE)
        };
        assert_eq!(read(6), Ok(built));
        assert_eq!(read(5), Err(DecodeError::TooManyElements(5)));
    }

    #[test]
    fn lying_counts_are_refused_before_any_element_is_read() {
        let refused = |bytes: &[u8], form| {
            Array::<i32>::read(&mut Reader::new(bytes), form).map(drop).unwrap_err()
        };
        let count_max = 1;
        assert_eq!(
            refused(b"\x7f\xff\xff\xff\0\0\0\0", WIDE),
            DecodeError::CountExceedsBytes { count: i32::MAX as usize, count_max }
        );
        assert_eq!(
            refused(b"\xff\xff\xff\xff\x0f\0\0\0\0", COMPACT),
            DecodeError::CountExceedsBytes { count: u32::MAX as usize - 1, count_max }
        );
        assert_eq!(refused(b"\xff\xff\xff\xff", WIDE), DecodeError::NullNotAllowed);
        assert_eq!(refused(b"\xff\xff\xff\xfe", WIDE), DecodeError::NegativeLength(-2));
        assert_eq!(refused(b"\x00", COMPACT), DecodeError::NullNotAllowed);
    }
}
