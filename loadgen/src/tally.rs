//! What a run counts.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::client::errors::ErrorCode;
use crate::histogram::Latency;

/// The run's clock: ns since its start, the same for all threads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
    start_ms_since_1970: i64,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { start: Instant::now(), start_ms_since_1970: since.as_millis() as i64 }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// A time of this clock as records carry it.
    pub(crate) fn timestamp_ms(&self, now_ns: u64) -> i64 {
        self.start_ms_since_1970 + (now_ns / 1_000_000) as i64
    }
}

/// One direction of the data.
#[derive(Debug, Clone, Default)]
pub(crate) struct Side {
    pub(crate) records: u64,
    /// Record batches as they are on the wire, in bytes.
    pub(crate) bytes: u64,
    /// Keys and values before compression, in bytes; known for what is produced only.
    pub(crate) payload_bytes: u64,
    pub(crate) requests: u64,
    /// From the intended send to the reply.
    pub(crate) response: Latency,
    /// From the actual send to the reply.
    pub(crate) service: Latency,
    /// When the last of these replies came.
    pub(crate) last_ns: u64,
}

impl Side {
    fn add(&mut self, other: &Side) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.payload_bytes += other.payload_bytes;
        self.requests += other.requests;
        self.response.add(&other.response);
        self.service.add(&other.service);
        self.last_ns = self.last_ns.max(other.last_ns);
    }
}

/// Everything that counts towards the result.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) produced: Side,
    pub(crate) fetched: Side,
    /// From the intended send of a record to its receipt by the consumer.
    pub(crate) end_to_end: Latency,
    /// How much later than intended the generator got round to a request.
    pub(crate) lateness: Latency,
    /// Requests that had to wait because as many as allowed were in flight.
    pub(crate) delayed_requests: u64,
    pub(crate) unanswered_requests: u64,
    pub(crate) errors: BTreeMap<ErrorCode, u64>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.produced.add(&other.produced);
        self.fetched.add(&other.fetched);
        self.end_to_end.add(&other.end_to_end);
        self.lateness.add(&other.lateness);
        self.delayed_requests += other.delayed_requests;
        self.unanswered_requests += other.unanswered_requests;
        for (code, count) in &other.errors {
            *self.errors.entry(*code).or_default() += count;
        }
    }

    pub(crate) fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// What the progress line shows: the last second, measured or not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recent {
    pub(crate) produced_records: u64,
    pub(crate) produced_bytes: u64,
    pub(crate) fetched_records: u64,
    pub(crate) fetched_bytes: u64,
    pub(crate) latency: Latency,
    pub(crate) errors: u64,
}

impl Recent {
    pub(crate) fn add(&mut self, other: &Recent) {
        self.produced_records += other.produced_records;
        self.produced_bytes += other.produced_bytes;
        self.fetched_records += other.fetched_records;
        self.fetched_bytes += other.fetched_bytes;
        self.latency.add(&other.latency);
        self.errors += other.errors;
    }
}
