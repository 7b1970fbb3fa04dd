//! Entries as records of `__consumer_offsets`, and back.

use bytes::Bytes;

use super::MemberId;
use super::consumer::entry::ConsumerEntry;
use super::consumer_protocol::Subscription;
use super::entry::{Committed, GroupValue, LogEntry, StoredMember};
use super::records::{
    EncodedRecord, GroupMetadataKey, GroupMetadataValue, GroupRecord, MemberMetadata,
    OffsetCommitKey, OffsetCommitValue, RecordError,
};
use crate::time::Timestamp;

/// Kafka's "none" among timestamps.
const NONE: i64 = -1;

impl LogEntry {
    /// The entry as a record.
    #[must_use]
    pub fn encode(&self) -> EncodedRecord {
        match self {
            LogEntry::Offset { group, topic, partition, committed } => {
                let key = OffsetCommitKey { group_id: group, topic, partition: *partition };
                let value = committed.as_ref().map(|committed| OffsetCommitValue {
                    offset: committed.offset,
                    leader_epoch: committed.leader_epoch,
                    metadata: &committed.metadata,
                    commit_timestamp: committed.at.0,
                    expire_timestamp: committed.expires.map_or(NONE, |expires| expires.0),
                    ..Default::default()
                });
                GroupRecord::OffsetCommit(key, value).encode()
            }
            LogEntry::Group { group, value } => {
                let key = GroupMetadataKey { group_id: group };
                GroupRecord::GroupMetadata(key, value.as_ref().map(to_record)).encode()
            }
            LogEntry::Consumer { group, entry } => entry.encode(group),
        }
    }

    /// The entry that a record holds; `None` if it is of a kind that has no meaning here.
    ///
    /// # Errors
    /// It is damaged.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<LogEntry>, RecordError> {
        Ok(match GroupRecord::decode(key, value) {
            Ok(GroupRecord::OffsetCommit(key, value)) => Some(LogEntry::Offset {
                group: key.group_id.into(),
                topic: key.topic.into(),
                partition: key.partition,
                committed: value.map(|value| Committed {
                    offset: value.offset,
                    leader_epoch: value.leader_epoch,
                    metadata: value.metadata.into(),
                    at: Timestamp(value.commit_timestamp),
                    expires: some_time(value.expire_timestamp),
                }),
            }),
            Ok(GroupRecord::GroupMetadata(key, value)) => Some(LogEntry::Group {
                group: key.group_id.into(),
                value: value.as_ref().map(from_record),
            }),
            Ok(record) => ConsumerEntry::from_record(&record),
            Err(RecordError::UnknownType(_)) => None,
            Err(error) => return Err(error),
        })
    }
}

fn to_record(value: &GroupValue) -> GroupMetadataValue<'_> {
    let members = value.members.iter().map(|member| MemberMetadata {
        member_id: &member.id,
        group_instance_id: member.instance.as_deref(),
        client_id: &member.client_id,
        client_host: &member.client_host,
        rebalance_timeout: member.rebalance_timeout_ms,
        session_timeout: member.session_timeout_ms,
        subscription: &member.subscription,
        assignment: &member.assignment,
    });
    GroupMetadataValue {
        protocol_type: value.protocol_type.as_deref().unwrap_or_default(),
        generation: value.generation,
        protocol: value.protocol.as_deref(),
        leader: value.leader.as_deref(),
        current_state_timestamp: value.since.map_or(NONE, |since| since.0),
        members: members.collect(),
    }
}

fn from_record(value: &GroupMetadataValue<'_>) -> GroupValue {
    let members = value.members.iter().map(|member| StoredMember {
        id: member.member_id.into(),
        instance: member.group_instance_id.map(Into::into),
        client_id: member.client_id.into(),
        client_host: member.client_host.into(),
        rebalance_timeout_ms: match member.rebalance_timeout {
            ..0 => member.session_timeout,
            timeout => timeout,
        },
        session_timeout_ms: member.session_timeout,
        subscription: Bytes::copy_from_slice(member.subscription),
        assignment: Bytes::copy_from_slice(member.assignment),
    });
    GroupValue {
        protocol_type: Some(value.protocol_type).filter(|name| !name.is_empty()).map(Into::into),
        generation: value.generation,
        protocol: value.protocol.map(Into::into),
        leader: value.leader.map(MemberId::from),
        since: some_time(value.current_state_timestamp),
        members: members.collect(),
    }
}

fn some_time(ms: i64) -> Option<Timestamp> {
    (ms != NONE).then_some(Timestamp(ms))
}

/// The topics that a consumer says it reads; `None` if it cannot be understood.
pub(super) fn subscribed_topics(metadata: &[u8]) -> Option<Vec<Box<str>>> {
    let subscription = Subscription::parse(metadata).ok()?;
    Some(subscription.topics.iter().map(Into::into).collect())
}
