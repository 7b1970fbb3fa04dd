//! SyncGroup: the second step of a rebalance. The leader's assignments are written down, and every
//! member gets its own.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::group::Ticket;
use crate::group::coordinator::{GroupOptions, Outcome};
use crate::group::reply::{Refusal, Reply, Synced};
use crate::group::request::SyncRequest;
use crate::limits::GROUP_ENTRY_BYTES_MAX;
use crate::time::Now;

use super::{Group, State};

impl Group {
    pub(in crate::group) fn sync(
        &mut self,
        ticket: Ticket,
        request: &SyncRequest,
        options: &GroupOptions,
        now: Now,
        out: &mut Outcome,
    ) {
        if let Err(refusal) = self.check_sync(request) {
            out.reply(ticket, Reply::Sync(Err(refusal)));
            return;
        }
        let id = &*request.member.id;
        self.unsynced.remove(id);
        if self.unsynced.is_empty() {
            self.sync_deadline = None;
        }
        if self.state == State::Stable {
            let synced = self.synced(id);
            out.reply(ticket, Reply::Sync(Ok(synced)));
            return;
        }
        if let Some(member) = self.members.get_mut(id)
            && let Some(before) = member.syncing.replace(ticket)
        {
            out.reply(before, Reply::Sync(Err(Refusal::RebalanceInProgress)));
        }
        if self.is_leader(id) {
            self.assign(request, options, now, out);
        }
    }

    fn check_sync(&self, request: &SyncRequest) -> Result<(), Refusal> {
        self.claimed(&request.member)?;
        if request.generation != self.generation {
            return Err(Refusal::IllegalGeneration);
        }
        let differs = |said: &Option<Box<str>>, is: &Option<Box<str>>| {
            said.is_some() && is.is_some() && said != is
        };
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol, &self.protocol)
        {
            return Err(Refusal::InconsistentProtocol);
        }
        match self.state {
            State::PreparingRebalance => Err(Refusal::RebalanceInProgress),
            State::Empty => Err(Refusal::UnknownMember),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    /// The leader has assigned.
    fn assign(
        &mut self,
        request: &SyncRequest,
        options: &GroupOptions,
        now: Now,
        out: &mut Outcome,
    ) {
        let assignments: BTreeMap<&str, &Bytes> =
            request.assignments.iter().map(|(id, assignment)| (&**id, assignment)).collect();
        let value = self.value(now.timestamp, |member| {
            assignments.get(&*member.id).map(|bytes| (*bytes).clone()).unwrap_or_default()
        });
        if value.size() > GROUP_ENTRY_BYTES_MAX {
            tracing::warn!(group = &*self.id, size = value.size(), "group does not fit a record");
            self.refuse_syncs(Refusal::StateTooLarge, now, out);
            return self.prepare_rebalance(options, now, out);
        }
        self.store(value, out);
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in &ids {
            let waiting = self.members.get_mut(id).and_then(|member| member.syncing.take());
            if let Some(ticket) = waiting {
                let synced = self.synced(id);
                out.reply(ticket, Reply::Sync(Ok(synced)));
                self.alive(id, now.instant);
            }
        }
    }

    fn synced(&self, id: &str) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self.members.get(id).map(|m| m.assignment.clone()).unwrap_or_default(),
        }
    }
}
