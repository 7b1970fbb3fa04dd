//! The simulator of one node: the shards of the product, hosted in one thread under one seed, with a
//! disk in memory, a network and a mesh of queues, clocks that obey, clients that remember what they
//! were told, and faults of every kind. The same seed gives the same run, event by event.
//!
//! It knows nothing of the inside of a shard but [`ringmain::shard::engine`] and the recovery.

mod checker;
mod coverage;
mod disk;
mod history;
mod options;

mod boot;
mod files;
mod process;

mod admin;
mod client;
mod committer;
mod consumer;
mod producer;

mod mutant;
mod world;

pub(crate) use checker::check;
pub(crate) use coverage::Coverage;
pub(crate) use history::{Event, FINAL, History, Value};
pub(crate) use mutant::Mutant;
pub(crate) use world::{Outcome, run};
