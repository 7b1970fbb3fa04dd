//! ApiVersions (key 18), versions 0 to 4.
//!
//! - 3: flexible request, client software name and version, features (KIP-584). 4: features with
//!   minimum version 0.
//!
//! The reply's header stays the old one in every version. An unknown version is answered in the
//! form of v0 with UNSUPPORTED_VERSION and the whole list, so that the client can ask again.

use crate::wire::api_versions::{
    ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use crate::wire::error_code::ErrorCode;
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;
use crate::wire::served;

use super::asked::Asked;
use super::reply::Reply;
use super::{Context, Next};

/// Consumer groups of KIP-848 are served from level 1 on. There is no other level here, whatever the
/// catalog of an older data directory says.
const GROUP_VERSION: &str = "group.version";
const GROUP_VERSION_LEVEL: i16 = 1;

/// Answers a request.
pub(super) fn answer(
    asked: Asked,
    body: &[u8],
    context: &Context<'_>,
) -> Result<Next, DecodeError> {
    let request = ApiVersionsRequest::decode_from(body, asked.version)?;
    let legal = |name: &str| {
        let mut bytes = name.bytes();
        let edge = |byte: u8| byte.is_ascii_alphanumeric();
        bytes.clone().all(|byte| edge(byte) || byte == b'-' || byte == b'.')
            && bytes.next().is_some_and(edge)
            && name.bytes().last().is_some_and(edge)
    };
    if asked.version >= 3
        && !(legal(request.client_software_name) && legal(request.client_software_version))
    {
        let response = ApiVersionsResponse {
            error_code: ErrorCode::INVALID_REQUEST.code(),
            finalized_features_epoch: -1,
            ..Default::default()
        };
        return Ok(Next::Reply(asked.reply(&response)));
    }
    let features = &context.image.features;
    let agreed = features.iter().map(|(name, level)| (&**name, *level));
    let built_in = [(GROUP_VERSION, GROUP_VERSION_LEVEL)];
    let built_in = built_in.into_iter().filter(|(name, _)| !features.contains_key(*name));
    let all: Vec<_> = agreed.chain(built_in).collect();
    let supported: Vec<_> = (all.iter())
        .map(|(name, level)| SupportedFeatureKey { name, min_version: *level, max_version: *level })
        .collect();
    let finalized: Vec<_> = (all.iter())
        .map(|(name, level)| FinalizedFeatureKey {
            name,
            max_version_level: *level,
            min_version_level: *level,
        })
        .collect();
    let response = ApiVersionsResponse {
        api_keys: served::api_versions().collect::<Vec<_>>().into(),
        supported_features: supported.into(),
        finalized_features_epoch: i64::try_from(context.image.version).unwrap_or(i64::MAX),
        finalized_features: finalized.into(),
        ..Default::default()
    };
    Ok(Next::Reply(asked.reply(&response)))
}

/// Answers a version that is not known.
pub(super) fn unsupported(asked: Asked) -> Reply {
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UNSUPPORTED_VERSION.code(),
        api_keys: served::api_versions().collect::<Vec<_>>().into(),
        ..Default::default()
    };
    Asked { version: 0, ..asked }.reply(&response)
}
