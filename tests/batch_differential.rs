//! Our record batches against an independent implementation, the `kafka-protocol` crate: what one
//! writes the other reads, and both see the same. Its codecs are not compiled in, so compressed
//! batches cross over with our codecs in its frame; the codecs themselves are held against bytes of
//! the Java client in the unit tests.

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    self as oracle, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions,
};
use ringmain::batch::{
    BatchBuilder, Compression, Header, Records, check, check_produce, compress, decompress,
};
use ringmain::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use ringmain::stdx::prng::Prng;
use ringmain::time::Timestamp;

const LIMIT: usize = 1 << 22;

fn theirs(compression: Compression) -> oracle::Compression {
    match compression {
        Compression::None => oracle::Compression::None,
        Compression::Gzip => oracle::Compression::Gzip,
        Compression::Snappy => oracle::Compression::Snappy,
        Compression::Lz4 => oracle::Compression::Lz4,
        Compression::Zstd => oracle::Compression::Zstd,
    }
}

fn ours(compression: oracle::Compression) -> Compression {
    let found = Compression::ALL.into_iter().find(|ours| theirs(*ours) == compression);
    found.expect("both know the same codecs")
}

fn field(prng: &mut Prng) -> Option<Bytes> {
    if prng.chance(1, 6) {
        return None;
    }
    let longest = if prng.chance(1, 10) { 20_000 } else { 100 };
    let mut bytes = vec![0; prng.below(longest) as usize];
    if prng.chance(1, 2) {
        prng.fill(&mut bytes);
    }
    Some(Bytes::from(bytes))
}

/// Records of one batch: one producer, one base, rising offsets.
fn records(prng: &mut Prng) -> Vec<oracle::Record> {
    let base_offset = prng.below(1 << 40) as i64;
    let base_timestamp = prng.below(1 << 42) as i64;
    let producer_id = prng.below(1 << 50) as i64;
    let producer_epoch = prng.below(1 << 15) as i16;
    let base_sequence = prng.below(1 << 30) as i32;
    let partition_leader_epoch = prng.below(1000) as i32;
    let transactional = prng.chance(1, 2);
    let count = prng.between(1, 30);
    let mut timestamp = base_timestamp;
    (0..count)
        .map(|at| {
            let headers: IndexMap<StrBytes, Option<Bytes>> = (0..prng.below(4))
                .map(|n| (StrBytes::from_string(format!("header {n}")), field(prng)))
                .collect();
            let record = oracle::Record {
                transactional,
                control: false,
                delete_horizon: false,
                partition_leader_epoch,
                producer_id,
                producer_epoch,
                timestamp_type: oracle::TimestampType::Creation,
                offset: base_offset + at as i64,
                sequence: base_sequence + at as i32,
                timestamp,
                key: field(prng),
                value: field(prng),
                headers,
            };
            timestamp = base_timestamp + prng.below(1 << 20) as i64;
            record
        })
        .collect()
}

fn build(records: &[oracle::Record], compression: Compression) -> BytesMut {
    let first = records.first().expect("a batch has records");
    let mut builder = BatchBuilder::new()
        .placed(Offset(first.offset), LeaderEpoch(first.partition_leader_epoch))
        .producer(
            ProducerId(first.producer_id),
            ProducerEpoch(first.producer_epoch),
            Sequence(first.sequence),
        )
        .compression(compression, None);
    if first.transactional {
        builder = builder.transactional();
    }
    for record in records {
        let headers: Vec<Header<'_>> = record
            .headers
            .iter()
            .map(|(key, value)| Header { key: key.as_bytes(), value: value.as_deref() })
            .collect();
        let timestamp = Timestamp(record.timestamp);
        builder.add(timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
    }
    builder.build()
}

fn assert_same(batch: &[u8], expected: &[oracle::Record], seed: u64) {
    let records = Records::open(batch, LIMIT).expect("the batch opens");
    let mut found = records.iter();
    for expected in expected {
        let record = found.next().expect("as many records").expect("a good record");
        assert_eq!(record.offset, Offset(expected.offset), "seed {seed}");
        assert_eq!(record.timestamp, Timestamp(expected.timestamp), "seed {seed}");
        assert_eq!(record.key, expected.key.as_deref(), "seed {seed}");
        assert_eq!(record.value, expected.value.as_deref(), "seed {seed}");
        let headers: Vec<(&[u8], Option<&[u8]>)> =
            record.headers.iter().map(|header| (header.key, header.value)).collect();
        let expected: Vec<(&[u8], Option<&[u8]>)> =
            expected.headers.iter().map(|(k, v)| (k.as_bytes(), v.as_deref())).collect();
        assert_eq!(headers, expected, "seed {seed}");
    }
    assert_eq!(found.next(), None, "seed {seed}");
}

#[test]
fn what_the_oracle_writes_we_read() {
    for seed in 0..300 {
        let mut prng = Prng::new(seed);
        let expected = records(&mut prng);
        let compression = Compression::ALL[seed as usize % 5];
        let options = RecordEncodeOptions { version: 2, compression: theirs(compression) };
        let mut batch = BytesMut::new();
        RecordBatchEncoder::encode_with_custom_compression(
            &mut batch,
            &expected,
            &options,
            Some(|body: &mut BytesMut, out: &mut BytesMut, codec| {
                out.extend_from_slice(&compress(ours(codec), body, None));
                Ok(())
            }),
        )
        .unwrap();
        let header = check(&batch).unwrap();
        assert_eq!(header.compression(), Ok(compression), "seed {seed}");
        let stamp = header.producer().unwrap();
        let (first, last) = (&expected[0], &expected[expected.len() - 1]);
        assert_eq!(stamp.id, ProducerId(first.producer_id), "seed {seed}");
        assert_eq!(stamp.epoch, ProducerEpoch(first.producer_epoch), "seed {seed}");
        assert_eq!(stamp.first_sequence, Sequence(first.sequence), "seed {seed}");
        assert_eq!(stamp.last_sequence, Sequence(last.sequence), "seed {seed}");
        assert_eq!(stamp.transactional, first.transactional, "seed {seed}");
        assert_eq!(header.last_offset(), Offset(last.offset), "seed {seed}");
        assert_same(&batch, &expected, seed);
    }
}

#[test]
fn what_we_write_the_oracle_reads() {
    for seed in 0..300 {
        let mut prng = Prng::new(seed);
        let expected = records(&mut prng);
        let compression = Compression::ALL[seed as usize % 5];
        let batch = build(&expected, compression);
        assert_same(&batch, &expected, seed);
        let mut bytes = batch.freeze();
        let set = RecordBatchDecoder::decode_with_custom_compression(
            &mut bytes,
            Some(|body: &mut Bytes, codec| Ok(Bytes::from(decompress(ours(codec), body, LIMIT)?))),
        )
        .unwrap();
        assert!(bytes.is_empty(), "seed {seed}");
        assert_eq!(set.records, expected, "seed {seed}");
    }
}

#[test]
fn uncompressed_batches_are_the_same_bytes() {
    for seed in 1000..1200 {
        let mut prng = Prng::new(seed);
        let mut expected = records(&mut prng);
        // The oracle counts timestamps from the smallest, Kafka and we from the first.
        let smallest = expected.iter().map(|record| record.timestamp).min().unwrap();
        expected[0].timestamp = smallest;
        let options = RecordEncodeOptions { version: 2, compression: oracle::Compression::None };
        let mut batch = BytesMut::new();
        RecordBatchEncoder::encode(&mut batch, &expected, &options).unwrap();
        assert_eq!(build(&expected, Compression::None), batch, "seed {seed}");
    }
}

#[test]
fn a_produced_batch_passes_and_the_oracle_agrees_on_damage() {
    for seed in 0..50 {
        let mut prng = Prng::new(seed);
        let mut batch = build(&records(&mut prng), Compression::None);
        ringmain::batch::stamp(&mut batch, Offset(0), LeaderEpoch(-1));
        assert!(check_produce(&batch).is_ok(), "seed {seed}");
        let at = prng.between(17, batch.len() as u64 - 1) as usize;
        batch[at] ^= 1 << prng.below(8);
        assert!(check_produce(&batch).is_err(), "seed {seed}");
        let mut bytes = batch.freeze();
        assert!(RecordBatchDecoder::decode(&mut bytes).is_err(), "seed {seed}");
    }
}
