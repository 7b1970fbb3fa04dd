//! The log against a naive model and a disk in memory.

mod disk;
mod model;
mod rules;

use bytes::Bytes;

use super::*;
use crate::batch::{BatchBuilder, BatchHeader};
use crate::ids::LeaderEpoch;

/// Options under which nothing rolls, expires or is indexed unless a test says so.
const OPTIONS: LogOptions = LogOptions {
    segment_bytes: 1 << 30,
    segment_ms: u64::MAX,
    segment_jitter_ms: 0,
    jitter_seed: 0,
    index_interval_bytes: 4096,
    segment_index_bytes: 10 << 20,
    retention_bytes: None,
    retention_ms: None,
    delete: true,
    file_delete_delay_ms: 60_000,
};

/// A batch of one record per timestamp, each with a value of `value_bytes` bytes.
fn batch(base: i64, epoch: i32, timestamps: &[i64], value_bytes: usize) -> Bytes {
    let mut builder = BatchBuilder::new().placed(Offset(base), LeaderEpoch(epoch));
    let value = vec![base as u8; value_bytes];
    for timestamp in timestamps {
        builder.add(Timestamp(*timestamp), None, Some(&value), &[]);
    }
    builder.build().freeze()
}

/// A batch of one record whose whole size is `bytes`, and which ends before `next`.
fn batch_of(base: i64, timestamp: i64, bytes: usize) -> Bytes {
    let least = batch(base, 0, &[timestamp], 0).len();
    let found = (bytes.saturating_sub(least + 8)..=bytes - least)
        .map(|value_bytes| batch(base, 0, &[timestamp], value_bytes))
        .find(|batch| batch.len() == bytes);
    found.expect("a record that fills the batch")
}

fn header(batch: &[u8]) -> BatchHeader {
    BatchHeader::parse(batch).expect("a batch of our own")
}

fn append(log: &mut Log, batch: &Bytes, now: i64) {
    log.append(batch.clone(), &header(batch), Timestamp(now));
}
