//! Validation that has to look at every record, where the topic asks for it, and the search by
//! timestamp.
//!
//! Kafka walks the records of every produced batch, compressed or not (`LogValidator`); this house
//! does so only where it would change the answer: keys on compacted topics, and bounds on
//! timestamps that the header's claim does not already satisfy.

use super::error::{BatchError, RecordFault};
use super::header::{BatchHeader, NO_TIMESTAMP};
use super::records::Records;
use crate::ids::Offset;
use crate::limits;
use crate::time::Timestamp;

/// What to demand of the records of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidateOptions {
    /// Every record needs a key (`cleanup.policy` has `compact`).
    pub keys_required: bool,
    /// Earliest and latest timestamp allowed, both included: now less
    /// `message.timestamp.before.max.ms`, and now plus `message.timestamp.after.max.ms`. A record
    /// without a timestamp (-1) passes. `None` where the topic has `LogAppendTime`.
    pub timestamps: Option<(Timestamp, Timestamp)>,
    /// Offsets must be 0, 1, 2 and so on without gaps, as in every produced batch. (Kafka writes a
    /// compressed batch anew where they are not, and lets an uncompressed one pass.)
    pub offsets_contiguous: bool,
    /// Most bytes the records may decompress to.
    pub decompressed_bytes_max: usize,
}

impl ValidateOptions {
    /// The bounds on timestamps that `message.timestamp.before.max.ms` and
    /// `message.timestamp.after.max.ms` put around `now`.
    #[must_use]
    pub fn timestamps_around(
        now: Timestamp,
        before_ms_max: i64,
        after_ms_max: i64,
    ) -> (Timestamp, Timestamp) {
        let earliest = now.0.saturating_sub(before_ms_max);
        (Timestamp(earliest), Timestamp(now.0.saturating_add(after_ms_max)))
    }
}

/// What a walk over all records found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validated {
    /// Largest timestamp; [`NO_TIMESTAMP`] if no record has one.
    pub max_timestamp: Timestamp,
    /// Offset of the first record that has it; `None` if there are no records.
    pub offset_of_max_timestamp: Option<Offset>,
    /// Size of the records, decompressed, in bytes.
    pub body_bytes: usize,
}

/// Walks all records of a batch that [`check`](super::check) or
/// [`check_produce`](super::check_produce) has passed, and demands what `options` say.
///
/// # Errors
/// The first record at fault; what [`Records::open`] reports.
pub fn validate_records(
    bytes: &[u8],
    header: &BatchHeader,
    options: &ValidateOptions,
) -> Result<Validated, BatchError> {
    let records = Records::open(bytes, options.decompressed_bytes_max)?;
    debug_assert_eq!(records.header(), header, "the header belongs to the bytes");
    let mut max: Option<(Timestamp, Offset)> = None;
    for (index, record) in (0_i32..).zip(&records) {
        let record = record?;
        if options.offsets_contiguous && record.offset.0 - header.base_offset.0 != i64::from(index)
        {
            return Err(BatchError::Record { index, fault: RecordFault::OffsetDelta });
        }
        if options.keys_required && record.key.is_none() {
            return Err(BatchError::KeyMissing { index });
        }
        let timestamp = record.timestamp;
        if let Some((earliest, latest)) = options.timestamps
            && timestamp != NO_TIMESTAMP
            && (timestamp < earliest || latest < timestamp)
        {
            return Err(BatchError::TimestampOutOfRange { index, timestamp });
        }
        if max.is_none_or(|(max_timestamp, _)| max_timestamp < timestamp) {
            max = Some((timestamp, record.offset));
        }
    }
    Ok(Validated {
        max_timestamp: max.map_or(NO_TIMESTAMP, |(timestamp, _)| timestamp),
        offset_of_max_timestamp: max.map(|(_, offset)| offset),
        body_bytes: records.body_bytes(),
    })
}

/// The first record of the batch whose timestamp is `target` or later (ListOffsets by timestamp),
/// without decompressing where the header already rules it out.
///
/// # Errors
/// What is wrong with the batch or with a record before the one looked for.
pub fn find_timestamp(
    bytes: &[u8],
    target: Timestamp,
) -> Result<Option<(Offset, Timestamp)>, BatchError> {
    let header = BatchHeader::parse(bytes)?;
    if header.max_timestamp < target {
        return Ok(None);
    }
    let records = Records::open(bytes, limits::DECOMPRESSED_BYTES_MAX)?;
    for record in &records {
        let record = record?;
        if target <= record.timestamp {
            return Ok(Some((record.offset, record.timestamp)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{
        BatchBuilder, Compression, DecompressError, check, check_produce, stamp, stamp_append_time,
    };
    use crate::ids::LeaderEpoch;

    const LENIENT: ValidateOptions = ValidateOptions {
        keys_required: false,
        timestamps: None,
        offsets_contiguous: true,
        decompressed_bytes_max: 1 << 20,
    };

    fn batch(timestamps: &[i64], compression: Compression) -> Vec<u8> {
        let mut builder = BatchBuilder::new().compression(compression, None);
        for timestamp in timestamps {
            builder.add(Timestamp(*timestamp), Some(b"k"), None, &[]);
        }
        builder.build().to_vec()
    }

    fn validate(bytes: &[u8], options: &ValidateOptions) -> Result<Validated, BatchError> {
        validate_records(bytes, &check(bytes).unwrap(), options)
    }

    #[test]
    fn the_first_of_the_latest_counts() {
        for compression in Compression::ALL {
            let mut bytes = batch(&[10, 30, 20, 30], compression);
            stamp(&mut bytes, Offset(100), LeaderEpoch(0));
            let found = validate(&bytes, &LENIENT).unwrap();
            assert_eq!(found.max_timestamp, Timestamp(30));
            assert_eq!(found.offset_of_max_timestamp, Some(Offset(101)));
        }
        let found = validate(&batch(&[-1, -1], Compression::None), &LENIENT).unwrap();
        assert_eq!(found.max_timestamp, NO_TIMESTAMP);
        assert_eq!(found.offset_of_max_timestamp, Some(Offset(0)));
    }

    #[test]
    fn timestamps_out_of_bounds_are_refused_but_none_is_not_out_of_bounds() {
        let now = Timestamp(1000);
        let timestamps = Some(ValidateOptions::timestamps_around(now, 100, 50));
        let options = ValidateOptions { timestamps, ..LENIENT };
        let ends = |timestamp| validate(&batch(&[1000, timestamp], Compression::Gzip), &options);
        for timestamp in [900, 1050, -1] {
            assert!(ends(timestamp).is_ok());
        }
        for timestamp in [899, 1051, -2, i64::MIN, i64::MAX] {
            let timestamp = Timestamp(timestamp);
            let refused = BatchError::TimestampOutOfRange { index: 1, timestamp };
            assert_eq!(refused.record_index(), Some(1));
            assert_eq!(ends(timestamp.0), Err(refused));
        }
        let (earliest, latest) = ValidateOptions::timestamps_around(now, i64::MAX, i64::MAX);
        assert!(earliest < Timestamp(0) && latest == Timestamp(i64::MAX));
    }

    #[test]
    fn a_compacted_topic_needs_keys() {
        let options = ValidateOptions { keys_required: true, ..LENIENT };
        let mut builder = BatchBuilder::new();
        builder.add(Timestamp(1), Some(b""), None, &[]);
        assert!(validate(&builder.build(), &options).is_ok());
        builder.add(Timestamp(1), None, Some(b"v"), &[]);
        let refused = Err(BatchError::KeyMissing { index: 1 });
        assert_eq!(validate(&builder.build(), &options), refused);
    }

    #[test]
    fn a_compacted_batch_has_gaps_and_a_produced_one_must_not() {
        let mut builder = BatchBuilder::new();
        builder.add_at(1, Timestamp(1), Some(b"a"), None, &[]);
        builder.add_at(4, Timestamp(2), Some(b"b"), None, &[]);
        builder.extend_to(9);
        let bytes = builder.build();
        let header = check(&bytes).unwrap();
        assert_eq!((header.record_count, header.last_offset()), (2, Offset(9)));
        let refused = BatchError::RecordCount { record_count: 2, last_offset_delta: 9 };
        assert_eq!(check_produce(&bytes), Err(refused));
        let offsets: Vec<i64> = Records::open(&bytes, 0)
            .unwrap()
            .iter()
            .map(|record| record.unwrap().offset.0)
            .collect();
        assert_eq!(offsets, [1, 4]);
        let fault = RecordFault::OffsetDelta;
        let refused = Err(BatchError::Record { index: 0, fault });
        assert_eq!(validate(&bytes, &LENIENT), refused);
        let options = ValidateOptions { offsets_contiguous: false, ..LENIENT };
        let found = validate(&bytes, &options).unwrap();
        assert_eq!(found.offset_of_max_timestamp, Some(Offset(4)));
    }

    #[test]
    fn an_emptied_batch_has_no_records() {
        let mut builder = BatchBuilder::new().compression(Compression::Zstd, None);
        builder.extend_to(3);
        let bytes = builder.build();
        check(&bytes).unwrap();
        let options = ValidateOptions { offsets_contiguous: false, ..LENIENT };
        let found = validate(&bytes, &options).unwrap();
        assert_eq!((found.offset_of_max_timestamp, found.body_bytes), (None, 0));
        assert_eq!(find_timestamp(&bytes, NO_TIMESTAMP), Ok(None));
    }

    #[test]
    fn records_count_from_the_delete_horizon() {
        let mut builder = BatchBuilder::new().delete_horizon(Timestamp(9000));
        builder.add(Timestamp(10), Some(b"k"), None, &[]);
        let bytes = builder.build();
        let header = check(&bytes).unwrap();
        assert!(header.has_delete_horizon());
        assert_eq!((header.base_timestamp, header.max_timestamp), (Timestamp(9000), Timestamp(10)));
        assert_eq!(find_timestamp(&bytes, Timestamp(5)), Ok(Some((Offset(0), Timestamp(10)))));
    }

    #[test]
    fn the_first_record_at_or_after_a_time_is_found() {
        for compression in Compression::ALL {
            let mut bytes = batch(&[10, 30, 20, 40], compression);
            stamp(&mut bytes, Offset(7), LeaderEpoch(0));
            let found = |target| find_timestamp(&bytes, Timestamp(target)).unwrap();
            assert_eq!(found(i64::MIN), Some((Offset(7), Timestamp(10))));
            assert_eq!(found(10), Some((Offset(7), Timestamp(10))));
            assert_eq!(found(11), Some((Offset(8), Timestamp(30))));
            assert_eq!(found(40), Some((Offset(10), Timestamp(40))));
            assert_eq!(found(41), None);
            stamp_append_time(&mut bytes, Timestamp(99));
            let found = find_timestamp(&bytes, Timestamp(50)).unwrap();
            assert_eq!(found, Some((Offset(7), Timestamp(99))));
        }
    }

    #[test]
    fn the_limit_on_decompression_holds() {
        let bytes = batch(&[0; 1000], Compression::Gzip);
        let options = ValidateOptions { decompressed_bytes_max: 1000, ..LENIENT };
        let limit = 1000;
        let refused = BatchError::Decompress(DecompressError::TooLarge { limit });
        assert_eq!(validate(&bytes, &options), Err(refused));
    }
}
