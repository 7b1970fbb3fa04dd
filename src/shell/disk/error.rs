//! System errors as the values the engine knows.

use std::fmt::Display;
use std::io;

use crate::shard::engine::DiskError;

/// What was tried, what the system said, and whether it was for want of space.
pub(crate) fn disk_error(operation: impl Display, error: &io::Error) -> DiskError {
    let full = matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT));
    DiskError { operation: operation.to_string(), reason: error.to_string(), full }
}
