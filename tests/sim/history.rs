//! What the clients saw, in the order in which they saw it. The checker knows nothing else.

use std::collections::BTreeMap;

use ringmain::ids::TopicPartition;

/// A record's content: who made it, and the how-manieth of his it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Value {
    pub(crate) producer: u32,
    pub(crate) counter: u64,
}

/// Names a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SendId(pub(crate) usize);

/// What a partition promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Promise {
    /// `flush.messages=1`: what is acknowledged or was read outlives a power cut.
    pub(crate) durable: bool,
    /// Old segments go, by size or time.
    pub(crate) retention: bool,
    /// Records go that a newer one of the same key stands for. Every value has a key of its own, so
    /// none of them may go; what lies between them may.
    pub(crate) compacted: bool,
}

/// One thing that a client saw or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A batch is about to be sent: `count` values from `first` on.
    Send { id: SendId, at: TopicPartition, first: Value, count: u32, idempotent: bool },
    /// It was acknowledged, at this offset if the reply named one.
    Acked { id: SendId, base_offset: Option<i64> },
    /// It was refused for good: nothing of it may ever be read.
    Failed { id: SendId },
    /// A consumer (re)starts here, for a reason that is not its own.
    Reset { consumer: u32, at: TopicPartition, offset: i64 },
    /// A consumer read a record.
    Poll { consumer: u32, at: TopicPartition, offset: i64, value: Value },
    /// A consumer was told these.
    Marks { consumer: u32, at: TopicPartition, high_watermark: i64, log_start: i64 },
    /// Somebody asks to delete everything below; the largest number is whatever the end is then.
    DeleteRecords { at: TopicPartition, before: i64 },
    /// It is done: the log starts here.
    RecordsDeleted { at: TopicPartition, log_start: i64, everything: bool },
    /// The topic of the partition is about to be deleted.
    Deleting { at: TopicPartition },
    /// The power was cut: what was not promised to outlive that may be gone.
    PowerCut,
    /// From here on `FINAL` reads everything.
    Drain,
}

/// The consumer that reads everything at the end.
pub(crate) const FINAL: u32 = u32::MAX;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) promises: BTreeMap<TopicPartition, Promise>,
    pub(crate) events: Vec<Event>,
    sends: usize,
}

impl History {
    pub(crate) fn add(&mut self, event: Event) {
        self.events.push(event);
    }

    pub(crate) fn send(
        &mut self,
        at: TopicPartition,
        first: Value,
        count: u32,
        idempotent: bool,
    ) -> SendId {
        let id = SendId(self.sends);
        self.sends += 1;
        self.add(Event::Send { id, at, first, count, idempotent });
        id
    }
}
