//! What background work comes to, on its way back to the hot task.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::disk::{DirectoryBatch, JournalFileFilled, JournalFileMade, ReadDone};
use super::segment_files::SegmentKey;
use crate::ids::ConnectionId;
use crate::shard::engine::{Inspected, JobId};

/// A result of background work.
pub(super) enum Finished {
    /// A cold range is in the page cache now.
    Warmed {
        /// Who waits for it.
        connection: ConnectionId,
        /// Of which file.
        key: SegmentKey,
        /// The file, open for reading.
        result: io::Result<Arc<File>>,
    },
    /// File jobs of one directory ended.
    Files(Box<DirectoryBatch>),
    /// A journal file was made, or not.
    JournalFile(JournalFileMade),
    /// A step of filling a journal file ended.
    JournalFilled(JournalFileFilled),
    /// A read ended.
    Read(ReadDone),
    /// A batch was looked into.
    Inspected(JobId, Box<Inspected>),
}
