//! Responses from a broker of unknown intent, as a client reads them: the first two bytes choose API
//! and version, the rest is the body. What decodes must encode again, as for requests.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use ringmain::wire::header::ResponseHeader;
use ringmain::wire::primitive::{Reader, Writer};
use ringmain::wire::served::{ResponseBody, SERVED};

fuzz_target!(|bytes: &[u8]| {
    let [api, version, bytes @ ..] = bytes else { return };
    for header_version in [0, 1] {
        let _ = ResponseHeader::decode(&mut Reader::new(bytes), header_version);
    }
    let served = &SERVED[usize::from(*api) % SERVED.len()];
    let versions = i16::from(*version) % (served.decoded.end() - served.decoded.start() + 1);
    let version = served.decoded.start() + versions;
    let Ok(body) = ResponseBody::decode(served.api_key, version, bytes) else { return };
    let mut buffer = BytesMut::new();
    let mut writer = Writer::new(&mut buffer);
    body.encode(&mut writer, version);
    assert!(writer.holes().is_empty(), "decoding makes no holes");
    assert_eq!(buffer.len(), body.size(version));
    assert_eq!(ResponseBody::decode(served.api_key, version, &buffer), Ok(body));
});
