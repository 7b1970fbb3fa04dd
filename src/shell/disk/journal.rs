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
//! The files of one start lie in a directory of their own (`journal/<incarnation>/`), so that a
//! start never touches the files it replays.
//!
//! Invariant: a write's buffer and file live in `writes` from submission to completion.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
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

/// How journal files are made and written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JournalOptions {
    /// Length of a journal file, in bytes.
    pub file_bytes: u64,
    /// Whether the file system takes direct I/O.
    pub direct: bool,
}

/// What making a journal file came to.
pub(crate) struct JournalFileMade {
    lane: Lane,
    slot: Slot,
    number: FileNumber,
    result: Result<Arc<File>, DiskError>,
}

/// A write in the ring.
struct Write {
    lane: Lane,
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
    files: BTreeMap<(bool, u32), Arc<File>>,
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
                let open = self.files.get(&key(lane, slot)).cloned();
                let (place, options) = (Arc::clone(&self.place), self.options);
                background.run(move || {
                    let result = prepare(&place, options, lane, slot, create, open, &header);
                    Finished::JournalFile(JournalFileMade { lane, slot, number, result })
                });
            }
            Action::Write { slot, file: _, position, group, buffer } => {
                let file = self.files.get(&key(lane, slot)).cloned();
                let file = file.expect("a group goes to a file that was made ready");
                let write = Write { lane, group, buffer, file, position, done: 0 };
                let index = match self.free.pop() {
                    Some(index) => index,
                    None => {
                        self.writes.push(None);
                        (self.writes.len() - 1) as u32
                    }
                };
                self.writes[index as usize] = Some(write);
                self.submit(index, ring);
            }
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
        let write = self.writes[index as usize].take().expect("checked above");
        self.free.push(index);
        let Write { lane, group, buffer, .. } = write;
        self.ended.push(Ended { lane, group, buffer, result });
    }

    /// A file was made, or not.
    pub(crate) fn on_made(&mut self, made: JournalFileMade) {
        let JournalFileMade { lane, slot, number, result } = made;
        let result = result.map(|file| {
            self.files.insert(key(lane, slot), file);
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

/// Makes a file ready: there, filled, its name durable, its header on stable storage.
fn prepare(
    place: &Place,
    options: JournalOptions,
    lane: Lane,
    slot: Slot,
    create: bool,
    open: Option<Arc<File>>,
    header: &GroupBuffer,
) -> Result<Arc<File>, DiskError> {
    let directory = data_directory::journal_directory(&place.root, place.incarnation);
    let path = directory.join(file_name(lane, place.shard, slot));
    let attempt = || -> io::Result<Arc<File>> {
        let file = match open {
            Some(file) => file,
            None => Arc::new(open_file(&path, create, options.direct)?),
        };
        if create {
            fill(&file, options.file_bytes)?;
        }
        file.write_all_at(header.as_slice(), 0)?;
        if create {
            // Also writes the length and the extents down, so that no later write has to.
            file.sync_all()?;
            data_directory::sync_directory(&directory)?;
        } else {
            file.sync_data()?;
        }
        Ok(file)
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

/// Writes zeroes over the whole length, so that later writes change no metadata: a flush then
/// costs one device write instead of a commit of the file system's own journal.
fn fill(file: &File, length: u64) -> io::Result<()> {
    sys::allocate(file, length)?;
    let zeroes = vec![0; FILL_BYTES + JOURNAL_BLOCK_BYTES];
    let start = zeroes.as_ptr().align_offset(JOURNAL_BLOCK_BYTES);
    let zeroes = &zeroes[start..start + FILL_BYTES];
    let mut position = 0;
    while position < length {
        let count = FILL_BYTES.min((length - position) as usize);
        file.write_all_at(&zeroes[..count], position)?;
        position += count as u64;
    }
    Ok(())
}

/// Makes the directory of this start's journal files, and its name durable.
pub(crate) fn make_directory(root: &Path, incarnation: crate::ids::Incarnation) -> io::Result<()> {
    let directory = data_directory::journal_directory(root, incarnation);
    DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
    data_directory::sync_directory(&root.join("journal"))
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
