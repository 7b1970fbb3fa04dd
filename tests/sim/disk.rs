//! A disk in memory that forgets what it may forget.
//!
//! Fault model
//! - A file has what the page cache holds and what is on stable storage, sector by sector (512
//!   bytes). `fsync` makes the one the other; a write-through makes its own sectors stable only.
//! - A directory has its names in the page cache and on stable storage; only `sync_directory` makes
//!   the one the other. Changes of one directory reach the storage in their order, or in any.
//! - A kill keeps the page cache. A power cut keeps of every file what was stable, and of what was
//!   not a prefix, a subset of sectors or of pages, everything or nothing.
//! - Every call counts. The call at which a crash is planned does not happen, nor any after it; a
//!   write at that point may be torn.
//! - Writes that a killed process had submitted land whenever they like (`delay`): also after the
//!   next start has begun.
//! - A planned failure returns an I/O error once, and a failed `fsync` forgets what was dirty while
//!   the cache still shows it (fsyncgate). A full disk refuses whatever needs new space.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ringmain::stdx::prng::Prng;

/// Unit of atomicity, in bytes.
pub(crate) const SECTOR_BYTES: u64 = 512;
const PAGE_SECTORS: u64 = 8;

/// A file or directory, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Inode(u64);

/// Why a call did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DiskFault {
    /// The process is gone from here on.
    Crashed,
    /// No space.
    Full,
    /// The device failed.
    Broken,
    /// No such name.
    NotFound(String),
}

impl fmt::Display for DiskFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiskFault::Crashed => f.write_str("crashed"),
            DiskFault::Full => f.write_str("no space left on device"),
            DiskFault::Broken => f.write_str("input/output error"),
            DiskFault::NotFound(path) => write!(f, "{path}: not found"),
        }
    }
}

type Fallible<T> = Result<T, DiskFault>;
type Sector = Box<[u8; SECTOR_BYTES as usize]>;

/// How a crash treats what is not stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Only the process dies.
    Kill,
    /// The power goes: nothing that was not stable is left.
    PowerNothing,
    /// The power goes, but all writes had reached the device.
    PowerEverything,
    /// The power goes: of each file the writes up to some moment are left.
    PowerPrefix,
    /// The power goes: any sectors are left.
    PowerSectors,
    /// The power goes: any pages are left.
    PowerPages,
}

impl Cut {
    pub(crate) fn is_power(self) -> bool {
        self != Cut::Kill
    }
}

#[derive(Clone, Default)]
struct Content {
    length: u64,
    sectors: BTreeMap<u64, Sector>,
}

impl Content {
    fn write(&mut self, position: u64, bytes: &[u8]) -> Vec<u64> {
        let mut touched = Vec::new();
        let mut at = position;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (sector, from) = (at / SECTOR_BYTES, (at % SECTOR_BYTES) as usize);
            let count = rest.len().min(SECTOR_BYTES as usize - from);
            let (now, later) = rest.split_at(count);
            let held = self.sectors.entry(sector).or_insert_with(|| Box::new([0; 512]));
            held[from..from + count].copy_from_slice(now);
            touched.push(sector);
            at += count as u64;
            rest = later;
        }
        self.length = self.length.max(at);
        touched
    }

    fn read(&self, position: u64, count: usize) -> Vec<u8> {
        let end = self.length.min(position.saturating_add(count as u64));
        let mut out = Vec::new();
        let mut at = position;
        while at < end {
            let (sector, from) = (at / SECTOR_BYTES, (at % SECTOR_BYTES) as usize);
            let count = (end - at).min(SECTOR_BYTES - from as u64) as usize;
            match self.sectors.get(&sector) {
                Some(held) => out.extend_from_slice(&held[from..from + count]),
                None => out.resize(out.len() + count, 0),
            }
            at += count as u64;
        }
        out
    }

    fn set_length(&mut self, length: u64) {
        if length < self.length {
            drop(self.sectors.split_off(&length.div_ceil(SECTOR_BYTES)));
            if let Some(last) = self.sectors.get_mut(&(length / SECTOR_BYTES)) {
                last[(length % SECTOR_BYTES) as usize..].fill(0);
            }
        }
        self.length = length;
    }

    fn copy_sector(&mut self, from: &Content, sector: u64) {
        match from.sectors.get(&sector) {
            Some(held) => {
                self.sectors.insert(sector, held.clone());
            }
            None => {
                self.sectors.remove(&sector);
            }
        }
    }
}

#[derive(Clone, Default)]
struct FileNode {
    cache: Content,
    stable: Content,
    /// Sectors that differ, with the turn of their last write.
    dirty: BTreeMap<u64, u64>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Link(String, Inode),
    Unlink(String),
    Rename(String, String, Inode),
}

#[derive(Clone, Default)]
struct DirectoryNode {
    cache: BTreeMap<String, Inode>,
    stable: BTreeMap<String, Inode>,
    pending: Vec<NameChange>,
}

impl DirectoryNode {
    fn change(&mut self, change: NameChange) {
        apply(&mut self.cache, &change);
        self.pending.push(change);
    }
}

fn apply(names: &mut BTreeMap<String, Inode>, change: &NameChange) {
    match change {
        NameChange::Link(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        NameChange::Unlink(name) => {
            names.remove(name);
        }
        NameChange::Rename(from, to, inode) => {
            names.remove(from);
            names.insert(to.clone(), *inode);
        }
    }
}

#[derive(Clone)]
enum Node {
    File(FileNode),
    Directory(DirectoryNode),
}

/// A write of a process that is gone, which lands after so many more calls.
#[derive(Clone)]
struct Ghost {
    after: u64,
    inode: Inode,
    position: u64,
    bytes: Vec<u8>,
    through: bool,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Disk {
    nodes: BTreeMap<Inode, Node>,
    next_inode: u64,
    random: Prng,
    turn: u64,
    crash_after: Option<u64>,
    fail_after: Option<u64>,
    ghosts: Vec<Ghost>,
    /// Nothing that needs new space succeeds.
    pub(crate) full: bool,
    /// Calls so far.
    pub(crate) calls: u64,
    /// The planned failure has happened.
    pub(crate) failed: bool,
}

const ROOT: Inode = Inode(0);

impl Disk {
    pub(crate) fn new(random: Prng) -> Disk {
        Disk {
            nodes: BTreeMap::from([(ROOT, Node::Directory(DirectoryNode::default()))]),
            next_inode: 1,
            random,
            turn: 0,
            crash_after: None,
            fail_after: None,
            ghosts: Vec::new(),
            full: false,
            calls: 0,
            failed: false,
        }
    }

    /// From the call after so many on, the process is gone. `None` lifts it.
    pub(crate) fn plan_crash(&mut self, after: Option<u64>) {
        self.crash_after = after;
    }

    /// A write or flush after so many more of them fails.
    pub(crate) fn plan_failure(&mut self, after: u64) {
        self.fail_after = Some(after);
    }

    /// No failure comes any more.
    pub(crate) fn heal(&mut self) {
        self.fail_after = None;
        self.full = false;
    }

    fn call(&mut self) -> Fallible<()> {
        self.calls += 1;
        self.land_ghosts(1);
        match &mut self.crash_after {
            Some(0) => Err(DiskFault::Crashed),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A call that can fail for want of a working device.
    fn risky(&mut self) -> Fallible<()> {
        self.call()?;
        match &mut self.fail_after {
            Some(0) => {
                self.fail_after = None;
                self.failed = true;
                Err(DiskFault::Broken)
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn land_ghosts(&mut self, steps: u64) {
        let mut landed = Vec::new();
        self.ghosts.retain_mut(|ghost| {
            if ghost.after < steps {
                landed.push(ghost.clone());
                return false;
            }
            ghost.after -= steps;
            true
        });
        for ghost in landed {
            self.land(ghost.inode, ghost.position, &ghost.bytes, ghost.through);
        }
    }

    /// A submitted write of a process that is gone: nothing, a part, or all of it lands, now or
    /// within `delay` calls.
    pub(crate) fn abandon(
        &mut self,
        inode: Inode,
        position: u64,
        bytes: &[u8],
        through: bool,
        delay: u64,
    ) -> bool {
        let torn = match self.random.below(4) {
            0 => return false,
            1 => {
                let sectors = bytes.len() as u64 / SECTOR_BYTES;
                (self.random.below(sectors + 1) * SECTOR_BYTES) as usize
            }
            _ => bytes.len(),
        };
        let after = self.random.below(delay + 1);
        let bytes = bytes[..torn].to_vec();
        if after == 0 {
            self.land(inode, position, &bytes, through);
        } else {
            self.ghosts.push(Ghost { after, inode, position, bytes, through });
        }
        after > 0
    }

    fn land(&mut self, inode: Inode, position: u64, bytes: &[u8], through: bool) {
        self.turn += 1;
        let turn = self.turn;
        let Some(Node::File(file)) = self.nodes.get_mut(&inode) else { return };
        for sector in file.cache.write(position, bytes) {
            if through {
                file.stable.copy_sector(&file.cache, sector);
                file.dirty.remove(&sector);
            } else {
                file.dirty.insert(sector, turn);
            }
        }
        if through {
            file.stable.length =
                file.stable.length.max(file.cache.length.min(position + bytes.len() as u64));
        }
    }

    fn directory(&self, path: &str) -> Fallible<Inode> {
        let mut at = ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let Some(Node::Directory(directory)) = self.nodes.get(&at) else {
                return Err(DiskFault::NotFound(path.to_owned()));
            };
            at = *directory.cache.get(name).ok_or_else(|| DiskFault::NotFound(path.to_owned()))?;
        }
        Ok(at)
    }

    fn names(&mut self, path: &str) -> Fallible<&mut DirectoryNode> {
        let inode = self.directory(path)?;
        match self.nodes.get_mut(&inode) {
            Some(Node::Directory(directory)) => Ok(directory),
            _ => Err(DiskFault::NotFound(path.to_owned())),
        }
    }

    /// The inode of a path.
    pub(crate) fn find(&self, path: &str) -> Option<Inode> {
        self.directory(path).ok()
    }

    /// Names in a directory, in order.
    pub(crate) fn list(&mut self, path: &str) -> Fallible<Vec<String>> {
        self.call()?;
        Ok(self.names(path)?.cache.keys().cloned().collect())
    }

    /// Makes a directory if it is not there; says whether it was made.
    pub(crate) fn make_directory(&mut self, path: &str) -> Fallible<bool> {
        self.call()?;
        if self.find(path).is_some() {
            return Ok(false);
        }
        self.add(path, Node::Directory(DirectoryNode::default()))?;
        Ok(true)
    }

    fn add(&mut self, path: &str, node: Node) -> Fallible<Inode> {
        if self.full {
            return Err(DiskFault::Full);
        }
        let (parent, name) = split(path);
        let inode = Inode(self.next_inode);
        self.names(parent)?.change(NameChange::Link(name.to_owned(), inode));
        self.next_inode += 1;
        self.nodes.insert(inode, node);
        Ok(inode)
    }

    /// Opens a file, making it if it is not there.
    pub(crate) fn create(&mut self, path: &str, truncate: bool) -> Fallible<Inode> {
        self.call()?;
        match self.find(path) {
            Some(inode) => {
                if truncate {
                    self.set_length(inode, 0)?;
                }
                Ok(inode)
            }
            None => self.add(path, Node::File(FileNode::default())),
        }
    }

    /// Opens a file.
    pub(crate) fn open(&mut self, path: &str) -> Fallible<Inode> {
        self.call()?;
        self.directory(path)
    }

    fn file(&self, inode: Inode) -> &FileNode {
        match self.nodes.get(&inode) {
            Some(Node::File(file)) => file,
            _ => panic!("{inode:?} is no file"),
        }
    }

    fn file_mut(&mut self, inode: Inode) -> &mut FileNode {
        match self.nodes.get_mut(&inode) {
            Some(Node::File(file)) => file,
            _ => panic!("{inode:?} is no file"),
        }
    }

    /// Length, in bytes.
    pub(crate) fn length(&self, inode: Inode) -> u64 {
        self.file(inode).cache.length
    }

    /// Reads up to `count` bytes; short at the end of the file.
    pub(crate) fn read(&self, inode: Inode, position: u64, count: usize) -> Vec<u8> {
        self.file(inode).cache.read(position, count)
    }

    /// Reads a whole file.
    pub(crate) fn read_all(&mut self, path: &str) -> Fallible<Vec<u8>> {
        let inode = self.open(path)?;
        let length = self.length(inode);
        Ok(self.read(inode, 0, length as usize))
    }

    /// Writes into the page cache. A crash planned for this call may tear it.
    pub(crate) fn write(&mut self, inode: Inode, position: u64, bytes: &[u8]) -> Fallible<()> {
        let outcome = self.risky();
        if self.full && self.length(inode) < position + bytes.len() as u64 {
            outcome?;
            return Err(DiskFault::Full);
        }
        match outcome {
            Ok(()) => self.land(inode, position, bytes, false),
            Err(DiskFault::Crashed) if self.crash_after == Some(0) => {
                // Only the very call at which the process died; those behind it never began.
                // A sector is written or not.
                let end = position + self.random.below(bytes.len() as u64 + 1);
                let torn = (end / SECTOR_BYTES * SECTOR_BYTES).saturating_sub(position);
                if self.random.chance(1, 2) {
                    self.land(inode, position, &bytes[..torn as usize], false);
                }
                return Err(DiskFault::Crashed);
            }
            Err(fault) => return Err(fault),
        }
        Ok(())
    }

    /// Carries out a submitted direct write: stable at once if `through`, otherwise like any write.
    pub(crate) fn complete(
        &mut self,
        inode: Inode,
        position: u64,
        bytes: &[u8],
        through: bool,
    ) -> Fallible<()> {
        match self.risky() {
            Ok(()) => {
                self.land(inode, position, bytes, through);
                Ok(())
            }
            Err(fault) => {
                // A failed write leaves any of its sectors behind.
                let torn = self.random.below(bytes.len() as u64 / SECTOR_BYTES + 1) * SECTOR_BYTES;
                self.land(inode, position, &bytes[..torn as usize], false);
                Err(fault)
            }
        }
    }

    /// Changes the length.
    pub(crate) fn set_length(&mut self, inode: Inode, length: u64) -> Fallible<()> {
        self.call()?;
        if self.full && self.length(inode) < length {
            return Err(DiskFault::Full);
        }
        self.turn += 1;
        let turn = self.turn;
        let file = self.file_mut(inode);
        let cut = length / SECTOR_BYTES;
        for sector in file.cache.sectors.range(cut..).map(|(sector, _)| *sector).collect::<Vec<_>>()
        {
            file.dirty.insert(sector, turn);
        }
        file.cache.set_length(length);
        Ok(())
    }

    /// Makes a file's content stable.
    pub(crate) fn sync(&mut self, inode: Inode) -> Fallible<()> {
        let outcome = self.risky();
        let file = self.file_mut(inode);
        match outcome {
            Ok(()) => {
                let FileNode { cache, stable, dirty } = file;
                for sector in std::mem::take(dirty).into_keys() {
                    stable.copy_sector(cache, sector);
                }
                stable.set_length(cache.length);
                Ok(())
            }
            Err(DiskFault::Broken) => {
                // The pages count as clean, and never reach the device.
                file.dirty.clear();
                Err(DiskFault::Broken)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Makes a directory's names stable.
    pub(crate) fn sync_directory(&mut self, path: &str) -> Fallible<()> {
        self.risky()?;
        let names = self.names(path)?;
        names.pending.clear();
        names.stable = names.cache.clone();
        Ok(())
    }

    /// Renames within one directory, over whatever has the name.
    pub(crate) fn rename(&mut self, from: &str, to: &str) -> Fallible<()> {
        self.call()?;
        let inode = self.directory(from)?;
        let ((parent, from), (other, to)) = (split(from), split(to));
        assert_eq!(parent, other, "renames stay within a directory");
        let change = NameChange::Rename(from.to_owned(), to.to_owned(), inode);
        self.names(parent)?.change(change);
        Ok(())
    }

    /// Removes a name; false if it is not there.
    pub(crate) fn unlink(&mut self, path: &str) -> Fallible<bool> {
        self.call()?;
        if self.find(path).is_none() {
            return Ok(false);
        }
        let (parent, name) = split(path);
        self.names(parent)?.change(NameChange::Unlink(name.to_owned()));
        Ok(true)
    }

    /// Removes a directory and what is in it, one name after the other.
    pub(crate) fn remove_tree(&mut self, path: &str) -> Fallible<()> {
        for name in self.list(path)? {
            self.unlink(&format!("{path}/{name}"))?;
        }
        self.unlink(path).map(drop)
    }

    /// Ends the process, and perhaps the power. Ghosts of a power cut never land.
    pub(crate) fn cut(&mut self, cut: Cut) {
        self.crash_after = None;
        if cut.is_power() {
            self.ghosts.clear();
            let random = &mut self.random;
            for node in self.nodes.values_mut() {
                match node {
                    Node::File(file) => cut_file(file, cut, random),
                    Node::Directory(directory) => cut_directory(directory, cut, random),
                }
            }
        }
        self.forget_unreachable();
    }

    fn forget_unreachable(&mut self) {
        let mut reached = BTreeSet::from([ROOT]);
        let mut open = vec![ROOT];
        while let Some(inode) = open.pop() {
            if let Some(Node::Directory(directory)) = self.nodes.get(&inode) {
                let pending = directory.pending.iter().filter_map(|change| match change {
                    NameChange::Link(_, inode) | NameChange::Rename(_, _, inode) => Some(inode),
                    NameChange::Unlink(_) => None,
                });
                let named = directory.cache.values().chain(directory.stable.values());
                open.extend(named.chain(pending).filter(|inode| reached.insert(**inode)));
            }
        }
        self.nodes.retain(|inode, _| reached.contains(inode));
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn cut_file(file: &mut FileNode, cut: Cut, random: &mut Prng) {
    let FileNode { cache, stable, dirty } = file;
    let last = dirty.values().copied().max().unwrap_or(0);
    let first = dirty.values().copied().min().unwrap_or(0);
    let until = random.between(first, last + 1);
    let mut pages: BTreeMap<u64, bool> = BTreeMap::new();
    for (sector, turn) in std::mem::take(dirty) {
        let kept = match cut {
            Cut::Kill | Cut::PowerEverything => true,
            Cut::PowerNothing => false,
            Cut::PowerPrefix => turn < until,
            Cut::PowerSectors => random.chance(1, 2),
            Cut::PowerPages => {
                *pages.entry(sector / PAGE_SECTORS).or_insert_with(|| random.chance(1, 2))
            }
        };
        if kept {
            stable.copy_sector(cache, sector);
        }
    }
    let grown = match cut {
        Cut::Kill | Cut::PowerEverything => true,
        Cut::PowerNothing => false,
        _ => random.chance(1, 2),
    };
    let length = if grown { cache.length } else { stable.length };
    stable.set_length(length);
    *cache = stable.clone();
}

fn cut_directory(directory: &mut DirectoryNode, cut: Cut, random: &mut Prng) {
    let pending = std::mem::take(&mut directory.pending);
    let until = random.below(pending.len() as u64 + 1) as usize;
    for (at, change) in pending.iter().enumerate() {
        let kept = match cut {
            Cut::Kill | Cut::PowerEverything => true,
            Cut::PowerNothing => false,
            Cut::PowerPrefix | Cut::PowerPages => at < until,
            Cut::PowerSectors => random.chance(1, 2),
        };
        if kept {
            apply(&mut directory.stable, change);
        }
    }
    directory.cache = directory.stable.clone();
}
