//! Consumer groups (KIP-848). Many small records hold one group.

use crate::wire::array::Array;
use crate::wire::message::message;
use crate::wire::primitive::{DecodeError, Reader, Writer};
use crate::wire::value::{Form, Nullable, Value};

/// Keys that name a group.
macro_rules! group_keys {
    ($($name:ident)*) => {$(
        message! {
            /// Which group.
            #[derive(Copy)]
            struct $name<'a> {
                /// The group.
                group_id: &'a str, 0..;
            }
        }
    )*};
}

/// Keys that name a member.
macro_rules! member_keys {
    ($($name:ident)*) => {$(
        message! {
            /// Which member.
            #[derive(Copy)]
            struct $name<'a> {
                /// The group.
                group_id: &'a str, 0..;
                /// The member.
                member_id: &'a str, 0..;
            }
        }
    )*};
}

group_keys! {
    ConsumerGroupMetadataKey
    ConsumerGroupPartitionMetadataKey
    ConsumerGroupTargetAssignmentMetadataKey
}

member_keys! {
    ConsumerGroupMemberMetadataKey
    ConsumerGroupTargetAssignmentMemberKey
    ConsumerGroupCurrentMemberAssignmentKey
}

message! {
    /// The group's epoch.
    #[derive(Copy)]
    versioned ConsumerGroupMetadataValue[0..=0, flexible 0..] {
        /// The epoch, which rises with every change of members, subscriptions or topics.
        epoch: i32, 0..;
        /// A hash of the topics subscribed to, by which a change of them is seen; from Kafka 4.1.
        metadata_hash: i64, 0.., tag 0;
    }

    /// The topics subscribed to, as they were; written until Kafka 4.1.
    versioned ConsumerGroupPartitionMetadataValue<'a>[0..=0, flexible 0..] {
        /// The topics.
        topics: Array<'a, TopicMetadata<'a>>, 0..;
    }

    /// A topic as it was.
    struct TopicMetadata<'a> {
        /// The topic.
        topic_id: [u8; 16], 0..;
        /// Its name.
        topic_name: &'a str, 0..;
        /// How many partitions it had.
        num_partitions: i32, 0..;
        /// Where they were; empty if unknown.
        partition_metadata: Array<'a, PartitionMetadata<'a>>, 0..;
    }

    /// A partition as it was.
    struct PartitionMetadata<'a> {
        /// The partition.
        partition: i32, 0..;
        /// The racks of its replicas.
        racks: Array<'a, &'a str>, 0..;
    }
}

message! {
    /// The member as it described itself.
    versioned ConsumerGroupMemberMetadataValue<'a>[0..=0, flexible 0..] {
        /// The static member's name.
        instance_id: Option<&'a str>, 0.., nullable 0..;
        /// Where it is.
        rack_id: Option<&'a str>, 0.., nullable 0..;
        /// The name its client goes by.
        client_id: &'a str, 0..;
        /// Where its client is.
        client_host: &'a str, 0..;
        /// The topics it subscribes to by name.
        subscribed_topic_names: Array<'a, &'a str>, 0..;
        /// A pattern of the topics it subscribes to.
        subscribed_topic_regex: Option<&'a str>, 0.., nullable 0..;
        /// How long to wait until it has given up partitions, in milliseconds.
        rebalance_timeout_ms: i32 = -1, 0..;
        /// The broker's assignor it prefers.
        server_assignor: Option<&'a str>, 0.., nullable 0..;
        /// What it said by the classic protocol; null if it takes part by the consumer protocol.
        classic_member_metadata: Option<ClassicMemberMetadata<'a>> = Some(Default::default()), 0..,
            nullable 0.., tag 0;
    }

    /// A member by the classic protocol.
    struct ClassicMemberMetadata<'a> {
        /// Without a heartbeat for so long, in milliseconds, it is out.
        session_timeout_ms: i32, 0..;
        /// Protocols it can follow, the one it likes best first.
        supported_protocols: Array<'a, ClassicProtocol<'a>>, 0..;
    }

    /// A protocol that a member can follow.
    #[derive(Copy)]
    struct ClassicProtocol<'a> {
        /// Its name.
        name: &'a str, 0..;
        /// What the member tells of itself.
        metadata: &'a [u8], 0..;
    }
}

/// A structure that is a tagged field has 0 in front where another has -1.
impl<'a> Nullable<'a> for ClassicMemberMetadata<'a> {
    fn read_nullable(reader: &mut Reader<'a>, form: Form) -> Result<Option<Self>, DecodeError> {
        match i8::read(reader, form)? {
            0 => Ok(None),
            1 => Self::read(reader, form).map(Some),
            other => Err(DecodeError::StructureMarker(other)),
        }
    }

    fn write_nullable(value: Option<&Self>, writer: &mut Writer<'_>, form: Form) {
        i8::from(value.is_some()).write(writer, form);
        if let Some(value) = value {
            value.write(writer, form);
        }
    }

    fn measure_nullable(value: Option<&Self>, form: Form) -> usize {
        1 + value.map_or(0, |value| value.measure(form))
    }

    fn empty() -> Self {
        Self::default()
    }
}

message! {
    /// When the target assignment was made.
    #[derive(Copy)]
    versioned ConsumerGroupTargetAssignmentMetadataValue[0..=0, flexible 0..] {
        /// The epoch of the group it was made for.
        assignment_epoch: i32, 0..;
        /// When, in milliseconds since 1970; 0 if unknown; from Kafka 4.3.
        assignment_timestamp: i64, 0.., tag 0, ignorable;
    }

    /// What the member shall have.
    versioned ConsumerGroupTargetAssignmentMemberValue<'a>[0..=0, flexible 0..] {
        /// Partitions by topic.
        topic_partitions: Array<'a, TargetPartitions<'a>>, 0..;
    }

    /// Partitions of one topic that a member shall have.
    struct TargetPartitions<'a> {
        /// The topic.
        topic_id: [u8; 16], 0..;
        /// The partitions.
        partitions: Array<'a, i32>, 0..;
    }
}

message! {
    /// What the member has.
    versioned ConsumerGroupCurrentMemberAssignmentValue<'a>[0..=0, flexible 0..] {
        /// The epoch it has reached.
        member_epoch: i32, 0..;
        /// The epoch before; good too, if the reply with the new one was lost.
        previous_member_epoch: i32, 0..;
        /// 0 stable, 1 has partitions to give up, 2 waits for partitions of others.
        state: i8, 0..;
        /// The partitions it may use.
        assigned_partitions: Array<'a, OwnedPartitions<'a>>, 0..;
        /// The partitions it must give up.
        partitions_pending_revocation: Array<'a, OwnedPartitions<'a>>, 0..;
    }

    /// Partitions of one topic that a member has.
    struct OwnedPartitions<'a> {
        /// The topic.
        topic_id: [u8; 16], 0..;
        /// The partitions.
        partitions: Array<'a, i32>, 0..;
        /// The epoch in which the member got each of them; null or empty if unknown.
        assignment_epochs: Option<Array<'a, i32>> = Some(Array::default()), 0.., nullable 0..,
            tag 0;
    }
}

message! {
    /// Which pattern.
    #[derive(Copy)]
    struct ConsumerGroupRegularExpressionKey<'a> {
        /// The group.
        group_id: &'a str, 0..;
        /// The pattern.
        regular_expression: &'a str, 0..;
    }

    /// The topics it stands for.
    versioned ConsumerGroupRegularExpressionValue<'a>[0..=0, flexible 0..] {
        /// The topics.
        topics: Array<'a, &'a str>, 0..;
        /// The version of the catalog it was looked up in.
        version: i64, 0..;
        /// When, in milliseconds since 1970.
        timestamp: i64, 0..;
    }
}
