//! The machine: what it is, the state of its memory before a run, cores that are kept awake.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::results::Machine;
use crate::failure::Failure;
use crate::process::Program;
use crate::system;

/// Memory that is left alone when memory is conditioned, for everything that runs.
const LEFT_ALONE_BYTES: u64 = 4 << 30;

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

/// How memory is prepared before a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conditioning {
    /// Bytes to be touched; `None` is all that is available but what has to be left alone.
    pub(crate) bytes: Option<u64>,
}

impl Conditioning {
    /// Drops the page cache, then touches memory and gives it back: a run then begins with free
    /// pages that the host of a virtual machine has really given to it. False if not permitted.
    pub(crate) fn apply(self) -> Result<bool, Failure> {
        system::sync_all();
        if fs::write("/proc/sys/vm/drop_caches", "3\n").is_err() {
            return Ok(false);
        }
        let spare = memory("MemAvailable").saturating_sub(LEFT_ALONE_BYTES);
        let bytes = self.bytes.unwrap_or(spare).min(spare);
        if bytes > 0 {
            system::touch_memory(bytes as usize)
                .map_err(|error| Failure::Local(format!("touching {bytes} bytes: {error}")))?;
        }
        Ok(true)
    }
}

/// A busy loop on every core that gives way to everything else, so that no core falls asleep: in a
/// virtual machine, waking one takes up to milliseconds, which would be measured in place of the
/// broker.
#[derive(Debug)]
pub(crate) struct Spinners {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
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
