//! The CRC32C of two strings of bytes joined, from the CRC32C of each.
//!
//! A CRC is the remainder of a polynomial division. Bytes that follow multiply what came before by
//! x to the number of their bits, so that many are accounted for with one multiplication per binary
//! digit of their count, where reading them again would cost microseconds per batch.

/// The Castagnoli polynomial, lowest power in the highest bit, without x^32.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// The polynomial 1.
const ONE: u32 = 1 << 31;

/// `a * b` modulo the polynomial.
fn product(a: u32, b: u32) -> u32 {
    let (mut sum, mut a, mut b) = (0, a, b);
    while a != 0 {
        if a & ONE != 0 {
            sum ^= b;
        }
        a <<= 1;
        b = if b & 1 == 0 { b >> 1 } else { (b >> 1) ^ POLYNOMIAL };
    }
    sum
}

/// The CRC32C of `front` and `back` joined, where `back` has `back_bytes` bytes.
pub(super) fn joined(front: u32, back: u32, back_bytes: usize) -> u32 {
    let mut shifted = front;
    // What one byte multiplies by, then two, four and so on.
    let mut power = ONE >> 8;
    let mut digits = back_bytes;
    while digits != 0 {
        if digits & 1 == 1 {
            shifted = product(shifted, power);
        }
        power = product(power, power);
        digits >>= 1;
    }
    shifted ^ back
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joining_checksums_is_joining_bytes() {
        let bytes: Vec<u8> =
            (0_u32..70_000).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for length in [0, 1, 2, 61, 4095, 4096, 65_537, bytes.len()] {
            for split in [0, 1, length / 3, length / 2, length.saturating_sub(1), length] {
                let split = split.min(length);
                let (front, back) = bytes[..length].split_at(split);
                let joined = joined(crc32c::crc32c(front), crc32c::crc32c(back), back.len());
                assert_eq!(joined, crc32c::crc32c(&bytes[..length]), "{split} of {length}");
            }
        }
    }
}
