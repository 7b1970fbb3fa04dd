//! The one table of what is served: which APIs, how their requests decode, and which versions are
//! advertised. The reply to ApiVersions, the headers' versions and dispatch all come from it.

use std::ops::RangeInclusive;

use super::alter_configs::{AlterConfigsRequest, AlterConfigsResponse};
use super::api_key::ApiKey;
use super::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use super::create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse};
use super::create_topics::{CreateTopicsRequest, CreateTopicsResponse};
use super::delete_records::{DeleteRecordsRequest, DeleteRecordsResponse};
use super::delete_topics::{DeleteTopicsRequest, DeleteTopicsResponse};
use super::describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
use super::describe_configs::{DescribeConfigsRequest, DescribeConfigsResponse};
use super::describe_log_dirs::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use super::describe_topic_partitions::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
};
use super::fetch::{FetchRequest, FetchResponse};
use super::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use super::incremental_alter_configs::{
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use super::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use super::list_offsets::{ListOffsetsRequest, ListOffsetsResponse};
use super::message::Message;
use super::metadata::{MetadataRequest, MetadataResponse};
use super::offset_for_leader_epoch::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use super::primitive::{DecodeError, Writer};
use super::produce::{ProduceRequest, ProduceResponse};

/// An API that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Which one.
    pub api_key: ApiKey,
    /// The versions clients are told of.
    pub advertised: RangeInclusive<i16>,
    /// The versions that are decoded; the others are refused with `UNSUPPORTED_VERSION`.
    pub decoded: RangeInclusive<i16>,
    /// First flexible version.
    pub flexible_from: i16,
}

macro_rules! served {
    ($(
        $key:ident: $request:ident $(<$request_life:lifetime>)?
            => $response:ident $(<$response_life:lifetime>)?, advertised $advertised:expr;
    )*) => {
        /// All that is served, by API key ascending.
        pub const SERVED: &[Served] = &[$(Served {
            api_key: ApiKey::$key,
            advertised: $advertised,
            decoded: $request::VERSIONS,
            flexible_from: $request::FLEXIBLE_FROM,
        }),*];

        /// First flexible version of an API; `None` if it is not served.
        #[must_use]
        pub const fn flexible_from(api_key: ApiKey) -> Option<i16> {
            match api_key {
                $(ApiKey::$key => Some($request::FLEXIBLE_FROM),)*
                _ => None,
            }
        }

        bodies! {
            /// The body of any request that is served.
            RequestBody { $($key: $request $(<$request_life>)?;)* }
        }

        bodies! {
            /// The body of any response to a request that is served.
            ResponseBody { $($key: $response $(<$response_life>)?;)* }
        }
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
    FindCoordinator: FindCoordinatorRequest<'a> => FindCoordinatorResponse<'a>, advertised 0..=6;
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
    IncrementalAlterConfigs: IncrementalAlterConfigsRequest<'a>
        => IncrementalAlterConfigsResponse<'a>, advertised 0..=1;
    DescribeCluster: DescribeClusterRequest => DescribeClusterResponse<'a>, advertised 0..=2;
    DescribeTopicPartitions: DescribeTopicPartitionsRequest<'a>
        => DescribeTopicPartitionsResponse<'a>, advertised 0..=0;
}

/// Whether requests of this version are decoded.
#[must_use]
pub fn decodes(api_key: ApiKey, version: i16) -> bool {
    SERVED.iter().any(|served| served.api_key == api_key && served.decoded.contains(&version))
}

/// What the reply to ApiVersions lists.
pub fn api_versions() -> impl ExactSizeIterator<Item = ApiVersion> {
    SERVED.iter().map(|served| ApiVersion {
        api_key: served.api_key.code(),
        min_version: *served.advertised.start(),
        max_version: *served.advertised.end(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_advertised_is_decoded() {
        assert!(SERVED.is_sorted_by_key(|served| served.api_key));
        for served in SERVED {
            assert_eq!(served.advertised.end(), served.decoded.end(), "{}", served.api_key);
            if served.api_key != ApiKey::Produce {
                assert_eq!(served.advertised.start(), served.decoded.start(), "{}", served.api_key);
            }
            assert_eq!(flexible_from(served.api_key), Some(served.flexible_from));
        }
        assert_eq!(api_versions().len(), SERVED.len());
        assert_eq!(flexible_from(ApiKey::LeaderAndIsr), None);
    }
}
