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
