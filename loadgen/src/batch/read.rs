//! Walking the batches of a Fetch reply.

use super::{CRC_FROM, HEAD_BYTES};
use crate::failure::Failure;

/// One whole batch inside a reply.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchView<'a> {
    pub(crate) base_offset: i64,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) count: i32,
    bytes: &'a [u8],
}

/// One record of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordView<'a> {
    pub(crate) offset: i64,
    pub(crate) value: &'a [u8],
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

/// Calls `on_batch` for each whole batch. A batch cut off by the reply's size limit ends the walk,
/// as the protocol allows; anything else that is no batch is a failure.
pub(crate) fn walk<'a>(
    mut rest: &'a [u8],
    mut on_batch: impl FnMut(BatchView<'a>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    while let (Some(base_offset), Some(length)) = (field::<8>(rest, 0), field::<4>(rest, 8)) {
        let length = i32::from_be_bytes(length);
        let whole = usize::try_from(length).ok().filter(|n| *n >= HEAD_BYTES - 12);
        let Some(whole) = whole.map(|n| n + 12) else {
            return Err(Failure::Malformed(format!("a record batch of {length} bytes")));
        };
        let Some((bytes, tail)) = rest.split_at_checked(whole) else { return Ok(()) };
        let magic = bytes.get(16).copied().unwrap_or(0);
        if magic != 2 {
            return Err(Failure::Malformed(format!("a record batch of magic {magic}")));
        }
        let (Some(attributes), Some(last_offset_delta), Some(count)) =
            (field::<2>(bytes, 21), field::<4>(bytes, 23), field::<4>(bytes, 57))
        else {
            return Err(Failure::Malformed("a record batch without a head".to_owned()));
        };
        on_batch(BatchView {
            base_offset: i64::from_be_bytes(base_offset),
            attributes: i16::from_be_bytes(attributes),
            last_offset_delta: i32::from_be_bytes(last_offset_delta),
            count: i32::from_be_bytes(count),
            bytes,
        })?;
        rest = tail;
    }
    Ok(())
}

impl<'a> BatchView<'a> {
    /// Size of the whole batch, in bytes.
    pub(crate) fn batch_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Offset behind the last record.
    pub(crate) fn next_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta)).saturating_add(1)
    }

    /// Transaction markers and the like, which no application sees.
    pub(crate) fn is_control(&self) -> bool {
        self.attributes & 0x20 != 0
    }

    /// Whether the stored CRC is that of the bytes.
    pub(crate) fn crc_matches(&self) -> bool {
        let stored = field::<4>(self.bytes, CRC_FROM - 4).map(u32::from_be_bytes);
        let covered = self.bytes.get(CRC_FROM..).unwrap_or_default();
        stored == Some(crc32c::crc32c(covered))
    }

    /// Calls `on_record` for each record. A failure is a batch whose inside is broken.
    pub(crate) fn records(
        &self,
        mut on_record: impl FnMut(RecordView<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let stored = self.bytes.get(HEAD_BYTES..).unwrap_or_default();
        let decompressed = super::payload::decompress(self.attributes, stored)?;
        let mut rest = decompressed.as_deref().unwrap_or(stored);
        for _ in 0..self.count {
            let length = varint(&mut rest)?;
            let length = usize::try_from(length).map_err(|_| broken())?;
            let (mut record, tail) = rest.split_at_checked(length).ok_or_else(broken)?;
            rest = tail;
            record = record.get(1..).ok_or_else(broken)?; // attributes
            varint(&mut record)?; // timestamp delta
            let offset_delta = varint(&mut record)?;
            varint_bytes(&mut record)?; // key
            let value = varint_bytes(&mut record)?.unwrap_or_default();
            on_record(RecordView { offset: self.base_offset.saturating_add(offset_delta), value })?;
        }
        if rest.is_empty() { Ok(()) } else { Err(broken()) }
    }
}

fn broken() -> Failure {
    Failure::Malformed("the records of a batch do not fit their lengths".to_owned())
}

fn varint(rest: &mut &[u8]) -> Result<i64, Failure> {
    let mut value = 0_u64;
    for shift in 0..10 {
        let (byte, tail) = rest.split_first().ok_or_else(broken)?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << (7 * shift);
        if byte & 0x80 == 0 {
            return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    Err(broken())
}

fn varint_bytes<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Failure> {
    let Ok(length) = usize::try_from(varint(rest)?) else { return Ok(None) };
    let (head, tail) = rest.split_at_checked(length).ok_or_else(broken)?;
    *rest = tail;
    Ok(Some(head))
}

#[cfg(test)]
mod tests {
    use super::super::{BatchHead, RecordsWriter};
    use super::*;

    fn batch(values: &[&[u8]]) -> Vec<u8> {
        let mut writer = RecordsWriter::default();
        for value in values {
            writer.push(Some(b"k"), value);
        }
        let body = writer.finish();
        let mut bytes = Vec::new();
        BatchHead::plain(1).encode(&body, &mut bytes);
        bytes.extend_from_slice(&body.records);
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = batch(&[b"one", b"", &[7; 1000]]);
        let whole = bytes.len();
        bytes.extend_from_slice(&batch(&[b"cut off"])[..40]);
        let mut seen = Vec::new();
        walk(&bytes, |view| {
            assert!(view.crc_matches());
            assert_eq!((view.count, view.next_offset(), view.batch_bytes()), (3, 3, whole));
            view.records(|record| {
                seen.push((record.offset, record.value.len()));
                Ok(())
            })
        })
        .unwrap();
        assert_eq!(seen, [(0, 3), (1, 0), (2, 1000)]);
    }

    #[test]
    fn damage_is_noticed() {
        let good = batch(&[b"some value", b"another"]);
        for at in CRC_FROM..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            walk(&bad, |view| {
                assert!(!view.crc_matches(), "byte {at}");
                // Only that it ends without a panic: the CRC is what counts.
                let _ = view.records(|_| Ok(()));
                Ok(())
            })
            .unwrap();
        }
        let mut bad = good.clone();
        bad[16] = 1;
        assert!(walk(&bad, |_| Ok(())).is_err());
        let mut bad = good;
        bad[8..12].copy_from_slice(&(-5_i32).to_be_bytes());
        assert!(walk(&bad, |_| Ok(())).is_err());
    }
}
