//! CreatePartitions: more partitions for topics that exist.

use super::super::apply::Catalog;
use super::super::placement::{new_partition, place_replicas};
use super::super::record::Record;
use super::super::topic_name::printable;
use super::create_topics::Room;
use super::{Plan, Refusal, occurrences};
use crate::ids::{NodeId, TopicId};
use crate::limits::TOPIC_PARTITIONS_MAX;

/// One topic of a CreatePartitions request, as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionsCreation {
    /// The topic's name.
    pub name: String,
    /// How many partitions it is to have in the end.
    pub count: i32,
    /// Replicas of each new partition, if the client chose them.
    pub assignments: Option<Vec<Vec<NodeId>>>,
}

/// The partitions that a topic got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedPartitions {
    /// The topic.
    pub id: TopicId,
    /// Index of the first new partition.
    pub first: i32,
    /// How many partitions there are now.
    pub count: i32,
}

impl Catalog {
    /// Plans more partitions.
    #[must_use]
    pub fn plan_create_partitions(
        &self,
        topics: &[PartitionsCreation],
        validate_only: bool,
    ) -> Plan<CreatedPartitions> {
        let counts = occurrences(topics.iter().map(|topic| topic.name.as_str()));
        let mut room = Room::default();
        self.plan_each(topics.iter(), validate_only, |draft, topic| {
            if counts.get(topic.name.as_str()).is_some_and(|count| *count > 1) {
                return Err(Refusal::InvalidRequest("Duplicate topic name.".to_owned()));
            }
            let planned = draft.plan_partitions(topic, &room)?;
            let existing = draft.image.topic(&topic.name).map_or(0, |topic| topic.partitions.len());
            room.take(topic.count.saturating_sub(existing as i32));
            Ok(planned)
        })
    }

    fn plan_partitions(
        &self,
        request: &PartitionsCreation,
        room: &Room,
    ) -> Result<(Vec<Record>, CreatedPartitions), Refusal> {
        let name = request.name.as_str();
        let Some(topic) = self.image.topic(name) else {
            return Err(Refusal::UnknownTopic(format!("There is no topic '{}'.", printable(name))));
        };
        // Groups would move away from what is written of them.
        if topic.internal {
            return Err(Refusal::InvalidRequest(format!(
                "The number of partitions of the internal topic {name} cannot be changed."
            )));
        }
        let existing = topic.partitions.len();
        let count = usize::try_from(request.count).unwrap_or(0);
        if count == existing {
            return Err(Refusal::InvalidPartitions(format!(
                "Topic already has {existing} partition(s)."
            )));
        }
        if count < existing {
            return Err(Refusal::InvalidPartitions(format!(
                "The topic {name} currently has {existing} partition(s); {} would not be an \
                 increase.",
                request.count
            )));
        }
        if count as i64 > i64::from(TOPIC_PARTITIONS_MAX) {
            return Err(Refusal::PolicyViolation(format!(
                "A topic may have at most {TOPIC_PARTITIONS_MAX} partitions, not {count}."
            )));
        }
        let added = count - existing;
        room.has_partitions(added)?;
        let factor = topic.partitions.first().map_or(1, |partition| partition.replicas.len());
        let replicas = match &request.assignments {
            Some(assignments) if assignments.len() != added => {
                return Err(Refusal::InvalidReplicaAssignment(format!(
                    "Attempted to add {added} additional partition(s), but only {} assignment(s) \
                     were specified.",
                    assignments.len()
                )));
            }
            Some(assignments) => {
                for replicas in assignments {
                    self.check_assignment(replicas, Some(factor))?;
                }
                assignments.clone()
            }
            None => place_replicas(&self.image.brokers, existing, added, factor).ok_or_else(|| {
                Refusal::InvalidReplicationFactor(format!(
                    "The target replication factor of {factor} cannot be reached because only {} \
                     broker(s) are registered.",
                    self.image.brokers.len()
                ))
            })?,
        };
        self.check_partition_limits(name, existing, &replicas)?;
        let record = Record::PartitionsAdded {
            id: topic.id,
            first: existing as u32,
            partitions: replicas.into_iter().map(new_partition).collect(),
        };
        let created =
            CreatedPartitions { id: topic.id, first: existing as i32, count: count as i32 };
        Ok((vec![record], created))
    }
}
