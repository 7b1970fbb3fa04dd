//! Who asked what, and how a reply to it is framed.

use bytes::{Bytes, BytesMut};

use crate::wire::api_key::ApiKey;
use crate::wire::header::{ResponseHeader, response_header_version};
use crate::wire::message::Message;
use crate::wire::primitive::Writer;

use super::reply::{Piece, Reply};

/// The part of a request's header that its reply needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which API.
    pub key: ApiKey,
    /// Which version of it; one that is served.
    pub version: i16,
    /// Comes back in the reply.
    pub correlation_id: i32,
}

impl Asked {
    /// Frames a reply: length, header, body.
    pub fn reply<'a, M: Message<'a>>(&self, body: &M) -> Reply {
        self.reply_with(body, Vec::new())
    }

    /// Frames a reply whose body has holes, one for each element of `fillings`, in order.
    pub fn reply_with<'a, M: Message<'a>>(&self, body: &M, fillings: Vec<Vec<Piece>>) -> Reply {
        let body_size = body.size(self.version);
        let filled: usize = fillings.iter().flatten().map(Piece::len).sum();
        let mut frame = BytesMut::with_capacity(body_size - filled + 16);
        frame.extend_from_slice(&[0; 4]);
        let mut writer = Writer::new(&mut frame);
        // Only what is served is asked, so the header's version is known.
        let header = response_header_version(self.key, self.version).unwrap_or(0);
        ResponseHeader { correlation_id: self.correlation_id }.encode(&mut writer, header);
        body.encode(&mut writer, self.version);
        let holes = writer.into_holes();
        assert_eq!(holes.len(), fillings.len(), "every hole has its filling");
        let length = u32::try_from(frame.len() - 4 + filled).unwrap_or(u32::MAX);
        for (to, from) in frame.iter_mut().zip(length.to_be_bytes()) {
            *to = from;
        }
        let mut rest = frame.freeze();
        let mut pieces = Vec::with_capacity(1 + 2 * holes.len());
        let mut taken = 0;
        for (hole, filling) in holes.into_iter().zip(fillings) {
            push_bytes(&mut pieces, rest.split_to(hole.position - taken));
            taken = hole.position;
            pieces.extend(filling);
        }
        push_bytes(&mut pieces, rest);
        Reply { pieces }
    }
}

fn push_bytes(pieces: &mut Vec<Piece>, bytes: Bytes) {
    if !bytes.is_empty() {
        pieces.push(Piece::Bytes(bytes));
    }
}
