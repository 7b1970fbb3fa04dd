//! What is written of groups: the durable part of a group, and committed offsets. How these are
//! laid out as records is told in [`codec`](super::codec).

use bytes::Bytes;

use super::consumer::entry::ConsumerEntry;
use super::{GroupId, MemberId};
use crate::time::Timestamp;

/// One entry of a coordinator's log; the newest of each key counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEntry {
    /// How far a group has read a partition; `None` forgets it.
    Offset {
        /// Which group.
        group: GroupId,
        /// Which topic.
        topic: Box<str>,
        /// Which partition of it.
        partition: i32,
        /// How far.
        committed: Option<Committed>,
    },
    /// What a classic group is; `None` removes it.
    Group {
        /// Which.
        group: GroupId,
        /// What.
        value: Option<GroupValue>,
    },
    /// A part of what a consumer group is.
    Consumer {
        /// Which.
        group: GroupId,
        /// The part.
        entry: ConsumerEntry,
    },
}

/// How far a group has read a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: i64,
    /// Epoch of the last record read; -1 if unknown.
    pub leader_epoch: i32,
    /// The client's note.
    pub metadata: Box<str>,
    /// When it was committed.
    pub at: Timestamp,
    /// When it is forgotten, where an old client has said so.
    pub expires: Option<Timestamp>,
}

/// The durable part of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupValue {
    /// The kind of its protocol.
    pub protocol_type: Option<Box<str>>,
    /// Its generation.
    pub generation: i32,
    /// The protocol that was chosen.
    pub protocol: Option<Box<str>>,
    /// The member that assigns.
    pub leader: Option<MemberId>,
    /// Since when it has been in its state.
    pub since: Option<Timestamp>,
    /// Its members; none if it is empty, and stable otherwise.
    pub members: Vec<StoredMember>,
}

/// The durable part of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMember {
    /// Who.
    pub id: MemberId,
    /// `group.instance.id`.
    pub instance: Option<Box<str>>,
    /// How its client calls itself.
    pub client_id: Box<str>,
    /// Where it is.
    pub client_host: Box<str>,
    /// How long a rebalance waits for it.
    pub rebalance_timeout_ms: i32,
    /// Without a heartbeat for this long it is gone.
    pub session_timeout_ms: i32,
    /// What it says in the chosen protocol.
    pub subscription: Bytes,
    /// What the leader gave it.
    pub assignment: Bytes,
}

impl GroupValue {
    /// About how many bytes it takes as a record.
    #[must_use]
    pub fn size(&self) -> usize {
        const FIXED: usize = 64;
        let members = self.members.iter().map(|member| {
            let names = member.id.len() + member.client_id.len() + member.client_host.len();
            let instance = member.instance.as_ref().map_or(0, |instance| instance.len());
            FIXED + names + instance + member.subscription.len() + member.assignment.len()
        });
        let protocol_type = self.protocol_type.as_ref().map_or(0, |name| name.len());
        let protocol = self.protocol.as_ref().map_or(0, |name| name.len());
        FIXED + protocol_type + protocol + members.sum::<usize>()
    }
}
