//! `ringload kafka`: Apache Kafka as a single node on loopback, to compare with or to try things on.

mod install;
mod node;

use std::path::PathBuf;
use std::time::Duration;

pub(crate) use install::{Choice, Install};
pub(crate) use node::{Node, STOP_PATIENCE, Settings};

use crate::failure::Failure;
use crate::process::{Scratch, free_port, pause};
use crate::system;

/// Options of the command.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct KafkaOptions {
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// Port on 127.0.0.1; 0 is any free one.
    #[arg(long, default_value_t = 9092)]
    pub(crate) port: u16,
    /// Where its data lives; formatted if it is new (default: a temporary directory, removed at the end).
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Threads that read requests and send replies (num.network.threads).
    #[arg(long, default_value_t = 3)]
    pub(crate) network_threads: u32,
    /// Threads that work on requests (num.io.threads).
    #[arg(long, default_value_t = 8)]
    pub(crate) io_threads: u32,
    /// Size of its heap in MiB, from the start to the end.
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    pub(crate) heap: u64,
    /// Any other line of server.properties. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = crate::options::parse_pair)]
    pub(crate) more: Vec<(String, String)>,
    /// Only get it; prints its version.
    #[arg(long)]
    pub(crate) fetch: bool,
}

/// Runs the command: until it is interrupted.
pub(crate) fn run(options: &KafkaOptions) -> Result<(), Failure> {
    let install = options.choice.install()?;
    if options.fetch {
        println!("{}", install.version);
        return Ok(());
    }
    let port = if options.port == 0 { free_port()? } else { options.port };
    let mut scratch = None;
    let directory = match &options.data_dir {
        Some(directory) => std::fs::create_dir_all(directory)
            .and_then(|()| directory.canonicalize())
            .map_err(|error| Failure::Local(format!("{}: {error}", directory.display())))?,
        None => {
            let made = Scratch::new(&std::env::temp_dir(), "ringload-kafka", 1)?;
            scratch.insert(made).path().to_owned()
        }
    };
    let settings = Settings {
        network_threads: options.network_threads,
        io_threads: options.io_threads,
        heap_mib: options.heap,
        pre_touch: true,
        more: options.more.clone(),
    };
    let node = Node::new(&install, settings, &directory, port, free_port()?)?;
    node.format()?;
    // What an earlier start has said there must not be taken for this one's.
    let _ = std::fs::remove_file(node.log());
    let mut program = node.start(&[])?;
    node.wait_until_ready(&mut program)?;
    let seconds = program.started.elapsed().as_secs_f64();
    println!("Apache Kafka {} listens on 127.0.0.1:{port}", install.version);
    eprintln!(
        "started in {seconds:.1} s, process {}, log {}; Ctrl-C stops it",
        program.pid(),
        node.log().display()
    );
    while !system::is_interrupted() {
        if let Some(status) = program.ended()? {
            return Err(program.complain(&format!("(Apache Kafka) ended with {status}")));
        }
        let _ = pause(Duration::from_millis(100));
    }
    program.stop(STOP_PATIENCE)
}
