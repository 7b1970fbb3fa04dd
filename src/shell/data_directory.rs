//! The data directory: made, locked, versioned, and listed for the boot.
//!
//! Layout
//! - `.lock`: held exclusively by the broker that runs here
//! - `meta.properties`: version of this layout
//! - `incarnation`: which start this is, in decimal digits
//! - `catalog/snapshot`, `catalog/log`
//! - `checkpoint/<incarnation>-<shard>`: what a shard of one start knew to be durable
//! - `journal/<incarnation>/`: the journal files of one start
//! - `<topic>-<partition>/`: Kafka's segment files, `partition.metadata`, `leader-epoch-checkpoint`
//! - `<anything>-delete/`, here and in `journal`: about to be unlinked. The name does not repeat the
//!   topic's, which may be so long that nothing fits behind it.
//!
//! A file that replaces another is written beside it under `.tmp`, flushed, renamed, and its
//! directory flushed: after a power cut there is the old one or the new one.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::ids::{Incarnation, PartitionId, ShardId, TopicId, TopicPartition};
use crate::log::{FileKind, FoundCleaned, parse_file_name, parse_passing_name};
use crate::shell::sys;

/// Version of the layout that this program writes.
const LAYOUT_VERSION: u32 = 1;
/// Suffix of a partition directory that is being removed, as Kafka spells it.
pub const DELETED_SUFFIX: &str = "-delete";
/// Suffix of a file that is about to replace another.
pub const TEMPORARY_SUFFIX: &str = ".tmp";
/// Kafka's file that says which topic a partition directory belongs to.
pub const PARTITION_METADATA: &str = "partition.metadata";
/// Kafka's file of leader epochs and their start offsets.
pub const EPOCH_CHECKPOINT: &str = "leader-epoch-checkpoint";

/// Why a data directory cannot be used.
#[derive(Debug)]
pub enum OpenError {
    /// Another broker runs on it.
    Locked(PathBuf),
    /// A newer version of this program made it.
    Newer {
        /// Version found.
        found: String,
    },
    /// Something of it cannot be read or made.
    Broken {
        /// What was tried.
        operation: String,
        /// What the system said.
        reason: String,
    },
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OpenError::Locked(path) => write!(
                f,
                "another broker is running on {}; stop it or give this one its own data directory",
                path.display()
            ),
            OpenError::Newer { found } => write!(
                f,
                "the data directory has layout version {found}, newer than {LAYOUT_VERSION}; \
                 run the version of ringmain that made it, or a later one"
            ),
            OpenError::Broken { operation, reason } => write!(f, "{operation}: {reason}"),
        }
    }
}

/// Adds what was tried to an error.
fn broken(operation: impl std::fmt::Display) -> impl FnOnce(io::Error) -> OpenError {
    let operation = operation.to_string();
    move |error| OpenError::Broken { operation, reason: error.to_string() }
}

/// A data directory that is ours alone until the value is dropped.
#[derive(Debug)]
pub struct DataDirectory {
    root: PathBuf,
    incarnation: Incarnation,
    /// Held, not read.
    _lock: File,
}

/// A partition directory found at the boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPartition {
    /// Name of the directory.
    pub name: String,
    /// Whose it is, by `partition.metadata` and the number in its name; `None` if the file is
    /// missing or unreadable, which a crash during the making of the directory leaves behind.
    pub at: Option<TopicPartition>,
    /// In order of base offset.
    pub segments: Vec<FoundSegment>,
    /// What compaction has made and not put in place.
    pub cleaned: Vec<FoundCleaned>,
    /// Names of files that compaction had put aside for readers who are gone.
    pub replaced: Vec<String>,
    /// Text of `leader-epoch-checkpoint`, if it is there.
    pub epochs: Option<String>,
}

/// A segment found at the boot. A length of `None` means that the file is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundSegment {
    /// Base offset.
    pub segment: crate::ids::Offset,
    /// Length of `.log`, in bytes.
    pub log_bytes: Option<u64>,
    /// Length of `.index`, in bytes.
    pub index_bytes: Option<u64>,
    /// Length of `.timeindex`, in bytes.
    pub time_index_bytes: Option<u64>,
}

/// A journal file found at the boot. Whose it is stands in its header.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FoundJournal {
    /// Which start wrote it.
    pub incarnation: Incarnation,
    /// Where it is.
    pub path: PathBuf,
    /// In bytes.
    pub bytes: u64,
}

/// A checkpoint file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FoundCheckpoint {
    /// Which start wrote it.
    pub incarnation: Incarnation,
    /// Which shard of that start.
    pub shard: ShardId,
    /// The whole file.
    pub content: Vec<u8>,
}

impl DataDirectory {
    /// Makes the directory if needed (readable by its owner only), locks it, checks its version,
    /// removes what an interrupted removal or replacement left, and counts this start durably.
    pub fn open(root: &Path) -> Result<DataDirectory, OpenError> {
        let shown = root.display();
        sys::keep_files_private();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(broken(format_args!("making the data directory {shown}")))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(root.join(".lock"))
            .map_err(broken(format_args!("opening the lock of {shown}")))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked(root.to_owned())),
            Err(TryLockError::Error(error)) => {
                return Err(broken(format_args!("locking {shown}"))(error));
            }
        }
        check_version(root)?;
        for name in ["catalog", "checkpoint", "journal"] {
            let path = root.join(name);
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .map_err(broken(format_args!("making {}", path.display())))?;
        }
        remove_leftovers(root).map_err(broken(format_args!("cleaning up {shown}")))?;
        let incarnation = count_start(root)?;
        Ok(DataDirectory { root: root.to_owned(), incarnation, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Which start this is.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// All partition directories, in order of name.
    pub fn partitions(&self) -> Result<Vec<FoundPartition>, OpenError> {
        let mut found = Vec::new();
        for (name, path) in entries(&self.root)? {
            let is_partition = parse_partition_name(&name).is_some() && path.is_dir();
            if is_partition && !name.ends_with(DELETED_SUFFIX) {
                found.push(find_partition(name, &path)?);
            }
        }
        Ok(found)
    }

    /// All checkpoint files, in order of start and shard. Those of several starts are there when a
    /// start ended before all of its shards had made one.
    pub fn checkpoints(&self) -> Result<Vec<FoundCheckpoint>, OpenError> {
        let mut found = Vec::new();
        for (name, path) in entries(&self.root.join("checkpoint"))? {
            if let Some((incarnation, shard)) = parse_checkpoint_name(&name) {
                let content =
                    fs::read(&path).map_err(broken(format_args!("reading {}", path.display())))?;
                found.push(FoundCheckpoint { incarnation, shard, content });
            }
        }
        found.sort();
        Ok(found)
    }

    /// All journal files of earlier starts, in order of incarnation and name.
    pub fn journals(&self) -> Result<Vec<FoundJournal>, OpenError> {
        let mut found = Vec::new();
        for (name, directory) in entries(&self.root.join("journal"))? {
            let Some(incarnation) = parse_incarnation(&name) else { continue };
            for (_, path) in entries(&directory)? {
                let bytes = path
                    .metadata()
                    .map_err(broken(format_args!("looking at {}", path.display())))?
                    .len();
                found.push(FoundJournal { incarnation, path, bytes });
            }
        }
        found.sort();
        Ok(found)
    }

    /// The catalog's snapshot and log; empty where there is none yet.
    pub fn catalog(&self) -> Result<(Vec<u8>, Vec<u8>), OpenError> {
        Ok((
            read_or_empty(&self.root.join("catalog/snapshot"))?,
            read_or_empty(&self.root.join("catalog/log"))?,
        ))
    }
}

/// Path of the checkpoint of a shard of one start. Starts do not share a name: their shards may be
/// others, and what one of them replaced would be missing in all of the older ones.
#[must_use]
pub fn checkpoint_path(root: &Path, incarnation: Incarnation, shard: ShardId) -> PathBuf {
    root.join("checkpoint").join(format!("{:020}-{shard}", incarnation.0))
}

/// The start and the shard whose checkpoint has this name.
pub(super) fn parse_checkpoint_name(name: &str) -> Option<(Incarnation, ShardId)> {
    let (incarnation, shard) = name.split_once('-')?;
    Some((parse_incarnation(incarnation)?, ShardId(shard.parse().ok()?)))
}

/// What the directory of a partition is called while it is unlinked.
pub(super) fn deleted_name(at: TopicPartition) -> String {
    let id: String = at.topic.0.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{id}-{}{DELETED_SUFFIX}", at.partition)
}

/// The directory of the journal files of one start.
#[must_use]
pub fn journal_directory(root: &Path, incarnation: Incarnation) -> PathBuf {
    root.join("journal").join(format!("{:020}", incarnation.0))
}

/// The start whose journal files lie in a directory of this name.
pub(super) fn parse_incarnation(name: &str) -> Option<Incarnation> {
    name.parse().ok().map(Incarnation)
}

fn parse_partition_name(name: &str) -> Option<(&str, PartitionId)> {
    let (topic, partition) = name.rsplit_once('-')?;
    let digits = !partition.is_empty() && partition.bytes().all(|byte| byte.is_ascii_digit());
    if topic.is_empty() || !digits {
        return None;
    }
    Some((topic, PartitionId(partition.parse().ok()?)))
}

/// The topic id in the text of a `partition.metadata` file.
#[must_use]
pub fn parse_partition_metadata(text: &str) -> Option<TopicId> {
    let id = text.lines().find_map(|line| line.strip_prefix("topic_id: "))?;
    parse_topic_id(id.trim())
}

/// The text of a `partition.metadata` file.
#[must_use]
pub fn partition_metadata(topic: TopicId) -> String {
    format!("version: 0\ntopic_id: {topic}\n")
}

/// Kafka's 22-character form, backwards.
fn parse_topic_id(text: &str) -> Option<TopicId> {
    if text.len() != 22 {
        return None;
    }
    let mut bits: u128 = 0;
    for (at, symbol) in text.bytes().enumerate() {
        let digit = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        // 21 digits carry six bits, the last one two.
        bits = if at < 21 {
            bits << 6 | u128::from(digit)
        } else {
            bits << 2 | u128::from(digit >> 4)
        };
    }
    Some(TopicId(bits.to_be_bytes()))
}

fn check_version(root: &Path) -> Result<(), OpenError> {
    let path = root.join("meta.properties");
    match fs::read_to_string(&path) {
        Ok(text) => {
            let found = text.lines().find_map(|line| line.strip_prefix("version=")).unwrap_or("?");
            match found.trim().parse::<u32>() {
                Ok(version) if version <= LAYOUT_VERSION => Ok(()),
                _ => Err(OpenError::Newer { found: found.trim().to_owned() }),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            replace(&path, format!("version={LAYOUT_VERSION}\n").as_bytes())
                .map_err(broken(format_args!("writing {}", path.display())))
        }
        Err(error) => Err(broken(format_args!("reading {}", path.display()))(error)),
    }
}

fn count_start(root: &Path) -> Result<Incarnation, OpenError> {
    let path = root.join("incarnation");
    let text = read_or_empty(&path)?;
    let last = match std::str::from_utf8(&text).map(str::trim) {
        Ok("") if text.is_empty() => 0,
        Ok(digits) => digits.parse::<u64>().ok().unwrap_or(u64::MAX),
        Err(_) => u64::MAX,
    };
    // A wrong low number would let old journal entries pass for new ones.
    let Some(next) = last.checked_add(1) else {
        return Err(OpenError::Broken {
            operation: format!("reading {}", path.display()),
            reason: "it does not hold a number; write a higher one than any start of this data \
                     directory has had into it"
                .to_owned(),
        });
    };
    replace(&path, next.to_string().as_bytes())
        .map_err(broken(format_args!("writing {}", path.display())))?;
    Ok(Incarnation(next))
}

fn remove_leftovers(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(DELETED_SUFFIX) && entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else if name.ends_with(TEMPORARY_SUFFIX) && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    for directory in ["catalog", "checkpoint", "journal"] {
        for entry in fs::read_dir(root.join(directory))? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(DELETED_SUFFIX) && entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else if name.ends_with(TEMPORARY_SUFFIX) {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

fn entries(directory: &Path) -> Result<Vec<(String, PathBuf)>, OpenError> {
    let list = || -> io::Result<Vec<(String, PathBuf)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry.file_name().into_string() {
                found.push((name, entry.path()));
            }
        }
        found.sort();
        Ok(found)
    };
    list().map_err(broken(format_args!("listing {}", directory.display())))
}

fn find_partition(name: String, path: &Path) -> Result<FoundPartition, OpenError> {
    let mut segments = std::collections::BTreeMap::<crate::ids::Offset, FoundSegment>::new();
    let (mut cleaned, mut replaced) = (Vec::new(), Vec::new());
    for (file, path) in entries(path)? {
        let length = || {
            let metadata = path.metadata();
            Ok(metadata.map_err(broken(format_args!("looking at {}", path.display())))?.len())
        };
        match parse_passing_name(&file) {
            Some(Some((segment, kind, generation))) => {
                let bytes = length()?;
                cleaned.push(FoundCleaned { segment, kind, generation, bytes });
            }
            Some(None) => replaced.push(file.clone()),
            None => {}
        }
        let Some((segment, kind)) = parse_file_name(&file) else { continue };
        let bytes = length()?;
        let found = segments.entry(segment).or_default();
        found.segment = segment;
        match kind {
            FileKind::Log => found.log_bytes = Some(bytes),
            FileKind::Index => found.index_bytes = Some(bytes),
            FileKind::TimeIndex => found.time_index_bytes = Some(bytes),
        }
    }
    let partition = parse_partition_name(&name).map(|(_, partition)| partition);
    let topic = fs::read_to_string(path.join(PARTITION_METADATA))
        .ok()
        .and_then(|text| parse_partition_metadata(&text));
    let at = topic.zip(partition).map(|(topic, partition)| TopicPartition { topic, partition });
    let epochs = fs::read_to_string(path.join(EPOCH_CHECKPOINT)).ok();
    let segments = segments.into_values().collect();
    Ok(FoundPartition { name, at, segments, cleaned, replaced, epochs })
}

fn read_or_empty(path: &Path) -> Result<Vec<u8>, OpenError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(broken(format_args!("reading {}", path.display()))),
    }
}

/// Makes a file with this content under this name, replacing an older one atomically and durably.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(TEMPORARY_SUFFIX);
    let temporary = PathBuf::from(temporary);
    let mut file = File::create(&temporary)?;
    file.write_all(content)?;
    file.sync_data()?;
    fs::rename(&temporary, path)?;
    sync_directory(path.parent().unwrap_or(Path::new("/")))
}

/// Makes the names in a directory durable.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Offset;
    use crate::log::file_name;
    use crate::shell::scratch::Scratch;

    #[test]
    fn topic_ids_read_back_what_they_print() {
        for bits in [0, 1, 3, u128::MAX, 0x0123_4567_89ab_cdef_0011_2233_4455_6677] {
            let id = TopicId(bits.to_be_bytes());
            assert_eq!(parse_partition_metadata(&partition_metadata(id)), Some(id));
        }
        assert_eq!(parse_partition_metadata("version: 0\ntopic_id: short\n"), None);
        assert_eq!(parse_partition_metadata(""), None);
    }

    #[test]
    fn a_second_broker_is_refused_and_a_start_is_counted() {
        let scratch = Scratch::new();
        let first = DataDirectory::open(scratch.path()).unwrap();
        assert_eq!(first.incarnation(), Incarnation(1));
        assert!(matches!(DataDirectory::open(scratch.path()), Err(OpenError::Locked(_))));
        drop(first);
        assert_eq!(DataDirectory::open(scratch.path()).unwrap().incarnation(), Incarnation(2));
    }

    #[test]
    fn a_newer_layout_and_a_broken_count_are_refused() {
        let scratch = Scratch::new();
        drop(DataDirectory::open(scratch.path()).unwrap());
        fs::write(scratch.path().join("incarnation"), "x").unwrap();
        assert!(matches!(DataDirectory::open(scratch.path()), Err(OpenError::Broken { .. })));
        fs::write(scratch.path().join("meta.properties"), "version=2\n").unwrap();
        assert!(matches!(DataDirectory::open(scratch.path()), Err(OpenError::Newer { .. })));
    }

    #[test]
    fn the_boot_finds_what_is_there_and_nothing_else() {
        let scratch = Scratch::new();
        let root = scratch.path();
        let data = DataDirectory::open(root).unwrap();
        let topic = TopicId([9; 16]);
        let partition = root.join("my-topic-3");
        fs::create_dir(&partition).unwrap();
        fs::write(partition.join(PARTITION_METADATA), partition_metadata(topic)).unwrap();
        fs::write(partition.join(file_name(Offset(7), FileKind::Log)), b"abc").unwrap();
        fs::write(partition.join(file_name(Offset(0), FileKind::Index)), b"").unwrap();
        fs::write(partition.join("unrelated"), b"").unwrap();
        fs::create_dir(root.join("lost+found")).unwrap();
        let deleted = root.join(deleted_name(TopicPartition { topic, partition: PartitionId(1) }));
        fs::create_dir(&deleted).unwrap();
        fs::write(checkpoint_path(root, Incarnation(2), ShardId(1)), b"one").unwrap();
        fs::write(checkpoint_path(root, Incarnation(1), ShardId(10)), b"ten").unwrap();
        fs::write(checkpoint_path(root, Incarnation(1), ShardId(9)), b"nine").unwrap();
        let journal = journal_directory(root, Incarnation(4));
        fs::create_dir(&journal).unwrap();
        fs::write(journal.join("flushed-1-0.journal"), b"12345").unwrap();
        let half_deleted = root.join("journal/00000000000000000003-delete");
        fs::create_dir(&half_deleted).unwrap();
        fs::write(half_deleted.join("flushed-1-1.journal"), b"1").unwrap();

        let at = TopicPartition { topic, partition: PartitionId(3) };
        let segments = vec![
            FoundSegment { segment: Offset(0), index_bytes: Some(0), ..Default::default() },
            FoundSegment { segment: Offset(7), log_bytes: Some(3), ..Default::default() },
        ];
        let expected =
            FoundPartition { name: "my-topic-3".into(), at: Some(at), segments, epochs: None };
        assert_eq!(data.partitions().unwrap(), [expected]);
        assert_eq!(
            data.checkpoints().unwrap(),
            [(1, 9, "nine"), (1, 10, "ten"), (2, 1, "one")].map(|(incarnation, shard, content)| {
                FoundCheckpoint {
                    incarnation: Incarnation(incarnation),
                    shard: ShardId(shard),
                    content: content.into(),
                }
            })
        );
        let found = data.journals().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].incarnation, found[0].bytes), (Incarnation(4), 5));
        drop(data);
        drop(DataDirectory::open(root).unwrap());
        assert!(!deleted.exists() && !half_deleted.exists() && journal.exists());
    }
}
