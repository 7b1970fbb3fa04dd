//! The one table of what is served: which APIs, how their requests decode, and which versions are
//! advertised. The reply to ApiVersions, the headers' versions and dispatch all come from it.

use std::ops::RangeInclusive;

use super::api_key::ApiKey;
use super::api_versions::{ApiVersion, ApiVersionsRequest};
use super::fetch::FetchRequest;
use super::list_offsets::ListOffsetsRequest;
use super::message::Message;
use super::metadata::MetadataRequest;
use super::primitive::{DecodeError, Writer};
use super::produce::ProduceRequest;

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
    ($($key:ident: $request:ident<'a>, advertised $advertised:expr;)*) => {
        /// All that is served, by API key ascending.
        pub const SERVED: &[Served] = &[$(Served {
            api_key: ApiKey::$key,
            advertised: $advertised,
            decoded: $request::VERSIONS,
            flexible_from: $request::FLEXIBLE_FROM,
        }),*];

        /// The body of any request that is served.
        #[derive(Clone, Debug, PartialEq)]
        pub enum RequestBody<'a> {
            $(
                #[doc = concat!("Body of a ", stringify!($key), " request.")]
                $key($request<'a>),
            )*
        }

        impl<'a> RequestBody<'a> {
            /// Reads the body that fills `bytes`.
            pub fn decode(
                api_key: ApiKey,
                version: i16,
                bytes: &'a [u8],
            ) -> Result<RequestBody<'a>, DecodeError> {
                match api_key {
                    $(ApiKey::$key => {
                        $request::decode_whole(bytes, version).map(RequestBody::$key)
                    })*
                    other => Err(DecodeError::UnknownApiKey(other.code())),
                }
            }

            /// Which API the body belongs to.
            #[must_use]
            pub fn api_key(&self) -> ApiKey {
                match self {
                    $(RequestBody::$key(_) => ApiKey::$key,)*
                }
            }

            /// Appends the body.
            pub fn encode(&self, writer: &mut Writer<'_>, version: i16) {
                match self {
                    $(RequestBody::$key(body) => body.encode(writer, version),)*
                }
            }

            /// How many bytes `encode` writes.
            #[must_use]
            pub fn size(&self, version: i16) -> usize {
                match self {
                    $(RequestBody::$key(body) => body.size(version),)*
                }
            }
        }

        /// First flexible version of an API; `None` if it is not served.
        #[must_use]
        pub const fn flexible_from(api_key: ApiKey) -> Option<i16> {
            match api_key {
                $(ApiKey::$key => Some($request::FLEXIBLE_FROM),)*
                _ => None,
            }
        }
    };
}

served! {
    // librdkafka takes the record format it may use from Produce's smallest version, so 0 is
    // advertised as Kafka does, though what comes before version 3 is refused (KAFKA-18659).
    Produce: ProduceRequest<'a>, advertised 0..=13;
    Fetch: FetchRequest<'a>, advertised 4..=18;
    ListOffsets: ListOffsetsRequest<'a>, advertised 1..=11;
    Metadata: MetadataRequest<'a>, advertised 0..=13;
    ApiVersions: ApiVersionsRequest<'a>, advertised 0..=4;
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
