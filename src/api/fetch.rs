//! Fetch (key 1), versions 4 to 18.
//!
//! - 4: isolation level. 5: log start offset. 7: incremental sessions (KIP-227). 9: leader epochs
//!   (KIP-320). 11: rack. 12: flexible, diverging epochs (KIP-595). 13: topic ids (KIP-516).
//! - 15 to 17: replica state, node endpoints, directory ids: fields of followers, ignored here.
//!   18: high watermark of a follower, likewise.
//!
//! An answer leaves when there are `min_bytes`, or an error, or the wait is over. The bytes of
//! records are never copied into the reply: it carries holes that the shell fills.
//!
//! Not here: followers (replica id other than a consumer's) are refused, since there is one
//! broker; aborted transactions are always none, since there are no transactions.

use std::time::Duration;

use crate::fetch::{
    EpochRefusal, FetchTopic, SessionCache, SessionId, SessionPartition, SessionRequest,
};
use crate::ids::{LeaderEpoch, Offset, PartitionId, ShardId, TopicId, TopicPartition};
use crate::stdx::few::Few;
use crate::time::Instant;
use crate::wire::array::Array;
use crate::wire::error_code::ErrorCode;
use crate::wire::fetch::{
    EpochEndOffset, FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData,
};
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;
use crate::wire::value::Records;

use super::asked::Asked;
use super::reply::Reply;
use super::work::{Answer, Answers, FetchItem, Fetched, PartitionRefusal, Question};
use super::{Context, Next, Pending, partition_error, question_to};

/// A consumer's wait is never longer than this, whatever it asks for; it asks again.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// The isolation level of consumers that see nothing of aborted transactions.
const READ_COMMITTED: i8 = 1;

/// A Fetch request that reads, or waits for more to read.
#[derive(Debug)]
pub struct Fetch {
    asked: Asked,
    session: Option<SessionId>,
    incremental: bool,
    read_committed: bool,
    bytes_min: usize,
    bytes_max: usize,
    deadline: Instant,
    partitions: Few<Wanted>,
    missing: usize,
    /// The wait is over: the round under way is the last.
    last_round: bool,
}

#[derive(Debug)]
struct Wanted {
    partition: SessionPartition,
    state: State,
    /// The reply speaks of it.
    told: bool,
}

#[derive(Debug)]
enum State {
    Refused(ErrorCode),
    Known { at: TopicPartition, result: Option<Result<Fetched, PartitionRefusal>> },
}

/// Begins a request.
pub(super) fn begin(
    asked: Asked,
    body: &[u8],
    context: &Context<'_>,
    sessions: &mut SessionCache,
) -> Result<Next, DecodeError> {
    let request = FetchRequest::decode_from(body, asked.version)?;
    let replica_id =
        if asked.version >= 15 { request.replica_state.replica_id } else { request.replica_id };
    if replica_id >= 0 {
        // Only a broker of the cluster may read as a follower; there is no other broker.
        return Ok(Next::Reply(refuse(asked, ErrorCode::NOT_LEADER_OR_FOLLOWER)));
    }
    let opened = sessions.open(session_request(asked, &request), context.now.instant);
    let opened = match opened {
        Ok(opened) => opened,
        Err(refusal) => {
            let error = match refusal {
                EpochRefusal::UnknownSession => ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
                EpochRefusal::WrongEpoch => ErrorCode::INVALID_FETCH_SESSION_EPOCH,
                EpochRefusal::TopicIdMismatch => ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR,
            };
            return Ok(Next::Reply(refuse(asked, error)));
        }
    };
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let mut fetch = Fetch {
        asked,
        session: opened.session,
        incremental: opened.incremental,
        read_committed: request.isolation_level == READ_COMMITTED,
        bytes_min: usize::try_from(request.min_bytes).unwrap_or(0),
        bytes_max: usize::try_from(request.max_bytes).unwrap_or(0).min(context.fetch_bytes_max),
        deadline: context.now.instant + wait.min(WAIT_MAX),
        partitions: opened
            .partitions
            .into_iter()
            .map(|partition| Wanted { state: find(&partition, context), partition, told: false })
            .collect(),
        missing: 0,
        last_round: wait.is_zero(),
    };
    match fetch.ask(context.shard_count) {
        Some(questions) => {
            Ok(Next::Ask { pending: Pending::Fetch(fetch), questions, silent: false })
        }
        None => Ok(Next::Reply(fetch.respond(sessions))),
    }
}

fn refuse(asked: Asked, error: ErrorCode) -> Reply {
    asked.reply(&FetchResponse { error_code: error.code(), ..Default::default() })
}

fn session_request(asked: Asked, request: &FetchRequest<'_>) -> SessionRequest {
    let uses_topic_ids = asked.version >= 13;
    let name = |topic: &str, id: [u8; 16]| {
        if uses_topic_ids { FetchTopic::Id(TopicId(id)) } else { FetchTopic::Name(topic.into()) }
    };
    let mut partitions = Few::new();
    for topic in request.topics.iter() {
        let named = name(topic.topic, topic.topic_id);
        partitions.reserve(topic.partitions.len());
        for wanted in topic.partitions.iter() {
            partitions.push(SessionPartition {
                topic: named.clone(),
                partition: PartitionId(wanted.partition),
                offset: Offset(wanted.fetch_offset),
                bytes_max: usize::try_from(wanted.partition_max_bytes).unwrap_or(0),
                current_leader_epoch: epoch(wanted.current_leader_epoch),
                last_fetched_epoch: epoch(wanted.last_fetched_epoch),
                told_high_watermark: None,
                told_log_start: None,
                told_error: false,
            });
        }
    }
    let mut forgotten = Vec::new();
    for topic in request.forgotten_topics_data.iter() {
        let named = name(topic.topic, topic.topic_id);
        let indexes = topic.partitions.iter();
        forgotten.extend(indexes.map(|index| (named.clone(), PartitionId(index))));
    }
    // Before v7 there are no sessions, and the fields have the values that say so.
    SessionRequest {
        session_id: request.session_id,
        epoch: request.session_epoch,
        uses_topic_ids,
        partitions,
        forgotten,
    }
}

fn epoch(raw: i32) -> Option<LeaderEpoch> {
    (raw >= 0).then_some(LeaderEpoch(raw))
}

fn find(partition: &SessionPartition, context: &Context<'_>) -> State {
    let (topic, unknown) = match &partition.topic {
        FetchTopic::Name(name) => {
            (context.image.topic(name), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
        }
        FetchTopic::Id(id) => (context.image.topic_by_id(*id), ErrorCode::UNKNOWN_TOPIC_ID),
    };
    match topic {
        None => State::Refused(unknown),
        Some(topic) if topic.partition(partition.partition).is_none() => {
            State::Refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
        }
        Some(topic) => State::Known {
            at: TopicPartition { topic: topic.id, partition: partition.partition },
            result: None,
        },
    }
}

impl Fetch {
    /// The questions of one round of reading; `None` when there is nobody to ask.
    fn ask(&mut self, shard_count: u16) -> Option<Few<(ShardId, Question)>> {
        self.missing = 0;
        let (bytes_max, count) = (self.bytes_max, self.partitions.len());
        let mut questions = Few::new();
        for (index, wanted) in (0..).zip(&mut self.partitions) {
            let State::Known { at, result } = &mut wanted.state else { continue };
            *result = None;
            self.missing += 1;
            let question = question_to(&mut questions, at.shard(shard_count), || {
                let items = Few::with_capacity(count.div_ceil(usize::from(shard_count)));
                Question::Fetch { bytes_max, items }
            });
            let Question::Fetch { items, .. } = question else { panic!("all are of one kind") };
            items.push(FetchItem {
                index,
                at: *at,
                offset: wanted.partition.offset,
                bytes_max: wanted.partition.bytes_max,
                current_leader_epoch: wanted.partition.current_leader_epoch,
                last_fetched_epoch: wanted.partition.last_fetched_epoch,
            });
        }
        (self.missing > 0).then_some(questions)
    }

    /// Takes answers in; what follows once the round is complete.
    pub fn on_answers(
        &mut self,
        answers: Answers,
        sessions: &mut SessionCache,
        now: Instant,
    ) -> Option<Next> {
        for (index, answer) in answers {
            let Answer::Fetched(answer) = answer else { panic!("not an answer to Fetch") };
            let wanted = self.partitions.get_mut(index as usize);
            match wanted.map(|wanted| &mut wanted.state) {
                Some(State::Known { result, .. }) if result.is_none() => *result = Some(answer),
                _ => panic!("one item has one answer"),
            }
            self.missing -= 1;
        }
        if self.missing > 0 {
            return None;
        }
        let missing = self.missing_bytes();
        if self.last_round || now >= self.deadline || missing == 0 {
            return Some(Next::Reply(self.respond(sessions)));
        }
        let watched = self.partitions.iter().filter_map(|wanted| match &wanted.state {
            State::Known { at, result: Some(Ok(fetched)) } => Some((*at, fetched.high_watermark)),
            _ => None,
        });
        let partitions: Few<_> = watched.collect();
        // As many bytes as are missing cannot come without one of the partitions getting its share.
        let bytes = missing.div_ceil(partitions.len().max(1));
        Some(Next::Watch { partitions, bytes, deadline: self.deadline })
    }

    /// Something moved, or the wait is over: reads again.
    pub fn read_again(&mut self, shard_count: u16, now: Instant) -> Few<(ShardId, Question)> {
        self.last_round = now >= self.deadline;
        self.ask(shard_count).unwrap_or_default()
    }

    /// A round is under way; a wake is answered by the round after it.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.missing > 0
    }

    /// How many partitions a round reads.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    /// What has to come before the answer is worth giving; nothing if it is.
    fn missing_bytes(&self) -> usize {
        let mut size = 0;
        for wanted in &self.partitions {
            match &wanted.state {
                State::Refused(_) if !wanted.partition.told_error => return 0,
                State::Known { result: Some(Err(_)), .. } => return 0,
                State::Known { result: Some(Ok(fetched)), .. } => {
                    if fetched.diverging.is_some() {
                        return 0;
                    }
                    size += fetched.size;
                }
                _ => {}
            }
        }
        self.bytes_min.saturating_sub(size)
    }

    fn respond(&mut self, sessions: &mut SessionCache) -> Reply {
        let has_data = |wanted: &&Wanted| matches!(&wanted.state, State::Known { result: Some(Ok(f)), .. } if f.size > 0);
        let with_data = self.partitions.iter().filter(has_data).count();
        // Of all topics, in one list that those lend from.
        let mut told_data = Few::with_capacity(with_data);
        let (mut fillings, mut filled) = (Few::with_capacity(with_data), 0);
        let mut budget = self.bytes_max;
        let mut fed = false;
        for wanted in &mut self.partitions {
            let partition = &wanted.partition;
            let mut data = PartitionData {
                partition_index: partition.partition.0,
                high_watermark: -1,
                last_stable_offset: -1,
                log_start_offset: -1,
                preferred_read_replica: -1,
                records: Records::Bytes(&[]),
                ..Default::default()
            };
            let mut size = 0;
            let mut told = Err(());
            match &mut wanted.state {
                State::Refused(error) => {
                    data.error_code = error.code();
                    data.aborted_transactions = Some(Array::default());
                }
                State::Known { result: Some(Err(refusal)), .. } => {
                    data.error_code = partition_error(refusal).code();
                }
                State::Known { result: Some(Ok(fetched)), .. } => {
                    data.high_watermark = fetched.high_watermark.0;
                    data.last_stable_offset = fetched.high_watermark.0;
                    data.log_start_offset = fetched.log_start.0;
                    if let Some((epoch, end)) = fetched.diverging {
                        data.diverging_epoch = EpochEndOffset { epoch: epoch.0, end_offset: end.0 };
                    }
                    told = Ok((fetched.high_watermark, fetched.log_start));
                    data.aborted_transactions = self.read_committed.then(Array::default);
                    // Owners each kept to the whole budget, and each may have given one batch that
                    // is larger than any limit; together that is too much.
                    if fetched.size <= budget.min(partition.bytes_max) || !fed {
                        budget = budget.saturating_sub(fetched.size);
                        size = fetched.size;
                    }
                }
                State::Known { result: None, .. } => panic!("the round is complete"),
            }
            fed |= size > 0;
            let changed = size > 0
                || data.error_code != ErrorCode::NONE.code()
                || partition.told_error
                || data.diverging_epoch != EpochEndOffset::default()
                || told.is_ok_and(|(high_watermark, log_start)| {
                    partition.told_high_watermark != Some(high_watermark)
                        || partition.told_log_start != Some(log_start)
                });
            if let Some(session) = self.session {
                sessions.told(session, &partition.topic, partition.partition, told, size > 0);
            }
            wanted.told = changed || !self.incremental;
            if !wanted.told {
                continue;
            }
            // Kafka never sends null records, and some clients do not take them.
            if size > 0
                && let State::Known { result: Some(Ok(fetched)), .. } = &mut wanted.state
            {
                data.records = Records::Hole(size);
                filled += size;
                fillings.push(std::mem::take(&mut fetched.records));
            }
            told_data.push(data);
        }
        let mut responses: Few<FetchableTopicResponse<'_>> = Few::new();
        let (mut last, mut start) = (None, 0);
        let told = self.partitions.iter().filter(|wanted| wanted.told);
        for (end, wanted) in (1..).zip(told) {
            let topic = &wanted.partition.topic;
            if last.replace(topic) != Some(topic) {
                start = end - 1;
                let (name, id) = match topic {
                    FetchTopic::Name(name) => (&**name, TopicId::ZERO),
                    FetchTopic::Id(id) => ("", *id),
                };
                let partitions = Array::default();
                responses.push(FetchableTopicResponse { topic: name, topic_id: id.0, partitions });
            }
            if let (Some(topic), Some(data)) = (responses.last_mut(), told_data.get(start..end)) {
                topic.partitions = data.into();
            }
        }
        let response = FetchResponse {
            session_id: self.session.map_or(0, |session| session.0),
            responses: responses.as_slice().into(),
            ..Default::default()
        };
        self.asked.reply_with(&response, filled, fillings)
    }
}
