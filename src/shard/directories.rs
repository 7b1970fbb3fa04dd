//! Whose a partition directory is that a start finds, however damaged the small file in it that
//! says so (`partition.metadata`).
//!
//! A directory is given up only if nothing can be lost by it: the topic it names was deleted, or all
//! that its partition has is still in the journals. What can be told is told apart by what the
//! catalog and the checkpoints know, which carry checksums; what cannot be told is for a human.

use std::collections::BTreeSet;

use crate::catalog::Image;
use crate::ids::{PartitionId, TopicId, TopicPartition};

/// A partition directory as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundDirectory<'a> {
    /// Its name.
    pub name: &'a str,
    /// The topic part of the name.
    pub topic_name: &'a str,
    /// The partition part of the name.
    pub partition: PartitionId,
    /// The topic in its `partition.metadata`; `None` if that is missing or unreadable.
    pub topic: Option<TopicId>,
    /// Whether it has a segment that is not empty.
    pub has_records: bool,
}

/// What a start knows of topics that are not in the image any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeletedTopics {
    /// Those whose deletion can be read in the catalog log.
    pub known: BTreeSet<TopicId>,
    /// There are no others: the log goes back to the beginning, or its end was cut off and an
    /// unknown topic may be one that was made there.
    pub complete: bool,
}

/// What becomes of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryFate {
    /// It belongs to this partition.
    Owned(TopicPartition),
    /// Its topic was deleted; so is it.
    Deleted,
    /// A crash came before anything was put into it, or it is none of ours.
    Empty,
}

/// Judges a directory. `durable` are the partitions of which a checkpoint says that they have
/// segments.
///
/// # Errors
/// One line for a human: it may hold records, and whose they are is not known.
pub fn fate(
    found: &FoundDirectory<'_>,
    image: &Image,
    durable: &BTreeSet<TopicPartition>,
    deleted: &DeletedTopics,
) -> Result<DirectoryFate, String> {
    let FoundDirectory { name, topic_name, partition, topic: written, has_records } = *found;
    let named = image.topic(topic_name).and_then(|topic| {
        let index = usize::try_from(partition.0).ok()?;
        topic.partitions.get(index)?;
        Some(TopicPartition { topic: topic.id, partition })
    });
    let Some(written) = written else {
        return match named {
            Some(at) => Ok(DirectoryFate::Owned(at)),
            None if !has_records => Ok(DirectoryFate::Empty),
            None => Err(format!(
                "{name} has segments, but no readable partition.metadata, and the catalog knows no \
                 such partition: move the directory away, or restore the catalog it belongs to"
            )),
        };
    };
    if let Some(at) = named
        && (at.topic == written || durable.contains(&at))
    {
        // A partition gets its directory once the one of its predecessor is gone. So what has been
        // checkpointed under this name is what is here, whatever has become of the file.
        return Ok(DirectoryFate::Owned(at));
    }
    if let Some(other) = image.topic_by_id(written) {
        return Err(format!(
            "{name} says in its partition.metadata that it belongs to topic {}, which has other \
             directories: give it its old name back, or move it away",
            other.name
        ));
    }
    if deleted.known.contains(&written) || !deleted.complete {
        return Ok(DirectoryFate::Deleted);
    }
    match named {
        // No checkpoint knows of segments here, so all that the partition has is in the journals.
        Some(at) => Ok(DirectoryFate::Owned(at)),
        None if !has_records => Ok(DirectoryFate::Deleted),
        None => Err(format!(
            "{name} belongs to topic id {written}, which the catalog does not know and which nobody \
             deleted: the end of catalog/log is lost; restore it, or move the directory away to give \
             the topic up"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Partition, Record};
    use crate::ids::{Incarnation, LeaderEpoch, NodeId};

    const OURS: TopicId = TopicId([1; 16]);
    const OTHER: TopicId = TopicId([2; 16]);
    const UNKNOWN: TopicId = TopicId([9; 16]);

    fn image() -> Image {
        let partition = Partition {
            leader_epoch: LeaderEpoch(0),
            leader: Some(NodeId(1)),
            replicas: vec![NodeId(1)],
            isr: vec![NodeId(1)],
            partition_epoch: 0,
        };
        let mut catalog = Catalog::load(None, &[], Default::default()).unwrap().catalog;
        let (cluster_id, node_id) = ("AAAAAAAAAAAAAAAAAAAAAA".to_owned(), NodeId(1));
        let (endpoints, rack, incarnation) = (Vec::new(), None, Incarnation(1));
        let mut records = vec![
            Record::ClusterCreated { cluster_id, node_id },
            Record::BrokerRegistered { node_id, incarnation, endpoints, rack },
        ];
        for (name, id) in [("a", OURS), ("b", OTHER)] {
            records.push(Record::TopicCreated {
                name: name.to_owned(),
                id,
                partitions: vec![partition.clone()],
                configs: Default::default(),
            });
        }
        for record in &records {
            catalog.apply(record).unwrap();
        }
        Image::clone(catalog.image())
    }

    fn directory(name: &str, topic: Option<TopicId>, has_records: bool) -> FoundDirectory<'_> {
        let (topic_name, partition) = name.rsplit_once('-').unwrap();
        let partition = PartitionId(partition.parse().unwrap());
        FoundDirectory { name, topic_name, partition, topic, has_records }
    }

    fn judged(found: &FoundDirectory<'_>, durable: bool, deleted: &DeletedTopics) -> &'static str {
        let at = TopicPartition { topic: OURS, partition: PartitionId(0) };
        let durable = durable.then_some(at).into_iter().collect();
        match fate(found, &image(), &durable, deleted) {
            Ok(DirectoryFate::Owned(owner)) if owner == at => "owned",
            Ok(DirectoryFate::Owned(owner)) => panic!("owned by {owner:?}"),
            Ok(DirectoryFate::Deleted) => "deleted",
            Ok(DirectoryFate::Empty) => "empty",
            Err(_) => "refused",
        }
    }

    #[test]
    fn a_damaged_file_never_costs_the_records() {
        let whole = DeletedTopics { known: [UNKNOWN].into(), complete: true };
        for written in [None, Some(OURS), Some(UNKNOWN), Some(OTHER), Some(TopicId([8; 16]))] {
            assert_eq!(judged(&directory("a-0", written, true), true, &whole), "owned");
        }
        assert_eq!(judged(&directory("a-0", None, true), false, &whole), "owned");
        assert_eq!(judged(&directory("a-0", Some(OTHER), true), false, &whole), "refused");
        let never_known = Some(TopicId([8; 16]));
        assert_eq!(judged(&directory("a-0", never_known, true), false, &whole), "owned");
    }

    #[test]
    fn only_what_was_deleted_is_removed() {
        let whole = DeletedTopics { known: [UNKNOWN].into(), complete: true };
        let partial = DeletedTopics::default();
        for (name, has_records) in [("gone-0", true), ("a-0", true), ("gone-0", false)] {
            let found = directory(name, Some(UNKNOWN), has_records);
            assert_eq!(judged(&found, false, &whole), "deleted");
        }
        let lost = directory("gone-0", Some(TopicId([8; 16])), true);
        assert_eq!(judged(&lost, false, &whole), "refused");
        // What a snapshot has folded away may have been deleted long ago.
        assert_eq!(judged(&lost, false, &partial), "deleted");
        assert_eq!(judged(&directory("gone-0", None, true), false, &whole), "refused");
        assert_eq!(judged(&directory("gone-0", None, false), false, &whole), "empty");
        // A partition beyond those the topic has is none of it.
        assert_eq!(judged(&directory("a-1", None, true), true, &whole), "refused");
        assert_eq!(judged(&directory("a-1", Some(OURS), true), true, &whole), "refused");
    }
}
