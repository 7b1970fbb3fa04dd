//! Writing batches: for internal topics, markers, compaction, the load generator and tests.

use bytes::BytesMut;

use super::check::computed_crc;
use super::compression::{Compression, compress};
use super::error::BatchError;
use super::header::{
    APPEND_TIME_BIT, BatchHeader, COMPRESSION_MASK, CONTROL_BIT, DELETE_HORIZON_BIT, HEADER_BYTES,
    LENGTH_PREFIX_BYTES, MAGIC, NO_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE,
    NO_TIMESTAMP, TRANSACTIONAL_BIT, TimestampType,
};
use super::records::Header;
use super::varint::{varlong_size, write_varlong};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use crate::time::Timestamp;

/// Collects records and writes them as one batch. A builder without settings writes what a plain
/// producer sends: base offset 0, no leader epoch, no producer, no compression.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    header: BatchHeader,
    compression: Compression,
    level: Option<i32>,
    body: Vec<u8>,
    /// What a batch that the log cleaner has emptied keeps as its max timestamp.
    emptied_max_timestamp: Timestamp,
}

impl Default for BatchBuilder {
    fn default() -> BatchBuilder {
        BatchBuilder::new()
    }
}

impl BatchBuilder {
    /// An empty batch.
    #[must_use]
    pub fn new() -> BatchBuilder {
        BatchBuilder {
            header: BatchHeader {
                base_offset: Offset(0),
                batch_length: 0,
                leader_epoch: NO_LEADER_EPOCH,
                magic: MAGIC,
                crc: 0,
                attributes: 0,
                last_offset_delta: -1,
                base_timestamp: NO_TIMESTAMP,
                max_timestamp: NO_TIMESTAMP,
                producer_id: NO_PRODUCER_ID,
                producer_epoch: NO_PRODUCER_EPOCH,
                base_sequence: NO_SEQUENCE,
                record_count: 0,
            },
            compression: Compression::None,
            level: None,
            body: Vec::new(),
            emptied_max_timestamp: NO_TIMESTAMP,
        }
    }

    /// An empty batch in the place of another, for compaction: same base offset, leader epoch,
    /// producer, compression and attributes. The caller adds the records that stay, with
    /// [`BatchBuilder::add_at`], and [`BatchBuilder::extend_to`] the old last offset delta.
    ///
    /// # Errors
    /// `UnknownCompression`.
    pub fn in_place_of(header: &BatchHeader) -> Result<BatchBuilder, BatchError> {
        let compression = header.compression()?;
        let mut builder = BatchBuilder::new()
            .placed(header.base_offset, header.leader_epoch)
            .producer(header.producer_id, header.producer_epoch, header.base_sequence)
            .compression(compression, None);
        builder.header.attributes = header.attributes & !COMPRESSION_MASK;
        if header.has_delete_horizon() {
            builder.header.base_timestamp = header.base_timestamp;
        }
        if header.timestamp_type() == TimestampType::LogAppendTime {
            builder.header.max_timestamp = header.max_timestamp;
        }
        builder.emptied_max_timestamp = header.max_timestamp;
        Ok(builder)
    }

    /// The place in the log, if it is known already.
    #[must_use]
    pub fn placed(mut self, base_offset: Offset, leader_epoch: LeaderEpoch) -> BatchBuilder {
        self.header.base_offset = base_offset;
        self.header.leader_epoch = leader_epoch;
        self
    }

    /// The producer and the sequence of the first record.
    #[must_use]
    pub fn producer(
        mut self,
        id: ProducerId,
        epoch: ProducerEpoch,
        base_sequence: Sequence,
    ) -> BatchBuilder {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = base_sequence;
        self
    }

    /// Makes it part of a transaction.
    #[must_use]
    pub fn transactional(mut self) -> BatchBuilder {
        self.header.attributes |= TRANSACTIONAL_BIT;
        self
    }

    /// Makes it a control batch.
    #[must_use]
    pub fn control(mut self) -> BatchBuilder {
        self.header.attributes |= CONTROL_BIT;
        self
    }

    /// The codec, and its level (`None` for the codec's default).
    #[must_use]
    pub fn compression(mut self, compression: Compression, level: Option<i32>) -> BatchBuilder {
        self.compression = compression;
        self.level = level;
        self
    }

    /// Sets the delete horizon (KIP-534), in place of the base timestamp. Before any record is
    /// added, because their timestamps count from it.
    #[must_use]
    pub fn delete_horizon(mut self, horizon: Timestamp) -> BatchBuilder {
        assert!(self.header.record_count == 0, "the delete horizon comes before the records");
        self.header.attributes |= DELETE_HORIZON_BIT;
        self.header.base_timestamp = horizon;
        self
    }

    /// Adds a record at the next offset.
    pub fn add(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) {
        let offset_delta = self.header.last_offset_delta + 1;
        self.add_at(offset_delta, timestamp, key, value, headers);
    }

    /// Adds a record so far from the base offset; for compaction, which leaves gaps. Deltas rise.
    pub fn add_at(
        &mut self,
        offset_delta: i32,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) {
        let header = &mut self.header;
        assert!(header.last_offset_delta < offset_delta, "offset deltas rise");
        if header.record_count == 0 && header.attributes & DELETE_HORIZON_BIT == 0 {
            header.base_timestamp = timestamp;
        }
        header.record_count += 1;
        header.last_offset_delta = offset_delta;
        header.max_timestamp = header.max_timestamp.max(timestamp);

        let timestamp_delta = timestamp.0.wrapping_sub(header.base_timestamp.0);
        let size = 1
            + varlong_size(timestamp_delta)
            + varlong_size(offset_delta.into())
            + nullable_size(key)
            + nullable_size(value)
            + varlong_size(headers.len() as i64)
            + headers
                .iter()
                .map(|header| nullable_size(Some(header.key)) + nullable_size(header.value))
                .sum::<usize>();
        let body = &mut self.body;
        write_varlong(body, size as i64);
        let start = body.len();
        body.push(0);
        write_varlong(body, timestamp_delta);
        write_varlong(body, offset_delta.into());
        write_nullable(body, key);
        write_nullable(body, value);
        write_varlong(body, headers.len() as i64);
        for header in headers {
            write_nullable(body, Some(header.key));
            write_nullable(body, header.value);
        }
        assert!(body.len() - start == size, "a record is as long as it says");
    }

    /// Keeps the offsets up to here in the batch although their records are gone (compaction).
    pub fn extend_to(&mut self, last_offset_delta: i32) {
        assert!(self.header.last_offset_delta <= last_offset_delta, "offset deltas rise");
        self.header.last_offset_delta = last_offset_delta;
    }

    /// Gives all records the append time `timestamp`; after the records are added.
    pub fn append_time(&mut self, timestamp: Timestamp) {
        self.header.attributes |= APPEND_TIME_BIT;
        self.header.max_timestamp = timestamp;
    }

    /// Records added so far.
    #[must_use]
    pub fn record_count(&self) -> i32 {
        self.header.record_count
    }

    /// Size of the batch if it were built now without compression, in bytes.
    #[must_use]
    pub fn uncompressed_size(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }

    /// The batch, ready to be sent or appended. It covers one offset at least.
    #[must_use]
    pub fn build(&self) -> BytesMut {
        let mut header = self.header;
        assert!(0 <= header.last_offset_delta, "a batch covers one offset at least");
        if header.record_count == 0 {
            header.max_timestamp = header.max_timestamp.max(self.emptied_max_timestamp);
        }
        let body = match self.compression {
            // A batch without records is a bare header, which Kafka marks as uncompressed.
            Compression::None => None,
            _ if self.body.is_empty() => None,
            compression => {
                header.attributes |= i16::from(compression.id());
                Some(compress(compression, &self.body, self.level))
            }
        };
        let body = body.as_ref().unwrap_or(&self.body);
        let size = HEADER_BYTES + body.len();
        let batch_length = i32::try_from(size - LENGTH_PREFIX_BYTES);
        header.batch_length = batch_length.expect("a batch is smaller than 2 GiB");
        let mut batch = BytesMut::with_capacity(size);
        batch.extend_from_slice(&header.to_bytes());
        batch.extend_from_slice(body);
        header.crc = computed_crc(&batch);
        if let Some(front) = batch.first_chunk_mut() {
            *front = header.to_bytes();
        }
        batch
    }
}

fn nullable_size(field: Option<&[u8]>) -> usize {
    match field {
        None => 1,
        Some(field) => varlong_size(field.len() as i64) + field.len(),
    }
}

fn write_nullable(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => write_varlong(out, -1),
        Some(field) => {
            write_varlong(out, field.len() as i64);
            out.extend_from_slice(field);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Records, check, stamp_append_time};

    fn written(compression: Compression) -> BytesMut {
        let mut builder = BatchBuilder::new()
            .placed(Offset(50), LeaderEpoch(4))
            .producer(ProducerId(1), ProducerEpoch(2), Sequence(3))
            .transactional()
            .compression(compression, None);
        for at in 0..4 {
            builder.add(Timestamp(100 + at), Some(&[at as u8]), Some(b"v"), &[]);
        }
        builder.build()
    }

    /// Keeps the records whose index is `kept`.
    fn compacted(bytes: &[u8], kept: &[i64]) -> BytesMut {
        let header = check(bytes).unwrap();
        let mut builder = BatchBuilder::in_place_of(&header).unwrap();
        for record in &Records::open(bytes, 1000).unwrap() {
            let record = record.unwrap();
            let delta = record.offset.0 - header.base_offset.0;
            if kept.contains(&delta) {
                builder.add_at(delta as i32, record.timestamp, record.key, record.value, &[]);
            }
        }
        builder.extend_to(header.last_offset_delta);
        builder.build()
    }

    #[test]
    fn a_compacted_batch_keeps_its_place_and_producer() {
        for compression in Compression::ALL {
            let before = check(&written(compression)).unwrap();
            assert_eq!(compacted(&written(compression), &[0, 1, 2, 3]), written(compression));
            let after = check(&compacted(&written(compression), &[0, 2])).unwrap();
            assert_eq!(after.producer(), before.producer());
            assert_eq!(after.next_offset(), before.next_offset());
            assert_eq!(after.leader_epoch, before.leader_epoch);
            assert_eq!(after.compression(), before.compression());
            assert_eq!((after.record_count, after.max_timestamp), (2, Timestamp(102)));

            let emptied = check(&compacted(&written(compression), &[])).unwrap();
            assert_eq!(emptied.size(), HEADER_BYTES);
            assert_eq!(emptied.producer(), before.producer());
            assert_eq!(emptied.max_timestamp, before.max_timestamp);
            assert_eq!(emptied.base_timestamp, NO_TIMESTAMP);
        }
    }

    #[test]
    fn compaction_keeps_the_append_time() {
        let mut bytes = written(Compression::None);
        stamp_append_time(&mut bytes, Timestamp(9000));
        for kept in [[1].as_slice(), &[]] {
            let after = check(&compacted(&bytes, kept)).unwrap();
            assert_eq!(after.timestamp_type(), TimestampType::LogAppendTime);
            assert_eq!(after.max_timestamp, Timestamp(9000));
        }
    }
}
