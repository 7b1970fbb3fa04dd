//! Starts the shards, one glommio executor each, and ends them.
//!
//! Order: the machine is checked, the port is tried, every shard makes its ring and its engine, and
//! only when all of them are up does any of them listen.
//!
//! Placement: executors are fenced to all online processors and pin themselves to one after their
//! rings are made. A kernel worker of a ring inherits the affinity its thread had when the ring was
//! made; pinned earlier, the workers that flush files would compete with the shard for its core.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use glommio::{CpuSet, ExecutorJoinHandle, LocalExecutorBuilder, Placement, PoolPlacement};
use tracing::{error, info, warn};

use super::background::Background;
use super::connection::Listener;
use super::data_directory::DataDirectory;
use super::disk::{self, Disk, Janitor, JournalFiles, JournalOptions, Place};
use super::fatal::{self, ExitStatus};
use super::limits_check::{self, Unfit};
use super::mesh::{self, Mesh};
use super::ring::Ring;
use super::segment_files::Exchanges;
use super::signals::{StopSignals, StopSwitch};
use super::turn::{Parts, Shard};
use super::watch::{Pulse, Watchdog};
use super::{hot, sys};
use crate::ids::ShardId;
use crate::limits;
use crate::shard::engine::Engine;

/// How long a port may stay taken by a process that has just ended.
const PORT_PATIENCE: Duration = Duration::from_secs(2);
/// Threads per shard for work that blocks.
const BLOCKING_THREADS: usize = 4;
/// Memory per executor that glommio registers with its rings; they only read eventfds here.
const GLOMMIO_MEMORY_BYTES: usize = 64 * 1024;

/// Connections that may wait to be accepted; more than Kafka's 50, because clients of a restarted
/// broker come back all at once.
const BACKLOG: u32 = 4096;

/// Journal files of a lane.
const JOURNAL_FILES: usize = 8;

/// How to run.
#[derive(Debug)]
pub struct ShellOptions {
    /// Where clients connect. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Opened, and so locked.
    pub data: DataDirectory,
    /// One shard each, pinned to this processor.
    pub cpus: Vec<usize>,
    /// Largest request frame, in bytes (`socket.request.max.bytes`).
    pub request_bytes_max: usize,
    /// Length of a journal file, in bytes.
    pub journal_file_bytes: u64,
    /// Journal files that each lane of a shard may have (`ringmain.journal.files`).
    pub journal_files: usize,
    /// Where signals come from, if the process is stopped by them.
    pub signals: Option<StopSignals>,
    /// Connections that may wait to be accepted, per shard (`socket.listen.backlog.size`).
    pub backlog: u32,
    /// Size of each socket's send buffer; `None` leaves it to the kernel.
    pub send_buffer_bytes: Option<u32>,
    /// Size of each socket's receive buffer; `None` leaves it to the kernel.
    pub receive_buffer_bytes: Option<u32>,
}

impl ShellOptions {
    /// Defaults on the first `shards` processors.
    #[must_use]
    pub fn new(listen: SocketAddr, data: DataDirectory, shards: u16) -> ShellOptions {
        let online = online_cpus();
        ShellOptions {
            listen,
            data,
            cpus: (0..usize::from(shards)).map(|shard| online[shard % online.len()]).collect(),
            request_bytes_max: limits::REQUEST_BYTES_MAX,
            journal_file_bytes: limits::JOURNAL_FILE_BYTES,
            journal_files: JOURNAL_FILES,
            signals: None,
            backlog: BACKLOG,
            send_buffer_bytes: None,
            receive_buffer_bytes: None,
        }
    }
}

/// The processors this process may run on; never empty.
#[must_use]
pub fn online_cpus() -> Vec<usize> {
    let cpus: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
    if cpus.is_empty() { vec![0] } else { cpus }
}

/// Why the shards could not be started.
#[derive(Debug)]
pub struct StartError {
    /// Exit status.
    pub status: ExitStatus,
    /// One line.
    pub reason: String,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl From<Unfit> for StartError {
    fn from(unfit: Unfit) -> StartError {
        StartError { status: unfit.status, reason: unfit.reason }
    }
}

fn failed(status: ExitStatus, reason: impl fmt::Display) -> StartError {
    StartError { status, reason: reason.to_string() }
}

/// Shards at work.
pub struct Running {
    /// Where clients connect.
    pub address: SocketAddr,
    switch: Arc<StopSwitch>,
    executors: Vec<ExecutorJoinHandle<()>>,
    watchdog: Watchdog,
    /// Shards that ended and left nothing to their journals.
    settled: Arc<AtomicUsize>,
    /// Locked as long as this is there.
    data: Arc<DataDirectory>,
}

impl Running {
    /// Stops the shards when it is thrown.
    #[must_use]
    pub fn switch(&self) -> Arc<StopSwitch> {
        Arc::clone(&self.switch)
    }

    /// Waits until every shard has ended.
    pub fn join(self) -> ExitStatus {
        let mut status = ExitStatus::Stopped;
        let count = self.executors.len();
        for executor in self.executors {
            if let Err(error) = executor.join() {
                error!(%error, "a shard did not end in order");
                status = ExitStatus::Start;
            }
        }
        self.watchdog.stop();
        // The checkpoints have everything: the next start need not read the journals.
        if status == ExitStatus::Stopped
            && self.settled.load(Ordering::SeqCst) == count
            && let Err(error) = self.data.retire_journals()
        {
            warn!(%error, "cannot remove journals that are not needed; the next start reads them");
        }
        status
    }
}

/// What a shard reports while it comes up.
enum Report {
    Up,
    Listening,
    Failed(String),
}

/// Starts one shard per processor of the options. `make` is called once in each shard's own thread,
/// so an engine need not be `Send`.
pub fn start<E, F>(options: ShellOptions, make: F) -> Result<Running, StartError>
where
    E: Engine + 'static,
    F: Fn(ShardId) -> Result<E, String> + Send + Sync + 'static,
{
    let ShellOptions {
        listen,
        data,
        cpus,
        request_bytes_max,
        journal_file_bytes,
        journal_files,
        signals,
        backlog,
        send_buffer_bytes,
        receive_buffer_bytes,
    } = options;
    let count = u16::try_from(cpus.len())
        .ok()
        .filter(|count| (1..=limits::SHARDS_MAX).contains(count))
        .ok_or_else(|| failed(ExitStatus::Usage, format_args!("{} shards", cpus.len())))?;
    let descriptors = limits_check::descriptors(cpus.len(), journal_files)?;
    let given_up = limits_check::check(cpus.len())?;
    for line in given_up {
        warn!("{line}");
    }
    let root = data.root().to_owned();
    data.make_journal_directory().and_then(|_| data.sync_journals()).map_err(|error| {
        failed(ExitStatus::DataDirectory, format_args!("making the journal directory: {error}"))
    })?;
    let direct = disk::takes_direct_writes(data.journals());
    if !direct {
        warn!(
            "the file system of {} has no direct I/O: every group commit costs a flush on a kernel \
             worker; put it on ext4 or XFS",
            data.journals().display()
        );
    }
    let (address, sockets) = bind_all(listen, count)?;
    for socket in &sockets {
        // Accepted sockets inherit both.
        sys::set_buffers(socket.as_fd(), send_buffer_bytes, receive_buffer_bytes)
            .map_err(|error| failed(ExitStatus::Port, format_args!("socket buffers: {error}")))?;
    }
    let online = CpuSet::online().map_err(|error| failed(ExitStatus::Start, error))?;
    let data = Arc::new(data);
    let (meshes, doors) = mesh::full::<E::Message>(count);
    let switch = Arc::new(StopSwitch::new(Arc::clone(&doors)));
    let make = Arc::new(make);
    let (reports, reported) = channel();
    let janitor = Janitor::default();
    let settled = Arc::new(AtomicUsize::new(0));
    let exchanges = Arc::new(Exchanges::default());
    let mut pulses = Vec::new();
    let mut gates = Vec::new();
    let mut executors = Vec::new();
    for (shard, (mesh, socket)) in meshes.into_iter().zip(sockets).enumerate() {
        let pulse = Arc::new(Pulse::default());
        let (gate, opened) = channel();
        let place = Place {
            root: root.clone(),
            journals: data.journals().to_owned(),
            shard: ShardId(shard as u16),
            incarnation: data.incarnation(),
            janitor: janitor.clone(),
            descriptors: Arc::clone(&descriptors),
            exchanges: Arc::clone(&exchanges),
        };
        let seed = Seed {
            place: Arc::new(place),
            cpu: cpus[shard],
            socket,
            mesh,
            pulse: Arc::clone(&pulse),
            request_bytes_max,
            backlog,
            journal: JournalOptions { file_bytes: journal_file_bytes, direct },
            reports: reports.clone(),
            // Only `Sync` things may be captured by reference in the executor's future.
            opened: Mutex::new(opened),
            switch: Arc::clone(&switch),
            settled: Arc::clone(&settled),
        };
        let make = Arc::clone(&make);
        let executor = LocalExecutorBuilder::new(Placement::Fenced(online.clone()))
            .name(&format!("shard-{shard}"))
            .io_memory(GLOMMIO_MEMORY_BYTES)
            .blocking_thread_pool_placement(PoolPlacement::Unbound(BLOCKING_THREADS))
            .spawn(move || seed.grow(make))
            .map_err(|error| failed(ExitStatus::Start, error))?;
        pulses.push(pulse);
        gates.push(gate);
        executors.push(executor);
    }
    drop(reports);
    let all = |expected: fn(&Report) -> bool| -> Result<(), StartError> {
        for _ in 0..count {
            match reported.recv() {
                Ok(report) if expected(&report) => {}
                Ok(Report::Failed(reason)) => return Err(failed(ExitStatus::Start, reason)),
                Ok(_) | Err(_) => {
                    return Err(failed(ExitStatus::Start, "a shard ended while it came up"));
                }
            }
        }
        Ok(())
    };
    // Gates dropped by an early return let the shards that are up end again.
    all(|report| matches!(report, Report::Up))?;
    // Before a client can have been promised anything.
    if let Some(signals) = signals {
        signals.hand_over(Arc::clone(&switch));
    }
    for gate in &gates {
        // A shard that is gone says so in the next report.
        let _ = gate.send(());
    }
    all(|report| matches!(report, Report::Listening))?;
    let watchdog = Watchdog::start(pulses, doors)
        .map_err(|error| failed(ExitStatus::Start, format_args!("the watchdog: {error}")))?;
    Ok(Running { address, switch, executors, watchdog, settled, data })
}

/// Starts, serves until a signal asks to stop, and returns the status to exit with.
pub fn run<E, F>(options: ShellOptions, make: F) -> ExitStatus
where
    E: Engine + 'static,
    F: Fn(ShardId) -> Result<E, String> + Send + Sync + 'static,
{
    fatal::abort_on_panic();
    let shards = options.cpus.len();
    let running = match start(options, make) {
        Ok(running) => running,
        Err(error) => {
            error!("{error}");
            return error.status;
        }
    };
    info!(address = %running.address, shards, "serving");
    let status = running.join();
    info!("stopped");
    status
}

/// What is quick only while the process has a single thread.
pub fn prepare_process() {
    sys::register_barrier();
    sys::tune_allocator();
}

/// Whether so many shards with so many journal files can open what they need. The soft limit is
/// raised for it.
///
/// # Errors
/// They cannot; the reason says how many descriptors it takes.
pub fn check_descriptors(shards: usize, journal_files: usize) -> Result<(), StartError> {
    limits_check::descriptors(shards, journal_files)?;
    Ok(())
}

/// Whether the port can be listened on, so that a start that cannot serve says so before it has
/// recovered anything. Gives the address, in which port 0 has become a free one.
///
/// # Errors
/// The port is taken, or may not be used.
pub fn probe_port(listen: SocketAddr) -> Result<SocketAddr, StartError> {
    // Sockets that share a port bind beside those of another broker of the same user without an
    // error, and take half of its connections. One that does not share tells.
    let probe = || -> io::Result<SocketAddr> {
        let probe = sys::bind(listen, false)?;
        sys::listen(probe.as_fd(), 1)?;
        sys::local_address(probe.as_fd())
    };
    // The kernel takes down the rings of a process that was killed after it is gone, and with them
    // its listening sockets: a restart at once would find its own port taken.
    let deadline = Instant::now() + PORT_PATIENCE;
    loop {
        match probe() {
            Err(error)
                if error.raw_os_error() == Some(libc::EADDRINUSE) && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            other => return other.map_err(|error| port_refused(listen, &error)),
        }
    }
}

fn port_refused(listen: SocketAddr, error: &io::Error) -> StartError {
    let reason = match error.raw_os_error() {
        Some(libc::EADDRINUSE) => format!(
            "port {} of {} is taken by another program; stop it or choose another port with \
             --listen",
            listen.port(),
            listen.ip()
        ),
        Some(libc::EACCES) => format!(
            "port {} may not be opened by this user; choose one above 1023 with --listen",
            listen.port()
        ),
        _ => format!("cannot listen on {listen}: {error}"),
    };
    failed(ExitStatus::Port, reason)
}

/// One listening socket per shard on the same port.
fn bind_all(listen: SocketAddr, count: u16) -> Result<(SocketAddr, Vec<OwnedFd>), StartError> {
    let address = probe_port(listen)?;
    let sockets = (0..count)
        .map(|_| sys::bind(address, true))
        .collect::<io::Result<Vec<OwnedFd>>>()
        .map_err(|error| port_refused(listen, &error))?;
    Ok((address, sockets))
}

/// What a shard is grown from, in its own thread.
struct Seed<M> {
    place: Arc<Place>,
    cpu: usize,
    socket: OwnedFd,
    mesh: Mesh<M>,
    pulse: Arc<Pulse>,
    request_bytes_max: usize,
    backlog: u32,
    journal: JournalOptions,
    reports: Sender<Report>,
    opened: Mutex<Receiver<()>>,
    switch: Arc<StopSwitch>,
    settled: Arc<AtomicUsize>,
}

impl<M: Send + 'static> Seed<M> {
    async fn grow<E, F>(self, make: Arc<F>)
    where
        E: Engine<Message = M> + 'static,
        F: Fn(ShardId) -> Result<E, String>,
    {
        let reports = self.reports.clone();
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let switch = Arc::clone(&self.switch);
        let shard = self.place.shard;
        drop(opened);
        let opened = self.opened;
        let parts = Seed::<M>::parts(
            self.place,
            self.cpu,
            Listener::new(self.socket, self.backlog),
            self.mesh,
            self.pulse,
            (self.request_bytes_max, self.journal),
            make,
        )
        .await;
        let mut grown = match parts {
            Ok(grown) => grown,
            Err(reason) => {
                // If nobody listens any more, the start has failed already.
                let _ = reports.send(Report::Failed(format!("shard {shard}: {reason}")));
                return;
            }
        };
        let _ = reports.send(Report::Up);
        let go = opened.lock().unwrap_or_else(PoisonError::into_inner).recv().is_ok();
        if !go {
            return;
        }
        let report = match grown.listen() {
            Ok(()) => Report::Listening,
            Err(error) => Report::Failed(format!("shard {shard} cannot listen: {error}")),
        };
        let _ = reports.send(report);
        drop(reports);
        hot::run(&mut grown, &|| switch.is_asked()).await;
        if !grown.needs_journals() {
            self.settled.fetch_add(1, Ordering::SeqCst);
        }
        grown.mesh.door().close();
    }

    async fn parts<E, F>(
        place: Arc<Place>,
        cpu: usize,
        listener: Listener,
        mesh: Mesh<M>,
        pulse: Arc<Pulse>,
        (frame_bytes_max, journal): (usize, JournalOptions),
        make: Arc<F>,
    ) -> Result<Shard<E>, String>
    where
        E: Engine<Message = M> + 'static,
        F: Fn(ShardId) -> Result<E, String>,
    {
        let ring = Ring::new().map_err(|error| format!("its io_uring: {error}"))?;
        if !core_affinity::set_for_current(core_affinity::CoreId { id: cpu }) {
            warn!(cpu, "cannot pin a shard to its processor");
        }
        // The first park of an executor registers a memory barrier, which takes 10 ms and more.
        glommio::timer::sleep(Duration::from_millis(1)).await;
        mesh.door().open(&ring);
        let engine = make(place.shard)?;
        let descriptors = Arc::clone(&place.descriptors);
        let background = Background::new();
        Shard::new(Parts {
            ring,
            engine,
            listener,
            mesh,
            disk: Disk::new(Arc::clone(&place)),
            journal: JournalFiles::new(place, journal),
            background,
            pulse,
            frame_bytes_max,
            descriptors,
        })
        .map_err(|error| format!("its receive buffers: {error}"))
    }
}
