//! System errors as the values the engine knows.

use std::fmt::Display;
use std::io;

use crate::shard::engine::DiskError;

/// What was tried, what the system said, and whether it was for want of space.
pub(crate) fn disk_error(operation: impl Display, error: &io::Error) -> DiskError {
    DiskError { operation: operation.to_string(), reason: error.to_string(), full: is_full(error) }
}

/// Whether the device, or what this user may take of it, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
}
