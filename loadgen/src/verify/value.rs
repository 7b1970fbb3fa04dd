//! Numbered records: who wrote them, where to, which one, and a checksum of their own.
//!
//! The checksum is not the batch's: it goes with the record wherever a broker may put it, so bytes
//! that ended up in the wrong batch, partition or topic are noticed although each batch CRC is right.

use ringmain::stdx::prng::Prng;

/// Smallest value that holds a number.
pub(super) const VALUE_BYTES_MIN: usize = 40;
const MAGIC: [u8; 8] = *b"ringvrfy";

/// Which record a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbered {
    /// The run that wrote it.
    pub(super) run: u64,
    /// The producer, from 0.
    pub(super) producer: u32,
    /// The partition it was written to.
    pub(super) partition: u32,
    /// Its place in the order of this producer's records in this partition, from 0.
    pub(super) number: u64,
}

/// What a value turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// A whole numbered record.
    Numbered(Numbered),
    /// It begins as a numbered record does, but its checksum is wrong.
    Corrupt,
    /// Something else.
    Foreign,
}

impl Numbered {
    /// Writes the record into all of `value`.
    pub(super) fn write(&self, value: &mut [u8]) {
        let seed = self.run ^ self.number ^ u64::from(self.producer) << 48;
        Prng::new(seed ^ u64::from(self.partition) << 32).fill(value);
        let mut head = Vec::with_capacity(VALUE_BYTES_MIN);
        head.extend_from_slice(&MAGIC);
        head.extend_from_slice(&self.run.to_be_bytes());
        head.extend_from_slice(&self.producer.to_be_bytes());
        head.extend_from_slice(&self.partition.to_be_bytes());
        head.extend_from_slice(&self.number.to_be_bytes());
        head.extend_from_slice(&(value.len() as u32).to_be_bytes());
        for (to, from) in value.iter_mut().zip(head) {
            *to = from;
        }
        if let Some((covered, checksum)) = value.split_last_chunk_mut::<4>() {
            *checksum = crc32c::crc32c(covered).to_be_bytes();
        }
    }

    /// Reads a value.
    pub(super) fn read(value: &[u8]) -> Seen {
        let (Some(head), Some((covered, checksum))) =
            (value.first_chunk::<36>(), value.split_last_chunk::<4>())
        else {
            return Seen::Foreign;
        };
        let (words, length) = head.as_chunks::<8>();
        let &[magic, run, places, number] = words else { return Seen::Foreign };
        if magic != MAGIC {
            return Seen::Foreign;
        }
        let whole = crc32c::crc32c(covered).to_be_bytes() == *checksum
            && length == (value.len() as u32).to_be_bytes();
        if !whole {
            return Seen::Corrupt;
        }
        let places = u64::from_be_bytes(places);
        Seen::Numbered(Numbered {
            run: u64::from_be_bytes(run),
            producer: (places >> 32) as u32,
            partition: places as u32,
            number: u64::from_be_bytes(number),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_byte_is_noticed() {
        let numbered = Numbered { run: 0xfeed, producer: 3, partition: 77, number: 1 << 40 };
        for size in [VALUE_BYTES_MIN, 41, 256] {
            let mut value = vec![0; size];
            numbered.write(&mut value);
            assert_eq!(Numbered::read(&value), Seen::Numbered(numbered));
            for at in 0..size {
                let mut bad = value.clone();
                bad[at] ^= 0x10;
                let expected = if at < 8 { Seen::Foreign } else { Seen::Corrupt };
                assert_eq!(Numbered::read(&bad), expected, "byte {at} of {size}");
            }
            assert_ne!(Numbered::read(&value[..size - 1]), Seen::Numbered(numbered));
        }
    }
}
