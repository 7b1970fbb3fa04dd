//! How the descriptors of the process are shared out, so that connections give way and files do not.
//!
//! What every shard needs for itself (rings, its listener, journal files, what its blocking threads
//! open for a moment) is set aside at the start. The rest is for connections and for segment files
//! that stay open. Of it a share is kept for files: connections beyond that are refused. Files may
//! take what connections leave, and where they meet the end of it fewer of them stay open.
//!
//! A file that cannot be opened ends the broker (what was accepted could not be stored); a
//! connection that is refused is tried again by its client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tracing::warn;

use crate::time::Instant;

/// Standard streams, lock, signals, and what the threads of the process open for a moment.
const OF_PROCESS: usize = 20;
/// Rings, eventfds and the listener of a shard.
const OF_SHARD: usize = 10;
/// What the blocking threads of a shard open for a moment: four threads, three files and a
/// directory.
const OF_THREADS: usize = 16;
/// With fewer than these nobody is served: a segment written and read, and some clients.
const ELASTIC_MIN: usize = 24;
/// The share of the rest that connections never take: one in so many.
const FILES_SHARE: usize = 4;
/// Between two lines about refused connections.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The descriptors that connections and segment files share.
#[derive(Debug)]
pub(super) struct Descriptors {
    limit: u64,
    elastic: usize,
    connections: AtomicUsize,
    files: AtomicUsize,
    refused: AtomicU64,
    /// Nanoseconds; 0 before the first.
    reported: AtomicU64,
}

/// So many descriptors, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    descriptors: Arc<Descriptors>,
    count: usize,
    of_connection: bool,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.descriptors.counter(self.of_connection).fetch_sub(self.count, Ordering::Relaxed);
    }
}

/// How many descriptors have to be allowed at least.
#[must_use]
pub(super) fn needed(shards: usize, journal_files: usize) -> usize {
    // Either lane of a shard has its own files.
    let of_journals = journal_files.saturating_mul(2);
    let of_shard = (OF_SHARD + OF_THREADS).saturating_add(of_journals);
    of_shard.saturating_mul(shards).saturating_add(OF_PROCESS + ELASTIC_MIN)
}

impl Descriptors {
    /// Shares out what the limit allows; `None` if that is too little.
    #[must_use]
    pub(super) fn new(limit: u64, shards: usize, journal_files: usize) -> Option<Arc<Descriptors>> {
        let needed = needed(shards, journal_files);
        let surplus = usize::try_from(limit).unwrap_or(usize::MAX).checked_sub(needed)?;
        Some(Arc::new(Descriptors {
            limit,
            elastic: surplus.saturating_add(ELASTIC_MIN),
            connections: AtomicUsize::new(0),
            files: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            reported: AtomicU64::new(0),
        }))
    }

    fn counter(&self, of_connection: bool) -> &AtomicUsize {
        if of_connection { &self.connections } else { &self.files }
    }

    fn lease(self: &Arc<Self>, count: usize, of_connection: bool) -> Lease {
        self.counter(of_connection).fetch_add(count, Ordering::Relaxed);
        Lease { descriptors: Arc::clone(self), count, of_connection }
    }

    /// For a connection that was accepted; `None` if it has to go again. Several shards that ask at
    /// once may pass the limit by one each, which the share of the files bears.
    #[must_use]
    pub(super) fn connection(self: &Arc<Self>, now: Instant) -> Option<Lease> {
        let reserved = (self.elastic / FILES_SHARE).max(self.files.load(Ordering::Relaxed));
        if self.connections.load(Ordering::Relaxed).saturating_add(reserved) < self.elastic {
            return Some(self.lease(1, true));
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        let reported = self.reported.load(Ordering::Relaxed);
        let is_due = reported == 0 || now.since(Instant(reported)) >= REPORT_INTERVAL;
        let next = now.0.max(1);
        let swap =
            |at| self.reported.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
        // Of several shards one reports.
        if is_due && swap(reported).is_ok() {
            let refused = self.refused.swap(0, Ordering::Relaxed);
            warn!(
                refused,
                open = self.connections.load(Ordering::Relaxed),
                "connections are refused: only {} files and connections can be open at once; set \
                 `ulimit -n 1048576` or, for systemd, `LimitNOFILE=1048576`",
                self.limit
            );
        }
        None
    }

    /// For files that stay open.
    #[must_use]
    pub(super) fn files(self: &Arc<Self>, count: usize) -> Lease {
        self.lease(count, false)
    }

    /// Whether there is no room for further files that stay open.
    #[must_use]
    pub(super) fn is_short(&self) -> bool {
        let used = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        used(&self.connections).saturating_add(used(&self.files)) >= self.elastic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(elastic: usize) -> Arc<Descriptors> {
        let limit = needed(2, 8) - ELASTIC_MIN + elastic;
        Descriptors::new(limit as u64, 2, 8).unwrap()
    }

    #[test]
    fn too_small_a_limit_is_none() {
        let least = needed(2, 8) as u64;
        assert!(Descriptors::new(least - 1, 2, 8).is_none());
        assert!(Descriptors::new(least, 2, 8).is_some());
        assert!(Descriptors::new(8, 1, 2).is_none());
        assert!(Descriptors::new(u64::MAX, usize::MAX, 8).is_some());
    }

    #[test]
    fn connections_leave_the_share_of_the_files_alone() {
        let descriptors = of(40);
        let mut leases: Vec<Lease> =
            (0..30).map(|_| descriptors.connection(Instant(1)).expect("room")).collect();
        assert!(descriptors.connection(Instant(1)).is_none());
        assert!(!descriptors.is_short());
        let files = descriptors.files(10);
        assert!(descriptors.is_short());
        leases.pop();
        assert!(!descriptors.is_short());
        assert!(descriptors.connection(Instant(1)).is_some());
        drop(files);
        assert!(descriptors.connection(Instant(1)).is_some());
    }

    #[test]
    fn files_that_take_more_than_their_share_leave_less_for_connections() {
        let descriptors = of(40);
        let files = descriptors.files(39);
        let last = descriptors.connection(Instant(1));
        assert!(last.is_some());
        assert!(descriptors.connection(Instant(1)).is_none());
        drop(files);
        assert!(descriptors.connection(Instant(1)).is_some());
    }

    #[test]
    fn refusals_are_reported_once_a_second() {
        let descriptors = of(24);
        let _files = descriptors.files(24);
        let second = Duration::from_secs(1);
        let now = Instant(0) + second;
        let unreported = || descriptors.refused.load(Ordering::Relaxed);
        assert!(descriptors.connection(now).is_none());
        assert_eq!(unreported(), 0);
        for _ in 0..5 {
            assert!(descriptors.connection(now + second / 2).is_none());
        }
        assert_eq!(unreported(), 5);
        assert!(descriptors.connection(now + second).is_none());
        assert_eq!(unreported(), 0);
    }
}
