//! From the log to the group, live and at a start alike.

use std::collections::BTreeSet;

use crate::group::Ticket;
use crate::group::codec::subscribed_topics;
use crate::group::coordinator::{GroupOptions, Outcome};
use crate::group::entry::GroupValue;
use crate::group::reply::{JoinRefused, Refusal, Reply};
use crate::time::Now;

use super::member::Member;
use super::{Group, State};

impl Group {
    /// Makes the durable part what the log says. Live, the members are those of the value, and what
    /// they wait for stays; at a start there are none yet, or those of an older value.
    pub(in crate::group) fn apply(&mut self, value: &GroupValue) {
        self.generation = value.generation;
        self.protocol_type = value.protocol_type.clone();
        self.protocol = value.protocol.clone();
        self.leader = value.leader.clone();
        self.since = value.since;
        let protocol = value.protocol.as_deref().unwrap_or_default();
        let mut known = std::mem::take(&mut self.members);
        self.by_instance.clear();
        self.supported.clear();
        for stored in &value.members {
            let member = match known.remove(&stored.id) {
                // All that it supports is known, and the log says no more than that.
                Some(mut member) if member.metadata(protocol) == stored.subscription => {
                    member.assignment = stored.assignment.clone();
                    member
                }
                _ => Member::stored(stored, protocol),
            };
            self.count_protocols(&member.protocols);
            if let Some(instance) = &member.instance {
                self.by_instance.insert(instance.clone(), member.id.clone());
            }
            self.members.insert(member.id.clone(), member);
        }
        self.joining = self.members.values().filter(|member| member.joining.is_some()).count();
        self.state = if self.members.is_empty() { State::Empty } else { State::Stable };
        self.subscribed = self.topics_of_members();
    }

    /// Topics that the members say they read in the chosen protocol; `None` if they are not
    /// consumers, or cannot be understood.
    pub(super) fn topics_of_members(&self) -> Option<BTreeSet<Box<str>>> {
        if !self.is_of_consumers() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(subscribed_topics(&member.metadata(protocol))?);
        }
        Some(topics)
    }

    /// The log has been read to its end: from now on the members have to be heard of.
    pub(in crate::group) fn on_loaded(
        &mut self,
        options: &GroupOptions,
        now: Now,
        out: &mut Outcome,
    ) {
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            self.alive(&id, now.instant);
        }
        if self.members.len() > options.size_max {
            self.prepare_rebalance(options, now, out);
        }
    }

    /// The answers that end all waits, when the coordinator ends.
    pub(in crate::group) fn waiting(&self, refusal: Refusal) -> Vec<(Ticket, Reply)> {
        let mut replies = Vec::new();
        for member in self.members.values() {
            let joining = member.joining.map(|ticket| {
                (ticket, Reply::Join(Err(JoinRefused { refusal, member: member.id.clone() })))
            });
            let syncing = member.syncing.map(|ticket| (ticket, Reply::Sync(Err(refusal))));
            replies.extend(joining.into_iter().chain(syncing));
        }
        replies
    }
}
