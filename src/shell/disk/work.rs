//! Carries out a batch of file jobs of one directory, one after the other, on a background thread.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};

use super::error::disk_error;
use super::{DirectoryBatch, Place, segments};
use crate::shard::engine::{FileJob, FileOutcome, FileWork};
use crate::shell::{data_directory, sys};

/// Runs all jobs. One that fails does not stop those behind it: each says for itself how it ended.
pub(super) fn run(mut batch: DirectoryBatch, place: &Place) -> DirectoryBatch {
    let jobs = std::mem::take(&mut batch.jobs);
    for FileJob { id, work } in jobs {
        let result = carry_out(&work, &mut batch, place)
            .map_err(|error| disk_error(describe(&work), &error));
        batch.results.push((id, result));
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
        FileWork::Write { directory, write } => files.write(root, directory, write)?,
        FileWork::Flush { directory, segments, epochs } => {
            files.flush(root, directory, segments, epochs)?;
        }
        FileWork::ReadIndexes { directory, segment } => {
            return segments::read_indexes(root, directory, *segment);
        }
        FileWork::Read { .. } => panic!("reads do not queue behind other jobs"),
        FileWork::DeleteSegments { directory, segments } => {
            files.delete_segments(root, directory, segments)?;
        }
        FileWork::DeleteDirectory { directory } => {
            if let Some(renamed) = files.rename_away(root, directory)? {
                // Unlinking gigabytes takes its time, and nobody waits for it.
                std::thread::spawn(move || {
                    if let Err(error) = fs::remove_dir_all(&renamed) {
                        tracing::warn!(path = %renamed.display(), %error,
                            "cannot remove a deleted partition; trying again at the next start");
                    }
                });
            }
        }
        FileWork::WriteCheckpoint { content } => {
            data_directory::replace(&data_directory::checkpoint_path(root, place.shard), content)?;
        }
        FileWork::AppendCatalog { content } => append_catalog(place, content)?,
        FileWork::WriteCatalogSnapshot { content } => {
            let directory = root.join("catalog");
            data_directory::replace(&directory.join("snapshot"), content)?;
            // A crash here leaves records in the log that the snapshot already holds.
            data_directory::replace(&directory.join("log"), &[])?;
        }
        FileWork::DeleteOldJournals => delete_old_journals(place)?,
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
        // Half a record would hide every record behind it at the next start. If this fails too,
        // the first error is the one that counts.
        let _ = file.set_len(length);
        return result;
    }
    if !existed {
        data_directory::sync_directory(&place.root.join("catalog"))?;
    }
    Ok(())
}

fn delete_old_journals(place: &Place) -> io::Result<()> {
    let directory = place.root.join("journal");
    for entry in fs::read_dir(&directory)? {
        let entry = entry?;
        let old = entry
            .file_name()
            .to_str()
            .and_then(data_directory::parse_incarnation)
            .is_some_and(|incarnation| incarnation < place.incarnation);
        if old {
            fs::remove_dir_all(entry.path())?;
        }
    }
    data_directory::sync_directory(&directory)
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
        FileWork::Read { range } => format!("reading {}", range.directory.name),
        FileWork::DeleteSegments { directory, .. } => {
            format!("deleting segments of {}", directory.name)
        }
        FileWork::DeleteDirectory { directory } => format!("deleting {}", directory.name),
        FileWork::WriteCheckpoint { .. } => "writing the checkpoint".to_owned(),
        FileWork::AppendCatalog { .. } => "appending to the catalog log".to_owned(),
        FileWork::WriteCatalogSnapshot { .. } => "writing the catalog snapshot".to_owned(),
        FileWork::DeleteOldJournals => "deleting old journals".to_owned(),
        FileWork::Space => "asking for free space".to_owned(),
    }
}
