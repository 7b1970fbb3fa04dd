//! The partition directories at a start: whose each is, and its files made equal to the checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::path::Path;

use tracing::{info, warn};

use super::boot::StartError;
use super::data_directory::{
    DELETED_SUFFIX, DataDirectory, FoundPartition, PARTITION_METADATA, parse_partition_name,
    partition_metadata, replace, sync_directory,
};
use super::fatal::ExitStatus;
use super::restore::{broken, corrupt, read_at_most};
use crate::catalog::Image;
use crate::ids::{Offset, TopicPartition};
use crate::limits::REQUEST_BYTES_MAX;
use crate::log::{FileKind, Found, RecoveryPlan, Scan, SegmentScan, cleaned_name, file_name};
use crate::shard::directories::{DeletedTopics, DirectoryFate, FoundDirectory, fate};
use crate::shard::owner::ShardCheckpoint;
use crate::shard::recovery::Recovery;

/// How much of a segment is read at a time.
const SCAN_BYTES: usize = 4 * 1024 * 1024;

/// Every partition directory with what becomes of it.
pub(super) fn judge_directories(
    data: &DataDirectory,
    image: &Image,
    checkpoints: &[ShardCheckpoint],
    deleted: &DeletedTopics,
) -> Result<Vec<(FoundPartition, DirectoryFate)>, StartError> {
    let found = data.partitions().map_err(|error| StartError {
        status: ExitStatus::DataDirectory,
        reason: error.to_string(),
    })?;
    let durable: BTreeSet<TopicPartition> = checkpoints
        .iter()
        .flat_map(|checkpoint| &checkpoint.partitions)
        .filter(|partition| !partition.log.segments.is_empty())
        .map(|partition| partition.at())
        .collect();
    let judge = |found: FoundPartition| {
        let Some((topic_name, partition)) = parse_partition_name(&found.name) else {
            panic!("{} was listed by its name", found.name);
        };
        let directory = FoundDirectory {
            name: &found.name,
            topic_name,
            partition,
            topic: found.at.map(|at| at.topic),
            has_records: found.segments.iter().any(|s| s.log_bytes.is_some_and(|bytes| bytes > 0)),
        };
        let fate = fate(&directory, image, &durable, deleted)
            .map_err(|reason| corrupt(format_args!("in {}: {reason}", data.root().display())))?;
        Ok((found, fate))
    };
    found.into_iter().map(judge).collect()
}

/// Makes every partition's files equal to its checkpoint, and removes the directories of topics that
/// were deleted.
pub(super) fn open_partitions(
    root: &Path,
    fates: Vec<(FoundPartition, DirectoryFate)>,
    recovery: &mut Recovery,
) -> Result<(), StartError> {
    let mut owned = BTreeMap::new();
    let mut leftovers = 0;
    for (found, fate) in fates {
        match fate {
            DirectoryFate::Owned(at) => {
                owned.insert(at, found);
            }
            DirectoryFate::Deleted => {
                info!(directory = found.name, "removing a partition of a deleted topic");
                discard(root, &found.name, &mut leftovers)?;
            }
            // One that is not empty is somebody else's, and in nobody's way.
            DirectoryFate::Empty => drop(fs::remove_dir(root.join(&found.name))),
        }
    }
    let wanted: Vec<(String, TopicPartition)> =
        recovery.directories().map(|directory| (directory.name.clone(), directory.at)).collect();
    for (name, at) in wanted {
        let present = owned.remove(&at);
        let files: Vec<Found> = present.iter().flat_map(found_files).collect();
        let cleaned = present.as_ref().map(|found| found.cleaned.as_slice()).unwrap_or_default();
        let plan = recovery.open(at, &files, cleaned).map_err(corrupt)?;
        let directory = root.join(&name);
        finish_exchange(&directory, &plan)?;
        for replaced in present.iter().flat_map(|found| &found.replaced) {
            remove(&directory.join(replaced))?;
        }
        carry_out(&directory, at, &plan, recovery)?;
        if present.is_some_and(|found| found.at != Some(at) || !found.metadata_is_whole) {
            warn!(
                directory = name, topic_id = %at.topic,
                "{PARTITION_METADATA} is missing or damaged; written again"
            );
            replace(&directory.join(PARTITION_METADATA), partition_metadata(at.topic).as_bytes())
                .map_err(broken(format_args!("writing {PARTITION_METADATA} of {name}")))?;
        }
    }
    Ok(())
}

fn found_files(partition: &FoundPartition) -> Vec<Found> {
    let mut files = Vec::new();
    for segment in &partition.segments {
        let lengths = [
            (FileKind::Log, segment.log_bytes),
            (FileKind::Index, segment.index_bytes),
            (FileKind::TimeIndex, segment.time_index_bytes),
        ];
        for (kind, bytes) in lengths {
            if let Some(bytes) = bytes {
                files.push(Found { segment: segment.segment, kind, bytes });
            }
        }
    }
    files
}

/// Renames a directory so that it is nobody's, then unlinks it. `count` keeps the names apart; the
/// topic's name may be too long to have anything added.
fn discard(root: &Path, name: &str, count: &mut u32) -> Result<(), StartError> {
    let aside = root.join(format!("leftover-{count}{DELETED_SUFFIX}"));
    *count += 1;
    let operation = format!("removing {name}");
    fs::rename(root.join(name), &aside).map_err(broken(&operation))?;
    sync_directory(root).map_err(broken(&operation))?;
    fs::remove_dir_all(&aside).map_err(broken(&operation))
}

/// What the checkpoint names was cleaned and flushed before; only the names may be missing.
fn finish_exchange(directory: &Path, plan: &RecoveryPlan) -> Result<(), StartError> {
    for file in &plan.adopt {
        let from = directory.join(cleaned_name(file.segment, file.kind, file.generation));
        let operation = format!("renaming {}", from.display());
        fs::rename(&from, directory.join(file_name(file.segment, file.kind)))
            .map_err(broken(&operation))?;
    }
    if !plan.adopt.is_empty() {
        sync_directory(directory).map_err(broken(format_args!("{}", directory.display())))?;
    }
    for file in &plan.discard {
        remove(&directory.join(cleaned_name(file.segment, file.kind, file.generation)))?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), StartError> {
    fs::remove_file(path).map_err(broken(format_args!("removing {}", path.display())))
}

fn carry_out(
    directory: &Path,
    at: TopicPartition,
    plan: &RecoveryPlan,
    recovery: &mut Recovery,
) -> Result<(), StartError> {
    for cut in &plan.truncate {
        let path = directory.join(file_name(cut.segment, cut.kind));
        let operation = format!("cutting {}", path.display());
        let file = OpenOptions::new().write(true).open(&path).map_err(broken(&operation))?;
        file.set_len(u64::from(cut.bytes)).map_err(broken(&operation))?;
    }
    for (segment, kind) in &plan.delete {
        remove(&directory.join(file_name(*segment, *kind)))?;
    }
    for segment in &plan.rebuild {
        rebuild(directory, at, *segment, recovery)?;
    }
    if let Some(segment) = recovery.active_segment(at)
        && !plan.rebuild.contains(&segment)
    {
        let read = |kind| fs::read(directory.join(file_name(segment, kind)));
        let fit = match (read(FileKind::Index), read(FileKind::TimeIndex)) {
            (Ok(index), Ok(time_index)) => recovery.indexes_fit(at, segment, &index, &time_index),
            _ => false,
        };
        if !fit {
            rebuild(directory, at, segment, recovery)?;
        }
    }
    Ok(())
}

/// Makes the indexes of a segment again.
fn rebuild(
    directory: &Path,
    at: TopicPartition,
    segment: Offset,
    recovery: &mut Recovery,
) -> Result<(), StartError> {
    let path = directory.join(file_name(segment, FileKind::Log));
    warn!(
        segment = %path.display(),
        "the indexes of a segment are damaged or missing; making them again from the segment"
    );
    let operation = format!("reading {}", path.display());
    let file = File::open(&path).map_err(broken(&operation))?;
    let length = file.metadata().map_err(broken(&operation))?.len();
    let mut scan = SegmentScan::new(segment, recovery.index_interval_bytes(at), Offset(i64::MAX));
    let mut wanted = SCAN_BYTES;
    while u64::from(scan.position()) < length {
        let before = scan.position();
        let mut data = vec![0; wanted];
        let read = read_at_most(&file, &mut data, before.into()).map_err(broken(&operation))?;
        data.truncate(read);
        let found = scan.push(&data);
        wanted = match found {
            _ if scan.position() > before => SCAN_BYTES,
            // The first batch is longer than what was read.
            Scan::NeedMore { bytes, .. }
                if read == wanted && bytes > read && bytes <= REQUEST_BYTES_MAX =>
            {
                bytes
            }
            _ => {
                return Err(corrupt(format_args!(
                    "{} is damaged at byte {before} and has lost its indexes; restore one or the \
                     other from a backup",
                    path.display()
                )));
            }
        };
    }
    let rewrite = recovery.rebuilt(at, segment, scan).map_err(corrupt)?;
    for (kind, content) in
        [(FileKind::Index, &rewrite.index), (FileKind::TimeIndex, &rewrite.time_index)]
    {
        let path = directory.join(file_name(segment, kind));
        replace(&path, content).map_err(broken(format_args!("writing {}", path.display())))?;
    }
    Ok(())
}
