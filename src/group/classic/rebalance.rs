//! The first step of a rebalance: collecting joins, until a generation can begin.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::group::coordinator::{GroupOptions, Outcome};
use crate::group::entry::GroupValue;
use crate::group::reply::{Refusal, Reply};
use crate::time::Now;

use super::{FirstRebalance, Group, State};

impl Group {
    /// Something about the members has changed.
    pub(super) fn rebalance_or_complete(
        &mut self,
        options: &GroupOptions,
        now: Now,
        out: &mut Outcome,
    ) {
        if self.state == State::PreparingRebalance {
            self.maybe_complete_join(options, now, out);
        } else {
            self.prepare_rebalance(options, now, out);
        }
    }

    /// Begins to collect joins.
    pub(super) fn prepare_rebalance(
        &mut self,
        options: &GroupOptions,
        now: Now,
        out: &mut Outcome,
    ) {
        // The assignment they wait for will not come.
        self.refuse_syncs(Refusal::RebalanceInProgress, now, out);
        self.unsynced.clear();
        self.sync_deadline = None;
        let longest = self.rebalance_timeout();
        let was_empty = self.state == State::Empty;
        self.enter(State::PreparingRebalance, now);
        tracing::info!(group = &*self.id, generation = self.generation, "group rebalances");
        if was_empty {
            let delay = options.initial_rebalance_delay;
            let left = longest.saturating_sub(delay);
            self.first = Some(FirstRebalance { left, delay, more: false });
            self.set_join_deadline(delay, now);
        } else if self.all_joined() {
            self.complete_join(options, now, out);
        } else {
            self.set_join_deadline(longest, now);
        }
    }

    /// Ends the wait of all who wait for their assignment.
    pub(super) fn refuse_syncs(&mut self, refusal: Refusal, now: Now, out: &mut Outcome) {
        let waiting: Vec<_> = (self.members.values_mut())
            .filter_map(|member| Some((member.id.clone(), member.syncing.take()?)))
            .collect();
        for (id, ticket) in waiting {
            out.reply(ticket, Reply::Sync(Err(refusal)));
            self.alive(&id, now.instant);
        }
    }

    fn enter(&mut self, state: State, now: Now) {
        self.state = state;
        self.since = Some(now.timestamp);
    }

    fn set_join_deadline(&mut self, delay: Duration, now: Now) {
        let deadline = now.instant + delay;
        self.join_deadline = Some(deadline);
        self.wake_by(deadline);
    }

    /// The longest that any member wants a rebalance to wait for it.
    pub(super) fn rebalance_timeout(&self) -> Duration {
        let timeouts = self.members.values().map(super::Member::rebalance_timeout);
        timeouts.max().unwrap_or_default()
    }

    fn all_joined(&self) -> bool {
        self.joining == self.members.len() && self.invited.is_empty()
    }

    /// Begins the generation if nobody is missing, and the group has waited long enough for first
    /// members.
    pub(super) fn maybe_complete_join(
        &mut self,
        options: &GroupOptions,
        now: Now,
        out: &mut Outcome,
    ) {
        if self.state == State::PreparingRebalance && self.first.is_none() && self.all_joined() {
            self.complete_join(options, now, out);
        }
    }

    /// The time for joins is over.
    pub(super) fn on_join_deadline(&mut self, options: &GroupOptions, now: Now, out: &mut Outcome) {
        if let Some(first) = &mut self.first
            && first.more
            && !first.left.is_zero()
        {
            first.more = false;
            let delay = options.initial_rebalance_delay.min(first.left);
            first.left = first.left.saturating_sub(first.delay);
            first.delay = delay;
            self.set_join_deadline(delay, now);
        } else {
            self.complete_join(options, now, out);
        }
    }

    /// Begins the next generation with those who are there.
    fn complete_join(&mut self, options: &GroupOptions, now: Now, out: &mut Outcome) {
        self.first = None;
        self.join_deadline = None;
        // Static members keep their place until their session ends.
        let absent: Vec<_> = (self.members.values())
            .filter(|member| member.joining.is_none() && member.instance.is_none())
            .map(|member| member.id.clone())
            .collect();
        for id in absent {
            tracing::info!(group = &*self.id, member = &*id, "member did not join again");
            self.remove(&id, Refusal::UnknownMember, Refusal::UnknownMember, out);
        }
        if self.members.is_empty() {
            let value = GroupValue {
                protocol_type: self.protocol_type.clone(),
                generation: self.next_generation(),
                since: Some(now.timestamp),
                ..GroupValue::default()
            };
            tracing::info!(group = &*self.id, generation = value.generation, "group is empty");
            self.unsynced.clear();
            self.store(value, out);
            return;
        }
        let leads = |id: &crate::group::MemberId| {
            self.members.get(id).is_some_and(|member| member.joining.is_some())
        };
        if !self.leader.as_ref().is_some_and(leads) {
            let joined = self.members.values().find(|member| member.joining.is_some());
            let Some(leader) = joined.map(|member| member.id.clone()) else {
                // Only static members, none of them back: wait on, until their sessions end.
                let again = self.rebalance_timeout().max(options.initial_rebalance_delay);
                self.set_join_deadline(again.max(Duration::from_secs(1)), now);
                return;
            };
            self.leader = Some(leader);
        }
        self.generation = self.next_generation();
        self.protocol = self.select_protocol();
        self.subscribed = self.topics_of_members();
        self.enter(State::CompletingRebalance, now);
        tracing::info!(
            group = &*self.id,
            generation = self.generation,
            members = self.members.len(),
            "generation begins"
        );
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in &ids {
            let ticket = self.members.get_mut(id).and_then(|member| {
                member.is_new = false;
                member.joining.take()
            });
            if let Some(ticket) = ticket {
                let joined = self.joined(id.clone(), false);
                out.reply(ticket, Reply::Join(Ok(joined)));
            }
            self.alive(id, now.instant);
        }
        self.joining = 0;
        self.unsynced = ids.into_iter().collect();
        let deadline = now.instant + self.rebalance_timeout();
        self.sync_deadline = Some(deadline);
        self.wake_by(deadline);
    }

    fn next_generation(&self) -> i32 {
        self.generation.wrapping_add(1).max(0)
    }

    /// Of the protocols that all members know, the one that most of them prefer.
    pub(super) fn select_protocol(&self) -> Option<Box<str>> {
        let all = self.members.len();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let known = member.protocols.iter();
            let mut common = known.filter(|(name, _)| self.supported.get(name) == Some(&all));
            if let Some((name, _)) = common.next() {
                *votes.entry(name).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name.into())
    }
}
