//! Who asked what, and how a reply to it is framed.

use bytes::{Bytes, BytesMut};

use crate::stdx::few::Few;
use crate::wire::api_key::ApiKey;
use crate::wire::frame::LENGTH_BYTES;
use crate::wire::header::{ResponseHeader, response_header_version};
use crate::wire::message::Message;
use crate::wire::primitive::Writer;

use super::reply::{Filling, Piece, Reply};

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
        self.reply_with(body, 0, Few::new())
    }

    /// Frames a reply whose body has holes, one for each element of `fillings`, in order; together
    /// they take `filled` bytes.
    pub fn reply_with<'a, M: Message<'a>>(
        &self,
        body: &M,
        filled: usize,
        fillings: Few<Filling>,
    ) -> Reply {
        // Only what is served is asked, so the header's version is known.
        let version = response_header_version(self.key, self.version).unwrap_or(0);
        let header = ResponseHeader { correlation_id: self.correlation_id };
        // Exactly as large as what comes into it: the buffer then becomes the reply as it is.
        let size = LENGTH_BYTES + header.size(version) + body.size(self.version) - filled;
        let mut frame = BytesMut::with_capacity(size);
        frame.extend_from_slice(&[0; LENGTH_BYTES]);
        let mut writer = Writer::new(&mut frame);
        writer.expect_holes(fillings.len());
        header.encode(&mut writer, version);
        body.encode(&mut writer, self.version);
        let holes = writer.into_holes();
        assert_eq!(holes.len(), fillings.len(), "every hole has its filling");
        let length = u32::try_from(frame.len() - LENGTH_BYTES + filled).unwrap_or(u32::MAX);
        for (to, from) in frame.iter_mut().zip(length.to_be_bytes()) {
            *to = from;
        }
        let mut rest = frame.freeze();
        let batches = fillings.iter().map(|filling| match filling {
            Filling::Memory(batches) => batches.len(),
            Filling::Nothing | Filling::File(_) => 1,
        });
        let mut pieces = Vec::with_capacity(1 + holes.len() + batches.sum::<usize>());
        let mut taken = 0;
        for (hole, filling) in holes.into_iter().zip(fillings) {
            push_bytes(&mut pieces, rest.split_to(hole.position - taken));
            taken = hole.position;
            match filling {
                Filling::Nothing => {}
                Filling::Memory(batches) => pieces.extend(batches.into_iter().map(Piece::Bytes)),
                Filling::File(range) => pieces.push(Piece::File(range)),
            }
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
