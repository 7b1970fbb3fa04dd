//! The ways in which this process ends early, each with its own exit status.

use std::io;
use std::process::ExitCode;

use tracing::error;

use crate::shard::engine::Fatal;

/// Exit statuses. 0 is an orderly stop; 101 and SIGABRT are bugs (panics).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// Stopped in order.
    Stopped = 0,
    /// The arguments or the configuration are wrong.
    Usage = 2,
    /// A write or flush failed.
    Disk = 10,
    /// Data on disk contradicts itself.
    Corrupt = 11,
    /// The own ring failed.
    Ring = 12,
    /// The data directory cannot be used.
    DataDirectory = 13,
    /// Another broker runs on the data directory.
    Locked = 14,
    /// The listening port is taken or cannot be bound.
    Port = 15,
    /// The machine lacks something this program needs.
    Unsupported = 16,
    /// A shard could not be started.
    Start = 17,
    /// The stop took too long, or was asked for twice.
    Forced = 18,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> ExitCode {
        ExitCode::from(status as u8)
    }
}

/// Ends the process at once: nothing more may be acknowledged.
pub fn end(reason: &Fatal) -> ! {
    let status = match reason {
        Fatal::Disk(disk) if disk.starved => {
            error!(
                operation = disk.operation,
                reason = disk.reason,
                "fatal: no descriptor is left for a file; set `ulimit -n 1048576` or, for \
                 systemd, `LimitNOFILE=1048576`"
            );
            ExitStatus::Unsupported
        }
        Fatal::Disk(disk) => {
            error!(operation = disk.operation, reason = disk.reason, "fatal: the disk failed");
            ExitStatus::Disk
        }
        Fatal::Corrupt(what) => {
            error!(what, "fatal: data on disk contradicts itself");
            ExitStatus::Corrupt
        }
    };
    exit(status)
}

/// Ends the process: the kernel refuses the ring that everything goes through.
pub fn ring_failed(reason: &io::Error) -> ! {
    error!(%reason, "fatal: the io_uring of a shard failed");
    exit(ExitStatus::Ring)
}

/// Ends the process without running destructors: threads are still at work.
pub fn exit(status: ExitStatus) -> ! {
    std::process::exit(status as i32)
}

/// Lets a panic anywhere end the whole process, also in builds that unwind: a broker that lost one
/// of its threads would still look alive to its clients.
pub fn abort_on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        error!(%panic, "fatal: a bug");
        before(panic);
        std::process::abort();
    }));
}
