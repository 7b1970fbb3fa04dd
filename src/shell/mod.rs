//! The machine: one glommio executor per core, and in it one hot task that owns an io_uring of its
//! own for sockets, journal writes and messages between cores.
//!
//! What it is: the host of an [`Engine`](crate::shard::engine::Engine). It turns what happens into
//! facts for the engine and carries out the engine's actions.
//!
//! What it deliberately does not know: requests, partitions, offsets. It decides nothing that a
//! client could see, except how long a dead peer is kept.
//!
//! Invariants
//! - Nothing on the hot path waits: not for a file, not for a lock, not for a glommio future other
//!   than the park itself. So glommio can leave by replacing `hot`'s wait.
//! - The kernel never sees memory that has been freed: what a ring operation points to lives in a
//!   table until its last completion.
//! - Unsafe code is in `sys`, `ring`, `buffers` and the few functions that lend memory to the ring.

// This is the one room that reads clocks and sleeps.
#![allow(clippy::disallowed_methods)]

pub mod boot;
pub mod data_directory;
mod descriptors;
pub mod fatal;
pub mod inspect;
mod inspect_state;
mod limits_check;
pub mod restore;
mod restore_partitions;
pub mod signals;
pub mod trace;

pub mod clock;
mod hot;
mod turn;
mod turn_meter;
mod watch;

mod connection;

mod background;
mod disk;
mod finished;
mod segment_files;

mod mesh;

mod buffers;
mod operation;
mod ring;
mod sys;

#[cfg(test)]
mod scratch;
#[cfg(test)]
mod tests;
