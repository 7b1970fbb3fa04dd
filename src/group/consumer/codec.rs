//! A consumer group's entries as records, and back.

use crate::group::GroupId;
use crate::group::entry::LogEntry;
use crate::group::records::{
    ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey,
    ConsumerGroupMetadataValue, ConsumerGroupRegularExpressionKey,
    ConsumerGroupRegularExpressionValue, ConsumerGroupTargetAssignmentMemberKey,
    ConsumerGroupTargetAssignmentMemberValue, ConsumerGroupTargetAssignmentMetadataKey,
    ConsumerGroupTargetAssignmentMetadataValue, EncodedRecord, GroupRecord, OwnedPartitions,
    TargetPartitions,
};
use crate::ids::TopicId;
use crate::time::Timestamp;
use crate::wire::array::Array;

use super::entry::{
    ConsumerEntry, Current, GroupEpoch, MemberState, MemberValue, Owned, Partitions, Resolved,
    TargetEpoch,
};

impl ConsumerEntry {
    /// The entry as a record.
    pub(in crate::group) fn encode(&self, group_id: &str) -> EncodedRecord {
        let record = match self {
            ConsumerEntry::Group(value) => {
                let value = value.map(|value| ConsumerGroupMetadataValue {
                    epoch: value.epoch,
                    metadata_hash: value.topics_hash,
                });
                GroupRecord::ConsumerGroupMetadata(ConsumerGroupMetadataKey { group_id }, value)
            }
            ConsumerEntry::Member(member_id, value) => {
                let key = ConsumerGroupMemberMetadataKey { group_id, member_id };
                GroupRecord::ConsumerGroupMemberMetadata(key, value.as_ref().map(member))
            }
            ConsumerEntry::TargetEpoch(value) => {
                let key = ConsumerGroupTargetAssignmentMetadataKey { group_id };
                let value = value.map(|value| ConsumerGroupTargetAssignmentMetadataValue {
                    assignment_epoch: value.epoch,
                    assignment_timestamp: value.at.0,
                });
                GroupRecord::ConsumerGroupTargetAssignmentMetadata(key, value)
            }
            ConsumerEntry::Target(member_id, value) => {
                let key = ConsumerGroupTargetAssignmentMemberKey { group_id, member_id };
                let value = value.as_ref().map(|value| {
                    let topics = value.iter().map(|(id, partitions)| TargetPartitions {
                        topic_id: id.0,
                        partitions: partitions.iter().copied().collect(),
                    });
                    ConsumerGroupTargetAssignmentMemberValue { topic_partitions: topics.collect() }
                });
                GroupRecord::ConsumerGroupTargetAssignmentMember(key, value)
            }
            ConsumerEntry::Current(member_id, value) => {
                let key = ConsumerGroupCurrentMemberAssignmentKey { group_id, member_id };
                let value = value.as_ref().map(|value| ConsumerGroupCurrentMemberAssignmentValue {
                    member_epoch: value.epoch,
                    previous_member_epoch: value.previous_epoch,
                    state: match value.state {
                        MemberState::Stable => 0,
                        MemberState::Unrevoked => 1,
                        MemberState::Unreleased => 2,
                    },
                    assigned_partitions: owned(&value.assigned),
                    partitions_pending_revocation: owned(&value.revoking),
                });
                GroupRecord::ConsumerGroupCurrentMemberAssignment(key, value)
            }
            ConsumerEntry::Pattern(pattern, value) => {
                let key =
                    ConsumerGroupRegularExpressionKey { group_id, regular_expression: pattern };
                let value = value.as_ref().map(|value| ConsumerGroupRegularExpressionValue {
                    topics: value.topics.iter().map(|topic| &**topic).collect(),
                    version: value.version,
                    timestamp: value.at.0,
                });
                GroupRecord::ConsumerGroupRegularExpression(key, value)
            }
        };
        record.encode()
    }

    /// The entry that a record holds; `None` if it is none of a consumer group's, or of no meaning
    /// any more.
    pub(in crate::group) fn from_record(record: &GroupRecord<'_>) -> Option<LogEntry> {
        let entry = match record {
            GroupRecord::ConsumerGroupMetadata(_, value) => {
                ConsumerEntry::Group(value.map(|value| GroupEpoch {
                    epoch: value.epoch,
                    topics_hash: value.metadata_hash,
                }))
            }
            GroupRecord::ConsumerGroupMemberMetadata(key, value) => {
                ConsumerEntry::Member(key.member_id.into(), value.as_ref().map(from_member))
            }
            GroupRecord::ConsumerGroupTargetAssignmentMetadata(_, value) => {
                ConsumerEntry::TargetEpoch(value.map(|value| TargetEpoch {
                    epoch: value.assignment_epoch,
                    at: Timestamp(value.assignment_timestamp),
                }))
            }
            GroupRecord::ConsumerGroupTargetAssignmentMember(key, value) => {
                let partitions = value.as_ref().map(|value| {
                    let mut all = Partitions::new();
                    for topic in value.topic_partitions.iter() {
                        if !topic.partitions.is_empty() {
                            let of_topic = all.entry(TopicId(topic.topic_id)).or_default();
                            of_topic.extend(topic.partitions.iter());
                        }
                    }
                    all
                });
                ConsumerEntry::Target(key.member_id.into(), partitions)
            }
            GroupRecord::ConsumerGroupCurrentMemberAssignment(key, value) => {
                let current = value.as_ref().map(|value| Current {
                    epoch: value.member_epoch,
                    previous_epoch: value.previous_member_epoch,
                    state: match value.state {
                        0 => MemberState::Stable,
                        1 => MemberState::Unrevoked,
                        // One that comes after this: its next step is worked out anew.
                        _ => MemberState::Unreleased,
                    },
                    assigned: from_owned(&value.assigned_partitions, value.member_epoch),
                    revoking: from_owned(&value.partitions_pending_revocation, value.member_epoch),
                });
                ConsumerEntry::Current(key.member_id.into(), current)
            }
            GroupRecord::ConsumerGroupRegularExpression(key, value) => {
                let resolved = value.as_ref().map(|value| Resolved {
                    topics: value.topics.iter().map(Into::into).collect(),
                    version: value.version,
                    at: Timestamp(value.timestamp),
                });
                ConsumerEntry::Pattern(key.regular_expression.into(), resolved)
            }
            _ => return None,
        };
        Some(LogEntry::Consumer { group: GroupId::from(record.group_id()), entry })
    }
}

fn member(value: &MemberValue) -> ConsumerGroupMemberMetadataValue<'_> {
    ConsumerGroupMemberMetadataValue {
        instance_id: value.instance.as_deref(),
        rack_id: value.rack.as_deref(),
        client_id: &value.client_id,
        client_host: &value.client_host,
        subscribed_topic_names: value.topics.iter().map(|topic| &**topic).collect(),
        subscribed_topic_regex: value.pattern.as_deref(),
        rebalance_timeout_ms: value.rebalance_timeout_ms,
        server_assignor: value.assignor.as_deref(),
        classic_member_metadata: None,
    }
}

fn from_member(value: &ConsumerGroupMemberMetadataValue<'_>) -> MemberValue {
    let some = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(Into::into);
    MemberValue {
        instance: some(value.instance_id),
        rack: some(value.rack_id),
        client_id: value.client_id.into(),
        client_host: value.client_host.into(),
        topics: value.subscribed_topic_names.iter().map(Into::into).collect(),
        pattern: some(value.subscribed_topic_regex),
        rebalance_timeout_ms: value.rebalance_timeout_ms,
        assignor: some(value.server_assignor),
    }
}

fn owned(partitions: &Owned) -> Array<'static, OwnedPartitions<'static>> {
    let topics = partitions.iter().map(|(id, epochs)| OwnedPartitions {
        topic_id: id.0,
        partitions: epochs.keys().copied().collect(),
        assignment_epochs: Some(epochs.values().copied().collect()),
    });
    topics.collect()
}

/// Where the epoch of a partition was not written down, it is the member's.
fn from_owned<'a>(topics: &Array<'a, OwnedPartitions<'a>>, member_epoch: i32) -> Owned {
    let mut all = Owned::new();
    for topic in topics.iter() {
        if topic.partitions.is_empty() {
            continue;
        }
        let epochs = topic.assignment_epochs.iter().flat_map(Array::iter);
        let epochs = epochs.chain(std::iter::repeat(member_epoch));
        all.entry(TopicId(topic.topic_id)).or_default().extend(topic.partitions.iter().zip(epochs));
    }
    all
}
