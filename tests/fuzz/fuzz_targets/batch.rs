//! Everything that reads a batch, on bytes of unknown origin. The input is tried as it is, and once
//! more with its length and checksum put right, which no fuzzer would find by itself.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringmain::batch::{
    BatchBuilder, BatchError, BatchHeader, Batches, HEADER_BYTES, LENGTH_PREFIX_BYTES, Records,
    ValidateOptions, check, check_produce, control_record, find_timestamp, stamp_append_time,
    stamp_timestamps, validate_records,
};
use ringmain::time::Timestamp;

const LIMIT: usize = 1 << 20;

fn read(bytes: &[u8]) {
    let mut batches = Batches::checked(bytes);
    while batches.next().is_some() {}
    assert!(batches.position() == bytes.len() || batches.stopped_by().is_some());

    let _ = find_timestamp(bytes, Timestamp(0));
    let _ = control_record(bytes);
    if let Ok(header) = BatchHeader::parse(bytes) {
        let _ = (header.next_offset(), header.producer(), header.compression());
    }
    let Ok(header) = check(bytes) else {
        assert!(check_produce(bytes).is_err(), "the rules for clients include all others");
        return;
    };
    assert_eq!(header.size(), bytes.len());
    let options = ValidateOptions {
        keys_required: false,
        timestamps: None,
        offsets_contiguous: false,
        decompressed_bytes_max: LIMIT,
    };
    let validated = validate_records(bytes, &header, &options);
    let Ok(records) = Records::open(bytes, LIMIT) else {
        assert!(validated.is_err());
        return;
    };
    assert!(header.has_delete_horizon() || validated.is_err() || rewritten(&header, &records));
}

/// Writes good records anew and compares what is read back.
fn rewritten(header: &BatchHeader, records: &Records<'_>) -> bool {
    let mut builder = BatchBuilder::new().placed(header.base_offset, header.leader_epoch);
    let mut expected = Vec::new();
    for record in records {
        let record = record.expect("validated");
        let delta = record.offset.0 - header.base_offset.0;
        let delta = i32::try_from(delta).expect("within the batch");
        let headers: Vec<_> = record.headers.iter().collect();
        builder.add_at(delta, record.timestamp, record.key, record.value, &headers);
        expected.push((record.offset, record.timestamp, record.key, record.value, headers));
    }
    builder.extend_to(header.last_offset_delta);
    let built = builder.build();
    check(&built).expect("what is built is sound");
    let read_back = Records::open(&built, LIMIT).expect("what is built opens");
    let found: Vec<_> = read_back
        .iter()
        .map(|record| record.expect("what is built is well formed"))
        .map(|r| (r.offset, r.timestamp, r.key, r.value, r.headers.iter().collect::<Vec<_>>()))
        .collect();
    found == expected
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    if bytes.len() < HEADER_BYTES {
        return;
    }
    let mut sealed = bytes.to_vec();
    let Ok(length) = i32::try_from(sealed.len() - LENGTH_PREFIX_BYTES) else { return };
    sealed[0] &= 0x7f;
    sealed[8..12].copy_from_slice(&length.to_be_bytes());
    sealed[16] = 2;
    // Stamping there and back computes the checksum of whatever is there.
    let max_timestamp = BatchHeader::parse(&sealed).map(|header| header.max_timestamp);
    let Ok(max_timestamp) = max_timestamp else { return };
    let kind = BatchHeader::parse(&sealed).map(|header| header.timestamp_type());
    stamp_append_time(&mut sealed, Timestamp(!max_timestamp.0));
    if let Ok(kind) = kind {
        stamp_timestamps(&mut sealed, kind, max_timestamp);
    }
    assert!(!matches!(check(&sealed), Err(BatchError::CrcMismatch { .. })));
    read(&sealed);
});
