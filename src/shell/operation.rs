//! What a completion is about, packed into the 64 bits that travel with every entry of the ring.

/// Kind and subject of a ring operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The listener's multishot accept.
    Accept,
    /// The pause after a failed accept is over.
    AcceptRetry,
    /// A receive of the connection in this slot.
    Receive(u32),
    /// A gathered send of the connection in this slot.
    Send(u32),
    /// The socket of this slot takes bytes again.
    Writable(u32),
    /// A cancellation; its own completion means nothing.
    Cancel,
    /// The engine's deadline.
    Deadline,
    /// A journal write, by its place in the table of writes under way.
    Journal(u32),
    /// A knock at another shard's door went out (or failed).
    Knock(u16),
    /// Another shard knocked: its queue has messages.
    Knocked,
}

impl Operation {
    /// The bits.
    #[must_use]
    pub fn pack(self) -> u64 {
        let (kind, subject) = match self {
            Operation::Accept => (1, 0),
            Operation::AcceptRetry => (2, 0),
            Operation::Receive(slot) => (3, slot),
            Operation::Send(slot) => (4, slot),
            Operation::Writable(slot) => (5, slot),
            Operation::Cancel => (6, 0),
            Operation::Deadline => (7, 0),
            Operation::Journal(slot) => (8, slot),
            Operation::Knock(shard) => (9, shard.into()),
            Operation::Knocked => (10, 0),
        };
        kind << 32 | u64::from(subject)
    }

    /// The operation these bits stand for. Completions carry only what this process submitted.
    #[must_use]
    pub fn unpack(bits: u64) -> Operation {
        let subject = bits as u32;
        match bits >> 32 {
            1 => Operation::Accept,
            2 => Operation::AcceptRetry,
            3 => Operation::Receive(subject),
            4 => Operation::Send(subject),
            5 => Operation::Writable(subject),
            6 => Operation::Cancel,
            7 => Operation::Deadline,
            8 => Operation::Journal(subject),
            9 => Operation::Knock(subject as u16),
            10 => Operation::Knocked,
            kind => panic!("the ring completed an operation of unknown kind {kind}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_survives_packing() {
        for operation in [
            Operation::Accept,
            Operation::AcceptRetry,
            Operation::Receive(u32::MAX),
            Operation::Send(1),
            Operation::Writable(0),
            Operation::Cancel,
            Operation::Deadline,
            Operation::Journal(7),
            Operation::Knock(u16::MAX),
            Operation::Knocked,
        ] {
            assert_eq!(Operation::unpack(operation.pack()), operation);
        }
    }
}
