//! The data directory, laid out and worked on as the shell does it.
//!
//! Every job is the same sequence of file operations as the shell's, so that a crash can fall
//! between any two of them.

use std::collections::BTreeMap;

use bytes::Bytes;
use ringmain::ids::{Incarnation, Offset, ShardId, TopicId, TopicPartition};
use ringmain::journal::{Lane, Slot};
use ringmain::log::{
    Cleaning, FileKind, OutputFile, SegmentWrite, Step, cleaned_name, deleted_name, file_name,
    parse_passing_name,
};
use ringmain::shard::engine::{FileOutcome, FileRange, FileWork, PartitionDirectory};

use super::disk::{Disk, DiskFault, Inode};

/// What jobs are kept in order by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Directory {
    Partition(TopicPartition),
    Compaction,
    Checkpoint,
    Catalog,
    Journal,
    FileSystem,
}

/// The directory a job belongs to.
pub(crate) fn directory_of(work: &FileWork) -> Directory {
    match work {
        FileWork::Write { directory, .. }
        | FileWork::Flush { directory, .. }
        | FileWork::ReadIndexes { directory, .. }
        | FileWork::WriteIndexes { directory, .. }
        | FileWork::DeleteSegments { directory, .. }
        | FileWork::Exchange { directory, .. }
        | FileWork::DropReplaced { directory, .. }
        | FileWork::DropCleaned { directory }
        | FileWork::DeleteDirectory { directory } => Directory::Partition(directory.at),
        FileWork::Read { range } => Directory::Partition(range.directory.at),
        FileWork::Clean { .. } => Directory::Compaction,
        FileWork::WriteCheckpoint { .. } => Directory::Checkpoint,
        FileWork::AppendCatalog { .. } | FileWork::WriteCatalogSnapshot { .. } => {
            Directory::Catalog
        }
        FileWork::DeleteOldJournals => Directory::Journal,
        FileWork::Space => Directory::FileSystem,
        FileWork::Inspect(_) => panic!("an inspection is of no directory"),
    }
}

/// What a process knows of the files of one partition.
#[derive(Default)]
pub(crate) struct PartitionFiles {
    names_unflushed: bool,
    directory_unflushed: bool,
    epochs: Option<String>,
}

/// The file side of one process.
#[derive(Default)]
pub(crate) struct Files {
    /// A planted fault.
    pub(crate) cleans_without_flush: bool,
    /// Segments whose content compaction has exchanged, and for which.
    exchanged: BTreeMap<(TopicPartition, Offset), u32>,
    partitions: BTreeMap<TopicPartition, PartitionFiles>,
}

/// Steps of a cleaning between two other jobs.
const STEPS_PER_SLICE: usize = 3;

type Fallible<T> = Result<T, DiskFault>;

pub(crate) fn journal_directory(incarnation: Incarnation) -> String {
    format!("journal/{:020}", incarnation.0)
}

pub(crate) fn journal_path(
    incarnation: Incarnation,
    lane: Lane,
    shard: ShardId,
    slot: Slot,
) -> String {
    let name = ringmain::journal::file_name(lane, shard, slot);
    format!("{}/{name}", journal_directory(incarnation))
}

pub(crate) fn partition_metadata(topic: TopicId) -> String {
    format!("version: 0\ntopic_id: {topic}\n")
}

/// A checkpoint has a file of its own in every start: written over that of the start before, it
/// would forget partitions that belong to another shard now, before that shard has written its own.
fn checkpoint_path(incarnation: Incarnation, shard: ShardId) -> String {
    format!("checkpoint/{:020}-{shard}", incarnation.0)
}

/// The start that wrote the checkpoint of this name.
pub(crate) fn checkpoint_start(name: &str) -> Option<u64> {
    let (start, shard) = name.strip_suffix(".copy").unwrap_or(name).split_once('-')?;
    shard.parse::<u16>().ok()?;
    start.parse().ok()
}

/// The topic id in its printed form, as `partition.metadata` has it.
pub(crate) fn metadata_topic(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let id = text.lines().find_map(|line| line.strip_prefix("topic_id: "))?;
    (id.len() == 22).then(|| id.to_owned())
}

/// Puts a file in the place of another, durably and at once.
pub(crate) fn replace(disk: &mut Disk, path: &str, content: &[u8]) -> Fallible<()> {
    let temporary = format!("{path}.tmp");
    let file = disk.create(&temporary, true)?;
    disk.write(file, 0, content)?;
    disk.sync(file)?;
    disk.rename(&temporary, path)?;
    disk.sync_directory(path.rsplit_once('/').map_or("", |(parent, _)| parent))
}

impl Files {
    /// Carries out a job.
    pub(crate) fn carry_out(
        &mut self,
        disk: &mut Disk,
        shard: ShardId,
        incarnation: Incarnation,
        work: FileWork,
    ) -> Fallible<FileOutcome> {
        match &work {
            FileWork::Clean { .. } => {
                let FileWork::Clean { directory, cleaning } = work else {
                    unreachable!("just looked at")
                };
                return self.clean(disk, &directory, cleaning);
            }
            FileWork::Exchange { directory, replaced, cleaned } => {
                for old in replaced {
                    self.exchanged.insert((directory.at, old.segment), old.generation + 1);
                }
                for new in cleaned {
                    self.exchanged.insert((directory.at, new.segment), new.generation);
                }
                exchange(disk, directory, replaced, cleaned)?;
            }
            FileWork::DropReplaced { directory, files } => {
                for old in files {
                    let name = deleted_name(old.segment, FileKind::Log, old.generation);
                    disk.unlink(&format!("{}/{name}", directory.name))?;
                }
            }
            FileWork::DropCleaned { directory } => {
                for name in disk.list(&directory.name)? {
                    if parse_passing_name(&name).flatten().is_some() {
                        disk.unlink(&format!("{}/{name}", directory.name))?;
                    }
                }
            }
            FileWork::Write { directory, write } => self.write(disk, directory, write)?,
            FileWork::Flush { directory, segments, epochs } => {
                self.flush(disk, directory, segments, epochs)?;
            }
            FileWork::ReadIndexes { directory, segment } => {
                let mut read = |kind| {
                    let path = format!("{}/{}", directory.name, file_name(*segment, kind));
                    disk.read_all(&path).map(Bytes::from)
                };
                let (offsets, times) = (read(FileKind::Index)?, read(FileKind::TimeIndex)?);
                return Ok(FileOutcome::Indexes { offsets, times });
            }
            FileWork::WriteIndexes { directory, rewrite } => {
                let name =
                    |kind| format!("{}/{}", directory.name, file_name(rewrite.segment, kind));
                let log = disk.open(&name(FileKind::Log))?;
                disk.sync(log)?;
                replace(disk, &name(FileKind::Index), &rewrite.index)?;
                replace(disk, &name(FileKind::TimeIndex), &rewrite.time_index)?;
            }
            FileWork::Read { range } => {
                let inode = disk.open(&self.segment_path(range))?;
                let bytes = disk.read(inode, range.position.into(), range.length as usize);
                return Ok(FileOutcome::Bytes(bytes.into()));
            }
            FileWork::DeleteSegments { directory, segments } => {
                for segment in segments {
                    for kind in FileKind::ALL {
                        disk.unlink(&format!("{}/{}", directory.name, file_name(*segment, kind)))?;
                    }
                }
            }
            FileWork::DeleteDirectory { directory } => self.drop_directory(disk, directory)?,
            FileWork::WriteCheckpoint { content } => {
                let path = checkpoint_path(incarnation, shard);
                replace(disk, &path, content)?;
                replace(disk, &format!("{path}.copy"), content)?;
            }
            FileWork::AppendCatalog { content } => append_catalog(disk, content)?,
            FileWork::WriteCatalogSnapshot { content } => {
                replace(disk, "catalog/snapshot", content)?;
                replace(disk, "catalog/log", &[])?;
            }
            FileWork::DeleteOldJournals => delete_old_journals(disk, incarnation)?,
            FileWork::Space => {
                let free = if disk.full { 0 } else { 1 << 40 };
                return Ok(FileOutcome::Space { free, total: 1 << 40 });
            }
            FileWork::Inspect(inspection) => {
                return Ok(FileOutcome::Inspected(inspection.run()));
            }
        }
        Ok(FileOutcome::Done)
    }

    fn write(
        &mut self,
        disk: &mut Disk,
        directory: &PartitionDirectory,
        write: &SegmentWrite,
    ) -> Fallible<()> {
        let known = self.partitions.entry(directory.at).or_default();
        if write.create {
            make_partition_directory(disk, directory, known)?;
        }
        let mut open = |kind| {
            let path = format!("{}/{}", directory.name, file_name(write.segment, kind));
            if write.create { disk.create(&path, true) } else { disk.open(&path) }
        };
        let (log, index) = (open(FileKind::Log)?, open(FileKind::Index)?);
        let time_index = open(FileKind::TimeIndex)?;
        known.names_unflushed |= write.create;
        disk.write(log, write.position.into(), &write.pieces.concat())?;
        disk.write(index, write.index_position.into(), &write.index_entries)?;
        disk.write(time_index, write.time_index_position.into(), &write.time_index_entries)?;
        if write.seals {
            let end = |position: u32, length: usize| u64::from(position) + length as u64;
            disk.set_length(log, end(write.position, write.bytes()))?;
            disk.set_length(index, end(write.index_position, write.index_entries.len()))?;
            let length = write.time_index_entries.len();
            disk.set_length(time_index, end(write.time_index_position, length))?;
        }
        Ok(())
    }

    fn flush(
        &mut self,
        disk: &mut Disk,
        directory: &PartitionDirectory,
        segments: &[Offset],
        epochs: &str,
    ) -> Fallible<()> {
        for segment in segments {
            for kind in FileKind::ALL {
                let inode =
                    disk.open(&format!("{}/{}", directory.name, file_name(*segment, kind)))?;
                disk.sync(inode)?;
            }
        }
        let known = self.partitions.entry(directory.at).or_default();
        if known.epochs.as_deref() != Some(epochs) {
            match replace_epochs(disk, &directory.name, epochs) {
                Ok(()) => {
                    known.epochs = Some(epochs.to_owned());
                    known.names_unflushed = true;
                }
                // Nothing reads it back, so a full disk is no reason to die.
                Err(DiskFault::Full) => {}
                Err(fault) => return Err(fault),
            }
        }
        if known.names_unflushed {
            disk.sync_directory(&directory.name)?;
            known.names_unflushed = false;
        }
        if known.directory_unflushed {
            disk.sync_directory("")?;
            known.directory_unflushed = false;
        }
        Ok(())
    }

    /// Where the content lies that a range names: under the segment's name, or put aside by
    /// compaction.
    pub(crate) fn segment_path(&self, range: &FileRange) -> String {
        let current = self.exchanged.get(&(range.directory.at, range.segment));
        let name = if current.is_some_and(|current| range.generation < *current) {
            deleted_name(range.segment, FileKind::Log, range.generation)
        } else {
            file_name(range.segment, FileKind::Log)
        };
        format!("{}/{name}", range.directory.name)
    }

    /// A slice of a cleaning.
    fn clean(
        &mut self,
        disk: &mut Disk,
        directory: &PartitionDirectory,
        mut cleaning: Box<Cleaning>,
    ) -> Fallible<FileOutcome> {
        let path = |name: String| format!("{}/{name}", directory.name);
        for _ in 0..STEPS_PER_SLICE {
            let step = match cleaning.next_step() {
                Ok(step) => step,
                Err(error) => return Ok(FileOutcome::Uncleanable(error)),
            };
            match step {
                Step::Read { file, position, length } => {
                    let inode = disk.open(&path(file_name(file.segment, FileKind::Log)))?;
                    let data = disk.read(inode, position.into(), length as usize);
                    cleaning.on_read(&data.into());
                }
                Step::Write { file, position, pieces } => {
                    let name = cleaned_name(file.segment, FileKind::Log, file.generation);
                    let inode = disk.create(&path(name), position == 0)?;
                    disk.write(inode, position.into(), &pieces.concat())?;
                }
                Step::Seal { file, bytes, index, time_index } => {
                    let create = |disk: &mut Disk, kind, truncate| {
                        let name = cleaned_name(file.segment, kind, file.generation);
                        disk.create(&path(name), truncate)
                    };
                    let log = create(disk, FileKind::Log, false)?;
                    disk.set_length(log, bytes.into())?;
                    let index_file = create(disk, FileKind::Index, true)?;
                    disk.write(index_file, 0, &index)?;
                    let time_index_file = create(disk, FileKind::TimeIndex, true)?;
                    disk.write(time_index_file, 0, &time_index)?;
                    if !self.cleans_without_flush {
                        for inode in [log, index_file, time_index_file] {
                            disk.sync(inode)?;
                        }
                        disk.sync_directory(&directory.name)?;
                    }
                }
                Step::Done(compacted) => return Ok(FileOutcome::Cleaned(compacted)),
            }
        }
        Ok(FileOutcome::Cleaning(cleaning))
    }

    fn drop_directory(&mut self, disk: &mut Disk, directory: &PartitionDirectory) -> Fallible<()> {
        if disk.find(&directory.name).is_none() {
            return Ok(());
        }
        let owner = disk
            .read_all(&format!("{}/partition.metadata", directory.name))
            .ok()
            .and_then(|text| metadata_topic(&text));
        if owner.is_some_and(|owner| owner != directory.at.topic.to_string()) {
            return Ok(());
        }
        self.partitions.remove(&directory.at);
        let away = format!("{}.{}-delete", directory.name, directory.at.topic);
        if disk.find(&away).is_some() {
            disk.remove_tree(&away)?;
        }
        disk.rename(&directory.name, &away)?;
        disk.sync_directory("")?;
        disk.remove_tree(&away)
    }
}

fn replace_epochs(disk: &mut Disk, directory: &str, epochs: &str) -> Fallible<()> {
    let target = format!("{directory}/leader-epoch-checkpoint");
    let temporary = format!("{target}.tmp");
    let file = disk.create(&temporary, true)?;
    disk.write(file, 0, epochs.as_bytes())?;
    disk.sync(file)?;
    disk.rename(&temporary, &target)
}

fn exchange(
    disk: &mut Disk,
    directory: &PartitionDirectory,
    replaced: &[OutputFile],
    cleaned: &[OutputFile],
) -> Fallible<()> {
    let path = |name: String| format!("{}/{name}", directory.name);
    for old in replaced {
        let aside = path(deleted_name(old.segment, FileKind::Log, old.generation));
        disk.rename(&path(file_name(old.segment, FileKind::Log)), &aside)?;
        for kind in [FileKind::Index, FileKind::TimeIndex] {
            disk.unlink(&path(file_name(old.segment, kind)))?;
        }
    }
    for new in cleaned {
        for kind in FileKind::ALL {
            let from = path(cleaned_name(new.segment, kind, new.generation));
            disk.rename(&from, &path(file_name(new.segment, kind)))?;
        }
    }
    disk.sync_directory(&directory.name)
}

fn make_partition_directory(
    disk: &mut Disk,
    directory: &PartitionDirectory,
    known: &mut PartitionFiles,
) -> Fallible<()> {
    known.directory_unflushed |= disk.make_directory(&directory.name)?;
    let metadata = format!("{}/partition.metadata", directory.name);
    let text = partition_metadata(directory.at.topic);
    let found = disk.read_all(&metadata).unwrap_or_default();
    if found != text.as_bytes() {
        if let Some(other) = metadata_topic(&found) {
            panic!("{} belongs to topic {other}, not {}", directory.name, directory.at.topic);
        }
        let file = disk.create(&metadata, true)?;
        disk.write(file, 0, text.as_bytes())?;
        disk.sync(file)?;
        known.names_unflushed = true;
    }
    Ok(())
}

fn append_catalog(disk: &mut Disk, content: &[u8]) -> Fallible<()> {
    let existed = disk.find("catalog/log").is_some();
    let file = disk.create("catalog/log", false)?;
    let length = disk.length(file);
    let result = disk.write(file, length, content).and_then(|()| disk.sync(file));
    if let Err(fault) = result {
        // Half a record would hide every record behind it at the next start.
        if fault != DiskFault::Crashed {
            disk.set_length(file, length)?;
        }
        return Err(fault);
    }
    if existed { Ok(()) } else { disk.sync_directory("catalog") }
}

fn delete_old_journals(disk: &mut Disk, incarnation: Incarnation) -> Fallible<()> {
    // Out of the way in one step: a directory that lost some of its files would look like damage.
    for name in disk.list("journal")? {
        if name.parse().is_ok_and(|found: u64| found < incarnation.0) {
            disk.rename(&format!("journal/{name}"), &format!("journal/{name}-delete"))?;
        }
    }
    disk.sync_directory("journal")?;
    for name in disk.list("journal")? {
        if name.ends_with("-delete") {
            disk.remove_tree(&format!("journal/{name}"))?;
        }
    }
    for name in disk.list("checkpoint")? {
        if checkpoint_start(&name).is_some_and(|found| found < incarnation.0) {
            disk.unlink(&format!("checkpoint/{name}"))?;
        }
    }
    Ok(())
}

/// A journal file, made ready as the shell does it.
pub(crate) fn prepare_journal_file(
    disk: &mut Disk,
    path: &str,
    create: bool,
    file_bytes: u64,
    header: &[u8],
) -> Fallible<Inode> {
    let inode = if create { disk.create(path, false)? } else { disk.open(path)? };
    if create {
        disk.set_length(inode, file_bytes)?;
    }
    disk.write(inode, 0, header)?;
    disk.sync(inode)?;
    if create {
        disk.sync_directory(path.rsplit_once('/').map_or("", |(parent, _)| parent))?;
    }
    Ok(inode)
}
