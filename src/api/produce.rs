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

use bytes::{Buf, BytesMut};

use crate::batch::{BatchError, BatchHeader, Compression};
use crate::ids::{PartitionId, ShardId, TopicId, TopicPartition};
use crate::producer;
use crate::stdx::few::Few;
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
use super::work::{Acks, Answer, Answers, ProduceItem, ProduceRefusal, Produced, Question};
use super::{Context, Next, Pending, partition_error, question_to};

/// A Produce request whose batches are on their way to durability.
#[derive(Debug)]
pub struct Produce {
    asked: Asked,
    acks: Acks,
    topics: Few<Topic>,
    /// Of all topics, in the order of the request.
    partitions: Few<Partition>,
    missing: usize,
}

#[derive(Debug)]
struct Topic {
    name: Box<str>,
    id: TopicId,
    partition_count: usize,
}

#[derive(Debug)]
struct Partition {
    id: i32,
    result: Option<PartitionResult>,
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
    let (topics, partitions) = (Few::new(), Few::new());
    let mut produce = Produce { asked, acks: Acks::None, topics, partitions, missing: 0 };
    let mut questions = Few::new();
    // Whose item gets the frame, and where in it its batch lies.
    let mut whole = None;
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
        produce.topics.reserve(request.topic_data.len());
        for topic_data in request.topic_data.iter() {
            let known = if asked.version >= 13 {
                context.image.topic_by_id(TopicId(topic_data.topic_id))
            } else {
                context.image.topic(topic_data.name)
            };
            let partition_count = topic_data.partition_data.len();
            produce.topics.push(Topic {
                name: topic_data.name.into(),
                id: TopicId(topic_data.topic_id),
                partition_count,
            });
            produce.partitions.reserve(partition_count);
            for data in topic_data.partition_data.iter() {
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
                        produce.missing += 1;
                        let index = u32::try_from(produce.partitions.len()).unwrap_or(u32::MAX);
                        let at = TopicPartition { topic: known.id, partition };
                        let shard = at.shard(context.shard_count);
                        let share = partition_count.div_ceil(usize::from(context.shard_count));
                        let items = items_for(&mut questions, shard, produce.acks, share);
                        // A batch stays in memory until its partition's segment has it, and a piece
                        // of a frame keeps the whole frame. So only a batch that is most of its
                        // frame is taken as it is; others are copied out.
                        let batch = if place.len() > frame.len() / 2 {
                            whole = Some((shard, items.len(), place));
                            BytesMut::new()
                        } else {
                            BytesMut::from(data.records.unwrap_or_default())
                        };
                        items.push(ProduceItem { index, at, batch });
                        produce.partitions.push(Partition { id: data.index, result: None });
                        continue;
                    }
                };
                let result = Some(PartitionResult::refused(error));
                produce.partitions.push(Partition { id: data.index, result });
            }
        }
    }
    if produce.missing == 0 {
        return Ok(produce.finish());
    }
    if let Some((shard, item, place)) = whole {
        frame.advance(place.start);
        frame.truncate(place.len());
        if let Some(item) = items_for(&mut questions, shard, produce.acks, 0).get_mut(item) {
            item.batch = frame;
        }
    }
    let silent = produce.acks == Acks::None;
    Ok(Next::Ask { pending: Pending::Produce(produce), questions, silent })
}

/// The items of the question to a shard, with room for so many if it is new.
fn items_for(
    questions: &mut Few<(ShardId, Question)>,
    shard: ShardId,
    acks: Acks,
    room: usize,
) -> &mut Few<ProduceItem> {
    let new = || Question::Produce { acks, items: Few::with_capacity(room) };
    match question_to(questions, shard, new) {
        Question::Produce { items, .. } => items,
        _ => panic!("all questions are of one kind"),
    }
}

/// Whether a batch says that it is compressed with zstd.
fn is_zstd(batch: &[u8]) -> bool {
    BatchHeader::parse(batch)
        .and_then(|header| header.compression())
        .is_ok_and(|compression| compression == Compression::Zstd)
}

impl Produce {
    /// Takes answers in; the reply once all are there.
    pub fn on_answers(&mut self, answers: Answers) -> Option<Next> {
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
            let partition = self.partitions.get_mut(index as usize);
            let partition = partition.expect("answers carry the index of their item");
            assert!(partition.result.is_none(), "one item has one answer");
            partition.result = Some(result);
            self.missing -= 1;
        }
        (self.missing == 0).then(|| self.finish())
    }

    fn finish(&mut self) -> Next {
        if self.acks == Acks::None {
            let mut results = self.partitions.iter().filter_map(|p| p.result.as_ref());
            return match results.find(|result| result.error != ErrorCode::NONE) {
                Some(result) => Next::Close(format!("acks=0 batch refused: {}", result.error)),
                None => Next::Nothing,
            };
        }
        Next::Reply(self.reply())
    }

    fn reply(&self) -> Reply {
        let answered = self.partitions.iter().map(|partition| {
            let result = partition.result.as_ref().expect("nothing is missing");
            partition_response(partition.id, result)
        });
        // Of all topics, in one list that those lend from.
        let answered: Few<_> = answered.collect();
        let mut rest = answered.as_slice();
        // As from Kafka, a topic without partitions is not answered.
        let topics = self.topics.iter().filter(|topic| topic.partition_count > 0);
        let responses = topics.map(|topic| {
            let (partitions, behind) = rest.split_at(topic.partition_count);
            rest = behind;
            TopicProduceResponse {
                name: &topic.name,
                topic_id: topic.id.0,
                partition_responses: partitions.into(),
            }
        });
        let responses: Few<_> = responses.collect();
        let responses = responses.as_slice().into();
        let response = ProduceResponse { responses, ..Default::default() };
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

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::api::admin::scene::Scene;
    use crate::wire::api_key::ApiKey;
    use crate::wire::primitive::Writer;
    use crate::wire::produce::{PartitionProduceData, TopicProduceData};

    /// What becomes of batches of these sizes, each for a partition of its own: the bytes that the
    /// owners get, in the order of the request, and whether they are a piece of the frame. Each
    /// batch is filled with its place.
    fn taken(sizes: &[usize]) -> Vec<(Vec<u8>, bool)> {
        let scene = Scene::new(&[("t", sizes.len() as i32)]);
        let batches: Vec<Vec<u8>> =
            sizes.iter().zip(0..).map(|(size, place)| vec![place; *size]).collect();
        let partition_data = (0..).zip(&batches);
        let partition_data = partition_data
            .map(|(index, batch)| PartitionProduceData { index, records: Some(batch) })
            .collect();
        let topic = TopicProduceData { name: "t", partition_data, ..Default::default() };
        let request =
            ProduceRequest { acks: 1, topic_data: vec![topic].into(), ..Default::default() };
        let mut frame = BytesMut::new();
        request.encode(&mut Writer::new(&mut frame), 9);
        let lies: Range<*const u8> = frame.as_ptr_range();
        let asked = Asked { key: ApiKey::Produce, version: 9, correlation_id: 1 };
        let next = begin(asked, frame, 0, &scene.context()).unwrap();
        let Next::Ask { questions, silent: false, .. } = next else { panic!("{next:?}") };
        assert!(questions.is_sorted_by(|(a, _), (b, _)| a < b), "one question for each shard");
        let mut items = Vec::new();
        for (shard, question) in questions {
            let Question::Produce { acks: Acks::Leader, items: of_shard } = question else {
                panic!("{question:?}")
            };
            assert!(of_shard.iter().all(|item| item.at.shard(3) == shard));
            items.extend(of_shard);
        }
        items.sort_by_key(|item| item.index);
        let taken = |item: &ProduceItem| (item.batch.to_vec(), lies.contains(&item.batch.as_ptr()));
        items.iter().map(taken).collect()
    }

    #[test]
    fn only_a_batch_that_is_most_of_its_frame_is_taken_as_it_is() {
        let expected = |size: usize, place: u8, is_piece: bool| (vec![place; size], is_piece);
        assert_eq!(taken(&[500]), [expected(500, 0, true)]);
        // Smaller than what surrounds it.
        assert_eq!(taken(&[5]), [expected(5, 0, false)]);
        let level: Vec<_> = (0..9).map(|place| expected(500, place, false)).collect();
        assert_eq!(taken(&[500; 9]), level);
        for large in 0..4 {
            let mut sizes = [100; 4];
            sizes[large] = 1_000;
            let mixed: Vec<_> =
                (0..4).map(|place| expected(sizes[place], place as u8, place == large)).collect();
            assert_eq!(taken(&sizes), mixed);
        }
    }
}
