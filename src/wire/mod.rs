//! Kafka's wire protocol: frames, headers and messages, in both directions.
//!
//! One file per API key declares its request and response as tables (field, type, versions), from
//! which decoding, encoding, sizes and defaults follow for every version; the same tables serve the
//! broker and its clients. Decoded messages borrow from their frame and stay partly undecoded: an
//! array is checked once and decoded again as it is walked.
//!
//! It knows nothing of what requests mean: no machine, no record format, no rule of which error
//! answers what.
//!
//! Invariants:
//! - No bytes make it panic, and decoding allocates nothing, so no request costs more memory than its
//!   frame.
//! - What decodes can be walked: an array that was checked never fails later.
//! - `size` is what `encode` writes plus its holes, in every version.

pub mod array;
pub mod error_code;
pub mod frame;
pub mod header;
pub mod message;
pub mod primitive;
pub mod value;

pub mod api_key;
pub mod served;

pub mod alter_configs;
pub mod api_versions;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_topic_partitions;
pub mod fetch;
pub mod find_coordinator;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_groups;
pub mod list_offsets;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod sync_group;

#[cfg(test)]
mod hostile;
