//! Ringmain: a Kafka-protocol event broker, one thread and one io_uring per core.
//!
//! # The house
//!
//! A core of pure machines, and a thin shell around it. The core owns no clock, socket, file, thread
//! or random source: facts come in as arguments, effects leave as values. The shell carries the
//! effects out and decides nothing. The same core runs under glommio on real cores and under a
//! seeded simulator in `tests/`.
//!
//! In reading order, each room knowing only those above it (`tests/boundaries.rs` holds the table):
//!
//! | room | its trade |
//! |---|---|
//! | [`ids`] [`limits`] [`time`] [`stdx`] | the ground: numbers with names, bounds, clocks as values, what std lacks |
//! | [`wire`] | Kafka's messages as tables, both directions, every version |
//! | [`batch`] | record batches: checks, stamps, codecs, records |
//! | [`journal`] | the group-commit journal: where an acknowledgement becomes true |
//! | [`log`] | one partition's segments, indexes, tail, retention, compaction, recovery |
//! | [`producer`] | idempotent producers: windows, epochs, snapshots |
//! | [`fetch`] | incremental fetch sessions and long polls |
//! | [`group`] | consumer groups and committed offsets; plan, then apply |
//! | [`catalog`] | topics, partitions, configs as one applied image; plan, then apply |
//! | [`api`] | one file per API key; the only room that knows Kafka's error codes |
//! | [`shard`] | one core's machines composed: connections, owned partitions, controller, recovery |
//! | [`config`] | settings, read and checked |
//! | `shell` | glommio and the own ring: sockets, disk, mesh, signals, start and end |
//!
//! # A batch on its way
//!
//! `shell::connection` receives a frame → [`api`] finds each partition's batch in it → the shard
//! that owns the partition ([`shard::owner`]) checks it, gives it its offsets, and hands it to its
//! [`journal`] and its in-memory tail ([`log`]) → the shell writes the journal group of all
//! partitions of the turn, flushed → the replies leave, the high watermark moves, waiting fetches
//! wake → later, large writes bring the tail to segment files in Kafka's format → a checkpoint lets
//! the journal file be used again. A consumer gets pieces of the tail, or ranges of segment files
//! by `sendfile`.
//!
//! # Invariants
//!
//! 1. Every partition, connection and request belongs to one shard; another shard asks by message.
//! 2. An acknowledged batch is in a journal group that, with all groups before it, is as durable as
//!    its topic asks (`flush.messages`). Consumers never see what is not.
//! 3. Replies leave a connection in the order of its requests.
//! 4. No byte from the network or from disk reaches an unchecked index, length or allocation.
//! 5. A failed write or flush ends the process; it is never simply tried again. No space is the one
//!    exception: nothing was accepted then.
//!
//! # Words
//!
//! - *Durable offset*: end of what is as safe as the topic asks. On one node it is the *high
//!   watermark* too, which consumers read up to.
//! - *Tail*: the newest batches of a partition in memory, until they are written and evicted.
//! - *Lane*: one of a shard's two journals, flushed or only written.
//! - *Checkpoint*: how far a shard's segments are durable; what a start need not replay.
//! - *Incarnation*: which start of a data directory wrote something.
//! - *Generation*: which content of a segment, counted by compaction; a place in a file is one in a
//!   content, whatever the file is called by now.
//! - *Image*: the catalog at one version, shared by all shards, replaced whole.
//! - *Controller*: the one shard that changes the catalog.
//! - *Coordinator*: who answers for all groups of one partition of `__consumer_offsets`; it runs on
//!   the shard that owns the partition, on top of its log.

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
pub mod group;

pub mod catalog;

pub mod api;

pub mod shard;

pub mod config;

#[cfg(feature = "shell")]
pub mod shell;
