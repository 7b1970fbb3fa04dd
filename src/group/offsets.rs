//! The committed offsets of one group, by topic and partition, and when they are forgotten
//! (KIP-211).

use std::collections::BTreeMap;
use std::time::Duration;

use super::entry::Committed;
use super::reply::FetchedOffset;
use super::request::Topics;
use crate::time::Timestamp;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Offsets {
    by_topic: BTreeMap<Box<str>, BTreeMap<i32, Committed>>,
}

/// From when on an offset has been of no use to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unused {
    /// Since it was committed.
    SinceCommit,
    /// Since the group became empty.
    Since(Timestamp),
}

impl Offsets {
    pub(super) fn is_empty(&self) -> bool {
        self.by_topic.is_empty()
    }

    /// Sets or forgets one.
    pub(super) fn apply(&mut self, topic: &str, partition: i32, committed: Option<&Committed>) {
        match (self.by_topic.get_mut(topic), committed) {
            (Some(partitions), Some(committed)) => {
                partitions.insert(partition, committed.clone());
            }
            (Some(partitions), None) => {
                partitions.remove(&partition);
                if partitions.is_empty() {
                    self.by_topic.remove(topic);
                }
            }
            (None, Some(committed)) => {
                let partitions = BTreeMap::from([(partition, committed.clone())]);
                self.by_topic.insert(topic.into(), partitions);
            }
            (None, None) => {}
        }
    }

    pub(super) fn contains(&self, topic: &str, partition: i32) -> bool {
        self.get(topic, partition).is_some()
    }

    fn get(&self, topic: &str, partition: i32) -> Option<&Committed> {
        self.by_topic.get(topic)?.get(&partition)
    }

    /// Those asked for, or all.
    pub(super) fn fetch(&self, wanted: Option<&Topics<i32>>) -> Topics<FetchedOffset> {
        let found = |partition: i32, committed: Option<&Committed>| FetchedOffset {
            partition,
            committed: committed.map(|c| (c.offset, c.leader_epoch, c.metadata.clone())),
        };
        match wanted {
            Some(topics) => topics
                .iter()
                .map(|(topic, partitions)| {
                    let partitions = partitions.iter();
                    let each = partitions.map(|index| found(*index, self.get(topic, *index)));
                    (topic.clone(), each.collect())
                })
                .collect(),
            None => self
                .by_topic
                .iter()
                .map(|(topic, partitions)| {
                    let each = partitions.iter().map(|(index, c)| found(*index, Some(c)));
                    (topic.clone(), each.collect())
                })
                .collect(),
        }
    }

    /// All of them, by topic and partition.
    pub(super) fn all(&self) -> Vec<(Box<str>, i32)> {
        self.chosen(|_, _| true)
    }

    /// Those of topics that `keep` does not know.
    pub(super) fn of_topics_gone(&self, keep: &dyn Fn(&str) -> bool) -> Vec<(Box<str>, i32)> {
        self.chosen(|topic, _| !keep(topic))
    }

    /// Those that have been of no use for as long as they are kept. What the group reads is used.
    pub(super) fn expired(
        &self,
        unused: Unused,
        reads: impl Fn(&str) -> bool,
        retention: Duration,
        now: Timestamp,
    ) -> Vec<(Box<str>, i32)> {
        let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        self.chosen(|topic, committed| {
            let since = match unused {
                Unused::SinceCommit => committed.at,
                Unused::Since(empty) => empty,
            };
            let expires = committed.expires.map_or(since.0.saturating_add(retention), |at| at.0);
            expires <= now.0 && !reads(topic)
        })
    }

    fn chosen(&self, choose: impl Fn(&str, &Committed) -> bool) -> Vec<(Box<str>, i32)> {
        let mut chosen = Vec::new();
        for (topic, partitions) in &self.by_topic {
            let of_topic = partitions.iter().filter(|(_, committed)| choose(topic, committed));
            chosen.extend(of_topic.map(|(index, _)| (topic.clone(), *index)));
        }
        chosen
    }
}
