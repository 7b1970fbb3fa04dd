//! Encoding batches: records once, heads for every request.

use bytes::Bytes;

use super::{CRC_FROM, HEAD_BYTES};

/// The encoded (and perhaps compressed) records of a batch, ready to be sent any number of times.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    /// What stands behind the head.
    pub(crate) records: Bytes,
    /// Number of records.
    pub(crate) count: i32,
    /// Keys and values before compression, in bytes.
    pub(crate) payload_bytes: u64,
    /// Lowest three bits: Kafka's compression codec.
    attributes: i16,
    crc: Option<Shared>,
}

/// What makes the CRC of a body that is sent many times cheap.
#[derive(Debug, Clone)]
struct Shared {
    /// CRC of the records alone.
    crc: u32,
    /// Image of each single bit of a CRC when moved past the records.
    moved: [u32; 32],
}

impl Body {
    /// A body that is sent once.
    pub(crate) fn new(records: Bytes, count: i32, payload_bytes: u64, attributes: i16) -> Body {
        Body { records, count, payload_bytes, attributes, crc: None }
    }

    /// Prepares the body for being sent many times.
    pub(crate) fn shared(mut self) -> Body {
        let mut moved = [0; 32];
        for (bit, image) in moved.iter_mut().enumerate() {
            *image = crc32c::crc32c_combine(1 << bit, 0, self.records.len());
        }
        self.crc = Some(Shared { crc: crc32c::crc32c(&self.records), moved });
        self
    }

    /// Size of the whole batch, in bytes.
    pub(crate) fn batch_bytes(&self) -> usize {
        HEAD_BYTES + self.records.len()
    }

    /// Bytes that are copied into a request that inlines bodies up to `limit` bytes.
    pub(crate) fn inline_bytes(&self, limit: usize) -> usize {
        if self.records.len() <= limit { self.records.len() } else { 0 }
    }

    fn crc_behind(&self, head_crc: u32) -> u32 {
        let Some(shared) = &self.crc else {
            return crc32c::crc32c_append(head_crc, &self.records);
        };
        let mut crc = shared.crc;
        for (bit, image) in shared.moved.iter().enumerate() {
            // All ones where the bit is set, so that the loop has no branch to mispredict.
            crc ^= image & (head_crc >> bit & 1).wrapping_neg();
        }
        crc
    }
}

/// What differs between two sendings of one body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchHead {
    /// Create time of all records, in ms since 1970.
    pub(crate) timestamp_ms: i64,
    /// Producer id, or -1.
    pub(crate) producer_id: i64,
    /// Producer epoch, or -1.
    pub(crate) producer_epoch: i16,
    /// Sequence of the first record, or -1.
    pub(crate) base_sequence: i32,
}

impl BatchHead {
    /// A head without idempotence.
    pub(crate) fn plain(timestamp_ms: i64) -> BatchHead {
        BatchHead { timestamp_ms, producer_id: -1, producer_epoch: -1, base_sequence: -1 }
    }

    /// Appends the head of a batch with `body` behind it.
    pub(crate) fn encode(&self, body: &Body, to: &mut Vec<u8>) {
        let mut head = [0_u8; HEAD_BYTES];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            head[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&0_i64.to_be_bytes()); // base offset: the broker's
        put(&((body.batch_bytes() - 12) as i32).to_be_bytes());
        put(&(-1_i32).to_be_bytes()); // leader epoch: the broker's
        put(&[2]);
        put(&[0; 4]); // CRC, below
        put(&body.attributes.to_be_bytes());
        put(&(body.count - 1).to_be_bytes());
        put(&self.timestamp_ms.to_be_bytes());
        put(&self.timestamp_ms.to_be_bytes());
        put(&self.producer_id.to_be_bytes());
        put(&self.producer_epoch.to_be_bytes());
        put(&self.base_sequence.to_be_bytes());
        put(&body.count.to_be_bytes());
        let crc = body.crc_behind(crc32c::crc32c(&head[CRC_FROM..]));
        head[CRC_FROM - 4..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
        to.extend_from_slice(&head);
    }
}

fn varint(value: i64, to: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        to.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    to.push(rest as u8);
}

fn varint_bytes(value: i64) -> usize {
    let zigzag = ((value << 1) ^ (value >> 63)) as u64;
    (64 - (zigzag | 1).leading_zeros() as usize).div_ceil(7)
}

/// Encodes records, all with the batch's own timestamp.
#[derive(Debug, Default)]
pub(crate) struct RecordsWriter {
    bytes: Vec<u8>,
    count: i32,
    payload_bytes: u64,
}

impl RecordsWriter {
    pub(crate) fn push(&mut self, key: Option<&[u8]>, value: &[u8]) {
        let offset_delta = i64::from(self.count);
        let key_length = key.map_or(-1, |key| key.len() as i64);
        let key_bytes = key.unwrap_or_default();
        // Attributes, timestamp delta and header count are one zero byte each.
        let length = 3
            + varint_bytes(offset_delta)
            + varint_bytes(key_length)
            + key_bytes.len()
            + varint_bytes(value.len() as i64)
            + value.len();
        varint(length as i64, &mut self.bytes);
        self.bytes.extend_from_slice(&[0, 0]);
        varint(offset_delta, &mut self.bytes);
        varint(key_length, &mut self.bytes);
        self.bytes.extend_from_slice(key_bytes);
        varint(value.len() as i64, &mut self.bytes);
        self.bytes.extend_from_slice(value);
        self.bytes.push(0);
        self.count += 1;
        self.payload_bytes += (key_bytes.len() + value.len()) as u64;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn finish(self) -> Body {
        Body::new(Bytes::from(self.bytes), self.count, self.payload_bytes, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combined_crc_is_the_crc_of_the_whole() {
        for length in [1, 100, 5000, 300_000] {
            let mut writer = RecordsWriter::default();
            writer.push(Some(b"key"), &vec![0xa5; length]);
            writer.push(None, b"second");
            let once = writer.finish();
            let shared = once.clone().shared();
            for (body, base_sequence) in [(&once, -1), (&shared, 0), (&shared, 77)] {
                let head = BatchHead {
                    timestamp_ms: 1_700_000_000_000,
                    producer_id: 4,
                    producer_epoch: 1,
                    base_sequence,
                };
                let mut batch = Vec::new();
                head.encode(body, &mut batch);
                batch.extend_from_slice(&body.records);
                let stored = u32::from_be_bytes(batch[17..21].try_into().unwrap());
                assert_eq!(stored, crc32c::crc32c(&batch[21..]), "{length} {base_sequence}");
            }
        }
    }

    #[test]
    fn varint_sizes_are_what_is_written() {
        for value in [0, -1, 1, 63, 64, -64, -65, 8191, 8192, i64::from(i32::MAX), i64::MIN] {
            let mut bytes = Vec::new();
            varint(value, &mut bytes);
            assert_eq!(bytes.len(), varint_bytes(value), "{value}");
        }
    }
}
