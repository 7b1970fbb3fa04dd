//! Frames: a four-byte length, then a header and a body.

use std::fmt;

use bytes::{BufMut, BytesMut};

use super::header::{RequestHeader, ResponseHeader, response_header_version};
use super::message::{Request, Response};
use super::primitive::{DecodeError, Hole, Reader, Writer};
use crate::stdx::few::Few;

/// Bytes of the length in front of each frame.
pub const LENGTH_BYTES: usize = 4;

/// Fewest bytes a request can have: API key, version, correlation id, and a null client id.
pub const REQUEST_BYTES_MIN: usize = 10;

/// Fewest bytes a response can have: the correlation id.
pub const RESPONSE_BYTES_MIN: usize = 4;

/// Why a length cannot be that of a frame. The connection is of no use after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Below zero.
    Negative(i32),
    /// Fewer bytes than a header has.
    TooShort(usize),
    /// More bytes than allowed.
    TooLong {
        /// The length claimed.
        length: usize,
        /// The longest allowed.
        length_max: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Negative(length) => write!(f, "frame of negative length {length}"),
            FrameError::TooShort(length) => write!(f, "frame of {length} bytes has no header"),
            FrameError::TooLong { length, length_max } => {
                write!(f, "frame of {length} bytes where {length_max} are allowed")
            }
        }
    }
}

impl std::error::Error for FrameError {}

/// The length of a request frame, prefix not counted, from its prefix. To be asked before anything
/// is allocated for the frame.
pub fn request_length(prefix: [u8; LENGTH_BYTES], length_max: usize) -> Result<usize, FrameError> {
    frame_length(prefix, REQUEST_BYTES_MIN, length_max)
}

/// The same for a response frame, for clients.
pub fn response_length(prefix: [u8; LENGTH_BYTES], length_max: usize) -> Result<usize, FrameError> {
    frame_length(prefix, RESPONSE_BYTES_MIN, length_max)
}

fn frame_length(
    prefix: [u8; LENGTH_BYTES],
    length_min: usize,
    length_max: usize,
) -> Result<usize, FrameError> {
    let claimed = i32::from_be_bytes(prefix);
    let length = usize::try_from(claimed).map_err(|_| FrameError::Negative(claimed))?;
    if length < length_min {
        Err(FrameError::TooShort(length))
    } else if length > length_max {
        Err(FrameError::TooLong { length, length_max })
    } else {
        Ok(length)
    }
}

/// Appends a whole response frame: length, header, body. Returns the holes in the body, positioned
/// in the whole buffer; the length counts their bytes. `version` must be one of the message's.
pub fn write_response<'a, R: Response<'a>>(
    buffer: &mut BytesMut,
    correlation_id: i32,
    version: i16,
    body: &R,
) -> Few<Hole> {
    let header = ResponseHeader { correlation_id };
    let header_version =
        response_header_version(R::API_KEY, version).expect("every message's API is served");
    let length = header.size(header_version) + body.size(version);
    write_frame(buffer, length, |writer| {
        header.encode(writer, header_version);
        body.encode(writer, version);
    })
}

/// Appends a whole request frame, for clients: length, header, body.
pub fn write_request<'a, R: Request<'a>>(
    buffer: &mut BytesMut,
    correlation_id: i32,
    client_id: Option<&str>,
    version: i16,
    body: &R,
) {
    let header =
        RequestHeader { api_key: R::API_KEY, api_version: version, correlation_id, client_id };
    let length = header.size() + body.size(version);
    write_frame(buffer, length, |writer| {
        header.encode(writer);
        body.encode(writer, version);
    });
}

/// Reads a response frame without its length, for clients: correlation id and body.
pub fn read_response<'a, R: Response<'a>>(
    frame: &'a [u8],
    version: i16,
) -> Result<(i32, R), DecodeError> {
    let header_version = response_header_version(R::API_KEY, version)
        .ok_or(DecodeError::UnknownApiKey(R::API_KEY.code()))?;
    let mut reader = Reader::new(frame);
    let header = ResponseHeader::decode(&mut reader, header_version)?;
    let body = R::decode_whole(reader.rest(), version)?;
    Ok((header.correlation_id, body))
}

fn write_frame(
    buffer: &mut BytesMut,
    length: usize,
    write: impl FnOnce(&mut Writer<'_>),
) -> Few<Hole> {
    let prefix = i32::try_from(length).expect("a frame is bounded by the limits of its parts");
    buffer.put_i32(prefix);
    let start = buffer.len();
    let mut writer = Writer::new(buffer);
    write(&mut writer);
    let holes = writer.into_holes();
    let left_out: usize = holes.iter().map(|hole| hole.length).sum();
    assert_eq!(buffer.len() - start + left_out, length, "a frame is as long as it says");
    holes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
    use crate::wire::value::Records;

    #[test]
    fn lengths_are_checked_against_both_ends() {
        let check = |length: i32| request_length(length.to_be_bytes(), 100);
        assert_eq!(check(10), Ok(10));
        assert_eq!(check(100), Ok(100));
        assert_eq!(check(-1), Err(FrameError::Negative(-1)));
        assert_eq!(check(0), Err(FrameError::TooShort(0)));
        assert_eq!(check(9), Err(FrameError::TooShort(9)));
        let length = i32::MAX as usize;
        assert_eq!(check(i32::MAX), Err(FrameError::TooLong { length, length_max: 100 }));
        assert_eq!(response_length(4_i32.to_be_bytes(), 100), Ok(4));
    }

    fn fetch_response<'a>(pieces: &[Records<'a>]) -> FetchResponse<'a> {
        let partitions = pieces
            .iter()
            .map(|&records| PartitionData { records, ..PartitionData::default() })
            .collect::<Vec<_>>();
        let topic = FetchableTopicResponse { partitions: partitions.into(), ..Default::default() };
        FetchResponse { responses: vec![topic].into(), ..FetchResponse::default() }
    }

    #[test]
    fn a_frame_with_holes_filled_is_the_frame_with_bytes() {
        for version in 4..=18 {
            let pieces: [&[u8]; 4] = [b"first", b"", &[7; 300], b"last"];
            let mut whole = BytesMut::from(&b"earlier"[..]);
            let none = write_response(
                &mut whole,
                5,
                version,
                &fetch_response(&pieces.map(Records::Bytes)),
            );
            assert!(none.is_empty());

            let mut sparse = BytesMut::from(&b"earlier"[..]);
            let sizes = pieces.map(|piece| Records::Hole(piece.len()));
            let holes = write_response(&mut sparse, 5, version, &fetch_response(&sizes));
            let mut filled = Vec::new();
            let mut from = 0;
            let filling = pieces.iter().filter(|piece| !piece.is_empty());
            for (hole, piece) in holes.iter().zip(filling) {
                assert_eq!(hole.length, piece.len());
                filled.extend_from_slice(&sparse[from..hole.position]);
                filled.extend_from_slice(piece);
                from = hole.position;
            }
            filled.extend_from_slice(&sparse[from..]);
            assert_eq!(holes.len(), 3);
            assert_eq!(filled, whole, "version {version}");
        }
    }
}
