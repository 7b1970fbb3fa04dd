//! The coordinator of all groups of one partition of `__consumer_offsets`.
//!
//! It is built by applying every entry of its log, told that this is all, and then asked. What a
//! call brings about is collected in an [`Outcome`] that its host takes after every turn: entries to
//! append, already applied here, and replies, which may leave when these and all earlier entries are
//! durable.

mod commit;
mod expiry;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::classic::Group;
use super::entry::LogEntry;
use super::offsets::Offsets;
use super::reply::{JoinRefused, ListedGroup, Refusal, Reply};
use super::request::{JoinRequest, Request};
use super::{GroupId, MemberId, Ticket};
use crate::stdx::prng::Prng;
use crate::time::{Instant, Now, earlier};

/// How groups are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOptions {
    /// `group.initial.rebalance.delay.ms`
    pub initial_rebalance_delay: Duration,
    /// `group.min.session.timeout.ms`
    pub session_timeout_min: Duration,
    /// `group.max.session.timeout.ms`
    pub session_timeout_max: Duration,
    /// `group.max.size`
    pub size_max: usize,
    /// `offset.metadata.max.bytes`
    pub metadata_bytes_max: usize,
    /// `offsets.retention.minutes`
    pub offsets_retention: Duration,
    /// `offsets.retention.check.interval.ms`
    pub offsets_check_interval: Duration,
}

/// What was brought about, in order.
#[derive(Debug, Default)]
pub struct Outcome {
    /// To be appended.
    pub entries: Vec<LogEntry>,
    /// To leave when all entries up to here are durable.
    pub replies: Vec<(Ticket, Reply)>,
}

impl Outcome {
    pub(super) fn entry(&mut self, entry: LogEntry) {
        self.entries.push(entry);
    }

    pub(super) fn reply(&mut self, ticket: Ticket, reply: Reply) {
        self.replies.push((ticket, reply));
    }
}

/// A group and its offsets.
#[derive(Clone, Debug)]
struct Slot {
    group: Group,
    offsets: Offsets,
    /// Its place in `wakes`.
    wake: Option<Instant>,
}

impl Slot {
    fn new(id: &GroupId) -> Slot {
        Slot { group: Group::new(id.clone()), offsets: Offsets::default(), wake: None }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Coordinator {
    options: Arc<GroupOptions>,
    slots: BTreeMap<GroupId, Slot>,
    /// Groups by when they want to be told the time.
    wakes: BTreeSet<(Instant, GroupId)>,
    /// When offsets are looked through; `None` until the log is read.
    next_check: Option<Instant>,
    ids: Prng,
    outcome: Outcome,
}

impl Coordinator {
    /// Knows nothing yet. Member ids are drawn from `seed`.
    #[must_use]
    pub fn new(options: Arc<GroupOptions>, seed: u64) -> Coordinator {
        Coordinator {
            options,
            slots: BTreeMap::new(),
            wakes: BTreeSet::new(),
            next_check: None,
            ids: Prng::new(seed),
            outcome: Outcome::default(),
        }
    }

    /// Takes an entry of the log in.
    pub fn apply(&mut self, entry: &LogEntry) {
        match entry {
            LogEntry::Offset { group, topic, partition, committed } => {
                let committed = committed.as_ref();
                match self.slots.get_mut(group) {
                    Some(slot) => slot.offsets.apply(topic, *partition, committed),
                    // Whoever commits without being a member makes a group by it.
                    None if committed.is_some() => {
                        let mut slot = Slot::new(group);
                        slot.offsets.apply(topic, *partition, committed);
                        self.slots.insert(group.clone(), slot);
                    }
                    None => {}
                }
            }
            LogEntry::Group { group, value: Some(value) } => {
                let slot = self.slots.entry(group.clone()).or_insert_with(|| Slot::new(group));
                slot.group.apply(value);
            }
            LogEntry::Group { group, value: None } => {
                let Some(mut slot) = self.slots.remove(group) else { return };
                if let Some(wake) = slot.wake.take() {
                    self.wakes.remove(&(wake, group.clone()));
                }
                if !slot.offsets.is_empty() {
                    self.slots
                        .insert(group.clone(), Slot { group: Group::new(group.clone()), ..slot });
                }
            }
        }
    }

    /// The log has been read to its end.
    pub fn on_loaded(&mut self, now: Now) {
        self.next_check = Some(now.instant + self.options.offsets_check_interval);
        let groups: Vec<_> = self.slots.keys().cloned().collect();
        for group in groups {
            if let Some(slot) = self.slots.get_mut(&group) {
                slot.group.on_loaded(&self.options, now, &mut self.outcome);
            }
            self.rewake(&group);
        }
    }

    /// A client asks. It is answered by a reply with its ticket, now or later.
    pub fn on_request(&mut self, ticket: Ticket, request: &Request, now: Now) {
        let refuse = |refusal| Reply::refused(request, refusal);
        let out = &mut self.outcome;
        let slot = self.slots.get_mut(request.group());
        let reply = match request {
            Request::Join(join) => return self.join(ticket, join, now),
            Request::Sync(sync) => {
                let Some(slot) = slot else {
                    return out.reply(ticket, refuse(Refusal::UnknownMember));
                };
                slot.group.sync(ticket, sync, &self.options, now, out);
                return self.rewake(&sync.group);
            }
            Request::Heartbeat(heartbeat) => Reply::Heartbeat(match slot {
                Some(slot) => slot.group.heartbeat(heartbeat, now),
                None => Err(Refusal::UnknownMember),
            }),
            Request::Leave(leave) => {
                let left = match slot {
                    Some(slot) => slot.group.leave(leave, &self.options, now, out),
                    None => leave.members.iter().map(|_| Err(Refusal::UnknownMember)).collect(),
                };
                out.reply(ticket, Reply::Leave(Ok(left)));
                return self.rewake(&leave.group);
            }
            Request::Commit(commit) => Reply::Commit(self.commit(commit, now)),
            Request::FetchOffsets(fetch) => {
                let nothing = Offsets::default();
                let offsets = slot.map_or(&nothing, |slot| &slot.offsets);
                Reply::Offsets(Ok(offsets.fetch(fetch.topics.as_ref())))
            }
            Request::DeleteOffsets(delete) => Reply::OffsetsDeleted(self.delete_offsets(delete)),
            Request::Describe(_) => Reply::Described(match slot {
                Some(slot) => Ok(slot.group.describe()),
                None => Err(Refusal::GroupNotFound),
            }),
            Request::Delete(group) => Reply::Deleted(self.delete(group)),
        };
        self.outcome.reply(ticket, reply);
    }

    fn join(&mut self, ticket: Ticket, join: &JoinRequest, now: Now) {
        let refuse = |refusal| {
            Reply::Join(Err(JoinRefused { refusal, member: MemberId::from(&*join.member.id) }))
        };
        let timeout = super::classic::millis(join.session_timeout_ms);
        if timeout < self.options.session_timeout_min || self.options.session_timeout_max < timeout
        {
            return self.outcome.reply(ticket, refuse(Refusal::InvalidSessionTimeout));
        }
        if !self.slots.contains_key(&join.group) {
            let refusal = if !join.member.id.is_empty() {
                Some(Refusal::UnknownMember)
            } else if join.protocol_type.is_empty() || join.protocols.is_empty() {
                Some(Refusal::InconsistentProtocol)
            } else {
                None
            };
            if let Some(refusal) = refusal {
                return self.outcome.reply(ticket, refuse(refusal));
            }
        }
        let slot = self.slots.entry(join.group.clone()).or_insert_with(|| {
            let mut slot = Slot::new(&join.group);
            slot.group.store_new(now, &mut self.outcome);
            slot
        });
        let ids = &mut self.ids;
        let mint = || mint(join, ids);
        slot.group.join(ticket, join, mint, &self.options, now, &mut self.outcome);
        self.rewake(&join.group);
    }

    /// Every group, for a list.
    pub fn list(&self) -> impl Iterator<Item = ListedGroup> {
        self.slots.iter().map(|(group, slot)| ListedGroup {
            group: group.clone(),
            protocol_type: slot.group.protocol_type().unwrap_or_default().into(),
            state: slot.group.state(),
        })
    }

    /// Time passed.
    pub fn on_time(&mut self, now: Now) {
        while let Some((wake, _)) = self.wakes.first()
            && *wake <= now.instant
            && let Some((_, group)) = self.wakes.pop_first()
        {
            let Some(slot) = self.slots.get_mut(&group) else { continue };
            slot.wake = None;
            slot.group.on_time(&self.options, now, &mut self.outcome);
            self.rewake(&group);
        }
        if self.next_check.is_some_and(|check| check <= now.instant) {
            self.next_check = Some(now.instant + self.options.offsets_check_interval);
            self.expire_offsets(now);
        }
    }

    /// When [`Coordinator::on_time`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        earlier(self.wakes.first().map(|(wake, _)| *wake), self.next_check)
    }

    /// What was brought about since the last call.
    pub fn take_outcome(&mut self) -> Outcome {
        std::mem::take(&mut self.outcome)
    }

    /// Ends it: every request that waits is answered with this.
    #[must_use]
    pub fn resign(mut self, refusal: Refusal) -> Vec<(Ticket, Reply)> {
        let mut replies = std::mem::take(&mut self.outcome.replies);
        for reply in &mut replies {
            let (ticket, planned) = reply.clone();
            *reply = (ticket, planned.instead(refusal));
        }
        for slot in self.slots.values() {
            replies.extend(slot.group.waiting(refusal));
        }
        replies
    }

    /// Puts a group where its deadlines belong.
    fn rewake(&mut self, group: &GroupId) {
        let Some(slot) = self.slots.get_mut(group) else { return };
        let wake = slot.group.wake();
        if wake == slot.wake {
            return;
        }
        if let Some(before) = std::mem::replace(&mut slot.wake, wake) {
            self.wakes.remove(&(before, group.clone()));
        }
        if let Some(wake) = wake {
            self.wakes.insert((wake, group.clone()));
        }
    }

    /// Plans an entry, and takes it in.
    fn record(&mut self, entry: LogEntry) {
        self.apply(&entry);
        self.outcome.entry(entry);
    }
}

/// An id for a new member, as Kafka makes them: what the client calls itself, and a random UUID.
fn mint(join: &JoinRequest, random: &mut Prng) -> MemberId {
    let name = join.member.instance.as_deref().unwrap_or(&join.client_id);
    let (high, low) = (random.next_u64(), random.next_u64());
    let version = (high & !0xf000) | 0x4000;
    let variant = (low & !(3 << 62)) | (2 << 62);
    MemberId::from(format!(
        "{name}-{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        version >> 32,
        (version >> 16) & 0xffff,
        version & 0xffff,
        variant >> 48,
        variant & 0xffff_ffff_ffff,
    ))
}
