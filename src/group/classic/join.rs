//! JoinGroup: who is let in, and what a join sets off.

use std::time::Duration;

use crate::group::coordinator::{GroupOptions, Outcome};
use crate::group::reply::{JoinRefused, Joined, JoinedMember, Refusal, Reply};
use crate::group::request::JoinRequest;
use crate::group::{MemberId, Ticket};
use crate::time::Now;

use super::member::{Member, millis};
use super::{Group, State};

/// The first join of a member waits no longer than this: it has no id to send heartbeats with, so
/// whether it is still there can only be told by its trying again.
const NEW_MEMBER_WAIT_MAX: Duration = Duration::from_secs(5 * 60);

impl Group {
    /// `mint` makes an id for a new member.
    pub(in crate::group) fn join(
        &mut self,
        ticket: Ticket,
        request: &JoinRequest,
        mint: impl FnOnce() -> MemberId,
        options: &GroupOptions,
        now: Now,
        out: &mut Outcome,
    ) {
        let id = &*request.member.id;
        if !self.has_room_for(id, options.size_max) {
            self.remove(id, Refusal::GroupFull, Refusal::UnknownMember, out);
            refuse(ticket, Refusal::GroupFull, "".into(), out);
            self.maybe_complete_join(options, now, out);
        } else if !self.supports(request) {
            refuse(ticket, Refusal::InconsistentProtocol, id.into(), out);
        } else if id.is_empty() {
            self.join_anew(ticket, request, mint(), options, now, out);
        } else if self.invited.contains_key(id) && request.member.instance.is_none() {
            self.add(ticket, request, id.into(), options, now, out);
        } else {
            match self.claimed(&request.member) {
                Ok(_) => self.join_again(ticket, request, options, now, out),
                Err(refusal) => refuse(ticket, refusal, id.into(), out),
            }
        }
    }

    fn has_room_for(&self, id: &str, size_max: usize) -> bool {
        let member = self.members.get(id);
        match self.state {
            State::Empty => true,
            // Those who are not back yet may lose their place to those who are.
            State::PreparingRebalance => {
                member.is_some_and(|member| member.joining.is_some()) || self.joining < size_max
            }
            State::CompletingRebalance | State::Stable => {
                member.is_some() || self.members.len() < size_max
            }
        }
    }

    /// Whether the protocols of a member go with those of the others.
    fn supports(&self, request: &JoinRequest) -> bool {
        if self.state == State::Empty {
            return !request.protocol_type.is_empty() && !request.protocols.is_empty();
        }
        let all = self.members.len();
        self.protocol_type() == Some(&*request.protocol_type)
            && request.protocols.iter().any(|(name, _)| self.supported.get(name) == Some(&all))
    }

    /// A member without an id.
    fn join_anew(
        &mut self,
        ticket: Ticket,
        request: &JoinRequest,
        new_id: MemberId,
        options: &GroupOptions,
        now: Now,
        out: &mut Outcome,
    ) {
        let instance = request.member.instance.as_deref();
        if let Some(instance) = instance {
            match self.by_instance.get(instance).cloned() {
                Some(old_id) => self.replace(ticket, request, &old_id, new_id, options, now, out),
                None => self.add(ticket, request, new_id, options, now, out),
            }
        } else if request.needs_known_id {
            let deadline = now.instant + millis(request.session_timeout_ms);
            self.invited.insert(new_id.clone(), deadline);
            self.wake_by(deadline);
            refuse(ticket, Refusal::MemberIdRequired, new_id, out);
        } else {
            self.add(ticket, request, new_id, options, now, out);
        }
    }

    fn add(
        &mut self,
        ticket: Ticket,
        request: &JoinRequest,
        id: MemberId,
        options: &GroupOptions,
        now: Now,
        out: &mut Outcome,
    ) {
        self.invited.remove(&id);
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        let mut member = Member::new(id.clone(), request);
        let deadline = now.instant + NEW_MEMBER_WAIT_MAX;
        member.deadline = Some(deadline);
        self.wake_by(deadline);
        self.count_protocols(&member.protocols);
        if let Some(instance) = &member.instance {
            self.by_instance.insert(instance.clone(), id.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(id.clone());
        }
        self.members.insert(id.clone(), member);
        self.park_join(&id, ticket, out);
        if let Some(first) = &mut self.first {
            first.more = true;
        }
        let reason = request.reason.as_deref().unwrap_or("not provided");
        tracing::info!(group = &*self.id, member = &*id, reason, "member joins");
        self.rebalance_or_complete(options, now, out);
    }

    /// A member that is known.
    fn join_again(
        &mut self,
        ticket: Ticket,
        request: &JoinRequest,
        options: &GroupOptions,
        now: Now,
        out: &mut Outcome,
    ) {
        let id = &*request.member.id;
        let same = self.members.get(id).is_some_and(|m| m.has_protocols(&request.protocols));
        let settled = match self.state {
            // It may have missed the answer to its join.
            State::CompletingRebalance => same,
            // A leader that joins asks for another assignment, for reasons of its own.
            State::Stable => same && !self.is_leader(id),
            State::PreparingRebalance => false,
            State::Empty => return refuse(ticket, Refusal::UnknownMember, id.into(), out),
        };
        if settled {
            let joined = self.joined(id.into(), false);
            out.reply(ticket, Reply::Join(Ok(joined)));
            return;
        }
        self.update(id, request);
        self.park_join(id, ticket, out);
        self.rebalance_or_complete(options, now, out);
    }

    fn update(&mut self, id: &str, request: &JoinRequest) {
        let Some(member) = self.members.get_mut(id) else { return };
        let before = std::mem::take(&mut member.protocols);
        member.update(request);
        self.uncount_protocols(&before);
        self.count_protocols(&request.protocols);
    }

    /// A static member is back without its id: it takes the place of the one before it, which is
    /// fenced off. If nothing else changes, the others need not know.
    #[expect(clippy::too_many_arguments, reason = "one more than its callers")]
    fn replace(
        &mut self,
        ticket: Ticket,
        request: &JoinRequest,
        old_id: &str,
        new_id: MemberId,
        options: &GroupOptions,
        now: Now,
        out: &mut Outcome,
    ) {
        let Some(old) = self.members.get(old_id).cloned() else { return };
        let leader_before = self.leader.clone();
        self.remove(old_id, Refusal::FencedInstance, Refusal::FencedInstance, out);
        if leader_before.as_deref() == Some(old_id) {
            self.leader = Some(new_id.clone());
        }
        let mut member = old;
        member.id = new_id.clone();
        member.is_new = false;
        member.joining = None;
        member.syncing = None;
        member.update(request);
        self.count_protocols(&member.protocols);
        if let Some(instance) = &member.instance {
            self.by_instance.insert(instance.clone(), new_id.clone());
        }
        self.members.insert(new_id.clone(), member);
        self.alive(&new_id, now.instant);
        tracing::info!(group = &*self.id, old = old_id, new = &*new_id, "static member is back");
        match self.state {
            State::Stable if self.protocol == self.select_protocol() => {
                let value = self.value(now.timestamp, |member| member.assignment.clone());
                self.store(value, out);
                let joined = if request.may_skip_assignment {
                    let skip = self.is_leader(&new_id);
                    self.joined(new_id, skip)
                } else {
                    // Told that the old id leads, it leaves the assignment as it is.
                    Joined {
                        leader: leader_before,
                        members: Vec::new(),
                        ..self.joined(new_id, false)
                    }
                };
                out.reply(ticket, Reply::Join(Ok(joined)));
            }
            State::Stable | State::CompletingRebalance => {
                self.park_join(&new_id, ticket, out);
                self.prepare_rebalance(options, now, out);
            }
            State::PreparingRebalance | State::Empty => {
                self.park_join(&new_id, ticket, out);
                self.maybe_complete_join(options, now, out);
            }
        }
    }

    /// The generation as a member is told of it.
    pub(super) fn joined(&self, id: MemberId, skip_assignment: bool) -> Joined {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.values().filter(|_| self.is_leader(&id));
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            skip_assignment,
            members: members
                .map(|member| JoinedMember {
                    id: member.id.clone(),
                    instance: member.instance.clone(),
                    metadata: member.metadata(protocol),
                })
                .collect(),
            member: id,
        }
    }
}

fn refuse(ticket: Ticket, refusal: Refusal, member: MemberId, out: &mut Outcome) {
    out.reply(ticket, Reply::Join(Err(JoinRefused { refusal, member })));
}
