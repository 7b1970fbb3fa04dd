//! Classic groups. One record holds the whole group.

use crate::wire::array::Array;
use crate::wire::message::message;

message! {
    /// Which group.
    #[derive(Copy)]
    struct GroupMetadataKey<'a> {
        /// The group.
        group_id: &'a str, 0..;
    }

    /// The group.
    versioned GroupMetadataValue<'a>[0..=4, flexible 4..] {
        /// What its protocols are for; empty for a group that only keeps offsets.
        protocol_type: &'a str, 0..;
        /// Its generation.
        generation: i32, 0..;
        /// The protocol its members follow.
        protocol: Option<&'a str>, 0.., nullable 0..;
        /// The member that assigns.
        leader: Option<&'a str>, 0.., nullable 0..;
        /// When it came into its present state, in milliseconds since 1970; -1 if unknown.
        current_state_timestamp: i64 = -1, 2.., ignorable;
        /// Its members; none for an empty group.
        members: Array<'a, MemberMetadata<'a>>, 0..;
    }

    /// A member.
    #[derive(Copy)]
    struct MemberMetadata<'a> {
        /// The member.
        member_id: &'a str, 0..;
        /// The static member's name.
        group_instance_id: Option<&'a str>, 3.., nullable 3.., ignorable;
        /// The name its client goes by.
        client_id: &'a str, 0..;
        /// Where its client is.
        client_host: &'a str, 0..;
        /// How long a rebalance waits for it, in milliseconds; -1 for the session timeout.
        rebalance_timeout: i32 = -1, 1.., ignorable;
        /// Without a heartbeat for so long, in milliseconds, it is out.
        session_timeout: i32, 0..;
        /// What it told of itself.
        subscription: &'a [u8], 0..;
        /// What it was assigned.
        assignment: &'a [u8], 0..;
    }
}
