//! What the shell and a shard say to each other: events in, ordered actions out, nothing else.
//!
//! [`Engine`] is a shard as its host sees it. The glommio shell hosts it on a core, the simulator
//! hosts several of them under one seed, and the benches host a null engine to measure the shell
//! alone.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

pub use super::owner::{Inspected, Inspection};
pub use crate::api::reply::{FileRange, PartitionDirectory, Piece, Reply};
use crate::ids::{ConnectionId, Offset, ShardId};
use crate::journal;
use crate::log::{CleanError, Cleaning, Compacted, IndexRewrite, OutputFile, SegmentWrite};
use crate::time::{Instant, Now};

/// A shard as its host sees it. Every `on_*` is a fact; the host drains [`Engine::poll_action`]
/// until `None` after each batch of facts and carries the actions out in that order.
pub trait Engine {
    /// What shards say to each other.
    type Message: Send + 'static;

    /// A peer connected. `false` refuses it: the host closes the socket at once and never speaks of
    /// this connection again.
    fn on_accept(&mut self, connection: ConnectionId, peer: SocketAddr, now: Now) -> bool;
    /// One whole request frame arrived, without its length prefix.
    fn on_frame(&mut self, connection: ConnectionId, frame: BytesMut, now: Now);
    /// A length prefix announced a frame that no request can have; the engine logs and closes.
    fn on_bad_frame(&mut self, connection: ConnectionId, length: i32, now: Now);
    /// Bytes of an unfinished frame arrived, `received` of it so far. Lets the engine tell a slow
    /// peer from an abusive one.
    fn on_progress(&mut self, connection: ConnectionId, received: usize, now: Now);
    /// The last byte of the oldest unfinished reply went to the kernel.
    fn on_sent(&mut self, connection: ConnectionId, now: Now);
    /// The connection is gone, whoever ended it. The id is never used again.
    fn on_closed(&mut self, connection: ConnectionId, now: Now);
    /// Another shard said something.
    fn on_message(&mut self, from: ShardId, message: Self::Message, now: Now);
    /// A journal group was written (and flushed, where the lane flushes), or could not be.
    fn on_journal_written(
        &mut self,
        lane: journal::Lane,
        group: journal::GroupSequence,
        buffer: journal::GroupBuffer,
        result: Result<(), DiskError>,
        now: Now,
    );
    /// A journal file is there, pre-written to its full size, or could not be made.
    fn on_journal_file(
        &mut self,
        lane: journal::Lane,
        file: journal::FileNumber,
        result: Result<(), DiskError>,
        now: Now,
    );
    /// A file job ended. Jobs of one directory end in the order they were asked for, except that
    /// reads may overtake.
    fn on_file(&mut self, job: JobId, result: Result<FileOutcome, DiskError>, now: Now);
    /// Time passed; called at least whenever [`Engine::next_deadline`] is reached.
    fn on_time(&mut self, now: Now);
    /// The process was asked to stop. The engine answers every request it has, flushes, writes its
    /// checkpoint and then says [`Action::Stopped`].
    fn on_stop(&mut self, now: Now);
    /// When [`Engine::on_time`] must be called at the latest.
    fn next_deadline(&self) -> Option<Instant>;
    /// The next thing to do, in order; `None` when there is nothing more for now.
    fn poll_action(&mut self) -> Option<Action<Self::Message>>;
    /// Whether the next start needs the journals of this one or of earlier ones. Asked once, when
    /// nothing is under way any more.
    fn needs_journals(&self) -> bool {
        true
    }
    /// False while memory budgets are spent: the host then reads from no socket until it is true
    /// again.
    fn may_read(&self) -> bool;
}

/// Something the host has to do.
#[derive(Debug)]
pub enum Action<M> {
    /// Send a reply. Replies of one connection leave in the order of these actions.
    Reply {
        /// To whom.
        connection: ConnectionId,
        /// What.
        reply: Reply,
    },
    /// Do not read from this connection until `Resume` (it has too many requests open).
    Pause(ConnectionId),
    /// Read from this connection again.
    Resume(ConnectionId),
    /// Close the connection. Replies already handed over are still sent if `flush`.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Send what was handed over first.
        flush: bool,
    },
    /// Hand a message to another shard. Never to the sender itself.
    Message {
        /// To whom.
        to: ShardId,
        /// What.
        message: M,
    },
    /// Work for the journal's files.
    Journal(journal::Lane, journal::Action),
    /// Work for the partition, checkpoint and catalog files.
    File(FileJob),
    /// Everything asked by `on_stop` is done; the host may end this shard.
    Stopped,
    /// The environment is broken beyond use: the host ends the process with this reason at once.
    Fatal(Fatal),
}

/// Why the process has to end, each with its own exit status (listed in the README).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fatal {
    /// A write or flush failed: what is on disk is no longer known, so nothing more is acknowledged.
    Disk(DiskError),
    /// Data on disk contradicts itself.
    Corrupt(String),
}

/// Names a file job in its completion; unique for the life of the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// File work off the hot path.
#[derive(Debug)]
pub struct FileJob {
    /// Comes back in `on_file`.
    pub id: JobId,
    /// What to do.
    pub work: FileWork,
}

/// The kinds of file work.
#[derive(Debug)]
pub enum FileWork {
    /// Write a stretch of a segment and its indexes at their positions, creating directory and
    /// files when `create`. No flush.
    Write {
        /// Whose.
        directory: Arc<PartitionDirectory>,
        /// What.
        write: SegmentWrite,
    },
    /// `fdatasync` the `.log`, `.index` and `.timeindex` of these segments, and the directory (and
    /// the data directory) when any of them was created since the last flush. Also writes Kafka's
    /// `leader-epoch-checkpoint` with the given text.
    Flush {
        /// Whose.
        directory: Arc<PartitionDirectory>,
        /// Base offsets.
        segments: Vec<Offset>,
        /// Text of `leader-epoch-checkpoint`.
        epochs: String,
    },
    /// Read both indexes of a segment whole.
    ReadIndexes {
        /// Whose.
        directory: Arc<PartitionDirectory>,
        /// Base offset.
        segment: Offset,
    },
    /// Replace both indexes of a segment, and make them and its `.log` durable.
    WriteIndexes {
        /// Whose.
        directory: Arc<PartitionDirectory>,
        /// What.
        rewrite: IndexRewrite,
    },
    /// Read up to `range.length` bytes; short only at the end of the file. Tried at once without
    /// blocking (page cache); when the pages are not resident it is done in the background.
    Read {
        /// What.
        range: FileRange,
    },
    /// Unlink segments and their indexes.
    DeleteSegments {
        /// Whose.
        directory: Arc<PartitionDirectory>,
        /// Base offsets.
        segments: Vec<Offset>,
    },
    /// Rename the directory out of the way (`<name>.<topic id hex>-delete`), make that durable, and
    /// unlink its content in the background. Done when the rename is durable; a directory that does
    /// not exist, or belongs to another topic id, is fine and left alone.
    DeleteDirectory {
        /// Whose.
        directory: Arc<PartitionDirectory>,
    },
    /// Replace this shard's checkpoint file atomically and durably.
    WriteCheckpoint {
        /// The whole file.
        content: Vec<u8>,
    },
    /// Append to the catalog log and flush. Only the controller's shard asks for it.
    AppendCatalog {
        /// Encoded records.
        content: Vec<u8>,
    },
    /// Replace the catalog snapshot atomically and durably, then start a new empty catalog log.
    WriteCatalogSnapshot {
        /// The whole snapshot.
        content: Vec<u8>,
    },
    /// Unlink journal files of earlier starts, whose entries are all in flushed segments now.
    DeleteOldJournals,
    /// Carry a cleaning on for a while: take what its steps say, some megabytes of it, so that other
    /// work gets its turn. Its files have names of their own
    /// ([`cleaned_name`](crate::log::cleaned_name)). A step that seals a segment has flushed it and
    /// its names when it ends.
    Clean {
        /// Whose.
        directory: Arc<PartitionDirectory>,
        /// Comes back with more to do, or as what it came to.
        cleaning: Box<Cleaning>,
    },
    /// Put cleaned files in the place of those that they replace, durably. A replaced `.log` stays
    /// readable under [`deleted_name`](crate::log::deleted_name); from the first changed name on, a
    /// range of an earlier generation is read from there.
    Exchange {
        /// Whose.
        directory: Arc<PartitionDirectory>,
        /// The old segments.
        replaced: Vec<OutputFile>,
        /// The new ones.
        cleaned: Vec<OutputFile>,
    },
    /// Unlink what an exchange has replaced.
    DropReplaced {
        /// Whose.
        directory: Arc<PartitionDirectory>,
        /// The old segments.
        files: Vec<OutputFile>,
    },
    /// Unlink all cleaned files that are in no place yet: their cleaning was given up.
    DropCleaned {
        /// Whose.
        directory: Arc<PartitionDirectory>,
    },
    /// Free and total bytes of the file system below the data directory.
    Space,
    /// No file at all: computing that would hold up the shard. Call [`Inspection::run`] on a
    /// background thread.
    Inspect(Inspection),
}

/// What a file job brought.
#[derive(Debug)]
pub enum FileOutcome {
    /// It is done.
    Done,
    /// What was read.
    Bytes(Bytes),
    /// There is more to clean.
    Cleaning(Box<Cleaning>),
    /// A cleaning is done; its files are durable.
    Cleaned(Compacted),
    /// A segment is not what it should be, so nothing of the partition is cleaned.
    Uncleanable(CleanError),
    /// Both indexes.
    Indexes {
        /// `.index`
        offsets: Bytes,
        /// `.timeindex`
        times: Bytes,
    },
    /// Of the file system.
    Space {
        /// Usable by us, in bytes.
        free: u64,
        /// In bytes.
        total: u64,
    },
    /// What came of an inspection.
    Inspected(Inspected),
}

/// An operation on disk failed. Values, so that the simulator can make them too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskError {
    /// What was tried, with the file's name.
    pub operation: String,
    /// What the system said.
    pub reason: String,
    /// No space (ENOSPC, EDQUOT): the only failure after which the same data may be written again,
    /// because nothing was accepted that could have been lost.
    pub full: bool,
    /// No descriptor was left to open a file with (EMFILE, ENFILE): the disk is not to blame.
    pub starved: bool,
}
