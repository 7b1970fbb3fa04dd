//! A consumer: reads all partitions of its topics from their start, with or without a fetch session,
//! by name or by id, with long polls.

use std::collections::BTreeMap;

use ringmain::batch::{BatchHeader, Records, check};
use ringmain::ids::{PartitionId, TopicId, TopicPartition};
use ringmain::limits::DECOMPRESSED_BYTES_MAX;
use ringmain::wire::error_code::ErrorCode;
use ringmain::wire::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic, PartitionData,
};
use ringmain::wire::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use ringmain::wire::value;

use super::client::{Desk, Link, LinkId, decode};
use super::history::{Event, FINAL};
use super::producer::{FILLER, decode_value};

const MILLISECOND: u64 = 1_000_000;
const EARLIEST: i64 = -2;
const LATEST: i64 = -1;

/// How one consumer behaves.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerOptions {
    pub(crate) id: u32,
    pub(crate) version: i16,
    pub(crate) session: bool,
    pub(crate) wait_ms_max: u64,
    pub(crate) bytes_min: i32,
    pub(crate) bytes_max: i32,
    pub(crate) partition_bytes_max: i32,
    pub(crate) pause_ms_max: u64,
    pub(crate) hang_up: u64,
}

#[derive(Debug)]
enum Asked {
    /// Offsets of these; the names of topics with deletable names are not asked for.
    Offsets(i64),
    Fetch,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// `None`: to be asked for.
    next: Option<i64>,
    /// In the session as it stands, from there.
    in_session: Option<i64>,
    /// Where it ends, once asked for (only by the one that reads all at the end).
    end: Option<i64>,
}

/// See the module.
pub(crate) struct Consumer {
    options: ConsumerOptions,
    link: Link<Asked>,
    places: BTreeMap<TopicPartition, Place>,
    session: (i32, i32),
    /// Partitions that left, and are still in the session.
    leaving: Vec<TopicPartition>,
    /// Fetches in a row that brought nothing.
    pub(crate) idle: u32,
}

impl Consumer {
    pub(crate) fn new(options: ConsumerOptions) -> Consumer {
        Consumer {
            options,
            link: Link::new(),
            places: BTreeMap::new(),
            session: (0, 0),
            leaving: Vec::new(),
            idle: 0,
        }
    }

    pub(crate) fn owns(&self, link: LinkId) -> bool {
        self.link.is(link)
    }

    /// True when every partition was read to the end that was asked for.
    pub(crate) fn is_drained(&self) -> bool {
        !self.places.is_empty()
            && self.places.values().all(|place| match (place.next, place.end) {
                (Some(next), Some(end)) => end <= next,
                _ => false,
            })
    }

    /// Where it stands, for a report.
    pub(crate) fn standing(&self) -> String {
        format!("{:?} pending {}", self.places, self.link.pending_count())
    }

    fn is_final(&self) -> bool {
        self.options.id == FINAL
    }

    fn reset_session(&mut self) {
        self.session = (0, 0);
        self.leaving.clear();
        for place in self.places.values_mut() {
            place.in_session = None;
        }
    }

    pub(crate) fn on_closed(&mut self) {
        drop(self.link.closed());
        self.reset_session();
    }

    pub(crate) fn on_wake(&mut self, desk: &mut Desk<'_>) {
        desk.wake_in(0, self.options.pause_ms_max.max(1) * MILLISECOND);
        if self.link.pending_count() > 0 {
            if self.options.hang_up > 0 && desk.random.chance(1, self.options.hang_up) {
                desk.coverage.hit("a consumer hangs up");
                drop(self.link.close(desk));
                self.reset_session();
            }
            return;
        }
        if !self.link.is_open() {
            self.link.connect(desk);
        }
        self.follow_topics(desk);
        let lacking = |place: &Place| place.next.is_none();
        if self.places.values().any(lacking) {
            self.ask_offsets(EARLIEST, lacking, desk);
        } else if self.is_final() && self.places.values().any(|place| place.end.is_none()) {
            self.ask_offsets(LATEST, |place| place.end.is_none(), desk);
        } else if !(self.places.is_empty() || self.is_final() && self.is_drained()) {
            self.fetch(desk);
        }
    }

    fn follow_topics(&mut self, desk: &Desk<'_>) {
        let by_id = self.options.version >= 13;
        for topic in desk.topics.iter() {
            for partition in 0..topic.partitions {
                let at = topic.at(partition);
                if topic.deleted {
                    if let Some(place) = self.places.remove(&at)
                        && place.in_session.is_some()
                    {
                        self.leaving.push(at);
                    }
                } else if by_id || !topic.fleeting {
                    self.places.entry(at).or_default();
                }
            }
        }
    }

    fn ask_offsets(&mut self, of: i64, which: impl Fn(&Place) -> bool, desk: &mut Desk<'_>) {
        let mut wanted: BTreeMap<TopicId, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for (at, place) in &mut self.places {
            if !which(place) {
                continue;
            }
            if of == EARLIEST && desk.topic(at.topic).is_some_and(|topic| topic.fleeting) {
                // ListOffsets names topics, and this name may be another topic's by now. Nothing
                // is ever deleted from the front of such a topic.
                place.next = Some(0);
                let consumer = self.options.id;
                desk.history.add(Event::Reset { consumer, at: *at, offset: 0 });
                continue;
            }
            wanted.entry(at.topic).or_default().push(ListOffsetsPartition {
                partition_index: at.partition.0,
                timestamp: of,
                ..Default::default()
            });
        }
        if wanted.is_empty() {
            return;
        }
        let names: Vec<String> = wanted
            .keys()
            .map(|id| desk.topic(*id).map(|topic| topic.name.clone()).unwrap_or_default())
            .collect();
        let topics: Vec<_> = wanted
            .into_values()
            .zip(&names)
            .map(|(partitions, name)| ListOffsetsTopic { name, partitions: partitions.into() })
            .collect();
        let request =
            ListOffsetsRequest { replica_id: -1, topics: topics.into(), ..Default::default() };
        self.link.send(desk, 7, &request, Some(Asked::Offsets(of)));
    }

    fn fetch(&mut self, desk: &mut Desk<'_>) {
        let Consumer { options, places, session, leaving, .. } = self;
        let full = session.1 <= 0;
        let mut wanted: BTreeMap<TopicId, Vec<FetchPartition>> = BTreeMap::new();
        for (at, place) in places.iter_mut() {
            let Some(next) = place.next else { continue };
            if !full && place.in_session == Some(next) {
                continue;
            }
            place.in_session = options.session.then_some(next);
            wanted.entry(at.topic).or_default().push(FetchPartition {
                partition: at.partition.0,
                fetch_offset: next,
                partition_max_bytes: options.partition_bytes_max,
                ..Default::default()
            });
        }
        let mut gone: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
        for at in leaving.drain(..).filter(|_| !full) {
            gone.entry(at.topic).or_default().push(at.partition.0);
        }
        let by_id = options.version >= 13;
        let name = |id: &TopicId| match desk.topic(*id) {
            Some(topic) if !by_id => topic.name.clone(),
            _ => String::new(),
        };
        let names: Vec<String> = wanted.keys().map(name).collect();
        let gone_names: Vec<String> = gone.keys().map(name).collect();
        let topics: Vec<_> = wanted
            .into_iter()
            .zip(&names)
            .map(|((id, partitions), name)| FetchTopic {
                topic: name,
                topic_id: if by_id { id.0 } else { [0; 16] },
                partitions: partitions.into(),
            })
            .collect();
        let forgotten: Vec<_> = gone
            .into_iter()
            .zip(&gone_names)
            .map(|((id, partitions), name)| ForgottenTopic {
                topic: name,
                topic_id: if by_id { id.0 } else { [0; 16] },
                partitions: partitions.into(),
            })
            .collect();
        let sessions = options.session && options.version >= 7;
        let (session_id, session_epoch) = if sessions { *session } else { (0, -1) };
        let wait_ms = desk.random.below(options.wait_ms_max + 1) as i32;
        let request = FetchRequest {
            max_wait_ms: wait_ms,
            min_bytes: options.bytes_min,
            max_bytes: options.bytes_max,
            session_id,
            session_epoch,
            topics: topics.into(),
            forgotten_topics_data: forgotten.into(),
            ..Default::default()
        };
        let version = options.version;
        self.link.send(desk, version, &request, Some(Asked::Fetch));
    }

    pub(crate) fn on_reply(&mut self, frame: &[u8], desk: &mut Desk<'_>) {
        match self.link.take(frame, desk) {
            None => {}
            Some(Asked::Offsets(of)) => self.on_offsets(frame, of, desk),
            Some(Asked::Fetch) => self.on_fetched(frame, desk),
        }
    }

    fn on_offsets(&mut self, frame: &[u8], of: i64, desk: &mut Desk<'_>) {
        let Some(reply) = decode::<ListOffsetsResponse<'_>>(frame, 7, desk) else { return };
        for topic in &reply.topics {
            let Some(known) = desk.topic_named(topic.name).cloned() else { continue };
            for found in &topic.partitions {
                let at = known.at(found.partition_index);
                let Some(place) = self.places.get_mut(&at) else { continue };
                if found.error_code != 0 {
                    if !known.deleted {
                        let error = ErrorCode::from_code(found.error_code);
                        desk.violation(format!("{at:?}: no offset: {error:?}"));
                    }
                } else if of == EARLIEST {
                    let (consumer, offset) = (self.options.id, found.offset);
                    place.next = Some(offset);
                    desk.history.add(Event::Reset { consumer, at, offset });
                } else {
                    place.end = Some(found.offset);
                }
            }
        }
    }

    fn on_fetched(&mut self, frame: &[u8], desk: &mut Desk<'_>) {
        let version = self.options.version;
        let Some(reply) = decode::<FetchResponse<'_>>(frame, version, desk) else { return };
        match ErrorCode::from_code(reply.error_code) {
            ErrorCode::NONE => {}
            ErrorCode::FETCH_SESSION_ID_NOT_FOUND
            | ErrorCode::INVALID_FETCH_SESSION_EPOCH
            | ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR => {
                desk.coverage.hit("a fetch session is gone");
                return self.reset_session();
            }
            other => return desk.violation(format!("a fetch was refused: {other:?}")),
        }
        if self.options.session && version >= 7 {
            let id = reply.session_id;
            if id == 0 {
                // The broker has no room for the session.
                self.reset_session();
            } else {
                desk.coverage.hit("a fetch in a session");
                self.session = (id, if self.session.1 <= 0 { 1 } else { self.session.1 + 1 });
            }
        }
        let mut brought = false;
        for topic in &reply.responses {
            let id = if version >= 13 {
                TopicId(topic.topic_id)
            } else {
                desk.topic_named(topic.topic).map(|known| known.id).unwrap_or_default()
            };
            for data in &topic.partitions {
                let partition = PartitionId(data.partition_index);
                brought |= self.on_partition(TopicPartition { topic: id, partition }, &data, desk);
            }
        }
        self.idle = if brought { 0 } else { self.idle + 1 };
    }

    fn on_partition(
        &mut self,
        at: TopicPartition,
        data: &PartitionData<'_>,
        desk: &mut Desk<'_>,
    ) -> bool {
        let Some(place) = self.places.get_mut(&at) else { return false };
        let Some(next) = place.next else { return false };
        match ErrorCode::from_code(data.error_code) {
            ErrorCode::NONE => {}
            ErrorCode::OFFSET_OUT_OF_RANGE => {
                desk.coverage.hit("a fetch is out of range");
                place.next = None;
                place.in_session = None;
                // The session still has the old offset.
                let full_again = self.session.1 > 0;
                if full_again {
                    self.reset_session();
                }
                return true;
            }
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::UNKNOWN_TOPIC_ID => {
                desk.coverage.hit("a fetch of a deleted topic");
                if desk.topic(at.topic).is_none_or(|topic| !topic.deleted) {
                    desk.violation(format!("{at:?} is unknown, and was never deleted"));
                }
                return false;
            }
            other => {
                desk.violation(format!("{at:?}: fetch at {next}: {other:?}"));
                return false;
            }
        }
        let consumer = self.options.id;
        let (high_watermark, log_start) = (data.high_watermark, data.log_start_offset);
        desk.history.add(Event::Marks { consumer, at, high_watermark, log_start });
        let bytes = match data.records {
            value::Records::Bytes(bytes) => bytes,
            _ => &[],
        };
        let gaps = desk.topic(at.topic).is_some_and(|topic| topic.promise.compacted);
        match read_batches(bytes, next, high_watermark, gaps) {
            Err(reason) => {
                desk.violation(format!("consumer {consumer}, {at:?} at {next}: {reason}"));
                false
            }
            Ok((end, records)) => {
                desk.coverage.add("records are read", records.len() as u64);
                for (offset, value) in &records {
                    match decode_value(value) {
                        None if gaps && (value.is_empty() || value == FILLER) => {}
                        Some(value) => {
                            let offset = *offset;
                            desk.history.add(Event::Poll { consumer, at, offset, value });
                        }
                        None => desk.violation(format!("{at:?} offset {offset}: nobody's bytes")),
                    }
                }
                let place = self.places.entry(at).or_default();
                place.next = Some(end);
                end > next
            }
        }
    }
}

type ReadRecords = Vec<(i64, Vec<u8>)>;

/// The records of a fetch from `next` on, and where they end. The last batch may be cut short.
fn read_batches(
    mut bytes: &[u8],
    next: i64,
    high_watermark: i64,
    gaps: bool,
) -> Result<(i64, ReadRecords), String> {
    let mut end = next;
    let mut records = Vec::new();
    let mut first = true;
    while !bytes.is_empty() {
        let Ok(header) = BatchHeader::parse(bytes) else {
            if first {
                return Err(format!("{} bytes are no batch", bytes.len()));
            }
            break;
        };
        let Some(batch) = bytes.get(..header.size()) else {
            if first {
                return Err("the first batch is cut short".to_owned());
            }
            break;
        };
        check(batch).map_err(|error| format!("batch at {}: {error}", header.base_offset))?;
        let base = header.base_offset.0;
        let starts_well = match first {
            true => gaps || base <= next,
            false => base == end || gaps && end < base,
        };
        if !starts_well || header.next_offset().0 <= next {
            let (base, after) = (header.base_offset, header.next_offset());
            return Err(format!("batch {base}..{after} where {end} is next"));
        }
        if high_watermark < header.next_offset().0 {
            return Err(format!(
                "batch up to {} is above the high watermark {high_watermark}",
                header.next_offset()
            ));
        }
        let opened = Records::open(batch, DECOMPRESSED_BYTES_MAX).map_err(|e| e.to_string())?;
        for record in &opened {
            let record = record.map_err(|error| error.to_string())?;
            if next <= record.offset.0 {
                records.push((record.offset.0, record.value.unwrap_or_default().to_vec()));
            }
        }
        end = header.next_offset().0;
        first = false;
        bytes = &bytes[header.size()..];
    }
    Ok((end, records))
}
