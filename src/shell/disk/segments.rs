//! A partition's directory: segments and their indexes written and flushed, and Kafka's small files
//! beside them. Everything here blocks and runs in the background.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::direct::{self, Direct};
use super::error::is_full;
use crate::ids::Offset;
use crate::log::{FileKind, IndexRewrite, OutputFile, SegmentWrite, file_name};
use crate::shard::engine::{FileOutcome, PartitionDirectory};
use crate::shell::data_directory::{self, EPOCH_CHECKPOINT, PARTITION_METADATA, TEMPORARY_SUFFIX};
use crate::shell::descriptors::{Descriptors, Lease};

/// What an open segment takes: its three files, and its log once more.
const DESCRIPTORS: usize = FileKind::ALL.len() + 1;

/// A segment's three files, open for writing.
///
/// They stay open from a write to the flush that covers it: the kernel tells a failed write-back to
/// the descriptors that were open then, and may have forgotten it when the file is opened again.
struct Open {
    log: File,
    /// The same file again.
    direct: Direct,
    index: File,
    time_index: File,
    /// Written since the last flush.
    unflushed: bool,
    /// Nothing more will be written.
    sealed: bool,
    /// Held, not read.
    _descriptors: Lease,
}

/// What is known of a partition's files between its jobs.
#[derive(Default)]
pub(super) struct PartitionFiles {
    open: BTreeMap<Offset, Open>,
    /// Files were made since the directory was last flushed.
    names_unflushed: bool,
    /// The directory itself was made since the data directory was last flushed.
    directory_unflushed: bool,
    /// Text of `leader-epoch-checkpoint`, if it was written in this life.
    epochs: Option<String>,
}

impl PartitionFiles {
    /// Segments open for writing.
    pub(super) fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Closes what is open and has no unflushed writes; it is opened again when needed.
    pub(super) fn close(&mut self) {
        self.open.retain(|_, open| open.unflushed);
    }

    /// Closes everything, and flushes it before: there is no room for files that stay open. The
    /// kernel may tell the one that opens them next nothing of a write-back that failed.
    pub(super) fn shed(&mut self) -> io::Result<()> {
        for open in std::mem::take(&mut self.open).into_values() {
            if open.unflushed {
                open.log.sync_data()?;
                open.index.sync_data()?;
                open.time_index.sync_data()?;
            }
        }
        Ok(())
    }

    /// Whether nothing is lost when this is dropped.
    pub(super) fn is_forgettable(&self) -> bool {
        self.open.is_empty()
            && !self.names_unflushed
            && !self.directory_unflushed
            && self.epochs.is_none()
    }

    /// `FileWork::Write`.
    pub(super) fn write(
        &mut self,
        root: &Path,
        directory: &PartitionDirectory,
        write: &SegmentWrite,
        descriptors: &Arc<Descriptors>,
    ) -> io::Result<()> {
        let path = root.join(&directory.name);
        if write.create {
            self.make_directory(&path, directory)?;
            self.open.remove(&write.segment);
        }
        if !self.open.contains_key(&write.segment) {
            let lease = descriptors.files(DESCRIPTORS);
            let open = self.open_segment(&path, write.segment, write.create, lease)?;
            self.open.insert(write.segment, open);
        }
        let open = self.open.get_mut(&write.segment).expect("opened just now");
        // Before the first byte: a write that fails half-way leaves something to flush too.
        open.unflushed = true;
        let log = path.join(file_name(write.segment, FileKind::Log));
        direct::write(&open.log, &mut open.direct, &log, &write.pieces, write.position.into())?;
        open.index.write_all_at(&write.index_entries, write.index_position.into())?;
        open.time_index
            .write_all_at(&write.time_index_entries, write.time_index_position.into())?;
        if write.seals {
            // Bytes behind the end are left by a crash and an earlier life of the same segment.
            let end = |position: u32, length: usize| u64::from(position) + length as u64;
            open.log.set_len(end(write.position, write.bytes()))?;
            open.index.set_len(end(write.index_position, write.index_entries.len()))?;
            let length = write.time_index_entries.len();
            open.time_index.set_len(end(write.time_index_position, length))?;
            open.sealed = true;
        }
        Ok(())
    }

    fn make_directory(&mut self, path: &Path, directory: &PartitionDirectory) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => self.directory_unflushed = true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let metadata = path.join(PARTITION_METADATA);
        // A crash may have left the directory with an empty file, or without one.
        let text = data_directory::partition_metadata(directory.at.topic);
        let found = fs::read_to_string(&metadata).unwrap_or_default();
        if found != text {
            let owner = data_directory::parse_partition_metadata(&found);
            if let Some(other) = owner.filter(|owner| *owner != directory.at.topic) {
                return Err(io::Error::other(format!("the directory belongs to topic {other}")));
            }
            let file = File::create(&metadata)?;
            file.write_all_at(text.as_bytes(), 0)?;
            file.sync_data()?;
            self.names_unflushed = true;
        }
        Ok(())
    }

    fn open_segment(
        &mut self,
        path: &Path,
        segment: Offset,
        create: bool,
        lease: Lease,
    ) -> io::Result<Open> {
        let open = |kind| {
            OpenOptions::new()
                .write(true)
                .create(create)
                .truncate(create)
                .open(path.join(file_name(segment, kind)))
        };
        let files = Open {
            log: open(FileKind::Log)?,
            direct: Direct::default(),
            index: open(FileKind::Index)?,
            time_index: open(FileKind::TimeIndex)?,
            // Making or emptying the files is a change as well.
            unflushed: create,
            sealed: false,
            _descriptors: lease,
        };
        self.names_unflushed |= create;
        Ok(files)
    }

    /// `FileWork::Flush`.
    pub(super) fn flush(
        &mut self,
        root: &Path,
        directory: &PartitionDirectory,
        segments: &[Offset],
        epochs: &str,
    ) -> io::Result<()> {
        let path = root.join(&directory.name);
        for segment in segments {
            if let Some(open) = self.open.get_mut(segment) {
                open.log.sync_data()?;
                open.index.sync_data()?;
                open.time_index.sync_data()?;
                open.unflushed = false;
                if open.sealed {
                    self.open.remove(segment);
                }
                continue;
            }
            for kind in FileKind::ALL {
                let file =
                    OpenOptions::new().write(true).open(path.join(file_name(*segment, kind)))?;
                file.sync_data()?;
            }
        }
        if self.epochs.as_deref() != Some(epochs) {
            match write_epochs(&path, epochs) {
                Ok(()) => {
                    self.epochs = Some(epochs.to_owned());
                    self.names_unflushed = true;
                }
                // The file is there for Kafka's tools; recovery takes the epochs from the
                // checkpoint. A full device is no reason to end for it.
                Err(error) if is_full(&error) => {
                    tracing::warn!(partition = directory.name, %error,
                        "no space for {EPOCH_CHECKPOINT}; trying again at the next flush");
                }
                Err(error) => return Err(error),
            }
        }
        if self.names_unflushed {
            data_directory::sync_directory(&path)?;
            self.names_unflushed = false;
        }
        if self.directory_unflushed {
            data_directory::sync_directory(root)?;
            self.directory_unflushed = false;
        }
        Ok(())
    }

    /// `FileWork::WriteIndexes`.
    pub(super) fn write_indexes(
        &mut self,
        root: &Path,
        directory: &PartitionDirectory,
        rewrite: &IndexRewrite,
    ) -> io::Result<()> {
        let path = root.join(&directory.name);
        // The index files that are open are about to be replaced.
        match self.open.remove(&rewrite.segment) {
            Some(open) => open.log.sync_data()?,
            None => {
                let log = path.join(file_name(rewrite.segment, FileKind::Log));
                OpenOptions::new().write(true).open(log)?.sync_data()?;
            }
        }
        for (kind, content) in
            [(FileKind::Index, &rewrite.index), (FileKind::TimeIndex, &rewrite.time_index)]
        {
            data_directory::replace(&path.join(file_name(rewrite.segment, kind)), content)?;
        }
        Ok(())
    }

    /// Segments whose files get other names: they are not written any more.
    pub(super) fn forget(&mut self, replaced: &[OutputFile]) {
        for old in replaced {
            self.open.remove(&old.segment);
        }
    }

    /// `FileWork::DeleteSegments`.
    pub(super) fn delete_segments(
        &mut self,
        root: &Path,
        directory: &PartitionDirectory,
        segments: &[Offset],
    ) -> io::Result<()> {
        let path = root.join(&directory.name);
        for segment in segments {
            self.open.remove(segment);
            for kind in FileKind::ALL {
                match fs::remove_file(path.join(file_name(*segment, kind))) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// `FileWork::DeleteDirectory`, up to the durable new name. What is left to be unlinked, if it
    /// was ours.
    pub(super) fn rename_away(
        &mut self,
        root: &Path,
        directory: &PartitionDirectory,
    ) -> io::Result<Option<PathBuf>> {
        let path = root.join(&directory.name);
        let text = match fs::read_to_string(path.join(PARTITION_METADATA)) {
            Ok(text) => text,
            // No directory, or one without a readable file; the latter is removed too, since its name
            // is ours.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) =>
            {
                String::new()
            }
            Err(error) => return Err(error),
        };
        let owner = data_directory::parse_partition_metadata(&text);
        if owner.is_some_and(|owner| owner != directory.at.topic) {
            return Ok(None);
        }
        *self = PartitionFiles::default();
        let target = root.join(data_directory::deleted_name(directory.at));
        match fs::remove_dir_all(&target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        match fs::rename(&path, &target) {
            Ok(()) => {
                data_directory::sync_directory(root)?;
                Ok(Some(target))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Replaces Kafka's file of leader epochs. The new name is not durable yet.
fn write_epochs(directory: &Path, epochs: &str) -> io::Result<()> {
    let temporary = directory.join(format!("{EPOCH_CHECKPOINT}{TEMPORARY_SUFFIX}"));
    let file = File::create(&temporary)?;
    file.write_all_at(epochs.as_bytes(), 0)?;
    file.sync_data()?;
    fs::rename(&temporary, directory.join(EPOCH_CHECKPOINT))
}

/// `FileWork::ReadIndexes`.
pub(super) fn read_indexes(
    root: &Path,
    directory: &PartitionDirectory,
    segment: Offset,
) -> io::Result<FileOutcome> {
    let path = root.join(&directory.name);
    let read = |kind| fs::read(path.join(file_name(segment, kind))).map(Bytes::from);
    Ok(FileOutcome::Indexes { offsets: read(FileKind::Index)?, times: read(FileKind::TimeIndex)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{PartitionId, TopicId, TopicPartition};
    use crate::shell::scratch::Scratch;

    fn write(segment: i64, seals: bool) -> SegmentWrite {
        SegmentWrite {
            segment: Offset(segment),
            create: true,
            position: 0,
            pieces: vec![Bytes::from_static(b"abc")],
            index_position: 0,
            index_entries: vec![1],
            time_index_position: 0,
            time_index_entries: vec![2],
            next_offset: Offset(segment + 1),
            seals,
        }
    }

    #[test]
    fn files_stay_open_until_their_writes_are_flushed() {
        let scratch = Scratch::new();
        let at = TopicPartition { topic: TopicId([1; 16]), partition: PartitionId(0) };
        let directory = PartitionDirectory { name: "t-0".to_owned(), at };
        let descriptors = Descriptors::new(10_000, 1, 8).unwrap();
        let mut files = PartitionFiles::default();
        files.write(scratch.path(), &directory, &write(0, true), &descriptors).unwrap();
        files.write(scratch.path(), &directory, &write(1, false), &descriptors).unwrap();
        files.close();
        assert_eq!(files.open_count(), 2);
        files.flush(scratch.path(), &directory, &[Offset(0)], "").unwrap();
        assert!(!files.open.contains_key(&Offset(0)), "a sealed segment is flushed once");
        files.close();
        assert_eq!(files.open_count(), 1);
        files.flush(scratch.path(), &directory, &[Offset(1)], "").unwrap();
        assert_eq!(files.open_count(), 1);
        files.close();
        assert_eq!(files.open_count(), 0);
    }

    #[test]
    fn without_room_nothing_stays_open_and_a_flush_finds_the_files_again() {
        let scratch = Scratch::new();
        let at = TopicPartition { topic: TopicId([1; 16]), partition: PartitionId(0) };
        let directory = PartitionDirectory { name: "t-0".to_owned(), at };
        let needed = crate::shell::descriptors::needed(1, 8) as u64;
        let descriptors = Descriptors::new(needed, 1, 8).unwrap();
        let mut files = PartitionFiles::default();
        for segment in 0..6 {
            assert!(!descriptors.is_short());
            files.write(scratch.path(), &directory, &write(segment, false), &descriptors).unwrap();
        }
        assert!(descriptors.is_short());
        files.shed().unwrap();
        assert!(files.open_count() == 0 && !descriptors.is_short());
        files.flush(scratch.path(), &directory, &[Offset(3)], "").unwrap();
        assert_eq!(files.open_count(), 0);
    }
}
