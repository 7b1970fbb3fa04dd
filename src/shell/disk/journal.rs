//! Journal files: made in the background, written through the own ring.
//!
//! Both lanes write with direct I/O into files that were filled once. The flushed lane adds
//! `RWF_DSYNC`: the write completes when the bytes are on stable storage, without a second operation
//! and without a kernel worker. The unflushed lane leaves that flag out and is otherwise the same. A
//! buffered `pwrite` there would be a little quicker for small groups, but when the machine's share
//! of dirty pages is reached the kernel makes the writer wait in the middle of it, and with it every
//! connection of the shard.
//!
//! Where the file system has no direct I/O the same operations run buffered; `RWF_DSYNC` then means
//! write and flush, on a kernel worker.
//!
//! The first file of a lane is not filled to its end before it is used: a start would wait for it. It
//! is filled by steps, well ahead of the groups, and a group that catches up waits. What was never
//! filled is a hole to the next start's replay, which reads no hole. Every later file is filled while
//! the one before it is written.
//!
//! The files of one start lie in a directory of their own (`journal/<incarnation>/`), so that a
//! start never touches the files it replays.
//!
//! Invariants
//! - A write's buffer and file live in `writes` from submission to completion.
//! - A group is only written to what is filled, and a filling step writes only behind that.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use tracing::warn;

use super::Place;
use super::error::disk_error;
use crate::journal::{Action, FileNumber, GroupBuffer, GroupSequence, Lane, Slot, file_name};
use crate::limits::JOURNAL_BLOCK_BYTES;
use crate::shard::engine::{DiskError, Engine};
use crate::shell::background::Background;
use crate::shell::data_directory;
use crate::shell::finished::Finished;
use crate::shell::operation::Operation;
use crate::shell::ring::{Completion, Ring};
use crate::shell::sys;
use crate::time::Now;

/// Bytes of one write while a file is filled.
const FILL_BYTES: usize = 1024 * 1024;
/// The longest step by which a first file is filled.
const STEP_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// A first file is filled by so many steps or more.
const STEPS_MIN: u64 = 8;

/// How journal files are made and written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JournalOptions {
    /// Length of a journal file, in bytes.
    pub file_bytes: u64,
    /// Whether the file system takes direct I/O.
    pub direct: bool,
}

impl JournalOptions {
    /// How far the groups in a first file are ahead of its end at least.
    fn step_bytes(&self) -> u64 {
        let step = (self.file_bytes / STEPS_MIN).min(STEP_BYTES_MAX);
        step.next_multiple_of(JOURNAL_BLOCK_BYTES as u64)
    }
}

/// What making a journal file came to.
pub(crate) struct JournalFileMade {
    lane: Lane,
    slot: Slot,
    number: FileNumber,
    result: Result<Prepared, DiskError>,
}

/// What a step of filling a first file came to: up to where it is filled.
pub(crate) struct JournalFileFilled {
    lane: Lane,
    slot: Slot,
    result: Result<u64, DiskError>,
}

/// A file that is ready.
struct Prepared {
    file: Arc<File>,
    filled: u64,
}

/// A file in use.
struct JournalFile {
    file: Arc<File>,
    /// Up to where.
    filled: u64,
    /// A step is under way.
    filling: bool,
    /// Writes behind what is filled.
    waiting: Vec<u32>,
    /// It cannot be filled any further.
    failed: Option<DiskError>,
}

/// A write in the ring.
struct Write {
    lane: Lane,
    slot: Slot,
    group: GroupSequence,
    buffer: GroupBuffer,
    file: Arc<File>,
    position: u64,
    /// Bytes that earlier completions reported.
    done: usize,
}

/// A write that ended.
struct Ended {
    lane: Lane,
    group: GroupSequence,
    buffer: GroupBuffer,
    result: Result<(), DiskError>,
}

/// The journal files of a shard.
pub(crate) struct JournalFiles {
    place: Arc<Place>,
    options: JournalOptions,
    files: BTreeMap<(bool, u32), JournalFile>,
    writes: Vec<Option<Write>>,
    free: Vec<u32>,
    ended: Vec<Ended>,
    made: Vec<(Lane, FileNumber, Result<(), DiskError>)>,
    outstanding: usize,
}

fn key(lane: Lane, slot: Slot) -> (bool, u32) {
    (lane == Lane::Flushed, slot.0)
}

impl JournalFiles {
    /// None yet.
    #[must_use]
    pub(crate) fn new(place: Arc<Place>, options: JournalOptions) -> JournalFiles {
        JournalFiles {
            place,
            options,
            files: BTreeMap::new(),
            writes: Vec::new(),
            free: Vec::new(),
            ended: Vec::new(),
            made: Vec::new(),
            outstanding: 0,
        }
    }

    /// Writes and preparations that have not ended.
    #[must_use]
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Whether the engine has to be told something.
    #[must_use]
    pub(crate) fn has_ended(&self) -> bool {
        !self.ended.is_empty() || !self.made.is_empty()
    }

    /// Begins what a journal asks for.
    pub(crate) fn begin(
        &mut self,
        lane: Lane,
        action: Action,
        ring: &mut Ring,
        background: &Background<Finished>,
    ) {
        self.outstanding += 1;
        match action {
            Action::PrepareFile { slot, file: number, create, header } => {
                let open = self.files.get(&key(lane, slot)).map(|open| Arc::clone(&open.file));
                let (place, options) = (Arc::clone(&self.place), self.options);
                background.run(move || {
                    let order = Order { lane, slot, number, create };
                    let result = prepare(&place, options, order, open, &header);
                    Finished::JournalFile(JournalFileMade { lane, slot, number, result })
                });
            }
            Action::Write { slot, file: _, position, group, buffer } => {
                let file = self.files.get(&key(lane, slot)).map(|open| Arc::clone(&open.file));
                let file = file.expect("a group goes to a file that was made ready");
                let write = Write { lane, slot, group, buffer, file, position, done: 0 };
                let index = match self.free.pop() {
                    Some(index) => index,
                    None => {
                        self.writes.push(None);
                        (self.writes.len() - 1) as u32
                    }
                };
                self.writes[index as usize] = Some(write);
                self.submit_filled(index, ring, background);
            }
        }
    }

    /// Submits a write if its place is filled, or else once it is.
    fn submit_filled(&mut self, index: u32, ring: &mut Ring, background: &Background<Finished>) {
        let write = self.writes[index as usize].as_ref().expect("a write under way has its place");
        let (lane, slot) = (write.lane, write.slot);
        let end = write.position + write.buffer.as_slice().len() as u64;
        let open = self.files.get_mut(&key(lane, slot)).expect("a file stays open");
        let step = self.options.step_bytes();
        let is_filled = end <= open.filled;
        let is_close = open.filled < self.options.file_bytes && end + step > open.filled;
        if is_close && !open.filling && open.failed.is_none() {
            open.filling = true;
            let (file, from) = (Arc::clone(&open.file), open.filled);
            let to = (from + step).min(self.options.file_bytes);
            background.run(move || {
                let result = fill(&file, from, to).and_then(|()| file.sync_data());
                let result = result.map(|()| to).map_err(|error| {
                    disk_error(format_args!("filling a journal file up to byte {to}"), &error)
                });
                Finished::JournalFilled(JournalFileFilled { lane, slot, result })
            });
        }
        match &open.failed {
            _ if is_filled => self.submit(index, ring),
            Some(error) => {
                let result = Err(error.clone());
                self.end(index, result);
            }
            None => open.waiting.push(index),
        }
    }

    /// A step of filling ended.
    pub(crate) fn on_filled(
        &mut self,
        filled: JournalFileFilled,
        ring: &mut Ring,
        background: &Background<Finished>,
    ) {
        let JournalFileFilled { lane, slot, result } = filled;
        let open = self.files.get_mut(&key(lane, slot)).expect("a file stays open");
        open.filling = false;
        match result {
            Ok(end) => open.filled = end,
            Err(error) => open.failed = Some(error),
        }
        for index in std::mem::take(&mut open.waiting) {
            self.submit_filled(index, ring, background);
        }
    }

    fn submit(&mut self, index: u32, ring: &mut Ring) {
        let write = self.writes[index as usize].as_ref().expect("a write under way has its place");
        let bytes = &write.buffer.as_slice()[write.done..];
        let flags = if write.lane == Lane::Flushed { libc::RWF_DSYNC } else { 0 };
        // SAFETY: the buffer's memory does not move with the value, and `writes` keeps it and the
        // file unchanged until `on_completed`.
        unsafe {
            ring.write(
                write.file.as_fd(),
                bytes.as_ptr(),
                bytes.len() as u32,
                write.position + write.done as u64,
                flags,
                Operation::Journal(index),
            );
        }
    }

    /// A write completed, perhaps in part.
    pub(crate) fn on_completed(&mut self, index: u32, completion: Completion, ring: &mut Ring) {
        let write = self.writes[index as usize].as_mut().expect("a write under way has its place");
        let failed = |error: io::Error| {
            let number = write.group.0;
            Err(disk_error(format_args!("writing journal group {number}"), &error))
        };
        let result = match completion.result {
            count if count > 0 => {
                write.done += count as usize;
                if write.done < write.buffer.as_slice().len() {
                    self.submit(index, ring);
                    return;
                }
                Ok(())
            }
            0 => failed(io::ErrorKind::WriteZero.into()),
            errno if matches!(-errno, libc::EINTR | libc::EAGAIN) => {
                self.submit(index, ring);
                return;
            }
            errno => failed(io::Error::from_raw_os_error(-errno)),
        };
        self.end(index, result);
    }

    fn end(&mut self, index: u32, result: Result<(), DiskError>) {
        let write = self.writes[index as usize].take().expect("a write under way has its place");
        self.free.push(index);
        let Write { lane, group, buffer, .. } = write;
        self.ended.push(Ended { lane, group, buffer, result });
    }

    /// A file was made, or not.
    pub(crate) fn on_made(&mut self, made: JournalFileMade) {
        let JournalFileMade { lane, slot, number, result } = made;
        let result = result.map(|Prepared { file, filled }| {
            let (filling, waiting, failed) = (false, Vec::new(), None);
            let open = JournalFile { file, filled, filling, waiting, failed };
            self.files.insert(key(lane, slot), open);
        });
        self.made.push((lane, number, result));
    }

    /// Tells the engine what ended.
    pub(crate) fn tell<E: Engine>(&mut self, engine: &mut E, now: Now) {
        self.outstanding -= self.made.len() + self.ended.len();
        for (lane, number, result) in self.made.drain(..) {
            engine.on_journal_file(lane, number, result, now);
        }
        for Ended { lane, group, buffer, result } in self.ended.drain(..) {
            engine.on_journal_written(lane, group, buffer, result, now);
        }
    }
}

/// Which file to make ready.
struct Order {
    lane: Lane,
    slot: Slot,
    number: FileNumber,
    create: bool,
}

/// Makes a file ready: there, its blocks reserved, filled as far as it has to be, its name durable,
/// its header on stable storage.
fn prepare(
    place: &Place,
    options: JournalOptions,
    order: Order,
    open: Option<Arc<File>>,
    header: &GroupBuffer,
) -> Result<Prepared, DiskError> {
    let Order { lane, slot, number, create } = order;
    let directory = data_directory::journal_directory(&place.journals, place.incarnation);
    let path = directory.join(file_name(lane, place.shard, slot));
    let attempt = || -> io::Result<Prepared> {
        let file = match open {
            Some(file) => file,
            None => Arc::new(open_file(&path, create, options.direct)?),
        };
        let mut filled = options.file_bytes;
        if create {
            // Without blocks of its own a file could find the device full half-way.
            let is_reserved = sys::allocate(&file, options.file_bytes)?;
            if is_reserved && number == FileNumber(1) {
                filled = options.step_bytes();
            }
            fill(&file, 0, filled)?;
        }
        file.write_all_at(header.as_slice(), 0)?;
        if create {
            // Also writes the length and the extents down, so that no later write has to.
            file.sync_all()?;
            data_directory::sync_directory(&directory)?;
        } else {
            file.sync_data()?;
        }
        Ok(Prepared { file, filled })
    };
    attempt().map_err(|error| {
        if create && let Err(error) = std::fs::remove_file(&path) {
            // The next start takes a file without a header for unused; it only keeps its blocks.
            if error.kind() != io::ErrorKind::NotFound {
                warn!(path = %path.display(), %error, "cannot remove a journal file that failed");
            }
        }
        disk_error(format_args!("preparing the journal file {}", path.display()), &error)
    })
}

fn open_file(path: &Path, create: bool, direct: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(create).mode(0o600);
    if direct {
        options.custom_flags(libc::O_DIRECT);
    }
    options.open(path)
}

/// Writes zeroes over a range, so that later writes change no metadata: a flush then costs one
/// device write instead of a commit of the file system's own journal.
fn fill(file: &File, from: u64, to: u64) -> io::Result<()> {
    let zeroes = vec![0; FILL_BYTES + JOURNAL_BLOCK_BYTES];
    let start = zeroes.as_ptr().align_offset(JOURNAL_BLOCK_BYTES);
    let zeroes = &zeroes[start..start + FILL_BYTES];
    let mut position = from;
    while position < to {
        let count = FILL_BYTES.min((to - position) as usize);
        file.write_all_at(&zeroes[..count], position)?;
        position += count as u64;
    }
    Ok(())
}

/// Whether files below this directory take direct I/O.
#[must_use]
pub(crate) fn takes_direct_writes(directory: &Path) -> bool {
    let path = directory.join(".direct");
    let attempt = || -> io::Result<()> {
        let file = open_file(&path, true, true)?;
        let zeroes = vec![0; 2 * JOURNAL_BLOCK_BYTES];
        let start = zeroes.as_ptr().align_offset(JOURNAL_BLOCK_BYTES);
        file.write_all_at(&zeroes[start..start + JOURNAL_BLOCK_BYTES], 0)
    };
    let taken = attempt().is_ok();
    // If it cannot be removed it is in nobody's way.
    let _ = std::fs::remove_file(&path);
    taken
}
