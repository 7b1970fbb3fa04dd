//! The one table of what is spoken: which APIs, how their messages decode, and which versions are
//! advertised and so served. The reply to ApiVersions, the headers' versions and dispatch all come
//! from it.

use std::ops::RangeInclusive;

use super::alter_configs::{AlterConfigsRequest, AlterConfigsResponse};
use super::api_key::ApiKey;
use super::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use super::consumer_group_describe::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse};
use super::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
};
use super::create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse};
use super::create_topics::{CreateTopicsRequest, CreateTopicsResponse};
use super::delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
use super::delete_records::{DeleteRecordsRequest, DeleteRecordsResponse};
use super::delete_topics::{DeleteTopicsRequest, DeleteTopicsResponse};
use super::describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
use super::describe_configs::{DescribeConfigsRequest, DescribeConfigsResponse};
use super::describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse};
use super::describe_log_dirs::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use super::describe_topic_partitions::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
};
use super::fetch::{FetchRequest, FetchResponse};
use super::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use super::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use super::incremental_alter_configs::{
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use super::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use super::join_group::{JoinGroupRequest, JoinGroupResponse};
use super::leave_group::{LeaveGroupRequest, LeaveGroupResponse};
use super::list_groups::{ListGroupsRequest, ListGroupsResponse};
use super::list_offsets::{ListOffsetsRequest, ListOffsetsResponse};
use super::message::Message;
use super::metadata::{MetadataRequest, MetadataResponse};
use super::offset_commit::{OffsetCommitRequest, OffsetCommitResponse};
use super::offset_delete::{OffsetDeleteRequest, OffsetDeleteResponse};
use super::offset_fetch::{OffsetFetchRequest, OffsetFetchResponse};
use super::offset_for_leader_epoch::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use super::primitive::{DecodeError, Writer};
use super::produce::{ProduceRequest, ProduceResponse};
use super::sync_group::{SyncGroupRequest, SyncGroupResponse};

/// An API that is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Which one.
    pub api_key: ApiKey,
    /// The versions clients are told of; `None` if it is spoken only as a client of other brokers.
    pub advertised: Option<RangeInclusive<i16>>,
    /// The versions that are decoded; the others are refused with `UNSUPPORTED_VERSION`.
    pub decoded: RangeInclusive<i16>,
    /// First flexible version.
    pub flexible_from: i16,
}

macro_rules! served {
    ($(
        $key:ident: $request:ident $(<$request_life:lifetime>)?
            => $response:ident $(<$response_life:lifetime>)? $(, advertised $advertised:expr)?;
    )*) => {
        /// All that is spoken, by API key ascending.
        pub const SERVED: &[Served] = &[$(Served {
            api_key: ApiKey::$key,
            advertised: advertised!($($advertised)?),
            decoded: $request::VERSIONS,
            flexible_from: $request::FLEXIBLE_FROM,
        }),*];

        /// First flexible version of an API; `None` if it is not spoken.
        #[must_use]
        pub const fn flexible_from(api_key: ApiKey) -> Option<i16> {
            match api_key {
                $(ApiKey::$key => Some($request::FLEXIBLE_FROM),)*
                _ => None,
            }
        }

        bodies! {
            /// The body of any request that is spoken.
            RequestBody { $($key: $request $(<$request_life>)?;)* }
        }

        bodies! {
            /// The body of any response to a request that is spoken.
            ResponseBody { $($key: $response $(<$response_life>)?;)* }
        }
    };
}

macro_rules! advertised {
    () => {
        None
    };
    ($advertised:expr) => {
        Some($advertised)
    };
}

macro_rules! bodies {
    ($(#[$doc:meta])* $name:ident { $($key:ident: $body:ident $(<$life:lifetime>)?;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name<'a> {
            $(
                #[doc = concat!("Of ", stringify!($key), ".")]
                $key($body $(<$life>)?),
            )*
        }

        impl<'a> $name<'a> {
            /// Reads the body that fills `bytes`.
            pub fn decode(
                api_key: ApiKey,
                version: i16,
                bytes: &'a [u8],
            ) -> Result<$name<'a>, DecodeError> {
                match api_key {
                    $(ApiKey::$key => $body::decode_whole(bytes, version).map($name::$key),)*
                    other => Err(DecodeError::UnknownApiKey(other.code())),
                }
            }

            /// Which API the body belongs to.
            #[must_use]
            pub fn api_key(&self) -> ApiKey {
                match self {
                    $($name::$key(_) => ApiKey::$key,)*
                }
            }

            /// Appends the body.
            pub fn encode(&self, writer: &mut Writer<'_>, version: i16) {
                match self {
                    $($name::$key(body) => body.encode(writer, version),)*
                }
            }

            /// How many bytes `encode` writes, bytes of holes included.
            #[must_use]
            pub fn size(&self, version: i16) -> usize {
                match self {
                    $($name::$key(body) => body.size(version),)*
                }
            }
        }
    };
}

served! {
    // librdkafka takes the record format it may use from Produce's smallest version, so 0 is
    // advertised as Kafka does, though what comes before version 3 is refused (KAFKA-18659).
    Produce: ProduceRequest<'a> => ProduceResponse<'a>, advertised 0..=13;
    Fetch: FetchRequest<'a> => FetchResponse<'a>, advertised 4..=18;
    ListOffsets: ListOffsetsRequest<'a> => ListOffsetsResponse<'a>, advertised 1..=11;
    Metadata: MetadataRequest<'a> => MetadataResponse<'a>, advertised 0..=13;
    OffsetCommit: OffsetCommitRequest<'a> => OffsetCommitResponse<'a>, advertised 2..=10;
    OffsetFetch: OffsetFetchRequest<'a> => OffsetFetchResponse<'a>, advertised 1..=10;
    FindCoordinator: FindCoordinatorRequest<'a> => FindCoordinatorResponse<'a>, advertised 0..=6;
    JoinGroup: JoinGroupRequest<'a> => JoinGroupResponse<'a>, advertised 0..=9;
    Heartbeat: HeartbeatRequest<'a> => HeartbeatResponse, advertised 0..=4;
    LeaveGroup: LeaveGroupRequest<'a> => LeaveGroupResponse<'a>, advertised 0..=5;
    SyncGroup: SyncGroupRequest<'a> => SyncGroupResponse<'a>, advertised 0..=5;
    DescribeGroups: DescribeGroupsRequest<'a> => DescribeGroupsResponse<'a>, advertised 0..=6;
    ListGroups: ListGroupsRequest<'a> => ListGroupsResponse<'a>, advertised 0..=5;
    ApiVersions: ApiVersionsRequest<'a> => ApiVersionsResponse<'a>, advertised 0..=4;
    CreateTopics: CreateTopicsRequest<'a> => CreateTopicsResponse<'a>, advertised 2..=7;
    DeleteTopics: DeleteTopicsRequest<'a> => DeleteTopicsResponse<'a>, advertised 1..=6;
    DeleteRecords: DeleteRecordsRequest<'a> => DeleteRecordsResponse<'a>, advertised 0..=2;
    InitProducerId: InitProducerIdRequest<'a> => InitProducerIdResponse, advertised 0..=5;
    OffsetForLeaderEpoch: OffsetForLeaderEpochRequest<'a>
        => OffsetForLeaderEpochResponse<'a>, advertised 2..=4;
    DescribeConfigs: DescribeConfigsRequest<'a> => DescribeConfigsResponse<'a>, advertised 1..=4;
    AlterConfigs: AlterConfigsRequest<'a> => AlterConfigsResponse<'a>, advertised 0..=2;
    DescribeLogDirs: DescribeLogDirsRequest<'a> => DescribeLogDirsResponse<'a>, advertised 1..=4;
    CreatePartitions: CreatePartitionsRequest<'a> => CreatePartitionsResponse<'a>, advertised 0..=3;
    DeleteGroups: DeleteGroupsRequest<'a> => DeleteGroupsResponse<'a>, advertised 0..=2;
    IncrementalAlterConfigs: IncrementalAlterConfigsRequest<'a>
        => IncrementalAlterConfigsResponse<'a>, advertised 0..=1;
    OffsetDelete: OffsetDeleteRequest<'a> => OffsetDeleteResponse<'a>, advertised 0..=0;
    DescribeCluster: DescribeClusterRequest => DescribeClusterResponse<'a>, advertised 0..=2;
    ConsumerGroupHeartbeat: ConsumerGroupHeartbeatRequest<'a>
        => ConsumerGroupHeartbeatResponse<'a>, advertised 0..=1;
    ConsumerGroupDescribe: ConsumerGroupDescribeRequest<'a>
        => ConsumerGroupDescribeResponse<'a>, advertised 0..=1;
    DescribeTopicPartitions: DescribeTopicPartitionsRequest<'a>
        => DescribeTopicPartitionsResponse<'a>, advertised 0..=0;
}

/// Whether requests of this version are served.
#[must_use]
pub fn serves(api_key: ApiKey, version: i16) -> bool {
    SERVED.iter().any(|served| {
        served.api_key == api_key
            && served.advertised.is_some()
            && served.decoded.contains(&version)
    })
}

/// What the reply to ApiVersions lists.
pub fn api_versions() -> impl Iterator<Item = ApiVersion> {
    SERVED.iter().filter_map(|served| {
        let advertised = served.advertised.as_ref()?;
        Some(ApiVersion {
            api_key: served.api_key.code(),
            min_version: *advertised.start(),
            max_version: *advertised.end(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_advertised_is_decoded() {
        assert!(SERVED.is_sorted_by_key(|served| served.api_key));
        for served in SERVED {
            assert_eq!(flexible_from(served.api_key), Some(served.flexible_from));
            let Some(advertised) = &served.advertised else {
                assert!(!serves(served.api_key, *served.decoded.start()), "{}", served.api_key);
                continue;
            };
            assert_eq!(advertised.end(), served.decoded.end(), "{}", served.api_key);
            if served.api_key != ApiKey::Produce {
                assert_eq!(advertised.start(), served.decoded.start(), "{}", served.api_key);
            }
            assert!(serves(served.api_key, *served.decoded.start()), "{}", served.api_key);
            assert!(!serves(served.api_key, advertised.end() + 1), "{}", served.api_key);
        }
        let told: Vec<_> = api_versions().map(|version| version.api_key).collect();
        assert!(SERVED.iter().all(|served| {
            told.contains(&served.api_key.code()) == served.advertised.is_some()
        }));
        assert_eq!(flexible_from(ApiKey::LeaderAndIsr), None);
    }
}
