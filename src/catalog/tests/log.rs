//! Frames and snapshots: what a crash and what a fault leaves behind.

use super::super::frame::{EndReason, FRAME_HEADER_BYTES, encode, encode_group};
use super::super::*;
use super::{apply_all, create, named, started};
use crate::ids::ProducerId;

fn ids(next: i64) -> Record {
    Record::ProducerIdsAllocated { next: ProducerId(next) }
}

fn read(bytes: &[u8]) -> (Vec<u64>, Result<LogEnd, LogError>) {
    let mut reader = CatalogLogReader::new(bytes, 0);
    let mut sequences = Vec::new();
    for entry in reader.by_ref() {
        match entry {
            Ok(entry) => sequences.push(entry.sequence),
            Err(error) => return (sequences, Err(error)),
        }
    }
    (sequences, Ok(reader.end().unwrap()))
}

#[test]
fn a_torn_group_is_cut_off_whole_at_every_byte() {
    let mut log = encode(&ids(1), 1);
    log.extend(encode(&ids(2), 2));
    let whole = log.len();
    log.extend(encode_group(&[ids(3), ids(4), ids(5)], 3));
    assert_eq!(read(&log).0, [1, 2, 3, 4, 5]);
    for cut in whole..log.len() {
        let (sequences, end) = read(&log[..cut]);
        let end = end.unwrap();
        assert_eq!((sequences, end.valid_bytes), (vec![1, 2], whole), "cut at {cut}");
        assert_eq!(end.reason.is_torn(), cut > whole, "cut at {cut}: {}", end.reason);
        // The same where the file was allocated before: zeroes instead of an end.
        // (A frame that ends in zeroes is whole again then, which is as good.)
        let mut blank = log[..cut].to_vec();
        blank.resize(log.len() + 100, 0);
        if blank.starts_with(&log) {
            continue;
        }
        let (sequences, end) = read(&blank);
        assert_eq!((sequences.len(), end.unwrap().valid_bytes), (2, whole), "blank from {cut}");
    }
    // Of one write, later sectors may have arrived without earlier ones.
    for lost in whole..whole + FRAME_HEADER_BYTES {
        let mut torn = log.clone();
        torn[lost] ^= 0xff;
        let (sequences, end) = read(&torn);
        assert_eq!((sequences.len(), end.unwrap().valid_bytes), (2, whole), "lost {lost}");
    }
}

#[test]
fn damage_before_a_later_group_is_never_cut() {
    let mut log = encode(&ids(1), 1);
    let damaged_from = log.len();
    log.extend(encode_group(&[ids(2), ids(3)], 2));
    let damaged_to = log.len();
    log.extend(encode(&ids(4), 4));
    for at in damaged_from..damaged_to {
        let mut damaged = log.clone();
        damaged[at] ^= 0x10;
        let (_, end) = read(&damaged);
        let Err(LogError::Corrupt { later_sequence, later_position, .. }) = end else {
            panic!("byte {at}: {end:?}")
        };
        assert_eq!((later_sequence, later_position), (4, damaged_to), "byte {at}");
    }
}

#[test]
fn damage_to_the_first_group_of_a_later_file_is_seen() {
    let mut log = encode(&ids(8), 8);
    let first = log.len();
    log.extend(encode(&ids(9), 9));
    log[FRAME_HEADER_BYTES] ^= 1;
    let end = |version| {
        let mut reader = CatalogLogReader::new(&log, version);
        let error = reader.by_ref().find_map(Result::err);
        (error, reader.end())
    };
    // With a snapshot that has record 8 the damage is harmless, but it hides that 9 was durable.
    assert!(matches!(end(8), (Some(LogError::Corrupt { later_sequence: 9, .. }), None)));
    assert!(matches!(end(9).1, Some(LogEnd { valid_bytes: 0, last_sequence: None, .. })));
    let (error, _) = end(7);
    assert!(
        matches!(error, Some(LogError::Corrupt { later_position, .. }) if later_position == first)
    );
}

#[test]
fn old_frames_of_a_recycled_file_do_not_count() {
    let mut log = encode(&ids(10), 10);
    let valid = log.len();
    log.extend(encode(&ids(3), 3));
    log.extend(encode(&ids(4), 4));
    let mut reader = CatalogLogReader::new(&log, 9);
    assert_eq!(reader.by_ref().count(), 1);
    let end = reader.end().unwrap();
    assert_eq!((end.valid_bytes, end.reason), (valid, EndReason::Stale));
    assert_eq!(end.last_sequence, Some(10));
}

#[test]
fn newer_formats_and_unknown_kinds_are_named() {
    let reframe = |version: u16, kind: u16| {
        let mut frame = encode(&ids(1), 1);
        frame[4..6].copy_from_slice(&version.to_le_bytes());
        frame[6..8].copy_from_slice(&kind.to_le_bytes());
        let crc = crc32c::crc32c(&frame[4..12]);
        let crc = crc32c::crc32c_append(crc, &frame[16..]);
        frame[12..16].copy_from_slice(&crc.to_le_bytes());
        read(&frame).1
    };
    let newer = reframe(2, 8).unwrap_err();
    assert_eq!(newer, LogError::NewerFormat { position: 0, found: 2 });
    assert!(newer.to_string().contains("start the newer release"));
    let unknown = reframe(1, 99).unwrap_err();
    assert_eq!(unknown, LogError::UnknownKind { position: 0, kind: 99, format_version: 1 });
    assert!(matches!(reframe(1, 5).unwrap_err(), LogError::Malformed { position: 0, .. }));
}

#[test]
fn a_gap_between_snapshot_and_log_is_an_error() {
    let mut catalog = started(&[]);
    let next = catalog.next_sequence();
    let gap = encode(&ids(1), next + 1);
    let error = catalog.replay(&gap).unwrap_err();
    assert_eq!(error, LoadError::Log(LogError::Gap { expected: next, found: next + 1 }));
}

#[test]
fn a_log_that_ends_before_its_snapshot_starts_over() {
    let mut catalog = started(&[]);
    let mut log = encode(&ids(1), catalog.next_sequence());
    let one = log.len();
    apply_all(&mut catalog, &[ids(1)]);
    log.extend(encode(&ids(2), catalog.next_sequence()));
    apply_all(&mut catalog, &[ids(2)]);
    let snapshot = encode_snapshot(catalog.image());
    let load = |log: &[u8]| Catalog::load(Some(&snapshot), log, super::statics(&[])).unwrap();
    assert_eq!(load(&log).end.valid_bytes, log.len());
    let torn = load(&log[..log.len() - 1]);
    assert_eq!(torn.catalog.image(), catalog.image());
    assert_eq!(torn.end.valid_bytes, 0);
    // Overwritten from the start, it continues the snapshot; the old frame behind does not count.
    let next = encode(&ids(3), catalog.next_sequence());
    assert_eq!(next.len(), one);
    log[..one].copy_from_slice(&next);
    let again = load(&log);
    assert_eq!(again.catalog.image().next_producer_id, ProducerId(3));
    assert_eq!(again.end.valid_bytes, one);
}

#[test]
fn no_bytes_make_the_reader_panic() {
    let mut log = encode_group(&[ids(1), ids(2)], 1);
    log.extend(encode(&ids(3), 3));
    let mut prng = crate::stdx::prng::Prng::new(11);
    for round in 0..20_000 {
        let mut bytes = log.clone();
        for _ in 0..=prng.below(3) {
            let at = prng.below(bytes.len() as u64) as usize;
            bytes[at] = prng.next_u64() as u8;
        }
        bytes.truncate(prng.below(bytes.len() as u64 + 1) as usize);
        let (sequences, _) = read(&bytes);
        assert!(sequences.iter().copied().eq(1..=sequences.len() as u64), "round {round}");
    }
    for kind in 0..12 {
        for _ in 0..2_000 {
            let mut bytes = vec![0; prng.below(80) as usize];
            prng.fill(&mut bytes);
            if prng.chance(1, 2) {
                bytes.iter_mut().for_each(|byte| *byte &= 3);
            }
            // Whatever decodes, encodes to what it was.
            if let Ok(record) = record_codec::decode_record(kind, &bytes) {
                let again = record_codec::encode_record(&record);
                let second = record_codec::decode_record(kind, &again);
                assert_eq!(second, Ok(record));
            }
        }
    }
}

#[test]
fn snapshots_are_whole_or_refused() {
    let mut catalog = started(&[]);
    create(&mut catalog, named("t", 3)).unwrap();
    let bytes = encode_snapshot(catalog.image());
    assert_eq!(decode_snapshot(&bytes).unwrap(), **catalog.image());
    for cut in 0..bytes.len() {
        assert!(decode_snapshot(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(decode_snapshot(&longer), Err(SnapshotError::Length));
    for at in (0..6).chain(8..20).chain(32..bytes.len()) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        assert!(decode_snapshot(&damaged).is_err(), "damaged at {at}");
    }
    let mut newer = bytes;
    newer[4] = 2;
    assert_eq!(decode_snapshot(&newer), Err(SnapshotError::NewerFormat { found: 2 }));
    assert_eq!(
        decode_snapshot(b"something else entirely, long enough"),
        Err(SnapshotError::NoMagic)
    );
}

#[test]
fn records_print_for_people_and_hide_secrets() {
    let mut catalog = started(&[]);
    let topic =
        TopicCreation { configs: vec![("retention.ms".into(), Some("5".into()))], ..named("t", 2) };
    let plan = catalog.plan_create_topics(&[topic], &[[7; 16]], false);
    assert_eq!(
        plan.records[0].to_string(),
        "TopicCreated name=t topicId=BwcHBwcHRweHBwcHBwcHBw partitions=\
         [0:leader=1,epoch=0,replicas=1 1:leader=1,epoch=0,replicas=1] retention.ms=5"
    );
    let secret = Record::ConfigSet {
        resource: ConfigResource::Cluster,
        key: "ssl.key.passwrd".into(),
        value: "hunter2".into(),
    };
    assert_eq!(secret.to_string(), "ConfigSet all brokers: ssl.key.passwrd=[hidden]");
    apply_all(&mut catalog, &[secret]);
    apply_all(&mut catalog, &plan.records);
    let cluster_id = catalog.image().cluster_id.clone();
    assert_eq!(
        catalog.image().to_string(),
        format!(
            "version=4 clusterId={cluster_id} nodeId=1 incarnation=1 nextProducerId=0\n\
             broker 1: epoch=2 incarnation=1 endpoints=PLAINTEXT://localhost:9092\n\
             all brokers: ssl.key.passwrd=[hidden]\n\
             topic t: topicId=BwcHBwcHRweHBwcHBwcHBw partitions=\
             [0:leader=1,epoch=0,replicas=1 1:leader=1,epoch=0,replicas=1] retention.ms=5\n"
        )
    );
}
