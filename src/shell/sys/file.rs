//! Files.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::checked;

/// What a read that must not block came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// So many bytes were read; 0 at the end of the file.
    Bytes(usize),
    /// The pages are not in memory (or the file system cannot tell).
    Cold,
}

/// Reads what the page cache holds, without waiting for the device (`preadv2(RWF_NOWAIT)`).
pub(crate) fn read_if_cached(file: &File, buffer: &mut [u8], position: u64) -> io::Result<Reading> {
    let vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: the buffer is borrowed mutably for the call and its length is given.
    let result = unsafe {
        libc::preadv2(file.as_raw_fd(), &raw const vector, 1, position as i64, libc::RWF_NOWAIT)
    };
    match checked(result as _) {
        Ok(count) => Ok(Reading::Bytes(count)),
        Err(error) => match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EOPNOTSUPP | libc::EINTR) => Ok(Reading::Cold),
            _ => Err(error),
        },
    }
}

/// Whether a whole range is in the page cache, by `cachestat(2)` (Linux 6.5) or, where the kernel
/// does not have it, by reading its first and last byte without blocking.
pub(crate) fn is_cached(file: &File, position: u64, length: u64) -> bool {
    #[repr(C)]
    struct Range {
        offset: u64,
        length: u64,
    }
    #[repr(C)]
    #[derive(Default)]
    struct Statistics {
        cached: u64,
        dirty: u64,
        writeback: u64,
        evicted: u64,
        recently_evicted: u64,
    }
    /// Its number is the same on every architecture.
    const SYS_CACHESTAT: libc::c_long = 451;
    const PAGE: u64 = 4096;
    if length == 0 {
        return true;
    }
    let start = position / PAGE * PAGE;
    let end = (position + length).next_multiple_of(PAGE);
    let range = Range { offset: start, length: end - start };
    let mut statistics = Statistics::default();
    // SAFETY: both structures have the layout of the kernel's interface and outlive the call.
    let result = unsafe {
        libc::syscall(SYS_CACHESTAT, file.as_raw_fd(), &raw const range, &raw mut statistics, 0)
    };
    if result == 0 {
        return statistics.cached >= (end - start) / PAGE;
    }
    let mut byte = [0];
    [position, position + length - 1]
        .into_iter()
        .all(|at| matches!(read_if_cached(file, &mut byte, at), Ok(Reading::Bytes(_))))
}

/// Writes of at least this size do not stay in the page cache. Measured on ext4, 16 partitions,
/// 256 KiB batches: growing the page cache costs more than the journal, the network and the
/// checksums together, and ends in stalls while gigabytes are flushed at once.
const UNCACHED_BYTES_MIN: usize = 128 * 1024;
/// `RWF_DONTCACHE` of Linux 6.14, not yet in libc: written back at once, then dropped.
const RWF_DONTCACHE: i32 = 0x80;
/// The kernel or the file system does not know `RWF_DONTCACHE`.
static CACHED_ONLY: AtomicBool = AtomicBool::new(false);

/// Writes these pieces one after the other from `position`, all of them, without joining them first.
pub(crate) fn write_gathered(file: &File, pieces: &[Bytes], position: u64) -> io::Result<()> {
    const VECTORS_MAX: usize = 256;
    let large = pieces.iter().map(Bytes::len).sum::<usize>() >= UNCACHED_BYTES_MIN;
    let mut position = position;
    let mut pieces = pieces.iter();
    // Bytes of the first vector that an earlier, short write took.
    let mut vectors: Vec<libc::iovec> = Vec::new();
    loop {
        while vectors.len() < VECTORS_MAX {
            match pieces.next() {
                Some(piece) if piece.is_empty() => {}
                Some(piece) => vectors.push(libc::iovec {
                    iov_base: piece.as_ptr().cast_mut().cast(),
                    iov_len: piece.len(),
                }),
                None => break,
            }
        }
        if vectors.is_empty() {
            return Ok(());
        }
        let uncached = large && !CACHED_ONLY.load(Ordering::Relaxed);
        let flags = if uncached { RWF_DONTCACHE } else { 0 };
        let (file, count) = (file.as_raw_fd(), vectors.len() as i32);
        // SAFETY: the vectors point into `pieces`, which outlive the call and are only read.
        let result =
            unsafe { libc::pwritev2(file, vectors.as_ptr(), count, position as i64, flags) };
        let mut written = match checked(result as _) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if uncached && error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                CACHED_ONLY.store(true, Ordering::Relaxed);
                continue;
            }
            Err(error) => return Err(error),
        };
        position += written as u64;
        let mut whole = 0;
        for vector in &mut vectors {
            if written < vector.iov_len {
                // SAFETY: stays within the piece, since `written` is less than its length.
                vector.iov_base = unsafe { vector.iov_base.cast::<u8>().add(written) }.cast();
                vector.iov_len -= written;
                break;
            }
            written -= vector.iov_len;
            whole += 1;
        }
        vectors.drain(..whole);
    }
}

/// Opens a file for reading by its name in an open directory, wherever that has been moved to.
pub(crate) fn open_in(directory: &File, name: &str) -> io::Result<File> {
    let name = CString::new(name)?;
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    loop {
        // SAFETY: the name ends in a zero and outlives the call.
        let result = unsafe { libc::openat(directory.as_raw_fd(), name.as_ptr(), flags) };
        match checked(result.into()) {
            // SAFETY: the kernel made this descriptor for us just now.
            Ok(_) => return Ok(unsafe { File::from_raw_fd(result) }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Opens a file of an open directory for writing, made if it is not there; only the owner may read
/// it.
pub(crate) fn create_in(directory: &File, name: &str, truncate: bool) -> io::Result<File> {
    let name = CString::new(name)?;
    let truncate = if truncate { libc::O_TRUNC } else { 0 };
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_CLOEXEC | truncate;
    loop {
        // SAFETY: the name ends in a zero and outlives the call.
        let result = unsafe { libc::openat(directory.as_raw_fd(), name.as_ptr(), flags, 0o600) };
        match checked(result.into()) {
            // SAFETY: the kernel made this descriptor for us just now.
            Ok(_) => return Ok(unsafe { File::from_raw_fd(result) }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reserves the blocks of a file, so that a full device says so now. False where the file system
/// cannot: zeroes written over the whole length then do the same.
pub(crate) fn allocate(file: &File, length: u64) -> io::Result<bool> {
    // SAFETY: no pointers.
    let result = unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, length as i64) };
    match checked(result.into()) {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(false),
        other => other.map(|_| true),
    }
}

/// Reads nothing ahead of what is asked for. What was read ahead of never written bytes would count
/// as written ([`next_written`]).
pub(crate) fn read_no_further(file: &File) {
    // SAFETY: no pointers. An advice that is not taken costs time only.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_RANDOM) };
}

/// Where the next bytes are that were ever written, from `position` on; `None` if there are none up
/// to the end. Where the file system keeps no account of it, everything was written.
pub(crate) fn next_written(file: &File, position: u64) -> io::Result<Option<u64>> {
    // SAFETY: no pointers.
    let result = unsafe { libc::lseek(file.as_raw_fd(), position as i64, libc::SEEK_DATA) };
    match checked(result) {
        Ok(found) => Ok(Some(found as u64)),
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(Some(position)),
        Err(error) => Err(error),
    }
}

/// Free (usable by us) and total bytes of the file system a directory is on.
pub(crate) fn space_of(directory: &File) -> io::Result<(u64, u64)> {
    // SAFETY: an all-zero statvfs is valid and outlives the call.
    unsafe {
        let mut answer: libc::statvfs = std::mem::zeroed();
        checked(libc::fstatvfs(directory.as_raw_fd(), &raw mut answer).into())?;
        Ok((answer.f_bavail * answer.f_frsize, answer.f_blocks * answer.f_frsize))
    }
}
