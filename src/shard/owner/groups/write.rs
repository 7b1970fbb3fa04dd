//! From a coordinator's entries to batches in its log, and from their durability to its replies.

use bytes::{Bytes, BytesMut};

use crate::api::work::ProduceRefusal;
use crate::batch::{BatchBuilder, BatchHeader};
use crate::group::LogEntry;
use crate::group::records::EncodedRecord;
use crate::ids::{Offset, TopicPartition};
use crate::shard::outbox::Outbox;
use crate::time::{Now, Timestamp};

use super::super::Owner;
use super::State;

/// Entries of one turn go into one batch up to this size, in bytes.
const BATCH_BYTES: usize = 256 * 1024;

/// A batch of a coordinator, on its way into the log.
#[derive(Debug)]
pub(in super::super) struct GroupBatch {
    pub(in super::super) at: TopicPartition,
    /// The coordinator that planned it.
    term: u64,
    /// Its running number.
    number: u64,
    pub(in super::super) batch: BytesMut,
    pub(in super::super) header: BatchHeader,
}

impl Owner {
    /// Takes what the coordinators have brought about, all events of a turn together: entries into
    /// the journal, replies behind them.
    pub fn flush_groups(&mut self, now: Now, out: &mut Outbox) {
        while let Some(at) = self.groups.touched.pop_first() {
            let Some(hosted) = self.groups.hosted.get_mut(&at) else { continue };
            let State::Active(coordinator) = &mut hosted.state else { continue };
            let outcome = coordinator.take_outcome();
            let deadline = coordinator.next_deadline();
            let term = hosted.term;
            let first = hosted.planned + 1;
            let batches = batches(&outcome.entries, now.timestamp);
            hosted.planned += batches.len() as u64;
            let waits_for = hosted.planned;
            let replies = outcome.replies.into_iter();
            hosted.parked.extend(replies.map(|(ticket, reply)| (waits_for, ticket, reply)));
            self.groups.set_deadline(at, deadline);
            for (number, (batch, header)) in (first..).zip(batches) {
                let group_batch = GroupBatch { at, term, number, batch, header };
                if self.stalled.is_empty() {
                    self.append_groups(group_batch, now, out);
                } else {
                    self.stall_groups_last(group_batch);
                }
            }
            self.release_groups(at, out);
        }
    }

    /// Appends a batch, unless its coordinator has resigned since.
    pub(in super::super) fn append_groups(
        &mut self,
        mut group_batch: GroupBatch,
        now: Now,
        out: &mut Outbox,
    ) {
        let GroupBatch { at, term, number, .. } = group_batch;
        if self.groups.hosted.get(&at).is_none_or(|hosted| hosted.term != term) {
            return;
        }
        let placed = self.place(at, &mut group_batch.batch, group_batch.header, now);
        match placed {
            Ok(Some(placed)) => {
                if let Some(hosted) = self.groups.hosted.get_mut(&at) {
                    hosted.appended.push_back((number, placed.next_offset));
                }
            }
            Ok(None) if !self.disk_is_full() => self.stall_groups(group_batch),
            refused => {
                let refusal = refused.err().unwrap_or(ProduceRefusal::Storage);
                tracing::error!(
                    ?at,
                    ?refusal,
                    "groups cannot be written; their coordinator resigns"
                );
                self.resign_groups(at, now, out);
            }
        }
    }

    /// Everything in a partition below an offset is durable.
    pub(in super::super) fn on_groups_durable(
        &mut self,
        at: TopicPartition,
        durable: Offset,
        out: &mut Outbox,
    ) {
        let Some(hosted) = self.groups.hosted.get_mut(&at) else { return };
        while let Some((number, next_offset)) = hosted.appended.front().copied()
            && next_offset <= durable
        {
            hosted.durable = number;
            hosted.appended.pop_front();
        }
        self.release_groups(at, out);
    }

    /// Lets the replies leave that wait for nothing any more.
    fn release_groups(&mut self, at: TopicPartition, out: &mut Outbox) {
        while let Some(hosted) = self.groups.hosted.get_mut(&at)
            && hosted.parked.front().is_some_and(|(number, ..)| *number <= hosted.durable)
            && let Some((_, ticket, reply)) = hosted.parked.pop_front()
        {
            self.answer_ticket(ticket, reply, out);
        }
    }
}

/// The entries as batches, in order.
fn batches(entries: &[LogEntry], now: Timestamp) -> Vec<(BytesMut, BatchHeader)> {
    let mut batches = Vec::new();
    let mut builder = BatchBuilder::new();
    for entry in entries {
        let EncodedRecord { key, value } = entry.encode();
        let size = key.len() + value.as_ref().map_or(0, Bytes::len);
        if builder.record_count() > 0 && builder.uncompressed_size() + size > BATCH_BYTES {
            batches.push(built(&builder));
            builder = BatchBuilder::new();
        }
        builder.add(now, Some(&key), value.as_deref(), &[]);
    }
    if builder.record_count() > 0 {
        batches.push(built(&builder));
    }
    batches
}

fn built(builder: &BatchBuilder) -> (BytesMut, BatchHeader) {
    let batch = builder.build();
    match BatchHeader::parse(&batch) {
        Ok(header) => (batch, header),
        Err(error) => panic!("a batch that was built cannot be read: {error}"),
    }
}
