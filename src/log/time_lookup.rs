//! Which batch to look into for the first record at or after a timestamp (ListOffsets).

use bytes::Bytes;

use super::Log;
use super::read::FileRead;
use super::sparse::Find;
use crate::batch::NO_TIMESTAMP;
use crate::ids::Offset;
use crate::time::Timestamp;

/// Where the first record with a large enough timestamp may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeLookup {
    /// There is none.
    None,
    /// Perhaps in this batch, whose largest timestamp is large enough. If none of its records from
    /// the offset asked for on is (`batch::find_timestamp`), look up again from the second value,
    /// the offset after the batch.
    Tail(Bytes, Offset),
    /// In this range of a file: walk it by [`locate_timestamp`](super::locate_timestamp) and look
    /// into the batches found. If the range ends without a record, look up again from its
    /// `next_offset`.
    File(FileRead),
    /// In a file, but this segment's indexes have to be loaded first ([`Log::on_index`]).
    NeedIndex(Offset),
}

impl Log {
    /// Looks for the first record at or above offset `from` (the start offset, at first) with a
    /// timestamp of at least `target`, as Kafka does: the first segment whose largest timestamp is
    /// large enough, from where its time index points. The answer may lie above the high
    /// watermark; the caller decides what that means.
    #[must_use]
    pub fn lookup_timestamp(&self, target: Timestamp, from: Offset) -> TimeLookup {
        let from = from.max(self.start_offset);
        for segment in &self.segments {
            if segment.head.next_offset <= from || segment.head.max_timestamp < target {
                continue;
            }
            let mut floor = from.max(segment.start);
            if floor < self.tail_start {
                match segment.time_index.find(target) {
                    Find::At(entry) => {
                        floor = floor.max(segment.start.plus(entry.relative_offset.into()));
                    }
                    Find::Before => {}
                    Find::Unloaded => return TimeLookup::NeedIndex(segment.start),
                }
            }
            if floor < self.tail_start {
                let up_to = Offset(i64::MAX);
                return match self.file_read(segment, floor, usize::MAX, up_to) {
                    Some(read) => TimeLookup::File(FileRead { exact: false, ..read }),
                    None => TimeLookup::NeedIndex(segment.start),
                };
            }
            let found = self.tail.from(floor).find(|batch| target <= batch.span.max_timestamp);
            if let Some(batch) = found {
                return TimeLookup::Tail(batch.bytes.clone(), batch.span.next_offset);
            }
            return TimeLookup::None;
        }
        TimeLookup::None
    }

    /// The largest timestamp in the log (ListOffsets -3, KIP-734); `None` if no record has one.
    /// [`Log::lookup_timestamp`] of it leads to the first record that has it; if DeleteRecords has
    /// removed that record, it leads to none.
    #[must_use]
    pub fn max_timestamp(&self) -> Option<Timestamp> {
        let max = self.segments.iter().map(|segment| segment.head.max_timestamp).max();
        max.filter(|max| NO_TIMESTAMP < *max)
    }
}
