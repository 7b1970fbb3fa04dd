//! Produce (key 0), versions 3 to 13; 0 to 2 are advertised and refused, because older librdkafka
//! picks its record format from that range (KAFKA-18659).
//!
//! - 3: one record batch v2 per partition. 5: log start offset in the reply. 7: zstd (KIP-110).
//! - 8: record errors and message (KIP-467). 9: flexible. 10: current leader (KIP-951).
//! - 12: transactions v2 (KIP-890). 13: topic ids (KIP-516).
//!
//! Each partition answers for itself. acks=0 gets no reply; an error closes the connection, which
//! is all that such a producer can be told.
//!
//! Not here: transactions. A transactional batch is refused with INVALID_TXN_STATE.

use std::collections::BTreeMap;

use bytes::{Buf, BytesMut};

use crate::batch::{BatchError, BatchHeader, Compression};
use crate::ids::{PartitionId, ShardId, TopicId, TopicPartition};
use crate::producer;
use crate::wire::array::Array;
use crate::wire::error_code::ErrorCode;
use crate::wire::message::Message;
use crate::wire::primitive::{DecodeError, range_in};
use crate::wire::produce::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, ProduceRequest, ProduceResponse,
    TopicProduceResponse,
};

use super::asked::Asked;
use super::reply::Reply;
use super::work::{Acks, Answer, ProduceItem, ProduceRefusal, Produced, Question};
use super::{Context, Next, Pending, partition_error};

/// A Produce request whose batches are on their way to durability.
#[derive(Debug)]
pub struct Produce {
    asked: Asked,
    acks: Acks,
    topics: Vec<Topic>,
    results: Vec<Option<PartitionResult>>,
    missing: usize,
}

#[derive(Debug)]
struct Topic {
    name: Box<str>,
    id: TopicId,
    partitions: Vec<i32>,
}

#[derive(Debug)]
struct PartitionResult {
    error: ErrorCode,
    produced: Option<Produced>,
    message: Option<String>,
    /// Those at fault, by their index in the batch.
    records: Vec<i32>,
}

impl PartitionResult {
    fn refused(error: ErrorCode) -> PartitionResult {
        PartitionResult { error, produced: None, message: None, records: Vec::new() }
    }
}

/// Begins a request; its body starts at `body_at` of the frame.
pub(super) fn begin(
    asked: Asked,
    mut frame: BytesMut,
    body_at: usize,
    context: &Context<'_>,
) -> Result<Next, DecodeError> {
    let mut produce =
        Produce { asked, acks: Acks::None, topics: Vec::new(), results: Vec::new(), missing: 0 };
    // Where each accepted batch lies in the frame, in the order of the frame.
    let mut accepted = Vec::new();
    {
        let body = frame.get(body_at..).unwrap_or_default();
        let request = ProduceRequest::decode_from(body, asked.version)?;
        let refusal = match request.acks {
            0 => None,
            1 => {
                produce.acks = Acks::Leader;
                None
            }
            -1 => {
                produce.acks = Acks::All;
                None
            }
            _ => {
                produce.acks = Acks::Leader;
                Some(ErrorCode::INVALID_REQUIRED_ACKS)
            }
        };
        for topic_data in request.topic_data.iter() {
            let known = if asked.version >= 13 {
                context.image.topic_by_id(TopicId(topic_data.topic_id))
            } else {
                context.image.topic(topic_data.name)
            };
            let mut topic = Topic {
                name: topic_data.name.into(),
                id: TopicId(topic_data.topic_id),
                partitions: Vec::with_capacity(topic_data.partition_data.len()),
            };
            for data in topic_data.partition_data.iter() {
                topic.partitions.push(data.index);
                let partition = PartitionId(data.index);
                let unknown = if known.is_none() && asked.version >= 13 {
                    ErrorCode::UNKNOWN_TOPIC_ID
                } else {
                    ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
                };
                let known = known.filter(|topic| topic.partition(partition).is_some());
                let place = data.records.and_then(|records| range_in(&frame, records));
                let zstd = data.records.is_some_and(is_zstd);
                let error = match (refusal, known, place) {
                    (Some(refusal), ..) => refusal,
                    (_, None, _) => unknown,
                    (_, _, None) => ErrorCode::INVALID_RECORD,
                    // The coordinators' own.
                    (_, Some(topic), _) if topic.internal => ErrorCode::INVALID_TOPIC_EXCEPTION,
                    // A client of that time could not read it back.
                    _ if zstd && asked.version < 7 => ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
                    (_, Some(known), Some(place)) => {
                        let at = TopicPartition { topic: known.id, partition };
                        accepted.push((produce.results.len(), at, place));
                        produce.results.push(None);
                        continue;
                    }
                };
                produce.results.push(Some(PartitionResult::refused(error)));
            }
            produce.topics.push(topic);
        }
    }
    produce.missing = accepted.len();
    if accepted.is_empty() {
        return Ok(produce.finish());
    }
    let mut items: BTreeMap<ShardId, Vec<ProduceItem>> = BTreeMap::new();
    let mut taken = 0;
    // A batch stays in memory until its partition's segment has it, and a piece of a frame keeps
    // the whole frame. So only a batch that is most of its frame is taken as it is; what shares a
    // frame with others is copied out.
    let (frame_bytes, alone) = (frame.len(), accepted.len() == 1);
    for (index, at, place) in accepted {
        frame.advance(place.start - taken);
        let piece = frame.split_to(place.len());
        let whole = alone && piece.len() >= frame_bytes / 2;
        let batch = if whole { piece } else { BytesMut::from(&piece[..]) };
        taken = place.end;
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let shard = at.shard(context.shard_count);
        items.entry(shard).or_default().push(ProduceItem { index, at, batch });
    }
    let acks = produce.acks;
    let questions = items
        .into_iter()
        .map(|(shard, items)| (shard, Question::Produce { acks, items }))
        .collect();
    let silent = acks == Acks::None;
    Ok(Next::Ask { pending: Pending::Produce(produce), questions, silent })
}

/// Whether a batch says that it is compressed with zstd.
fn is_zstd(batch: &[u8]) -> bool {
    BatchHeader::parse(batch)
        .and_then(|header| header.compression())
        .is_ok_and(|compression| compression == Compression::Zstd)
}

impl Produce {
    /// Takes answers in; the reply once all are there.
    pub fn on_answers(&mut self, answers: Vec<(u32, Answer)>) -> Option<Next> {
        for (index, answer) in answers {
            let Answer::Produced(result) = answer else { panic!("not an answer to Produce") };
            let result = match result {
                Ok(produced) => PartitionResult {
                    error: ErrorCode::NONE,
                    produced: Some(produced),
                    message: None,
                    records: Vec::new(),
                },
                Err(refusal) => refused(&refusal),
            };
            let slot = self.results.get_mut(index as usize);
            let slot = slot.expect("answers carry the index of their item");
            assert!(slot.is_none(), "one item has one answer");
            *slot = Some(result);
            self.missing -= 1;
        }
        (self.missing == 0).then(|| self.finish())
    }

    fn finish(&mut self) -> Next {
        if self.acks == Acks::None {
            let failed =
                self.results.iter().flatten().find(|result| result.error != ErrorCode::NONE);
            return match failed {
                Some(result) => Next::Close(format!("acks=0 batch refused: {}", result.error)),
                None => Next::Nothing,
            };
        }
        Next::Reply(self.reply())
    }

    fn reply(&self) -> Reply {
        let mut results = self.results.iter().flatten();
        let responses: Vec<_> = self
            .topics
            .iter()
            // As from Kafka, a topic without partitions is not answered.
            .filter(|topic| !topic.partitions.is_empty())
            .map(|topic| {
                let partitions: Vec<_> = topic
                    .partitions
                    .iter()
                    .zip(results.by_ref())
                    .map(|(index, result)| partition_response(*index, result))
                    .collect();
                TopicProduceResponse {
                    name: &topic.name,
                    topic_id: topic.id.0,
                    partition_responses: partitions.into(),
                }
            })
            .collect();
        let response = ProduceResponse { responses: responses.into(), ..Default::default() };
        self.asked.reply(&response)
    }
}

fn partition_response(index: i32, result: &PartitionResult) -> PartitionProduceResponse<'_> {
    let record_errors: Vec<_> = result
        .records
        .iter()
        .map(|record| BatchIndexAndErrorMessage {
            batch_index: *record,
            batch_index_error_message: result.message.as_deref(),
        })
        .collect();
    PartitionProduceResponse {
        index,
        error_code: result.error.code(),
        base_offset: result.produced.map_or(-1, |produced| produced.base_offset.0),
        log_append_time_ms: result
            .produced
            .and_then(|produced| produced.append_time)
            .map_or(-1, |time| time.0),
        log_start_offset: result.produced.map_or(-1, |produced| produced.log_start.0),
        record_errors: Array::from(record_errors),
        error_message: result.message.as_deref(),
        ..Default::default()
    }
}

/// What a producer is told. Never UNKNOWN_SERVER_ERROR: Java clients retry that with new sequences
/// and may write the batch twice (KAFKA-14034).
fn refused(refusal: &ProduceRefusal) -> PartitionResult {
    let (error, message, records) = match refusal {
        ProduceRefusal::Keyless(records) => (
            ErrorCode::INVALID_RECORD,
            Some("Compacted topic cannot accept message without key.".to_owned()),
            records.clone(),
        ),
        ProduceRefusal::Partition(refusal) => (partition_error(refusal), None, Vec::new()),
        ProduceRefusal::Batch(error) => (
            batch_error(error),
            Some(error.to_string()),
            error.record_index().into_iter().collect(),
        ),
        ProduceRefusal::TooLarge { size, size_max } => (
            ErrorCode::MESSAGE_TOO_LARGE,
            Some(format!(
                "The record batch size is {size} bytes, which exceeds the maximum configured value of {size_max}."
            )),
            Vec::new(),
        ),
        ProduceRefusal::Timestamp { timestamp } => (
            ErrorCode::INVALID_TIMESTAMP,
            Some(format!("Timestamp {timestamp} of a record is too far from the broker's clock.")),
            Vec::new(),
        ),
        ProduceRefusal::Producer(refusal) => (producer_error(refusal), None, Vec::new()),
        ProduceRefusal::NotEnoughReplicas => (ErrorCode::NOT_ENOUGH_REPLICAS, None, Vec::new()),
        ProduceRefusal::NotAllowed => (ErrorCode::INVALID_TXN_STATE, None, Vec::new()),
        ProduceRefusal::Storage => (ErrorCode::KAFKA_STORAGE_ERROR, None, Vec::new()),
        // Every client tries again.
        ProduceRefusal::Busy => (ErrorCode::REQUEST_TIMED_OUT, None, Vec::new()),
    };
    PartitionResult { error, produced: None, message, records }
}

fn batch_error(error: &BatchError) -> ErrorCode {
    use crate::batch::Refusal;
    match error.refusal() {
        Refusal::CorruptMessage => ErrorCode::CORRUPT_MESSAGE,
        Refusal::InvalidRecord => ErrorCode::INVALID_RECORD,
        Refusal::InvalidTimestamp => ErrorCode::INVALID_TIMESTAMP,
        Refusal::UnsupportedCompressionType => ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
    }
}

fn producer_error(refusal: &producer::Refusal) -> ErrorCode {
    use crate::producer::Refusal;
    match refusal {
        Refusal::OutOfOrderSequence { .. } => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
        Refusal::InvalidProducerEpoch { .. } => ErrorCode::INVALID_PRODUCER_EPOCH,
    }
}
