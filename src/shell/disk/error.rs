//! System errors as the values the engine knows.

use std::fmt::Display;
use std::io;

use crate::shard::engine::DiskError;

/// What was tried, what the system said, and whether it was for want of space or of descriptors.
pub(crate) fn disk_error(operation: impl Display, error: &io::Error) -> DiskError {
    DiskError {
        operation: operation.to_string(),
        reason: error.to_string(),
        full: is_full(error),
        starved: is_starved(error),
    }
}

/// Whether the device, or what this user may take of it, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
}

/// Whether the process, or the whole system, has no descriptor left.
pub(crate) fn is_starved(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_space_and_of_descriptors_are_told_from_failures() {
        let told = |errno| {
            let error = disk_error("trying", &io::Error::from_raw_os_error(errno));
            (error.full, error.starved)
        };
        assert_eq!(told(libc::EIO), (false, false));
        assert_eq!((told(libc::ENOSPC), told(libc::EDQUOT)), ((true, false), (true, false)));
        assert_eq!((told(libc::EMFILE), told(libc::ENFILE)), ((false, true), (false, true)));
    }
}
