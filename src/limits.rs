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
/// Most topics that one request creates. The catalog is changed in one go, and every topic of a
/// reply is described in full.
pub const REQUEST_TOPICS_MAX: usize = 2000;
/// Most partitions that one request creates (Kafka's `MAX_PARTITIONS_PER_BATCH`).
pub const REQUEST_PARTITIONS_MAX: usize = 10_000;
/// Most changes of the catalog that wait for those before them.
pub const CONTROLLER_QUEUE_MAX: usize = 1000;
/// Most bytes that they take together; a single one may be larger.
pub const CONTROLLER_QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Smallest and largest number of shards.
pub const SHARDS_MAX: u16 = 1024;
/// Most unknown or known tagged fields read from one structure.
pub const TAGGED_FIELDS_MAX: u32 = 1024;
/// Most elements in all arrays of one request together. A shard decodes and answers a request in one
/// turn, at about 0.25 µs an element (measured: ListOffsets, OffsetForLeaderEpoch, Fetch).
pub const REQUEST_ELEMENTS_MAX: usize = 50_000;
/// The same for a request that changes the catalog, at up to 0.8 µs an element (DeleteTopics). Kafka
/// stops at as many records for one request.
pub const CHANGE_ELEMENTS_MAX: usize = 10_000;
/// Most bytes one record batch may decompress to where the broker has to look inside.
pub const DECOMPRESSED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most bytes a batch may decompress to where a shard looks inside without a background thread; more
/// than a millisecond of its time is never one client's.
pub const INSPECTED_AT_ONCE_BYTES_MAX: usize = 256 * 1024;
/// Largest compressed batch that a shard looks into itself: decoders can be made to work hard for
/// every byte they take in, too.
pub const INSPECTED_AT_ONCE_COMPRESSED_MAX: usize = 64 * 1024;
/// How much looking into batches one turn of a shard does, in bytes that would take as long to walk
/// over. What is left over waits for the next turn.
pub const INSPECTION_WORK_PER_TURN: usize = 4 * 1024 * 1024;
/// Most bytes of batches that wait to be looked into, per shard. More are refused for now.
pub const INSPECTION_QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most records of one batch that its producer is told the faults of.
pub const RECORD_ERRORS_MAX: usize = 1000;
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
/// Largest journal group of several entries, in bytes, headers and padding included. An entry that
/// is larger gets a group of its own.
pub const JOURNAL_GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Size of one journal file, in bytes.
pub const JOURNAL_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Largest journal group of a single entry, in bytes, headers and padding included.
pub const JOURNAL_LARGE_GROUP_BYTES_MAX: usize = 128 * 1024 * 1024;

/// The largest record batch that a journal with files of this length takes: it lies within one
/// file, behind the file's header and with headers of its own.
#[must_use]
pub const fn journal_batch_bytes_max(file_bytes: u64) -> usize {
    let room = file_bytes.saturating_sub(JOURNAL_BLOCK_BYTES as u64);
    let group = if room < JOURNAL_LARGE_GROUP_BYTES_MAX as u64 {
        room as usize
    } else {
        JOURNAL_LARGE_GROUP_BYTES_MAX
    };
    group.saturating_sub(JOURNAL_ENTRY_HEADERS_BYTES)
}

/// Bytes of a journal group that holds one entry, besides the entry's payload.
pub const JOURNAL_ENTRY_HEADERS_BYTES: usize = 128;

/// Journal groups in flight to the device at once, per journal.
pub const JOURNAL_DEPTH: usize = 4;
/// Requests of one connection being worked on at once; above it the connection is not read.
pub const CONNECTION_REQUESTS_MAX: usize = 128;
/// Largest entry a group may make of its members, in bytes; it is one record (Kafka's default of
/// `message.max.bytes`).
pub const GROUP_ENTRY_BYTES_MAX: usize = 1024 * 1024;
/// Largest entry a consumer group may make of the partitions of all topics that it reads, in bytes.
pub const GROUP_ASSIGNMENT_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Longest pattern that a member of a consumer group subscribes to, in bytes.
pub const PATTERN_BYTES_MAX: usize = 4 * 1024;
/// Largest program that a pattern may become, in bytes: its size bounds the time that matching takes.
pub const PATTERN_PROGRAM_BYTES_MAX: usize = 16 * 1024;
/// Patterns that the members of one consumer group may subscribe by.
pub const GROUP_PATTERNS_MAX: usize = 100;
/// Fetch sessions kept per shard (`max.incremental.fetch.session.cache.slots`, Kafka's default).
pub const FETCH_SESSIONS_MAX: usize = 1000;
/// Partitions that all fetch sessions of a shard remember together, some 300 bytes each. Beyond it
/// consumers are served without a session.
pub const FETCH_SESSION_PARTITIONS_MAX: usize = 100_000;
/// How much waking of long polls one turn of a shard does, in partitions read again. The rest is
/// woken in the next turn.
pub const WAKE_WORK_PER_TURN: usize = 4096;
/// What a wake costs beside its partitions, in the same unit: mostly the sending of a reply.
pub const WAKE_COST: usize = 64;

const _: () = assert!(BATCH_BYTES_MAX_DEFAULT < REQUEST_BYTES_MAX);
const _: () = assert!(INSPECTED_AT_ONCE_BYTES_MAX <= DECOMPRESSED_BYTES_MAX);
const _: () = assert!(INSPECTED_AT_ONCE_BYTES_MAX < INSPECTION_WORK_PER_TURN);
const _: () = assert!(BATCH_BYTES_MAX_DEFAULT < INSPECTION_WORK_PER_TURN);
const _: () = assert!(REQUEST_BYTES_MAX > INSPECTION_QUEUE_BYTES_MAX);
const _: () = assert!(JOURNAL_GROUP_BYTES_MAX.is_multiple_of(JOURNAL_BLOCK_BYTES));
const _: () = assert!(JOURNAL_GROUP_BYTES_MAX > BATCH_BYTES_MAX_DEFAULT + JOURNAL_BLOCK_BYTES);
const _: () = assert!(JOURNAL_LARGE_GROUP_BYTES_MAX.is_multiple_of(JOURNAL_BLOCK_BYTES));
const _: () = assert!(JOURNAL_LARGE_GROUP_BYTES_MAX > REQUEST_BYTES_MAX + JOURNAL_BLOCK_BYTES);
const _: () = assert!(journal_batch_bytes_max(JOURNAL_FILE_BYTES) >= 32 * 1024 * 1024);
const _: () = assert!(GROUP_ENTRY_BYTES_MAX <= BATCH_BYTES_MAX_DEFAULT);
const _: () =
    assert!(GROUP_ASSIGNMENT_BYTES_MAX + GROUP_ENTRY_BYTES_MAX <= JOURNAL_GROUP_BYTES_MAX);
const _: () = assert!(JOURNAL_FILE_BYTES >= 8 * JOURNAL_GROUP_BYTES_MAX as u64);
const _: () = assert!(REQUEST_PARTITIONS_MAX <= BROKER_PARTITIONS_MAX);
const _: () = assert!(JOURNAL_DEPTH >= 1);
const _: () = assert!(WAKE_COST < WAKE_WORK_PER_TURN);
