//! The two contenders, each started anew for every run: on a fresh data directory, on the same
//! filesystem, in the same placement.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::cells::Placement;
use super::probe;
use crate::client::control::Control;
use crate::failure::Failure;
use crate::kafka::{Install, Node, Settings};
use crate::process::{Program, Scratch, found, free_port, pause};
use crate::system;

/// What data directories are called, below the root.
pub(crate) const PREFIX: &str = "ringload-duel";
/// How long our broker may take until it serves.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Whose run it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Ringmain,
    Kafka,
}

impl Side {
    pub(crate) fn id(self) -> &'static str {
        match self {
            Side::Ringmain => "ringmain",
            Side::Kafka => "kafka",
        }
    }
}

/// How many threads Kafka gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Threads {
    pub(crate) network: u32,
    pub(crate) io: u32,
}

/// Kafka's own defaults.
pub(crate) const DEFAULT_THREADS: Threads = Threads { network: 3, io: 8 };

/// How a broker is started for a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) placement: Placement,
    pub(crate) threads: Threads,
    /// With the heap that Kafka's start script gives it, and no more: for what a start costs.
    pub(crate) plain: bool,
}

/// Both contenders, and where they get their directories.
#[derive(Debug)]
pub(crate) struct Contenders {
    ringmain: PathBuf,
    pub(crate) kafka: Install,
    root: PathBuf,
    cores: Vec<usize>,
    /// A directory that Kafka has formatted, to be copied: formatting takes seconds.
    template: Scratch,
    made: Cell<u64>,
    heap_mib: u64,
}

/// Heap of a Kafka under load; the page cache gets the rest of the memory.
fn heap_mib(memory_bytes: u64) -> u64 {
    if memory_bytes >= 16 << 30 { 3072 } else { 2048 }
}

impl Contenders {
    pub(crate) fn new(
        ringmain: PathBuf,
        kafka: Install,
        root: PathBuf,
        memory_bytes: u64,
    ) -> Result<Contenders, Failure> {
        Scratch::sweep(&root, PREFIX);
        let template = Scratch::new(&root, PREFIX, 0)?;
        let contenders = Contenders {
            ringmain,
            kafka,
            cores: system::allowed_cores(),
            template,
            root,
            made: Cell::new(0),
            heap_mib: heap_mib(memory_bytes),
        };
        let settings = contenders.settings(DEFAULT_THREADS, false);
        let directory = contenders.template.path();
        Node::new(&contenders.kafka, settings, directory, free_port()?, free_port()?)?.format()?;
        Ok(contenders)
    }

    fn settings(&self, threads: Threads, plain: bool) -> Settings {
        Settings {
            network_threads: threads.network,
            io_threads: threads.io,
            // kafka-server-start.sh's own heap.
            heap_mib: if plain { 1024 } else { self.heap_mib },
            pre_touch: !plain,
            more: Vec::new(),
        }
    }

    /// A new directory below the root.
    pub(crate) fn scratch(&self) -> Result<Scratch, Failure> {
        self.made.set(self.made.get() + 1);
        Scratch::new(&self.root, PREFIX, self.made.get())
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Cores for brokers; all if empty.
    pub(crate) fn broker_cores(&self, placement: Placement) -> Vec<usize> {
        match placement {
            Placement::Pinned => self.cores.iter().copied().take(1).collect(),
            Placement::Free => Vec::new(),
        }
    }

    /// Cores for clients; all if empty.
    pub(crate) fn client_cores(&self, placement: Placement) -> Vec<usize> {
        match placement {
            Placement::Pinned => self.cores.iter().copied().skip(1).take(1).collect(),
            Placement::Free => Vec::new(),
        }
    }

    /// A broker that is not started yet, on an empty directory.
    pub(crate) fn prepare(&self, side: Side, start: Start) -> Result<Server<'_>, Failure> {
        let directory = self.scratch()?;
        let port = free_port()?;
        let node = match side {
            Side::Ringmain => None,
            Side::Kafka => {
                let settings = self.settings(start.threads, start.plain);
                let node = Node::new(&self.kafka, settings, directory.path(), port, free_port()?)?;
                copy_tree(&self.template.path().join("data"), &node.data()).map_err(|error| {
                    Failure::Local(format!("{}: {error}", node.data().display()))
                })?;
                Some(node)
            }
        };
        Ok(Server { contenders: self, start, node, port, program: None, directory })
    }

    /// What is set about our broker, one KEY=VALUE a line.
    pub(crate) fn ringmain_configuration(&self) -> String {
        let output = Command::new(&self.ringmain).arg("check-config").output();
        let shown = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        format!(
            "placement free: --shards {}, placement pinned: --shards 1 --cpus {}\n{}",
            self.cores.len(),
            self.cores.first().copied().unwrap_or_default(),
            shown.unwrap_or_default().trim()
        )
    }

    /// Our broker's version and the commit it was built from, where that can be found out.
    pub(crate) fn ringmain_version(&self) -> String {
        let said = |command: &mut Command| {
            let output = command.output().ok().filter(|output| output.status.success());
            output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let version = said(Command::new(&self.ringmain).arg("--version")).unwrap_or_default();
        let version = version.trim_start_matches("ringmain ").to_owned();
        let folder = self.ringmain.parent().unwrap_or(Path::new("."));
        let mut git = Command::new("git");
        git.current_dir(folder).args(["rev-parse", "--short", "HEAD"]);
        match said(&mut git) {
            Some(commit) if !commit.is_empty() => format!("{version} ({commit})"),
            _ => version,
        }
    }

    /// Kafka's configuration and virtual machine.
    pub(crate) fn kafka_configuration(&self, search: &str) -> String {
        let settings = self.settings(DEFAULT_THREADS, false);
        let lines = settings.properties(Path::new("DIR/data"), 9092, 9093);
        format!(
            "{}\nJVM: {}\nW17: -Xms1024m -Xmx1024m and no AlwaysPreTouch, as kafka-server-start.sh has it\nthreads: {search}\n{lines}",
            self.kafka.java_version,
            settings.jvm().join(" ")
        )
    }
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// A broker with a directory of its own; both end with this value.
#[derive(Debug)]
pub(crate) struct Server<'a> {
    contenders: &'a Contenders,
    start: Start,
    /// Kafka's; ours needs no configuration.
    node: Option<Node<'a>>,
    pub(crate) port: u16,
    program: Option<Program>,
    /// After the program, so that it goes after it.
    directory: Scratch,
}

impl Server<'_> {
    /// Starts it and does not wait.
    pub(crate) fn start(&mut self) -> Result<&mut Program, Failure> {
        let cores = self.contenders.broker_cores(self.start.placement);
        let program = match &self.node {
            Some(node) => node.start(&cores)?,
            None => {
                let mut command = Command::new(&self.contenders.ringmain);
                command.arg("serve").arg("--data-dir").arg(self.directory.path().join("data"));
                command.args(["--listen", &format!("127.0.0.1:{}", self.port)]);
                let shards = if cores.is_empty() { self.contenders.cores.len() } else { 1 };
                command.args(["--shards", &shards.to_string()]);
                if let Some(core) = cores.first() {
                    command.args(["--cpus", &core.to_string()]);
                }
                Program::start(command, &cores, &self.directory.path().join("server.log"))?
            }
        };
        Ok(self.program.insert(program))
    }

    /// Starts it and waits until it serves; milliseconds that took.
    pub(crate) fn serve(&mut self) -> Result<f64, Failure> {
        self.start()?;
        let port = self.port;
        let Some(program) = &mut self.program else {
            return Err(Failure::Local("no broker".to_owned()));
        };
        if let Some(node) = &self.node {
            node.wait_until_ready(program)?;
        } else {
            let give_up = Instant::now() + START_PATIENCE;
            let address = format!("127.0.0.1:{port}");
            while Control::open(&address, Duration::from_secs(5), &[]).is_err() {
                if program.ended()?.is_some() || Instant::now() > give_up {
                    return Err(program.complain("does not serve"));
                }
                pause(Duration::from_millis(5))?;
            }
        }
        Ok(program.started.elapsed().as_secs_f64() * 1000.0)
    }

    /// Starts it; milliseconds until it has acknowledged a record.
    pub(crate) fn until_first_ack(&mut self, topic: &str, create: bool) -> Result<f64, Failure> {
        let port = self.port;
        probe::first_ack(self.start()?, port, topic, create)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.program.as_ref().map_or(0, Program::pid)
    }

    /// Whether it still runs; if not, with the end of its log.
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        match &mut self.program {
            Some(program) => match program.ended()? {
                Some(status) => Err(program.complain(&format!("ended with {status}"))),
                None => Ok(()),
            },
            None => Err(Failure::Local("no broker".to_owned())),
        }
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.program = None;
    }

    /// Ends it in order.
    pub(crate) fn stop(&mut self) -> Result<(), Failure> {
        match self.program.take() {
            Some(mut program) => program.stop(crate::kafka::STOP_PATIENCE),
            None => Ok(()),
        }
    }

    /// A place for the files of its clients.
    pub(crate) fn files(&self) -> &Path {
        self.directory.path()
    }
}

/// Our broker's program: the one named, or the one beside this program, built first if this program
/// lies in the target directory of its sources.
pub(crate) fn ringmain_program(named: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(named) = named {
        return match named.canonicalize() {
            Ok(path) if path.is_file() => Ok(path),
            _ => Err(Failure::Usage(format!("{} is no program", named.display()))),
        };
    }
    let own = std::env::current_exe()
        .map_err(|error| Failure::Local(format!("cannot find this program: {error}")))?;
    let folder = own.parent().unwrap_or(Path::new("/"));
    let beside = folder.join("ringmain");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"));
    let release = folder.ends_with("release") && folder.starts_with(sources);
    if let (true, true, Some(cargo)) =
        (release, sources.join("Cargo.toml").is_file(), found("cargo"))
    {
        eprintln!("building ringmain");
        let status = Command::new(cargo)
            .current_dir(sources)
            .args(["build", "--release", "--quiet", "--package", "ringmain", "--bin", "ringmain"])
            .status()
            .map_err(|error| Failure::Local(format!("cargo: {error}")))?;
        if !status.success() {
            return Err(Failure::Local("ringmain could not be built".to_owned()));
        }
    }
    if beside.is_file() {
        Ok(beside)
    } else {
        Err(Failure::Usage(format!("{} is missing: give --ringmain PATH", beside.display())))
    }
}
