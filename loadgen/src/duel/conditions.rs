//! The machine: what it is, the state of its memory before a run, cores that are kept awake.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::results::Machine;
use crate::failure::Failure;
use crate::process::Program;
use crate::system::{self, Touched};

/// Memory that is free at any time while the rest is held: more than is taken between two looks.
const FREE_BYTES: u64 = 1 << 30;
/// Memory is held and given back in pieces of this size.
const PIECE_BYTES: u64 = 128 << 20;
/// How often it is looked whether memory is needed.
const GIVE_EVERY: Duration = Duration::from_millis(10);

/// What can be said about the machine; `root` is where data directories will be.
pub(crate) fn describe(root: &Path) -> Result<Machine, Failure> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu_info = read("/proc/cpuinfo");
    let cpu = cpu_info.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    let root = root
        .canonicalize()
        .map_err(|error| Failure::Usage(format!("--root {}: {error}", root.display())))?;
    Ok(Machine {
        cpu: cpu.unwrap_or("unknown").trim().to_owned(),
        cores: system::allowed_cores().len(),
        memory_bytes: memory("MemTotal"),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        filesystem: filesystem(&read("/proc/self/mountinfo"), &root),
        notes: Vec::new(),
    })
}

/// Type, device and options of the filesystem that `path` is on.
fn filesystem(mount_info: &str, path: &Path) -> String {
    let mut best: Option<(usize, String)> = None;
    for line in mount_info.lines() {
        let Some((mount, device)) = line.split_once(" - ") else { continue };
        let words: Vec<&str> = mount.split(' ').collect();
        let (Some(point), Some(options)) = (words.get(4), words.get(5)) else { continue };
        let mut device = device.split(' ');
        let (Some(kind), Some(source)) = (device.next(), device.next()) else { continue };
        let longest = best.as_ref().is_none_or(|(length, _)| point.len() >= *length);
        if path.starts_with(point) && longest {
            best = Some((point.len(), format!("{kind} {source} {options}")));
        }
    }
    best.map_or("unknown".to_owned(), |(_, text)| text)
}

/// Refuses places that are no disk: every figure about durability would be made up.
pub(crate) fn refuse_memory(machine: &Machine, root: &Path) -> Result<(), Failure> {
    let kind = machine.filesystem.split(' ').next().unwrap_or_default();
    if matches!(kind, "tmpfs" | "ramfs") {
        return Err(Failure::Usage(format!(
            "{} is on a {kind}: give --root DIR on a real disk",
            root.display()
        )));
    }
    Ok(())
}

/// Bytes of a row of /proc/meminfo.
pub(crate) fn memory(row: &str) -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let found = text.lines().find_map(|line| line.strip_prefix(row)?.strip_prefix(':'));
    let kib = found.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

/// Forgets the page cache. False if not permitted.
pub(crate) fn drop_caches() -> bool {
    system::sync_all();
    fs::write("/proc/sys/vm/drop_caches", "3\n").is_ok()
}

/// Keeps the memory of the machine in use between runs and gives it out as runs take it.
///
/// The host of a virtual machine takes back pages that lie free for some seconds, and a page that it
/// has to give again costs several times what everything else does with it: whoever comes first
/// would pay for all. So nearly all memory is held, and let go a piece at a time, whenever little is
/// free: what a run gets has been in use a moment before.
#[derive(Debug)]
pub(crate) struct Conditioning {
    /// Bytes to be held; `None` is all that is available but what is left free.
    bytes_max: Option<u64>,
    held: Arc<Mutex<Vec<Touched>>>,
    stop: Arc<AtomicBool>,
    giver: Option<JoinHandle<()>>,
}

impl Conditioning {
    /// Holds nothing yet. `None` if the page cache may not be dropped.
    pub(crate) fn start(bytes_max: Option<u64>) -> Result<Option<Conditioning>, Failure> {
        if !drop_caches() {
            return Ok(None);
        }
        let (held, stop) = (Arc::<Mutex<Vec<Touched>>>::default(), Arc::<AtomicBool>::default());
        let (pieces, stopped) = (Arc::clone(&held), Arc::clone(&stop));
        let giver = move || {
            while !stopped.load(Ordering::Relaxed) {
                while memory("MemFree") < FREE_BYTES {
                    // A piece is given back when it is dropped.
                    if lock(&pieces).pop().is_none() {
                        break;
                    }
                }
                std::thread::park_timeout(GIVE_EVERY);
            }
        };
        let giver = std::thread::Builder::new()
            .name("memory".to_owned())
            .spawn(giver)
            .map_err(|error| Failure::Local(format!("no thread: {error}")))?;
        Ok(Some(Conditioning { bytes_max, held, stop, giver: Some(giver) }))
    }

    /// Forgets the page cache and holds its memory; what is held already stays so. To be called
    /// right after a run: its pages are still there then.
    pub(crate) fn hold(&self) -> Result<(), Failure> {
        if !drop_caches() {
            return Err(Failure::Local("the page cache may not be dropped any more".to_owned()));
        }
        let max = self.bytes_max.unwrap_or(u64::MAX) / PIECE_BYTES;
        while (lock(&self.held).len() as u64) < max
            && memory("MemFree") > FREE_BYTES + 2 * PIECE_BYTES
        {
            let piece = Touched::new(PIECE_BYTES as usize)
                .map_err(|error| Failure::Local(format!("holding memory: {error}")))?;
            lock(&self.held).push(piece);
        }
        Ok(())
    }

    /// Gives everything back.
    pub(crate) fn release(&self) {
        lock(&self.held).clear();
    }
}

impl Drop for Conditioning {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(giver) = self.giver.take() {
            giver.thread().unpark();
            // It does nothing that could panic.
            let _ = giver.join();
        }
    }
}

fn lock(held: &Mutex<Vec<Touched>>) -> MutexGuard<'_, Vec<Touched>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A busy loop on every core that gives way to everything else, so that no core falls asleep: in a
/// virtual machine, waking one takes up to milliseconds, which would be measured in place of the
/// broker.
#[derive(Debug)]
pub(crate) struct Spinners {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// Session groups of the scheduler, switched off for processes that begin meanwhile.
///
/// A loop of idle priority gives way within its group only. In the group of a session it competes
/// with the workers of the kernel like anything else: they waited for the next tick, and with them
/// every completed direct write, 4 ms each (measured: p50 of a response 0.23 ms without session
/// groups, 4.0 ms with).
#[derive(Debug)]
pub(crate) struct Ungrouped;

const AUTOGROUP: &str = "/proc/sys/kernel/sched_autogroup_enabled";

impl Ungrouped {
    /// `None` if they are off already, or may not be switched off.
    pub(crate) fn start() -> Option<Ungrouped> {
        let was_on = fs::read_to_string(AUTOGROUP).is_ok_and(|value| value.trim() == "1");
        (was_on && fs::write(AUTOGROUP, "0").is_ok()).then_some(Ungrouped)
    }
}

impl Drop for Ungrouped {
    fn drop(&mut self) {
        if let Err(error) = fs::write(AUTOGROUP, "1") {
            eprintln!("{AUTOGROUP} could not be set back to 1: {error}");
        }
    }
}

impl Spinners {
    pub(crate) fn start() -> Result<Spinners, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut spinners = Spinners { stop: Arc::clone(&stop), threads: Vec::new() };
        for core in system::allowed_cores() {
            let stop = Arc::clone(&stop);
            let spawned =
                std::thread::Builder::new().name(format!("awake-{core}")).spawn(move || {
                    // One that cannot step back must not spin at all.
                    if system::idle_on(core).is_ok() {
                        while !stop.load(Ordering::Relaxed) {
                            std::hint::spin_loop();
                        }
                    }
                });
            let spawned = spawned.map_err(|error| Failure::Local(format!("no thread: {error}")))?;
            spinners.threads.push(spawned);
        }
        Ok(spinners)
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It does nothing that could panic.
            let _ = thread.join();
        }
    }
}

/// A busy loop on the first core, of ordinary priority.
#[derive(Debug)]
pub(crate) struct Hog {
    _program: Program,
}

impl Hog {
    pub(crate) fn start() -> Result<Hog, Failure> {
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done"]);
        let first = system::allowed_cores().first().copied().unwrap_or_default();
        let program = Program::start(command, &[first], Path::new("/dev/null"))?;
        Ok(Hog { _program: program })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 1 254:0 / / rw,noatime shared:1 - ext4 /dev/vda rw\n\
        30 22 0:25 / /tmp rw,nosuid - tmpfs tmpfs rw,size=1g\n\
        31 22 8:1 / /srv/data rw - xfs /dev/sda1 rw\n";

    #[test]
    fn the_filesystem_is_that_of_the_longest_mount_point() {
        assert_eq!(filesystem(MOUNTS, Path::new("/srv/data/x")), "xfs /dev/sda1 rw");
        assert_eq!(filesystem(MOUNTS, Path::new("/srv/database")), "ext4 /dev/vda rw,noatime");
        assert_eq!(filesystem("", Path::new("/")), "unknown");
    }

    #[test]
    fn a_filesystem_in_memory_is_refused() {
        let mut machine = describe(&std::env::temp_dir()).unwrap();
        machine.filesystem = filesystem(MOUNTS, Path::new("/tmp/duel"));
        assert!(refuse_memory(&machine, Path::new("/tmp/duel")).is_err());
        machine.filesystem = filesystem(MOUNTS, Path::new("/srv/data"));
        assert!(refuse_memory(&machine, Path::new("/srv/data")).is_ok());
        assert!(machine.cores > 0 && machine.memory_bytes > 0);
    }
}
