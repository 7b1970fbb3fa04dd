//! What a fetch needs beyond one read of one log: incremental sessions (KIP-227) and long polls.
//!
//! It knows no log, no socket and no error code. Invariants: a session's epoch rises by exactly one
//! with every accepted request; a watch fires at most once; a watch registered after data arrived
//! is the caller's mistake to prevent by comparing the high watermark it has seen.

mod session;
mod watch;

pub use session::{
    EpochRefusal, FetchTopic, Opened, SessionCache, SessionId, SessionPartition, SessionRequest,
};
pub use watch::{WatchId, Watches};
