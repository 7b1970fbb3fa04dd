//! Time: members that are not heard of, and steps of a rebalance that take too long.

use crate::group::coordinator::{GroupOptions, Outcome};
use crate::group::reply::Refusal;
use crate::time::{Now, earlier};

use super::{Group, State};

impl Group {
    /// Time passed.
    pub(in crate::group) fn on_time(
        &mut self,
        options: &GroupOptions,
        now: Now,
        out: &mut Outcome,
    ) {
        self.expire_members(options, now, out);
        if self.join_deadline.is_some_and(|deadline| deadline <= now.instant) {
            self.on_join_deadline(options, now, out);
        }
        if self.sync_deadline.is_some_and(|deadline| deadline <= now.instant) {
            self.on_sync_deadline(options, now, out);
        }
        let members = self.members.values().filter_map(|member| member.deadline);
        let first = members.chain(self.invited.values().copied()).min();
        self.wake = earlier(first, earlier(self.join_deadline, self.sync_deadline));
    }

    fn expire_members(&mut self, options: &GroupOptions, now: Now, out: &mut Outcome) {
        let invited = self.invited.len();
        self.invited.retain(|_, deadline| now.instant < *deadline);
        let mut gone = Vec::new();
        for member in self.members.values_mut() {
            if member.deadline.is_some_and(|deadline| deadline <= now.instant) {
                // The end of its wait sets another.
                member.deadline = None;
                if !member.waits() {
                    gone.push(member.id.clone());
                }
            }
        }
        for id in &gone {
            tracing::info!(group = &*self.id, member = &**id, "member is not heard of");
            self.remove(id, Refusal::UnknownMember, Refusal::UnknownMember, out);
        }
        match self.state {
            State::Stable | State::CompletingRebalance if !gone.is_empty() => {
                self.prepare_rebalance(options, now, out);
            }
            State::PreparingRebalance if !gone.is_empty() || self.invited.len() < invited => {
                self.maybe_complete_join(options, now, out);
            }
            _ => {}
        }
    }

    /// Members that were told of the generation and did not ask for their assignment are not there.
    fn on_sync_deadline(&mut self, options: &GroupOptions, now: Now, out: &mut Outcome) {
        self.sync_deadline = None;
        if !matches!(self.state, State::CompletingRebalance | State::Stable) {
            return;
        }
        let absent = std::mem::take(&mut self.unsynced);
        if absent.is_empty() {
            return;
        }
        for id in absent {
            tracing::info!(group = &*self.id, member = &*id, "member did not sync");
            self.remove(&id, Refusal::UnknownMember, Refusal::UnknownMember, out);
        }
        self.prepare_rebalance(options, now, out);
    }
}
