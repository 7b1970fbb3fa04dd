//! Members that go: for good, or, if they are static, for a while.

use crate::group::MemberId;
use crate::group::coordinator::Outcome;
use crate::group::reply::Refusal;
use crate::group::request::{LeaveRequest, MemberClaim};

use super::entry::{ConsumerEntry, Current, MemberState, Owned};
use super::heartbeat::Known;
use super::{AWAY, Group};

impl Group {
    /// A member says that it goes.
    pub(in crate::group) fn part(
        &mut self,
        claim: &MemberClaim,
        for_good: bool,
        known: Known<'_>,
        out: &mut Outcome,
    ) -> Result<MemberId, Refusal> {
        let id = self.claimed(claim)?;
        if for_good {
            tracing::info!(group = &*self.id, member = &*id, "member leaves");
            self.remove(vec![id.clone()], known, out);
            return Ok(id);
        }
        tracing::info!(group = &*self.id, member = &*id, "static member leaves for a while");
        let current = self.currents.get(&id).cloned().unwrap_or_default();
        let away =
            Current { epoch: AWAY, state: MemberState::Stable, revoking: Owned::new(), ..current };
        self.record(ConsumerEntry::Current(id.clone(), Some(away)), out);
        if let Some(deadlines) = self.deadlines.get_mut(&id) {
            deadlines.revocation = None;
        }
        Ok(id)
    }

    /// By the classic protocol's request, as tools send it: static members are sent away. Others
    /// leave by their own protocol.
    pub(in crate::group) fn send_away(
        &mut self,
        request: &LeaveRequest,
        known: Known<'_>,
        out: &mut Outcome,
    ) -> Vec<Result<(), Refusal>> {
        let mut gone = Vec::new();
        let mut results = Vec::new();
        for leaving in &request.members {
            let claim = &leaving.member;
            let found = match &claim.instance {
                Some(instance) if claim.id.is_empty() => {
                    self.by_instance.get(instance).cloned().ok_or(Refusal::UnknownMember)
                }
                Some(_) => self.claimed(claim),
                None => Err(Refusal::UnknownMember),
            };
            results.push(found.map(|id| {
                if !gone.contains(&id) {
                    gone.push(id);
                }
            }));
        }
        if !gone.is_empty() {
            self.remove(gone, known, out);
        }
        results
    }

    /// Takes members out, and begins an epoch without them.
    pub(super) fn remove(&mut self, gone: Vec<MemberId>, known: Known<'_>, out: &mut Outcome) {
        let first = out.entries.len();
        for id in gone {
            self.forget_member(&id, out);
        }
        for pattern in self.unused_patterns() {
            self.record(ConsumerEntry::Pattern(pattern, None), out);
        }
        let topics_hash = self.hash_of_topics(known.topics);
        self.begin_epoch(topics_hash, first, out);
    }

    /// What it has is forgotten first: of a member that is half forgotten nobody waits for anything.
    pub(super) fn forget_member(&mut self, id: &MemberId, out: &mut Outcome) {
        self.record(ConsumerEntry::Current(id.clone(), None), out);
        self.record(ConsumerEntry::Target(id.clone(), None), out);
        self.record(ConsumerEntry::Member(id.clone(), None), out);
    }
}
