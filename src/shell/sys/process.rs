//! Clocks, limits and settings of this process.

use std::io;

use super::checked;

fn clock(id: libc::clockid_t) -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure outlives the call.
    let result = unsafe { libc::clock_gettime(id, &raw mut time) };
    assert_eq!(result, 0, "the clocks of Linux do not fail");
    time
}

/// Files and directories that this process makes are its owner's alone, whatever it was started
/// with: they hold other people's records.
pub(crate) fn keep_files_private() {
    // SAFETY: no pointers; cannot fail.
    unsafe { libc::umask(0o077) };
}

/// CLOCK_MONOTONIC in nanoseconds.
#[must_use]
pub(crate) fn monotonic_nanos() -> u64 {
    let time = clock(libc::CLOCK_MONOTONIC);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// CPU time of the calling thread in nanoseconds.
#[must_use]
pub(crate) fn thread_cpu_nanos() -> u64 {
    let time = clock(libc::CLOCK_THREAD_CPUTIME_ID);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// CLOCK_REALTIME in milliseconds since 1970.
#[must_use]
pub(crate) fn realtime_millis() -> i64 {
    let time = clock(libc::CLOCK_REALTIME);
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

fn limit(resource: libc::__rlimit_resource_t) -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure outlives the call.
    unsafe { checked(libc::getrlimit(resource, &raw mut limit).into())? };
    Ok(limit)
}

/// Soft limit of locked memory in bytes (RLIMIT_MEMLOCK).
pub(crate) fn lock_limit() -> io::Result<u64> {
    Ok(limit(libc::RLIMIT_MEMLOCK)?.rlim_cur)
}

/// Soft limit of open descriptors (RLIMIT_NOFILE).
pub(crate) fn open_files_limit() -> io::Result<u64> {
    Ok(limit(libc::RLIMIT_NOFILE)?.rlim_cur)
}

/// Raises the soft limit of open descriptors to the hard one and returns it.
pub(crate) fn raise_open_files() -> io::Result<u64> {
    let mut limit = limit(libc::RLIMIT_NOFILE)?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: the structure outlives the call.
        unsafe { checked(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit).into())? };
    }
    Ok(limit.rlim_cur)
}

/// Keeps freed frame buffers in the heap instead of giving their pages back: touching a fresh page
/// costs several times what copying into a warm one does, and a busy broker frees and takes the
/// same sizes all day.
pub(crate) fn tune_allocator() {
    #[cfg(target_env = "gnu")]
    // SAFETY: called before other threads exist; the values are within glibc's bounds.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 64 << 20);
    }
}

/// `uname -r`.
#[must_use]
pub(crate) fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map(|text| text.trim().to_owned())
        .unwrap_or_else(|_| "unknown".to_owned())
}

/// Registers for the memory barrier that an executor uses when it parks. With a single thread that
/// costs nothing; with several the kernel waits for every processor first, 10 ms and more.
pub(crate) fn register_barrier() {
    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 16;
    // SAFETY: no pointers. A kernel that cannot says so again where it matters.
    unsafe { libc::syscall(libc::SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0, 0) };
}

/// Tries to make the smallest ring, as the kernel sees it: what glommio would meet with a panic
/// comes back as a value.
pub(crate) fn probe_ring() -> io::Result<()> {
    io_uring::IoUring::new(1).map(drop)
}

/// Lets writes to a closed socket or pipe fail with an error instead of ending the process.
pub(crate) fn ignore_broken_pipes() {
    // SAFETY: replaces the disposition of one signal by "ignore"; no handler is involved.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
    }
}
