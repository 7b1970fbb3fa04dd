//! The calls of the operating system that std does not have: readiness of many sockets, waiting in
//! nanoseconds, resource usage, signals, placement of processes. The only module with `unsafe`.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn on_interrupt(_signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Whether the user asked for the end of the run (SIGINT, SIGTERM).
pub(crate) fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Makes the first SIGINT or SIGTERM from now on end the run in order, and the second one end the
/// process.
pub(crate) fn catch_interrupts() {
    INTERRUPTED.store(false, Ordering::Relaxed);
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: an all-zero sigaction is a valid value of that plain C struct; the handler only
        // stores to an atomic, which is async-signal-safe.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_interrupt as *const () as libc::sighandler_t;
            action.sa_flags = libc::SA_RESETHAND;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// What happened on a socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Readiness {
    pub(crate) token: usize,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// Waits for many sockets at once, edge-triggered.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Poller> {
        // SAFETY: the call takes no pointers; a non-negative result is a new descriptor that
        // nobody else owns. Timer slack concerns this thread's timeouts only.
        let epoll = unsafe {
            libc::prctl(libc::PR_SET_TIMERSLACK, 1_usize);
            OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?)
        };
        Ok(Poller { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; 256] })
    }

    /// Watches `stream` for both directions until it is closed.
    pub(crate) fn watch(&self, stream: &TcpStream, token: usize) -> io::Result<()> {
        let events = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = libc::epoll_event { events: events as u32, u64: token as u64 };
        // SAFETY: both descriptors are open for the length of the call, and the kernel copies the
        // event.
        check(unsafe {
            libc::epoll_ctl(
                self.epoll.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                stream.as_raw_fd(),
                &raw mut event,
            )
        })?;
        Ok(())
    }

    /// Waits until something is ready or `wait_ns` have passed, and appends what is ready.
    pub(crate) fn wait(&mut self, wait_ns: u64, ready: &mut Vec<Readiness>) -> io::Result<()> {
        let timeout = libc::timespec {
            tv_sec: (wait_ns / 1_000_000_000) as libc::time_t,
            tv_nsec: (wait_ns % 1_000_000_000) as libc::c_long,
        };
        // SAFETY: `events` has room for as many entries as are announced; the timeout outlives the
        // call; a null signal mask leaves signals as they are.
        let result = check(unsafe {
            libc::epoll_pwait2(
                self.epoll.as_raw_fd(),
                self.events.as_mut_ptr(),
                self.events.len() as libc::c_int,
                &raw const timeout,
                std::ptr::null(),
            )
        });
        let count = match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            other => other? as usize,
        };
        let broken = libc::EPOLLERR | libc::EPOLLHUP | libc::EPOLLRDHUP;
        ready.extend(self.events.iter().take(count).map(|event| Readiness {
            token: event.u64 as usize,
            readable: event.events & (libc::EPOLLIN | broken) as u32 != 0,
            writable: event.events & libc::EPOLLOUT as u32 != 0,
        }));
        Ok(())
    }
}

/// Receives and throws away up to `limit` bytes, without copying them. Blocks until there are any;
/// 0 is the end of the stream.
pub(crate) fn discard(stream: &TcpStream, limit: usize) -> io::Result<usize> {
    loop {
        // SAFETY: with MSG_TRUNC a TCP socket drops the bytes instead of writing them, so the null
        // buffer is never touched (tcp(7)).
        let result =
            unsafe { libc::recv(stream.as_raw_fd(), std::ptr::null_mut(), limit, libc::MSG_TRUNC) };
        match usize::try_from(result) {
            Ok(count) => return Ok(count),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// What this process has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) user_seconds: f64,
    pub(crate) system_seconds: f64,
    pub(crate) resident_bytes_max: u64,
    pub(crate) context_switches: u64,
}

impl Usage {
    pub(crate) fn now() -> Usage {
        Usage::of(libc::RUSAGE_SELF)
    }

    /// What the children used that have ended and were waited for.
    pub(crate) fn of_children() -> Usage {
        Usage::of(libc::RUSAGE_CHILDREN)
    }

    fn of(whom: libc::c_int) -> Usage {
        // SAFETY: an all-zero rusage is a valid value of that plain C struct, and the call writes
        // to it only.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(whom, &raw mut usage);
            usage
        };
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        Usage {
            user_seconds: seconds(usage.ru_utime),
            system_seconds: seconds(usage.ru_stime),
            resident_bytes_max: usage.ru_maxrss as u64 * 1024,
            context_switches: (usage.ru_nvcsw + usage.ru_nivcsw) as u64,
        }
    }

    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.user_seconds + self.system_seconds
    }

    /// What was used since `earlier`; the peak of memory stays a peak.
    pub(crate) fn since(&self, earlier: &Usage) -> Usage {
        Usage {
            user_seconds: self.user_seconds - earlier.user_seconds,
            system_seconds: self.system_seconds - earlier.system_seconds,
            resident_bytes_max: self.resident_bytes_max,
            context_switches: self.context_switches - earlier.context_switches,
        }
    }
}

/// Cores this process may run on.
pub(crate) fn allowed_cores() -> Vec<usize> {
    // SAFETY: an all-zero cpu_set_t is a valid value of that plain C struct; the call writes to no
    // more than the size it is given, and CPU_ISSET is asked for members of the set only.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set);
        (0..libc::CPU_SETSIZE as usize).filter(|core| libc::CPU_ISSET(*core, &set)).collect()
    }
}

fn set_of(cores: &[usize]) -> libc::cpu_set_t {
    // SAFETY: an all-zero cpu_set_t is a valid value of that plain C struct, and only members of
    // the set are set.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        for core in cores.iter().filter(|core| **core < libc::CPU_SETSIZE as usize) {
            libc::CPU_SET(*core, &mut set);
        }
        set
    }
}

/// Makes a command's process one that cannot outlive this one (nor the thread that starts it), that
/// the terminal's Ctrl-C does not reach, and that runs on `cores` only, if any are given.
pub(crate) fn adopt(command: &mut Command, cores: &[usize]) {
    let set = (!cores.is_empty()).then(|| set_of(cores));
    let parent = std::process::id();
    command.process_group(0);
    // SAFETY: between fork and exec only async-signal-safe calls are made, on values that were
    // prepared before.
    unsafe {
        command.pre_exec(move || {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
            // The parent may have ended before the line above took effect.
            if libc::getppid() as u32 != parent {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if let Some(set) = &set {
                check(libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), set))?;
            }
            Ok(())
        });
    }
}

/// Asks a child that has not been waited for yet to end in order.
pub(crate) fn terminate(child: u32) {
    // SAFETY: the call takes no pointers. A child that was not waited for keeps its id.
    unsafe {
        libc::kill(child as libc::pid_t, libc::SIGTERM);
    }
}

/// Lets a child that was just started go before others; false if that is not permitted.
pub(crate) fn favour(child: u32) -> bool {
    // SAFETY: the call takes no pointers. Threads that the child starts later inherit the value.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, child, -10) == 0 }
}

/// Puts the calling thread on `core`, behind everything else that wants to run there.
pub(crate) fn idle_on(core: usize) -> io::Result<()> {
    let set = set_of(&[core]);
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: both structs live for the length of their calls; 0 is the calling thread.
    unsafe {
        check(libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set))?;
        check(libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const priority))?;
    }
    Ok(())
}

/// Memory that is really there, until it is dropped.
#[derive(Debug)]
pub(crate) struct Touched {
    start: *mut libc::c_void,
    bytes: usize,
}

// SAFETY: nothing is ever read or written through the address; giving the mapping up works from any
// thread.
unsafe impl Send for Touched {}

impl Touched {
    /// Takes memory from the system and touches all of its pages.
    pub(crate) fn new(bytes: usize) -> io::Result<Touched> {
        let (access, kind) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new anonymous mapping overlaps nothing that is in use.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let touched = Touched { start, bytes };
        // SAFETY: advice about a mapping of our own, given with its own address and length.
        unsafe {
            // Only quicker in huge pages: not having them is no failure.
            libc::madvise(start, bytes, libc::MADV_HUGEPAGE);
            check(libc::madvise(start, bytes, libc::MADV_POPULATE_WRITE))?;
        }
        Ok(touched)
    }
}

impl Drop for Touched {
    fn drop(&mut self) {
        // SAFETY: a mapping of our own, given up once; nothing keeps a pointer into it.
        unsafe {
            libc::munmap(self.start, self.bytes);
        }
    }
}

/// Writes back everything that is dirty, on every filesystem.
pub(crate) fn sync_all() {
    // SAFETY: the call takes no arguments and cannot fail.
    unsafe { libc::sync() }
}

/// Clock ticks per second, in which the kernel counts CPU time.
pub(crate) fn ticks_per_second() -> f64 {
    // SAFETY: the call takes no pointers.
    unsafe { libc::sysconf(libc::_SC_CLK_TCK) as f64 }
}

/// Bytes that may still be written to the filesystem of `path`; 0 if that cannot be told.
pub(crate) fn free_bytes(path: &Path) -> u64 {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return 0 };
    // SAFETY: an all-zero statvfs is a valid value of that plain C struct; the call writes to it
    // only, and reads a string that ends in a zero byte.
    let (result, found) = unsafe {
        let mut found: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(path.as_ptr(), &raw mut found), found)
    };
    if result == 0 { found.f_bavail * found.f_frsize } else { 0 }
}
