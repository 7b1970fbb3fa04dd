//! What compaction leaves of one batch.

use bytes::{Bytes, BytesMut};

use super::keys::Keys;
use crate::batch::{BatchBuilder, BatchHeader, Header, Records};
use crate::ids::Offset;
use crate::limits::DECOMPRESSED_BYTES_MAX;
use crate::time::Timestamp;

/// What becomes of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// It stays byte for byte.
    Whole,
    /// This stays, in its place.
    Part(Bytes),
    /// Nothing stays.
    Nothing,
}

/// By which rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    /// Wall clock of this cleaning.
    pub(super) now: Timestamp,
    /// `delete.retention.ms`
    pub(super) delete_retention_ms: u64,
    /// Records from here on were not looked at for keys; all of them stay.
    pub(super) keys_end: Offset,
}

/// Whether compaction looks into a batch at all.
pub(super) fn is_opened(header: &BatchHeader) -> bool {
    !header.is_control() && !header.is_transactional()
}

/// Notes the keys of a batch whose records can be read. Returns false if they did not all fit: then
/// keys of this batch may be missing, and it must count as not looked at.
pub(super) fn note_keys(bytes: &[u8], header: &BatchHeader, keys: &mut Keys) -> bool {
    if !is_opened(header) {
        return true;
    }
    let Ok(records) = Records::open(bytes, DECOMPRESSED_BYTES_MAX) else { return true };
    // A fault inside ends the walk. The batch will stay whole, so what it adds is enough.
    records
        .iter()
        .map_while(Result::ok)
        .all(|record| record.key.is_none_or(|key| keys.note(key, record.offset)))
}

/// Decides what stays of a batch.
pub(super) fn keep(bytes: &[u8], header: &BatchHeader, keys: &Keys, rules: &Rules) -> Kept {
    if !is_opened(header) {
        return Kept::Whole;
    }
    let Ok(records) = Records::open(bytes, DECOMPRESSED_BYTES_MAX) else { return Kept::Whole };
    let horizon = header.has_delete_horizon().then_some(header.base_timestamp);
    let mut kept_count = 0;
    let mut keeps_tombstones = false;
    for record in &records {
        let Ok(record) = record else { return Kept::Whole };
        if stays(record.key, record.value.is_some(), record.offset, horizon, keys, rules) {
            kept_count += 1;
            keeps_tombstones |= record.value.is_none();
        }
    }
    if kept_count == 0 {
        return Kept::Nothing;
    }
    // The first cleaning that meets a tombstone starts its time; a later one ends it.
    let starts_horizon = keeps_tombstones && horizon.is_none();
    if usize::try_from(header.record_count) == Ok(kept_count) && !starts_horizon {
        return Kept::Whole;
    }
    match rewritten(header, &records, horizon, starts_horizon, keys, rules) {
        Some(batch) => Kept::Part(batch.freeze()),
        None => Kept::Whole,
    }
}

fn stays(
    key: Option<&[u8]>,
    has_value: bool,
    offset: Offset,
    horizon: Option<Timestamp>,
    keys: &Keys,
    rules: &Rules,
) -> bool {
    if rules.keys_end <= offset {
        return true;
    }
    let Some(key) = key else { return false };
    let expired = !has_value && horizon.is_some_and(|horizon| horizon <= rules.now);
    !expired && !keys.has_newer(key, offset)
}

fn rewritten(
    header: &BatchHeader,
    records: &Records<'_>,
    horizon: Option<Timestamp>,
    starts_horizon: bool,
    keys: &Keys,
    rules: &Rules,
) -> Option<BytesMut> {
    let mut builder = BatchBuilder::in_place_of(header).ok()?;
    if starts_horizon {
        let retention_ms = i64::try_from(rules.delete_retention_ms).unwrap_or(i64::MAX);
        builder = builder.delete_horizon(Timestamp(rules.now.0.saturating_add(retention_ms)));
    }
    for record in records {
        let record = record.ok()?;
        if stays(record.key, record.value.is_some(), record.offset, horizon, keys, rules) {
            let delta = i32::try_from(record.offset.0 - header.base_offset.0).ok()?;
            let headers: Vec<Header<'_>> = record.headers.iter().collect();
            builder.add_at(delta, record.timestamp, record.key, record.value, &headers);
        }
    }
    builder.extend_to(header.last_offset_delta);
    Some(builder.build())
}
