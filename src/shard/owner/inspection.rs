//! Looking into batches: what a topic demands of every record, or the record that a search by time
//! is after. Small batches are looked into within the turn, up to what a turn may spend on it; the
//! rest in the background, one batch of a shard at a time, since each may take tens of megabytes
//! and as many milliseconds.
//!
//! An [`Inspection`] is a value that can be sent to another thread, and what it comes to depends on
//! nothing but itself.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::api::work::ProduceRefusal;
use crate::batch::{
    self, BatchError, BatchHeader, Compression, DecompressError, HEADER_BYTES, Records,
    TimestampType, ValidateOptions,
};
use crate::catalog::{self, CompressionType, TopicConfig};
use crate::ids::Offset;
use crate::limits::{
    DECOMPRESSED_BYTES_MAX, INSPECTED_AT_ONCE_BYTES_MAX, INSPECTED_AT_ONCE_COMPRESSED_MAX,
    INSPECTION_WORK_PER_TURN, RECORD_ERRORS_MAX,
};
use crate::shard::outbox::Outbox;
use crate::time::{Instant, Now, Timestamp};

use super::Owner;
use super::admission::Admission;
use super::offsets::Lookups;

/// What a byte of compressed input costs beside the output: tables and windows are set up anew as
/// often as the input says.
const COMPRESSED_BYTE_COST: usize = 16;
/// Output of a compressed batch beyond this multiple of it is not waited for within the turn.
const EXPANSION_AT_ONCE_MAX: usize = 32;
/// But so much is, in bytes.
const EXPANDED_AT_ONCE_MIN: usize = 32 * 1024;
/// Packing is so much slower than unpacking and walking.
const PACKING_COST: usize = 16;

/// Looking into one batch, off the shard's thread.
#[derive(Debug)]
pub enum Inspection {
    /// Make a produced batch what its topic demands, and refuse what cannot be made so.
    Conform {
        /// Of the topic.
        config: Arc<TopicConfig>,
        /// As produced; its header has been checked.
        batch: BytesMut,
        /// Its header.
        header: BatchHeader,
        /// When it came.
        now: Timestamp,
    },
    /// Find a record by time.
    Find {
        /// A stored batch.
        batch: Bytes,
        /// The least time.
        target: Timestamp,
        /// The least offset.
        from: Offset,
    },
}

/// What an [`Inspection`] came to.
#[derive(Debug)]
pub enum Inspected {
    /// The batch as it is to be appended.
    Conformed(Result<(BatchHeader, BytesMut), ProduceRefusal>),
    /// The record, if the batch has one.
    Found(Result<Option<(Offset, Timestamp)>, BatchError>),
}

impl Inspection {
    /// Does it.
    #[must_use]
    pub fn run(&self) -> Inspected {
        match self {
            Inspection::Conform { config, batch, header, now } => {
                let mut batch = batch.clone();
                let header = conform(config, &mut batch, *header, *now, DECOMPRESSED_BYTES_MAX);
                Inspected::Conformed(header.map(|header| (header, batch)))
            }
            Inspection::Find { batch, target, from } => {
                Inspected::Found(find_record(batch, *target, *from, DECOMPRESSED_BYTES_MAX))
            }
        }
    }
}

/// Whose batch is looked into in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    Producer,
    Lookup,
}

/// Where a batch is to be looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Here and now, decompressing to no more than this.
    Here { bytes_max: usize },
    /// In a later turn.
    Later,
    /// In the background.
    Background,
}

/// What a shard may still spend on looking into batches, and whose turn it is in the background.
#[derive(Debug)]
pub(super) struct Inspections {
    /// Work that is left in this turn.
    allowance: usize,
    /// The background is taken.
    busy: bool,
    /// Who was there last: producers and lookups take turns.
    last: Client,
    /// Time of the newest event: what waits for a turn is due at once.
    seen: Instant,
}

impl Default for Inspections {
    fn default() -> Inspections {
        Inspections {
            allowance: INSPECTION_WORK_PER_TURN,
            busy: false,
            last: Client::Lookup,
            seen: Instant::default(),
        }
    }
}

impl Inspections {
    /// A new turn begins.
    pub(super) fn turn_over(&mut self) {
        self.allowance = INSPECTION_WORK_PER_TURN;
    }

    /// Something waits for the next turn, or for the background.
    pub(super) fn wait(&mut self, now: Instant) {
        self.seen = now;
    }

    /// When [`Owner::inspect_on`] has something to do.
    pub(super) fn due(&self, admission: &Admission, lookups: &Lookups) -> Option<Instant> {
        let ready = admission.has_fresh()
            || lookups.has_fresh()
            || (!self.busy && (admission.has_heavy() || lookups.has_heavy()));
        ready.then_some(self.seen)
    }

    /// Where to look into a batch; what is done here is paid for at once. `packing` says that the
    /// batch is to be packed anew.
    pub(super) fn place(&mut self, batch: &[u8], compressed: bool, packing: bool) -> Place {
        let most = INSPECTED_AT_ONCE_BYTES_MAX / if packing { PACKING_COST } else { 1 };
        let bytes_max = if compressed {
            let likely = batch.len().saturating_mul(EXPANSION_AT_ONCE_MAX);
            most.min(likely.max(EXPANDED_AT_ONCE_MIN))
        } else {
            batch.len()
        };
        let too_long = if compressed {
            batch.len() > INSPECTED_AT_ONCE_COMPRESSED_MAX
        } else {
            packing && batch.len() > most
        };
        if too_long {
            return Place::Background;
        }
        let input = if compressed { batch.len().saturating_mul(COMPRESSED_BYTE_COST) } else { 0 };
        let output = bytes_max.saturating_mul(if packing { PACKING_COST } else { 1 });
        if self.allowance == 0 {
            return Place::Later;
        }
        self.allowance = self.allowance.saturating_sub(input.saturating_add(output));
        Place::Here { bytes_max }
    }

    /// Whether this turn has done its share.
    pub(super) fn is_spent(&self) -> bool {
        self.allowance == 0
    }

    /// Gives the background away, if it is free and somebody waits for it.
    fn take(&mut self, admission: &Admission, lookups: &Lookups) -> Option<Client> {
        let next = match (admission.has_heavy(), lookups.has_heavy()) {
            _ if self.busy => return None,
            (false, false) => return None,
            (true, true) if self.last == Client::Producer => Client::Lookup,
            (true, _) => Client::Producer,
            (false, true) => Client::Lookup,
        };
        self.busy = true;
        self.last = next;
        Some(next)
    }

    /// The background is free again.
    pub(super) fn release(&mut self, now: Instant) {
        self.busy = false;
        self.seen = now;
    }
}

impl Owner {
    /// Goes on with the batches that wait to be looked into.
    pub(super) fn inspect_on(&mut self, now: Now, out: &mut Outbox) {
        self.inspections.wait(now.instant);
        if self.stopping {
            self.refuse_all_waiting(out);
        }
        self.admit_waiting(now, out);
        self.look_up_waiting(now.instant, out);
        // Each may end without needing the background after all, and gives it back then.
        while let Some(next) = self.inspections.take(&self.admission, &self.lookups) {
            match next {
                Client::Producer => self.admit_in_background(now, out),
                Client::Lookup => self.look_up_in_background(now.instant, out),
            }
        }
    }
}

/// Whether a batch has to be looked into: its records packed anew, or walked over.
pub(super) struct Demands {
    pub(super) packing: bool,
    pub(super) walk: bool,
}

impl Demands {
    pub(super) fn of(config: &TopicConfig, compression: Compression) -> Demands {
        let append_time = config.message_timestamp_type == catalog::TimestampType::LogAppendTime;
        Demands {
            packing: wanted_codec(config).is_some_and(|(wanted, _)| wanted != compression),
            walk: config.cleanup_compact
                || (config.message_timestamp_before_max_ms.is_some() && !append_time),
        }
    }
}

/// Makes a batch what its topic demands, and refuses what cannot be made so. Its records are
/// decompressed to at most `decompressed_bytes_max`.
pub(super) fn conform(
    config: &TopicConfig,
    batch: &mut BytesMut,
    mut header: BatchHeader,
    now: Timestamp,
    decompressed_bytes_max: usize,
) -> Result<BatchHeader, ProduceRefusal> {
    let compression = header.compression().map_err(ProduceRefusal::Batch)?;
    let append_time = config.message_timestamp_type == catalog::TimestampType::LogAppendTime;
    let newest = header.max_timestamp;
    if !append_time && newest.0.saturating_sub(now.0) > ms(config.message_timestamp_after_max_ms) {
        return Err(ProduceRefusal::Timestamp { timestamp: newest });
    }
    if let Some((wanted, level)) = wanted_codec(config)
        && wanted != compression
    {
        *batch = pack_anew(config, batch, &header, wanted, level, decompressed_bytes_max)?;
        header = BatchHeader::parse(batch).map_err(ProduceRefusal::Batch)?;
    }
    if append_time {
        batch::stamp_append_time(batch, now);
        header = BatchHeader::parse(batch).map_err(ProduceRefusal::Batch)?;
    }
    // The rest needs a look at every record, which the common topic does not ask for.
    let before_max = config.message_timestamp_before_max_ms.filter(|_| !append_time);
    if config.cleanup_compact || before_max.is_some() {
        let bounds = ValidateOptions::timestamps_around(now, ms(before_max), i64::MAX);
        let options = ValidateOptions {
            keys_required: config.cleanup_compact,
            timestamps: before_max.map(|_| bounds),
            offsets_contiguous: false,
            decompressed_bytes_max,
        };
        match batch::validate_records(batch, &header, &options) {
            Ok(_) => {}
            Err(BatchError::KeyMissing { .. }) => {
                // Producers are told of the records at fault (KIP-467), not only of the first.
                let keyless =
                    keyless(batch, decompressed_bytes_max).map_err(ProduceRefusal::Batch)?;
                return Err(ProduceRefusal::Keyless(keyless));
            }
            Err(error) => return Err(ProduceRefusal::Batch(error)),
        }
    }
    Ok(header)
}

/// The batch under the codec that its topic wants. It may be larger than it was, but not larger
/// than the topic takes, as in Kafka.
fn pack_anew(
    config: &TopicConfig,
    batch: &[u8],
    header: &BatchHeader,
    wanted: Compression,
    level: Option<i32>,
    decompressed_bytes_max: usize,
) -> Result<BytesMut, ProduceRefusal> {
    let size_max = config.max_message_bytes as usize;
    let room = size_max.saturating_sub(HEADER_BYTES);
    // What is not to be packed at all must not be unpacked further than it may be stored.
    let only = wanted == Compression::None && room < decompressed_bytes_max;
    let limit = if only { room } else { decompressed_bytes_max };
    let packed = match batch::recompress(batch, header, wanted, level, limit) {
        Err(BatchError::Decompress(DecompressError::TooLarge { .. })) if only => {
            return Err(ProduceRefusal::TooLarge { size: size_max.saturating_add(1), size_max });
        }
        other => other.map_err(ProduceRefusal::Batch)?,
    };
    if packed.len() > size_max {
        return Err(ProduceRefusal::TooLarge { size: packed.len(), size_max });
    }
    Ok(packed)
}

/// Whether a batch was refused only for being larger than was tried.
pub(super) fn is_too_large_here(refusal: &ProduceRefusal) -> bool {
    let ProduceRefusal::Batch(error) = refusal else { return false };
    is_larger_than_tried(error)
}

/// The same of a search.
pub(super) fn is_larger_than_tried(error: &BatchError) -> bool {
    matches!(error, BatchError::Decompress(DecompressError::TooLarge { .. }))
}

/// The time that the broker stamped, if it did.
pub(super) fn append_time_of(header: &BatchHeader) -> Option<Timestamp> {
    (header.timestamp_type() == TimestampType::LogAppendTime).then_some(header.max_timestamp)
}

/// A limit in Kafka's milliseconds; none is the largest.
fn ms(limit: Option<u64>) -> i64 {
    limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(i64::MAX)
}

/// The codec, and its level, that a topic wants all batches in, unless it takes them as they come.
fn wanted_codec(config: &TopicConfig) -> Option<(Compression, Option<i32>)> {
    let (codec, level) = match config.compression_type {
        CompressionType::Producer => return None,
        CompressionType::Uncompressed => (Compression::None, None),
        CompressionType::Gzip => (Compression::Gzip, Some(config.compression_gzip_level)),
        CompressionType::Snappy => (Compression::Snappy, None),
        CompressionType::Lz4 => (Compression::Lz4, Some(config.compression_lz4_level)),
        CompressionType::Zstd => (Compression::Zstd, Some(config.compression_zstd_level)),
    };
    Some((codec, level))
}

/// Indexes of the records without a key.
fn keyless(batch: &[u8], decompressed_bytes_max: usize) -> Result<Vec<i32>, BatchError> {
    let records = Records::open(batch, decompressed_bytes_max)?;
    let mut indexes = Vec::new();
    for (index, record) in (0..).zip(&records) {
        if record?.key.is_none() {
            indexes.push(index);
            if indexes.len() == RECORD_ERRORS_MAX {
                break;
            }
        }
    }
    Ok(indexes)
}

/// The first record at or behind `from` with at least the time `target`.
pub(super) fn find_record(
    batch: &[u8],
    target: Timestamp,
    from: Offset,
    decompressed_bytes_max: usize,
) -> Result<Option<(Offset, Timestamp)>, BatchError> {
    let records = Records::open(batch, decompressed_bytes_max)?;
    for record in &records {
        let record = record?;
        if from <= record.offset && target <= record.timestamp {
            return Ok(Some((record.offset, record.timestamp)));
        }
    }
    Ok(None)
}
