//! The records of `__consumer_offsets`, in Kafka's own schemas: what Kafka wrote is read here, what
//! is written here is read by Kafka and its tools.
//!
//! A key starts with two bytes that say what kind of record it is; its value starts with two bytes
//! of its version. A key without a value is a tombstone: the record is no longer true. Kinds that
//! are not known here (share and streams groups, and those of the future) are
//! [`RecordError::UnknownType`]; whoever loads the topic passes over and counts them, as Kafka
//! does. Everything else that does not decode is damage.

mod classic;
mod consumer;
mod offsets;

#[cfg(test)]
mod tests;

use std::fmt;

use bytes::{Bytes, BytesMut};

pub use classic::{GroupMetadataKey, GroupMetadataValue, MemberMetadata};
pub use consumer::{
    ClassicMemberMetadata, ClassicProtocol, ConsumerGroupCurrentMemberAssignmentKey,
    ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataKey,
    ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey, ConsumerGroupMetadataValue,
    ConsumerGroupPartitionMetadataKey, ConsumerGroupPartitionMetadataValue,
    ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue,
    ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue,
    OwnedPartitions, PartitionMetadata, TargetPartitions, TopicMetadata,
};
pub use offsets::{OffsetCommitKey, OffsetCommitValue};

use crate::wire::message::Versioned;
use crate::wire::primitive::{DecodeError, Reader, Writer};
use crate::wire::value::{Form, Value};

/// How all keys stand.
const KEY: Form = Form { version: 0, flexible: false, nullable: false };

/// Before Kafka 0.9 the key of a committed offset had this number; the rest was the same.
const LEGACY_OFFSET_COMMIT: i16 = 0;

/// Why a record is not one of a group's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Its kind is not known: to be passed over.
    UnknownType(i16),
    /// Its key does not decode.
    Key(DecodeError),
    /// Its value does not decode.
    Value(DecodeError),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordError::UnknownType(code) => write!(f, "group record of unknown type {code}"),
            RecordError::Key(error) => write!(f, "key of a group record: {error}"),
            RecordError::Value(error) => write!(f, "value of a group record: {error}"),
        }
    }
}

impl std::error::Error for RecordError {}

/// A record as it stands in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedRecord {
    /// Its key.
    pub key: Bytes,
    /// Its value; `None` for a tombstone.
    pub value: Option<Bytes>,
}

macro_rules! records {
    ($(
        $(#[$doc:meta])*
        $code:literal $name:ident($key:ident<'a>, $value:ident $(<$life:lifetime>)?),
            written $version:expr;
    )*) => {
        /// A record of a group; without a value it is a tombstone.
        #[derive(Clone, Debug, PartialEq)]
        pub enum GroupRecord<'a> {
            $(
                $(#[$doc])*
                $name($key<'a>, Option<$value $(<$life>)?>),
            )*
        }

        impl<'a> GroupRecord<'a> {
            /// Reads a record.
            ///
            /// # Errors
            /// It is of a kind that is not known, or damaged.
            pub fn decode(
                key: &'a [u8],
                value: Option<&'a [u8]>,
            ) -> Result<GroupRecord<'a>, RecordError> {
                let mut reader = Reader::new(key);
                let code = match reader.i16().map_err(RecordError::Key)? {
                    LEGACY_OFFSET_COMMIT => 1,
                    code => code,
                };
                match code {
                    $($code => {
                        let key = $key::read(&mut reader, KEY).map_err(RecordError::Key)?;
                        let value = value.map($value::decode).transpose();
                        Ok(GroupRecord::$name(key, value.map_err(RecordError::Value)?))
                    })*
                    other => Err(RecordError::UnknownType(other)),
                }
            }

            /// The record as Kafka 4.3 writes it.
            #[must_use]
            pub fn encode(&self) -> EncodedRecord {
                let mut buffer = BytesMut::new();
                let mut writer = Writer::new(&mut buffer);
                let value = match self {
                    $(GroupRecord::$name(key, value) => {
                        writer.i16($code);
                        key.write(&mut writer, KEY);
                        let version: fn(&$value) -> i16 = $version;
                        value.as_ref().map(|value| value.encode(version(value)))
                    })*
                };
                EncodedRecord { key: buffer.freeze(), value }
            }

            /// The group it belongs to.
            #[must_use]
            pub fn group_id(&self) -> &'a str {
                match self {
                    $(GroupRecord::$name(key, _) => key.group_id,)*
                }
            }
        }
    };
}

records! {
    /// How far a group has read in a partition.
    1 OffsetCommit(OffsetCommitKey<'a>, OffsetCommitValue<'a>),
        written |value| value.version_written();
    /// A classic group in a new generation, or empty.
    2 GroupMetadata(GroupMetadataKey<'a>, GroupMetadataValue<'a>), written |_| 3;
    /// A consumer group's epoch.
    3 ConsumerGroupMetadata(ConsumerGroupMetadataKey<'a>, ConsumerGroupMetadataValue),
        written |_| 0;
    /// The topics a consumer group subscribed to, until Kafka 4.1.
    4 ConsumerGroupPartitionMetadata(
        ConsumerGroupPartitionMetadataKey<'a>,
        ConsumerGroupPartitionMetadataValue<'a>
    ), written |_| 0;
    /// A member of a consumer group as it described itself.
    5 ConsumerGroupMemberMetadata(
        ConsumerGroupMemberMetadataKey<'a>,
        ConsumerGroupMemberMetadataValue<'a>
    ), written |_| 0;
    /// The epoch a consumer group's target assignment was made for.
    6 ConsumerGroupTargetAssignmentMetadata(
        ConsumerGroupTargetAssignmentMetadataKey<'a>,
        ConsumerGroupTargetAssignmentMetadataValue
    ), written |_| 0;
    /// What a member of a consumer group shall have.
    7 ConsumerGroupTargetAssignmentMember(
        ConsumerGroupTargetAssignmentMemberKey<'a>,
        ConsumerGroupTargetAssignmentMemberValue<'a>
    ), written |_| 0;
    /// What a member of a consumer group has.
    8 ConsumerGroupCurrentMemberAssignment(
        ConsumerGroupCurrentMemberAssignmentKey<'a>,
        ConsumerGroupCurrentMemberAssignmentValue<'a>
    ), written |_| 0;
    /// The topics that a pattern of a consumer group stands for.
    16 ConsumerGroupRegularExpression(
        ConsumerGroupRegularExpressionKey<'a>,
        ConsumerGroupRegularExpressionValue<'a>
    ), written |_| 0;
}
