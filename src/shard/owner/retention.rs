//! Deleting what is too old or too much. A segment is dropped from the log first; its files go once
//! a durable checkpoint no longer names it and `file.delete.delay.ms` is over, so that neither a
//! crash nor a fetch that is just being sent misses them.

use std::time::Duration;

use crate::ids::{Offset, TopicPartition};
use crate::shard::engine::FileWork;
use crate::shard::outbox::Outbox;
use crate::time::{Instant, Now};

use super::{Job, Owner};

/// Segments on their way out, and when to look for more.
#[derive(Debug)]
pub(super) struct Retention {
    next_check: Instant,
    /// Dropped from their logs, still named by the durable checkpoint.
    named: Vec<(TopicPartition, Offset, Instant)>,
    /// No checkpoint names them any more; unlinked at their time.
    unnamed: Vec<(TopicPartition, Offset, Instant)>,
}

impl Retention {
    pub(super) fn new(next_check: Instant) -> Retention {
        Retention { next_check, named: Vec::new(), unnamed: Vec::new() }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let unlink = self.unnamed.iter().map(|(_, _, due)| *due).min();
        crate::time::earlier(Some(self.next_check), unlink)
    }

    /// A checkpoint that names none of what was dropped until now is being made.
    pub(super) fn begin_checkpoint(&self) -> usize {
        self.named.len()
    }

    /// It is durable.
    pub(super) fn end_checkpoint(&mut self, covered: usize) {
        let covered = covered.min(self.named.len());
        self.unnamed.extend(self.named.drain(..covered));
    }

    /// The whole directory goes.
    pub(super) fn forget(&mut self, at: TopicPartition) {
        self.unnamed.retain(|(gone, ..)| *gone != at);
        // What a running checkpoint counts keeps its place; unlinking it later finds nothing.
    }

    pub(super) fn wants_checkpoint(&self) -> bool {
        !self.named.is_empty()
    }
}

impl Owner {
    pub(super) fn check_retention(&mut self, now: Now, out: &mut Outbox) {
        if now.instant >= self.retention.next_check {
            self.retention.next_check = now.instant + self.options.retention_interval;
            let all: Vec<_> = self.partitions.keys().copied().collect();
            for at in all {
                self.expire_producers(at, now);
                self.drop_old_segments(at, now);
            }
        }
        self.unlink_due(now.instant, out);
    }

    fn expire_producers(&mut self, at: TopicPartition, now: Now) {
        if let Some(partition) = self.partitions.get_mut(&at) {
            partition.producers.expire(now.instant, self.options.producer_expiration);
        }
    }

    /// Drops what a partition need not keep.
    pub(super) fn drop_old_segments(&mut self, at: TopicPartition, now: Now) {
        let Some(partition) = self.partitions.get_mut(&at) else { return };
        let retention = partition.log.retention(now, partition.high_watermark());
        let rolled = retention.roll && partition.log.roll(now.timestamp);
        if rolled || !partition.log.closed_are_durable() {
            // Durable to its end first; the next check deletes it.
            self.demand_seal(at);
        } else if !retention.delete.is_empty() {
            let before = partition.log.tail_bytes();
            partition.log.delete_segments(&retention.delete);
            self.tail_bytes -= before - partition.log.tail_bytes();
            let delay = Duration::from_millis(partition.config.file_delete_delay_ms);
            let due = now.instant + delay;
            tracing::info!(
                partition = partition.directory.name,
                segments = retention.delete.len(),
                log_start = %partition.log.start_offset(),
                "retention drops segments"
            );
            self.retention
                .named
                .extend(retention.delete.into_iter().map(|segment| (at, segment, due)));
        }
    }

    fn unlink_due(&mut self, now: Instant, out: &mut Outbox) {
        let mut due = Vec::new();
        self.retention.unnamed.retain(|(at, segment, when)| {
            let keep = *when > now;
            if !keep {
                due.push((*at, *segment));
            }
            keep
        });
        while let Some((at, segment)) = due.pop() {
            let mut segments = vec![segment];
            due.retain(|(other, segment)| {
                if *other == at {
                    segments.push(*segment);
                }
                *other != at
            });
            segments.sort_unstable();
            let Some(partition) = self.partitions.get(&at) else { continue };
            let directory = partition.directory.clone();
            let id = out.file(FileWork::DeleteSegments { directory, segments });
            self.jobs.insert(id, Job::Unlink);
        }
    }
}
