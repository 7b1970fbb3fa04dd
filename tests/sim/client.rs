//! What every client has: a desk from which it acts on the world, and a link that pairs replies with
//! requests.

use std::collections::VecDeque;

use bytes::BytesMut;
use ringmain::catalog::Topic;
use ringmain::ids::{PartitionId, TopicId, TopicPartition};
use ringmain::stdx::prng::Prng;
use ringmain::time::Timestamp;
use ringmain::wire::frame::{LENGTH_BYTES, read_response, write_request};
use ringmain::wire::message::{Request, Response};

use super::coverage::Coverage;
use super::history::{History, Promise};

/// A topic as the clients know it.
#[derive(Clone, Debug)]
pub(crate) struct KnownTopic {
    pub(crate) name: String,
    pub(crate) id: TopicId,
    pub(crate) partitions: i32,
    pub(crate) promise: Promise,
    /// May be deleted and made again: only to be spoken of by id.
    pub(crate) fleeting: bool,
    pub(crate) deleted: bool,
}

impl KnownTopic {
    pub(crate) fn new(topic: &Topic, fleeting: bool) -> KnownTopic {
        let config = |key: &str| topic.configs.get(key);
        KnownTopic {
            name: topic.name.to_string(),
            id: topic.id,
            partitions: topic.partitions.len() as i32,
            promise: Promise {
                durable: config("flush.messages").is_none_or(|count| count == "1"),
                retention: config("retention.bytes").is_some_and(|bytes| bytes != "-1")
                    || config("retention.ms").is_some_and(|ms| ms != "-1"),
                compacted: config("cleanup.policy")
                    .is_some_and(|policy| policy.contains("compact")),
            },
            fleeting,
            deleted: false,
        }
    }

    pub(crate) fn at(&self, partition: i32) -> TopicPartition {
        TopicPartition { topic: self.id, partition: PartitionId(partition) }
    }
}

/// Names a connection for the whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkId(pub(crate) u64);

/// What a client wants of the world.
#[derive(Debug)]
pub(crate) enum Effect {
    /// A new connection, to any shard.
    Connect(LinkId),
    /// A request frame without its length.
    Send(LinkId, BytesMut),
    /// Hang up; frames under way may or may not still arrive.
    Close(LinkId),
    /// Call `on_wake` after so many nanoseconds.
    Wake(u64),
}

/// Where a client acts.
pub(crate) struct Desk<'w> {
    pub(crate) timestamp: Timestamp,
    pub(crate) random: &'w mut Prng,
    pub(crate) topics: &'w mut Vec<KnownTopic>,
    pub(crate) history: &'w mut History,
    pub(crate) coverage: &'w mut Coverage,
    pub(crate) violations: &'w mut Vec<String>,
    pub(crate) effects: &'w mut Vec<Effect>,
    pub(crate) next_link: &'w mut u64,
    /// No new work is taken up; what was begun is brought to its end.
    pub(crate) finishing: bool,
    /// Power cuts so far: what may be gone of partitions that promise nothing.
    pub(crate) power_cuts: u32,
    /// There was a time when the disk was full.
    pub(crate) was_full: bool,
}

impl Desk<'_> {
    pub(crate) fn wake_in(&mut self, low: u64, high: u64) {
        let delay = self.random.between(low, high);
        self.effects.push(Effect::Wake(delay));
    }

    pub(crate) fn violation(&mut self, text: String) {
        self.violations.push(text);
    }

    pub(crate) fn topic(&self, id: TopicId) -> Option<&KnownTopic> {
        self.topics.iter().find(|topic| topic.id == id)
    }

    pub(crate) fn topic_named(&self, name: &str) -> Option<&KnownTopic> {
        self.topics.iter().find(|topic| topic.name == name && !topic.deleted)
    }
}

/// A client's connection, if it has one, and what was asked over it.
#[derive(Debug)]
pub(crate) struct Link<A> {
    id: Option<LinkId>,
    pending: VecDeque<(i32, A)>,
    next_correlation: i32,
}

impl<A> Link<A> {
    pub(crate) fn new() -> Link<A> {
        Link { id: None, pending: VecDeque::new(), next_correlation: 0 }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.id.is_some()
    }

    pub(crate) fn is(&self, id: LinkId) -> bool {
        self.id == Some(id)
    }

    pub(crate) fn id(&self) -> Option<LinkId> {
        self.id
    }

    pub(crate) fn pending(&self) -> impl Iterator<Item = &A> {
        self.pending.iter().map(|(_, asked)| asked)
    }

    pub(crate) fn pending_count(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn connect(&mut self, desk: &mut Desk<'_>) {
        assert!(self.id.is_none());
        let id = LinkId(*desk.next_link);
        *desk.next_link += 1;
        self.id = Some(id);
        desk.effects.push(Effect::Connect(id));
    }

    /// Sends a request; `asked` comes back with its reply. `None` for one that gets no reply.
    pub(crate) fn send<'a, R: Request<'a>>(
        &mut self,
        desk: &mut Desk<'_>,
        version: i16,
        body: &R,
        asked: Option<A>,
    ) {
        let Some(id) = self.id else { panic!("there is a connection") };
        let correlation = self.next_correlation;
        self.next_correlation += 1;
        let mut frame = BytesMut::new();
        write_request(&mut frame, correlation, Some("simulated"), version, body);
        let frame = frame.split_off(LENGTH_BYTES);
        desk.effects.push(Effect::Send(id, frame));
        if let Some(asked) = asked {
            self.pending.push_back((correlation, asked));
        }
    }

    /// Which request a reply belongs to: it must be the oldest.
    pub(crate) fn take(&mut self, frame: &[u8], desk: &mut Desk<'_>) -> Option<A> {
        let length = frame.first_chunk().map(|prefix| i32::from_be_bytes(*prefix));
        if length != Some(frame.len() as i32 - LENGTH_BYTES as i32) {
            desk.violation(format!("a reply of {} bytes says it has {length:?}", frame.len()));
            return None;
        }
        let found = frame.get(4..8).map(|id| i32::from_be_bytes([id[0], id[1], id[2], id[3]]));
        let Some((expected, asked)) = self.pending.pop_front() else {
            desk.violation("a reply to nothing".to_owned());
            return None;
        };
        if found != Some(expected) {
            desk.violation(format!("reply {found:?} where {expected} was due"));
            return None;
        }
        Some(asked)
    }

    /// Hangs up and gives back what was asked in vain.
    pub(crate) fn close(&mut self, desk: &mut Desk<'_>) -> Vec<A> {
        if let Some(id) = self.id {
            desk.effects.push(Effect::Close(id));
        }
        self.closed()
    }

    /// The connection is gone; gives back what was asked in vain.
    pub(crate) fn closed(&mut self) -> Vec<A> {
        self.id = None;
        self.pending.drain(..).map(|(_, asked)| asked).collect()
    }
}

/// Decodes a whole reply frame.
pub(crate) fn decode<'a, R: Response<'a>>(
    frame: &'a [u8],
    version: i16,
    desk: &mut Desk<'_>,
) -> Option<R> {
    match read_response::<R>(&frame[LENGTH_BYTES..], version) {
        Ok((_, body)) => Some(body),
        Err(error) => {
            desk.violation(format!("{:?} version {version} reply: {error}", R::API_KEY));
            None
        }
    }
}
