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
use std::sync::Arc;
use std::time::Duration;

use crate::ids::{Offset, TopicPartition};
use crate::log::{FileKind, file_name};
use crate::shard::engine::FileRange;
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

/// Names a segment file.
pub(super) type SegmentKey = (TopicPartition, Offset);

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
        (range.directory.at, range.segment)
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

    /// Forgets one segment: it is being deleted.
    pub(super) fn forget(&mut self, key: SegmentKey) {
        self.open.remove(&key);
    }

    /// Forgets all segments of a partition.
    pub(super) fn forget_partition(&mut self, at: TopicPartition) {
        let from = (at, Offset(i64::MIN));
        let keys: Vec<SegmentKey> =
            self.open.range(from..).map(|(key, _)| *key).take_while(|key| key.0 == at).collect();
        for key in keys {
            self.open.remove(&key);
        }
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
pub(super) fn open(root: &Path, range: &FileRange) -> io::Result<Arc<File>> {
    let directory = File::open(root.join(&range.directory.name))?;
    let metadata = io::read_to_string(sys::open_in(&directory, PARTITION_METADATA)?)?;
    if parse_partition_metadata(&metadata) != Some(range.directory.at.topic) {
        let topic = range.directory.at.topic;
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("the directory does not belong to topic {topic} any more"),
        ));
    }
    Ok(Arc::new(sys::open_in(&directory, &file_name(range.segment, FileKind::Log))?))
}

/// Opens the segment of a range unless `file` is it already, and reads `length` bytes from the
/// range's position so that their pages are in the page cache. Blocks.
pub(super) fn warm(
    root: &Path,
    range: &FileRange,
    file: Option<Arc<File>>,
    length: u32,
) -> io::Result<Arc<File>> {
    let file = match file {
        Some(file) => file,
        None => open(root, range)?,
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
        (at, Offset(segment))
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
