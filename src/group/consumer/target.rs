//! The target assignment: made anew for every epoch of the group.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::group::coordinator::Outcome;
use crate::group::topics::TopicView;
use crate::ids::TopicId;
use crate::limits::{GROUP_ASSIGNMENT_BYTES_MAX, GROUP_ENTRY_BYTES_MAX};
use crate::time::Now;

use super::assignor::{Assignor, Subscriber, assign};
use super::entry::{ConsumerEntry, MemberValue, Resolved, TargetEpoch};
use super::{ConsumerOptions, Group};

impl Group {
    /// Of all topics that members subscribe to and that exist, by what an assignment depends on.
    pub(super) fn hash_of_topics(&self, topics: &dyn TopicView) -> i64 {
        let names = self.topics_of(self.members.values());
        let mut hasher = SipHasher13::new();
        let mut any = false;
        for name in names {
            let Some((id, count)) = topics.by_name(name) else { continue };
            any = true;
            hasher.write(&id.0);
            hasher.write(&count.to_be_bytes());
        }
        if any { hasher.finish().cast_signed() } else { 0 }
    }

    /// Whether the group still fits if this is what a member subscribes to.
    pub(super) fn fits_with<'a>(
        &'a self,
        id: &str,
        value: &'a MemberValue,
        pattern: Option<&'a Resolved>,
        topics: &dyn TopicView,
    ) -> bool {
        let others = self.members.iter().filter(|(other, _)| ***other != *id);
        let mut names = self.topics_of(others.map(|(_, other)| other));
        let matched = pattern.into_iter().flat_map(|resolved| &resolved.topics);
        names.extend(value.topics.iter().chain(matched).map(|topic| &**topic));
        fits(names, topics)
    }

    /// Whether what the members say of themselves fits, if this is what one says.
    pub(super) fn holds(&self, id: &str, value: &MemberValue) -> bool {
        let others = self.members.iter().filter(|(other, _)| ***other != *id);
        let others: usize = others.map(|(other, value)| other.len() + value.size()).sum();
        others + id.len() + value.size() <= GROUP_ENTRY_BYTES_MAX
    }

    /// The assignor that most members ask for, of those that do.
    pub(super) fn assignor(&self, options: &ConsumerOptions) -> Assignor {
        let mut votes: BTreeMap<Assignor, usize> = BTreeMap::new();
        for member in self.members.values() {
            let wanted = member.assignor.as_deref().and_then(Assignor::from_name);
            if let Some(wanted) = wanted.filter(|wanted| options.assignors.contains(wanted)) {
                *votes.entry(wanted).or_default() += 1;
            }
        }
        let chosen = votes.into_iter().max_by_key(|(_, count)| *count);
        let by_default = options.assignors.first().copied().unwrap_or(Assignor::Uniform);
        chosen.map_or(by_default, |(assignor, _)| assignor)
    }

    /// Makes the target assignment for the group as it is now.
    pub(super) fn make_target(
        &mut self,
        options: &ConsumerOptions,
        topics: &dyn TopicView,
        now: Now,
        out: &mut Outcome,
    ) {
        if fits(self.topics_of(self.members.values()), topics) {
            self.assign(options, topics, out);
        } else {
            // Topics have grown since they were subscribed to.
            tracing::warn!(
                group = &*self.id,
                epoch = self.epoch,
                "what the group reads does not fit into a record; the target stays as it is"
            );
        }
        let target = TargetEpoch { epoch: self.epoch, at: now.timestamp };
        self.record(ConsumerEntry::TargetEpoch(Some(target)), out);
    }

    fn assign(&mut self, options: &ConsumerOptions, topics: &dyn TopicView, out: &mut Outcome) {
        let mut counts: BTreeMap<TopicId, i32> = BTreeMap::new();
        // What each pattern stands for is looked up once, however many members have it.
        let mut matched: BTreeMap<&str, BTreeSet<TopicId>> = BTreeMap::new();
        let mut subscribers = Vec::with_capacity(self.members.len());
        for (id, member) in &self.members {
            let mut exist = |names: &BTreeSet<Box<str>>| -> BTreeSet<TopicId> {
                let exist = names.iter().filter_map(|name| topics.by_name(name));
                exist
                    .map(|(id, count)| {
                        counts.insert(id, count);
                        id
                    })
                    .collect()
            };
            let mut reads = exist(&member.topics);
            if let Some(pattern) = &member.pattern
                && let Some(resolved) = self.patterns.get(pattern)
            {
                let matched = matched.entry(pattern).or_insert_with(|| exist(&resolved.topics));
                reads.extend(matched.iter().copied());
            }
            subscribers.push(Subscriber {
                id: id.clone(),
                topics: reads,
                had: self.targets.get(id).cloned().unwrap_or_default(),
            });
        }
        let assigned = assign(self.assignor(options), &subscribers, &counts);
        for (subscriber, partitions) in subscribers.into_iter().zip(assigned) {
            if self.targets.get(&subscriber.id) != Some(&partitions) {
                self.record(ConsumerEntry::Target(subscriber.id, Some(partitions)), out);
            }
        }
        tracing::info!(
            group = &*self.id,
            epoch = self.epoch,
            members = self.members.len(),
            topics = counts.len(),
            "target assignment is made"
        );
    }
}

/// Whether any assignment of these topics fits an entry.
fn fits(names: BTreeSet<&str>, topics: &dyn TopicView) -> bool {
    const TOPIC: usize = 32;
    const PARTITION: usize = 8;
    let sizes = names.into_iter().filter_map(|name| {
        let (_, count) = topics.by_name(name)?;
        Some(TOPIC + PARTITION * usize::try_from(count).unwrap_or(0))
    });
    sizes.sum::<usize>() <= GROUP_ASSIGNMENT_BYTES_MAX
}
