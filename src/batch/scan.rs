//! Walking over batches that follow each other: a segment, or what a fetch returned.

use super::check::check;
use super::error::BatchError;
use super::header::BatchHeader;

/// A batch within the bytes that were walked over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located<'a> {
    /// Where it starts, in bytes from the start of the walk.
    pub position: usize,
    /// Its header.
    pub header: BatchHeader,
    /// All of it.
    pub bytes: &'a [u8],
}

/// Yields one batch after the other and stops at the first that is not whole or not right;
/// [`Batches::stopped_by`] then says why, and [`Batches::position`] how far it was right.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    position: usize,
    checked: bool,
    stopped_by: Option<BatchError>,
}

impl<'a> Batches<'a> {
    /// Walks by the headers only.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Batches<'a> {
        Batches { bytes, position: 0, checked: false, stopped_by: None }
    }

    /// Walks and [`check`]s every batch, as recovery must.
    #[must_use]
    pub fn checked(bytes: &'a [u8]) -> Batches<'a> {
        Batches { bytes, position: 0, checked: true, stopped_by: None }
    }

    /// Where the last batch that was yielded ends: all before it is right.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Why the walk ended before the bytes did; `None` while it goes on, and at a clean end.
    #[must_use]
    pub fn stopped_by(&self) -> Option<&BatchError> {
        self.stopped_by.as_ref()
    }

    fn read(&self, rest: &'a [u8]) -> Result<Located<'a>, BatchError> {
        let header = BatchHeader::parse(rest)?;
        let needed = header.size();
        let bytes =
            rest.get(..needed).ok_or(BatchError::Truncated { needed, present: rest.len() })?;
        if self.checked {
            check(bytes)?;
        }
        Ok(Located { position: self.position, header, bytes })
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Located<'a>;

    fn next(&mut self) -> Option<Located<'a>> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        if rest.is_empty() || self.stopped_by.is_some() {
            return None;
        }
        match self.read(rest) {
            Ok(located) => {
                self.position += located.bytes.len();
                Some(located)
            }
            Err(error) => {
                self.stopped_by = Some(error);
                None
            }
        }
    }
}
