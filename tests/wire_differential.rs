//! The message tables against an independent codec: the `kafka-protocol` crate, which is generated
//! from Kafka's own schemas.
//!
//! For every API, version and direction, random messages are built and encoded there, decoded here,
//! compared field by field, and encoded here again, from the lazy form and from one rebuilt in
//! memory: the bytes must be the same. The same bytes, damaged, must never do more than be refused.
//!
//! `RINGMAIN_DEEP=1` runs 10,000 cases of each instead of 200. A failure prints what replays it.

use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::str::FromStr;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{BrokerId, GroupId, ProducerId, TopicName, TransactionalId};
use kafka_protocol::protocol::{Decodable, Encodable, Message, StrBytes};
use ringmain::stdx::prng::Prng;
use ringmain::wire::api_key::ApiKey;
use ringmain::wire::array::Array;
use ringmain::wire::header::{RequestHeader, ResponseHeader, response_header_version};
use ringmain::wire::message::Message as _;
use ringmain::wire::primitive::{DecodeError, Reader, Writer};
use ringmain::wire::served::SERVED;
use ringmain::wire::value::{Records, Value};

/// Where random values come from, and for which version.
struct Source {
    prng: Prng,
    version: i16,
    /// Whether one long array may still be made; more would multiply.
    long: bool,
    /// Whether every structure gets a tagged field no schema knows.
    unknown_tags: bool,
}

impl Source {
    fn length(&mut self) -> usize {
        if self.long && self.prng.chance(1, 40) {
            self.long = false;
            130 + self.prng.below(20) as usize
        } else {
            self.prng.below(4) as usize
        }
    }

    /// Of a type that only its text form can make.
    fn uuid<Uuid: FromStr<Err: Debug>>(&mut self) -> Uuid {
        let [high, low] = if self.prng.chance(1, 4) {
            [0; 2]
        } else {
            [self.prng.next_u64(), self.prng.next_u64()]
        };
        format!("{high:016x}{low:016x}").parse().expect("32 hexadecimal digits")
    }
}

/// Values made at random.
trait Arbitrary: Sized {
    fn arbitrary(source: &mut Source) -> Self;
}

macro_rules! arbitrary_numbers {
    ($($type:ty)*) => {$(
        impl Arbitrary for $type {
            fn arbitrary(source: &mut Source) -> Self {
                match source.prng.below(6) {
                    0 => 0,
                    1 => -1,
                    2 => <$type>::MAX,
                    3 => <$type>::MIN,
                    _ => source.prng.next_u64() as $type,
                }
            }
        }
    )*};
}

arbitrary_numbers!(i8 i16 i32 i64);

impl Arbitrary for bool {
    fn arbitrary(source: &mut Source) -> Self {
        source.prng.chance(1, 2)
    }
}

impl Arbitrary for Bytes {
    fn arbitrary(source: &mut Source) -> Self {
        let mut bytes = vec![0; source.prng.below(200) as usize];
        source.prng.fill(&mut bytes);
        bytes.into()
    }
}

impl Arbitrary for StrBytes {
    fn arbitrary(source: &mut Source) -> Self {
        let length = if source.prng.chance(1, 20) { 200 } else { source.prng.below(9) };
        let characters = ['a', 'Z', '7', '.', '-', 'é', '漢', '\0'];
        let character = |_| characters[source.prng.below(8) as usize];
        StrBytes::from_string((0..length).map(character).collect())
    }
}

impl Arbitrary for TopicName {
    fn arbitrary(source: &mut Source) -> Self {
        TopicName(Arbitrary::arbitrary(source))
    }
}

impl Arbitrary for GroupId {
    fn arbitrary(source: &mut Source) -> Self {
        GroupId(Arbitrary::arbitrary(source))
    }
}

impl Arbitrary for TransactionalId {
    fn arbitrary(source: &mut Source) -> Self {
        TransactionalId(Arbitrary::arbitrary(source))
    }
}

impl Arbitrary for BrokerId {
    fn arbitrary(source: &mut Source) -> Self {
        BrokerId(Arbitrary::arbitrary(source))
    }
}

impl Arbitrary for ProducerId {
    fn arbitrary(source: &mut Source) -> Self {
        ProducerId(Arbitrary::arbitrary(source))
    }
}

impl<T: Arbitrary> Arbitrary for Option<T> {
    fn arbitrary(source: &mut Source) -> Self {
        (!source.prng.chance(1, 4)).then(|| T::arbitrary(source))
    }
}

impl<T: Arbitrary> Arbitrary for Vec<T> {
    fn arbitrary(source: &mut Source) -> Self {
        (0..source.length()).map(|_| T::arbitrary(source)).collect()
    }
}

/// Equality of a value there with one here.
trait Same<Ours> {
    fn assert_same(&self, ours: &Ours, version: i16);
}

macro_rules! same {
    ($($theirs:ty, $ours:ty: |$this:ident| $value:expr;)*) => {$(
        impl Same<$ours> for $theirs {
            fn assert_same(&self, ours: &$ours, _: i16) {
                let $this = self;
                assert_eq!($value, *ours);
            }
        }
    )*};
}

same! {
    i8, i8: |this| *this;
    i16, i16: |this| *this;
    i32, i32: |this| *this;
    i64, i64: |this| *this;
    bool, bool: |this| *this;
    BrokerId, i32: |this| this.0;
    ProducerId, i64: |this| this.0;
    StrBytes, &str: |this| this.as_str();
    TopicName, &str: |this| this.0.as_str();
    GroupId, &str: |this| this.0.as_str();
    TransactionalId, &str: |this| this.0.as_str();
    Bytes, &[u8]: |this| &this[..];
    Option<Bytes>, Records<'_>: |this| this.as_deref().map_or(Records::Null, Records::Bytes);
}

/// For the other side's UUIDs, whose crate is not a dependency here.
impl<T: AsRef<[u8]>> Same<[u8; 16]> for T {
    fn assert_same(&self, ours: &[u8; 16], _: i16) {
        assert_eq!(self.as_ref(), ours);
    }
}

impl<Ours, Theirs: Same<Ours>> Same<Option<Ours>> for Option<Theirs> {
    fn assert_same(&self, ours: &Option<Ours>, version: i16) {
        assert_eq!(self.is_some(), ours.is_some(), "null");
        if let (Some(theirs), Some(ours)) = (self, ours) {
            theirs.assert_same(ours, version);
        }
    }
}

impl<'a, Ours: Value<'a>, Theirs: Same<Ours>> Same<Array<'a, Ours>> for Vec<Theirs> {
    fn assert_same(&self, ours: &Array<'a, Ours>, version: i16) {
        assert_eq!(self.len(), ours.len());
        for (theirs, ours) in self.iter().zip(ours) {
            theirs.assert_same(&ours, version);
        }
    }
}

/// A copy in which every array is in memory.
trait Rebuild {
    fn rebuild(&self) -> Self;
}

macro_rules! rebuild_by_copy {
    ($($type:ty)*) => {$(
        impl Rebuild for $type {
            fn rebuild(&self) -> Self {
                *self
            }
        }
    )*};
}

rebuild_by_copy!(i8 i16 i32 i64 bool [u8; 16] &str &[u8] Records<'_>);

impl<T: Rebuild> Rebuild for Option<T> {
    fn rebuild(&self) -> Self {
        self.as_ref().map(Rebuild::rebuild)
    }
}

impl<'a, T: Value<'a> + Rebuild> Rebuild for Array<'a, T> {
    fn rebuild(&self) -> Self {
        self.iter().map(|element| element.rebuild()).collect()
    }
}

/// Says of each structure which fields the other side has, in which versions if not in all, how to
/// make those no `Arbitrary` can be written for, and in which versions null is allowed if not in all;
/// and which structures are flexible in no version, so that they have no tagged fields there.
macro_rules! structures {
    ($($there:ident $here:ident {$(
        $name:ident $(<$life:lifetime>)? $(without $tags:ident)? {
            $($field:ident $(@ $make:ident)? $(in $versions:expr)? $(, null $null:expr)?;)*
        }
    )*})*) => {$($(
        impl Arbitrary for kafka_protocol::messages::$there::$name {
            fn arbitrary(source: &mut Source) -> Self {
                let mut value = Self::default();
                $(if true $(&& ($versions).contains(&source.version))? {
                    value.$field = make!(source $($make)?);
                    $(while value.$field.is_none() && !($null).contains(&source.version) {
                        value.$field = Arbitrary::arbitrary(source);
                    })?
                })*
                unknown_tags!(source value $($tags)?);
                value
            }
        }

        impl Same<ringmain::wire::$here::$name $(<$life>)?>
            for kafka_protocol::messages::$there::$name
        {
            fn assert_same(&self, ours: &ringmain::wire::$here::$name, version: i16) {
                $(if true $(&& ($versions).contains(&version))? {
                    self.$field.assert_same(&ours.$field, version);
                })*
            }
        }

        impl Rebuild for ringmain::wire::$here::$name $(<$life>)? {
            fn rebuild(&self) -> Self {
                Self { $($field: self.$field.rebuild(),)* }
            }
        }
    )*)*};
}

macro_rules! unknown_tags {
    ($source:ident $value:ident) => {
        if $source.unknown_tags {
            $value.unknown_tagged_fields.insert(900, Bytes::from_static(b"unknown"));
            $value.unknown_tagged_fields.insert(70_000, Bytes::new());
        }
    };
    ($source:ident $value:ident tags) => {};
}

macro_rules! make {
    ($source:ident) => {
        Arbitrary::arbitrary($source)
    };
    ($source:ident $make:ident) => {
        $source.$make()
    };
}

structures! {
    produce_request produce {
        ProduceRequest<'_> { transactional_id; acks; timeout_ms; topic_data; }
        TopicProduceData<'_> { name in 0..=12; topic_id @ uuid in 13..; partition_data; }
        PartitionProduceData<'_> { index; records; }
    }
    produce_response produce {
        ProduceResponse<'_> { responses; throttle_time_ms; node_endpoints in 10..; }
        TopicProduceResponse<'_> { name in 0..=12; topic_id @ uuid in 13..; partition_responses; }
        PartitionProduceResponse<'_> {
            index; error_code; base_offset; log_append_time_ms; log_start_offset in 5..;
            record_errors in 8..; error_message in 8..; current_leader in 10..;
        }
        BatchIndexAndErrorMessage<'_> { batch_index; batch_index_error_message; }
        LeaderIdAndEpoch { leader_id; leader_epoch; }
        NodeEndpoint<'_> { node_id; host; port; rack; }
    }
    fetch_request fetch {
        FetchRequest<'_> {
            cluster_id in 12..; replica_id in 0..=14; replica_state in 15..; max_wait_ms; min_bytes;
            max_bytes; isolation_level; session_id in 7..; session_epoch in 7..; topics;
            forgotten_topics_data in 7..; rack_id in 11..;
        }
        ReplicaState { replica_id; replica_epoch; }
        FetchTopic<'_> { topic in 0..=12; topic_id @ uuid in 13..; partitions; }
        FetchPartition {
            partition; current_leader_epoch in 9..; fetch_offset; last_fetched_epoch in 12..;
            log_start_offset in 5..; partition_max_bytes; replica_directory_id @ uuid in 17..;
            high_watermark in 18..;
        }
        ForgottenTopic<'_> { topic in 0..=12; topic_id @ uuid in 13..; partitions; }
    }
    fetch_response fetch {
        FetchResponse<'_> {
            throttle_time_ms; error_code in 7..; session_id in 7..; responses;
            node_endpoints in 16..;
        }
        FetchableTopicResponse<'_> { topic in 0..=12; topic_id @ uuid in 13..; partitions; }
        PartitionData<'_> {
            partition_index; error_code; high_watermark; last_stable_offset;
            log_start_offset in 5..; diverging_epoch in 12..; current_leader in 12..;
            snapshot_id in 12..; aborted_transactions; preferred_read_replica in 11..; records;
        }
        EpochEndOffset { epoch; end_offset; }
        LeaderIdAndEpoch { leader_id; leader_epoch; }
        SnapshotId { end_offset; epoch; }
        AbortedTransaction { producer_id; first_offset; }
        NodeEndpoint<'_> { node_id; host; port; rack; }
    }
    list_offsets_request list_offsets {
        ListOffsetsRequest<'_> { replica_id; isolation_level in 2..; topics; timeout_ms in 10..; }
        ListOffsetsTopic<'_> { name; partitions; }
        ListOffsetsPartition { partition_index; current_leader_epoch in 4..; timestamp; }
    }
    list_offsets_response list_offsets {
        ListOffsetsResponse<'_> { throttle_time_ms in 2..; topics; }
        ListOffsetsTopicResponse<'_> { name; partitions; }
        ListOffsetsPartitionResponse {
            partition_index; error_code; timestamp; offset; leader_epoch in 4..;
        }
    }
    metadata_request metadata {
        MetadataRequest<'_> {
            topics, null 1..; allow_auto_topic_creation in 4..;
            include_cluster_authorized_operations in 8..=10;
            include_topic_authorized_operations in 8..;
        }
        MetadataRequestTopic<'_> { topic_id @ uuid in 10..; name, null 10..; }
    }
    metadata_response metadata {
        MetadataResponse<'_> {
            throttle_time_ms in 3..; brokers; cluster_id in 2..; controller_id in 1..; topics;
            cluster_authorized_operations in 8..=10; error_code in 13..;
        }
        MetadataResponseBroker<'_> { node_id; host; port; rack in 1..; }
        MetadataResponseTopic<'_> {
            error_code; name, null 12..; topic_id @ uuid in 10..; is_internal in 1..; partitions;
            topic_authorized_operations in 8..;
        }
        MetadataResponsePartition<'_> {
            error_code; partition_index; leader_id; leader_epoch in 7..; replica_nodes; isr_nodes;
            offline_replicas in 5..;
        }
    }
    api_versions_request api_versions {
        ApiVersionsRequest<'_> { client_software_name in 3..; client_software_version in 3..; }
    }
    api_versions_response api_versions {
        ApiVersionsResponse<'_> {
            error_code; api_keys; throttle_time_ms in 1..; supported_features in 3..;
            finalized_features_epoch in 3..; finalized_features in 3..; zk_migration_ready in 3..;
        }
        ApiVersion { api_key; min_version; max_version; }
        SupportedFeatureKey<'_> { name; min_version; max_version; }
        FinalizedFeatureKey<'_> { name; max_version_level; min_version_level; }
    }
    create_topics_request create_topics {
        CreateTopicsRequest<'_> { topics; timeout_ms; validate_only; }
        CreatableTopic<'_> { name; num_partitions; replication_factor; assignments; configs; }
        CreatableReplicaAssignment<'_> { partition_index; broker_ids; }
        CreatableTopicConfig<'_> { name; value; }
    }
    create_topics_response create_topics {
        CreateTopicsResponse<'_> { throttle_time_ms; topics; }
        CreatableTopicResult<'_> {
            name; topic_id @ uuid in 7..; error_code; error_message;
            topic_config_error_code in 5..; num_partitions in 5..; replication_factor in 5..;
            configs in 5..;
        }
        CreatableTopicConfigs<'_> { name; value; read_only; config_source; is_sensitive; }
    }
    delete_topics_request delete_topics {
        DeleteTopicsRequest<'_> { topics in 6..; topic_names in 0..=5; timeout_ms; }
        DeleteTopicState<'_> { name; topic_id @ uuid; }
    }
    delete_topics_response delete_topics {
        DeleteTopicsResponse<'_> { throttle_time_ms; responses; }
        DeletableTopicResult<'_> {
            name, null 6..; topic_id @ uuid in 6..; error_code; error_message in 5..;
        }
    }
    delete_records_request delete_records {
        DeleteRecordsRequest<'_> { topics; timeout_ms; }
        DeleteRecordsTopic<'_> { name; partitions; }
        DeleteRecordsPartition { partition_index; offset; }
    }
    delete_records_response delete_records {
        DeleteRecordsResponse<'_> { throttle_time_ms; topics; }
        DeleteRecordsTopicResult<'_> { name; partitions; }
        DeleteRecordsPartitionResult { partition_index; low_watermark; error_code; }
    }
    find_coordinator_request find_coordinator {
        FindCoordinatorRequest<'_> { key in ..=3; key_type in 1..; coordinator_keys in 4..; }
    }
    find_coordinator_response find_coordinator {
        FindCoordinatorResponse<'_> {
            throttle_time_ms in 1..; error_code in ..=3; error_message in 1..=3; node_id in ..=3;
            host in ..=3; port in ..=3; coordinators in 4..;
        }
        Coordinator<'_> { key; node_id; host; port; error_code; error_message; }
    }
    init_producer_id_request init_producer_id {
        InitProducerIdRequest<'_> {
            transactional_id; transaction_timeout_ms; producer_id in 3..; producer_epoch in 3..;
        }
    }
    init_producer_id_response init_producer_id {
        InitProducerIdResponse { throttle_time_ms; error_code; producer_id; producer_epoch; }
    }
    offset_for_leader_epoch_request offset_for_leader_epoch {
        OffsetForLeaderEpochRequest<'_> { replica_id in 3..; topics; }
        OffsetForLeaderTopic<'_> { topic; partitions; }
        OffsetForLeaderPartition { partition; current_leader_epoch; leader_epoch; }
    }
    offset_for_leader_epoch_response offset_for_leader_epoch {
        OffsetForLeaderEpochResponse<'_> { throttle_time_ms; topics; }
        OffsetForLeaderTopicResult<'_> { topic; partitions; }
        EpochEndOffset { error_code; partition; leader_epoch; end_offset; }
    }
    describe_configs_request describe_configs {
        DescribeConfigsRequest<'_> { resources; include_synonyms; include_documentation in 3..; }
        DescribeConfigsResource<'_> { resource_type; resource_name; configuration_keys; }
    }
    describe_configs_response describe_configs {
        DescribeConfigsResponse<'_> { throttle_time_ms; results; }
        DescribeConfigsResult<'_> {
            error_code; error_message; resource_type; resource_name; configs;
        }
        DescribeConfigsResourceResult<'_> {
            name; value; read_only; config_source; is_sensitive; synonyms; config_type in 3..;
            documentation in 3..;
        }
        DescribeConfigsSynonym<'_> { name; value; source; }
    }
    alter_configs_request alter_configs {
        AlterConfigsRequest<'_> { resources; validate_only; }
        AlterConfigsResource<'_> { resource_type; resource_name; configs; }
        AlterableConfig<'_> { name; value; }
    }
    alter_configs_response alter_configs {
        AlterConfigsResponse<'_> { throttle_time_ms; responses; }
        AlterConfigsResourceResponse<'_> {
            error_code; error_message; resource_type; resource_name;
        }
    }
    describe_log_dirs_request describe_log_dirs {
        DescribeLogDirsRequest<'_> { topics; }
        DescribableLogDirTopic<'_> { topic; partitions; }
    }
    describe_log_dirs_response describe_log_dirs {
        DescribeLogDirsResponse<'_> { throttle_time_ms; error_code in 3..; results; }
        DescribeLogDirsResult<'_> {
            error_code; log_dir; topics; total_bytes in 4..; usable_bytes in 4..;
        }
        DescribeLogDirsTopic<'_> { name; partitions; }
        DescribeLogDirsPartition { partition_index; partition_size; offset_lag; is_future_key; }
    }
    create_partitions_request create_partitions {
        CreatePartitionsRequest<'_> { topics; timeout_ms; validate_only; }
        CreatePartitionsTopic<'_> { name; count; assignments; }
        CreatePartitionsAssignment<'_> { broker_ids; }
    }
    create_partitions_response create_partitions {
        CreatePartitionsResponse<'_> { throttle_time_ms; results; }
        CreatePartitionsTopicResult<'_> { name; error_code; error_message; }
    }
    incremental_alter_configs_request incremental_alter_configs {
        IncrementalAlterConfigsRequest<'_> { resources; validate_only; }
        AlterConfigsResource<'_> { resource_type; resource_name; configs; }
        AlterableConfig<'_> { name; config_operation; value; }
    }
    incremental_alter_configs_response incremental_alter_configs {
        IncrementalAlterConfigsResponse<'_> { throttle_time_ms; responses; }
        AlterConfigsResourceResponse<'_> {
            error_code; error_message; resource_type; resource_name;
        }
    }
    describe_cluster_request describe_cluster {
        DescribeClusterRequest {
            include_cluster_authorized_operations; endpoint_type in 1..;
            include_fenced_brokers in 2..;
        }
    }
    describe_cluster_response describe_cluster {
        DescribeClusterResponse<'_> {
            throttle_time_ms; error_code; error_message; endpoint_type in 1..; cluster_id;
            controller_id; brokers; cluster_authorized_operations;
        }
        DescribeClusterBroker<'_> { broker_id; host; port; rack; is_fenced in 2..; }
    }
    describe_topic_partitions_request describe_topic_partitions {
        DescribeTopicPartitionsRequest<'_> { topics; response_partition_limit; cursor; }
        TopicRequest<'_> { name; }
    }
    describe_topic_partitions_response describe_topic_partitions {
        DescribeTopicPartitionsResponse<'_> { throttle_time_ms; topics; next_cursor; }
        DescribeTopicPartitionsResponseTopic<'_> {
            error_code; name; topic_id @ uuid; is_internal; partitions;
            topic_authorized_operations;
        }
        DescribeTopicPartitionsResponsePartition<'_> {
            error_code; partition_index; leader_id; leader_epoch; replica_nodes; isr_nodes;
            eligible_leader_replicas; last_known_elr; offline_replicas;
        }
    }
    offset_commit_request offset_commit {
        OffsetCommitRequest<'_> {
            group_id; generation_id_or_member_epoch; member_id; group_instance_id in 7..;
            retention_time_ms in ..=4; topics;
        }
        OffsetCommitRequestTopic<'_> { name in ..=9; topic_id @ uuid in 10..; partitions; }
        OffsetCommitRequestPartition<'_> {
            partition_index; committed_offset; committed_leader_epoch in 6..; committed_metadata;
        }
    }
    offset_commit_response offset_commit {
        OffsetCommitResponse<'_> { throttle_time_ms in 3..; topics; }
        OffsetCommitResponseTopic<'_> { name in ..=9; topic_id @ uuid in 10..; partitions; }
        OffsetCommitResponsePartition { partition_index; error_code; }
    }
    offset_fetch_request offset_fetch {
        OffsetFetchRequest<'_> {
            group_id in ..=7; topics in ..=7, null 2..; groups in 8..; require_stable in 7..;
        }
        OffsetFetchRequestTopic<'_> { name; partition_indexes; }
        OffsetFetchRequestGroup<'_> { group_id; member_id in 9..; member_epoch in 9..; topics; }
        OffsetFetchRequestTopics<'_> { name in ..=9; topic_id @ uuid in 10..; partition_indexes; }
    }
    offset_fetch_response offset_fetch {
        OffsetFetchResponse<'_> {
            throttle_time_ms in 3..; topics in ..=7; error_code in 2..=7; groups in 8..;
        }
        OffsetFetchResponseTopic<'_> { name; partitions; }
        OffsetFetchResponsePartition<'_> {
            partition_index; committed_offset; committed_leader_epoch in 5..; metadata; error_code;
        }
        OffsetFetchResponseGroup<'_> { group_id; topics; error_code; }
        OffsetFetchResponseTopics<'_> { name in ..=9; topic_id @ uuid in 10..; partitions; }
        OffsetFetchResponsePartitions<'_> {
            partition_index; committed_offset; committed_leader_epoch; metadata; error_code;
        }
    }
    join_group_request join_group {
        JoinGroupRequest<'_> {
            group_id; session_timeout_ms; rebalance_timeout_ms in 1..; member_id;
            group_instance_id in 5..; protocol_type; protocols; reason in 8..;
        }
        JoinGroupRequestProtocol<'_> { name; metadata; }
    }
    join_group_response join_group {
        JoinGroupResponse<'_> {
            throttle_time_ms in 2..; error_code; generation_id; protocol_type in 7..;
            protocol_name, null 7..; leader; skip_assignment in 9..; member_id; members;
        }
        JoinGroupResponseMember<'_> { member_id; group_instance_id in 5..; metadata; }
    }
    heartbeat_request heartbeat {
        HeartbeatRequest<'_> { group_id; generation_id; member_id; group_instance_id in 3..; }
    }
    heartbeat_response heartbeat {
        HeartbeatResponse { throttle_time_ms in 1..; error_code; }
    }
    leave_group_request leave_group {
        LeaveGroupRequest<'_> { group_id; member_id in ..=2; members in 3..; }
        MemberIdentity<'_> { member_id; group_instance_id; reason in 5..; }
    }
    leave_group_response leave_group {
        LeaveGroupResponse<'_> { throttle_time_ms in 1..; error_code; members in 3..; }
        MemberResponse<'_> { member_id; group_instance_id; error_code; }
    }
    sync_group_request sync_group {
        SyncGroupRequest<'_> {
            group_id; generation_id; member_id; group_instance_id in 3..; protocol_type in 5..;
            protocol_name in 5..; assignments;
        }
        SyncGroupRequestAssignment<'_> { member_id; assignment; }
    }
    sync_group_response sync_group {
        SyncGroupResponse<'_> {
            throttle_time_ms in 1..; error_code; protocol_type in 5..; protocol_name in 5..;
            assignment;
        }
    }
    describe_groups_request describe_groups {
        DescribeGroupsRequest<'_> { groups; include_authorized_operations in 3..; }
    }
    describe_groups_response describe_groups {
        DescribeGroupsResponse<'_> { throttle_time_ms in 1..; groups; }
        DescribedGroup<'_> {
            error_code; error_message in 6..; group_id; group_state; protocol_type; protocol_data;
            members; authorized_operations in 3..;
        }
        DescribedGroupMember<'_> {
            member_id; group_instance_id in 4..; client_id; client_host; member_metadata;
            member_assignment;
        }
    }
    list_groups_request list_groups {
        ListGroupsRequest<'_> { states_filter in 4..; types_filter in 5..; }
    }
    list_groups_response list_groups {
        ListGroupsResponse<'_> { throttle_time_ms in 1..; error_code; groups; }
        ListedGroup<'_> { group_id; protocol_type; group_state in 4..; group_type in 5..; }
    }
    delete_groups_request delete_groups {
        DeleteGroupsRequest<'_> { groups_names; }
    }
    delete_groups_response delete_groups {
        DeleteGroupsResponse<'_> { throttle_time_ms; results; }
        DeletableGroupResult<'_> { group_id; error_code; }
    }
    offset_delete_request offset_delete {
        OffsetDeleteRequest<'_> without tags { group_id; topics; }
        OffsetDeleteRequestTopic<'_> without tags { name; partitions; }
        OffsetDeleteRequestPartition without tags { partition_index; }
    }
    offset_delete_response offset_delete {
        OffsetDeleteResponse<'_> without tags { error_code; throttle_time_ms; topics; }
        OffsetDeleteResponseTopic<'_> without tags { name; partitions; }
        OffsetDeleteResponsePartition without tags { partition_index; error_code; }
    }
    consumer_group_heartbeat_request consumer_group_heartbeat {
        ConsumerGroupHeartbeatRequest<'_> {
            group_id; member_id; member_epoch; instance_id; rack_id; rebalance_timeout_ms;
            subscribed_topic_names; subscribed_topic_regex in 1..; server_assignor;
            topic_partitions;
        }
    }
    consumer_group_heartbeat_response consumer_group_heartbeat {
        ConsumerGroupHeartbeatResponse<'_> {
            throttle_time_ms; error_code; error_message; member_id; member_epoch;
            heartbeat_interval_ms; assignment;
        }
        Assignment<'_> { topic_partitions; }
    }
    consumer_group_describe_request consumer_group_describe {
        ConsumerGroupDescribeRequest<'_> { group_ids; include_authorized_operations; }
    }
    consumer_group_describe_response consumer_group_describe {
        ConsumerGroupDescribeResponse<'_> { throttle_time_ms; groups; }
        DescribedGroup<'_> {
            error_code; error_message; group_id; group_state; group_epoch; assignment_epoch;
            assignor_name; members; authorized_operations;
        }
        Member<'_> {
            member_id; instance_id; rack_id; member_epoch; client_id; client_host;
            subscribed_topic_names; subscribed_topic_regex; assignment; target_assignment;
            member_type in 1..;
        }
        Assignment<'_> { topic_partitions; }
        TopicPartitions<'_> { topic_id @ uuid; topic_name; partitions; }
    }
}

/// Of structures that the other side has twice, once for each direction.
macro_rules! twice {
    ($($here:ident $name:ident in $request:ident $response:ident {
        $($field:ident $(@ $make:ident)?;)*
    })*) => {$(
        twice! { each $here $name $request { $($field $(@ $make)?;)* } }
        twice! { each $here $name $response { $($field $(@ $make)?;)* } }

        impl Rebuild for ringmain::wire::$here::$name<'_> {
            fn rebuild(&self) -> Self {
                Self { $($field: self.$field.rebuild(),)* }
            }
        }
    )*};
    (each $here:ident $name:ident $there:ident { $($field:ident $(@ $make:ident)?;)* }) => {
        impl Arbitrary for kafka_protocol::messages::$there::$name {
            fn arbitrary(source: &mut Source) -> Self {
                let mut value = Self::default();
                $(value.$field = make!(source $($make)?);)*
                unknown_tags!(source value);
                value
            }
        }

        impl Same<ringmain::wire::$here::$name<'_>> for kafka_protocol::messages::$there::$name {
            fn assert_same(&self, ours: &ringmain::wire::$here::$name<'_>, version: i16) {
                $(self.$field.assert_same(&ours.$field, version);)*
            }
        }
    };
}

twice! {
    describe_topic_partitions Cursor
        in describe_topic_partitions_request describe_topic_partitions_response
    { topic_name; partition_index; }
    consumer_group_heartbeat TopicPartitions
        in consumer_group_heartbeat_request consumer_group_heartbeat_response
    { topic_id @ uuid; partitions; }
}

/// One of our messages.
trait Ours<'a>: ringmain::wire::message::Message<'a> + Rebuild + Debug {}
impl<'a, T: ringmain::wire::message::Message<'a> + Rebuild + Debug> Ours<'a> for T {}

fn encoded_there(message: &impl Encodable, version: i16) -> Bytes {
    let mut buffer = BytesMut::new();
    message.encode(&mut buffer, version).expect("only what the version has is set");
    buffer.freeze()
}

fn encoded_here<'a>(message: &impl Ours<'a>, version: i16) -> Bytes {
    let mut buffer = BytesMut::new();
    let mut writer = Writer::new(&mut buffer);
    message.encode(&mut writer, version);
    assert_eq!(writer.holes(), []);
    assert_eq!(buffer.len(), message.size(version), "size");
    buffer.freeze()
}

/// Runs `check` and says how to run it again if it fails.
fn replayable(what: &str, version: i16, seed: u64, check: impl FnOnce()) {
    if let Err(failure) = catch_unwind(AssertUnwindSafe(check)) {
        eprintln!("failed: {what} version {version} seed {seed}");
        resume_unwind(failure);
    }
}

fn cases() -> u64 {
    if std::env::var_os("RINGMAIN_DEEP").is_some() { 10_000 } else { 200 }
}

/// Versions both sides know. Only the ends of ranges that no schema there reaches may be left out.
fn versions<Theirs: Message>(ours: RangeInclusive<i16>, missing: i16) -> RangeInclusive<i16> {
    let theirs = Theirs::VERSIONS;
    assert!(theirs.min <= *ours.start(), "the oracle lacks old versions");
    assert!(*ours.end() - missing <= theirs.max, "the oracle lacks new versions");
    *ours.start()..=*ours.end() - missing
}

/// Makes a test of one message in all its versions.
macro_rules! check {
    ($($there:ident $here:ident $name:ident $(without the last $missing:literal)?;)*) => {$(
    #[test]
    fn $there() {
        use kafka_protocol::messages::$there::$name as Theirs;
        use ringmain::wire::$here::$name as Ours;
        let what = stringify!($name);
        for version in versions::<Theirs>(Ours::VERSIONS, 0 $(+ $missing)?) {
            for seed in 0..cases() {
                replayable(what, version, seed, || {
                    let make = |unknown_tags| {
                        let prng = Prng::new(seed << 8 | version as u64);
                        Theirs::arbitrary(&mut Source { prng, version, long: true, unknown_tags })
                    };
                    let theirs = make(false);
                    let bytes = encoded_there(&theirs, version);
                    let ours = Ours::decode_whole(&bytes, version).unwrap();
                    theirs.assert_same(&ours, version);
                    assert_eq!(encoded_here(&ours, version), bytes, "from the lazy form");
                    let rebuilt = ours.rebuild();
                    assert_eq!(rebuilt, ours);
                    let bytes_rebuilt = encoded_here(&rebuilt, version);
                    assert_eq!(bytes_rebuilt, bytes, "from the form in memory");
                    let back = Theirs::decode(&mut bytes_rebuilt.clone(), version).unwrap();
                    back.assert_same(&ours, version);

                    let bytes_unknown = encoded_there(&make(true), version);
                    let flexible = version >= Ours::FLEXIBLE_FROM;
                    assert_eq!(bytes_unknown != bytes, flexible);
                    let ours_unknown = Ours::decode_whole(&bytes_unknown, version).unwrap();
                    assert_eq!(ours_unknown, ours, "unknown tags are passed over");

                    if seed < 20 {
                        // Every cut of a short message; of a long one as many, spread evenly.
                        for cut in (0..bytes.len()).step_by(bytes.len() / 500 + 1) {
                            let refused = Ours::decode_whole(&bytes[..cut], version);
                            assert!(refused.is_err(), "cut at {cut} of {}", bytes.len());
                        }
                        let longer = [&bytes[..], &[0]].concat();
                        let refused = Ours::decode_whole(&longer, version).map(drop);
                        assert_eq!(refused, Err(DecodeError::TrailingBytes(1)));
                    }
                    let mut prng = Prng::new(seed);
                    for _ in 0..4 {
                        let damaged = damaged(&bytes_unknown, &mut prng);
                        if let Ok(ours) = Ours::decode_whole(&damaged, version) {
                            let again = encoded_here(&ours, version);
                            let ours_again = Ours::decode_whole(&again, version);
                            assert_eq!(ours_again, Ok(ours.rebuild()));
                        }
                    }
                });
            }
        }
    }
    )*};
}

fn damaged(bytes: &[u8], prng: &mut Prng) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    for _ in 0..prng.between(1, 3) {
        let at = prng.below(damaged.len() as u64) as usize;
        if let Some(byte) = damaged.get_mut(at) {
            *byte = match prng.below(4) {
                0 => 0xff,
                1 => 0,
                2 => *byte ^ 1 << prng.below(8),
                _ => prng.next_u64() as u8,
            };
        }
    }
    damaged
}

check! {
    produce_request produce ProduceRequest;
    produce_response produce ProduceResponse;
    fetch_request fetch FetchRequest;
    fetch_response fetch FetchResponse;
    list_offsets_request list_offsets ListOffsetsRequest without the last 1;
    list_offsets_response list_offsets ListOffsetsResponse without the last 1;
    metadata_request metadata MetadataRequest;
    metadata_response metadata MetadataResponse;
    api_versions_request api_versions ApiVersionsRequest;
    api_versions_response api_versions ApiVersionsResponse;
    create_topics_request create_topics CreateTopicsRequest;
    create_topics_response create_topics CreateTopicsResponse;
    delete_topics_request delete_topics DeleteTopicsRequest;
    delete_topics_response delete_topics DeleteTopicsResponse;
    delete_records_request delete_records DeleteRecordsRequest;
    delete_records_response delete_records DeleteRecordsResponse;
    find_coordinator_request find_coordinator FindCoordinatorRequest;
    find_coordinator_response find_coordinator FindCoordinatorResponse;
    init_producer_id_request init_producer_id InitProducerIdRequest;
    init_producer_id_response init_producer_id InitProducerIdResponse;
    offset_for_leader_epoch_request offset_for_leader_epoch OffsetForLeaderEpochRequest;
    offset_for_leader_epoch_response offset_for_leader_epoch OffsetForLeaderEpochResponse;
    describe_configs_request describe_configs DescribeConfigsRequest;
    describe_configs_response describe_configs DescribeConfigsResponse;
    alter_configs_request alter_configs AlterConfigsRequest;
    alter_configs_response alter_configs AlterConfigsResponse;
    describe_log_dirs_request describe_log_dirs DescribeLogDirsRequest;
    describe_log_dirs_response describe_log_dirs DescribeLogDirsResponse;
    create_partitions_request create_partitions CreatePartitionsRequest;
    create_partitions_response create_partitions CreatePartitionsResponse;
    incremental_alter_configs_request incremental_alter_configs IncrementalAlterConfigsRequest;
    incremental_alter_configs_response incremental_alter_configs IncrementalAlterConfigsResponse;
    describe_cluster_request describe_cluster DescribeClusterRequest;
    describe_cluster_response describe_cluster DescribeClusterResponse;
    describe_topic_partitions_request describe_topic_partitions DescribeTopicPartitionsRequest;
    describe_topic_partitions_response describe_topic_partitions DescribeTopicPartitionsResponse;
    offset_commit_request offset_commit OffsetCommitRequest without the last 1;
    offset_commit_response offset_commit OffsetCommitResponse;
    offset_fetch_request offset_fetch OffsetFetchRequest without the last 1;
    offset_fetch_response offset_fetch OffsetFetchResponse;
    join_group_request join_group JoinGroupRequest;
    join_group_response join_group JoinGroupResponse;
    heartbeat_request heartbeat HeartbeatRequest;
    heartbeat_response heartbeat HeartbeatResponse;
    leave_group_request leave_group LeaveGroupRequest;
    leave_group_response leave_group LeaveGroupResponse;
    sync_group_request sync_group SyncGroupRequest;
    sync_group_response sync_group SyncGroupResponse;
    describe_groups_request describe_groups DescribeGroupsRequest;
    describe_groups_response describe_groups DescribeGroupsResponse;
    list_groups_request list_groups ListGroupsRequest;
    list_groups_response list_groups ListGroupsResponse;
    delete_groups_request delete_groups DeleteGroupsRequest;
    delete_groups_response delete_groups DeleteGroupsResponse;
    offset_delete_request offset_delete OffsetDeleteRequest;
    offset_delete_response offset_delete OffsetDeleteResponse;
    consumer_group_heartbeat_request consumer_group_heartbeat ConsumerGroupHeartbeatRequest;
    consumer_group_heartbeat_response consumer_group_heartbeat ConsumerGroupHeartbeatResponse;
    consumer_group_describe_request consumer_group_describe ConsumerGroupDescribeRequest;
    consumer_group_describe_response consumer_group_describe ConsumerGroupDescribeResponse;
}

/// Version 11 of ListOffsets, which the other side lacks, only gives a meaning to one more timestamp.
#[test]
fn the_newest_list_offsets_is_laid_out_as_the_one_before() {
    use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
    for seed in 0..cases() {
        let prng = Prng::new(seed);
        let mut source = Source { prng, version: 10, long: true, unknown_tags: false };
        let bytes = encoded_there(&ListOffsetsRequest::arbitrary(&mut source), 10);
        let ours = ringmain::wire::list_offsets::ListOffsetsRequest::decode_whole(&bytes, 11);
        assert_eq!(encoded_here(&ours.unwrap(), 11), bytes, "seed {seed}");
        let bytes = encoded_there(&ListOffsetsResponse::arbitrary(&mut source), 10);
        let ours = ringmain::wire::list_offsets::ListOffsetsResponse::decode_whole(&bytes, 11);
        assert_eq!(encoded_here(&ours.unwrap(), 11), bytes, "seed {seed}");
    }
}

/// Version 10 of the requests for offsets, which the other side lacks: bytes put together by hand
/// after Kafka's schemas.
#[test]
fn the_newest_requests_for_offsets() {
    use ringmain::wire::offset_commit::OffsetCommitRequest;
    use ringmain::wire::offset_fetch::OffsetFetchRequest;
    const TOPIC_ID: &[u8; 16] = b"0123456789abcdef";
    let commit = [
        b"\x06group\0\0\0\x07\x07member\x09instance\x02".as_slice(),
        TOPIC_ID,
        b"\x03\0\0\0\x01\0\0\0\0\0\0\0\x2a\0\0\0\x03\x05note\0",
        b"\0\0\0\x02\0\0\0\0\0\0\0\0\xff\xff\xff\xff\0\0",
        b"\0\0",
    ];
    let bytes = commit.concat();
    let ours = OffsetCommitRequest::decode_whole(&bytes, 10).unwrap();
    assert_eq!((ours.group_id, ours.generation_id_or_member_epoch), ("group", 7));
    assert_eq!((ours.member_id, ours.group_instance_id), ("member", Some("instance")));
    let topic = ours.topics.iter().next().unwrap();
    assert_eq!((topic.name, &topic.topic_id), ("", TOPIC_ID));
    let partitions: Vec<_> = topic.partitions.iter().collect();
    assert_eq!((partitions[0].partition_index, partitions[0].committed_offset), (1, 42));
    assert_eq!(partitions[0].committed_leader_epoch, 3);
    assert_eq!(partitions[0].committed_metadata, Some("note"));
    assert_eq!(
        (partitions[1].committed_leader_epoch, partitions[1].committed_metadata),
        (-1, None)
    );
    assert_eq!(encoded_here(&ours, 10), bytes);
    assert_eq!(encoded_here(&ours.rebuild(), 10), bytes);

    let fetch = [
        b"\x03\x06group\x07member\0\0\0\x05\x02".as_slice(),
        TOPIC_ID,
        b"\x03\0\0\0\x01\0\0\0\x02\0\0",
        b"\x06other\0\xff\xff\xff\xff\0\0",
        b"\x01\0",
    ];
    let bytes = fetch.concat();
    let ours = OffsetFetchRequest::decode_whole(&bytes, 10).unwrap();
    assert!(ours.require_stable);
    let groups: Vec<_> = ours.groups.iter().collect();
    assert_eq!((groups[0].group_id, groups[0].member_id), ("group", Some("member")));
    assert_eq!(groups[0].member_epoch, 5);
    let topic = groups[0].topics.as_ref().unwrap().iter().next().unwrap();
    assert_eq!((topic.name, &topic.topic_id), ("", TOPIC_ID));
    assert_eq!(topic.partition_indexes.iter().collect::<Vec<_>>(), [1, 2]);
    assert_eq!((groups[1].group_id, groups[1].member_id), ("other", None));
    assert_eq!((groups[1].member_epoch, groups[1].topics.is_none()), (-1, true));
    assert_eq!(encoded_here(&ours, 10), bytes);
    assert_eq!(encoded_here(&ours.rebuild(), 10), bytes);
}

#[test]
fn headers() {
    use kafka_protocol::messages::{self, RequestHeader as Theirs};
    let mut prng = Prng::new(1);
    for served in SERVED {
        let key = served.api_key;
        let key_there = messages::ApiKey::try_from(key.code()).unwrap();
        for version in served.decoded.clone() {
            let version_there = key_there.request_header_version(version);
            for client_id in [None, Some(""), Some("client-7")] {
                let correlation_id = prng.next_u64() as i32;
                let theirs = Theirs::default()
                    .with_request_api_key(key.code())
                    .with_request_api_version(version)
                    .with_correlation_id(correlation_id)
                    .with_client_id(client_id.map(StrBytes::from_static_str));
                let bytes = encoded_there(&theirs, version_there);
                let mut reader = Reader::new(&bytes);
                let ours = RequestHeader::decode(&mut reader).unwrap();
                assert_eq!(reader.finish(), Ok(()));
                let expected =
                    RequestHeader { api_key: key, api_version: version, correlation_id, client_id };
                assert_eq!(ours, expected);
                let mut buffer = BytesMut::new();
                ours.encode(&mut Writer::new(&mut buffer));
                assert_eq!(buffer, bytes, "{key} {version}");

                let version_there = key_there.response_header_version(version);
                assert_eq!(response_header_version(key, version), Some(version_there));
                let theirs =
                    messages::ResponseHeader::default().with_correlation_id(correlation_id);
                let bytes = encoded_there(&theirs, version_there);
                let mut reader = Reader::new(&bytes);
                let ours = ResponseHeader::decode(&mut reader, version_there).unwrap();
                assert_eq!(ours, ResponseHeader { correlation_id });
                assert_eq!(reader.finish(), Ok(()));
                let mut buffer = BytesMut::new();
                ours.encode(&mut Writer::new(&mut buffer), version_there);
                assert_eq!(buffer, bytes, "{key} {version}");
            }
        }
    }
}

#[test]
fn names_of_keys_and_errors() {
    for &key in ApiKey::ALL {
        if let Ok(there) = kafka_protocol::messages::ApiKey::try_from(key.code()) {
            assert_eq!(format!("{there:?}").trim_end_matches("Key"), key.name());
        }
    }
    for &error in ringmain::wire::error_code::ErrorCode::ALL {
        let there = kafka_protocol::ResponseError::try_from_code(error.code());
        let Some(there) = there else {
            assert_eq!(error.code(), 0);
            continue;
        };
        let words = error.name().unwrap().split('_').map(|word| {
            let (first, rest) = word.split_at(1);
            format!("{first}{}", rest.to_lowercase())
        });
        assert_eq!(format!("{there:?}"), words.collect::<String>());
    }
}
