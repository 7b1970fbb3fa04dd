//! Walking batch headers in bytes that were read from a segment.
//!
//! Nothing here trusts the bytes: whatever does not look like the next batch of the log is
//! `Corrupt`, and no number from the bytes is used before it is checked.

use super::index::IndexEntry;
use super::mark::{BatchSpan, Mark, RELATIVE_OFFSET_MAX};
use super::time_index::TimeIndexEntry;
use crate::batch::{BatchHeader, HEADER_BYTES, NO_TIMESTAMP};
use crate::ids::Offset;
use crate::time::Timestamp;

/// How a search ended. Positions are those of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// The batch that was looked for starts here.
    Found {
        /// Position of its first byte.
        position: u32,
        /// Its header.
        header: BatchHeader,
    },
    /// It is not before this batch boundary: search on from there, with at least this many bytes.
    NeedMore {
        /// Where to read on.
        position: u32,
        /// Fewest bytes that help.
        bytes: usize,
    },
    /// What stands here is no batch that could follow.
    Corrupt {
        /// Position of the first byte that is wrong.
        position: u32,
    },
}

/// Searches for the batch that contains `target`, or the first one behind it. `data` was read at
/// `position`, a batch boundary.
#[must_use]
pub fn locate(data: &[u8], position: u32, target: Offset) -> Scan {
    search(data, position, |span| target < span.next_offset)
}

/// Searches for the first batch that ends after `from` and has a record with a timestamp at or
/// after `target`.
#[must_use]
pub fn locate_timestamp(data: &[u8], position: u32, target: Timestamp, from: Offset) -> Scan {
    search(data, position, |span| from < span.next_offset && target <= span.max_timestamp)
}

fn search(data: &[u8], position: u32, mut wanted: impl FnMut(&BatchSpan) -> bool) -> Scan {
    walk(data, position, |at, header, span| {
        wanted(span).then_some(Scan::Found { position: at, header: *header })
    })
}

/// Visits the headers of the batches that start in `data`, until `visit` answers or the data ends.
fn walk(
    data: &[u8],
    position: u32,
    mut visit: impl FnMut(u32, &BatchHeader, &BatchSpan) -> Option<Scan>,
) -> Scan {
    let mut at = position;
    let mut next_offset = Offset(0);
    loop {
        let rest = data.get((at - position) as usize..).unwrap_or_default();
        if rest.len() < HEADER_BYTES {
            return Scan::NeedMore { position: at, bytes: HEADER_BYTES };
        }
        let Ok(header) = BatchHeader::parse(rest) else { return Scan::Corrupt { position: at } };
        let span = BatchSpan::of(&header).filter(|span| next_offset <= span.base_offset);
        let Some((span, end)) = span.and_then(|span| Some((span, at.checked_add(span.bytes)?)))
        else {
            return Scan::Corrupt { position: at };
        };
        if let Some(scan) = visit(at, &header, &span) {
            return scan;
        }
        next_offset = span.next_offset;
        at = end;
    }
}

/// How many bytes at the start of `data` are whole batches, at most `bytes_max`.
#[must_use]
pub fn whole_batches(data: &[u8], bytes_max: usize) -> usize {
    readable(data, bytes_max, Offset(i64::MAX))
}

/// How many bytes at the start of `data` are whole batches that end at or below `up_to`, at most
/// `bytes_max`.
#[must_use]
pub fn readable(data: &[u8], bytes_max: usize, up_to: Offset) -> usize {
    let data = data.get(..bytes_max).unwrap_or(data);
    let mut whole = 0;
    let _ = walk(data, 0, |at, _, span| {
        let end = at as usize + span.bytes as usize;
        let stop = data.len() < end || up_to < span.next_offset;
        whole = if stop { whole } else { end };
        stop.then_some(Scan::NeedMore { position: at, bytes: span.bytes as usize })
    });
    whole
}

/// Collects the state of one segment from its headers: what rebuilding an index and truncating in
/// the middle of a file need. Feed it the file in order, from position 0.
#[derive(Clone, Debug)]
pub struct SegmentScan {
    pub(super) segment: Offset,
    pub(super) mark: Mark,
    pub(super) index: Vec<IndexEntry>,
    pub(super) time_index: Vec<TimeIndexEntry>,
    index_interval_bytes: u32,
    pub(super) until: Offset,
    /// Whether the first batch above `until` has been seen.
    pub(super) cut_found: bool,
}

impl SegmentScan {
    /// A scan of the segment that starts at `segment`, which ends before the first batch that
    /// reaches above `until`.
    #[must_use]
    pub fn new(segment: Offset, index_interval_bytes: u32, until: Offset) -> SegmentScan {
        SegmentScan {
            segment,
            mark: Mark::start(segment, NO_TIMESTAMP),
            index: Vec::new(),
            time_index: Vec::new(),
            index_interval_bytes,
            until,
            cut_found: false,
        }
    }

    /// Position from which the next bytes are wanted.
    #[must_use]
    pub fn position(&self) -> u32 {
        self.mark.bytes
    }

    /// Takes bytes that were read at [`SegmentScan::position`], none from behind the written end
    /// of the segment. `NeedMore` asks for what follows; `Found` is the first batch above `until`.
    pub fn push(&mut self, data: &[u8]) -> Scan {
        let start = self.position();
        walk(data, start, |position, header, span| {
            let last = span.next_offset.0 - 1 - self.segment.0;
            let present = data.len() - (position - start) as usize;
            if self.until < span.next_offset {
                self.cut_found = true;
                return Some(Scan::Found { position, header: *header });
            }
            if present < span.bytes as usize {
                return Some(Scan::NeedMore { position, bytes: span.bytes as usize });
            }
            if span.base_offset < self.mark.next_offset || RELATIVE_OFFSET_MAX < last {
                return Some(Scan::Corrupt { position });
            }
            let indexed = self.mark.bytes_since_index_entry > self.index_interval_bytes;
            let entries = self.mark.advance(self.segment, span, indexed, NO_TIMESTAMP);
            self.index.extend(entries.0);
            self.time_index.extend(entries.1);
            None
        })
    }
}
