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
