//! Carries out a batch of file jobs of one directory, one after the other, on a background thread.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::error::disk_error;
use super::{DirectoryBatch, Place, compaction, segments};
use crate::ids::Incarnation;
use crate::shard::engine::{DiskError, FileJob, FileOutcome, FileWork};
use crate::shell::data_directory;
use crate::shell::sys;

/// Runs all jobs. One that fails does not stop those behind it: each says for itself how it ended.
pub(super) fn run(mut batch: DirectoryBatch, place: &Place) -> DirectoryBatch {
    let jobs = std::mem::take(&mut batch.jobs);
    for FileJob { id, work } in jobs {
        let result = match work {
            // It travels with everything it has learnt, so it is not looked at but moved.
            FileWork::Clean { directory, cleaning } => {
                compaction::clean(place, &directory, cleaning).map_err(|error| {
                    disk_error(format_args!("compacting {}", directory.name), &error)
                })
            }
            work => carry_out(&work, &mut batch, place)
                .map_err(|error| disk_error(describe(&work), &error)),
        };
        batch.results.push((id, result));
    }
    if place.descriptors.is_short()
        && let Err(error) = batch.files.shed()
        && let Some((_, result)) = batch.results.last_mut()
    {
        // Not only what this job wrote may be lost, so it is never told as a want of space.
        *result = Err(DiskError {
            full: false,
            ..disk_error("flushing segments that have to be closed", &error)
        });
    }
    batch
}

fn carry_out(
    work: &FileWork,
    batch: &mut DirectoryBatch,
    place: &Place,
) -> io::Result<FileOutcome> {
    let root = &place.root;
    let files = &mut batch.files;
    match work {
        FileWork::Write { directory, write } => {
            files.write(root, directory, write, &place.descriptors)?;
        }
        FileWork::Flush { directory, segments, epochs } => {
            files.flush(root, directory, segments, epochs)?;
        }
        FileWork::ReadIndexes { directory, segment } => {
            return segments::read_indexes(root, directory, *segment);
        }
        FileWork::WriteIndexes { directory, rewrite } => {
            files.write_indexes(root, directory, rewrite)?;
        }
        FileWork::Read { .. } | FileWork::Inspect(_) => {
            panic!("reads and inspections do not queue behind other jobs")
        }
        FileWork::Clean { .. } => panic!("a cleaning is moved"),
        FileWork::Exchange { directory, replaced, cleaned } => {
            files.forget(replaced);
            compaction::exchange(place, directory, replaced, cleaned)?;
        }
        FileWork::DropReplaced { directory, files } => {
            compaction::drop_replaced(place, directory, files)?;
        }
        FileWork::DropCleaned { directory } => compaction::drop_cleaned(place, directory)?,
        FileWork::DeleteSegments { directory, segments } => {
            files.delete_segments(root, directory, segments)?;
        }
        FileWork::DeleteDirectory { directory } => {
            if let Some(renamed) = files.rename_away(root, directory)? {
                place.janitor.remove(renamed);
            }
        }
        FileWork::WriteCheckpoint { content } => {
            let path = data_directory::checkpoint_path(root, place.incarnation, place.shard);
            data_directory::replace(&path, content)?;
            let copy = data_directory::checkpoint_copy_path(root, place.incarnation, place.shard);
            data_directory::replace(&copy, content)?;
        }
        FileWork::AppendCatalog { content } => append_catalog(place, content)?,
        FileWork::WriteCatalogSnapshot { content } => {
            let directory = root.join("catalog");
            data_directory::replace(&directory.join("snapshot"), content)?;
            // A crash here leaves records in the log that the snapshot already holds.
            data_directory::replace(&directory.join("log"), &[])?;
        }
        FileWork::DeleteOldJournals => delete_old_starts(place)?,
        FileWork::Space => {
            let (free, total) = sys::space_of(&File::open(root)?)?;
            return Ok(FileOutcome::Space { free, total });
        }
    }
    Ok(FileOutcome::Done)
}

fn append_catalog(place: &Place, content: &[u8]) -> io::Result<()> {
    let path = place.root.join("catalog/log");
    let existed = path.exists();
    let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
    let length = file.metadata()?.len();
    let result = file.write_all(content).and_then(|()| file.sync_data());
    if result.is_err() {
        // Half a record would hide every record behind it at the next start. If it cannot be taken
        // back nothing may be appended any more, not even once there is space again.
        file.set_len(length).and_then(|()| file.sync_data()).map_err(|error| {
            io::Error::other(format!("cutting off a failed append failed: {error}"))
        })?;
        return result;
    }
    if !existed {
        data_directory::sync_directory(&place.root.join("catalog"))?;
    }
    Ok(())
}

/// Removes the journals and the checkpoints of earlier starts. Every shard of this start has a
/// durable checkpoint, and the newest of a partition is the one that counts, so neither is needed
/// and a crash may come anywhere in between.
///
/// The checkpoints go last: journals without the checkpoint they build upon cannot be replayed, a
/// checkpoint without journals can still be opened.
fn delete_old_starts(place: &Place) -> io::Result<()> {
    let is_old = |incarnation: Incarnation| incarnation < place.incarnation;
    data_directory::remove_journals(&place.journals, is_old)?;
    let directory = place.root.join("checkpoint");
    for name in names(&directory)? {
        if data_directory::parse_checkpoint_name(&name).is_some_and(|(start, _)| is_old(start)) {
            fs::remove_file(directory.join(name))?;
        }
    }
    Ok(())
}

/// The names in a directory; one that is not UTF-8 is none of ours.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

fn describe(work: &FileWork) -> String {
    match work {
        FileWork::Write { directory, write } => {
            format!("writing segment {} of {}", write.segment, directory.name)
        }
        FileWork::Flush { directory, .. } => format!("flushing {}", directory.name),
        FileWork::ReadIndexes { directory, segment } => {
            format!("reading the indexes of segment {segment} of {}", directory.name)
        }
        FileWork::WriteIndexes { directory, rewrite } => {
            format!("writing the indexes of segment {} of {}", rewrite.segment, directory.name)
        }
        FileWork::Read { range } => format!("reading {}", range.directory.name),
        FileWork::DeleteSegments { directory, .. } => {
            format!("deleting segments of {}", directory.name)
        }
        FileWork::DeleteDirectory { directory } => format!("deleting {}", directory.name),
        FileWork::WriteCheckpoint { .. } => "writing the checkpoint".to_owned(),
        FileWork::AppendCatalog { .. } => "appending to the catalog log".to_owned(),
        FileWork::WriteCatalogSnapshot { .. } => "writing the catalog snapshot".to_owned(),
        FileWork::Clean { directory, .. } => format!("compacting {}", directory.name),
        FileWork::Exchange { directory, .. } => {
            format!("putting compacted segments of {} in place", directory.name)
        }
        FileWork::DropReplaced { directory, .. } | FileWork::DropCleaned { directory } => {
            format!("deleting what compaction left of {}", directory.name)
        }
        FileWork::DeleteOldJournals => "deleting old journals".to_owned(),
        FileWork::Space => "asking for free space".to_owned(),
        FileWork::Inspect(_) => "looking into a batch".to_owned(),
    }
}
