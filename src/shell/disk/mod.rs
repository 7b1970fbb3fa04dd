//! Files on behalf of the engine: partition, checkpoint and catalog files as jobs in the background,
//! journal files through the own ring.
//!
//! Decides nothing about content. What it guarantees
//! - Jobs of one directory run and end in the order they were asked for, except that reads overtake.
//!   Jobs of different directories run side by side.
//! - A job that ended well did all of what its description says; durability is claimed by the jobs
//!   that say so, and includes the names in the directories.
//! - Failures come back as values; whether one is fatal is the engine's decision.

mod compaction;
mod direct;
mod error;
mod janitor;
mod journal;
mod segments;
mod work;

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

pub(super) use error::disk_error;
pub(super) use janitor::Janitor;
pub(super) use journal::{
    JournalFileFilled, JournalFileMade, JournalFiles, JournalOptions, takes_direct_writes,
};

use self::segments::PartitionFiles;
use super::background::Background;
use super::descriptors::Descriptors;
use super::finished::Finished;
use super::segment_files::{self, Exchanges, SegmentFiles, SegmentKey};
use super::sys::{self, Reading};
use crate::ids::{Incarnation, ShardId, TopicPartition};
use crate::shard::engine::{
    DiskError, Engine, FileJob, FileOutcome, FileRange, FileWork, Inspected, JobId,
};
use crate::time::Now;

/// Jobs of one directory that run in one go on a background thread.
const JOBS_PER_BATCH: usize = 32;
/// Segment files of all directories kept open for writing.
const OPEN_FOR_WRITING_MAX: usize = 1024;

/// Where things are, and what the shards have to agree on.
#[derive(Debug)]
pub(super) struct Place {
    /// The data directory.
    pub root: PathBuf,
    /// Where the journals of all starts are.
    pub journals: PathBuf,
    /// This shard.
    pub shard: ShardId,
    /// This start.
    pub incarnation: Incarnation,
    /// Unlinks deleted partitions.
    pub janitor: Janitor,
    /// Of the process.
    pub descriptors: Arc<Descriptors>,
    /// Which contents segments have.
    pub exchanges: Arc<Exchanges>,
}

/// What jobs are kept in order by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Directory {
    /// A partition's directory.
    Partition(TopicPartition),
    /// The partition that is being compacted.
    Compaction,
    /// The checkpoints.
    Checkpoint,
    /// The catalog.
    Catalog,
    /// The journals.
    Journal,
    /// The file system as a whole.
    FileSystem,
}

/// Jobs of one directory on their way through the background, and what is known of its files.
pub(super) struct DirectoryBatch {
    directory: Directory,
    files: PartitionFiles,
    jobs: Vec<FileJob>,
    results: Vec<(JobId, Result<FileOutcome, DiskError>)>,
}

/// The queue of one directory.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<FileJob>,
    running: bool,
    /// Away with the batch while one is running.
    files: PartitionFiles,
}

/// A read whose pages were not in memory, done in the background.
pub(super) struct ReadDone {
    job: JobId,
    key: SegmentKey,
    result: Result<(Arc<File>, Bytes), DiskError>,
}

/// The file work of a shard.
pub(super) struct Disk {
    place: Arc<Place>,
    queues: BTreeMap<Directory, Queue>,
    open_for_writing: usize,
    /// Ended jobs that the engine has not been told of: those that were done at once.
    ended: VecDeque<(JobId, Result<FileOutcome, DiskError>)>,
    outstanding: usize,
}

impl Disk {
    /// Nothing to do yet.
    #[must_use]
    pub(super) fn new(place: Arc<Place>) -> Disk {
        Disk {
            place,
            queues: BTreeMap::new(),
            open_for_writing: 0,
            ended: VecDeque::new(),
            outstanding: 0,
        }
    }

    /// Where everything is.
    #[must_use]
    pub(super) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Jobs that have not ended.
    #[must_use]
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Whether the engine has to be told something.
    #[must_use]
    pub(super) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Begins a job.
    pub(super) fn begin(
        &mut self,
        job: FileJob,
        files: &mut SegmentFiles,
        background: &Background<Finished>,
        now: Now,
    ) {
        self.outstanding += 1;
        let directory = match &job.work {
            FileWork::Read { range } => {
                self.read(job.id, range, files, background, now);
                return;
            }
            FileWork::Inspect(_) => {
                let FileJob { id, work: FileWork::Inspect(inspection) } = job else { return };
                background.run(move || Finished::Inspected(id, Box::new(inspection.run())));
                return;
            }
            FileWork::Write { directory, .. }
            | FileWork::Flush { directory, .. }
            | FileWork::ReadIndexes { directory, .. }
            | FileWork::WriteIndexes { directory, .. }
            | FileWork::DropReplaced { directory, .. }
            | FileWork::DropCleaned { directory } => Directory::Partition(directory.at),
            FileWork::Exchange { directory, replaced, .. } => {
                for old in replaced {
                    files.forget(directory.at, old.segment);
                }
                Directory::Partition(directory.at)
            }
            // Beside the partition's own jobs: it writes to files that nothing else knows.
            FileWork::Clean { .. } => Directory::Compaction,
            FileWork::DeleteSegments { directory, segments } => {
                for segment in segments {
                    files.forget(directory.at, *segment);
                }
                Directory::Partition(directory.at)
            }
            FileWork::DeleteDirectory { directory } => {
                files.forget_partition(directory.at);
                self.place.exchanges.forget(directory.at);
                Directory::Partition(directory.at)
            }
            FileWork::WriteCheckpoint { .. } => Directory::Checkpoint,
            FileWork::AppendCatalog { .. } | FileWork::WriteCatalogSnapshot { .. } => {
                Directory::Catalog
            }
            FileWork::DeleteOldJournals => Directory::Journal,
            FileWork::Space => Directory::FileSystem,
        };
        self.queues.entry(directory).or_default().waiting.push_back(job);
        self.advance(directory, background);
    }

    /// Starts the next batch of a directory, unless one is running.
    fn advance(&mut self, directory: Directory, background: &Background<Finished>) {
        let Some(queue) = self.queues.get_mut(&directory) else { return };
        if queue.running {
            return;
        }
        if queue.waiting.is_empty() {
            if queue.files.is_forgettable() {
                self.queues.remove(&directory);
            }
            return;
        }
        queue.running = true;
        let count = queue.waiting.len().min(JOBS_PER_BATCH);
        let jobs: Vec<FileJob> = queue.waiting.drain(..count).collect();
        let files = std::mem::take(&mut queue.files);
        self.open_for_writing -= files.open_count();
        let batch = DirectoryBatch { directory, files, jobs, results: Vec::new() };
        let place = Arc::clone(&self.place);
        background.run(move || Finished::Files(Box::new(work::run(batch, &place))));
    }

    /// A batch came back: the engine hears of its jobs, and the next batch begins.
    pub(super) fn on_batch(&mut self, batch: DirectoryBatch, background: &Background<Finished>) {
        let DirectoryBatch { directory, mut files, results, .. } = batch;
        if self.open_for_writing + files.open_count() > OPEN_FOR_WRITING_MAX {
            files.close();
        }
        self.open_for_writing += files.open_count();
        let queue = self.queues.get_mut(&directory).expect("a running directory has a queue");
        queue.running = false;
        queue.files = files;
        self.ended.extend(results);
        self.advance(directory, background);
    }

    /// Tells the engine of ended jobs.
    pub(super) fn tell<E: Engine>(&mut self, engine: &mut E, now: Now) {
        while let Some((job, result)) = self.ended.pop_front() {
            self.outstanding -= 1;
            engine.on_file(job, result, now);
        }
    }

    /// Reads from the page cache at once, or else in the background.
    fn read(
        &mut self,
        job: JobId,
        range: &FileRange,
        files: &mut SegmentFiles,
        background: &Background<Finished>,
        now: Now,
    ) {
        let key = SegmentFiles::key(range);
        let file = files.file(key, now.instant);
        if let Some(file) = &file
            && let Some(result) = read_cached(file, range)
        {
            self.ended.push_back((job, result.map(FileOutcome::Bytes)));
            return;
        }
        let (place, range) = (Arc::clone(&self.place), range.clone());
        background.run(move || {
            let result = read_blocking(&place, &range, file).map_err(|error| {
                let (segment, name) = (range.segment, &range.directory.name);
                disk_error(format_args!("reading segment {segment} of {name}"), &error)
            });
            Finished::Read(ReadDone { job, key, result })
        });
    }

    /// An inspection ended.
    pub(super) fn on_inspected(&mut self, job: JobId, inspected: Inspected) {
        self.ended.push_back((job, Ok(FileOutcome::Inspected(inspected))));
    }

    /// A background read ended.
    pub(super) fn on_read(&mut self, done: ReadDone, files: &mut SegmentFiles, now: Now) {
        let result = done.result.map(|(file, bytes)| {
            files.insert(done.key, file, now.instant);
            FileOutcome::Bytes(bytes)
        });
        self.ended.push_back((done.job, result));
    }
}

/// The range, if all of it is in memory (or the file ends within what is).
fn read_cached(file: &File, range: &FileRange) -> Option<Result<Bytes, DiskError>> {
    let mut buffer = vec![0; range.length as usize];
    let mut filled = 0;
    while filled < buffer.len() {
        let position = u64::from(range.position) + filled as u64;
        match sys::read_if_cached(file, &mut buffer[filled..], position) {
            Ok(Reading::Bytes(0)) => break,
            Ok(Reading::Bytes(count)) => filled += count,
            Ok(Reading::Cold) => return None,
            Err(error) => {
                let operation = format_args!("reading {}", range.directory.name);
                return Some(Err(disk_error(operation, &error)));
            }
        }
    }
    buffer.truncate(filled);
    Some(Ok(buffer.into()))
}

fn read_blocking(
    place: &Place,
    range: &FileRange,
    file: Option<Arc<File>>,
) -> io::Result<(Arc<File>, Bytes)> {
    let file = match file {
        Some(file) => file,
        None => segment_files::open(place, range)?,
    };
    let mut buffer = vec![0; range.length as usize];
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], u64::from(range.position) + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(filled);
    Ok((file, buffer.into()))
}
