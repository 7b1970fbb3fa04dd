//! The settings of one partition's log, under Kafka's names.

/// What decides where segments end, how they are indexed and when they go. May be replaced at any
/// time; what is already written keeps the shape it was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Size at which a segment is closed, in bytes (`segment.bytes`).
    pub segment_bytes: u32,
    /// Age of its first record at which a segment is closed (`segment.ms`).
    pub segment_ms: u64,
    /// Up to this much of `segment_ms` is taken off, by a draw that is fixed per segment, so that
    /// many partitions do not roll at once (`segment.jitter.ms`).
    pub segment_jitter_ms: u64,
    /// Seed of that draw: another one for each partition.
    pub jitter_seed: u64,
    /// Bytes between two entries of the offset index (`index.interval.bytes`).
    pub index_interval_bytes: u32,
    /// Largest size of an index file, in bytes; a full one closes its segment
    /// (`segment.index.bytes`).
    pub segment_index_bytes: u32,
    /// Bytes a partition keeps (`retention.bytes`); `None` for Kafka's -1.
    pub retention_bytes: Option<u64>,
    /// How long records are kept (`retention.ms`); `None` for Kafka's -1.
    pub retention_ms: Option<u64>,
    /// Whether `cleanup.policy` contains `delete`. Without it, retention only removes what lies
    /// below the start offset.
    pub delete: bool,
    /// Time between the removal of a segment and that of its files, for readers that are under way
    /// (`file.delete.delay.ms`). The log only carries it; the shell waits.
    pub file_delete_delay_ms: u64,
}
