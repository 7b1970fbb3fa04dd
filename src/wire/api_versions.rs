//! API key 18, ApiVersions: what this broker serves. The first request of every client.
//!
//! Versions 0-4.
//!
//! - 1: throttle time.
//! - 2: a throttled reply is sent before the wait, not after it (KIP-219).
//! - 3: flexible; the client's name and version (KIP-511); features (KIP-584). The *header* of the
//!   reply stays as it was: a client that asked with too high a version could not parse another.
//! - 4: features whose smallest version is 0 may be listed. Below 4 whoever replies leaves them out,
//!   for older Java clients refuse the whole reply.

use bytes::BytesMut;

use super::api_key::ApiKey;
use super::array::Array;
use super::error_code::ErrorCode;
use super::frame::write_response;
use super::message::{Message, message};

message! {
    /// Asks for the versions served.
    request ApiVersionsRequest<'a>(ApiVersions, 0..=4, flexible 3..) {
        /// Name of the client's software.
        client_software_name: &'a str, 3.., ignorable;
        /// Its version.
        client_software_version: &'a str, 3.., ignorable;
    }
}

message! {
    /// The versions served.
    response ApiVersionsResponse<'a>(ApiVersions, 0..=4, flexible 3..) {
        /// 0, or `UNSUPPORTED_VERSION` if the request's own version is not served.
        error_code: i16, 0..;
        /// The versions of each API.
        api_keys: Array<'a, ApiVersion>, 0..;
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 1.., ignorable;
        /// Features this broker could support.
        supported_features: Array<'a, SupportedFeatureKey<'a>>, 3.., tag 0, ignorable;
        /// Epoch of the finalized features; -1 if unknown.
        finalized_features_epoch: i64 = -1, 3.., tag 1, ignorable;
        /// Features the cluster has agreed on.
        finalized_features: Array<'a, FinalizedFeatureKey<'a>>, 3.., tag 2, ignorable;
        /// A controller's readiness to leave ZooKeeper; never of use here.
        zk_migration_ready: bool, 3.., tag 3, ignorable;
    }

    /// The versions of one API, both ends included.
    #[derive(Copy)]
    struct ApiVersion {
        /// The API key.
        api_key: i16, 0..;
        /// Smallest version.
        min_version: i16, 0..;
        /// Largest version.
        max_version: i16, 0..;
    }

    /// The levels of a feature this broker could support, both ends included.
    struct SupportedFeatureKey<'a> {
        /// The feature, such as `transaction.version`.
        name: &'a str, 3..;
        /// Smallest level.
        min_version: i16, 3..;
        /// Largest level.
        max_version: i16, 3..;
    }

    /// The level of a feature the cluster has agreed on.
    struct FinalizedFeatureKey<'a> {
        /// The feature.
        name: &'a str, 3..;
        /// The level in force.
        max_version_level: i16, 3..;
        /// The smallest level.
        min_version_level: i16, 3..;
    }
}

/// Appends the framed reply to an ApiVersions request of a version that is not served: version 0,
/// error 35 and the versions of ApiVersions itself, with which the client asks again (KIP-511).
pub fn write_unsupported_version(buffer: &mut BytesMut, correlation_id: i32) {
    let versions = ApiVersionsRequest::VERSIONS;
    let own = [ApiVersion {
        api_key: ApiKey::ApiVersions.code(),
        min_version: *versions.start(),
        max_version: *versions.end(),
    }];
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UNSUPPORTED_VERSION.code(),
        api_keys: own[..].into(),
        ..ApiVersionsResponse::default()
    };
    let holes = write_response(buffer, correlation_id, 0, &response);
    assert!(holes.is_empty(), "this reply carries no records");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_version_is_answered_in_version_0() {
        let mut buffer = BytesMut::new();
        write_unsupported_version(&mut buffer, 7);
        let expected = [
            &[0, 0, 0, 16][..], // length
            &[0, 0, 0, 7],      // correlation id, in a header without tags
            &[0, 35],           // UNSUPPORTED_VERSION
            &[0, 0, 0, 1],      // one entry:
            &[0, 18, 0, 0, 0, 4],
        ];
        assert_eq!(&buffer[..], expected.concat());
    }
}
