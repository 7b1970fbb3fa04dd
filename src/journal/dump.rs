//! Showing a journal file to a human (`ringmain dump-log`).

use std::fmt;

use super::entry::{Entry, FileNumber, GroupSequence};
use super::format::{FileHeader, HeaderFault};
use super::walk::{Identity, Step, Stop, step};
use crate::limits::JOURNAL_BLOCK_BYTES;

/// One line about a journal file. Its `Display` is the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dumped<'a> {
    /// The file's first block.
    Header(FileHeader),
    /// A group, followed by its entries.
    Group {
        /// Where it starts.
        position: u64,
        /// How much room it takes, padding included.
        bytes: usize,
        /// Its sequence.
        group: GroupSequence,
        /// What was durable when it was issued.
        durable: GroupSequence,
        /// How many entries follow.
        entry_count: u32,
    },
    /// An entry of the group before.
    Entry(Entry<'a>),
    /// Nothing more can be read, and why.
    Stop {
        /// Where.
        position: u64,
        /// Why.
        stop: Stop,
    },
    /// Not a journal file at all.
    Fault(HeaderFault),
}

/// Walks a whole file. Unlike replay it does not know the files before, so the first group may have
/// any sequence.
pub fn dump<'a>(file: &'a [u8], mut visit: impl FnMut(Dumped<'a>)) {
    let header = match FileHeader::parse(file) {
        Ok(header) => header,
        Err(fault) => return visit(Dumped::Fault(fault)),
    };
    visit(Dumped::Header(header));
    let FileHeader { incarnation, shard, lane, number, .. } = header;
    let identity = Identity { incarnation, shard, lane, file: number };
    let mut at = JOURNAL_BLOCK_BYTES;
    let mut expected = None;
    let stop = loop {
        let rest = file.get(at..).unwrap_or_default();
        if at as u64 + JOURNAL_BLOCK_BYTES as u64 > header.file_bytes {
            break Stop::EndOfFile;
        }
        if rest.len() < JOURNAL_BLOCK_BYTES {
            break Stop::ShortFile;
        }
        match step(rest, at as u64, header.file_bytes, &identity, expected) {
            Step::Group(group) => {
                visit(Dumped::Group {
                    position: at as u64,
                    bytes: group.bytes,
                    group: group.header.sequence,
                    durable: group.header.durable,
                    entry_count: group.header.entry_count,
                });
                group.entries().for_each(|entry| visit(Dumped::Entry(entry)));
                expected = Some(group.successor);
                at += group.bytes;
            }
            Step::Need(_) => break Stop::ShortFile,
            Step::Stop(stop) => break stop,
        }
    };
    visit(Dumped::Stop { position: at as u64, stop });
}

impl fmt::Display for Dumped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dumped::Header(header) => {
                let FileHeader { incarnation, shard, lane, number, file_bytes, oldest } = header;
                let (FileNumber(number), (_, FileNumber(oldest))) = (number, oldest);
                write!(
                    f,
                    "journal file: {number} oldest: {oldest} of {} incarnation: {incarnation} \
                     shard: {shard} lane: {lane} size: {file_bytes}",
                    header.oldest.0
                )
            }
            Dumped::Group { position, bytes, group, durable, entry_count } => write!(
                f,
                "group: {} position: {position} size: {bytes} durable: {} entries: {entry_count}",
                group.0, durable.0
            ),
            Dumped::Entry(entry) => write!(
                f,
                "| {:?} topic: {} partition: {} baseOffset: {} nextOffset: {} leaderEpoch: {} \
                 payloadsize: {}",
                entry.kind,
                entry.at.topic,
                entry.at.partition,
                entry.base_offset,
                entry.next_offset,
                entry.leader_epoch,
                entry.payload.len()
            ),
            Dumped::Stop { position, stop } => write!(f, "end at position {position}: {stop}"),
            Dumped::Fault(fault) => write!(f, "no journal file: {fault}"),
        }
    }
}
