//! The target assignment: made anew for every epoch of the group.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::group::coordinator::Outcome;
use crate::group::topics::TopicView;
use crate::ids::TopicId;
use crate::limits::GROUP_ASSIGNMENT_BYTES_MAX;
use crate::time::Now;

use super::assignor::{Assignor, Subscriber, assign};
use super::entry::{ConsumerEntry, TargetEpoch};
use super::{ConsumerOptions, Group};

impl Group {
    /// Of all topics that members subscribe to and that exist, by what an assignment depends on.
    pub(super) fn hash_of_topics(&self, topics: &dyn TopicView) -> i64 {
        let names: BTreeSet<&str> =
            self.members.values().flat_map(|member| self.topics_of(member)).collect();
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

    /// Whether any assignment of what the members subscribe to, and of these topics, fits an entry.
    pub(super) fn fits<'a>(
        &self,
        more: impl Iterator<Item = &'a Box<str>>,
        topics: &dyn TopicView,
    ) -> bool {
        const TOPIC: usize = 32;
        const PARTITION: usize = 8;
        let all = self.members.values().flat_map(|member| self.topics_of(member));
        let names: BTreeSet<&str> = all.chain(more.map(|name| &**name)).collect();
        let sizes = names.into_iter().filter_map(|name| {
            let (_, count) = topics.by_name(name)?;
            Some(TOPIC + PARTITION * usize::try_from(count).unwrap_or(0))
        });
        sizes.sum::<usize>() <= GROUP_ASSIGNMENT_BYTES_MAX
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
        let mut counts: BTreeMap<TopicId, i32> = BTreeMap::new();
        let mut subscribers = Vec::with_capacity(self.members.len());
        for (id, member) in &self.members {
            let exist = self.topics_of(member).filter_map(|name| topics.by_name(name));
            let exist: Vec<_> = exist.collect();
            counts.extend(exist.iter().copied());
            subscribers.push(Subscriber {
                id: id.clone(),
                topics: exist.into_iter().map(|(id, _)| id).collect(),
                had: self.targets.get(id).cloned().unwrap_or_default(),
            });
        }
        let assigned = assign(self.assignor(options), &subscribers, &counts);
        for (subscriber, partitions) in subscribers.into_iter().zip(assigned) {
            if self.targets.get(&subscriber.id) != Some(&partitions) {
                self.record(ConsumerEntry::Target(subscriber.id, Some(partitions)), out);
            }
        }
        let target = TargetEpoch { epoch: self.epoch, at: now.timestamp };
        tracing::info!(
            group = &*self.id,
            epoch = self.epoch,
            members = self.members.len(),
            topics = counts.len(),
            "target assignment is made"
        );
        self.record(ConsumerEntry::TargetEpoch(Some(target)), out);
    }
}
