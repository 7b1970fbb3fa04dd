//! What the machine must offer, checked before anything is started: each thing that is missing is
//! one line with its exact cure.

use std::io;
use std::sync::Arc;

use super::descriptors::{self, Descriptors};
use super::fatal::ExitStatus;
use super::ring::{self, Ring};
use super::{buffers, sys};

/// Locked memory that glommio wants per executor.
const LOCKED_BYTES_MIN: u64 = 512 * 1024;
/// Descriptors below which a busy broker will run short.
const OPEN_FILES_ADVISED: u64 = 65_536;

/// Why this program cannot run here.
#[derive(Debug)]
pub(super) struct Unfit {
    /// Exit status.
    pub status: ExitStatus,
    /// What is missing and how to get it.
    pub reason: String,
}

/// Raises the limit of open descriptors as far as it may be raised, and shares them out. Before
/// anything is opened: what runs out of them half-way cannot say much.
///
/// # Errors
/// There are too few for so many shards.
pub(super) fn descriptors(shards: usize, journal_files: usize) -> Result<Arc<Descriptors>, Unfit> {
    // Where the limit cannot be raised it still says how many there are.
    let limit = sys::raise_open_files().or_else(|_| sys::open_files_limit());
    let unfit = |reason: String| Unfit { status: ExitStatus::Unsupported, reason };
    let limit = limit.map_err(|error| unfit(format!("RLIMIT_NOFILE: {error}")))?;
    Descriptors::new(limit, shards, journal_files).ok_or_else(|| {
        unfit(format!(
            "only {limit} files and connections can be open at once, {shards} shards with up to \
             {journal_files} journal files each need at least {}; set `ulimit -n 1048576` or, for \
             systemd, `LimitNOFILE=1048576`",
            descriptors::needed(shards, journal_files)
        ))
    })
}

/// Checks the machine, and returns a line for each thing that is given up.
pub(super) fn check(shards: usize) -> Result<Vec<String>, Unfit> {
    let unfit = |reason: String| Unfit { status: ExitStatus::Unsupported, reason };
    let release = sys::kernel_release();
    if let Err(error) = sys::probe_ring() {
        return Err(unfit(ring_refused(&error, &release)));
    }
    let own =
        Ring::new().and_then(|ring| buffers::Buffers::new(&ring).map(|buffers| (ring, buffers)));
    match own {
        // Dropped in this order, as `Buffers` demands.
        Ok((ring, buffers)) => {
            drop(ring);
            drop(buffers);
        }
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            return Err(unfit(format!(
                "this kernel ({release}) lacks io_uring features of Linux 6.1 \
                 (DEFER_TASKRUN); boot a kernel of version 6.1 or later"
            )));
        }
        Err(error) => return Err(unfit(ring_refused(&error, &release))),
    }
    let missing = ring::missing_operations().map_err(|error| {
        unfit(format!("cannot ask the kernel ({release}) for its io_uring operations: {error}"))
    })?;
    if !missing.is_empty() {
        return Err(unfit(format!(
            "this kernel ({release}) lacks the io_uring operations {}; boot a kernel of \
             version 6.1 or later",
            missing.join(", ")
        )));
    }

    let mut given_up = Vec::new();
    let locked = sys::lock_limit().map_err(|error| unfit(format!("RLIMIT_MEMLOCK: {error}")))?;
    if locked < LOCKED_BYTES_MIN {
        return Err(unfit(format!(
            "the limit of locked memory is {locked} bytes, at least {LOCKED_BYTES_MIN} are \
             needed; set `ulimit -l unlimited` or, for systemd, `LimitMEMLOCK=infinity`"
        )));
    }
    if locked < LOCKED_BYTES_MIN * shards as u64 {
        given_up.push(format!(
            "the limit of locked memory ({locked} bytes) is small for {shards} shards; set \
             `ulimit -l unlimited` or, for systemd, `LimitMEMLOCK=infinity`"
        ));
    }
    match sys::open_files_limit() {
        Ok(files) if files < OPEN_FILES_ADVISED => given_up.push(format!(
            "only {files} files and connections can be open at once; set `ulimit -n 1048576` or, \
             for systemd, `LimitNOFILE=1048576`"
        )),
        Ok(_) => {}
        Err(error) => given_up.push(format!("RLIMIT_NOFILE: {error}")),
    }
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    if shards > cpus {
        given_up.push(format!(
            "{shards} shards share {cpus} processors; start with --shards {cpus} for the best \
             speed"
        ));
    }
    Ok(given_up)
}

fn ring_refused(error: &io::Error, release: &str) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => "io_uring is forbidden here; run `sysctl -w \
             kernel.io_uring_disabled=0` on the host and, in a container, allow io_uring_setup, \
             io_uring_enter and io_uring_register in its seccomp profile (docker: \
             --security-opt seccomp=unconfined)"
            .to_owned(),
        Some(libc::ENOSYS) => format!(
            "this kernel ({release}) has no io_uring; boot a kernel of version 6.1 or later with \
             CONFIG_IO_URING"
        ),
        Some(libc::ENOMEM) => "not enough locked memory for io_uring; set `ulimit -l unlimited` \
             or, for systemd, `LimitMEMLOCK=infinity`"
            .to_owned(),
        Some(libc::EMFILE | libc::ENFILE) => {
            "no descriptors left for io_uring; set `ulimit -n 1048576`".to_owned()
        }
        _ => format!("io_uring does not work here (kernel {release}): {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_fit_or_says_why_not() {
        match check(1) {
            Ok(lines) => assert!(lines.len() <= 4),
            Err(unfit) => assert!(!unfit.reason.is_empty()),
        }
    }

    #[test]
    fn too_few_descriptors_are_refused_with_the_number_needed() {
        let Unfit { status, reason } = descriptors(usize::MAX, 8).unwrap_err();
        assert_eq!(status, ExitStatus::Unsupported);
        assert!(reason.contains("set `ulimit -n 1048576`"), "{reason}");
        assert!(descriptors(1, 2).is_ok());
    }

    #[test]
    fn every_refusal_names_its_cure() {
        for errno in [libc::EPERM, libc::ENOSYS, libc::ENOMEM, libc::EMFILE] {
            let line = ring_refused(&io::Error::from_raw_os_error(errno), "6.0");
            assert!(line.contains("set `") || line.contains("run `") || line.contains("boot "));
        }
    }
}
