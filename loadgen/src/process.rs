//! Programs that are started here: brokers, load generators, tools of others.
//!
//! A program ends with the value that stands for it, whatever happens: on every way out of a
//! function, and with this process, even if that is killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::system;

/// How often a program is looked at while it is waited for.
const LOOK: Duration = Duration::from_millis(5);
/// Most of a log that is shown when a program failed.
const TAIL_BYTES: usize = 2000;

/// A running program.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    child: Child,
    log: PathBuf,
    pub(crate) started: Instant,
}

impl Program {
    /// Starts `command` on `cores` (all if empty); what it says is added to the file `log`.
    pub(crate) fn start(
        mut command: Command,
        cores: &[usize],
        log: &Path,
    ) -> Result<Program, Failure> {
        let name = command.get_program().to_string_lossy().into_owned();
        let local = |error: std::io::Error| Failure::Local(format!("{}: {error}", log.display()));
        let out = File::options().create(true).append(true).open(log).map_err(local)?;
        let errors = out.try_clone().map_err(local)?;
        command.stdin(Stdio::null()).stdout(out).stderr(errors);
        system::adopt(&mut command, cores);
        let started = Instant::now();
        let child = command
            .spawn()
            .map_err(|error| Failure::Local(format!("{name} cannot be started: {error}")))?;
        Ok(Program { name, child, log: log.to_owned(), started })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        self.child.try_wait().map_err(|error| Failure::Local(format!("{}: {error}", self.name)))
    }

    /// Waits for its end, no longer than `patience`, nor past the user's wish to stop.
    pub(crate) fn wait(&mut self, patience: Duration) -> Result<ExitStatus, Failure> {
        let give_up = Instant::now() + patience;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if system::is_interrupted() {
                return Err(interrupted());
            }
            if Instant::now() > give_up {
                let seconds = patience.as_secs();
                return Err(self.complain(&format!("did not end within {seconds} s")));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Ends it with the signal for an ordered stop, and if it takes longer than `patience`, at once.
    pub(crate) fn stop(&mut self, patience: Duration) -> Result<(), Failure> {
        if self.ended()?.is_none() {
            system::terminate(self.pid());
        }
        let give_up = Instant::now() + patience;
        while self.ended()?.is_none() {
            if Instant::now() > give_up {
                self.kill();
                return Err(self.complain("did not stop in time and was killed"));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        // An error means that it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// A failure of this program, with the end of what it said.
    pub(crate) fn complain(&self, what: &str) -> Failure {
        Failure::Local(format!("{} {what}:\n{}", self.name, self.said()))
    }

    /// The end of its log.
    pub(crate) fn said(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let from = text.len().saturating_sub(TAIL_BYTES);
        String::from_utf8_lossy(text.get(from..).unwrap_or_default()).trim().to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The user asked for the end.
pub(crate) fn interrupted() -> Failure {
    Failure::Local("interrupted".to_owned())
}

/// Sleeps, but not past the user's wish to stop.
pub(crate) fn pause(length: Duration) -> Result<(), Failure> {
    let until = Instant::now() + length;
    while Instant::now() < until {
        if system::is_interrupted() {
            return Err(interrupted());
        }
        std::thread::sleep(LOOK.min(until.saturating_duration_since(Instant::now())));
    }
    Ok(())
}

/// A port on loopback that nobody listens on.
pub(crate) fn free_port() -> Result<u16, Failure> {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| Failure::Local(format!("no free port: {error}")))
}

/// Where a program of that name is, by the environment's PATH.
pub(crate) fn found(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// A directory that is removed with the value that stands for it.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A new one below `root`, named after this process and `number`.
    pub(crate) fn new(root: &Path, prefix: &str, number: u64) -> Result<Scratch, Failure> {
        let path = root.join(format!("{prefix}-{}-{number}", std::process::id()));
        fs::create_dir_all(&path)
            .map_err(|error| Failure::Local(format!("cannot make {}: {error}", path.display())))?;
        Ok(Scratch(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes what processes that are gone have left below `root`.
    pub(crate) fn sweep(root: &Path, prefix: &str) {
        let Ok(entries) = fs::read_dir(root) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let numbers = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
            let owner = numbers.and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
            if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A broker that was just killed may still be writing its last file; what stays is swept up
        // by the next run.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_ends_with_its_value_and_its_directory_too() {
        let scratch = Scratch::new(&std::env::temp_dir(), "ringload-process-test", 1).unwrap();
        let path = scratch.path().to_owned();
        let mut command = Command::new("sleep");
        command.arg("60");
        let mut program = Program::start(command, &[], &path.join("log")).unwrap();
        let pid = program.pid();
        assert!(program.ended().unwrap().is_none());
        assert!(
            program.wait(Duration::from_millis(20)).unwrap_err().to_string().contains("within")
        );
        drop(program);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn only_what_dead_processes_left_is_swept_up() {
        let root = Scratch::new(&std::env::temp_dir(), "ringload-sweep-test", 1).unwrap();
        let mine = Scratch::new(root.path(), "duel", 1).unwrap();
        // Process ids end at 2^22.
        let dead = root.path().join("duel-99999999-1");
        let other = root.path().join("duelist-99999999-1");
        fs::create_dir(&dead).unwrap();
        fs::create_dir(&other).unwrap();
        Scratch::sweep(root.path(), "duel");
        assert!(mine.path().exists() && other.exists() && !dead.exists());
    }
}
