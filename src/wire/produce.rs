//! API key 0, Produce: appends record batches to partitions.
//!
//! Versions 3-13 are decoded. The range is advertised from 0, because librdkafka derives its record
//! format from it, though 0-2 (record formats before batches v2) are refused.
//!
//! - 3: transactional id (KIP-98). The first version with record batch v2.
//! - 4: the reply may say `KAFKA_STORAGE_ERROR`.
//! - 5: log start offset in the reply.
//! - 6: a throttled reply is sent before the wait, not after it (KIP-219).
//! - 7: zstd (KIP-110).
//! - 8: the records that caused a refusal, and a message (KIP-467).
//! - 9: flexible.
//! - 10: the new leader and its address, tagged, when the partition has moved (KIP-951).
//! - 11: `TRANSACTION_ABORTABLE` (KIP-890).
//! - 12: produce implies adding the partition to the transaction (KIP-890 part 2).
//! - 13: topics by id instead of name (KIP-516).

use super::array::Array;
use super::message::message;

message! {
    /// Batches to append. A reply is sent only if `acks` is not 0.
    request ProduceRequest<'a>(Produce, 3..=13, flexible 9..) {
        /// The transaction's id; null outside of transactions.
        transactional_id: Option<&'a str>, 3.., nullable 3..;
        /// Who must have the records before the reply: 0 nobody (no reply at all), 1 the leader,
        /// -1 all in-sync replicas.
        acks: i16, 0..;
        /// How long to wait for replicas, in milliseconds.
        timeout_ms: i32, 0..;
        /// The batches by topic.
        topic_data: Array<'a, TopicProduceData<'a>>, 0..;
    }

    /// The batches for one topic.
    struct TopicProduceData<'a> {
        /// Topic by name, up to version 12.
        name: &'a str, 0..=12, ignorable;
        /// Topic by id, from version 13.
        topic_id: [u8; 16], 13.., ignorable;
        /// The batches by partition.
        partition_data: Array<'a, PartitionProduceData<'a>>, 0..;
    }

    /// The batches for one partition.
    struct PartitionProduceData<'a> {
        /// The partition.
        index: i32, 0..;
        /// The batches, a piece of the frame: `range_in` finds where.
        records: Option<&'a [u8]>, 0.., nullable 0..;
    }
}

message! {
    /// What became of each batch.
    response ProduceResponse<'a>(Produce, 3..=13, flexible 9..) {
        /// Outcomes by topic.
        responses: Array<'a, TopicProduceResponse<'a>>, 0..;
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 1.., ignorable;
        /// Where the leaders named in the outcomes live (KIP-951).
        node_endpoints: Array<'a, NodeEndpoint<'a>>, 10.., tag 0;
    }

    /// Outcomes for one topic.
    struct TopicProduceResponse<'a> {
        /// Topic by name, up to version 12.
        name: &'a str, 0..=12, ignorable;
        /// Topic by id, from version 13.
        topic_id: [u8; 16], 13.., ignorable;
        /// Outcomes by partition.
        partition_responses: Array<'a, PartitionProduceResponse<'a>>, 0..;
    }

    /// Outcome for one partition.
    struct PartitionProduceResponse<'a> {
        /// The partition.
        index: i32, 0..;
        /// 0 if the records are appended.
        error_code: i16, 0..;
        /// Offset of the first record; -1 if nothing was appended.
        base_offset: i64, 0..;
        /// Broker's time of appending if the topic stamps records with it; else -1.
        log_append_time_ms: i64 = -1, 2.., ignorable;
        /// First offset of the log; -1 if not known.
        log_start_offset: i64 = -1, 5.., ignorable;
        /// The records for which the whole batch was refused (KIP-467).
        record_errors: Array<'a, BatchIndexAndErrorMessage<'a>>, 8.., ignorable;
        /// Why the batch was refused, if there is more to say than the code.
        error_message: Option<&'a str>, 8.., nullable 8.., ignorable;
        /// The partition's leader now, when this broker is not it (KIP-951).
        current_leader: LeaderIdAndEpoch, 10.., tag 0;
    }

    /// One record that made its batch fail.
    struct BatchIndexAndErrorMessage<'a> {
        /// Index of the record within the batch.
        batch_index: i32, 8..;
        /// What is wrong with it.
        batch_index_error_message: Option<&'a str>, 8.., nullable 8..;
    }

    /// A partition's leader.
    #[derive(Copy)]
    struct LeaderIdAndEpoch {
        /// The broker; -1 if unknown.
        leader_id: i32 = -1, 10..;
        /// Its epoch; -1 if unknown.
        leader_epoch: i32 = -1, 10..;
    }

    /// Address of a broker.
    struct NodeEndpoint<'a> {
        /// The broker.
        node_id: i32, 10..;
        /// Host name or address.
        host: &'a str, 10..;
        /// Port.
        port: i32, 10..;
        /// Rack; null if it has none.
        rack: Option<&'a str>, 10.., nullable 10..;
    }
}
