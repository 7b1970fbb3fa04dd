//! Segment files opened for reading: a bounded table, and the background work that opens them and
//! brings cold ranges into the page cache.
//!
//! Nothing here blocks the hot task: a file that is not open is opened in the background, by the
//! same work that warms the range somebody waits for.
//!
//! A file is deleted by its owner shard while others may still hold it open, which keeps its blocks
//! on the device. So a file that nobody read for [`IDLE`] is closed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::disk::Place;
use crate::ids::{Offset, TopicPartition};
use crate::log::{FileKind, OutputFile, deleted_name, file_name};
use crate::shard::engine::{FileRange, PartitionDirectory};
use crate::shell::data_directory::{PARTITION_METADATA, parse_partition_metadata};
use crate::shell::descriptors::{Descriptors, Lease};
use crate::shell::sys;
use crate::time::Instant;

/// Files kept open per shard.
pub(super) const OPEN_FILES_MAX: usize = 1024;
/// How long an unread file stays open.
pub(super) const IDLE: Duration = Duration::from_secs(30);
/// How much of a cold range is brought in at a time.
pub(super) const WARM_BYTES: u32 = 2 * 1024 * 1024;

/// Names one content of a segment file.
pub(super) type SegmentKey = (TopicPartition, Offset, u32);

/// Which content has the plain name of a segment, where compaction has exchanged it in this life.
/// One for the process: any shard may send from a file of another.
///
/// Renaming and opening exclude each other, both in the background. A reply that names the old
/// content is then sent from the file that was put aside, or not at all once that is gone; never
/// from the new one, where its positions mean something else.
#[derive(Debug, Default)]
pub(super) struct Exchanges(Mutex<BTreeMap<(TopicPartition, Offset), u32>>);

impl Exchanges {
    /// Renames files so that segments get the contents of a later generation.
    pub(super) fn exchange(
        &self,
        at: TopicPartition,
        cleaned: &[OutputFile],
        replaced: &[OutputFile],
        rename: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A segment that goes without a successor counts as exchanged too.
        for old in replaced {
            current.insert((at, old.segment), old.generation + 1);
        }
        for new in cleaned {
            current.insert((at, new.segment), new.generation);
        }
        rename()
    }

    /// Opens the content that a range names.
    fn open(&self, directory: &File, range: &FileRange) -> io::Result<File> {
        let current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (range.directory.at, range.segment);
        let is_old = current.get(&key).is_some_and(|current| range.generation < *current);
        let name = if is_old {
            deleted_name(range.segment, FileKind::Log, range.generation)
        } else {
            file_name(range.segment, FileKind::Log)
        };
        sys::open_in(directory, &name)
    }

    /// Forgets a partition that is deleted.
    pub(super) fn forget(&self, at: TopicPartition) {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        current.retain(|(gone, _), _| *gone != at);
    }
}

struct Open {
    file: Arc<File>,
    used: Instant,
    /// Held, not read.
    _descriptor: Lease,
}

/// The open segment files of a shard.
pub(super) struct SegmentFiles {
    open: BTreeMap<SegmentKey, Open>,
    swept: Instant,
    descriptors: Arc<Descriptors>,
}

impl SegmentFiles {
    /// None yet.
    #[must_use]
    pub(super) fn new(descriptors: Arc<Descriptors>) -> SegmentFiles {
        SegmentFiles { open: BTreeMap::new(), swept: Instant::default(), descriptors }
    }

    /// The key of a range's file.
    #[must_use]
    pub(super) fn key(range: &FileRange) -> SegmentKey {
        (range.directory.at, range.segment, range.generation)
    }

    /// The file, if it is open.
    pub(super) fn file(&mut self, key: SegmentKey, now: Instant) -> Option<Arc<File>> {
        let open = self.open.get_mut(&key)?;
        open.used = now;
        Some(Arc::clone(&open.file))
    }

    /// Keeps a file open, closing the one that was read longest ago if there are too many.
    pub(super) fn insert(&mut self, key: SegmentKey, file: Arc<File>, now: Instant) {
        let is_full = self.open.len() >= OPEN_FILES_MAX || self.descriptors.is_short();
        if is_full && !self.open.contains_key(&key) {
            let oldest = self.open.iter().min_by_key(|(_, open)| open.used);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.open.remove(&oldest);
            }
        }
        let lease = self.descriptors.files(1);
        self.open.insert(key, Open { file, used: now, _descriptor: lease });
    }

    /// Forgets one segment, whatever its content: it is being deleted.
    pub(super) fn forget(&mut self, at: TopicPartition, segment: Offset) {
        let contents = (at, segment, 0)..=(at, segment, u32::MAX);
        self.forget_all(|open| open.range(contents).map(|(key, _)| *key).collect());
    }

    fn forget_all(&mut self, keys: impl FnOnce(&BTreeMap<SegmentKey, Open>) -> Vec<SegmentKey>) {
        for key in keys(&self.open) {
            self.open.remove(&key);
        }
    }

    /// Forgets all segments of a partition.
    pub(super) fn forget_partition(&mut self, at: TopicPartition) {
        let all = (at, Offset(i64::MIN), 0)..=(at, Offset(i64::MAX), u32::MAX);
        self.forget_all(|open| open.range(all).map(|(key, _)| *key).collect());
    }

    /// Closes files nobody read for a while; does something every few seconds only.
    pub(super) fn sweep(&mut self, now: Instant) {
        if now.since(self.swept) < IDLE / 4 {
            return;
        }
        self.swept = now;
        self.open.retain(|_, open| now.since(open.used) < IDLE);
    }
}

/// Opens the segment that a range lies in. Blocks.
///
/// The range may have waited for a slow reader while its topic was deleted and another one of the
/// same name was made; so the directory is opened first, asked whose it is, and stays the one that
/// is looked into even if it is renamed meanwhile.
///
/// # Errors
/// The segment is gone, or the directory belongs to another topic.
pub(super) fn open(place: &Place, range: &FileRange) -> io::Result<Arc<File>> {
    let directory = open_directory(&place.root, &range.directory)?;
    Ok(Arc::new(place.exchanges.open(&directory, range)?))
}

/// Opens a partition's directory, if it is still that of the partition.
///
/// # Errors
/// It is gone, or belongs to another topic of the same name.
pub(super) fn open_directory(root: &Path, wanted: &PartitionDirectory) -> io::Result<File> {
    let directory = File::open(root.join(&wanted.name))?;
    let metadata = io::read_to_string(sys::open_in(&directory, PARTITION_METADATA)?)?;
    if parse_partition_metadata(&metadata) != Some(wanted.at.topic) {
        let topic = wanted.at.topic;
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("the directory does not belong to topic {topic} any more"),
        ));
    }
    Ok(directory)
}

/// Opens the segment of a range unless `file` is it already, and reads `length` bytes from the
/// range's position so that their pages are in the page cache. Blocks.
pub(super) fn warm(
    place: &Place,
    range: &FileRange,
    file: Option<Arc<File>>,
    length: u32,
) -> io::Result<Arc<File>> {
    let file = match file {
        Some(file) => file,
        None => open(place, range)?,
    };
    let mut scratch = vec![0; 256 * 1024];
    let mut position = u64::from(range.position);
    let end = position + u64::from(length);
    while position < end {
        let wanted = scratch.len().min((end - position) as usize);
        match file.read_at(&mut scratch[..wanted], position) {
            // Whether the file is long enough is decided where it is sent.
            Ok(0) => break,
            Ok(count) => position += count as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{PartitionId, TopicId};

    fn file() -> Arc<File> {
        Arc::new(File::open("/dev/null").unwrap())
    }

    fn key(partition: i32, segment: i64) -> SegmentKey {
        let at = TopicPartition { topic: TopicId([1; 16]), partition: PartitionId(partition) };
        (at, Offset(segment), 0)
    }

    #[test]
    fn the_file_read_longest_ago_makes_room() {
        let mut files = SegmentFiles::new(Descriptors::new(10_000, 1, 8).unwrap());
        for at in 0..OPEN_FILES_MAX as u64 {
            files.insert(key(0, at as i64), file(), Instant(at));
        }
        assert!(files.file(key(0, 0), Instant(1_000_000)).is_some());
        files.insert(key(1, 0), file(), Instant(1_000_001));
        assert!(files.file(key(0, 0), Instant(1_000_002)).is_some());
        assert!(files.file(key(0, 1), Instant(1_000_002)).is_none());
    }

    #[test]
    fn without_room_for_descriptors_one_file_makes_room_for_the_next() {
        let needed = crate::shell::descriptors::needed(1, 8) as u64;
        let descriptors = Descriptors::new(needed, 1, 8).unwrap();
        let mut files = SegmentFiles::new(Arc::clone(&descriptors));
        for at in 0..100 {
            files.insert(key(0, at), file(), Instant(at as u64));
        }
        let kept = files.open.len();
        assert!((1..100).contains(&kept) && descriptors.is_short());
        assert!(files.file(key(0, 99), Instant(100)).is_some());
        let _others = descriptors.files(1000);
        files.insert(key(1, 0), file(), Instant(101));
        assert_eq!(files.open.len(), kept);
    }

    #[test]
    fn a_partition_is_forgotten_alone_and_idle_files_are_closed() {
        let mut files = SegmentFiles::new(Descriptors::new(10_000, 1, 8).unwrap());
        files.insert(key(0, 0), file(), Instant(0));
        files.insert(key(1, 0), file(), Instant(0));
        files.insert(key(1, 9), file(), Instant(0));
        files.insert(key(2, 0), file(), Instant(0) + IDLE);
        files.forget_partition(key(1, 0).0);
        assert_eq!(files.open.len(), 2);
        files.sweep(Instant(0) + IDLE);
        assert!(files.file(key(0, 0), Instant(0)).is_none());
        assert!(files.file(key(2, 0), Instant(0)).is_some());
    }
}
