//! Bytes that lie: damage, garbage, cuts and bombs, against everything that reads a batch.

use super::golden::bytes_of;
use super::*;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use crate::limits;
use crate::stdx::prng::Prng;
use crate::time::Timestamp;

/// Small enough for a debug build to decompress in every iteration.
const LIMIT: usize = 1 << 20;

fn sample(compression: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new()
        .producer(ProducerId(5), ProducerEpoch(0), Sequence(0))
        .compression(compression, None);
    for at in 0..5_u8 {
        let value = [at; 40];
        let headers = [Header { key: b"trace", value: Some(&[at]) }];
        builder.add(Timestamp(1000 + i64::from(at)), Some(&[at]), Some(&value), &headers);
    }
    builder.build().to_vec()
}

/// Everything that may be done with bytes of unknown origin. Returns how many records were read.
fn read_all(bytes: &[u8]) -> usize {
    let _ = check(bytes);
    let _ = check_produce(bytes);
    let _ = find_timestamp(bytes, Timestamp(1002));
    let _ = control_record(bytes);
    let mut located = Batches::new(bytes);
    let walked: usize = located.by_ref().map(|batch| batch.bytes.len()).sum();
    assert_eq!(walked, located.position());
    assert!(walked == bytes.len() || located.stopped_by().is_some());
    let Ok(header) = BatchHeader::parse(bytes) else { return 0 };
    assert!(HEADER_BYTES <= header.size());
    let _ = (header.next_offset(), header.producer(), header.compression());
    let Ok(records) = Records::open(bytes, LIMIT) else { return 0 };
    let mut count = 0;
    for record in &records {
        let Ok(record) = record else { break };
        assert_eq!(record.headers.iter().count(), record.headers.count());
        count += 1;
    }
    count
}

/// Puts length and checksum right, so that the damage gets past them.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let batch_length = bytes.len().saturating_sub(LENGTH_PREFIX_BYTES) as i32;
    if let Some(length) = bytes.get_mut(8..12) {
        length.copy_from_slice(&batch_length.to_be_bytes());
    }
    let crc = check::computed_crc(&bytes);
    if let Some(field) = bytes.get_mut(17..21) {
        field.copy_from_slice(&crc.to_be_bytes());
    }
    bytes
}

/// A batch around a body that the builder would not write.
fn around(compression: Compression, record_count: i32, body: &[u8]) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.extend_to(record_count - 1);
    let mut bytes = builder.build().to_vec();
    bytes.extend_from_slice(body);
    for (slot, byte) in bytes.iter_mut().skip(22).zip([compression.id()]) {
        *slot = byte;
    }
    for (slot, byte) in bytes.iter_mut().skip(57).zip(record_count.to_be_bytes()) {
        *slot = byte;
    }
    sealed(bytes)
}

#[test]
fn damage_to_any_byte_is_found() {
    for compression in Compression::ALL {
        let good = sample(compression);
        assert!(check_produce(&good).is_ok());
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                if let Some(byte) = bad.get_mut(at) {
                    *byte ^= 1 << bit;
                }
                // Base offset and leader epoch are the broker's to change.
                if matches!(at, 0..8 | 12..16) {
                    // The top bit makes the offset negative, which is nonsense, not damage.
                    assert_eq!(check(&bad).is_ok(), (at, bit) != (0, 7), "byte {at} bit {bit}");
                } else {
                    assert!(check(&bad).is_err(), "byte {at} bit {bit}");
                    assert!(check_produce(&bad).is_err(), "byte {at} bit {bit}");
                }
            }
        }
    }
}

#[test]
fn cuts_anywhere_are_refused() {
    for compression in Compression::ALL {
        let good = sample(compression);
        for length in 0..good.len() {
            let cut = good.get(..length).unwrap();
            let error = check(cut).unwrap_err();
            assert!(matches!(error, BatchError::Truncated { present, .. } if present == length));
            assert_eq!(error.refusal(), Refusal::InvalidRecord);
            assert_eq!(read_all(cut), 0);
            // A cut that is sealed again has five records in its header and not in its body.
            let count = read_all(&sealed(cut.to_vec()));
            assert!(count < 5, "{compression} cut at {length}");
        }
        assert_eq!(read_all(&good), 5);
    }
}

#[test]
fn garbage_never_panics() {
    let seed = 0x5eed_ba7c;
    let mut prng = Prng::new(seed);
    for _ in 0..20_000 {
        let mut bytes = vec![0; prng.below(200) as usize];
        prng.fill(&mut bytes);
        // Pure noise rarely gets past the magic byte.
        if let Some(magic) = bytes.get_mut(16)
            && prng.chance(9, 10)
        {
            *magic = 2;
        }
        if prng.chance(3, 4) {
            bytes = sealed(bytes);
        }
        read_all(&bytes);
    }
}

#[test]
fn mutations_never_panic() {
    let seed = 0x00dd_ba11;
    let mut prng = Prng::new(seed);
    let samples: Vec<Vec<u8>> = Compression::ALL.into_iter().map(sample).collect();
    for _ in 0..40_000 {
        let mut bytes = samples.get(prng.below(5) as usize).unwrap().clone();
        for _ in 0..prng.between(1, 4) {
            let at = prng.between(21, bytes.len() as u64 - 1) as usize;
            if let Some(byte) = bytes.get_mut(at) {
                *byte = match prng.below(4) {
                    0 => 0xff,
                    1 => 0,
                    2 => *byte ^ (1 << prng.below(8)),
                    _ => prng.next_u64() as u8,
                };
            }
        }
        read_all(&sealed(bytes));
    }
}

#[test]
fn codecs_take_garbage() {
    let seed = 0xdec0de;
    let mut prng = Prng::new(seed);
    let samples: Vec<Vec<u8>> =
        Compression::ALL.into_iter().map(|c| compress(c, &[7; 3000], None)).collect();
    for _ in 0..20_000 {
        let at = prng.below(5) as usize;
        let compression = *Compression::ALL.get(at).unwrap();
        let mut bytes = samples.get(at).unwrap().clone();
        bytes.truncate(bytes.len() - prng.below(8) as usize);
        for _ in 0..prng.below(6) {
            let at = prng.below(bytes.len() as u64) as usize;
            if let Some(byte) = bytes.get_mut(at) {
                *byte = prng.next_u64() as u8;
            }
        }
        if let Ok(out) = decompress(compression, &bytes, 5000) {
            assert!(out.len() <= 5000);
        }
    }
}

#[test]
fn the_limit_is_exact_for_every_codec() {
    let seed = 11;
    let mut prng = Prng::new(seed);
    for size in [0, 1, 100, 65_535, 65_536, 65_537, 300_000] {
        let mut noise = vec![0; size];
        prng.fill(&mut noise);
        for plain in [vec![b'a'; size], noise] {
            for compression in Compression::ALL {
                let packed = compress(compression, &plain, None);
                assert_eq!(decompress(compression, &packed, size).as_ref(), Ok(&plain));
                assert_eq!(decompress(compression, &packed, usize::MAX).as_ref(), Ok(&plain));
                if let Some(limit) = size.checked_sub(1) {
                    let refused = decompress(compression, &packed, limit);
                    assert_eq!(refused, Err(DecompressError::TooLarge { limit }), "{compression}");
                }
            }
        }
    }
}

#[test]
fn bombs_are_refused() {
    // 40 MiB of zeros against 8 MiB.
    let zeros = vec![0; 40 << 20];
    let limit = 8 << 20;
    for compression in Compression::ALL {
        let bomb = compress(compression, &zeros, None);
        let batch = around(compression, 1, &bomb);
        let too_large = DecompressError::TooLarge { limit };
        assert_eq!(decompress(compression, &bomb, limit), Err(too_large), "{compression}");
        if compression != Compression::None {
            let error = Records::open(&batch, limit).unwrap_err();
            assert_eq!(error, BatchError::Decompress(too_large));
            assert_eq!(error.refusal(), Refusal::InvalidRecord);
        }
    }
}

#[test]
fn claims_without_bytes_are_refused_cheaply() {
    // A record count that the bytes cannot bear out is refused before any record is read.
    let batch = around(Compression::None, 10_000_000, &[0; 700]);
    let expected =
        BatchError::RecordCount { record_count: 10_000_000, last_offset_delta: 9_999_999 };
    assert_eq!(check_produce(&batch), Err(expected.clone()), "seven bytes are the least");
    assert_eq!(Records::open(&batch, LIMIT).unwrap_err(), expected);
    let packed = compress(Compression::Zstd, &[0; 700], None);
    let batch = around(Compression::Zstd, 10_000_000, &packed);
    assert_eq!(Records::open(&batch, LIMIT).unwrap_err(), expected);

    // Ten million records that are really there exceed the bound on bytes.
    let packed = compress(Compression::Zstd, &[12; 70_000_000], None);
    let batch = around(Compression::Zstd, 10_000_000, &packed);
    let limit = limits::DECOMPRESSED_BYTES_MAX;
    let expected = BatchError::Decompress(DecompressError::TooLarge { limit });
    assert_eq!(Records::open(&batch, limit).unwrap_err(), expected);

    // A million headers in a record of a few bytes.
    let record = [20, 0, 0, 0, 1, 1, 0x80, 0x89, 0x7a, 0, 0];
    let batch = around(Compression::None, 1, &record);
    let error = Records::open(&batch, LIMIT).unwrap().iter().next().unwrap().unwrap_err();
    assert_eq!(error, BatchError::Record { index: 0, fault: RecordFault::HeaderCount });

    // A snappy block that claims 4 GiB, one that claims more than its bytes can hold, and xerial
    // blocks whose length is past the end.
    let mut claim = vec![0xff, 0xff, 0xff, 0xff, 0x0f];
    claim.extend_from_slice(&[0; 10]);
    let refused = decompress(Compression::Snappy, &claim, LIMIT);
    assert_eq!(refused, Err(DecompressError::TooLarge { limit: LIMIT }));
    let malformed = Err(DecompressError::Malformed(Compression::Snappy));
    assert_eq!(decompress(Compression::Snappy, &[0x80, 0x80, 0x20, 0], LIMIT), malformed);
    let long = bytes_of("82534e4150505900000000010000000100ffffff0000");
    assert_eq!(decompress(Compression::Snappy, &long, LIMIT), malformed);
}

#[test]
fn legacy_and_unknown_formats_have_their_own_errors() {
    for magic in [-128, -1, 0, 1, 3, 127_i8] {
        let mut bytes = sample(Compression::None);
        if let Some(byte) = bytes.get_mut(16) {
            *byte = magic.to_be_bytes()[0];
        }
        let error = check_produce(&bytes).unwrap_err();
        if magic == 0 || magic == 1 {
            assert_eq!(error, BatchError::LegacyMagic { magic });
            assert_eq!(error.refusal(), Refusal::InvalidRecord);
        } else {
            assert_eq!(error, BatchError::UnknownMagic { magic });
            assert_eq!(error.refusal(), Refusal::CorruptMessage);
        }
    }
    // The shortest legacy message is shorter than our header.
    let mut shortest = vec![0; 26];
    for (slot, byte) in shortest.iter_mut().skip(11).zip([14]) {
        *slot = byte;
    }
    assert_eq!(check(&shortest), Err(BatchError::LegacyMagic { magic: 0 }));
    // What preallocation leaves behind is not one.
    assert_eq!(check(&[0; 100]), Err(BatchError::LengthTooSmall { batch_length: 0 }));
}

#[test]
fn a_walk_stops_where_the_bytes_stop_being_batches() {
    let mut first = sample(Compression::Lz4);
    stamp(&mut first, Offset(10), LeaderEpoch(1));
    let mut second = sample(Compression::None);
    stamp(&mut second, Offset(15), LeaderEpoch(1));
    let both = [first.clone(), second.clone()].concat();
    let offsets = |bytes: &[u8]| -> (Vec<i64>, usize, Option<BatchError>) {
        let mut batches = Batches::checked(bytes);
        let offsets = batches.by_ref().map(|located| located.header.base_offset.0).collect();
        (offsets, batches.position(), batches.stopped_by().cloned())
    };
    assert_eq!(offsets(&both), (vec![10, 15], both.len(), None));
    assert_eq!(offsets(&[]), (vec![], 0, None));
    for cut in 1..second.len() {
        let (found, position, reason) = offsets(both.get(..first.len() + cut).unwrap());
        assert_eq!((found, position), (vec![10], first.len()));
        assert!(matches!(reason, Some(BatchError::Truncated { .. })), "cut at {cut}");
    }
    let padded = [both.clone(), vec![0; 4096]].concat();
    let zeros = Some(BatchError::LengthTooSmall { batch_length: 0 });
    assert_eq!(offsets(&padded), (vec![10, 15], both.len(), zeros));
    let mut damaged = both.clone();
    if let Some(byte) = damaged.last_mut() {
        *byte ^= 1;
    }
    let (found, position, reason) = offsets(&damaged);
    assert_eq!((found, position), (vec![10], first.len()));
    assert!(matches!(reason, Some(BatchError::CrcMismatch { .. })));
    // Headers alone do not show the damage.
    assert_eq!(Batches::new(&damaged).count(), 2);
    // A length that lies about the rest.
    let mut lie = both.clone();
    for (slot, byte) in lie.iter_mut().skip(first.len() + 8).zip(i32::MAX.to_be_bytes()) {
        *slot = byte;
    }
    let (_, position, reason) = offsets(&lie);
    assert_eq!(position, first.len());
    assert!(matches!(reason, Some(BatchError::Truncated { .. })));
}

#[test]
fn produced_batches_follow_the_rules_for_clients() {
    let good = sample(Compression::None);
    let patched = |at: usize, field: &[u8]| {
        let mut bytes = good.clone();
        for (slot, byte) in bytes.iter_mut().skip(at).zip(field) {
            *slot = *byte;
        }
        check_produce(&sealed(bytes)).unwrap_err()
    };
    assert_eq!(
        patched(0, &5_i64.to_be_bytes()),
        BatchError::BaseOffsetNotZero { base_offset: Offset(5) }
    );
    assert_eq!(patched(22, &[0x20]), BatchError::ControlFromClient);
    assert_eq!(patched(22, &[0x40]), BatchError::DeleteHorizonFromClient);
    assert_eq!(patched(22, &[0x08]), BatchError::AppendTimeFromClient);
    assert_eq!(patched(22, &[0x08]).refusal(), Refusal::InvalidTimestamp);
    for id in 5..8 {
        assert_eq!(patched(22, &[id]), BatchError::UnknownCompression { id });
    }
    let count = |record_count, last_offset_delta| BatchError::RecordCount {
        record_count,
        last_offset_delta,
    };
    assert_eq!(patched(57, &4_i32.to_be_bytes()), count(4, 4));
    assert_eq!(patched(57, &6_i32.to_be_bytes()), count(6, 4));
    assert_eq!(patched(57, &0_i32.to_be_bytes()), count(0, 4));
    assert_eq!(patched(57, &(-1_i32).to_be_bytes()), count(-1, 4));
    assert_eq!(
        patched(23, &(-1_i32).to_be_bytes()),
        BatchError::OffsetRange { base_offset: Offset(0), last_offset_delta: -1 }
    );
    assert_eq!(
        patched(53, &(-1_i32).to_be_bytes()),
        BatchError::SequenceMissing { base_sequence: -1 }
    );
    let mut transactional = BatchBuilder::new().transactional();
    transactional.add(Timestamp(1), None, None, &[]);
    let error = check_produce(&transactional.build()).unwrap_err();
    assert_eq!(error, BatchError::TransactionalWithoutProducer);
    let two = [good.clone(), good.clone()].concat();
    let error = check_produce(&two).unwrap_err();
    assert_eq!(error, BatchError::TrailingBytes { batch_bytes: good.len(), present: two.len() });
    assert_eq!(error.refusal(), Refusal::InvalidRecord);
    let mut damaged = good.clone();
    if let Some(byte) = damaged.last_mut() {
        *byte ^= 1;
    }
    assert_eq!(check_produce(&damaged).unwrap_err().refusal(), Refusal::CorruptMessage);
    // Damage wins over nonsense: it is what the client can mend.
    for (slot, byte) in damaged.iter_mut().skip(57).zip([0xff]) {
        *slot = byte;
    }
    assert!(matches!(check_produce(&damaged), Err(BatchError::CrcMismatch { .. })));
    // So does damage to the length, which leaves a byte over.
    let mut shorter = good.clone();
    let length = (good.len() - 12 - 1) as u32;
    for (slot, byte) in shorter.iter_mut().skip(8).zip(length.to_be_bytes()) {
        *slot = byte;
    }
    assert!(matches!(check_produce(&shorter), Err(BatchError::CrcMismatch { .. })));
}
