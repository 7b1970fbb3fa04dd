//! From the log to the group, live and at a start alike.

use crate::time::Now;

use super::entry::{ConsumerEntry, Current, MemberState};
use super::{ConsumerOptions, Deadlines, Group};
use crate::group::MemberId;
use crate::group::classic::millis;

impl Group {
    /// Makes the durable part what the log says. A compacted log tells of a member in any order.
    pub(in crate::group) fn apply(&mut self, entry: &ConsumerEntry) {
        match entry {
            ConsumerEntry::Group(Some(value)) => {
                self.epoch = value.epoch;
                self.topics_hash = value.topics_hash;
            }
            ConsumerEntry::Group(None) => self.epoch = 0,
            ConsumerEntry::TargetEpoch(value) => {
                self.target_epoch = value.map_or(0, |value| value.epoch);
            }
            ConsumerEntry::Member(id, value) => {
                if let Some(before) = self.members.remove(id)
                    && let Some(instance) = before.instance
                    && self.by_instance.get(&instance) == Some(id)
                {
                    self.by_instance.remove(&instance);
                }
                let Some(value) = value else {
                    self.deadlines.remove(id);
                    return;
                };
                if let Some(instance) = &value.instance {
                    self.by_instance.insert(instance.clone(), id.clone());
                }
                self.members.insert(id.clone(), value.clone());
            }
            ConsumerEntry::Target(id, Some(value)) => {
                self.targets.insert(id.clone(), value.clone());
            }
            ConsumerEntry::Target(id, None) => {
                self.targets.remove(id);
            }
            ConsumerEntry::Current(id, value) => self.apply_current(id, value.as_ref()),
            ConsumerEntry::Pattern(pattern, Some(value)) => {
                self.patterns.insert(pattern.clone(), value.clone());
            }
            ConsumerEntry::Pattern(pattern, None) => {
                self.patterns.remove(pattern);
                self.looked_up.remove(pattern);
            }
        }
    }

    fn apply_current(&mut self, id: &MemberId, value: Option<&Current>) {
        if let Some(before) = self.currents.remove(id) {
            for (topic, partitions) in before.assigned.iter().chain(&before.revoking) {
                for index in partitions.keys() {
                    if self.owners.get(&(*topic, *index)) == Some(id) {
                        self.owners.remove(&(*topic, *index));
                    }
                }
            }
        }
        let Some(value) = value else { return };
        for (topic, partitions) in value.assigned.iter().chain(&value.revoking) {
            for index in partitions.keys() {
                self.owners.insert((*topic, *index), id.clone());
            }
        }
        self.currents.insert(id.clone(), value.clone());
    }

    /// Nothing is left of it in the log.
    pub(in crate::group) fn is_forgotten(&self) -> bool {
        self.epoch == 0 && self.members.is_empty() && self.targets.is_empty()
    }

    /// The log has been read to its end: from now on the members have to be heard of.
    pub(in crate::group) fn on_loaded(&mut self, options: &ConsumerOptions, now: Now) {
        for (id, member) in &self.members {
            let state = self.currents.get(id).map(|current| current.state);
            let revokes = state == Some(MemberState::Unrevoked);
            let deadlines = Deadlines {
                session: Some(now.instant + options.session_timeout),
                revocation: revokes.then(|| now.instant + millis(member.rebalance_timeout_ms)),
            };
            self.deadlines.insert(id.clone(), deadlines);
        }
        self.set_wake();
    }
}
