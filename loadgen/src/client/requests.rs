//! Requests and replies of the few APIs a load generator needs, in every version from the lowest
//! that a supported broker speaks to the highest known here.
//!
//! `Produce` is written in pieces: what differs from one request to the next is small and comes
//! first, and the records of a batch are shared by every request that carries them.

use bytes::Bytes;

use super::codec::{Decoder, Encoder};
use super::errors::ErrorCode;
use crate::batch::{BatchHead, Body};
use crate::failure::Failure;

/// Name under which the generator appears in a broker's logs and quotas.
pub(crate) const CLIENT_ID: &str = "ringload";

/// One API and the versions of it that this module can speak.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Api {
    pub(crate) key: i16,
    pub(crate) name: &'static str,
    pub(crate) lowest: i16,
    pub(crate) highest: i16,
    pub(crate) flexible_from: i16,
}

impl Api {
    const fn new(
        key: i16,
        name: &'static str,
        lowest: i16,
        highest: i16,
        flexible_from: i16,
    ) -> Api {
        Api { key, name, lowest, highest, flexible_from }
    }

    pub(crate) fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible_from
    }
}

pub(crate) const PRODUCE: Api = Api::new(0, "Produce", 3, 13, 9);
pub(crate) const FETCH: Api = Api::new(1, "Fetch", 4, 17, 12);
pub(crate) const LIST_OFFSETS: Api = Api::new(2, "ListOffsets", 1, 9, 6);
pub(crate) const METADATA: Api = Api::new(3, "Metadata", 4, 13, 9);
pub(crate) const API_VERSIONS: Api = Api::new(18, "ApiVersions", 0, 3, 3);
pub(crate) const CREATE_TOPICS: Api = Api::new(19, "CreateTopics", 2, 7, 5);
pub(crate) const INIT_PRODUCER_ID: Api = Api::new(22, "InitProducerId", 0, 4, 2);

/// Every API above, for servers that advertise them.
pub(crate) const ALL: [Api; 7] =
    [PRODUCE, FETCH, LIST_OFFSETS, METADATA, API_VERSIONS, CREATE_TOPICS, INIT_PRODUCER_ID];

/// From which Produce and Fetch version on a topic is named by id (KIP-516).
pub(crate) const TOPIC_IDS_FROM: i16 = 13;

/// A topic as requests name it.
#[derive(Debug, Clone, Default)]
pub(crate) struct TopicName {
    pub(crate) name: String,
    pub(crate) id: [u8; 16],
}

impl TopicName {
    fn encode(&self, version: i16, encoder: &mut Encoder) {
        if version >= TOPIC_IDS_FROM {
            encoder.uuid(&self.id);
        } else {
            encoder.string(&self.name);
        }
    }
}

fn skip_topic(version: i16, decoder: &mut Decoder<'_>) -> Result<(), Failure> {
    if version >= TOPIC_IDS_FROM {
        decoder.uuid().map(|_| ())
    } else {
        decoder.string().map(|_| ())
    }
}

/// Starts a request frame: length placeholder and header.
pub(crate) fn begin(api: &Api, version: i16, correlation_id: i32, bytes: Vec<u8>) -> Encoder {
    let mut header = Encoder::new(bytes, false);
    header.i32(0);
    header.i16(api.key);
    header.i16(version);
    header.i32(correlation_id);
    header.nullable_string(Some(CLIENT_ID));
    let mut encoder = Encoder::new(header.bytes, api.is_flexible(version));
    encoder.tags();
    encoder
}

/// Writes the length of a finished frame of which `bytes` holds all but `outside` bytes.
pub(crate) fn finish(bytes: &mut [u8], outside: usize) {
    let length = (bytes.len() - 4 + outside) as u32;
    if let Some(head) = bytes.first_chunk_mut::<4>() {
        *head = length.to_be_bytes();
    }
}

/// Starts reading a reply: its correlation id and its body.
pub(crate) fn reply<'a>(
    api: &Api,
    version: i16,
    frame: &'a [u8],
) -> Result<(i32, Decoder<'a>), Failure> {
    // The reply to ApiVersions keeps the old header in every version, so that a client that was
    // refused its version can still read it.
    let flexible_header = api.is_flexible(version) && api.key != API_VERSIONS.key;
    let mut header = Decoder::new(frame, flexible_header);
    let correlation_id = header.i32()?;
    header.tags()?;
    let at = header.take(0)?.as_ptr() as usize - frame.as_ptr() as usize;
    let body = frame.get(at..).unwrap_or_default();
    Ok((correlation_id, Decoder::new(body, api.is_flexible(version))))
}

/// What all Produce requests of a run have in common.
#[derive(Debug, Clone)]
pub(crate) struct ProduceShape {
    pub(crate) version: i16,
    pub(crate) acks: i16,
    pub(crate) timeout_ms: i32,
    pub(crate) topic: TopicName,
}

/// Batches with fewer bytes than this are copied into their request: one buffer is then cheaper to
/// hand to the kernel than two.
const INLINE_BYTES_MAX: usize = 4096;

impl ProduceShape {
    /// Encodes one request; its bytes go to `emit` piece by piece. Returns the number of bytes.
    pub(crate) fn encode(
        &self,
        correlation_id: i32,
        batches: &[(i32, BatchHead, &Body)],
        mut emit: impl FnMut(Bytes),
    ) -> usize {
        let inline: usize =
            batches.iter().map(|(_, _, body)| body.inline_bytes(INLINE_BYTES_MAX)).sum();
        let scratch = Vec::with_capacity(128 + self.topic.name.len() + batches.len() * 80 + inline);
        let mut encoder = begin(&PRODUCE, self.version, correlation_id, scratch);
        encoder.nullable_string(None);
        encoder.i16(self.acks);
        encoder.i32(self.timeout_ms);
        encoder.array(1);
        self.topic.encode(self.version, &mut encoder);
        encoder.array(batches.len());
        let mut outside = 0;
        let mut cuts = Vec::new();
        for (partition, head, body) in batches {
            encoder.i32(*partition);
            encoder.bytes_length(body.batch_bytes());
            head.encode(body, &mut encoder.bytes);
            if body.records.len() <= INLINE_BYTES_MAX {
                encoder.bytes.extend_from_slice(&body.records);
            } else {
                outside += body.records.len();
                cuts.push((encoder.bytes.len(), body.records.clone()));
            }
            encoder.tags();
        }
        encoder.tags();
        encoder.tags();
        let mut scratch = encoder.bytes;
        finish(&mut scratch, outside);
        let total = scratch.len() + outside;
        let mut rest = Bytes::from(scratch);
        let mut done = 0;
        for (cut, records) in cuts {
            emit(rest.split_to(cut - done));
            emit(records);
            done = cut;
        }
        emit(rest);
        total
    }

    /// Reads a reply; `on_partition` gets index, error code and base offset of each partition.
    pub(crate) fn decode(
        &self,
        frame: &[u8],
        mut on_partition: impl FnMut(i32, ErrorCode, i64),
    ) -> Result<i32, Failure> {
        let (correlation_id, mut body) = reply(&PRODUCE, self.version, frame)?;
        for _ in 0..body.array()? {
            skip_topic(self.version, &mut body)?;
            for _ in 0..body.array()? {
                let partition = body.i32()?;
                let code = ErrorCode(body.i16()?);
                let base_offset = body.i64()?;
                body.i64()?; // log append time
                if self.version >= 5 {
                    body.i64()?; // log start offset
                }
                if self.version >= 8 {
                    for _ in 0..body.array()? {
                        body.i32()?;
                        body.nullable_string()?;
                        body.tags()?;
                    }
                    body.nullable_string()?;
                }
                body.tags()?;
                on_partition(partition, code, base_offset);
            }
            body.tags()?;
        }
        Ok(correlation_id)
    }
}

/// What all Fetch requests of a run have in common.
#[derive(Debug, Clone)]
pub(crate) struct FetchShape {
    pub(crate) version: i16,
    pub(crate) wait_ms_max: i32,
    pub(crate) bytes_min: i32,
    pub(crate) bytes_max: i32,
    pub(crate) partition_bytes_max: i32,
    pub(crate) topic: TopicName,
}

/// One partition of a Fetch reply.
#[derive(Debug)]
pub(crate) struct FetchedPartition<'a> {
    pub(crate) partition: i32,
    pub(crate) code: ErrorCode,
    pub(crate) high_watermark: i64,
    pub(crate) records: &'a [u8],
}

impl FetchShape {
    /// Encodes one request for (partition, fetch offset) pairs, without a fetch session.
    pub(crate) fn encode(
        &self,
        correlation_id: i32,
        partitions: impl ExactSizeIterator<Item = (i32, i64)>,
    ) -> Bytes {
        let version = self.version;
        let scratch = Vec::with_capacity(128 + partitions.len() * 40);
        let mut encoder = begin(&FETCH, version, correlation_id, scratch);
        if version <= 14 {
            encoder.i32(-1); // replica id: a consumer
        }
        encoder.i32(self.wait_ms_max);
        encoder.i32(self.bytes_min);
        encoder.i32(self.bytes_max);
        encoder.i8(0); // read uncommitted
        if version >= 7 {
            encoder.i32(0);
            encoder.i32(-1); // a full fetch, no session wanted
        }
        encoder.array(1);
        self.topic.encode(version, &mut encoder);
        encoder.array(partitions.len());
        for (partition, fetch_offset) in partitions {
            encoder.i32(partition);
            if version >= 9 {
                encoder.i32(-1); // current leader epoch
            }
            encoder.i64(fetch_offset);
            if version >= 12 {
                encoder.i32(-1); // last fetched epoch
            }
            if version >= 5 {
                encoder.i64(-1); // log start offset: followers only
            }
            encoder.i32(self.partition_bytes_max);
            encoder.tags();
        }
        encoder.tags();
        if version >= 7 {
            encoder.array(0);
        }
        if version >= 11 {
            encoder.string("");
        }
        encoder.tags();
        finish(&mut encoder.bytes, 0);
        Bytes::from(encoder.bytes)
    }

    /// Reads a reply in place. A top-level error code is a failure.
    pub(crate) fn decode(
        &self,
        frame: &[u8],
        mut on_partition: impl FnMut(FetchedPartition<'_>) -> Result<(), Failure>,
    ) -> Result<i32, Failure> {
        let version = self.version;
        let (correlation_id, mut body) = reply(&FETCH, version, frame)?;
        body.i32()?; // throttle time
        if version >= 7 {
            let code = ErrorCode(body.i16()?);
            if code.is_error() {
                return Err(Failure::Refused { asked: "Fetch".to_owned(), code });
            }
            body.i32()?; // session id
        }
        for _ in 0..body.array()? {
            skip_topic(version, &mut body)?;
            for _ in 0..body.array()? {
                let partition = body.i32()?;
                let code = ErrorCode(body.i16()?);
                let high_watermark = body.i64()?;
                body.i64()?; // last stable offset
                if version >= 5 {
                    body.i64()?; // log start offset
                }
                for _ in 0..body.array()? {
                    body.i64()?;
                    body.i64()?;
                    body.tags()?;
                }
                if version >= 11 {
                    body.i32()?; // preferred read replica
                }
                let records = body.bytes()?;
                body.tags()?;
                on_partition(FetchedPartition { partition, code, high_watermark, records })?;
            }
            body.tags()?;
        }
        Ok(correlation_id)
    }
}
