//! Ringmain: a Kafka-protocol event broker, one thread and one io_uring per core.

pub mod ids;
pub mod limits;
pub mod stdx;
pub mod time;

pub mod wire;

pub mod batch;

pub mod journal;
pub mod log;
pub mod producer;

pub mod fetch;

pub mod catalog;

pub mod api;
pub mod shard;

pub mod config;

#[cfg(feature = "shell")]
pub mod shell;
