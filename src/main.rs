//! The `ringmain` program: arguments, configuration, hand-over.

use std::io::{BufWriter, ErrorKind, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;

use clap::{Args, Parser, Subcommand};
use ringmain::config::Settings;
use ringmain::shard::Shard;
use ringmain::shell::boot::{self, ShellOptions, StartError};
use ringmain::shell::clock;
use ringmain::shell::data_directory::{DataDirectory, OpenError};
use ringmain::shell::fatal::ExitStatus;
use ringmain::shell::signals::StopSignals;
use ringmain::shell::{inspect, restore, trace};
use tracing::{error, info, warn};

/// A Kafka-protocol event broker: one thread and one io_uring per core.
#[derive(Debug, Parser)]
#[command(name = "ringmain", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a broker.
    Serve(Broker),
    /// Check the configuration and print the settings that would be in force.
    CheckConfig(Broker),
    /// Show what a segment (.log, .index, .timeindex) or journal file (.journal) holds.
    DumpLog {
        /// The files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct Broker {
    /// TOML file with Kafka's keys.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the data lives (log.dirs).
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Where clients connect (listeners).
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// What clients are told to connect to (advertised.listeners).
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Number of shards; one per core if not given (ringmain.shards).
    #[arg(long, value_name = "N")]
    shards: Option<u16>,
    /// Cores to run on, such as 0,2-3 (ringmain.cpus).
    #[arg(long, value_name = "LIST")]
    cpus: Option<String>,
    /// Any other setting.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    trace::start();
    let result = match &cli.command {
        Command::Serve(broker) => run(broker),
        Command::CheckConfig(broker) => check_config(broker),
        Command::DumpLog { files } => dump_log(files),
    };
    let status = result.unwrap_or_else(|error| {
        error!("{error}");
        error.status
    });
    status.into()
}

fn check_config(broker: &Broker) -> Result<ExitStatus, StartError> {
    let settings = settings(broker)?;
    for warning in &settings.warnings {
        warn!("{warning}");
    }
    print(settings.render().as_bytes())?;
    Ok(ExitStatus::Stopped)
}

fn dump_log(files: &[PathBuf]) -> Result<ExitStatus, StartError> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    for file in files {
        match inspect::dump(file, &mut out).and_then(|()| out.flush()) {
            Ok(()) => {}
            // Whoever reads along has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
            Err(error) => return Err(usage(format_args!("{}: {error}", file.display()))),
        }
    }
    Ok(ExitStatus::Stopped)
}

fn print(text: &[u8]) -> Result<(), StartError> {
    match std::io::stdout().write_all(text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(usage(error)),
        _ => Ok(()),
    }
}

fn usage(reason: impl std::fmt::Display) -> StartError {
    StartError { status: ExitStatus::Usage, reason: reason.to_string() }
}

fn settings(broker: &Broker) -> Result<Settings, StartError> {
    let text = match &broker.config {
        Some(path) => Some(
            std::fs::read_to_string(path)
                .map_err(|error| usage(format_args!("{}: {error}", path.display())))?,
        ),
        None => None,
    };
    let mut overrides = Vec::new();
    let mut set = |key: &str, value: Option<String>| {
        overrides.extend(value.map(|value| (key.to_owned(), value)));
    };
    set("log.dirs", broker.data_dir.clone());
    set("listeners", broker.listen.as_ref().map(|address| format!("PLAINTEXT://{address}")));
    set("advertised.listeners", broker.advertise.as_ref().map(|a| format!("PLAINTEXT://{a}")));
    set("ringmain.shards", broker.shards.map(|shards| shards.to_string()));
    set("ringmain.cpus", broker.cpus.clone());
    for setting in &broker.settings {
        let (key, value) = setting
            .split_once('=')
            .ok_or_else(|| usage(format_args!("--set {setting}: KEY=VALUE is expected")))?;
        set(key, Some(value.to_owned()));
    }
    Settings::parse(text.as_deref(), &overrides).map_err(|errors| {
        usage(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })
}

fn run(broker: &Broker) -> Result<ExitStatus, StartError> {
    boot::prepare_process();
    // Before anything else: a stop may be asked for at any moment of a start.
    let signals = StopSignals::listen().map_err(|error| StartError {
        status: ExitStatus::Unsupported,
        reason: format!("cannot listen for signals: {error}; set `ulimit -n 1048576`"),
    })?;
    let settings = settings(broker)?;
    for warning in &settings.warnings {
        warn!("{warning}");
    }
    let [listener] = settings.listeners.as_slice() else {
        return Err(usage("exactly one listener is supported"));
    };
    let host = if listener.host.is_empty() { "0.0.0.0" } else { &listener.host };
    let listen: SocketAddr = (host, listener.port)
        .to_socket_addrs()
        .map_err(|error| usage(format_args!("{host}: {error}")))?
        .next()
        .ok_or_else(|| usage(format_args!("{host} has no address")))?;
    let online = boot::online_cpus();
    // A shard per core: those given, or all there are.
    let cores = if settings.cpus.is_empty() { online.len() } else { settings.cpus.len() };
    let shards = settings.shards.unwrap_or(u16::try_from(cores).unwrap_or(u16::MAX));
    let journal_files = settings.journal_files as usize;
    boot::check_descriptors(usize::from(shards), journal_files)?;
    let journals = settings.journal_path.as_deref();
    let data = DataDirectory::open_with(&settings.log_dir, journals).map_err(|error| {
        let status = match error {
            OpenError::Locked(_) => ExitStatus::Locked,
            OpenError::Damaged { .. } => ExitStatus::Corrupt,
            _ => ExitStatus::DataDirectory,
        };
        StartError { status, reason: error.to_string() }
    })?;
    boot::probe_port(listen)?;
    let mut options = ShellOptions::new(listen, data, shards);
    if !settings.cpus.is_empty() {
        options.cpus =
            (0..usize::from(shards)).map(|n| settings.cpus[n % settings.cpus.len()]).collect();
    }
    options.request_bytes_max = settings.socket_request_max_bytes;
    options.journal_file_bytes = settings.journal_file_bytes;
    options.journal_files = journal_files;
    options.signals = Some(signals);
    options.backlog = settings.socket_listen_backlog_size;
    options.send_buffer_bytes = settings.socket_send_buffer_bytes;
    options.receive_buffer_bytes = settings.socket_receive_buffer_bytes;
    let mut random = |bytes: &mut [u8]| {
        use std::io::Read;
        std::fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(bytes)).expect("entropy");
    };
    let seeds = restore::seeds(&settings, &options.data, shards, &mut random, clock::now())?;
    info!(shards, cores = ?options.cpus, partitions = restore::partition_count(&seeds), "shards");
    info!(
        directory = %options.data.journals().display(),
        start = %options.data.incarnation(),
        journal_file_mib = settings.journal_file_bytes >> 20,
        journal_files_max = settings.journal_files,
        "journal"
    );
    let flushed = settings.static_configs.get("log.flush.interval.messages");
    info!(
        flush_messages = flushed.unwrap_or("1"),
        "durability: a topic with flush.messages=1 acknowledges what is on stable storage, with \
         any other value what is written"
    );
    let seeds: Vec<_> = seeds.into_iter().map(|seed| Mutex::new(Some(seed))).collect();
    Ok(boot::run(options, move |shard| {
        let seed = seeds
            .get(usize::from(shard.0))
            .and_then(|seed| seed.lock().ok()?.take())
            .ok_or_else(|| format!("shard {shard} has no seed"))?;
        Ok(Shard::new(seed, clock::now()))
    }))
}
