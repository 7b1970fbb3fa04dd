//! Consumer groups among the others: how they come into being, and how they end.

use std::mem;

use super::{Coordinator, Group, Outcome, Slot};
use crate::group::consumer::entry::ConsumerEntry;
use crate::group::consumer::heartbeat::Known;
use crate::group::consumer::{self, Assignor};
use crate::group::entry::LogEntry;
use crate::group::reply::{ConsumerHeartbeat, Refusal};
use crate::group::request::ConsumerHeartbeatRequest;
use crate::group::{GroupId, MemberId};
use crate::stdx::prng::Prng;
use crate::time::Now;

impl Coordinator {
    pub(super) fn apply_consumer(&mut self, id: &GroupId, entry: &ConsumerEntry) {
        let forgets = matches!(
            entry,
            ConsumerEntry::Group(None)
                | ConsumerEntry::Member(_, None)
                | ConsumerEntry::TargetEpoch(None)
                | ConsumerEntry::Target(_, None)
                | ConsumerEntry::Current(_, None)
                | ConsumerEntry::Pattern(_, None)
        );
        let slot = match self.slots.get_mut(id) {
            Some(slot) => slot,
            // Of a group that is no more.
            None if forgets => return,
            None => self.slots.entry(id.clone()).or_insert_with(|| Slot::new(id)),
        };
        let group = match &mut slot.group {
            Group::Consumer(group) => group,
            // It has become a classic group since.
            Group::Classic(_) if forgets => return,
            Group::Classic(_) => {
                slot.group = Group::Consumer(Box::new(consumer::Group::new(id.clone())));
                let Group::Consumer(group) = &mut slot.group else { return };
                group
            }
        };
        group.apply(entry);
        if matches!(entry, ConsumerEntry::Group(None)) && group.is_forgotten() {
            self.forget_group(id);
        }
    }

    pub(super) fn consumer_heartbeat(
        &mut self,
        request: &ConsumerHeartbeatRequest,
        now: Now,
    ) -> Result<ConsumerHeartbeat, Refusal> {
        let options = &self.options.consumer;
        if !options.enabled {
            return Err(Refusal::Disabled);
        }
        let known = Known { topics: &*self.topics, version: self.topics_version };
        let joins = request.epoch == 0;
        let slot = self.slots.get_mut(&request.group);
        if request.epoch < 0 {
            let group = match slot.map(|slot| &mut slot.group) {
                Some(Group::Consumer(group)) => group,
                Some(Group::Classic(_)) => return Err(Refusal::OtherProtocol),
                None => return Err(Refusal::GroupNotFound),
            };
            let for_good = request.epoch == -1;
            let member = group.part(&request.member, for_good, known, &mut self.outcome)?;
            return Ok(ConsumerHeartbeat {
                member,
                epoch: request.epoch,
                interval: std::time::Duration::ZERO,
                assignment: None,
            });
        }
        if let Some(wanted) = request.assignor.as_deref()
            && !Assignor::from_name(wanted)
                .is_some_and(|wanted| options.assignors.contains(&wanted))
        {
            return Err(Refusal::UnsupportedAssignor);
        }
        let ids = &mut self.ids;
        let mint = || mint(ids);
        let was_classic = match slot.map(|slot| &mut slot.group) {
            Some(Group::Consumer(group)) => {
                return group.heartbeat(request, mint, options, known, now, &mut self.outcome);
            }
            Some(Group::Classic(group)) if joins && group.is_deserted() => true,
            Some(Group::Classic(_)) => return Err(Refusal::OtherProtocol),
            None if joins => false,
            None => return Err(Refusal::GroupNotFound),
        };
        // Nothing is written of a group whose first member is refused.
        let mut group = consumer::Group::new(request.group.clone());
        let mut outcome = Outcome::default();
        let reply = group.heartbeat(request, mint, options, known, now, &mut outcome)?;
        if was_classic {
            self.record(LogEntry::Group { group: request.group.clone(), value: None });
        }
        let slot = self.slots.entry(request.group.clone());
        let slot = slot.or_insert_with(|| Slot::new(&request.group));
        slot.group = Group::Consumer(Box::new(group));
        self.outcome.entries.append(&mut outcome.entries);
        Ok(reply)
    }

    /// Ends a consumer group without members; its offsets stay.
    pub(super) fn end_consumers(&mut self, id: &GroupId) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        let ended = mem::replace(&mut slot.group, Group::classic(id));
        if let Group::Consumer(mut group) = ended {
            group.end(&mut self.outcome);
        }
        self.forget_group(id);
    }
}

/// An id for a new member, as Kafka makes them: a random UUID in URL-safe base64.
fn mint(random: &mut Prng) -> MemberId {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (high, low) = (random.next_u64(), random.next_u64());
    let high = (high & !0xf000) | 0x4000;
    let low = (low & !(3 << 62)) | (2 << 62);
    let bits = u128::from(high) << 64 | u128::from(low);
    let digit = |at: u32| {
        // The last digit has four bits of padding.
        let value = if at < 21 { bits >> (122 - 6 * at) } else { bits << 4 };
        char::from(DIGITS[(value & 0x3f) as usize])
    };
    (0..22).map(digit).collect::<String>().into()
}
