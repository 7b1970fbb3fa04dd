//! The headers in front of request and response bodies.
//!
//! Which of its versions a header has follows from API key and version: flexible versions of a body
//! go with request header 2 and response header 1, which end in tagged fields. Even there the client
//! id keeps its two-byte length, so that a broker can read the header of any ApiVersions request, and
//! the reply to ApiVersions keeps header 0, so that a client can read the header of any reply.

use super::api_key::ApiKey;
use super::message::read_tags;
use super::primitive::{DecodeError, Reader, Writer};
use super::served;
use super::value::{Form, Value};

/// What comes before a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    /// The API.
    pub api_key: ApiKey,
    /// Version of the body. Not checked against what is served: an ApiVersions request of an unknown
    /// version has a header that can be read, and gets an answer.
    pub api_version: i16,
    /// Chosen by the client; the reply repeats it.
    pub correlation_id: i32,
    /// How the client calls itself; Kafka takes null for empty.
    pub client_id: Option<&'a str>,
}

/// How the client id stands in both versions of the header.
const CLIENT_ID: Form = Form { version: 1, flexible: false, nullable: true };

impl<'a> RequestHeader<'a> {
    /// Reads the header, leaving the body in the reader. An API that is not spoken is an error, for
    /// even where its body begins is not known.
    pub fn decode(reader: &mut Reader<'a>) -> Result<RequestHeader<'a>, DecodeError> {
        let code = reader.i16()?;
        let api_version = reader.i16()?;
        let api_key = ApiKey::from_code(code).ok_or(DecodeError::UnknownApiKey(code))?;
        let version =
            request_header_version(api_key, api_version).ok_or(DecodeError::UnknownApiKey(code))?;
        let correlation_id = reader.i32()?;
        let client_id = Value::read(reader, CLIENT_ID)?;
        if version >= 2 {
            read_tags(reader, |_, _| Ok(false))?;
        }
        Ok(RequestHeader { api_key, api_version, correlation_id, client_id })
    }

    /// Appends the header. The API must be one that is served.
    pub fn encode(&self, writer: &mut Writer<'_>) {
        writer.i16(self.api_key.code());
        writer.i16(self.api_version);
        writer.i32(self.correlation_id);
        self.client_id.write(writer, CLIENT_ID);
        if self.flexible() {
            writer.unsigned_varint(0);
        }
    }

    /// How many bytes `encode` writes.
    #[must_use]
    pub fn size(&self) -> usize {
        8 + self.client_id.measure(CLIENT_ID) + usize::from(self.flexible())
    }

    fn flexible(&self) -> bool {
        let version = request_header_version(self.api_key, self.api_version);
        version.expect("only requests of APIs that are spoken are built") >= 2
    }
}

/// What comes before a response's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHeader {
    /// That of the request.
    pub correlation_id: i32,
}

impl ResponseHeader {
    /// Reads a header of the given version, 0 or 1.
    pub fn decode(reader: &mut Reader<'_>, version: i16) -> Result<ResponseHeader, DecodeError> {
        let correlation_id = reader.i32()?;
        if version >= 1 {
            read_tags(reader, |_, _| Ok(false))?;
        }
        Ok(ResponseHeader { correlation_id })
    }

    /// Appends a header of the given version, 0 or 1.
    pub fn encode(&self, writer: &mut Writer<'_>, version: i16) {
        writer.i32(self.correlation_id);
        if version >= 1 {
            writer.unsigned_varint(0);
        }
    }

    /// How many bytes `encode` writes.
    #[must_use]
    pub fn size(&self, version: i16) -> usize {
        4 + usize::from(version >= 1)
    }
}

/// Version of the header of requests with this key and version, 1 or 2; `None` if the API is not
/// spoken. (Header 0, without client id, was used by ControlledShutdown version 0 only.)
#[must_use]
pub fn request_header_version(api_key: ApiKey, api_version: i16) -> Option<i16> {
    Some(if api_version >= served::flexible_from(api_key)? { 2 } else { 1 })
}

/// Version of the header of replies to requests with this key and version, 0 or 1; `None` if the
/// API is not spoken.
#[must_use]
pub fn response_header_version(api_key: ApiKey, api_version: i16) -> Option<i16> {
    let flexible = api_version >= served::flexible_from(api_key)?;
    Some(i16::from(flexible && api_key != ApiKey::ApiVersions))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    #[test]
    fn header_versions() {
        let versions = |key, version| {
            (request_header_version(key, version), response_header_version(key, version))
        };
        assert_eq!(versions(ApiKey::Produce, 8), (Some(1), Some(0)));
        assert_eq!(versions(ApiKey::Produce, 9), (Some(2), Some(1)));
        assert_eq!(versions(ApiKey::ApiVersions, 2), (Some(1), Some(0)));
        assert_eq!(versions(ApiKey::ApiVersions, 3), (Some(2), Some(0)));
        assert_eq!(versions(ApiKey::ApiVersions, i16::MAX), (Some(2), Some(0)));
        assert_eq!(versions(ApiKey::ControlledShutdown, 0), (None, None));
    }

    #[test]
    fn headers_come_back() {
        for (api_key, api_version) in [(ApiKey::Fetch, 11), (ApiKey::Fetch, 12)] {
            for client_id in [None, Some(""), Some("client")] {
                let header = RequestHeader { api_key, api_version, correlation_id: -3, client_id };
                let mut buffer = BytesMut::new();
                header.encode(&mut Writer::new(&mut buffer));
                assert_eq!(buffer.len(), header.size());
                let mut reader = Reader::new(&buffer);
                assert_eq!(RequestHeader::decode(&mut reader), Ok(header));
                assert_eq!(reader.finish(), Ok(()));
                for cut in 0..buffer.len() {
                    let refused = RequestHeader::decode(&mut Reader::new(&buffer[..cut]));
                    assert_eq!(refused, Err(DecodeError::Truncated));
                }
            }
        }
    }

    #[test]
    fn an_api_that_is_not_spoken_is_refused() {
        for code in [-1_i16, ApiKey::Envelope.code(), 93, i16::MAX] {
            let mut bytes = [0; 16];
            bytes[..2].copy_from_slice(&code.to_be_bytes());
            let refused = RequestHeader::decode(&mut Reader::new(&bytes));
            assert_eq!(refused, Err(DecodeError::UnknownApiKey(code)));
        }
    }
}
