//! Heartbeat, and whether a commit comes from a member that may make it.

use crate::group::reply::Refusal;
use crate::group::request::{CommitRequest, HeartbeatRequest};
use crate::time::Now;

use super::{Group, State};

impl Group {
    pub(in crate::group) fn heartbeat(
        &mut self,
        request: &HeartbeatRequest,
        now: Now,
    ) -> Result<(), Refusal> {
        self.claimed(&request.member)?;
        if request.generation != self.generation {
            return Err(Refusal::IllegalGeneration);
        }
        self.alive(&request.member.id, now.instant);
        match self.state {
            State::PreparingRebalance => Err(Refusal::RebalanceInProgress),
            State::Empty | State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    /// Whether whoever commits may. If it is a member, it is heard of.
    pub(in crate::group) fn check_commit(
        &mut self,
        request: &CommitRequest,
        now: Now,
    ) -> Result<(), Refusal> {
        let member = &request.member;
        // Not a member: a tool, or a consumer that takes its partitions by itself.
        if request.generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        if request.generation < 0 && member.id.is_empty() && member.instance.is_none() {
            return Err(Refusal::UnknownMember);
        }
        self.claimed(member)?;
        if request.generation != self.generation {
            return Err(Refusal::IllegalGeneration);
        }
        match self.state {
            State::CompletingRebalance => Err(Refusal::RebalanceInProgress),
            State::PreparingRebalance | State::Stable => {
                self.alive(&member.id, now.instant);
                Ok(())
            }
            State::Empty => Ok(()),
        }
    }
}
