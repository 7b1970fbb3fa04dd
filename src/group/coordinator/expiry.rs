//! Offsets and groups that are of no use any more (KIP-211).

use super::{Coordinator, Group};
use crate::group::classic::State;
use crate::group::offsets::Unused;
use crate::time::Now;

impl Coordinator {
    /// Forgets offsets that nobody has used for `offsets.retention.minutes`, and groups that are
    /// left with nothing.
    pub(super) fn expire_offsets(&mut self, now: Now) {
        let retention = self.options.offsets_retention;
        let mut expired = Vec::new();
        for (id, slot) in &self.slots {
            let unused = match &slot.group {
                Group::Consumer(_) => Some(Unused::SinceCommit),
                Group::Classic(group) => match (group.protocol_type(), group.state()) {
                    // It never had members: a commit is all there is to go by.
                    (None, _) => Some(Unused::SinceCommit),
                    (Some(_), State::Empty) => {
                        Some(group.since().map_or(Unused::SinceCommit, Unused::Since))
                    }
                    (Some(_), State::Stable) if group.knows_topics() => Some(Unused::SinceCommit),
                    _ => None,
                },
            };
            let Some(unused) = unused else { continue };
            let reads = |topic: &str| slot.group.reads(topic);
            expired
                .push((id.clone(), slot.offsets.expired(unused, reads, retention, now.timestamp)));
        }
        for (id, offsets) in expired {
            if !offsets.is_empty() {
                tracing::info!(group = &*id, count = offsets.len(), "offsets have expired");
            }
            self.forget(&id, offsets);
            let useless = |slot: &super::Slot| slot.offsets.is_empty() && slot.group.is_deserted();
            if self.slots.get(&id).is_some_and(useless) {
                tracing::info!(group = &*id, "group is removed");
                self.remove_group(&id);
            }
        }
    }

    /// Forgets offsets of topics that are no more.
    pub fn forget_topics_gone(&mut self, exists: &dyn Fn(&str) -> bool) {
        let gone: Vec<_> = (self.slots.iter())
            .map(|(id, slot)| (id.clone(), slot.offsets.of_topics_gone(exists)))
            .collect();
        for (id, offsets) in gone {
            self.forget(&id, offsets);
        }
    }
}
