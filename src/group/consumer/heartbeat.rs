//! A heartbeat: who comes, what is new of it, and what it has from now on.

use std::collections::BTreeMap;

use crate::group::MemberId;
use crate::group::classic::millis;
use crate::group::coordinator::Outcome;
use crate::group::reply::{ConsumerHeartbeat, Refusal};
use crate::group::request::ConsumerHeartbeatRequest;
use crate::group::topics::TopicView;
use crate::time::Now;

use super::entry::{
    ConsumerEntry, Current, MemberState, MemberValue, Owned, Partitions, TargetEpoch,
};
use super::pattern::Found;
use super::reconcile::Step;
use super::{AWAY, ConsumerOptions, Group};

/// The topics as they are, and which version of them this is.
#[derive(Clone, Copy)]
pub(in crate::group) struct Known<'a> {
    pub topics: &'a dyn TopicView,
    pub version: u64,
}

/// Who a heartbeat is from.
enum Arrival {
    /// A member.
    Known,
    /// One that joins.
    New,
    /// A static member that comes back with another id than it went with.
    Back(MemberId),
}

impl Group {
    /// `mint` makes an id for a member that brings none. Nothing is changed by what is refused.
    pub(in crate::group) fn heartbeat(
        &mut self,
        request: &ConsumerHeartbeatRequest,
        mint: impl FnOnce() -> MemberId,
        options: &ConsumerOptions,
        known: Known<'_>,
        now: Now,
        out: &mut Outcome,
    ) -> Result<ConsumerHeartbeat, Refusal> {
        let joins = request.epoch == 0;
        let id = match &*request.member.id {
            "" => mint(),
            id => MemberId::from(id),
        };
        let owned = request.owned.as_deref().map(partitions);
        let arrival = self.arrival(&id, request)?;
        if matches!(arrival, Arrival::New) && self.members.len() >= options.size_max {
            return Err(Refusal::GroupFull);
        }
        if !joins {
            self.check_epoch(&id, request.epoch, owned.as_ref())?;
        }
        let held_as = match &arrival {
            Arrival::Back(old) => old,
            Arrival::Known | Arrival::New => &id,
        };
        let before = self.members.get(held_as).cloned();
        let value = updated(before.as_ref(), request);
        if before.as_ref() != Some(&value) && !self.holds(held_as, &value) {
            return Err(Refusal::StateTooLarge);
        }
        let found = match &value.pattern {
            Some(pattern) => self.look_up(held_as, pattern, known, now)?,
            None => Found::default(),
        };
        let resubscribed = before
            .as_ref()
            .is_none_or(|before| before.topics != value.topics || before.pattern != value.pattern);
        let known_as = value.pattern.as_ref().and_then(|pattern| self.patterns.get(pattern));
        let adds_pattern = value.pattern.is_some() && known_as.is_none();
        // Whoever is in the group already stays in it, whatever becomes of its topics.
        let stands_for = found.resolved.as_ref().or(known_as);
        if (resubscribed || adds_pattern)
            && !self.fits_with(held_as, &value, stands_for, known.topics)
        {
            return Err(Refusal::StateTooLarge);
        }
        let matches_others = found.resolved.is_some();
        let changes = resubscribed || matches_others || self.seen != Some(known.version);
        // From here on nothing is refused.
        let pattern = value.pattern.clone();
        let first = out.entries.len();
        if let Arrival::Back(old) = &arrival {
            self.take_over(old, &id, &value, now, out);
        } else if before.as_ref() != Some(&value) {
            if before.is_none() {
                let instance = value.instance.as_deref();
                tracing::info!(group = &*self.id, member = &*id, instance, "member joins");
            }
            self.record(ConsumerEntry::Member(id.clone(), Some(value)), out);
        }
        if let Some(pattern) = pattern {
            if let Some(resolved) = found.resolved {
                self.record(ConsumerEntry::Pattern(pattern.clone(), Some(resolved)), out);
            }
            if let Some(looked_up) = found.looked_up {
                self.looked_up.insert(pattern, looked_up);
            }
        }
        if resubscribed {
            for pattern in self.unused_patterns() {
                self.record(ConsumerEntry::Pattern(pattern, None), out);
            }
        }
        if changes {
            self.seen = Some(known.version);
            let topics_hash = self.hash_of_topics(known.topics);
            if resubscribed || matches_others || topics_hash != self.topics_hash {
                self.begin_epoch(topics_hash, first, out);
            }
        }
        if self.target_epoch != self.epoch {
            self.make_target(options, known.topics, now, out);
        }
        let was = self.currents.get(&id).cloned();
        let is = self.reconcile(&id, owned.as_ref());
        if was.as_ref() != Some(&is) {
            self.record(ConsumerEntry::Current(id.clone(), Some(is.clone())), out);
        }
        self.heard_of(&id, was.as_ref(), &is, options, now);
        let had = was.map(|was| was.assigned).unwrap_or_default();
        let tells_all = request.rebalance_timeout_ms >= 0
            && (request.topics.is_some() || request.pattern.is_some())
            && request.owned.is_some();
        Ok(ConsumerHeartbeat {
            member: id,
            epoch: is.epoch,
            interval: options.heartbeat_interval,
            assignment: (joins || tells_all || had != is.assigned).then(|| plain(&is.assigned)),
        })
    }

    fn arrival(&self, id: &str, request: &ConsumerHeartbeatRequest) -> Result<Arrival, Refusal> {
        let joins = request.epoch == 0;
        let holder = request.member.instance.as_ref().and_then(|name| self.by_instance.get(name));
        match holder {
            Some(holder) if **holder == *id => Ok(Arrival::Known),
            Some(_) if !joins => Err(Refusal::FencedInstance),
            Some(holder) if self.is_away(holder) && !self.members.contains_key(id) => {
                Ok(Arrival::Back(holder.clone()))
            }
            Some(_) => Err(Refusal::UnreleasedInstance),
            None if request.member.instance.is_some() && !joins => Err(Refusal::UnknownMember),
            None if self.members.contains_key(id) => Ok(Arrival::Known),
            None if joins => Ok(Arrival::New),
            None => Err(Refusal::UnknownMember),
        }
    }

    /// A member that has nothing, not even nothing at all, was about to join or to go when the
    /// process died: whoever it was knows of no reply.
    fn is_away(&self, id: &str) -> bool {
        self.currents.get(id).is_none_or(|current| current.epoch == AWAY)
    }

    /// A member may be one epoch behind if the reply with the new one was lost, and it has nothing
    /// that it may not have.
    fn check_epoch(&self, id: &str, epoch: i32, owned: Option<&Partitions>) -> Result<(), Refusal> {
        let nothing = Current::default();
        let current = self.currents.get(id).unwrap_or(&nothing);
        if epoch == current.epoch {
            return Ok(());
        }
        let may_have = |owned: &Partitions| {
            owned.iter().all(|(topic, partitions)| {
                let assigned = current.assigned.get(topic);
                partitions
                    .iter()
                    .all(|index| assigned.is_some_and(|assigned| assigned.contains_key(index)))
            })
        };
        let lost =
            epoch < current.epoch && epoch == current.previous_epoch && owned.is_some_and(may_have);
        if lost { Ok(()) } else { Err(Refusal::FencedMemberEpoch) }
    }

    /// A static member is back under another id: it has and shall have what it had and should. The
    /// epoch stays; but the target is none until all of this is in the log.
    fn take_over(
        &mut self,
        old: &str,
        id: &MemberId,
        value: &MemberValue,
        now: Now,
        out: &mut Outcome,
    ) {
        tracing::info!(group = &*self.id, old, new = &**id, "static member is back");
        let old = MemberId::from(old);
        let current = self.currents.get(&old).cloned().unwrap_or_default();
        let target = self.targets.get(&old).cloned();
        let made = TargetEpoch { epoch: self.target_epoch, at: now.timestamp };
        self.record(ConsumerEntry::TargetEpoch(None), out);
        self.forget_member(&old, out);
        self.record(ConsumerEntry::Member(id.clone(), Some(value.clone())), out);
        if target.is_some() {
            self.record(ConsumerEntry::Target(id.clone(), target), out);
        }
        let current = Current { epoch: 0, previous_epoch: 0, ..current };
        self.record(ConsumerEntry::Current(id.clone(), Some(current)), out);
        self.record(ConsumerEntry::TargetEpoch(Some(made)), out);
    }

    fn reconcile(&self, id: &MemberId, owned: Option<&Partitions>) -> Current {
        let nothing = (Current::default(), Partitions::new());
        let step = Step {
            current: self.currents.get(id).unwrap_or(&nothing.0),
            target: self.targets.get(id).unwrap_or(&nothing.1),
            target_epoch: self.target_epoch,
            owned,
            taken: &|topic, index| {
                self.owners.get(&(topic, index)).is_some_and(|owner| owner != id)
            },
        };
        step.take()
    }

    /// Sets what a member has from now on until when to do.
    fn heard_of(
        &mut self,
        id: &MemberId,
        was: Option<&Current>,
        is: &Current,
        options: &ConsumerOptions,
        now: Now,
    ) {
        let timeout = self.members.get(id).map_or(0, |member| member.rebalance_timeout_ms);
        let session = now.instant + options.session_timeout;
        let deadlines = self.deadlines.entry(id.clone()).or_default();
        deadlines.session = Some(session);
        let revocation = match is.state {
            MemberState::Unrevoked if was == Some(is) && deadlines.revocation.is_some() => {
                deadlines.revocation
            }
            MemberState::Unrevoked => Some(now.instant + millis(timeout)),
            MemberState::Stable | MemberState::Unreleased => None,
        };
        deadlines.revocation = revocation;
        self.wake_by(revocation.map_or(session, |revocation| revocation.min(session)));
    }
}

/// What a member says of itself now, where it says something.
fn updated(before: Option<&MemberValue>, request: &ConsumerHeartbeatRequest) -> MemberValue {
    let before = before.cloned().unwrap_or_default();
    MemberValue {
        instance: request.member.instance.clone().or(before.instance),
        rack: request.rack.clone().or(before.rack),
        client_id: request.client_id.clone(),
        client_host: request.client_host.clone(),
        topics: match &request.topics {
            Some(topics) => topics.iter().cloned().collect(),
            None => before.topics,
        },
        pattern: match &request.pattern {
            Some(pattern) => Some(pattern.clone()).filter(|pattern| !pattern.is_empty()),
            None => before.pattern,
        },
        rebalance_timeout_ms: match request.rebalance_timeout_ms {
            ..0 => before.rebalance_timeout_ms,
            timeout => timeout,
        },
        assignor: request.assignor.clone().or(before.assignor),
    }
}

fn partitions(said: &[(crate::ids::TopicId, Vec<i32>)]) -> Partitions {
    let mut partitions = Partitions::new();
    for (topic, indexes) in said {
        partitions.entry(*topic).or_default().extend(indexes);
    }
    partitions
}

/// Without the epochs.
pub(super) fn plain(owned: &Owned) -> Partitions {
    let plain = |partitions: &BTreeMap<i32, i32>| partitions.keys().copied().collect();
    owned.iter().map(|(topic, partitions)| (*topic, plain(partitions))).collect()
}
