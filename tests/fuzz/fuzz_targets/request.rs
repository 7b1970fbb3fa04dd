//! Requests from peers of unknown intent: first the input as a whole frame, header and body, then
//! its rest as a body of the API and version that its first two bytes choose.
//!
//! What decodes must encode again, which walks every array to its end, to as many bytes as it says,
//! and to the same message.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use ringmain::wire::api_key::ApiKey;
use ringmain::wire::header::RequestHeader;
use ringmain::wire::primitive::{Reader, Writer};
use ringmain::wire::served::{RequestBody, SERVED};

fn body(api_key: ApiKey, version: i16, bytes: &[u8]) {
    let Ok(body) = RequestBody::decode(api_key, version, bytes) else { return };
    let mut buffer = BytesMut::new();
    body.encode(&mut Writer::new(&mut buffer), version);
    assert_eq!(buffer.len(), body.size(version));
    assert_eq!(RequestBody::decode(api_key, version, &buffer), Ok(body));
}

fuzz_target!(|bytes: &[u8]| {
    let mut reader = Reader::new(bytes);
    if let Ok(header) = RequestHeader::decode(&mut reader) {
        body(header.api_key, header.api_version, reader.rest());
        let mut buffer = BytesMut::new();
        header.encode(&mut Writer::new(&mut buffer));
        assert_eq!(buffer.len(), header.size());
        assert_eq!(RequestHeader::decode(&mut Reader::new(&buffer)), Ok(header));
    }
    let [api, version, rest @ ..] = bytes else { return };
    let served = &SERVED[usize::from(*api) % SERVED.len()];
    let versions = i16::from(*version) % (served.decoded.end() - served.decoded.start() + 1);
    body(served.api_key, served.decoded.start() + versions, rest);
});
