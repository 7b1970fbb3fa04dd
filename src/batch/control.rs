//! Control records: transaction markers, and the quorum's note that a leader has taken over.

use bytes::BytesMut;

use super::builder::BatchBuilder;
use super::error::{BatchError, RecordFault};
use super::header::NO_SEQUENCE;
use super::records::{Record, Records};
use crate::ids::{LeaderEpoch, NodeId, Offset, ProducerEpoch, ProducerId};
use crate::limits;
use crate::time::Timestamp;

const TYPE_ABORT: i16 = 0;
const TYPE_COMMIT: i16 = 1;
const TYPE_LEADER_CHANGE: i16 = 2;

/// What a control record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlRecord {
    /// The producer's transaction is aborted.
    Abort {
        /// Epoch of the transaction coordinator that decided it.
        coordinator_epoch: i32,
    },
    /// The producer's transaction is committed.
    Commit {
        /// Epoch of the transaction coordinator that decided it.
        coordinator_epoch: i32,
    },
    /// A quorum leader opens its epoch (KIP-595).
    LeaderChange(LeaderChange),
    /// A type of record that is to be ignored.
    Other {
        /// The type as read.
        kind: i16,
    },
}

/// Who leads the quorum, and who elected it: Kafka's `LeaderChangeMessage`, version 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderChange {
    /// The new leader.
    pub leader: NodeId,
    /// All voters.
    pub voters: Vec<NodeId>,
    /// Those who voted for it.
    pub granting_voters: Vec<NodeId>,
}

impl ControlRecord {
    /// Reads a record of a control batch.
    ///
    /// # Errors
    /// `RecordFault::Control` if key or value are too short for what they claim to be.
    pub fn parse(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<ControlRecord, RecordFault> {
        let mut key = Fields(key.unwrap_or_default());
        let version = key.i16()?;
        let kind = key.i16()?;
        // Later versions only add fields, so they are read as version 0.
        if version < 0 {
            return Err(RecordFault::Control);
        }
        let mut value = Fields(value.unwrap_or_default());
        match kind {
            TYPE_ABORT | TYPE_COMMIT => {
                if value.i16()? < 0 {
                    return Err(RecordFault::Control);
                }
                let coordinator_epoch = value.i32()?;
                Ok(if kind == TYPE_COMMIT {
                    ControlRecord::Commit { coordinator_epoch }
                } else {
                    ControlRecord::Abort { coordinator_epoch }
                })
            }
            TYPE_LEADER_CHANGE => {
                let voter_tail_bytes = match value.i16()? {
                    0 => 0,
                    // From version 1 on a voter has a directory id (KIP-853).
                    1.. => 16,
                    _ => return Err(RecordFault::Control),
                };
                let leader = NodeId(value.i32()?);
                let voters = value.voters(voter_tail_bytes)?;
                let granting_voters = value.voters(voter_tail_bytes)?;
                let change = LeaderChange { leader, voters, granting_voters };
                Ok(ControlRecord::LeaderChange(change))
            }
            kind => Ok(ControlRecord::Other { kind }),
        }
    }

    fn kind(&self) -> i16 {
        match self {
            ControlRecord::Abort { .. } => TYPE_ABORT,
            ControlRecord::Commit { .. } => TYPE_COMMIT,
            ControlRecord::LeaderChange(_) => TYPE_LEADER_CHANGE,
            ControlRecord::Other { kind } => *kind,
        }
    }

    /// The record's key: version 0 and the type.
    #[must_use]
    pub fn key(&self) -> [u8; 4] {
        let [high, low] = self.kind().to_be_bytes();
        [0, 0, high, low]
    }

    /// The record's value; empty for `Other`.
    #[must_use]
    pub fn value(&self) -> Vec<u8> {
        let mut value = vec![0, 0];
        match self {
            ControlRecord::Abort { coordinator_epoch }
            | ControlRecord::Commit { coordinator_epoch } => {
                value.extend_from_slice(&coordinator_epoch.to_be_bytes());
            }
            ControlRecord::LeaderChange(change) => {
                value.extend_from_slice(&change.leader.0.to_be_bytes());
                for voters in [&change.voters, &change.granting_voters] {
                    write_unsigned(&mut value, voters.len() as u32 + 1);
                    for voter in voters {
                        value.extend_from_slice(&voter.0.to_be_bytes());
                        value.push(0);
                    }
                }
                value.push(0);
            }
            ControlRecord::Other { .. } => value.clear(),
        }
        value
    }
}

/// A batch with one control record. Markers name the producer whose transaction they end; a leader
/// change has none.
#[must_use]
pub fn control_batch(
    record: &ControlRecord,
    producer: Option<(ProducerId, ProducerEpoch)>,
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
    timestamp: Timestamp,
) -> BytesMut {
    let mut builder = BatchBuilder::new().placed(base_offset, leader_epoch).control();
    if let Some((id, epoch)) = producer {
        builder = builder.producer(id, epoch, NO_SEQUENCE).transactional();
    }
    builder.add(timestamp, Some(&record.key()), Some(&record.value()), &[]);
    builder.build()
}

/// The control record of a control batch that has been checked; `None` if the batch is none, or the
/// log cleaner has emptied it.
///
/// # Errors
/// What [`Records`] reports, and `Record` with `RecordFault::Control`.
pub fn control_record(batch: &[u8]) -> Result<Option<(Offset, ControlRecord)>, BatchError> {
    let records = Records::open(batch, limits::DECOMPRESSED_BYTES_MAX)?;
    if !records.header().is_control() {
        return Ok(None);
    }
    match records.iter().next().transpose()? {
        None => Ok(None),
        Some(Record { offset, key, value, .. }) => {
            let record = ControlRecord::parse(key, value)
                .map_err(|fault| BatchError::Record { index: 0, fault })?;
            Ok(Some((offset, record)))
        }
    }
}

/// Reads the fields of keys and values off the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], RecordFault> {
        let (field, rest) = self.0.split_first_chunk().ok_or(RecordFault::Control)?;
        self.0 = rest;
        Ok(*field)
    }

    fn i16(&mut self) -> Result<i16, RecordFault> {
        self.take().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32, RecordFault> {
        self.take().map(i32::from_be_bytes)
    }

    fn unsigned(&mut self) -> Result<usize, RecordFault> {
        let mut value = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return usize::try_from(value).map_err(|_| RecordFault::Control);
            }
        }
        Err(RecordFault::Control)
    }

    fn skip(&mut self, count: usize) -> Result<(), RecordFault> {
        self.0 = self.0.get(count..).ok_or(RecordFault::Control)?;
        Ok(())
    }

    fn tags(&mut self) -> Result<(), RecordFault> {
        for _ in 0..self.unsigned()? {
            self.unsigned()?;
            let length = self.unsigned()?;
            self.skip(length)?;
        }
        Ok(())
    }

    fn voters(&mut self, tail_bytes: usize) -> Result<Vec<NodeId>, RecordFault> {
        // Compact arrays count from one; zero is null, which this array cannot be.
        let count = self.unsigned()?.checked_sub(1).ok_or(RecordFault::Control)?;
        // A voter has five bytes at least, so the list grows only as the bytes bear it out.
        let mut voters = Vec::new();
        for _ in 0..count {
            voters.push(NodeId(self.i32()?));
            self.skip(tail_bytes)?;
            self.tags()?;
        }
        Ok(voters)
    }
}

fn write_unsigned(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::check;

    fn of(record: &ControlRecord) -> BytesMut {
        control_batch(record, None, Offset(3), LeaderEpoch(2), Timestamp(1))
    }

    #[test]
    fn control_records_survive() {
        let change = LeaderChange {
            leader: NodeId(1),
            voters: (0..200).map(NodeId).collect(),
            granting_voters: vec![NodeId(1), NodeId(2)],
        };
        for record in [
            ControlRecord::Commit { coordinator_epoch: i32::MAX },
            ControlRecord::Abort { coordinator_epoch: 0 },
            ControlRecord::LeaderChange(change),
            ControlRecord::Other { kind: 99 },
        ] {
            let bytes = of(&record);
            assert!(check(&bytes).unwrap().is_control());
            assert_eq!(control_record(&bytes), Ok(Some((Offset(3), record))));
        }
    }

    #[test]
    fn keys_and_values_cut_short_are_refused() {
        let change = LeaderChange {
            leader: NodeId(1),
            voters: vec![NodeId(1)],
            granting_voters: vec![NodeId(1)],
        };
        for record in
            [ControlRecord::Commit { coordinator_epoch: 1 }, ControlRecord::LeaderChange(change)]
        {
            let (key, value) = (record.key(), record.value());
            for cut in 0..key.len() {
                let parsed = ControlRecord::parse(key.get(..cut), Some(&value));
                assert_eq!(parsed, Err(RecordFault::Control));
            }
            // The tags at the very end are not looked at.
            let needed = value.len() - usize::from(record.kind() == TYPE_LEADER_CHANGE);
            for cut in 0..needed {
                let parsed = ControlRecord::parse(Some(&key), value.get(..cut));
                assert_eq!(parsed, Err(RecordFault::Control), "cut at {cut}");
            }
            let negative = [0xff, 0xff, 0, 1];
            let parsed = ControlRecord::parse(Some(&negative), Some(&value));
            assert_eq!(parsed, Err(RecordFault::Control));
        }
        // A voter count of four billion in a few bytes.
        let value = [0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 1, 0];
        let parsed = ControlRecord::parse(Some(&[0, 0, 0, 2]), Some(&value));
        assert_eq!(parsed, Err(RecordFault::Control));
    }

    #[test]
    fn voters_with_directory_ids_are_read() {
        let mut value = vec![0, 1, 0, 0, 0, 1];
        for _ in 0..2 {
            value.extend([2, 0, 0, 0, 1]);
            value.extend([0xab; 16]);
            value.push(0);
        }
        value.push(0);
        let change = LeaderChange {
            leader: NodeId(1),
            voters: vec![NodeId(1)],
            granting_voters: vec![NodeId(1)],
        };
        let parsed = ControlRecord::parse(Some(&[0, 0, 0, 2]), Some(&value));
        assert_eq!(parsed, Ok(ControlRecord::LeaderChange(change)));
    }

    #[test]
    fn a_batch_of_plain_records_has_no_control_record() {
        let mut builder = BatchBuilder::new();
        builder.add(Timestamp(1), None, None, &[]);
        assert_eq!(control_record(&builder.build()), Ok(None));
    }
}
