//! The codecs of record batches, each decoded into a bounded buffer.
//!
//! Every decoder allocates in proportion to what its input can really hold, and never past the
//! caller's limit: a megabyte of gzip, LZ4 or Zstandard can claim gigabytes. Work is bounded, too:
//! neither empty members nor tiny blocks make a decoder clear memory it does not fill.

mod gzip;
mod lz4;
mod snappy;
mod zstandard;

pub use zstandard::ZSTD_WINDOW_BYTES_MAX;

use std::borrow::Cow;
use std::fmt;

use crate::limits::DECOMPRESSED_BYTES_MAX;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy blocks, in xerial's framing or bare.
    Snappy,
    /// LZ4 frames of independent blocks.
    Lz4,
    /// Zstandard (KIP-110); RFC 8878.
    Zstd,
}

impl Compression {
    /// All of them, in the order of their ids.
    pub const ALL: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];

    /// The codec with this id in the batch attributes, if there is one.
    #[must_use]
    pub fn from_id(id: u8) -> Option<Compression> {
        Compression::ALL.get(usize::from(id)).copied()
    }

    /// The id in the batch attributes.
    #[must_use]
    pub fn id(self) -> u8 {
        self as u8
    }

    /// The name in `compression.type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why bytes do not decompress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecompressError {
    /// Not what this codec writes, or cut short.
    Malformed(Compression),
    /// The output would be larger than the limit.
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A Zstandard frame that demands a larger window than [`ZSTD_WINDOW_BYTES_MAX`].
    Window {
        /// What the frame demands, in bytes.
        window_bytes: u64,
    },
}

impl fmt::Display for DecompressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecompressError::Malformed(compression) => write!(f, "malformed {compression} data"),
            DecompressError::TooLarge { limit } => {
                write!(f, "decompresses to more than {limit} bytes")
            }
            DecompressError::Window { window_bytes } => {
                write!(f, "zstd window of {window_bytes} bytes is too large")
            }
        }
    }
}

impl std::error::Error for DecompressError {}

/// Decompresses `bytes` to at most `limit` bytes.
///
/// # Errors
/// `Malformed`, `TooLarge`, `Window`.
pub fn decompress(
    compression: Compression,
    bytes: &[u8],
    limit: usize,
) -> Result<Vec<u8>, DecompressError> {
    match compression {
        Compression::None if limit < bytes.len() => Err(DecompressError::TooLarge { limit }),
        Compression::None => Ok(bytes.to_vec()),
        Compression::Gzip => gzip::decompress(bytes, limit),
        Compression::Snappy => snappy::decompress(bytes, limit),
        Compression::Lz4 => lz4::decompress(bytes, limit),
        Compression::Zstd => zstandard::decompress(bytes, limit),
    }
}

/// Output beyond this is given all the room that most may come to need, in bytes.
const GROWN_BYTES_MIN: usize = 1024 * 1024;

/// Makes room for `count` more bytes of at most `room`. Large outputs are not grown step by step:
/// memory takes no room before it is written to, but an allocator keeps what it has copied from.
fn reserve(out: &mut Vec<u8>, count: usize, room: usize) {
    if out.capacity() - out.len() < count {
        let step = count.max(out.len());
        let large = out.len() + step > GROWN_BYTES_MIN;
        let step = if large { step.max(DECOMPRESSED_BYTES_MAX) } else { step };
        out.reserve_exact(step.min(room));
    }
}

/// As [`decompress`], without a copy where there is nothing to decompress. The limit then does not
/// apply: the bytes are there already.
pub(super) fn decompressed(
    compression: Compression,
    bytes: &[u8],
    limit: usize,
) -> Result<Cow<'_, [u8]>, DecompressError> {
    match compression {
        Compression::None => Ok(Cow::Borrowed(bytes)),
        _ => decompress(compression, bytes, limit).map(Cow::Owned),
    }
}

/// Compresses `bytes` the way Kafka's Java client does, so that every client can read it. `level`
/// is the codec's own and is clamped to what it knows; `None` is its default. Snappy and LZ4 have
/// one level here.
#[must_use]
pub fn compress(compression: Compression, bytes: &[u8], level: Option<i32>) -> Vec<u8> {
    match compression {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => gzip::compress(bytes, level),
        Compression::Snappy => snappy::compress(bytes),
        Compression::Lz4 => lz4::compress(bytes),
        Compression::Zstd => zstandard::compress(bytes, level),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::golden::bytes_of;

    const PLAIN: &[u8] = b"hello hello hello hello hello";

    fn read(compression: Compression, hex: &str) -> Result<Vec<u8>, DecompressError> {
        decompress(compression, &bytes_of(hex), 1000)
    }

    fn malformed(compression: Compression) -> Result<Vec<u8>, DecompressError> {
        Err(DecompressError::Malformed(compression))
    }

    #[test]
    fn ids_and_names_are_kafkas() {
        for (id, name) in (0..).zip(["none", "gzip", "snappy", "lz4", "zstd"]) {
            let compression = Compression::from_id(id).unwrap();
            assert_eq!((compression.id(), compression.name()), (id, name));
        }
        assert_eq!(Compression::from_id(5), None);
    }

    #[test]
    fn gzip_members_follow_each_other() {
        let member = "1f8b0800000000000003cb48cdc9c957c8c04e0200f6d253381d000000";
        assert_eq!(read(Compression::Gzip, member).as_deref(), Ok(PLAIN));
        let twice = [PLAIN, PLAIN].concat();
        assert_eq!(read(Compression::Gzip, &member.repeat(2)), Ok(twice));
        let many = decompress(Compression::Gzip, &bytes_of(&member.repeat(65)), 1 << 20);
        assert_eq!(many, malformed(Compression::Gzip));
        assert_eq!(read(Compression::Gzip, &format!("{member}00")), malformed(Compression::Gzip));
        let cut = member.get(..member.len() - 2).unwrap();
        assert_eq!(read(Compression::Gzip, cut), malformed(Compression::Gzip));
        assert_eq!(read(Compression::Gzip, ""), malformed(Compression::Gzip));
    }

    #[test]
    fn snappy_is_read_bare_and_framed() {
        // "hello " as a literal, then a copy of 23 bytes from 6 back.
        let block = "1d1468656c6c6f205a0600";
        assert_eq!(read(Compression::Snappy, block).as_deref(), Ok(PLAIN));
        let header = "82534e41505059000000000100000001";
        let framed = format!("{header}0000000b{block}");
        assert_eq!(read(Compression::Snappy, &framed).as_deref(), Ok(PLAIN));
        let blocks = format!("{framed}0000000b{block}");
        assert_eq!(read(Compression::Snappy, &blocks), Ok([PLAIN, PLAIN].concat()));
        // Two streams glued together.
        assert_eq!(read(Compression::Snappy, &framed.repeat(2)), Ok([PLAIN, PLAIN].concat()));
        assert_eq!(read(Compression::Snappy, header), Ok(Vec::new()));
        for cut in (header.len() + 2..framed.len()).step_by(2) {
            let cut = framed.get(..cut).unwrap();
            assert_eq!(read(Compression::Snappy, cut), malformed(Compression::Snappy));
        }
        assert_eq!(read(Compression::Snappy, ""), malformed(Compression::Snappy));
        // A second block that would pass the limit.
        let limit = PLAIN.len() * 2 - 1;
        assert_eq!(
            decompress(Compression::Snappy, &bytes_of(&blocks), limit),
            Err(DecompressError::TooLarge { limit })
        );
    }

    #[test]
    fn lz4_frames_are_read_as_kafka_reads_them() {
        let block = "0f0000006e68656c6c6f2006005068656c6c6f";
        let plain = format!("04224d18604082{block}00000000");
        assert_eq!(read(Compression::Lz4, &plain).as_deref(), Ok(PLAIN));
        // With a content checksum; with block checksums and blocks of 4 MiB besides.
        let checksum = format!("04224d186440a7{block}0000000079b1fff9");
        assert_eq!(read(Compression::Lz4, &checksum).as_deref(), Ok(PLAIN));
        let block_checksum = format!("04224d187440bd{block}98f6dc6d0000000079b1fff9");
        assert_eq!(read(Compression::Lz4, &block_checksum).as_deref(), Ok(PLAIN));
        let uncompressed = "04224d186040820300008061626300000000";
        assert_eq!(read(Compression::Lz4, uncompressed).as_deref(), Ok(b"abc".as_slice()));
        // Old clients wrote a wrong header checksum, but never in format v2.
        for bad in [
            format!("04224d18604083{block}00000000"),
            // Linked blocks, with the checksum that belongs to them.
            format!("04224d184040c0{block}00000000"),
            // A reserved block size, an unknown version, a legacy frame, no end mark, garbage.
            format!("04224d18603073{block}00000000"),
            format!("04224d18a04082{block}00000000"),
            format!("02214c18{block}"),
            format!("04224d18604082{block}"),
            format!("{plain}00"),
            format!("04224d18604082010001806162{}", "00".repeat(70_000)),
        ] {
            assert_eq!(read(Compression::Lz4, &bad), malformed(Compression::Lz4), "{bad:.60}");
        }
    }

    #[test]
    fn zstd_windows_are_bounded() {
        let stated = "28b52ffd04586500003068656c6c6f200100a94b11874e200a";
        let long = "28b52ffd00a86500003068656c6c6f200100a94b11";
        assert_eq!(read(Compression::Zstd, stated).as_deref(), Ok(PLAIN));
        let window = DecompressError::Window { window_bytes: 1 << 31 };
        assert_eq!(read(Compression::Zstd, long), Err(window));
        // The same with a window of 128 MiB, which level 22 asks for.
        let allowed = long.replacen("00a8", "0088", 1);
        assert_eq!(read(Compression::Zstd, &allowed).as_deref(), Ok(PLAIN));
        let above = long.replacen("00a8", "0089", 1);
        let window = DecompressError::Window { window_bytes: 9 << 24 };
        assert_eq!(read(Compression::Zstd, &above), Err(window));
        assert_eq!(read(Compression::Zstd, &stated.repeat(2)), Ok([PLAIN, PLAIN].concat()));
        assert_eq!(read(Compression::Zstd, ""), malformed(Compression::Zstd));
        let cut = stated.get(..stated.len() - 2).unwrap();
        assert_eq!(read(Compression::Zstd, cut), malformed(Compression::Zstd));
    }

    #[test]
    fn a_level_below_zero_is_the_default() {
        let zeros = vec![0; 10_000];
        for compression in [Compression::Gzip, Compression::Zstd] {
            let packed = compress(compression, &zeros, Some(-1));
            assert!(packed.len() < 200, "{compression}: {} bytes", packed.len());
        }
        assert_eq!(
            compress(Compression::Gzip, &zeros, Some(-1)),
            compress(Compression::Gzip, &zeros, None)
        );
    }

    #[test]
    fn levels_are_clamped() {
        for compression in Compression::ALL {
            for level in [i32::MIN, -1, 0, 1, 9, 22, i32::MAX] {
                let packed = compress(compression, PLAIN, Some(level));
                assert_eq!(decompress(compression, &packed, 1000).as_deref(), Ok(PLAIN));
            }
        }
    }
}
