//! Committing and deleting offsets, and deleting groups.

use super::{Coordinator, Group};
use crate::group::GroupId;
use crate::group::classic::State;
use crate::group::entry::{Committed, LogEntry};
use crate::group::reply::{CommitReply, Refusal};
use crate::group::request::{CommitRequest, DeleteOffsetsRequest};
use crate::time::{Now, Timestamp};

impl Coordinator {
    pub(super) fn commit(&mut self, request: &CommitRequest, now: Now) -> CommitReply {
        match self.slots.get_mut(&request.group).map(|slot| &mut slot.group) {
            Some(Group::Classic(group)) => group.check_commit(request, now)?,
            Some(Group::Consumer(group)) => group.check_commit(request, &*self.topics)?,
            // Not a member: the commit makes the group.
            None if request.generation < 0 => {}
            None => return Err(Refusal::GroupNotFound),
        }
        let expires = request.retention_ms.map(|ms| Timestamp(now.timestamp.0.saturating_add(ms)));
        let mut results = Vec::new();
        for (topic, partitions) in &request.topics {
            for wanted in partitions {
                if is_longer(&wanted.metadata, self.options.metadata_bytes_max) {
                    results.push(Err(Refusal::MetadataTooLarge));
                    continue;
                }
                self.record(LogEntry::Offset {
                    group: request.group.clone(),
                    topic: topic.clone(),
                    partition: wanted.partition,
                    committed: Some(Committed {
                        offset: wanted.offset,
                        leader_epoch: wanted.leader_epoch,
                        metadata: wanted.metadata.clone(),
                        at: now.timestamp,
                        expires,
                    }),
                });
                results.push(Ok(()));
            }
        }
        Ok(results)
    }

    pub(super) fn delete_offsets(&mut self, request: &DeleteOffsetsRequest) -> CommitReply {
        let slot = self.slots.get(&request.group).ok_or(Refusal::GroupNotFound)?;
        if let Group::Classic(group) = &slot.group
            && group.state() != State::Empty
            && !group.is_of_consumers()
        {
            return Err(Refusal::NonEmptyGroup);
        }
        let mut results = Vec::new();
        let mut deleted = Vec::new();
        for (topic, partitions) in &request.topics {
            let read = slot.group.reads(topic);
            for partition in partitions {
                if read {
                    results.push(Err(Refusal::SubscribedToTopic));
                    continue;
                }
                if slot.offsets.contains(topic, *partition) {
                    deleted.push((topic.clone(), *partition));
                }
                results.push(Ok(()));
            }
        }
        self.forget(&request.group, deleted);
        Ok(results)
    }

    pub(super) fn delete(&mut self, group: &GroupId) -> Result<(), Refusal> {
        let slot = self.slots.get(group).ok_or(Refusal::GroupNotFound)?;
        if !slot.group.is_deserted() {
            return Err(Refusal::NonEmptyGroup);
        }
        let all = slot.offsets.all();
        self.forget(group, all);
        self.remove_group(group);
        Ok(())
    }

    /// Removes a group that nobody is in.
    pub(super) fn remove_group(&mut self, group: &GroupId) {
        match self.slots.get(group).map(|slot| &slot.group) {
            Some(Group::Consumer(_)) => self.end_consumers(group),
            Some(Group::Classic(_)) | None => {
                self.record(LogEntry::Group { group: group.clone(), value: None });
            }
        }
    }

    /// Forgets offsets of a group.
    pub(super) fn forget(&mut self, group: &GroupId, offsets: Vec<(Box<str>, i32)>) {
        for (topic, partition) in offsets {
            let group = group.clone();
            self.record(LogEntry::Offset { group, topic, partition, committed: None });
        }
    }
}

/// Kafka counts the characters of Java, whatever the key says.
fn is_longer(metadata: &str, length_max: usize) -> bool {
    metadata.len() > length_max && metadata.encode_utf16().count() > length_max
}
