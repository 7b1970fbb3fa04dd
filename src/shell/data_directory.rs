//! The data directory: made, locked, versioned, and listed for the boot.
//!
//! Layout
//! - `.lock`: held exclusively by the broker that runs here
//! - `meta.properties`: version of this layout
//! - `incarnation`: which start this is, in decimal digits
//! - `catalog/snapshot`, `catalog/log`
//! - `checkpoint/<incarnation>-<shard>`: what a shard of one start knew to be durable, and
//!   `<incarnation>-<shard>.copy`: the same again, since nothing else can tell it
//! - `journal/<incarnation>/`: the journal files of one start, and in `ends` how far it has read
//!   those of the starts before it
//! - `journal.id`: there while the journals lie elsewhere (`ringmain.journal.path`), and the same as
//!   in that directory, which has a `.lock` too
//! - `<topic>-<partition>/`: Kafka's segment files, `partition.metadata`, `leader-epoch-checkpoint`
//! - `<anything>-delete/`, here and in `journal`: about to be unlinked. The name does not repeat the
//!   topic's, which may be so long that nothing fits behind it.
//!
//! A file that replaces another is written beside it under `.tmp`, flushed, renamed, and its
//! directory flushed: after a power cut there is the old one or the new one.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::ids::{Incarnation, PartitionId, ShardId, TopicId, TopicPartition};
use crate::log::{FileKind, FoundCleaned, parse_file_name, parse_passing_name};
use crate::shell::sys;

/// Version of the layout that this program writes.
const LAYOUT_VERSION: u32 = 1;
/// Says that a journal directory outside of the data directory belongs to it; lies in both.
const JOURNAL_ID: &str = "journal.id";
/// Suffix of a partition directory that is being removed, as Kafka spells it.
pub const DELETED_SUFFIX: &str = "-delete";
/// Suffix of a file that is about to replace another.
pub const TEMPORARY_SUFFIX: &str = ".tmp";
/// Suffix of the second copy of a checkpoint.
const COPY_SUFFIX: &str = ".copy";
/// Kafka's file that says which topic a partition directory belongs to.
pub const PARTITION_METADATA: &str = "partition.metadata";
/// How far a start has read the journals of earlier ones; lies beside its own journal files.
const ENDS: &str = "ends";
/// Kafka's file of leader epochs and their start offsets.
pub const EPOCH_CHECKPOINT: &str = "leader-epoch-checkpoint";

/// Why a data directory cannot be used.
#[derive(Debug)]
pub enum OpenError {
    /// Another broker runs on it.
    Locked(PathBuf),
    /// A file of it is damaged, and what it said cannot be found out.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What to do.
        cure: String,
    },
    /// A newer version of this program made it.
    Newer {
        /// Version found.
        found: String,
    },
    /// The journals are not where they should be.
    Journals(String),
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
            OpenError::Journals(reason) => f.write_str(reason),
            OpenError::Damaged { path, cure } => write!(f, "{} is damaged: {cure}", path.display()),
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
    journals: PathBuf,
    incarnation: Incarnation,
    /// Held, not read; that of a journal directory elsewhere is the second.
    _locks: (File, Option<File>),
}

/// A partition directory found at the boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPartition {
    /// Name of the directory.
    pub name: String,
    /// Whose it is, by `partition.metadata` and the number in its name; `None` if the file is
    /// missing or unreadable, which a crash during the making of the directory leaves behind.
    pub at: Option<TopicPartition>,
    /// Whether `partition.metadata` is to the byte what it should be.
    pub metadata_is_whole: bool,
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
    /// Whether it is the second copy.
    pub is_copy: bool,
    /// The whole file.
    pub content: Vec<u8>,
}

impl DataDirectory {
    /// Makes the directory if needed (readable by its owner only), locks it, checks its version,
    /// removes what an interrupted removal or replacement left, and counts this start durably.
    pub fn open(root: &Path) -> Result<DataDirectory, OpenError> {
        DataDirectory::open_with(root, None)
    }

    /// The same with the journals in a directory of their own, `ringmain.journal.path`. Which one
    /// that is may change after an orderly stop only, when no journal is needed; otherwise a
    /// directory that is not the one it was is refused.
    pub fn open_with(root: &Path, elsewhere: Option<&Path>) -> Result<DataDirectory, OpenError> {
        let shown = root.display();
        sys::keep_files_private();
        let lock = make_and_lock(root)?;
        check_version(root)?;
        for name in ["catalog", "checkpoint", "journal"] {
            let path = root.join(name);
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .map_err(broken(format_args!("making {}", path.display())))?;
        }
        let inside = root.join("journal");
        let (journals, journal_lock) = match elsewhere {
            Some(path) if !is_same(path, &inside) => {
                if is_same(path, root) {
                    return Err(OpenError::Journals(format!(
                        "ringmain.journal.path is the data directory {shown} itself; leave it out, \
                         or give another directory"
                    )));
                }
                let lock = make_and_lock(path)?;
                (path.to_owned(), Some(lock))
            }
            _ => (inside.clone(), None),
        };
        bind_journals(root, &inside, journal_lock.is_some().then_some(journals.as_path()))?;
        remove_leftovers(root, &journals).map_err(broken(format_args!("cleaning up {shown}")))?;
        let incarnation = count_start(root, &journals)?;
        Ok(DataDirectory {
            root: root.to_owned(),
            journals,
            incarnation,
            _locks: (lock, journal_lock),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the journals of all starts are.
    #[must_use]
    pub fn journals(&self) -> &Path {
        &self.journals
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
                let is_copy = name.ends_with(COPY_SUFFIX);
                found.push(FoundCheckpoint { incarnation, shard, is_copy, content });
            }
        }
        found.sort();
        Ok(found)
    }

    /// All journal files of earlier starts, in order of incarnation and name.
    pub fn journal_files(&self) -> Result<Vec<FoundJournal>, OpenError> {
        let mut found = Vec::new();
        for (name, directory) in entries(&self.journals)? {
            let Some(incarnation) = parse_incarnation(&name) else { continue };
            for (name, path) in entries(&directory)? {
                if name == ENDS {
                    continue;
                }
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

    /// What earlier starts have written down of how far they have read the journals, in order of
    /// incarnation.
    pub fn journal_ends(&self) -> Result<Vec<(Incarnation, Vec<u8>)>, OpenError> {
        let mut found = Vec::new();
        for (name, directory) in entries(&self.journals)? {
            let Some(incarnation) = parse_incarnation(&name) else { continue };
            let path = directory.join(ENDS);
            if path.exists() {
                let content =
                    fs::read(&path).map_err(broken(format_args!("reading {}", path.display())))?;
                found.push((incarnation, content));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Writes down durably how far this start has read the journals of earlier ones. Before any
    /// journal file of its own is made; until then a file that a crash has cut short says nothing.
    ///
    /// # Errors
    /// As the file system says.
    pub fn write_journal_ends(&self, content: &[u8]) -> io::Result<()> {
        let directory = self.make_journal_directory()?;
        let mut file = File::create(directory.join(ENDS))?;
        file.write_all(content)?;
        file.sync_data()?;
        sync_directory(&directory)
    }

    /// Makes the directory of this start's journal files, if it is not there. Its name is durable
    /// after [`sync_journals`](DataDirectory::sync_journals).
    pub(super) fn make_journal_directory(&self) -> io::Result<PathBuf> {
        let directory = journal_directory(&self.journals, self.incarnation);
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        Ok(directory)
    }

    /// Makes the name of this start's journal directory durable.
    pub(super) fn sync_journals(&self) -> io::Result<()> {
        sync_directory(&self.journals)
    }

    /// Removes the journals of all starts: everything in them is in the segments, and the
    /// checkpoints say so. From here on they may be elsewhere at the next start.
    pub(super) fn retire_journals(&self) -> io::Result<()> {
        remove_journals(&self.journals, |_| true)?;
        // That of the data directory first: alone, the other one binds nothing.
        for directory in [&self.root, &self.journals] {
            match fs::remove_file(directory.join(JOURNAL_ID)) {
                Ok(()) => sync_directory(directory)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
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

/// Path of the second copy of a checkpoint. It is written after the first: a crash in between leaves
/// the older one, which is as good until the journals behind it are given back.
#[must_use]
pub fn checkpoint_copy_path(root: &Path, incarnation: Incarnation, shard: ShardId) -> PathBuf {
    let mut path = checkpoint_path(root, incarnation, shard).into_os_string();
    path.push(COPY_SUFFIX);
    path.into()
}

/// The start and the shard whose checkpoint, or copy of one, has this name.
pub(super) fn parse_checkpoint_name(name: &str) -> Option<(Incarnation, ShardId)> {
    let name = name.strip_suffix(COPY_SUFFIX).unwrap_or(name);
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
pub fn journal_directory(journals: &Path, incarnation: Incarnation) -> PathBuf {
    journals.join(format!("{:020}", incarnation.0))
}

/// Removes the journals of the starts that are to go. A start's journals go under another name
/// first: half of their files would be taken for journals that have lost the other half. The oldest
/// start goes first.
pub(super) fn remove_journals(
    journals: &Path,
    goes: impl Fn(Incarnation) -> bool,
) -> io::Result<()> {
    let mut starts = Vec::new();
    for entry in fs::read_dir(journals)? {
        // A name that is not UTF-8 is none of ours.
        let Ok(name) = entry?.file_name().into_string() else { continue };
        starts.extend(parse_incarnation(&name).filter(|start| goes(*start)).map(|at| (at, name)));
    }
    starts.sort();
    let mut renamed = Vec::new();
    for (_, name) in starts {
        let target = journals.join(format!("{name}{DELETED_SUFFIX}"));
        fs::rename(journals.join(&name), &target)?;
        sync_directory(journals)?;
        renamed.push(target);
    }
    for path in renamed {
        fs::remove_dir_all(path)?;
    }
    Ok(())
}

/// The start whose journal files lie in a directory of this name.
pub(super) fn parse_incarnation(name: &str) -> Option<Incarnation> {
    name.parse().ok().map(Incarnation)
}

/// The topic's name and the partition that a directory is named after.
pub(super) fn parse_partition_name(name: &str) -> Option<(&str, PartitionId)> {
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

/// Makes a directory, readable by its owner only, and locks it.
fn make_and_lock(directory: &Path) -> Result<File, OpenError> {
    let shown = directory.display();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(broken(format_args!("making the directory {shown}")))?;
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(directory.join(".lock"))
        .map_err(broken(format_args!("opening the lock of {shown}")))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(directory.to_owned())),
        Err(TryLockError::Error(error)) => Err(broken(format_args!("locking {shown}"))(error)),
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    one == other || one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|o| o == one))
}

/// Whether there are journal files of any start.
fn has_journals(journals: &Path) -> Result<bool, OpenError> {
    for (name, directory) in entries(journals)? {
        if parse_incarnation(&name).is_some()
            && entries(&directory)?.iter().any(|(name, _)| name != ENDS)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Sees to it that the journals are where the last start had them, or that there are none that
/// count.
fn bind_journals(root: &Path, inside: &Path, elsewhere: Option<&Path>) -> Result<(), OpenError> {
    let id = |directory: &Path| read_or_empty(&directory.join(JOURNAL_ID));
    let known = id(root)?;
    let refused = |reason: String| Err(OpenError::Journals(reason));
    let shown = root.display();
    let Some(path) = elsewhere else {
        if known.is_empty() {
            return Ok(());
        }
        return refused(format!(
            "the journals of {shown} are in a directory of their own; set ringmain.journal.path to \
             it (it can be left out after an orderly stop)"
        ));
    };
    let there = path.display();
    if !known.is_empty() {
        if id(path)? == known {
            return Ok(());
        }
        return refused(format!(
            "{there} is not the directory in which {shown} has its journals; set \
             ringmain.journal.path to that one (it can be changed after an orderly stop)"
        ));
    }
    if has_journals(inside)? {
        return refused(format!(
            "{} holds journals that are needed; start without ringmain.journal.path and stop in \
             order before it is set",
            inside.display()
        ));
    }
    if has_journals(path)? {
        return refused(format!(
            "{there} holds journals of another data directory; give {shown} a directory of its own"
        ));
    }
    let id = || -> io::Result<String> {
        let mut bytes = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    };
    // The other directory first: the data directory's own is the one that binds.
    let write = |id: String| {
        replace(&path.join(JOURNAL_ID), id.as_bytes())?;
        replace(&root.join(JOURNAL_ID), id.as_bytes())
    };
    id().and_then(write).map_err(broken(format_args!("binding {there} to {shown}")))
}

fn check_version(root: &Path) -> Result<(), OpenError> {
    let path = root.join("meta.properties");
    let content = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        other => Some(other.map_err(broken(format_args!("reading {}", path.display())))?),
    };
    let Some(content) = content else {
        return replace(&path, format!("version={LAYOUT_VERSION}\n").as_bytes())
            .map_err(broken(format_args!("writing {}", path.display())));
    };
    let text = String::from_utf8_lossy(&content);
    let found = text.lines().find_map(|line| line.strip_prefix("version=")).map(str::trim);
    match found.and_then(|found| found.parse::<u32>().ok()) {
        Some(1..=LAYOUT_VERSION) => Ok(()),
        Some(newer) if newer > LAYOUT_VERSION => Err(OpenError::Newer { found: newer.to_string() }),
        _ => Err(OpenError::Damaged {
            path,
            cure: "it does not say \"version=...\"; if no newer ringmain has run here, remove it"
                .to_owned(),
        }),
    }
}

/// Counts this start. The file says which the last one was; so do the names of journals and
/// checkpoints, since every start that has written anything has left some. A number that was used
/// before would let old journal entries pass for new ones.
fn count_start(root: &Path, journals: &Path) -> Result<Incarnation, OpenError> {
    let path = root.join("incarnation");
    let text = read_or_empty(&path)?;
    let digits = std::str::from_utf8(&text).ok().map(str::trim);
    let noted = digits.and_then(|digits| digits.parse::<u64>().ok()).filter(|n| *n < u64::MAX);
    let mut seen = 0;
    for (name, _) in entries(journals)? {
        let name = name.strip_suffix(DELETED_SUFFIX).unwrap_or(&name);
        seen = seen.max(parse_incarnation(name).map_or(0, |start| start.0));
    }
    for (name, _) in entries(&root.join("checkpoint"))? {
        seen = seen.max(parse_checkpoint_name(&name).map_or(0, |(start, _)| start.0));
    }
    if noted.unwrap_or(0) < seen || (noted.is_none() && !text.is_empty()) {
        warn!(
            file = %path.display(),
            "the count of starts is damaged or missing; going on from start {seen}, the last one \
             that left a journal or a checkpoint"
        );
    }
    let last = noted.unwrap_or(0).max(seen);
    let Some(next) = last.checked_add(1) else {
        return Err(OpenError::Damaged {
            path,
            cure: "write the number of starts that this data directory has had into it".to_owned(),
        });
    };
    replace(&path, next.to_string().as_bytes())
        .map_err(broken(format_args!("writing {}", path.display())))?;
    Ok(Incarnation(next))
}

fn remove_leftovers(root: &Path, journals: &Path) -> io::Result<()> {
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
    for directory in [&root.join("catalog"), &root.join("checkpoint"), journals] {
        for entry in fs::read_dir(directory)? {
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
    let text = fs::read_to_string(path.join(PARTITION_METADATA)).ok();
    let topic = text.as_deref().and_then(parse_partition_metadata);
    let metadata_is_whole = topic.map(partition_metadata) == text && text.is_some();
    let at = topic.zip(partition).map(|(topic, partition)| TopicPartition { topic, partition });
    let epochs = fs::read_to_string(path.join(EPOCH_CHECKPOINT)).ok();
    let segments = segments.into_values().collect();
    Ok(FoundPartition { name, at, metadata_is_whole, segments, cleaned, replaced, epochs })
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
    fn a_newer_and_an_unreadable_layout_are_refused() {
        let scratch = Scratch::new();
        drop(DataDirectory::open(scratch.path()).unwrap());
        fs::write(scratch.path().join("meta.properties"), "version=2\n").unwrap();
        assert!(matches!(DataDirectory::open(scratch.path()), Err(OpenError::Newer { .. })));
        for damaged in [&b"versiom=1\n"[..], b"version=\xb1\n", b"version=0\n", b""] {
            fs::write(scratch.path().join("meta.properties"), damaged).unwrap();
            let opened = DataDirectory::open(scratch.path());
            assert!(matches!(opened, Err(OpenError::Damaged { .. })), "{damaged:?}");
        }
    }

    #[test]
    fn a_damaged_count_of_starts_never_gives_a_number_twice() {
        let scratch = Scratch::new();
        let root = scratch.path();
        for (damaged, next) in [("x", 8), ("", 9), ("-1", 10), ("3", 11), ("40", 41)] {
            drop(DataDirectory::open(root).unwrap());
            fs::create_dir_all(journal_directory(&root.join("journal"), Incarnation(next - 1)))
                .unwrap();
            fs::write(root.join("incarnation"), damaged).unwrap();
            let counted = DataDirectory::open(root).unwrap().incarnation();
            assert_eq!(counted, Incarnation(next.max(damaged.parse().map_or(0, |n: u64| n + 1))));
        }
        fs::remove_file(root.join("incarnation")).unwrap();
        fs::write(checkpoint_copy_path(root, Incarnation(77), ShardId(0)), b"").unwrap();
        assert_eq!(DataDirectory::open(root).unwrap().incarnation(), Incarnation(78));
    }

    /// Opens and leaves a journal file behind, as a start that was killed does.
    fn killed(root: &Path, elsewhere: Option<&Path>) -> Result<(), OpenError> {
        let data = DataDirectory::open_with(root, elsewhere)?;
        let directory = data.make_journal_directory().unwrap();
        fs::write(directory.join("flushed-0-0.journal"), "x").unwrap();
        Ok(())
    }

    fn refused(root: &Path, elsewhere: Option<&Path>) -> String {
        match DataDirectory::open_with(root, elsewhere) {
            Err(OpenError::Journals(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn journals_elsewhere_are_locked_and_bound_until_an_orderly_stop() {
        let scratch = Scratch::new();
        let [root, one, two] = ["data", "one", "two"].map(|name| scratch.path().join(name));
        killed(&root, Some(&one)).unwrap();
        killed(&root, Some(&one)).unwrap();
        let data = DataDirectory::open_with(&root, Some(&one)).unwrap();
        assert_eq!(data.journal_files().unwrap().len(), 2);
        assert!(fs::read_dir(root.join("journal")).unwrap().next().is_none());
        // Another broker wants the same directory.
        let other = scratch.path().join("other");
        let locked = DataDirectory::open_with(&other, Some(&one));
        assert!(matches!(locked, Err(OpenError::Locked(path)) if path == one));
        drop(data);
        assert!(refused(&other, Some(&one)).contains("of another data directory"));
        // Left out, swapped.
        assert!(refused(&root, None).contains("set ringmain.journal.path"));
        assert!(refused(&root, Some(&two)).contains("is not the directory"));
        DataDirectory::open_with(&root, Some(&one)).unwrap().retire_journals().unwrap();
        // Now it may be anywhere.
        killed(&root, Some(&two)).unwrap();
        DataDirectory::open_with(&root, Some(&two)).unwrap().retire_journals().unwrap();
        killed(&root, None).unwrap();
        assert!(refused(&root, Some(&two)).contains("stop in order before it is set"));
        // The one inside by its full name.
        let inside = root.join("journal");
        assert_eq!(
            DataDirectory::open_with(&root, Some(&inside)).unwrap().journal_files().unwrap().len(),
            1
        );
        assert!(refused(&root, Some(&root)).contains("itself"));
    }

    #[test]
    fn half_a_binding_binds_nothing() {
        let scratch = Scratch::new();
        let [root, one] = ["data", "one"].map(|name| scratch.path().join(name));
        drop(DataDirectory::open_with(&root, Some(&one)).unwrap());
        // A crash came between the two files.
        fs::remove_file(root.join(JOURNAL_ID)).unwrap();
        drop(DataDirectory::open_with(&root, Some(&one)).unwrap());
        assert_eq!(
            fs::read(root.join(JOURNAL_ID)).unwrap(),
            fs::read(one.join(JOURNAL_ID)).unwrap()
        );
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
        let journal = journal_directory(&root.join("journal"), Incarnation(4));
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
        let expected = FoundPartition {
            name: "my-topic-3".into(),
            at: Some(at),
            metadata_is_whole: true,
            segments,
            cleaned: Vec::new(),
            replaced: Vec::new(),
            epochs: None,
        };
        assert_eq!(data.partitions().unwrap(), [expected]);
        assert_eq!(
            data.checkpoints().unwrap(),
            [(1, 9, "nine"), (1, 10, "ten"), (2, 1, "one")].map(|(incarnation, shard, content)| {
                FoundCheckpoint {
                    incarnation: Incarnation(incarnation),
                    shard: ShardId(shard),
                    is_copy: false,
                    content: content.into(),
                }
            })
        );
        let found = data.journal_files().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].incarnation, found[0].bytes), (Incarnation(4), 5));
        drop(data);
        drop(DataDirectory::open(root).unwrap());
        assert!(!deleted.exists() && !half_deleted.exists() && journal.exists());
    }
}
