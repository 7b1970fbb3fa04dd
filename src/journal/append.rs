//! Collecting entries into groups and taking the groups to the device.

use std::collections::VecDeque;

use super::buffer::GroupBuffer;
use super::checksum;
use super::coverage::Coverage;
use super::entry::{Checked, Entry, FileNumber, GroupSequence, Lane, Slot};
use super::files::{CheckpointDemand, Files};
use super::format::{
    ENTRY_HEADER_BYTES, FileHeader, GROUP_HEADER_BYTES, GroupHeader, entry_header, whole_blocks,
};
use crate::ids::{Incarnation, Offset, ShardId, TopicPartition};
use crate::limits::{JOURNAL_BLOCK_BYTES, JOURNAL_GROUP_BYTES_MAX, journal_batch_bytes_max};

/// Checksums of fewer bytes are as quickly computed as joined.
const JOINED_BYTES_MIN: usize = 16 * 1024;

/// What a journal is, for its whole life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalOptions {
    /// The shard it belongs to.
    pub shard: ShardId,
    /// Which of the shard's journals.
    pub lane: Lane,
    /// The start of the data directory; durable before the first append, and never used before.
    pub incarnation: Incarnation,
    /// Length of each file: whole blocks, room for a header and the largest group.
    pub file_bytes: u64,
    /// Groups in flight at once, at least 1.
    pub depth: usize,
    /// Largest group of several entries, header and padding included: whole blocks, at most
    /// [`JOURNAL_GROUP_BYTES_MAX`]. An entry that is larger gets a group of its own.
    pub group_bytes_max: usize,
    /// Files on disk, at least 2.
    pub files_max: usize,
}

/// Why an entry was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// All groups are full and the device (or the next file) is not there yet. The caller holds the
    /// entry, reads no more from its sockets, and tries again after a completion.
    Full,
    /// The entry is larger than a file can hold ([`journal_batch_bytes_max`]).
    TooLarge,
}

/// What the shell has to do. Any error ends the journal: nothing is retried.
#[derive(Debug)]
pub enum Action {
    /// Make a file ready, then call [`Journal::on_file_ready`]. It is asked for one file ahead.
    PrepareFile {
        /// Its name is [`file_name`](super::file_name) of this.
        slot: Slot,
        /// The number it gets.
        file: FileNumber,
        /// Whether it has to be created first, filled with zeroes to its full length, and its
        /// directory entry made durable. Otherwise it is there and at most its header is written.
        create: bool,
        /// What to write at position 0, through to stable storage in either lane, after the fill.
        header: GroupBuffer,
    },
    /// Write a group, then call [`Journal::on_written`]. Writes may be done in any order.
    Write {
        /// The file's place on disk.
        slot: Slot,
        /// Its number.
        file: FileNumber,
        /// Where in it, in bytes: whole blocks.
        position: u64,
        /// Which group.
        group: GroupSequence,
        /// What to write.
        buffer: GroupBuffer,
    },
}

/// A group that has no place in a file yet.
#[derive(Debug)]
struct Group {
    buffer: GroupBuffer,
    /// Bytes used, header included.
    used: usize,
    entry_count: u32,
    entries_crc: u32,
    /// Where each entry ends, for the file that the group will go to.
    ends: Vec<(TopicPartition, Offset)>,
}

#[derive(Debug)]
struct InFlight {
    group: GroupSequence,
    written: bool,
}

/// The journal of one shard and lane.
///
/// Per turn: [`append`](Journal::append) for each batch, [`release`](Journal::release) after
/// checkpoints, then [`poll_action`](Journal::poll_action) until `None`. On a completion
/// [`on_written`](Journal::on_written), and [`durable`](Journal::durable) says whose replies leave.
#[derive(Debug)]
pub struct Journal {
    options: JournalOptions,
    files: Files,
    /// The file being written, and where the next group goes.
    current: Option<(FileNumber, Slot)>,
    position: u64,
    /// The first group that went to the current file.
    file_first: GroupSequence,
    open: Option<Group>,
    /// Closed, because the next entry did not fit, and not yet issued. At most `depth`.
    waiting: VecDeque<Group>,
    /// Issued, in order; the front one is not yet written.
    in_flight: VecDeque<InFlight>,
    /// Groups of which the buffer has come back. Together with those in use at most 2 × depth + 1.
    buffers: Vec<GroupBuffer>,
    ends: Vec<Vec<(TopicPartition, Offset)>>,
    issued: GroupSequence,
    durable: GroupSequence,
    previous_crc: u32,
}

impl Journal {
    /// An empty journal. It starts with an [`Action::PrepareFile`].
    #[must_use]
    pub fn new(options: JournalOptions) -> Journal {
        let JournalOptions { file_bytes, depth, group_bytes_max, files_max, .. } = options;
        let block_bytes = JOURNAL_BLOCK_BYTES as u64;
        assert!(depth >= 1 && files_max >= 2, "a journal needs a group in flight and a next file");
        assert!(group_bytes_max.is_multiple_of(JOURNAL_BLOCK_BYTES) && group_bytes_max > 0);
        assert!(group_bytes_max <= JOURNAL_GROUP_BYTES_MAX, "buffers are kept, so they are small");
        assert!(file_bytes.is_multiple_of(block_bytes));
        assert!(u32::try_from(file_bytes / block_bytes).is_ok(), "a block's index is 32 bits wide");
        assert!(file_bytes >= block_bytes + group_bytes_max as u64, "a file holds any one group");
        Journal {
            options,
            files: Files::new(options.incarnation, files_max),
            current: None,
            position: 0,
            file_first: GroupSequence(0),
            open: None,
            waiting: VecDeque::with_capacity(depth),
            in_flight: VecDeque::with_capacity(depth),
            buffers: Vec::new(),
            ends: Vec::new(),
            issued: GroupSequence(0),
            durable: GroupSequence(0),
            previous_crc: 0,
        }
    }

    /// Takes over a file of this shard and lane that is there from earlier, so that it is recycled.
    /// All such files come before the first [`poll_action`](Journal::poll_action), and have the
    /// length of these options. `kept` is `None` for a file that the plan does not need. For every
    /// file of a chain, in the order of the plan, it is the header and what replay
    /// ([`Replay::into_coverage`](super::Replay::into_coverage)) says has to be
    /// [released](Journal::release) first, [clipped](Coverage::clip) to what was recovered. A file that is left out counts as released.
    pub fn adopt(&mut self, slot: Slot, kept: Option<(&FileHeader, Coverage)>) {
        let id = |header: &FileHeader| (header.incarnation, header.number);
        self.files.adopt(slot, kept.map(|(header, coverage)| (id(header), coverage)));
    }

    /// Adds an entry to the open group and says which group that is.
    ///
    /// # Errors
    /// [`Refusal::Full`] is back-pressure; [`Refusal::TooLarge`] is for good.
    pub fn append(&mut self, entry: &Entry<'_>) -> Result<GroupSequence, Refusal> {
        let bytes = ENTRY_HEADER_BYTES + entry.payload.len();
        if entry.payload.len() > journal_batch_bytes_max(self.options.file_bytes) {
            return Err(Refusal::TooLarge);
        }
        // A large entry has a group and a buffer of its own. One of them waits at a time, so that
        // not many times their bytes are in memory.
        let group_bytes_max = self.options.group_bytes_max;
        let is_large = |used: usize| used > group_bytes_max;
        let large_waits = self.waiting.iter().chain(&self.open).any(|group| is_large(group.used));
        let needed = GROUP_HEADER_BYTES + bytes;
        if is_large(needed) && large_waits {
            return Err(Refusal::Full);
        }
        let fits = |group: &Group| group.used + bytes <= self.options.group_bytes_max;
        let mut group = match self.open.take() {
            Some(group) if fits(&group) => group,
            Some(group) if self.waiting.len() == self.options.depth => {
                self.open = Some(group);
                return Err(Refusal::Full);
            }
            full => {
                self.waiting.extend(full);
                self.new_group(needed)
            }
        };
        // The one copy of an acknowledged batch: direct I/O needs one aligned, gap-free buffer, and
        // the batch came unaligned in its frame. The checksum runs along while the bytes are in the
        // cache, so that closing a group reads nothing again; a large batch brings its own.
        let header = entry_header(entry);
        let room = group.buffer.room_mut(group.used, bytes);
        let (header_room, payload_room) = room.split_at_mut(ENTRY_HEADER_BYTES);
        header_room.copy_from_slice(&header);
        payload_room.copy_from_slice(entry.payload);
        group.entries_crc = match entry.checked {
            Some(Checked { from, crc }) if entry.payload.len() >= from + JOINED_BYTES_MIN => {
                let (front, back) = room.split_at(ENTRY_HEADER_BYTES + from);
                debug_assert_eq!(crc32c::crc32c(back), crc, "the checksum is that of the bytes");
                let front = crc32c::crc32c_append(group.entries_crc, front);
                checksum::joined(front, crc, back.len())
            }
            _ => crc32c::crc32c_append(group.entries_crc, room),
        };
        group.used += bytes;
        group.entry_count += 1;
        group.ends.push((entry.at, entry.next_offset));
        self.open = Some(group);
        Ok(GroupSequence(self.issued.0 + self.waiting.len() as u64 + 1))
    }

    fn new_group(&mut self, needed: usize) -> Group {
        let bytes_max = self.options.group_bytes_max;
        let kept = if needed <= bytes_max { self.buffers.pop() } else { None };
        Group {
            buffer: kept.unwrap_or_else(|| GroupBuffer::new(needed.max(bytes_max))),
            used: GROUP_HEADER_BYTES,
            entry_count: 0,
            entries_crc: 0,
            ends: self.ends.pop().unwrap_or_default(),
        }
    }

    /// The next thing to do, until `None`. Closes the open group if the device has room for it, so
    /// call it after everything that arrived together was appended.
    pub fn poll_action(&mut self) -> Option<Action> {
        if let Some((file, slot, create)) = self.files.prepare() {
            let mut header = GroupBuffer::new(JOURNAL_BLOCK_BYTES);
            self.file_header(file).write(header.room_mut(0, JOURNAL_BLOCK_BYTES));
            header.seal(JOURNAL_BLOCK_BYTES);
            return Some(Action::PrepareFile { slot, file, create, header });
        }
        if self.in_flight.len() == self.options.depth {
            return None;
        }
        let used = self.waiting.front().or(self.open.as_ref())?.used;
        let (file, slot) = self.place(whole_blocks(used) as u64)?;
        let mut group = self.waiting.pop_front().or_else(|| self.open.take())?;

        let position = self.position;
        let sequence = GroupSequence(self.issued.0 + 1);
        group.buffer.seal(group.used);
        let header = GroupHeader {
            incarnation: self.options.incarnation,
            file,
            sequence,
            file_first: self.file_first,
            durable: self.durable,
            shard: self.options.shard,
            lane: self.options.lane,
            block: block_index(position),
            previous_crc: self.previous_crc,
            entry_count: group.entry_count,
            entries_bytes: u32::try_from(group.used - GROUP_HEADER_BYTES)
                .expect("a group's length is checked when the journal is made"),
            entries_crc: group.entries_crc,
        };
        self.previous_crc = header.write(group.buffer.room_mut(0, GROUP_HEADER_BYTES));
        self.position += group.buffer.as_slice().len() as u64;
        assert!(self.position <= self.options.file_bytes, "a group stays within its file");
        self.issued = sequence;
        self.in_flight.push_back(InFlight { group: sequence, written: false });
        self.files.note(sequence, &group.ends);
        group.ends.clear();
        self.ends.push(group.ends);
        Some(Action::Write { slot, file, position, group: sequence, buffer: group.buffer })
    }

    /// The file that a group of `bytes` goes to; rolls if the current one has no room.
    fn place(&mut self, bytes: u64) -> Option<(FileNumber, Slot)> {
        match self.current {
            Some(current) if self.position + bytes <= self.options.file_bytes => Some(current),
            _ => {
                let next = self.files.roll()?;
                self.current = Some(next);
                self.position = JOURNAL_BLOCK_BYTES as u64;
                self.file_first = GroupSequence(self.issued.0 + 1);
                self.current
            }
        }
    }

    fn file_header(&self, number: FileNumber) -> FileHeader {
        FileHeader {
            incarnation: self.options.incarnation,
            shard: self.options.shard,
            lane: self.options.lane,
            number,
            file_bytes: self.options.file_bytes,
            oldest: self.files.oldest(),
        }
    }

    /// The file is there at its full length and its header is on stable storage.
    pub fn on_file_ready(&mut self, file: FileNumber) {
        self.files.on_ready(file);
    }

    /// There was no space for the file. It is asked for again after [`Journal::retry_file`].
    pub fn on_file_failed(&mut self, file: FileNumber) {
        self.files.on_failed(file);
    }

    /// A file that could not be made may be tried again.
    pub fn retry_file(&mut self) {
        self.files.retry();
    }

    /// A group was written (and, in the flushed lane, is on stable storage). The buffer is used
    /// again.
    pub fn on_written(&mut self, group: GroupSequence, buffer: GroupBuffer) {
        match self.in_flight.iter_mut().find(|in_flight| in_flight.group == group) {
            Some(in_flight) if !in_flight.written => in_flight.written = true,
            _ => panic!("group {} was not in flight", group.0),
        }
        // The buffer of a large entry is not kept.
        if buffer.capacity() == self.options.group_bytes_max {
            self.buffers.push(buffer);
        }
        while let Some(front) = self.in_flight.pop_front_if(|front| front.written) {
            self.durable = front.group;
        }
        self.files.on_durable(self.durable);
    }

    /// This group and all before it are written.
    #[must_use]
    pub fn durable(&self) -> GroupSequence {
        self.durable
    }

    /// Whether entries have not been issued yet.
    #[must_use]
    pub fn has_open(&self) -> bool {
        self.open.is_some() || !self.waiting.is_empty()
    }

    /// Whether everything appended is written.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !self.has_open() && self.in_flight.is_empty()
    }

    /// What to bring to the segments because the ring of files is three quarters full. Each file is
    /// asked for once.
    pub fn needs_checkpoint(&mut self) -> Option<CheckpointDemand> {
        self.files.demand()
    }

    /// Frees the oldest files as far as `flushed` covers them. For a partition it says up to which
    /// offset (exclusive) the segments and the checkpoint are durable; `None` if the partition is
    /// gone for good, and its entries with it.
    ///
    /// Files with groups beyond `group` are left alone: what was appended after the checkpoint was
    /// begun is not in it, whatever offsets it names (a log start names an old one).
    pub fn release(
        &mut self,
        group: GroupSequence,
        flushed: impl FnMut(TopicPartition) -> Option<Offset>,
    ) {
        self.files.release(group, flushed);
    }

    /// Nothing of this partition is needed any more: its topic was deleted.
    pub fn forget(&mut self, at: TopicPartition) {
        for group in self.waiting.iter_mut().chain(&mut self.open) {
            group.ends.retain(|(partition, _)| *partition != at);
        }
        self.files.forget(at);
    }
}

fn block_index(position: u64) -> u32 {
    u32::try_from(position / JOURNAL_BLOCK_BYTES as u64)
        .expect("a file's length is checked when the journal is made")
}
