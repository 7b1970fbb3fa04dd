//! Committed offsets.

use crate::wire::message::message;

message! {
    /// Which group, in which partition.
    #[derive(Copy)]
    struct OffsetCommitKey<'a> {
        /// The group.
        group_id: &'a str, 0..;
        /// The topic.
        topic: &'a str, 0..;
        /// The partition.
        partition: i32, 0..;
    }

    /// The offset.
    #[derive(Copy)]
    versioned OffsetCommitValue<'a>[0..=4, flexible 4..] {
        /// Next offset to read.
        offset: i64, 0..;
        /// Leader epoch of the last record read; -1 if unknown.
        leader_epoch: i32 = -1, 3.., ignorable;
        /// Whatever the client keeps with it.
        metadata: &'a str, 0..;
        /// When it was committed, in milliseconds since 1970.
        commit_timestamp: i64, 0..;
        /// Until when to keep it, in milliseconds since 1970, if a client of old said so; -1 for as
        /// long as the broker is set to.
        expire_timestamp: i64 = -1, 1..=1, ignorable;
        /// The topic; zeros if unknown.
        topic_id: [u8; 16], 4.., tag 0, ignorable;
    }
}

impl OffsetCommitValue<'_> {
    /// Only version 1 can say until when, at the price of leader epoch and topic id.
    pub(super) fn version_written(&self) -> i16 {
        if self.expire_timestamp == -1 { 4 } else { 1 }
    }
}
