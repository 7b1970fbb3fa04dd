//! Zig-zag varints, as the records of format v2 use them: seven bits per byte, lowest first.

use super::error::RecordFault;

/// Most bytes a 32-bit varint takes.
pub(super) const VARINT_BYTES_MAX: usize = 5;
/// Most bytes a 64-bit varint takes.
pub(super) const VARLONG_BYTES_MAX: usize = 10;

fn read_unsigned(
    bytes: &mut &[u8],
    bytes_max: usize,
    last_byte_max: u8,
) -> Result<u64, RecordFault> {
    let mut value = 0_u64;
    for at in 0..bytes_max {
        let (byte, rest) = bytes.split_first().ok_or(RecordFault::Truncated)?;
        *bytes = rest;
        if at + 1 == bytes_max && last_byte_max < *byte {
            break;
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            return Ok(value);
        }
    }
    Err(RecordFault::VarintTooLong)
}

/// Takes a 32-bit varint off the front of `bytes`.
pub(super) fn read_varint(bytes: &mut &[u8]) -> Result<i32, RecordFault> {
    let raw = read_unsigned(bytes, VARINT_BYTES_MAX, 0x0f)? as u32;
    Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

/// Takes a 64-bit varint off the front of `bytes`.
pub(super) fn read_varlong(bytes: &mut &[u8]) -> Result<i64, RecordFault> {
    let raw = read_unsigned(bytes, VARLONG_BYTES_MAX, 0x01)?;
    Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

/// Appends a varint; a 32-bit value takes the same bytes as a 32-bit varint.
pub(super) fn write_varlong(out: &mut Vec<u8>, value: i64) {
    let mut raw = ((value << 1) ^ (value >> 63)) as u64;
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

/// Bytes that [`write_varlong`] takes for `value`.
pub(super) fn varlong_size(value: i64) -> usize {
    let raw = ((value << 1) ^ (value >> 63)) as u64;
    let bits = 64 - (raw | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_in_as_many_bytes_as_announced() {
        let mut values = vec![0, -1, 1, i64::MIN, i64::MAX, i32::MIN.into(), i32::MAX.into()];
        for bit in 0..63 {
            let power = 1_i64 << bit;
            values.extend([power, -power, power - 1, 1 - power]);
        }
        for value in values {
            let mut bytes = Vec::new();
            write_varlong(&mut bytes, value);
            assert_eq!(bytes.len(), varlong_size(value), "{value}");
            let mut rest = bytes.as_slice();
            assert_eq!(read_varlong(&mut rest), Ok(value));
            assert!(rest.is_empty());
            let mut rest = bytes.as_slice();
            match i32::try_from(value) {
                Ok(value) => assert_eq!(read_varint(&mut rest), Ok(value)),
                Err(_) => assert_eq!(read_varint(&mut rest), Err(RecordFault::VarintTooLong)),
            }
            for cut in 0..bytes.len() {
                let mut rest = bytes.get(..cut).unwrap();
                assert_eq!(read_varlong(&mut rest), Err(RecordFault::Truncated));
            }
        }
    }

    #[test]
    fn more_bytes_or_bits_than_the_type_has_are_refused() {
        let refused = Err(RecordFault::VarintTooLong);
        assert_eq!(read_varint(&mut [0xff; 20].as_slice()), refused);
        assert_eq!(read_varint(&mut [0xff, 0xff, 0xff, 0xff, 0x10].as_slice()), refused);
        assert_eq!(read_varint(&mut [0xff, 0xff, 0xff, 0xff, 0x0f].as_slice()), Ok(i32::MIN));
        assert_eq!(read_varlong(&mut [0xff; 20].as_slice()), Err(RecordFault::VarintTooLong));
    }
}
