//! One member of a classic group.

use std::time::Duration;

use bytes::Bytes;

use crate::group::entry::StoredMember;
use crate::group::reply::DescribedMember;
use crate::group::request::JoinRequest;
use crate::group::{MemberId, Ticket};
use crate::time::Instant;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub id: MemberId,
    pub instance: Option<Box<str>>,
    client_id: Box<str>,
    client_host: Box<str>,
    session_timeout_ms: i32,
    rebalance_timeout_ms: i32,
    /// The preferred one first. Of a member that was read from the log, the chosen one only.
    pub protocols: Vec<(Box<str>, Bytes)>,
    /// What the leader gave it; empty until then.
    pub assignment: Bytes,
    /// Its first join has not been answered: it has no id to send heartbeats with.
    pub is_new: bool,
    /// Its join, which waits for the rebalance.
    pub joining: Option<Ticket>,
    /// Its sync, which waits for the leader's.
    pub syncing: Option<Ticket>,
    /// Gone without a sign of life until then; `None` while a wait stands for one.
    pub deadline: Option<Instant>,
}

impl Member {
    pub(super) fn new(id: MemberId, request: &JoinRequest) -> Member {
        Member {
            id,
            instance: request.member.instance.clone(),
            client_id: request.client_id.clone(),
            client_host: request.client_host.clone(),
            session_timeout_ms: request.session_timeout_ms,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            protocols: request.protocols.clone(),
            assignment: Bytes::new(),
            is_new: true,
            joining: None,
            syncing: None,
            deadline: None,
        }
    }

    /// As the log has it.
    pub(super) fn stored(stored: &StoredMember, protocol: &str) -> Member {
        Member {
            id: stored.id.clone(),
            instance: stored.instance.clone(),
            client_id: stored.client_id.clone(),
            client_host: stored.client_host.clone(),
            session_timeout_ms: stored.session_timeout_ms,
            rebalance_timeout_ms: stored.rebalance_timeout_ms,
            protocols: vec![(protocol.into(), stored.subscription.clone())],
            assignment: stored.assignment.clone(),
            is_new: false,
            joining: None,
            syncing: None,
            deadline: None,
        }
    }

    /// Takes over what a later join says.
    pub(super) fn update(&mut self, request: &JoinRequest) {
        self.session_timeout_ms = request.session_timeout_ms;
        self.rebalance_timeout_ms = request.rebalance_timeout_ms;
        self.protocols = request.protocols.clone();
    }

    pub(super) fn to_stored(&self, protocol: &str, assignment: Bytes) -> StoredMember {
        StoredMember {
            id: self.id.clone(),
            instance: self.instance.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            subscription: self.metadata(protocol),
            assignment,
        }
    }

    /// `protocol`: tell what it says in this one.
    pub(super) fn describe(&self, protocol: Option<&str>) -> DescribedMember {
        DescribedMember {
            id: self.id.clone(),
            instance: self.instance.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            metadata: protocol.map(|protocol| self.metadata(protocol)).unwrap_or_default(),
            assignment: self.assignment.clone(),
        }
    }

    /// What it says in a protocol; nothing if it does not know it.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let known = self.protocols.iter().find(|(name, _)| **name == *protocol);
        known.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    /// Whether a join brings nothing new.
    pub(super) fn has_protocols(&self, protocols: &[(Box<str>, Bytes)]) -> bool {
        self.protocols == protocols
    }

    pub(super) fn session_timeout(&self) -> Duration {
        millis(self.session_timeout_ms)
    }

    pub(super) fn rebalance_timeout(&self) -> Duration {
        millis(self.rebalance_timeout_ms)
    }

    /// It waits for the coordinator, so its silence means nothing. A new member may be silent for
    /// so long only: it cannot be told from one that has gone.
    pub(super) fn waits(&self) -> bool {
        !self.is_new && (self.joining.is_some() || self.syncing.is_some())
    }
}

/// A client's milliseconds; less than none is none.
pub(in crate::group) fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
