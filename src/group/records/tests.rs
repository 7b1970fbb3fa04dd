//! Records that Apache Kafka 4.3.1 wrote, read and written again; and what nobody writes.

use super::*;
use crate::stdx::prng::Prng;
use crate::wire::array::Array;

const TOPIC_ID: &str = "7049764a2af74c4fa80bf5ee8c878b85";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2));
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap() as u8;
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn topic_id() -> [u8; 16] {
    bytes(TOPIC_ID).try_into().unwrap()
}

/// What each record is called, its key and its value, as a consumer of `__consumer_offsets` got
/// them from Kafka.
const WRITTEN_BY_KAFKA: &[(&str, &str, Option<&str>)] = &[
    (
        "OffsetCommit",
        "0001 000673696d706c65 00066f7264657273 00000000",
        Some(
            "0004 000000000000002a 00000003 056e6f7465 000001a21ca0376d 01 0010
             7049764a2af74c4fa80bf5ee8c878b85",
        ),
    ),
    (
        "OffsetCommit",
        "0001 000673696d706c65 00066f7264657273 00000001",
        Some(
            "0004 0000000000000007 ffffffff 01 000001a21ca03817 01 0010
             7049764a2af74c4fa80bf5ee8c878b85",
        ),
    ),
    (
        "OffsetCommit",
        "0001 000673696d706c65 00066f7264657273 00000002",
        Some("0001 0000000000000008 00046e6f7465 000001a21ca03828 000001a21cd726a8"),
    ),
    ("OffsetCommit", "0001 000673696d706c65 00066f7264657273 00000001", None),
    (
        "GroupMetadata",
        "0002 0007636c6173736963",
        Some("0003 0000 00000000 ffff ffff 000001a21ca03890 00000000"),
    ),
    (
        "GroupMetadata",
        "0002 0007636c6173736963",
        Some(
            "0003 0008636f6e73756d6572 00000001 000572616e6765
             002d7374617469632d312d30306138666361362d313938652d346530382d626165392d633938336235393036373133
             000001a21ca038c0 00000001
             002d7374617469632d312d30306138666361362d313938652d346530382d626165392d633938336235393036373133
             00087374617469632d31 0008636c69656e742d31 000a2f3132372e302e302e31 0000ea60 00007530
             00000016 00010000000100066f7264657273ffffffff00000000
             0000001e 00010000000100066f7264657273000000020000000000000001ffffffff",
        ),
    ),
    (
        "GroupMetadata",
        "0002 0007636c6173736963",
        Some("0003 0008636f6e73756d6572 00000002 ffff ffff 000001a21ca03922 00000000"),
    ),
    ("GroupMetadata", "0002 0007636c6173736963", None),
    (
        "ConsumerGroupMetadata",
        "0003 00066d6f6465726e",
        Some("0000 00000002 01 0008 47a06cb577ff6d5a"),
    ),
    (
        "ConsumerGroupMemberMetadata",
        "0005 00066d6f6465726e 001641414141414141414141414141414141414141414141",
        Some(
            "0000 097374617469632d32 077261636b2d31 09636c69656e742d31 0b2f3132372e302e302e31
             02 076f7264657273 01 000493e0 08756e69666f726d 01 0001 00",
        ),
    ),
    (
        "ConsumerGroupMemberMetadata",
        "0005 00066d6f6465726e 001642424242424242424242424242424242424242424242",
        Some(
            "0000 00 00 09636c69656e742d31 0b2f3132372e302e302e31 01 066f72642e2a 000493e0 00
             01 0001 00",
        ),
    ),
    (
        "ConsumerGroupMemberMetadata",
        "0005 00066d6f6465726e 001673784f53757a4a4d525f5777767a7769664d616b6c51",
        Some(
            "0000 00 00 09636c69656e742d31 0b2f3132372e302e302e31 02 076f7264657273 01 0000ea60 00
             01 0025 01 00007530 02 0672616e6765
             17 00010000000100066f7264657273ffffffff00000000 00 00",
        ),
    ),
    (
        "ConsumerGroupMemberMetadata",
        "0005 00066d6f6465726e 001642424242424242424242424242424242424242424242",
        None,
    ),
    (
        "ConsumerGroupTargetAssignmentMetadata",
        "0006 00066d6f6465726e",
        Some("0000 00000002 01 0008 000001a21ca039cd"),
    ),
    (
        "ConsumerGroupTargetAssignmentMember",
        "0007 00066d6f6465726e 001641414141414141414141414141414141414141414141",
        Some(
            "0000 02 7049764a2af74c4fa80bf5ee8c878b85 04 00000000 00000001 00000002 00 00",
        ),
    ),
    (
        "ConsumerGroupCurrentMemberAssignment",
        "0008 00066d6f6465726e 001641414141414141414141414141414141414141414141",
        Some(
            "0000 00000002 00000002 01
             02 7049764a2af74c4fa80bf5ee8c878b85 03 00000000 00000001 01 0009 03 00000002 00000002
             02 7049764a2af74c4fa80bf5ee8c878b85 02 00000002 01 0005 02 00000002 00",
        ),
    ),
    (
        "ConsumerGroupCurrentMemberAssignment",
        "0008 00066d6f6465726e 001642424242424242424242424242424242424242424242",
        Some("0000 00000003 00000002 02 01 01 00"),
    ),
    (
        "ConsumerGroupRegularExpression",
        "0010 00066d6f6465726e 00056f72642e2a",
        Some("0000 02 076f7264657273 0000000000000068 000001a21ca03af4 00"),
    ),
];

fn written() -> impl Iterator<Item = (&'static str, Vec<u8>, Option<Vec<u8>>)> {
    WRITTEN_BY_KAFKA.iter().map(|(name, key, value)| (*name, bytes(key), value.map(bytes)))
}

#[test]
fn what_kafka_wrote_is_read_and_written_the_same() {
    for (name, key, value) in written() {
        let record = GroupRecord::decode(&key, value.as_deref()).unwrap();
        assert!(format!("{record:?}").starts_with(&format!("{name}(")), "{name} {record:?}");
        let encoded = record.encode();
        assert_eq!(encoded.key, key, "{name}");
        assert_eq!(encoded.value.as_deref(), value.as_deref(), "{name} {record:?}");
    }
}

#[test]
fn what_kafka_wrote_means() {
    let all: Vec<_> = written().collect();
    let record = |at: usize| {
        let (_, key, value) = &all[at];
        GroupRecord::decode(key, value.as_deref()).unwrap()
    };
    assert_eq!(record(0).group_id(), "simple");
    let key = OffsetCommitKey { group_id: "simple", topic: "orders", partition: 0 };
    let value = OffsetCommitValue {
        offset: 42,
        leader_epoch: 3,
        metadata: "note",
        commit_timestamp: 0x01a2_1ca0_376d,
        expire_timestamp: -1,
        topic_id: topic_id(),
    };
    assert_eq!(record(0), GroupRecord::OffsetCommit(key, Some(value)));
    let GroupRecord::OffsetCommit(key, Some(value)) = record(2) else { panic!() };
    assert_eq!((key.partition, value.offset, value.topic_id), (2, 8, [0; 16]));
    assert_eq!(value.expire_timestamp - value.commit_timestamp, 3_600_000);
    let GroupRecord::GroupMetadata(_, Some(group)) = record(5) else { panic!() };
    assert_eq!((group.protocol_type, group.generation), ("consumer", 1));
    assert_eq!(group.protocol, Some("range"));
    let member = group.members.iter().next().unwrap();
    assert_eq!(
        (Some(member.member_id), member.group_instance_id),
        (group.leader, Some("static-1"))
    );
    assert_eq!((member.rebalance_timeout, member.session_timeout), (60_000, 30_000));
    let GroupRecord::ConsumerGroupMemberMetadata(_, Some(member)) = record(9) else { panic!() };
    assert_eq!((member.instance_id, member.rack_id), (Some("static-2"), Some("rack-1")));
    assert_eq!(member.subscribed_topic_names.iter().collect::<Vec<_>>(), ["orders"]);
    assert_eq!(member.classic_member_metadata, None);
    let GroupRecord::ConsumerGroupMemberMetadata(_, Some(member)) = record(11) else { panic!() };
    let classic = member.classic_member_metadata.unwrap();
    assert_eq!(classic.session_timeout_ms, 30_000);
    assert_eq!(classic.supported_protocols.iter().next().unwrap().name, "range");
    let GroupRecord::ConsumerGroupCurrentMemberAssignment(_, Some(has)) = record(15) else {
        panic!()
    };
    assert_eq!((has.member_epoch, has.state), (2, 1));
    let kept = has.assigned_partitions.iter().next().unwrap();
    assert_eq!((kept.topic_id, kept.partitions), (topic_id(), vec![0, 1].into()));
    assert_eq!(kept.assignment_epochs, Some(vec![2, 2].into()));
    let given_up = has.partitions_pending_revocation.iter().next().unwrap();
    assert_eq!(given_up.partitions, vec![2].into());
}

#[test]
fn older_versions_are_read() {
    let key = bytes("0001 000673696d706c65 00066f7264657273 00000000");
    let decode = |value: &str| {
        let value = bytes(value);
        match GroupRecord::decode(&key, Some(&value)).unwrap() {
            GroupRecord::OffsetCommit(_, Some(value)) => (value.offset, value.leader_epoch),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(decode("0000 000000000000002a 00046e6f7465 000001a21ca0376d"), (42, -1));
    assert_eq!(decode("0002 000000000000002a 00046e6f7465 000001a21ca0376d"), (42, -1));
    assert_eq!(decode("0003 000000000000002a 00000003 00046e6f7465 000001a21ca0376d"), (42, 3));
    let legacy = bytes("0000 000673696d706c65 00066f7264657273 00000000");
    let value = bytes("0000 000000000000002a 00046e6f7465 000001a21ca0376d");
    assert_eq!(
        GroupRecord::decode(&legacy, Some(&value)),
        GroupRecord::decode(&key, Some(&value)),
        "the key of before Kafka 0.9"
    );

    let key = bytes("0002 0007636c6173736963");
    let member = "00016d 000163 000168 %timeouts% 00000001ff 0000000199";
    let decode = |version: &str, state: &str, member: &str| {
        let value = bytes(&format!(
            "{version} 0008636f6e73756d6572 00000001 000572616e6765 00016d {state} 00000001 {member}"
        ));
        let GroupRecord::GroupMetadata(_, Some(group)) =
            GroupRecord::decode(&key, Some(&value)).unwrap()
        else {
            panic!()
        };
        let member = group.members.iter().next().unwrap();
        assert_eq!((member.member_id, member.group_instance_id), ("m", None));
        assert_eq!((member.subscription, member.assignment), (&[0xff][..], &[0x99][..]));
        (group.current_state_timestamp, member.rebalance_timeout, member.session_timeout)
    };
    let old = member.replace("%timeouts%", "00007530");
    assert_eq!(decode("0000", "", &old), (-1, -1, 30_000));
    let both = member.replace("%timeouts%", "0000ea60 00007530");
    assert_eq!(decode("0001", "", &both), (-1, 60_000, 30_000));
    assert_eq!(decode("0002", "0000000000000009", &both), (9, 60_000, 30_000));
}

#[test]
fn records_without_the_fields_of_newer_kafkas_are_read() {
    let key = bytes("0003 00066d6f6465726e");
    let value = bytes("0000 00000002 00");
    let record = GroupRecord::decode(&key, Some(&value)).unwrap();
    let value = ConsumerGroupMetadataValue { epoch: 2, metadata_hash: 0 };
    let key = ConsumerGroupMetadataKey { group_id: "modern" };
    assert_eq!(record, GroupRecord::ConsumerGroupMetadata(key, Some(value)));

    let key = bytes("0008 00066d6f6465726e 000141");
    let value = bytes(&format!("0000 00000002 00000001 00 02 {TOPIC_ID} 02 00000007 00 01 00"));
    let record = GroupRecord::decode(&key, Some(&value)).unwrap();
    let GroupRecord::ConsumerGroupCurrentMemberAssignment(_, Some(has)) = &record else { panic!() };
    let owned = has.assigned_partitions.iter().next().unwrap();
    assert_eq!(owned.assignment_epochs, Some(Array::default()), "empty: unknown");
    assert_eq!(record.encode().value.as_deref(), Some(&value[..]));

    let key = bytes("0004 00066d6f6465726e");
    let value =
        bytes(&format!("0000 02 {TOPIC_ID} 076f7264657273 00000003 02 00000001 02 0272 00 00 00"));
    let record = GroupRecord::decode(&key, Some(&value)).unwrap();
    let GroupRecord::ConsumerGroupPartitionMetadata(_, Some(topics)) = &record else { panic!() };
    let topic = topics.topics.iter().next().unwrap();
    assert_eq!((topic.topic_name, topic.num_partitions), ("orders", 3));
    let partition = topic.partition_metadata.iter().next().unwrap();
    assert_eq!((partition.partition, partition.racks), (1, vec!["r"].into()));
    assert_eq!(record.encode().value.as_deref(), Some(&value[..]));
}

#[test]
fn kinds_of_others_are_told_from_damage() {
    for code in [-1, 9, 10, 15, 17, 23, i16::MAX] {
        let key = [&code.to_be_bytes()[..], b"\0\x01g"].concat();
        let refused = GroupRecord::decode(&key, Some(b"whatever")).map(drop);
        assert_eq!(refused, Err(RecordError::UnknownType(code)));
    }
    let refused = GroupRecord::decode(b"\0", None).map(drop);
    assert_eq!(refused, Err(RecordError::Key(DecodeError::Truncated)));
    let key = bytes("0003 00066d6f6465726e");
    let refused = |value: &[u8]| GroupRecord::decode(&key, Some(value)).map(drop);
    assert_eq!(refused(b""), Err(RecordError::Value(DecodeError::Truncated)));
    assert_eq!(refused(b"\0\x01\0\0"), Err(RecordError::Value(DecodeError::UnknownVersion(1))));
    let negative = b"\xff\xff\0\0\0\0\0";
    assert_eq!(refused(negative), Err(RecordError::Value(DecodeError::UnknownVersion(-1))));
    let key = bytes("0005 00066d6f6465726e 000141");
    let marked = bytes("0000 00 00 0263 0268 01 01 000493e0 00 01 0001 02");
    let refused = GroupRecord::decode(&key, Some(&marked)).map(drop);
    assert_eq!(refused, Err(RecordError::Value(DecodeError::StructureMarker(2))));
}

#[test]
fn damaged_records_are_refused_or_read_and_never_more() {
    let mut prng = Prng::new(4);
    for (name, key, value) in written() {
        for cut in 0..key.len() {
            assert!(GroupRecord::decode(&key[..cut], None).is_err(), "{name} key cut at {cut}");
        }
        let Some(value) = value else { continue };
        for cut in 0..value.len() {
            let refused = GroupRecord::decode(&key, Some(&value[..cut]));
            assert!(refused.is_err(), "{name} value cut at {cut}");
        }
        for _ in 0..2_000 {
            let (mut key, mut value) = (key.clone(), value.clone());
            for _ in 0..prng.between(1, 4) {
                let damaged = if prng.chance(1, 4) { &mut key } else { &mut value };
                let at = prng.below(damaged.len() as u64) as usize;
                damaged[at] = if prng.chance(1, 2) { 0xff } else { prng.next_u64() as u8 };
            }
            let Ok(record) = GroupRecord::decode(&key, Some(&value)) else { continue };
            let again = record.encode();
            let read = GroupRecord::decode(&again.key, again.value.as_deref());
            assert_eq!(read.map(|read| read.encode()), Ok(again), "{name}");
        }
    }
}
