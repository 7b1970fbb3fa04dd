//! Replies of a connection on their way out, in order, and how far they have got.
//!
//! Knows no socket: it says what comes next and is told how many bytes left.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use crate::shard::engine::{FileRange, Piece, Reply};

/// Most stretches of memory joined into one send; well below the kernel's IOV_MAX of 1024.
pub(super) const GATHER_MAX: usize = 64;

/// What has to leave next.
#[derive(Debug)]
pub(super) enum Next<'a> {
    /// Nothing.
    Nothing,
    /// Bytes in memory; ask [`Outbox::gather`].
    Memory,
    /// Bytes of a file.
    File(&'a FileRange),
}

/// The replies that have not left in full.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    replies: VecDeque<VecDeque<Piece>>,
}

impl Outbox {
    /// Adds a reply behind the others.
    pub(super) fn push(&mut self, reply: Reply) {
        self.replies.push_back(reply.pieces.into());
    }

    /// Whether everything has left.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }

    /// Drops what is left, and with it the memory it holds.
    pub(super) fn clear(&mut self) {
        self.replies.clear();
    }

    /// What has to leave next.
    #[must_use]
    pub(super) fn next(&self) -> Next<'_> {
        match self.replies.front().and_then(VecDeque::front) {
            None => Next::Nothing,
            Some(Piece::Bytes(_)) => Next::Memory,
            Some(Piece::File(range)) => Next::File(range),
        }
    }

    /// Puts the stretches of memory that come next into `into`, across replies, up to the first
    /// file range. True if a file range follows right behind them.
    pub(super) fn gather<'a>(&'a self, into: &mut Vec<&'a Bytes>) -> bool {
        for piece in self.replies.iter().flatten() {
            match piece {
                Piece::File(_) => return true,
                Piece::Bytes(bytes) => {
                    if into.len() == GATHER_MAX {
                        return false;
                    }
                    into.push(bytes);
                }
            }
        }
        false
    }

    /// Counts bytes that left, and drops empty pieces. Returns how many replies are finished by it.
    pub(super) fn consume(&mut self, count: usize) -> usize {
        let mut count = count;
        let mut finished = 0;
        while let Some(reply) = self.replies.front_mut() {
            while let Some(piece) = reply.front_mut() {
                let length = match piece {
                    Piece::Bytes(bytes) => bytes.len(),
                    Piece::File(range) => range.length as usize,
                };
                if count < length {
                    match piece {
                        Piece::Bytes(bytes) => bytes.advance(count),
                        Piece::File(range) => {
                            range.position += count as u32;
                            range.length -= count as u32;
                        }
                    }
                    return finished;
                }
                count -= length;
                reply.pop_front();
            }
            self.replies.pop_front();
            finished += 1;
        }
        assert_eq!(count, 0, "no more bytes can leave than were there");
        finished
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ids::{Offset, TopicPartition};
    use crate::shard::engine::PartitionDirectory;

    fn bytes(text: &'static str) -> Piece {
        Piece::Bytes(Bytes::from_static(text.as_bytes()))
    }

    fn range(position: u32, length: u32) -> Piece {
        let at = TopicPartition::default();
        let directory = Arc::new(PartitionDirectory { name: "t-0".into(), at });
        Piece::File(FileRange { directory, segment: Offset(0), generation: 0, position, length })
    }

    fn joined(pieces: &[&Bytes]) -> Vec<u8> {
        pieces.iter().flat_map(|piece| piece.iter().copied()).collect()
    }

    #[test]
    fn pieces_leave_in_order_across_replies_up_to_a_file() {
        let mut outbox = Outbox::default();
        outbox.push(Reply { pieces: vec![bytes("abc")] });
        outbox.push(Reply { pieces: vec![bytes("de"), bytes(""), range(10, 5), bytes("f")] });
        let mut pieces = Vec::new();
        assert!(outbox.gather(&mut pieces));
        assert_eq!(joined(&pieces), b"abcde");
        assert_eq!(outbox.consume(4), 1);
        let mut pieces = Vec::new();
        assert!(outbox.gather(&mut pieces));
        assert_eq!(joined(&pieces), b"e");
        assert_eq!(outbox.consume(1), 0);
        assert!(matches!(outbox.next(), Next::File(r) if r.position == 10 && r.length == 5));
        assert_eq!(outbox.consume(2), 0);
        assert!(matches!(outbox.next(), Next::File(r) if r.position == 12 && r.length == 3));
        assert_eq!(outbox.consume(3), 0);
        assert!(matches!(outbox.next(), Next::Memory));
        assert_eq!(outbox.consume(1), 1);
        assert!(outbox.is_empty());
    }

    #[test]
    fn an_empty_reply_is_finished_by_the_next_count() {
        let mut outbox = Outbox::default();
        outbox.push(Reply::default());
        outbox.push(Reply { pieces: vec![bytes("")] });
        assert_eq!(outbox.consume(0), 2);
        assert!(outbox.is_empty());
    }
}
