//! The files of compaction: slices of a cleaning, and putting its results in place. Everything here
//! blocks and runs in the background.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;

use super::Place;
use crate::log::{
    Cleaning, FileKind, OutputFile, Step, cleaned_name, deleted_name, file_name, parse_passing_name,
};
use crate::shard::engine::{FileOutcome, PartitionDirectory};
use crate::shell::segment_files::open_directory;
use crate::shell::sys;

/// Bytes read and written in one slice.
const SLICE_BYTES: usize = 4 * 1024 * 1024;

/// `FileWork::Clean`. What a slice has written is flushed at its end, so that the end of a segment
/// has little left to flush and no slice is long.
pub(super) fn clean(
    place: &Place,
    directory: &PartitionDirectory,
    mut cleaning: Box<Cleaning>,
) -> io::Result<FileOutcome> {
    let opened = open_directory(&place.root, directory)?;
    let mut worked = 0;
    let mut written: Option<File> = None;
    while worked < SLICE_BYTES {
        let step = match cleaning.next_step() {
            Ok(step) => step,
            Err(error) => return Ok(FileOutcome::Uncleanable(error)),
        };
        match step {
            Step::Read { file, position, length } => {
                let name = file_name(file.segment, FileKind::Log);
                let data = read(&sys::open_in(&opened, &name)?, position, length)?;
                worked += data.len();
                cleaning.on_read(&data);
            }
            Step::Write { file, position, pieces } => {
                let name = cleaned_name(file.segment, FileKind::Log, file.generation);
                let log = sys::create_in(&opened, &name, position == 0)?;
                sys::write_gathered(&log, &pieces, position.into())?;
                worked += pieces.iter().map(Bytes::len).sum::<usize>();
                written = Some(log);
            }
            Step::Seal { file, bytes, index, time_index } => {
                seal(&opened, file, bytes, &index, &time_index)?;
                written = None;
            }
            Step::Done(compacted) => return Ok(FileOutcome::Cleaned(compacted)),
        }
    }
    if let Some(log) = written {
        log.sync_data()?;
    }
    Ok(FileOutcome::Cleaning(cleaning))
}

fn read(file: &File, position: u32, length: u32) -> io::Result<Bytes> {
    let mut buffer = vec![0; length as usize];
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], u64::from(position) + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(filled);
    Ok(buffer.into())
}

fn seal(
    directory: &File,
    file: OutputFile,
    bytes: u32,
    index: &[u8],
    time_index: &[u8],
) -> io::Result<()> {
    let create = |kind, truncate| {
        sys::create_in(directory, &cleaned_name(file.segment, kind, file.generation), truncate)
    };
    let log = create(FileKind::Log, false)?;
    log.set_len(bytes.into())?;
    log.sync_data()?;
    for (kind, content) in [(FileKind::Index, index), (FileKind::TimeIndex, time_index)] {
        let file = create(kind, true)?;
        file.write_all_at(content, 0)?;
        file.sync_data()?;
    }
    directory.sync_all()
}

/// `FileWork::Exchange`.
pub(super) fn exchange(
    place: &Place,
    directory: &PartitionDirectory,
    replaced: &[OutputFile],
    cleaned: &[OutputFile],
) -> io::Result<()> {
    let opened = open_directory(&place.root, directory)?;
    let path = place.root.join(&directory.name);
    place.exchanges.exchange(directory.at, cleaned, replaced, || {
        for old in replaced {
            let aside = deleted_name(old.segment, FileKind::Log, old.generation);
            fs::rename(path.join(file_name(old.segment, FileKind::Log)), path.join(aside))?;
            for kind in [FileKind::Index, FileKind::TimeIndex] {
                remove(&path.join(file_name(old.segment, kind)))?;
            }
        }
        for new in cleaned {
            for kind in FileKind::ALL {
                let from = cleaned_name(new.segment, kind, new.generation);
                fs::rename(path.join(from), path.join(file_name(new.segment, kind)))?;
            }
        }
        Ok(())
    })?;
    opened.sync_all()
}

/// `FileWork::DropReplaced`.
pub(super) fn drop_replaced(
    place: &Place,
    directory: &PartitionDirectory,
    files: &[OutputFile],
) -> io::Result<()> {
    let path = place.root.join(&directory.name);
    for file in files {
        remove(&path.join(deleted_name(file.segment, FileKind::Log, file.generation)))?;
    }
    Ok(())
}

/// `FileWork::DropCleaned`.
pub(super) fn drop_cleaned(place: &Place, directory: &PartitionDirectory) -> io::Result<()> {
    let path = place.root.join(&directory.name);
    for entry in fs::read_dir(&path)? {
        let name = entry?.file_name();
        if name.to_str().and_then(parse_passing_name).flatten().is_some() {
            remove(&path.join(name))?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
