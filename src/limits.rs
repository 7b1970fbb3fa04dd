//! Every bound in one place, with the relations between them asserted at compile time.
//!
//! A limit that a user may move is a default here and a key in `config`; a limit that protects the
//! process from its input is a constant and nothing else.

/// Largest request frame accepted, in bytes (`socket.request.max.bytes`, Kafka's default).
pub const REQUEST_BYTES_MAX: usize = 100 * 1024 * 1024;
/// Largest record batch accepted, in bytes (`message.max.bytes`, Kafka's default).
pub const BATCH_BYTES_MAX_DEFAULT: usize = 1024 * 1024 + 12;
/// Largest legal topic name, in bytes (Kafka's own bound: directory name minus suffixes).
pub const TOPIC_NAME_BYTES_MAX: usize = 249;
/// Most partitions one topic may have.
pub const TOPIC_PARTITIONS_MAX: i32 = 100_000;
/// Most partitions one broker holds.
pub const BROKER_PARTITIONS_MAX: usize = 200_000;
/// Smallest and largest number of shards.
pub const SHARDS_MAX: u16 = 1024;
/// Most unknown or known tagged fields read from one structure.
pub const TAGGED_FIELDS_MAX: u32 = 1024;
/// Most bytes one record batch may decompress to where the broker has to look inside.
pub const DECOMPRESSED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Batches remembered per idempotent producer and partition for deduplication (KIP-98; Kafka's
/// `NUM_BATCHES_TO_RETAIN`).
pub const PRODUCER_BATCHES_RETAINED: usize = 5;
/// Idempotent producers remembered per partition. Beyond it the one that has been quiet for longest
/// is forgotten, so that clients which come and go cannot eat the memory (KIP-936 is the same
/// worry).
pub const PARTITION_PRODUCERS_MAX: usize = 10_000;
/// Unit of journal writes, in bytes: the largest logical block size in common use, so one journal
/// works on 512-byte and 4-KiB devices.
pub const JOURNAL_BLOCK_BYTES: usize = 4096;
/// Largest journal group, in bytes, headers and padding included.
pub const JOURNAL_GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Size of one journal file, in bytes.
pub const JOURNAL_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Journal groups in flight to the device at once, per journal.
pub const JOURNAL_DEPTH: usize = 4;
/// Requests of one connection being worked on at once; above it the connection is not read.
pub const CONNECTION_REQUESTS_MAX: usize = 128;
/// Largest entry a group may make of its members, in bytes; it is one record (Kafka's default of
/// `message.max.bytes`).
pub const GROUP_ENTRY_BYTES_MAX: usize = 1024 * 1024;
/// Fetch sessions kept per shard (`max.incremental.fetch.session.cache.slots`, Kafka's default).
pub const FETCH_SESSIONS_MAX: usize = 1000;

const _: () = assert!(BATCH_BYTES_MAX_DEFAULT < REQUEST_BYTES_MAX);
const _: () = assert!(JOURNAL_GROUP_BYTES_MAX.is_multiple_of(JOURNAL_BLOCK_BYTES));
const _: () = assert!(JOURNAL_GROUP_BYTES_MAX > BATCH_BYTES_MAX_DEFAULT + JOURNAL_BLOCK_BYTES);
const _: () = assert!(GROUP_ENTRY_BYTES_MAX <= BATCH_BYTES_MAX_DEFAULT);
const _: () = assert!(JOURNAL_FILE_BYTES >= 8 * JOURNAL_GROUP_BYTES_MAX as u64);
const _: () = assert!(JOURNAL_DEPTH >= 1);
