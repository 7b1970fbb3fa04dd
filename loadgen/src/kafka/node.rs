//! One Apache Kafka node: broker and controller in one process, on loopback.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::install::Install;
use crate::client::control::Control;
use crate::failure::Failure;
use crate::process::{Program, pause};

/// How long formatting, or a start, may take.
const START_PATIENCE: Duration = Duration::from_secs(120);
/// How long an ordered stop may take: everything is flushed.
pub(crate) const STOP_PATIENCE: Duration = Duration::from_secs(60);
/// Any 16 bytes in base64; the same for all nodes started here.
const CLUSTER_ID: &str = "cmluZ21haW4tZHVlbC0wMQ";
/// What the log says when the broker serves.
const STARTED: &str = "Kafka Server started";

/// What is set about a node that its data directory does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) network_threads: u32,
    pub(crate) io_threads: u32,
    pub(crate) heap_mib: u64,
    /// Whether the heap is touched before the start, as a broker under load has it.
    pub(crate) pre_touch: bool,
    /// Further lines of the configuration.
    pub(crate) more: Vec<(String, String)>,
}

impl Settings {
    /// Kafka's own options for its virtual machine, with a heap of one size that is there from the start.
    pub(crate) fn jvm(&self) -> Vec<String> {
        let mut jvm: Vec<String> = [
            "-server",
            "-XX:+UseG1GC",
            "-XX:MaxGCPauseMillis=20",
            "-XX:InitiatingHeapOccupancyPercent=35",
            "-XX:+ExplicitGCInvokesConcurrent",
            "-Djava.awt.headless=true",
        ]
        .map(str::to_owned)
        .into();
        jvm.push(format!("-Xms{}m", self.heap_mib));
        jvm.push(format!("-Xmx{}m", self.heap_mib));
        if self.pre_touch {
            jvm.push("-XX:+AlwaysPreTouch".to_owned());
        }
        jvm
    }

    /// The node's server.properties.
    pub(crate) fn properties(&self, data: &Path, port: u16, controller_port: u16) -> String {
        let mut lines: BTreeMap<String, String> = [
            ("process.roles", "broker,controller".to_owned()),
            ("node.id", "0".to_owned()),
            ("controller.quorum.voters", format!("0@127.0.0.1:{controller_port}")),
            (
                "listeners",
                format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}"),
            ),
            ("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{port}")),
            ("controller.listener.names", "CONTROLLER".to_owned()),
            (
                "listener.security.protocol.map",
                "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned(),
            ),
            ("log.dirs", data.display().to_string()),
            ("num.network.threads", self.network_threads.to_string()),
            ("num.io.threads", self.io_threads.to_string()),
            ("offsets.topic.replication.factor", "1".to_owned()),
            ("transaction.state.log.replication.factor", "1".to_owned()),
            ("transaction.state.log.min.isr", "1".to_owned()),
            ("share.coordinator.state.topic.replication.factor", "1".to_owned()),
            ("share.coordinator.state.topic.min.isr", "1".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        lines.extend(self.more.iter().cloned());
        let mut text = String::new();
        for (key, value) in lines {
            let _ = writeln!(text, "{key}={value}");
        }
        text
    }
}

/// Warnings, and the line that says that the broker serves.
const LOGGING: &str = "status = warn
appender.stdout.type = Console
appender.stdout.name = stdout
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.stdout.ref = stdout
logger.start.name = kafka.server.KafkaRaftServer
logger.start.level = info
";

/// A directory with a node's configuration, its log and its data.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    install: &'a Install,
    settings: Settings,
    directory: PathBuf,
    pub(crate) port: u16,
}

impl<'a> Node<'a> {
    /// Writes the configuration into `directory`; its data stays what it is.
    pub(crate) fn new(
        install: &'a Install,
        settings: Settings,
        directory: &Path,
        port: u16,
        controller_port: u16,
    ) -> Result<Node<'a>, Failure> {
        let directory = directory.to_owned();
        let node = Node { install, settings, directory, port };
        let properties = node.settings.properties(&node.data(), port, controller_port);
        for (path, text) in [(node.configuration(), properties.as_str()), (node.logging(), LOGGING)]
        {
            fs::write(&path, text)
                .map_err(|error| Failure::Local(format!("{}: {error}", path.display())))?;
        }
        Ok(node)
    }

    fn configuration(&self) -> PathBuf {
        self.directory.join("server.properties")
    }

    fn logging(&self) -> PathBuf {
        self.directory.join("log4j2.properties")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.directory.join("server.log")
    }

    /// Where the records are.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn java(&self, mut jvm: Vec<String>, class: &str) -> std::process::Command {
        jvm.push(format!("-Dlog4j2.configurationFile={}", self.logging().display()));
        let mut command = self.install.class(jvm, class);
        command.current_dir(&self.directory);
        command
    }

    /// Makes the data directory one of Kafka's, if it is not.
    pub(crate) fn format(&self) -> Result<(), Failure> {
        if self.data().join("meta.properties").exists() {
            return Ok(());
        }
        let jvm = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"].map(str::to_owned);
        let mut command = self.java(jvm.into(), "kafka.tools.StorageTool");
        command.args(["format", "-t", CLUSTER_ID, "-c"]).arg(self.configuration());
        let mut program = Program::start(command, &[], &self.directory.join("format.log"))?;
        if program.wait(START_PATIENCE)?.success() {
            Ok(())
        } else {
            Err(program.complain("could not format the data directory"))
        }
    }

    /// Starts the broker on `cores` (all if empty), and does not wait until it serves.
    pub(crate) fn start(&self, cores: &[usize]) -> Result<Program, Failure> {
        let mut command = self.java(self.settings.jvm(), "kafka.Kafka");
        command.arg(self.configuration());
        Program::start(command, cores, &self.log())
    }

    /// Waits until the broker that was started last serves.
    pub(crate) fn wait_until_ready(&self, program: &mut Program) -> Result<(), Failure> {
        let give_up = Instant::now() + START_PATIENCE;
        loop {
            if let Some(status) = program.ended()? {
                return Err(program.complain(&format!("(Apache Kafka) ended with {status}")));
            }
            let started = fs::read_to_string(self.log()).is_ok_and(|log| log.contains(STARTED));
            let address = format!("127.0.0.1:{}", self.port);
            if started && Control::open(&address, Duration::from_secs(5), &[]).is_ok() {
                return Ok(());
            }
            if Instant::now() > give_up {
                return Err(program.complain("(Apache Kafka) does not serve"));
            }
            pause(Duration::from_millis(20))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            network_threads: 2,
            io_threads: 4,
            heap_mib: 2048,
            pre_touch: true,
            more: vec![("num.io.threads".to_owned(), "16".to_owned())],
        }
    }

    #[test]
    fn the_configuration_is_that_of_one_node_and_can_be_added_to() {
        let text = settings().properties(Path::new("/d/data"), 1000, 1001);
        for line in [
            "listeners=PLAINTEXT://127.0.0.1:1000,CONTROLLER://127.0.0.1:1001",
            "controller.quorum.voters=0@127.0.0.1:1001",
            "log.dirs=/d/data",
            "num.network.threads=2",
            "num.io.threads=16",
        ] {
            assert_eq!(text.lines().filter(|l| *l == line).count(), 1, "{line}\n{text}");
        }
        assert!(!text.contains("num.io.threads=4"), "{text}");
    }

    #[test]
    fn the_heap_has_one_size() {
        let jvm = settings().jvm().join(" ");
        assert!(jvm.contains("-Xms2048m -Xmx2048m -XX:+AlwaysPreTouch"), "{jvm}");
        let small = Settings { pre_touch: false, ..settings() };
        assert!(!small.jvm().join(" ").contains("PreTouch"));
    }
}
