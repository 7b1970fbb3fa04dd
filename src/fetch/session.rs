//! Incremental fetch sessions (KIP-227): the broker remembers which partitions a consumer reads and
//! what it was last told about each, so that both sides only speak of what changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::ids::{LeaderEpoch, Offset, PartitionId, ShardId, TopicId};
use crate::stdx::few::Few;
use crate::time::Instant;

/// A session that was not used for this long may make room for a new one (Kafka's
/// `min.incremental.fetch.session.eviction.ms`).
const EVICTION_IDLE_MIN: Duration = Duration::from_secs(120);

/// Names a session; never 0, which means "no session" on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(pub i32);

/// How a consumer names a topic: by name up to Fetch v12, by id from v13 (KIP-516).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FetchTopic {
    /// Up to v12.
    Name(Arc<str>),
    /// From v13.
    Id(TopicId),
}

/// One partition as a session remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPartition {
    /// The topic, as the consumer names it.
    pub topic: FetchTopic,
    /// The partition within it.
    pub partition: PartitionId,
    /// Where to read.
    pub offset: Offset,
    /// Most bytes to return for this partition.
    pub bytes_max: usize,
    /// The leader epoch the consumer believes in, if it says.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// The epoch of the last record it has read, if it says (KIP-595 divergence check).
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// High watermark last told; `None` before the first answer.
    pub told_high_watermark: Option<Offset>,
    /// Log start offset last told.
    pub told_log_start: Option<Offset>,
    /// The last answer was an error, so the next one is told even if nothing else changed.
    pub told_error: bool,
}

/// What a Fetch request says about sessions.
#[derive(Debug)]
pub struct SessionRequest {
    /// 0 for none.
    pub session_id: i32,
    /// -1 final, 0 initial, otherwise the next epoch.
    pub epoch: i32,
    /// True from v13.
    pub uses_topic_ids: bool,
    /// Named in the request, in order.
    pub partitions: Few<SessionPartition>,
    /// Forgotten by the request.
    pub forgotten: Vec<(FetchTopic, PartitionId)>,
}

/// Why a session request cannot be served. The consumer starts a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochRefusal {
    /// No such session here (evicted, or opened on a connection to another shard).
    UnknownSession,
    /// Not the next epoch: a request was lost or repeated.
    WrongEpoch,
    /// A session opened with topic names is used with ids, or the other way round.
    TopicIdMismatch,
}

/// What to read for a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened {
    /// The session that the answer belongs to; `None` when there is none.
    pub session: Option<SessionId>,
    /// Only changed partitions belong in the answer.
    pub incremental: bool,
    /// What to read, in order.
    pub partitions: Few<SessionPartition>,
}

#[derive(Debug)]
struct Session {
    next_epoch: i32,
    uses_topic_ids: bool,
    last_used: Instant,
    /// By place in the reading order. Partitions that brought data go to the end, so that a busy
    /// one cannot starve the rest when the byte budget is short.
    order: BTreeMap<u64, SessionPartition>,
    places: BTreeMap<(FetchTopic, PartitionId), u64>,
    next_place: u64,
}

impl Session {
    fn put(&mut self, mut partition: SessionPartition) {
        let key = (partition.topic.clone(), partition.partition);
        if let Some(known) = self.places.get(&key).and_then(|place| self.order.get_mut(place)) {
            // Position and limits are the consumer's; what it was told stays true.
            partition.told_high_watermark = known.told_high_watermark;
            partition.told_log_start = known.told_log_start;
            partition.told_error = known.told_error;
            *known = partition;
            return;
        }
        self.places.insert(key, self.next_place);
        self.order.insert(self.next_place, partition);
        self.next_place += 1;
    }

    /// How many partitions it would have with these besides.
    fn count_with(&self, partitions: &[SessionPartition]) -> usize {
        let known = |partition: &&SessionPartition| {
            !self.places.contains_key(&(partition.topic.clone(), partition.partition))
        };
        self.places.len() + partitions.iter().filter(known).count()
    }

    fn forget(&mut self, key: &(FetchTopic, PartitionId)) {
        if let Some(place) = self.places.remove(key) {
            self.order.remove(&place);
        }
    }

    /// What to read, in the emptied list of what a request named.
    fn read_list(&self, mut list: Few<SessionPartition>) -> Few<SessionPartition> {
        list.extend(self.order.values().cloned());
        list
    }
}

/// The sessions of one shard's connections.
#[derive(Debug)]
pub struct SessionCache {
    sessions: BTreeMap<SessionId, Session>,
    slots: usize,
    /// Partitions of all sessions together, and how many there may be.
    partition_count: usize,
    partitions_max: usize,
    shard: ShardId,
    next_number: u32,
}

impl SessionCache {
    /// At most `slots` sessions at once, of at most `partitions_max` partitions together.
    #[must_use]
    pub fn new(shard: ShardId, slots: usize, partitions_max: usize) -> SessionCache {
        SessionCache {
            sessions: BTreeMap::new(),
            slots,
            partition_count: 0,
            partitions_max,
            shard,
            next_number: 1,
        }
    }

    fn remove(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.remove(&id) {
            self.partition_count -= session.places.len();
        }
    }

    /// How many sessions are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// True when none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Applies what a request says about sessions and answers what to read.
    pub fn open(
        &mut self,
        mut request: SessionRequest,
        now: Instant,
    ) -> Result<Opened, EpochRefusal> {
        let id = SessionId(request.session_id);
        match (request.session_id, request.epoch) {
            (_, -1) => {
                self.remove(id);
                Ok(Opened { session: None, incremental: false, partitions: request.partitions })
            }
            (_, 0) => {
                self.remove(id);
                Ok(self.create(request, now))
            }
            (_, epoch) => {
                let session = self.sessions.get_mut(&id).ok_or(EpochRefusal::UnknownSession)?;
                if epoch != session.next_epoch {
                    return Err(EpochRefusal::WrongEpoch);
                }
                if request.uses_topic_ids != session.uses_topic_ids {
                    return Err(EpochRefusal::TopicIdMismatch);
                }
                let before = session.places.len();
                let grown = session.count_with(&request.partitions) - before;
                if grown > 0 && self.partition_count + grown > self.partitions_max {
                    // The consumer starts anew, and is then served without a session.
                    self.remove(id);
                    return Err(EpochRefusal::UnknownSession);
                }
                session.next_epoch = epoch.checked_add(1).unwrap_or(1);
                session.last_used = now;
                for partition in request.partitions.drain(..) {
                    session.put(partition);
                }
                for key in &request.forgotten {
                    session.forget(key);
                }
                self.partition_count = self.partition_count - before + session.places.len();
                if session.order.is_empty() {
                    // Kafka closes a session that has nothing left to read.
                    self.sessions.remove(&id);
                    return Ok(Opened { session: None, incremental: true, partitions: Few::new() });
                }
                let partitions = session.read_list(request.partitions);
                Ok(Opened { session: Some(id), incremental: true, partitions })
            }
        }
    }

    fn create(&mut self, mut request: SessionRequest, now: Instant) -> Opened {
        if request.partitions.is_empty() || !self.make_room(request.partitions.len(), now) {
            return Opened { session: None, incremental: false, partitions: request.partitions };
        }
        // The shard is part of the id, so that a consumer which reconnects to another shard is told
        // "unknown session" instead of finding somebody else's.
        let number = self.next_number & 0x000f_ffff;
        self.next_number = self.next_number.wrapping_add(1);
        let raw = (u32::from(self.shard.0) + 1) << 20 | number;
        let id = SessionId((raw & 0x7fff_ffff) as i32);
        let mut session = Session {
            next_epoch: 1,
            uses_topic_ids: request.uses_topic_ids,
            last_used: now,
            order: BTreeMap::new(),
            places: BTreeMap::new(),
            next_place: 0,
        };
        for partition in request.partitions.drain(..) {
            session.put(partition);
        }
        let partitions = session.read_list(request.partitions);
        self.partition_count += session.places.len();
        self.sessions.insert(id, session);
        Opened { session: Some(id), incremental: false, partitions }
    }

    /// Makes room for one session of so many partitions, by way of sessions that are not used.
    fn make_room(&mut self, count: usize, now: Instant) -> bool {
        if count > self.partitions_max {
            return false;
        }
        while self.sessions.len() >= self.slots
            || self.partition_count + count > self.partitions_max
        {
            let oldest = self.sessions.iter().min_by_key(|(_, session)| session.last_used);
            match oldest.map(|(id, session)| (*id, session.last_used)) {
                Some((id, used)) if now.since(used) >= EVICTION_IDLE_MIN => self.remove(id),
                _ => return false,
            }
        }
        true
    }

    /// Remembers what an answer told about one partition of a session. `with_data` sends the
    /// partition to the end of the reading order.
    pub fn told(
        &mut self,
        id: SessionId,
        topic: &FetchTopic,
        partition: PartitionId,
        told: Result<(Offset, Offset), ()>,
        with_data: bool,
    ) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let key = (topic.clone(), partition);
        let Some(place) = session.places.get(&key).copied() else { return };
        let Some(mut known) = session.order.remove(&place) else { return };
        known.told_error = told.is_err();
        if let Ok((high_watermark, log_start)) = told {
            known.told_high_watermark = Some(high_watermark);
            known.told_log_start = Some(log_start);
        }
        let place = if with_data {
            session.next_place += 1;
            session.places.insert(key, session.next_place - 1);
            session.next_place - 1
        } else {
            place
        };
        session.order.insert(place, known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(index: i32, offset: i64) -> SessionPartition {
        SessionPartition {
            topic: FetchTopic::Name("t".into()),
            partition: PartitionId(index),
            offset: Offset(offset),
            bytes_max: 1000,
            current_leader_epoch: None,
            last_fetched_epoch: None,
            told_high_watermark: None,
            told_log_start: None,
            told_error: false,
        }
    }

    fn request(session_id: i32, epoch: i32, partitions: Vec<SessionPartition>) -> SessionRequest {
        SessionRequest {
            session_id,
            epoch,
            uses_topic_ids: false,
            partitions: partitions.into(),
            forgotten: Vec::new(),
        }
    }

    fn indexes(opened: &Opened) -> Vec<i32> {
        opened.partitions.iter().map(|p| p.partition.0).collect()
    }

    #[test]
    fn a_session_remembers_partitions_and_counts_epochs() {
        let mut cache = SessionCache::new(ShardId(3), 10, 100);
        let now = Instant(0);
        let opened = cache.open(request(0, 0, vec![partition(0, 5), partition(1, 6)]), now);
        let opened = opened.expect("full request");
        let id = opened.session.expect("a slot is free").0;
        assert!(!opened.incremental);
        assert_eq!(cache.open(request(id, 2, vec![]), now), Err(EpochRefusal::WrongEpoch));
        let opened = cache.open(request(id, 1, vec![partition(1, 9)]), now).expect("next epoch");
        assert!(opened.incremental);
        assert_eq!(indexes(&opened), [0, 1]);
        assert_eq!(opened.partitions[1].offset, Offset(9));
        assert_eq!(cache.open(request(id, 1, vec![]), now), Err(EpochRefusal::WrongEpoch));
        assert_eq!(cache.open(request(id ^ 1, 2, vec![]), now), Err(EpochRefusal::UnknownSession));
        assert_eq!(cache.open(request(0, 2, vec![]), now), Err(EpochRefusal::UnknownSession));
    }

    #[test]
    fn forgotten_partitions_are_not_read_and_an_empty_session_closes() {
        let mut cache = SessionCache::new(ShardId(0), 10, 100);
        let now = Instant(0);
        let opened = cache.open(request(0, 0, vec![partition(0, 5)]), now).expect("full");
        let id = opened.session.expect("slot").0;
        let mut next = request(id, 1, vec![]);
        next.forgotten.push((FetchTopic::Name("t".into()), PartitionId(0)));
        let opened = cache.open(next, now).expect("next epoch");
        assert_eq!(opened, Opened { session: None, incremental: true, partitions: Few::new() });
        assert!(cache.is_empty());
    }

    #[test]
    fn a_partition_with_data_goes_to_the_end_and_keeps_what_it_was_told() {
        let mut cache = SessionCache::new(ShardId(0), 10, 100);
        let now = Instant(0);
        let full = request(0, 0, vec![partition(0, 5), partition(1, 6), partition(2, 7)]);
        let id = cache.open(full, now).expect("full").session.expect("slot");
        let topic = FetchTopic::Name("t".into());
        cache.told(id, &topic, PartitionId(0), Ok((Offset(50), Offset(0))), true);
        let opened = cache.open(request(id.0, 1, vec![partition(0, 50)]), now).expect("next");
        assert_eq!(indexes(&opened), [1, 2, 0]);
        assert_eq!(opened.partitions[2].told_high_watermark, Some(Offset(50)));
    }

    #[test]
    fn a_full_cache_serves_without_a_session_until_one_is_idle() {
        let mut cache = SessionCache::new(ShardId(0), 1, 100);
        let first = cache.open(request(0, 0, vec![partition(0, 5)]), Instant(0)).expect("full");
        assert!(first.session.is_some());
        let second = cache.open(request(0, 0, vec![partition(0, 5)]), Instant(1)).expect("full");
        assert_eq!(second.session, None);
        let later = Instant(0) + EVICTION_IDLE_MIN;
        let third = cache.open(request(0, 0, vec![partition(0, 5)]), later).expect("full");
        assert!(third.session.is_some());
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn partitions_of_all_sessions_are_bounded() {
        let mut cache = SessionCache::new(ShardId(0), 10, 3);
        let three = || (0..3).map(|index| partition(index, 0)).collect::<Vec<_>>();
        let four = (0..4).map(|index| partition(index, 0)).collect();
        assert_eq!(cache.open(request(0, 0, four), Instant(0)).expect("full").session, None);
        let two = vec![partition(0, 0), partition(1, 0)];
        let first = cache.open(request(0, 0, two), Instant(0)).expect("full").session;
        let first = first.expect("room").0;
        // A second one of two does not fit, and is served all the same.
        let two = vec![partition(0, 0), partition(1, 0)];
        let second = cache.open(request(0, 0, two), Instant(1)).expect("full");
        assert_eq!((second.session, indexes(&second).len()), (None, 2));
        // The first may grow by one, and by none that it has, but not by two.
        assert!(cache.open(request(first, 1, three()), Instant(1)).is_ok());
        assert_eq!(cache.partition_count, 3);
        let more = vec![partition(3, 0)];
        let refused = cache.open(request(first, 2, more), Instant(1));
        assert_eq!(refused, Err(EpochRefusal::UnknownSession));
        assert_eq!((cache.len(), cache.partition_count), (0, 0));
        // Sessions that are not used make room, as many as it takes.
        for index in 0..3 {
            let one = request(0, 0, vec![partition(index, 0)]);
            assert!(cache.open(one, Instant(2)).expect("full").session.is_some());
        }
        let later = Instant(2) + EVICTION_IDLE_MIN;
        assert!(cache.open(request(0, 0, three()), later).expect("full").session.is_some());
        assert_eq!((cache.len(), cache.partition_count), (1, 3));
    }

    #[test]
    fn what_is_forgotten_or_closed_makes_room() {
        let mut cache = SessionCache::new(ShardId(0), 10, 2);
        let two = vec![partition(0, 0), partition(1, 0)];
        let id = cache.open(request(0, 0, two), Instant(0)).expect("full").session.expect("room");
        let mut next = request(id.0, 1, vec![]);
        next.forgotten.push((FetchTopic::Name("t".into()), PartitionId(0)));
        cache.open(next, Instant(0)).expect("next epoch");
        assert_eq!(cache.partition_count, 1);
        cache.open(request(id.0, -1, vec![]), Instant(0)).expect("final");
        assert_eq!((cache.len(), cache.partition_count), (0, 0));
    }

    #[test]
    fn names_and_ids_do_not_mix_in_one_session() {
        let mut cache = SessionCache::new(ShardId(0), 1, 100);
        let id = cache.open(request(0, 0, vec![partition(0, 5)]), Instant(0)).expect("full");
        let mut next = request(id.session.expect("slot").0, 1, vec![]);
        next.uses_topic_ids = true;
        assert_eq!(cache.open(next, Instant(0)), Err(EpochRefusal::TopicIdMismatch));
    }
}
