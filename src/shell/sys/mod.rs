//! System calls that std does not offer, each as a small safe function over borrowed descriptors.
//!
//! Knows nothing of shards, connections or jobs. Every `unsafe` block here passes pointers that are
//! borrowed for the length of the call only; nothing asynchronous lives in this folder.
#![allow(unsafe_code)]

mod file;
mod process;
mod socket;

pub(super) use file::{
    Reading, allocate, create_in, is_cached, next_written, open_in, read_if_cached,
    read_no_further, space_of, write_gathered,
};
pub(super) use process::{
    ignore_broken_pipes, keep_files_private, kernel_release, lock_limit, monotonic_nanos,
    open_files_limit, probe_ring, raise_open_files, realtime_millis, register_barrier,
    thread_cpu_nanos, tune_allocator,
};
pub(super) use socket::{
    Sent, bind, eventfd, keep_alive, listen, local_address, peer_address, send_file, send_gather,
    set_buffers, set_no_delay, signal_eventfd,
};

use std::io;

/// Turns the `-1` of a system call into the error it left behind.
fn checked(result: libc::c_long) -> io::Result<usize> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as usize) }
}
