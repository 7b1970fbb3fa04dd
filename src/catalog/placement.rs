//! Where the replicas of new partitions go.

use std::collections::BTreeMap;

use super::image::{Broker, Partition};
use crate::ids::{LeaderEpoch, NodeId};

/// Replicas for `partition_count` new partitions, `replication_factor` each: round-robin over the
/// brokers in the order of their ids. Partition `first_partition` of a topic leads on the broker
/// that its index points at, so partitions added later go on where the topic stopped. `None` if
/// there are fewer brokers than replicas wanted, or if either number is 0.
#[must_use]
pub fn place_replicas(
    brokers: &BTreeMap<NodeId, Broker>,
    first_partition: usize,
    partition_count: usize,
    replication_factor: usize,
) -> Option<Vec<Vec<NodeId>>> {
    let nodes: Vec<NodeId> = brokers.keys().copied().collect();
    if replication_factor == 0 || replication_factor > nodes.len() || partition_count == 0 {
        return None;
    }
    let start = first_partition % nodes.len();
    let places = (0..partition_count)
        .map(|index| {
            // Each round shifts the followers by one more, so that the load of a lost broker is
            // spread over all others.
            let leader = start + index;
            let shift = (first_partition + index) / nodes.len();
            (0..replication_factor)
                .map(|replica| {
                    let step = match replica {
                        0 => 0,
                        _ => 1 + (shift + replica - 1) % (nodes.len() - 1),
                    };
                    nodes.get((leader + step) % nodes.len()).copied()
                })
                .collect::<Option<Vec<_>>>()
        })
        .collect::<Option<Vec<_>>>();
    let Some(places) = places else { unreachable!("every index is taken modulo the broker count") };
    Some(places)
}

/// A new partition on these replicas: all in sync, the first one leading.
pub(super) fn new_partition(replicas: Vec<NodeId>) -> Partition {
    Partition {
        leader_epoch: LeaderEpoch(0),
        leader: replicas.first().copied(),
        isr: replicas.clone(),
        replicas,
        partition_epoch: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brokers(count: i32) -> BTreeMap<NodeId, Broker> {
        (1..=count)
            .map(|id| {
                let id = NodeId(id);
                let incarnation = crate::ids::Incarnation(1);
                let broker =
                    Broker { id, endpoints: Vec::new(), rack: None, epoch: 1, incarnation };
                (id, broker)
            })
            .collect()
    }

    #[test]
    fn one_broker_takes_everything() {
        let places = place_replicas(&brokers(1), 0, 3, 1).unwrap();
        assert_eq!(places, vec![vec![NodeId(1)]; 3]);
    }

    #[test]
    fn leaders_and_followers_are_level_and_distinct() {
        let places = place_replicas(&brokers(4), 0, 12, 3).unwrap();
        let mut leads = BTreeMap::<NodeId, usize>::new();
        let mut holds = BTreeMap::<NodeId, usize>::new();
        for replicas in &places {
            *leads.entry(replicas[0]).or_default() += 1;
            let distinct: std::collections::BTreeSet<_> = replicas.iter().collect();
            assert_eq!(distinct.len(), 3);
            replicas.iter().for_each(|node| *holds.entry(*node).or_default() += 1);
        }
        assert!(leads.values().all(|count| *count == 3), "{leads:?}");
        assert!(holds.values().all(|count| *count == 9), "{holds:?}");
        // Adding partitions in two steps places them as one step would have.
        let later = place_replicas(&brokers(4), 5, 7, 3).unwrap();
        assert_eq!(places[5..], later);
    }

    #[test]
    fn too_few_brokers_is_no_place() {
        assert_eq!(place_replicas(&brokers(2), 0, 1, 3), None);
        assert_eq!(place_replicas(&brokers(2), 0, 1, 0), None);
        assert_eq!(place_replicas(&brokers(2), 0, 0, 1), None);
        assert_eq!(place_replicas(&BTreeMap::new(), 0, 1, 1), None);
    }
}
