//! Batches that Kafka's Java client 4.4 wrote, byte for byte, against our reading and writing.

use super::*;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use crate::limits;
use crate::time::Timestamp;

const NONE: &str = "00000000000000000000008effffffff02c213bbe10000000000020000018bcfe568000000018bcfe568fa00\
     00000000001b5800037fffffff000000035a000000066b65793a76616c75652076616c75652076616c756520\
     76616c75652076616c75650402680278026e014800f40302013a76616c75652076616c75652076616c756520\
     76616c75652076616c75650012001304066b65790100";
const GZIP: &str = "00000000000000000000006fffffffff023fd5ba0e0001000000020000018bcfe568000000018bcfe568fa00\
     00000000001b5800037fffffff000000031f8b08000000000000ff8b62606060cb4eadb42a4bcc294d55c041\
     b23065305530e5317a307c616662c4af9641884198056424230300fc46e4745d000000";
const SNAPPY: &str = "000000000000000000000077ffffffff0272a2352b0002000000020000018bcfe568000000018bcfe568fa00\
     00000000001b5800037fffffff0000000382534e41505059000000000100000001000000325d385a00000006\
     6b65793a76616c7565205a0600340402680278026e014800f4030201762c00280012001304066b65790100";
const LZ4: &str = "000000000000000000000072ffffffff0210aaf3fe0003000000020000018bcfe568000000018bcfe568fa00\
     00000000001b5800037fffffff0000000304224d1860408232000000ff005a000000066b65793a76616c7565\
     20060004ef0402680278026e014800f40302012c000bb00012001304066b6579010000000000";
const ZSTD: &str = "00000000000000000000006fffffffff0287acbfd50004000000020000018bcfe568000000018bcfe568fa00\
     00000000001b5800037fffffff0000000328b52ffd005894010084025a000000066b65793a76616c75652004\
     02680278026e014800f40302010012001304066b6579010002004f894aea5207010000";
const COMMIT: &str = "000000000000002a00000042000000050294d3b09f0030000000000000018bcfe568000000018bcfe5680000\
     00000000001b580003ffffffff000000012000000008000000010c00000000000900";

const VALUE: &[u8] = b"value value value value value";

pub(super) fn bytes_of(hex: &str) -> Vec<u8> {
    let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { panic!("whole bytes") };
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.iter().map(|pair| byte(pair)).collect()
}

fn built() -> BatchBuilder {
    let mut builder =
        BatchBuilder::new().producer(ProducerId(7000), ProducerEpoch(3), Sequence(i32::MAX));
    let headers = [Header { key: b"h", value: Some(b"x") }, Header { key: b"n", value: None }];
    builder.add(Timestamp(1_700_000_000_000), Some(b"key"), Some(VALUE), &headers);
    builder.add(Timestamp(1_700_000_000_250), None, Some(VALUE), &[]);
    builder.add(Timestamp(1_699_999_999_990), Some(b"key"), None, &[]);
    builder
}

#[test]
fn every_codec_of_the_java_client_is_read() {
    for (hex, compression) in [NONE, GZIP, SNAPPY, LZ4, ZSTD].into_iter().zip(Compression::ALL) {
        let bytes = bytes_of(hex);
        let header = check_produce(&bytes).unwrap();
        assert_eq!(header.compression(), Ok(compression));
        assert_eq!(header.size(), bytes.len());
        assert_eq!(header.max_timestamp, Timestamp(1_700_000_000_250));
        let producer = header.producer().unwrap();
        assert_eq!(producer.first_sequence, Sequence(i32::MAX));
        assert_eq!(producer.last_sequence, Sequence(1));
        let records = Records::open(&bytes, limits::DECOMPRESSED_BYTES_MAX).unwrap();
        let ours = built().build();
        let our_records = Records::open(&ours, 0).unwrap();
        let theirs: Vec<Record<'_>> = records.iter().map(Result::unwrap).collect();
        let ours: Vec<Record<'_>> = our_records.iter().map(Result::unwrap).collect();
        assert_eq!(theirs, ours, "{compression}");
        assert_eq!(theirs.len(), 3);
    }
}

#[test]
fn the_builder_writes_what_the_java_client_writes() {
    assert_eq!(built().build(), bytes_of(NONE));
    // The snappy streams of both sides are the same library's, so even these agree.
    assert_eq!(built().compression(Compression::Snappy, None).build(), bytes_of(SNAPPY));
}

#[test]
fn a_commit_marker_is_what_the_java_broker_writes() {
    let commit = ControlRecord::Commit { coordinator_epoch: 9 };
    let marker = control_batch(
        &commit,
        Some((ProducerId(7000), ProducerEpoch(3))),
        Offset(42),
        LeaderEpoch(5),
        Timestamp(1_700_000_000_000),
    );
    assert_eq!(marker, bytes_of(COMMIT));
    let header = check(&marker).unwrap();
    let stamp = header.producer().unwrap();
    assert!(stamp.control && stamp.transactional);
    assert_eq!((stamp.first_sequence, stamp.last_sequence), (NO_SEQUENCE, NO_SEQUENCE));
    assert_eq!(control_record(&marker), Ok(Some((Offset(42), commit))));
}
