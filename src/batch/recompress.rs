//! Giving a batch another codec, where a topic's `compression.type` names one.

use bytes::BytesMut;

use super::compression::{Compression, compress, decompress};
use super::error::BatchError;
use super::header::{BatchHeader, HEADER_BYTES};
use super::stamp::seal;

/// The same records under another codec. The header stays as it is but for length, codec and
/// checksum. `bytes` has passed [`check_produce`](super::check_produce).
///
/// # Errors
/// The records do not decompress within `decompressed_bytes_max`.
pub fn recompress(
    bytes: &[u8],
    header: &BatchHeader,
    to: Compression,
    level: Option<i32>,
    decompressed_bytes_max: usize,
) -> Result<BytesMut, BatchError> {
    let present = bytes.len();
    let (head, body) = bytes
        .split_at_checked(HEADER_BYTES)
        .ok_or(BatchError::Truncated { needed: HEADER_BYTES, present })?;
    let records = decompress(header.compression()?, body, decompressed_bytes_max)?;
    let records = compress(to, &records, level);
    let mut batch = BytesMut::with_capacity(HEADER_BYTES + records.len());
    batch.extend_from_slice(head);
    batch.extend_from_slice(&records);
    let attributes = (header.attributes & !0b111) | i16::from(to.id());
    seal(&mut batch, attributes);
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use super::super::{BatchBuilder, Records, check_produce};
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn records_survive_every_change_of_codec() {
        for from in Compression::ALL {
            for to in Compression::ALL {
                let mut builder = BatchBuilder::new().compression(from, None);
                for n in 0..50_u8 {
                    builder.add(Timestamp(i64::from(n)), Some(&[n]), Some(&[n; 40]), &[]);
                }
                let batch = builder.build();
                let header = check_produce(&batch).expect("a built batch is right");
                let changed = recompress(&batch, &header, to, None, 1 << 20).expect("small");
                let after = check_produce(&changed).expect("checksum and length fit");
                assert_eq!(after.compression(), Ok(to), "{from:?}");
                assert_eq!(after.record_count, header.record_count);
                assert_eq!(after.max_timestamp, header.max_timestamp);
                let records = Records::open(&changed, 1 << 20).expect("opens");
                let values: Vec<_> = (&records)
                    .into_iter()
                    .map(|record| record.expect("well formed").value.map(<[u8]>::to_vec))
                    .collect();
                assert_eq!(values.len(), 50);
                assert_eq!(values.last(), Some(&Some(vec![49; 40])));
            }
        }
    }
}
