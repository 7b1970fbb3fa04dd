//! LeaveGroup: members that go by themselves, and static members that are sent away.

use crate::group::coordinator::{GroupOptions, Outcome};
use crate::group::reply::Refusal;
use crate::group::request::{LeaveRequest, Leaving};
use crate::time::Now;

use super::{Group, State};

impl Group {
    /// What became of each.
    pub(in crate::group) fn leave(
        &mut self,
        request: &LeaveRequest,
        options: &GroupOptions,
        now: Now,
        out: &mut Outcome,
    ) -> Vec<Result<(), Refusal>> {
        let left: Vec<_> =
            request.members.iter().map(|leaving| self.leave_one(leaving, out)).collect();
        if left.iter().any(Result::is_ok) {
            match self.state {
                State::Stable | State::CompletingRebalance => {
                    self.prepare_rebalance(options, now, out);
                }
                State::PreparingRebalance => self.maybe_complete_join(options, now, out),
                State::Empty => {}
            }
        }
        left
    }

    fn leave_one(&mut self, leaving: &Leaving, out: &mut Outcome) -> Result<(), Refusal> {
        let member = &leaving.member;
        let id = if member.id.is_empty() {
            // An administrator names a static member by its instance alone.
            let instance = member.instance.as_deref();
            let known = instance.and_then(|instance| self.by_instance.get(instance));
            known.cloned().ok_or(Refusal::UnknownMember)?
        } else if self.invited.contains_key(&*member.id) {
            (*member.id).into()
        } else {
            self.claimed(member)?.id.clone()
        };
        let reason = leaving.reason.as_deref().unwrap_or("not provided");
        tracing::info!(group = &*self.id, member = &*id, reason, "member leaves");
        self.remove(&id, Refusal::UnknownMember, Refusal::UnknownMember, out);
        Ok(())
    }
}
