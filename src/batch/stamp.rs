//! Writing the broker's fields into a batch, in place.

use super::check::{CRC_START, computed_crc};
use super::header::{APPEND_TIME_BIT, HEADER_BYTES, LENGTH_PREFIX_BYTES, TimestampType};
use crate::ids::{LeaderEpoch, Offset};
use crate::time::Timestamp;

/// The header of a batch to write to. That a checked batch is shorter than its header is a bug.
fn header_mut(bytes: &mut [u8]) -> &mut [u8; HEADER_BYTES] {
    match bytes.first_chunk_mut() {
        Some(header) => header,
        None => panic!("a batch of at least {HEADER_BYTES} bytes was to be stamped"),
    }
}

/// Gives a checked batch its place in the log. Both fields lie outside the checksum.
///
/// # Panics
/// On fewer than [`HEADER_BYTES`] bytes or a negative offset: the batch was never checked.
pub fn stamp(bytes: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
    assert!(base_offset.0 >= 0, "offsets are not negative");
    let header = header_mut(bytes);
    header[0..8].copy_from_slice(&base_offset.0.to_be_bytes());
    header[12..16].copy_from_slice(&leader_epoch.0.to_be_bytes());
}

/// The checksum that a checked batch carries, and the first byte it covers; it covers all behind.
///
/// # Panics
/// On fewer than [`HEADER_BYTES`] bytes: the batch was never checked.
#[must_use]
pub fn carried_checksum(bytes: &[u8]) -> (usize, u32) {
    match bytes.first_chunk::<HEADER_BYTES>() {
        Some(header) => {
            (CRC_START, u32::from_be_bytes([header[17], header[18], header[19], header[20]]))
        }
        None => panic!("a batch has at least {HEADER_BYTES} bytes"),
    }
}

/// Sets what the batch's timestamps mean and the largest of them, and the checksum with them, as
/// Kafka's `DefaultRecordBatch.setMaxTimestamp`: nothing is touched if nothing changes.
pub fn stamp_timestamps(bytes: &mut [u8], kind: TimestampType, max_timestamp: Timestamp) {
    let header = header_mut(bytes);
    let attributes = i16::from_be_bytes([header[21], header[22]]);
    let stamped = match kind {
        TimestampType::CreateTime => attributes & !APPEND_TIME_BIT,
        TimestampType::LogAppendTime => attributes | APPEND_TIME_BIT,
    };
    let max_timestamp = max_timestamp.0.to_be_bytes();
    if stamped == attributes && header[35..43] == max_timestamp {
        return;
    }
    header[CRC_START..23].copy_from_slice(&stamped.to_be_bytes());
    header[35..43].copy_from_slice(&max_timestamp);
    let crc = computed_crc(bytes);
    header_mut(bytes)[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// Makes length, attributes and checksum of a rewritten batch agree with its bytes.
pub(super) fn seal(bytes: &mut [u8], attributes: i16) {
    let length = i32::try_from(bytes.len() - LENGTH_PREFIX_BYTES).unwrap_or(i32::MAX);
    let header = header_mut(bytes);
    header[8..12].copy_from_slice(&length.to_be_bytes());
    header[CRC_START..23].copy_from_slice(&attributes.to_be_bytes());
    let crc = computed_crc(bytes);
    header_mut(bytes)[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// Marks a batch as appended at `timestamp` (`message.timestamp.type=LogAppendTime`): every record
/// in it then has that time. Reads the whole batch once for its new checksum.
pub fn stamp_append_time(bytes: &mut [u8], timestamp: Timestamp) {
    stamp_timestamps(bytes, TimestampType::LogAppendTime, timestamp);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, BatchError, BatchHeader, Records, check, check_produce};

    fn batch() -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        builder.add(Timestamp(100), None, Some(b"a"), &[]);
        builder.add(Timestamp(90), None, Some(b"b"), &[]);
        builder.build().to_vec()
    }

    #[test]
    fn a_stamped_batch_is_still_sound() {
        let mut bytes = batch();
        let before = BatchHeader::parse(&bytes).unwrap();
        stamp(&mut bytes, Offset(1 << 40), LeaderEpoch(7));
        let after = check(&bytes).unwrap();
        let expected =
            BatchHeader { base_offset: Offset(1 << 40), leader_epoch: LeaderEpoch(7), ..before };
        assert_eq!(after, expected);
        assert_eq!(after.last_offset(), Offset((1 << 40) + 1));
        assert_eq!(after.next_offset(), Offset((1 << 40) + 2));
        // A client that sends back what it fetched has not reset the base offset.
        assert!(matches!(check_produce(&bytes), Err(BatchError::BaseOffsetNotZero { .. })));
    }

    #[test]
    fn append_time_holds_for_every_record() {
        let mut bytes = batch();
        stamp_append_time(&mut bytes, Timestamp(5000));
        let header = check(&bytes).unwrap();
        assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!(
            (header.base_timestamp, header.max_timestamp),
            (Timestamp(100), Timestamp(5000))
        );
        let records = Records::open(&bytes, 0).unwrap();
        assert!(records.iter().all(|record| record.unwrap().timestamp == Timestamp(5000)));
        stamp_timestamps(&mut bytes, TimestampType::CreateTime, Timestamp(100));
        assert_eq!(bytes, batch());
    }

    #[test]
    fn nothing_is_touched_if_nothing_changes() {
        let mut bytes = batch();
        // A wrong checksum stays as it is, so it was not computed.
        header_mut(&mut bytes)[17] ^= 1;
        let before = bytes.clone();
        stamp_timestamps(&mut bytes, TimestampType::CreateTime, Timestamp(100));
        assert_eq!(bytes, before);
        stamp_timestamps(&mut bytes, TimestampType::CreateTime, Timestamp(101));
        assert_eq!(check(&bytes).unwrap().max_timestamp, Timestamp(101));
    }
}
