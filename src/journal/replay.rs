//! Reading one chain of files back.

use std::collections::VecDeque;

use bytes::Bytes;

use super::coverage::Coverage;
use super::entry::{EntryKind, FileNumber, GroupSequence};
use super::plan::Chain;
use super::walk::{Expected, Identity, Step, Stop, header_at, step};
use crate::ids::{LeaderEpoch, Offset, TopicPartition};
use crate::limits::JOURNAL_BLOCK_BYTES;

/// An entry as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayedEntry {
    /// What it means.
    pub kind: EntryKind,
    /// The partition it belongs to.
    pub at: TopicPartition,
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset after its last record.
    pub next_offset: Offset,
    /// Term of the leader that appended it.
    pub leader_epoch: LeaderEpoch,
    /// Its bytes: a piece of what was read, not a copy.
    pub payload: Bytes,
}

/// What to read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// The caller's index of the file.
    pub file: usize,
    /// Where, in whole blocks.
    pub position: u64,
    /// How much, in whole blocks. At most the larger of the read size and
    /// [`JOURNAL_LARGE_GROUP_BYTES_MAX`](crate::limits::JOURNAL_LARGE_GROUP_BYTES_MAX).
    pub bytes: usize,
}

/// Groups that were acknowledged and cannot be read: not a crash, but a disk that lies or rots. In
/// the unflushed lane a power cut can do it, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The first group that cannot be read.
    pub first: GroupSequence,
    /// A later group says that up to here all was durable.
    pub durable: GroupSequence,
}

/// Where a chain ended, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayEnd {
    /// The last good group; 0 if there is none.
    pub last: GroupSequence,
    /// The file in which reading stopped.
    pub file: FileNumber,
    /// Where in it.
    pub position: u64,
    /// Why.
    pub stop: Stop,
    /// Whether acknowledged groups are missing. `None` is the normal end after a crash.
    pub lost: Option<Lost>,
}

/// What is being looked for.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Group after group.
    Groups,
    /// The file ended; whether that is the end is up to the first group of the next file.
    Crossing {
        from: FileNumber,
        at: u64,
        stop: Stop,
    },
    /// All is read; whether a group behind the end knows that more was durable. `first` is the
    /// group that is missing, if that is known.
    Searching {
        end: ReplayEnd,
        first: Option<GroupSequence>,
    },
    Ended(ReplayEnd),
}

/// Reads one [`Chain`]: asks for pieces of files, yields the entries of every group that is the
/// exact successor of the one before, and stops at the first that is not. Then it looks behind the
/// end for a group that proves the end to be wrong ([`Lost`]).
///
/// ```text
/// loop {
///     while let Some(entry) = replay.poll_entry() { .. }
///     let Some(request) = replay.poll_read() else { break };
///     replay.on_read(read(request));
/// }
/// ```
///
/// What was read may still lie in a volatile cache of the device: after a kill it is readable, and
/// a power cut after the restart takes it. So before anything is appended behind it, the shell
/// either flushes all journal files or makes what it replayed durable in the segments.
#[derive(Debug)]
pub struct Replay {
    chain: Chain,
    read_bytes: usize,
    phase: Phase,
    /// Index in the chain, and where in that file.
    file: usize,
    position: u64,
    /// More than the read size if a group needs it.
    wanted: usize,
    /// `None` at the start of a chain whose first files are gone.
    expected: Option<Expected>,
    last: GroupSequence,
    /// Groups behind this one are not read, all up to it have to be there.
    limit: Option<GroupSequence>,
    entries: VecDeque<ReplayedEntry>,
    coverage: Vec<Coverage>,
}

impl Replay {
    /// Starts reading, in pieces of `read_bytes` (whole blocks).
    #[must_use]
    pub fn new(chain: Chain, read_bytes: usize) -> Replay {
        assert!(read_bytes > 0 && read_bytes.is_multiple_of(JOURNAL_BLOCK_BYTES));
        let number_first = chain.files.first().map(|(_, header)| header.number);
        assert!(number_first.is_some(), "a chain has a file");
        let expected = (number_first == Some(FileNumber(1)))
            .then_some(Expected { sequence: GroupSequence(1), previous_crc: 0 });
        Replay {
            coverage: vec![Coverage::default(); chain.files.len()],
            chain,
            read_bytes,
            phase: Phase::Groups,
            file: 0,
            position: JOURNAL_BLOCK_BYTES as u64,
            wanted: read_bytes,
            expected,
            last: GroupSequence(0),
            limit: None,
            entries: VecDeque::new(),
        }
    }

    /// Reads exactly as far as an earlier start has ([`limit`](super::limit)).
    #[must_use]
    pub fn until(mut self, limit: Option<GroupSequence>) -> Replay {
        self.limit = limit;
        self.stop_at_limit();
        self
    }

    /// What an earlier start did not see is not there, and what it did see is not searched for
    /// anything behind it.
    fn stop_at_limit(&mut self) -> bool {
        let is_reached = self.limit == Some(self.last);
        if is_reached {
            let (file, position) = (self.number(), self.position);
            let (last, stop) = (self.last, Stop::Limit);
            self.phase = Phase::Ended(ReplayEnd { last, file, position, stop, lost: None });
        }
        is_reached
    }

    /// Nothing behind the end contradicts it, unless an earlier start does.
    fn finish(&mut self, mut end: ReplayEnd) {
        if let Some(durable) = self.limit.filter(|limit| *limit > end.last) {
            let first = GroupSequence(end.last.0.saturating_add(1));
            end.lost = end.lost.or(Some(Lost { first, durable }));
        }
        self.phase = Phase::Ended(end);
    }

    /// The chain being read.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The next entry, in the order of appending, as far as was read.
    pub fn poll_entry(&mut self) -> Option<ReplayedEntry> {
        self.entries.pop_front()
    }

    /// What to read. `None` at the end, and while entries wait to be taken.
    #[must_use]
    pub fn poll_read(&self) -> Option<ReadRequest> {
        if !self.entries.is_empty() || matches!(self.phase, Phase::Ended(_)) {
            return None;
        }
        let (file, header) = self.chain.files.get(self.file)?;
        let left = header.file_bytes.saturating_sub(self.position);
        let bytes = usize::try_from(left).unwrap_or(usize::MAX).min(self.wanted);
        Some(ReadRequest { file: *file, position: self.position, bytes })
    }

    /// How it ended; `None` while there is more to read.
    #[must_use]
    pub fn end(&self) -> Option<ReplayEnd> {
        match self.phase {
            Phase::Ended(end) => Some(end),
            _ => None,
        }
    }

    /// For each file, by the caller's index, what has to be in the segments before it is recycled.
    #[must_use]
    pub fn into_coverage(self) -> Vec<(usize, Coverage)> {
        self.chain.files.iter().map(|(file, _)| *file).zip(self.coverage).collect()
    }

    /// Takes what [`poll_read`](Replay::poll_read) asked for. Fewer bytes mean that the file ends
    /// there.
    pub fn on_read(&mut self, bytes: &Bytes) {
        let Some(request) = self.poll_read() else { panic!("nothing was to be read") };
        let is_short = bytes.len() < request.bytes;
        match self.phase {
            Phase::Searching { end, first } => self.search(bytes, is_short, end, first),
            _ => self.walk(bytes, is_short),
        }
    }

    fn walk(&mut self, bytes: &Bytes, is_short: bool) {
        let Some(&(_, header)) = self.chain.files.get(self.file) else { return };
        let identity = self.identity(header.number);
        let mut at = 0;
        self.wanted = self.read_bytes;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            if self.position + JOURNAL_BLOCK_BYTES as u64 > header.file_bytes {
                return self.end_file(Stop::EndOfFile);
            }
            if rest.len() < JOURNAL_BLOCK_BYTES {
                if is_short {
                    self.end_file(Stop::ShortFile);
                }
                return;
            }
            match step(rest, self.position, header.file_bytes, &identity, self.expected) {
                Step::Group(group) => {
                    self.phase = Phase::Groups;
                    self.expected = Some(group.successor);
                    self.last = group.header.sequence;
                    self.position += group.bytes as u64;
                    at += group.bytes;
                    for entry in group.entries() {
                        if let Some(coverage) = self.coverage.get_mut(self.file) {
                            coverage.note(entry.at, entry.next_offset);
                        }
                        self.entries.push_back(ReplayedEntry {
                            kind: entry.kind,
                            at: entry.at,
                            base_offset: entry.base_offset,
                            next_offset: entry.next_offset,
                            leader_epoch: entry.leader_epoch,
                            payload: bytes.slice_ref(entry.payload),
                        });
                    }
                    if self.stop_at_limit() {
                        return;
                    }
                }
                Step::Need(_) if is_short => return self.end_file(Stop::CorruptEntries),
                Step::Need(needed) => {
                    self.wanted = needed.max(self.read_bytes);
                    return;
                }
                Step::Stop(stop) => return self.end_file(stop),
            }
        }
    }

    fn identity(&self, file: FileNumber) -> Identity {
        let Chain { incarnation, shard, lane, .. } = self.chain;
        Identity { incarnation, shard, lane, file }
    }

    /// No further group in this file.
    fn end_file(&mut self, stop: Stop) {
        let number = self.number();
        let (file, position, stop) = match self.phase {
            // The next file did not continue either, so the end is where the one before stopped.
            Phase::Crossing { from, at, stop } => {
                return self.search_from(from, at, stop);
            }
            _ => (number, self.position, stop),
        };
        // Without a single group there is nothing that the next file could continue.
        if self.file + 1 < self.chain.files.len() && self.expected.is_some() {
            self.phase = Phase::Crossing { from: file, at: position, stop };
            self.file += 1;
            self.position = JOURNAL_BLOCK_BYTES as u64;
        } else {
            self.search_from(file, position, stop);
        }
    }

    fn number(&self) -> FileNumber {
        self.chain.files.get(self.file).map(|(_, header)| header.number).unwrap_or_default()
    }

    /// The end is at `position` of `file`; what stands behind it is only searched.
    fn search_from(&mut self, file: FileNumber, position: u64, stop: Stop) {
        let end = ReplayEnd { last: self.last, file, position, stop, lost: None };
        let first = self.expected.map(|expected| expected.sequence);
        self.phase = Phase::Searching { end, first };
        self.file = self
            .chain
            .files
            .iter()
            .position(|(_, header)| header.number == file)
            .unwrap_or(self.chain.files.len());
        self.position = position;
        self.wanted = self.read_bytes;
        if self.poll_read_is_empty() {
            self.search_next_file();
        }
    }

    fn poll_read_is_empty(&self) -> bool {
        match self.chain.files.get(self.file) {
            Some((_, header)) => self.position + JOURNAL_BLOCK_BYTES as u64 > header.file_bytes,
            None => true,
        }
    }

    fn search_next_file(&mut self) {
        let Phase::Searching { end, .. } = self.phase else { return };
        self.file += 1;
        self.position = JOURNAL_BLOCK_BYTES as u64;
        if self.poll_read_is_empty() {
            self.finish(end);
        }
    }

    /// A group that was issued after the missing one had been acknowledged says so in its header.
    fn search(
        &mut self,
        bytes: &Bytes,
        is_short: bool,
        mut end: ReplayEnd,
        mut first: Option<GroupSequence>,
    ) {
        let identity = self.identity(self.number());
        for block in bytes.chunks_exact(JOURNAL_BLOCK_BYTES) {
            if let Ok((header, _)) = header_at(block, self.position, &identity) {
                // If not even the first group of the chain was good, its sequence is known from its
                // own header or from any other in its file, and from a later file at least that of
                // the last one.
                let missing = *first.get_or_insert(if identity.file == end.file {
                    header.file_first
                } else {
                    GroupSequence(header.file_first.0.saturating_sub(1))
                });
                if header.durable >= missing {
                    end.lost = Some(Lost { first: missing, durable: header.durable });
                    self.finish(end);
                    return;
                }
            }
            self.position += JOURNAL_BLOCK_BYTES as u64;
        }
        self.phase = Phase::Searching { end, first };
        // In the file where reading stopped all is searched; of a later file the first piece is
        // enough, since its first groups were issued right behind.
        if is_short || self.number() != end.file || self.poll_read_is_empty() {
            self.search_next_file();
        }
    }
}
