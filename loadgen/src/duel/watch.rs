//! What a run costs the machine: CPU of everything but the generator, memory, threads.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::results::Measured;
use crate::failure::Failure;
use crate::system::{self, Usage};

const LOOK: Duration = Duration::from_millis(250);

/// (busy, steal) seconds of the whole machine since its boot.
fn machine_seconds(stat: &str) -> (f64, f64) {
    let first = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> =
        first.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    let at = |index: usize| ticks.get(index).copied().unwrap_or_default();
    // user nice system idle iowait irq softirq steal
    let busy = at(0) + at(1) + at(2) + at(5) + at(6);
    (busy / system::ticks_per_second(), at(7) / system::ticks_per_second())
}

/// CPU seconds of one process, its ended threads included.
pub(crate) fn process_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in parentheses, may hold anything.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks =
        |index: usize| rest.split_whitespace().nth(index).and_then(|word| word.parse::<f64>().ok());
    (ticks(11).unwrap_or_default() + ticks(12).unwrap_or_default()) / system::ticks_per_second()
}

/// A row of /proc/PID/status in bytes: VmRSS, VmHWM.
pub(crate) fn memory_bytes(pid: u32, row: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    number_of(&status, row) * 1024.0
}

fn number_of(status: &str, row: &str) -> f64 {
    let found = status.lines().find_map(|line| line.strip_prefix(row)?.strip_prefix(':'));
    found.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// What was seen of a process's threads.
#[derive(Debug, Default)]
struct Threads {
    /// Most workers of the kernel's io_uring at a time.
    workers_max: u64,
    /// By thread: context switches when first and last seen.
    switches: BTreeMap<String, (f64, f64)>,
}

impl Threads {
    /// `first` counts what was before as nothing; threads that come later began at 0.
    fn look(&mut self, pid: u32, first: bool) {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return };
        let mut workers = 0;
        for task in tasks.flatten() {
            let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
            workers += u64::from(read("comm").starts_with("iou-wrk"));
            let status = read("status");
            let switches = number_of(&status, "voluntary_ctxt_switches")
                + number_of(&status, "nonvoluntary_ctxt_switches");
            let id = task.file_name().to_string_lossy().into_owned();
            let begun = if first { switches } else { 0.0 };
            self.switches.entry(id).or_insert((begun, begun)).1 = switches;
        }
        self.workers_max = self.workers_max.max(workers);
    }

    fn switches(&self) -> f64 {
        self.switches.values().map(|(first, last)| (last - first).max(0.0)).sum()
    }
}

/// A measurement under way.
///
/// CPU of the broker's side is that of the whole machine minus that of the generators, which are
/// children of this process that end within the window, and minus this process's own. The window
/// ends when everything is written back, so that this is charged to whoever caused it.
#[derive(Debug)]
pub(crate) struct Watch {
    pid: u32,
    started: Instant,
    machine: (f64, f64),
    process: f64,
    own: f64,
    children: f64,
    stop: Arc<AtomicBool>,
    sampler: Option<JoinHandle<Threads>>,
}

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) server_seconds: f64,
    pub(crate) process_seconds: f64,
    pub(crate) client_seconds: f64,
    /// Share of the machine's time that its host took away.
    pub(crate) steal: f64,
    pub(crate) workers_max: f64,
    pub(crate) switches: f64,
    pub(crate) resident_bytes_max: f64,
}

fn stat() -> (f64, f64) {
    machine_seconds(&fs::read_to_string("/proc/stat").unwrap_or_default())
}

impl Watch {
    pub(crate) fn begin(pid: u32) -> Result<Watch, Failure> {
        system::sync_all();
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Threads::default();
        threads.look(pid, true);
        threads.workers_max = 0;
        let stopped = Arc::clone(&stop);
        let sampler = std::thread::Builder::new().name("watch".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::park_timeout(LOOK);
                threads.look(pid, false);
            }
            threads
        });
        let sampler = sampler.map_err(|error| Failure::Local(format!("no thread: {error}")))?;
        Ok(Watch {
            pid,
            process: process_seconds(pid),
            own: Usage::now().cpu_seconds(),
            children: Usage::of_children().cpu_seconds(),
            stop,
            sampler: Some(sampler),
            machine: stat(),
            started: Instant::now(),
        })
    }

    fn threads(&mut self) -> Threads {
        self.stop.store(true, Ordering::Relaxed);
        let Some(sampler) = self.sampler.take() else { return Threads::default() };
        sampler.thread().unpark();
        sampler.join().unwrap_or_default()
    }

    pub(crate) fn end(mut self) -> Cost {
        system::sync_all();
        let machine = stat();
        let seconds = self.started.elapsed().as_secs_f64();
        let client_seconds = Usage::of_children().cpu_seconds() - self.children;
        let own = Usage::now().cpu_seconds() - self.own;
        let process = process_seconds(self.pid) - self.process;
        let threads = self.threads();
        let cores = system::allowed_cores().len().max(1) as f64;
        Cost {
            server_seconds: (machine.0 - self.machine.0 - client_seconds - own).max(0.0),
            process_seconds: process,
            client_seconds,
            steal: (machine.1 - self.machine.1) / seconds.max(1e-9) / cores,
            workers_max: threads.workers_max as f64,
            switches: threads.switches(),
            resident_bytes_max: memory_bytes(self.pid, "VmHWM"),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.threads();
    }
}

impl Cost {
    /// The values that every run has.
    pub(crate) fn put(&self, measured: &mut Measured) {
        measured.put("RSS", "MB", self.resident_bytes_max / 1e6);
        measured.put("iou-wrk", "threads", self.workers_max);
        measured.put("context switches", "", self.switches);
        measured.put("steal", "share", self.steal);
    }

    /// CPU for each GB of `bytes`.
    pub(crate) fn put_per_gb(&self, bytes: f64, measured: &mut Measured) {
        let per_gb = |seconds: f64| seconds / (bytes / 1e9);
        measured.put("server CPU", "CPU-s/GB", per_gb(self.server_seconds));
        measured.put("process CPU", "CPU-s/GB", per_gb(self.process_seconds));
        measured.put("client CPU", "CPU-s/GB", per_gb(self.client_seconds));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_waiting_and_stolen_time_is_not_busy() {
        let ticks = system::ticks_per_second();
        let text = "cpu  100 10 50 9999 777 5 15 20 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(machine_seconds(text), (180.0 / ticks, 20.0 / ticks));
    }

    #[test]
    fn rows_of_a_status_file() {
        let text = "Name:\tx\nVmHWM:\t  2048 kB\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(number_of(text, "VmHWM"), 2048.0);
        assert_eq!(number_of(text, "voluntary_ctxt_switches"), 7.0);
        assert_eq!(number_of(text, "absent"), 0.0);
    }

    #[test]
    fn this_process_can_be_watched() {
        let watch = Watch::begin(std::process::id()).unwrap();
        let cost = watch.end();
        assert!(cost.resident_bytes_max > 1e6, "{cost:?}");
        assert_eq!(cost.workers_max, 0.0);
    }
}
