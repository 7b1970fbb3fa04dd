//! What is in the records: random bytes with a compressible share, and the batches made of them.

use bytes::Bytes;
use ringmain::batch;
use ringmain::stdx::prng::Prng;

use super::{Body, RecordsWriter};
use crate::failure::Failure;
use crate::options::Compression;

/// How records look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Payloads {
    /// Size of a record's value, in bytes.
    pub(crate) record_bytes: usize,
    /// Share of a value that compresses to nothing, 0 to 1.
    pub(crate) compressible: f64,
    /// Distinct keys; 0 for records without key.
    pub(crate) keys: u64,
    /// Codec of the batches.
    pub(crate) compression: Compression,
}

impl Payloads {
    /// Fills `value` with random bytes in front and a constant behind, in the shares asked for.
    pub(crate) fn fill(&self, random: &mut Prng, value: &mut [u8]) {
        let random_bytes = (value.len() as f64 * (1.0 - self.compressible)).round() as usize;
        let (front, back) = value.split_at_mut(random_bytes.min(value.len()));
        random.fill(front);
        back.fill(b'r');
    }

    /// Turns encoded records into a body with this codec.
    pub(crate) fn finish(&self, records: RecordsWriter) -> Body {
        compress(self.compression, records.finish())
    }
}

/// Batches made before the run, which every request picks from.
#[derive(Debug)]
pub(crate) struct Templates {
    /// Without keys: bodies for any partition.
    pub(crate) bodies: Vec<Body>,
    /// With keys: per template the batches of the partitions that its keys fall on, by partition.
    pub(crate) keyed: Vec<Vec<(i32, Body)>>,
}

/// Distinct templates are made until they have this many bytes together: enough that no codec or
/// cache sees the same bytes at once, and little enough to stay in a last-level cache.
const TEMPLATE_BYTES: usize = 4 * 1024 * 1024;
const TEMPLATES_MAX: usize = 64;

impl Templates {
    /// Makes templates of `records` records each.
    pub(crate) fn new(
        payloads: &Payloads,
        records: usize,
        partitions: i32,
        seed: u64,
    ) -> Templates {
        let mut random = Prng::new(seed);
        let bytes = records * payloads.record_bytes.max(1);
        let count = (TEMPLATE_BYTES / bytes).clamp(2, TEMPLATES_MAX);
        let mut templates = Templates { bodies: Vec::new(), keyed: Vec::new() };
        let mut value = vec![0; payloads.record_bytes];
        for _ in 0..count {
            if payloads.keys == 0 {
                let mut writer = RecordsWriter::default();
                for _ in 0..records {
                    payloads.fill(&mut random, &mut value);
                    writer.push(None, &value);
                }
                templates.bodies.push(payloads.finish(writer).shared());
                continue;
            }
            let mut writers: Vec<RecordsWriter> = Vec::new();
            writers.resize_with(partitions as usize, RecordsWriter::default);
            for _ in 0..records {
                let key = random.below(payloads.keys).to_be_bytes();
                payloads.fill(&mut random, &mut value);
                let partition = partition_of(&key, partitions);
                if let Some(writer) = writers.get_mut(partition as usize) {
                    writer.push(Some(&key), &value);
                }
            }
            let mut batches = Vec::new();
            for (partition, writer) in (0..).zip(writers) {
                if !writer.is_empty() {
                    batches.push((partition, payloads.finish(writer).shared()));
                }
            }
            templates.keyed.push(batches);
        }
        templates
    }
}

/// The partition Kafka's default partitioner gives a key.
pub(crate) fn partition_of(key: &[u8], partitions: i32) -> i32 {
    ((murmur2(key) & 0x7fff_ffff) % partitions.unsigned_abs().max(1)) as i32
}

fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ data.len() as u32;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut word = chunk.iter().rev().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        word = word.wrapping_mul(M);
        word ^= word >> 24;
        word = word.wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ word;
    }
    let tail = chunks.remainder();
    if !tail.is_empty() {
        hash ^= tail.iter().rev().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

/// The records of a batch may decompress to this much.
const DECOMPRESSED_BYTES_MAX: usize = 1 << 30;

fn compress(compression: Compression, body: Body) -> Body {
    let codec = match compression {
        Compression::None => return body,
        Compression::Gzip => batch::Compression::Gzip,
        Compression::Snappy => batch::Compression::Snappy,
        Compression::Lz4 => batch::Compression::Lz4,
        Compression::Zstd => batch::Compression::Zstd,
    };
    let compressed = batch::compress(codec, &body.records, None);
    Body::new(Bytes::from(compressed), body.count, body.payload_bytes, i16::from(codec.id()))
}

/// The records of a batch with these attributes; `None` when they are not compressed.
pub(super) fn decompress(attributes: i16, stored: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
    let id = (attributes & 7) as u8;
    match batch::Compression::from_id(id) {
        Some(batch::Compression::None) => Ok(None),
        Some(codec) => batch::decompress(codec, stored, DECOMPRESSED_BYTES_MAX)
            .map(Some)
            .map_err(|_| Failure::Malformed(format!("records that are not valid {codec}"))),
        None => Err(Failure::Malformed(format!("compression codec {id}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_is_kafkas() {
        // From Kafka's own test of its partitioner.
        let cases: [(&[u8], i32); 6] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ];
        for (key, hash) in cases {
            assert_eq!(murmur2(key), hash as u32);
        }
    }

    #[test]
    fn every_codec_reads_back() {
        let all = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
        for compression in all {
            let payloads = Payloads { record_bytes: 500, compressible: 0.8, keys: 0, compression };
            let mut random = Prng::new(3);
            let mut writer = RecordsWriter::default();
            let mut value = vec![0; 500];
            let mut values = Vec::new();
            for _ in 0..20 {
                payloads.fill(&mut random, &mut value);
                writer.push(None, &value);
                values.push(value.clone());
            }
            let body = payloads.finish(writer);
            assert!(body.records.len() < 20 * 400, "{compression:?} {}", body.records.len());
            let mut bytes = Vec::new();
            crate::batch::BatchHead::plain(1).encode(&body, &mut bytes);
            bytes.extend_from_slice(&body.records);
            let mut read = Vec::new();
            crate::batch::walk(&bytes, |view| {
                assert!(view.crc_matches());
                view.records(|record| {
                    read.push(record.value.to_vec());
                    Ok(())
                })
            })
            .unwrap();
            assert_eq!(read, values, "{compression:?}");
        }
    }

    #[test]
    fn keyed_templates_put_each_key_on_its_partition() {
        let payloads = Payloads {
            record_bytes: 16,
            compressible: 0.5,
            keys: 100,
            compression: Compression::None,
        };
        let templates = Templates::new(&payloads, 50, 8, 1);
        for template in &templates.keyed {
            assert_eq!(template.iter().map(|(_, body)| body.count).sum::<i32>(), 50);
            assert!(template.len() > 4);
        }
    }
}
