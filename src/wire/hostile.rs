//! Messages no honest peer sends, and what becomes of them.

use bytes::BytesMut;

use super::api_versions::{ApiVersionsResponse, SupportedFeatureKey};
use super::describe_topic_partitions::DescribeTopicPartitionsRequest;
use super::fetch::{FetchPartition, FetchRequest, FetchTopic};
use super::message::Message;
use super::metadata::{MetadataRequest, MetadataResponse};
use super::primitive::{DecodeError, Writer, range_in};
use super::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use crate::limits::TAGGED_FIELDS_MAX;

fn encoded<'a>(message: &impl Message<'a>, version: i16) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    message.encode(&mut Writer::new(&mut buffer), version);
    buffer.to_vec()
}

/// A tagged field as it stands on the wire; tag and length below 128.
fn tagged(tag: u8, bytes: &[u8]) -> Vec<u8> {
    [&[tag, bytes.len() as u8], bytes].concat()
}

#[test]
fn a_produce_request_of_12_bytes_cannot_claim_a_huge_array() {
    let body = b"\xff\xff\xff\xff\0\0\0\0\x7f\xff\xff\xff";
    assert_eq!(
        ProduceRequest::decode_whole(body, 8),
        Err(DecodeError::CountExceedsBytes { count: i32::MAX as usize, count_max: 0 })
    );
    let body = b"\0\xff\xff\0\0\0\0\xff\xff\xff\xff\x0f";
    assert_eq!(
        ProduceRequest::decode_whole(body, 9),
        Err(DecodeError::CountExceedsBytes { count: u32::MAX as usize - 1, count_max: 0 })
    );
}

#[test]
fn a_count_is_bounded_by_the_smallest_element() {
    // Seven bytes are left for topics, each at least a name and an array: six bytes.
    let body = b"\xff\xff\xff\xff\0\0\0\0\0\0\0\x02\0\x01a\0\0\0\0";
    let refused = ProduceRequest::decode_whole(body, 8);
    assert_eq!(refused, Err(DecodeError::CountExceedsBytes { count: 2, count_max: 1 }));
    let mut body = *body;
    body[11] = 1;
    assert_eq!(ProduceRequest::decode_whole(&body, 8).unwrap().topic_data.len(), 1);
}

#[test]
fn a_lie_deep_inside_is_found_when_the_whole_is_decoded() {
    let partition = PartitionProduceData { index: 1, records: Some(b"batch") };
    let topic = TopicProduceData {
        name: "topic",
        partition_data: vec![partition].into(),
        ..TopicProduceData::default()
    };
    let request = ProduceRequest { topic_data: vec![topic].into(), ..ProduceRequest::default() };
    let good = encoded(&request, 8);
    let decoded = ProduceRequest::decode_whole(&good, 8).unwrap();
    assert_eq!(decoded, request);
    let records = decoded.topic_data.iter().next().unwrap().partition_data.iter().next();
    let records = records.unwrap().records.unwrap();
    let range = range_in(&good, records).unwrap();
    assert_eq!(range, good.len() - 5..good.len());
    let mut bad = good.clone();
    bad[range.start - 1] = 6;
    assert_eq!(ProduceRequest::decode_whole(&bad, 8), Err(DecodeError::Truncated));
}

#[test]
fn nulls_are_taken_only_where_the_version_has_them() {
    let null = b"\xff\xff\xff\xff";
    let version_0 = MetadataRequest::decode_whole(null, 0);
    assert_eq!(version_0, Err(DecodeError::NullNotAllowed));
    assert_eq!(MetadataRequest::decode_whole(null, 1).unwrap().topics, None);
    let topic_with_null_name = [&b"\x02"[..], &[7; 16], b"\0\0\0\0\0\0"].concat();
    let version_9 = MetadataRequest::decode_whole(&topic_with_null_name[17..], 9);
    assert!(version_9.is_err());
    let version_12 = MetadataRequest::decode_whole(&topic_with_null_name[..22], 12).unwrap();
    let topics = version_12.topics.unwrap();
    assert_eq!(topics.iter().map(|topic| topic.name).collect::<Vec<_>>(), [None]);
    let null_name_in_version_9 = b"\x02\0\0\0\0\0\0";
    let version_9 = MetadataRequest::decode_whole(null_name_in_version_9, 9);
    assert_eq!(version_9, Err(DecodeError::NullNotAllowed));
}

#[test]
fn a_nullable_structure_has_a_marker() {
    let body = |marker: u8| [1, 0, 0, 0, 9, marker, 2, b'a', 0, 0, 0, 3, 0, 0];
    let decoded = body(1);
    let decoded = DescribeTopicPartitionsRequest::decode_whole(&decoded, 0).unwrap();
    let cursor = decoded.cursor.unwrap();
    assert_eq!((cursor.topic_name, cursor.partition_index), ("a", 3));
    let refused = body(2);
    let refused = DescribeTopicPartitionsRequest::decode_whole(&refused, 0);
    assert_eq!(refused, Err(DecodeError::StructureMarker(2)));
}

#[test]
fn versions_out_of_range_are_refused() {
    for version in [-1, 2, 14, i16::MAX, i16::MIN] {
        let refused = ProduceRequest::decode_whole(&[0; 64], version);
        assert_eq!(refused, Err(DecodeError::UnsupportedVersion { api_key: 0, version }));
    }
}

#[test]
fn tags_are_skipped_decoded_or_refused() {
    let features = b"\x02\x08feature\0\x01\0\x02\0";
    let with_tags = |count: &[u8], fields: &[Vec<u8>]| {
        // No error, no keys, no throttling, and then tags.
        [&b"\0\0\x01\0\0\0\0"[..], count, &fields.concat()].concat()
    };
    let decode = |count: u8, fields: &[Vec<u8>]| {
        let body = with_tags(&[count], fields);
        ApiVersionsResponse::decode_whole(&body, 3)
            .map(|response| (response.finalized_features_epoch, response.supported_features.len()))
    };
    let epoch = tagged(1, &7_i64.to_be_bytes());
    assert_eq!(decode(0, &[]), Ok((-1, 0)));
    assert_eq!(decode(1, std::slice::from_ref(&epoch)), Ok((7, 0)));
    assert_eq!(decode(2, &[tagged(0, features), epoch.clone()]), Ok((7, 1)));
    assert_eq!(decode(2, &[epoch.clone(), tagged(9, b"unknown")]), Ok((7, 0)));
    let twice = decode(2, &[epoch.clone(), epoch.clone()]);
    assert_eq!(twice, Err(DecodeError::TagsNotAscending(1)));
    let descending = decode(2, &[epoch.clone(), tagged(0, features)]);
    assert_eq!(descending, Err(DecodeError::TagsNotAscending(0)));
    assert_eq!(decode(1, &[tagged(1, &[0; 7])]), Err(DecodeError::Truncated));
    assert_eq!(decode(1, &[tagged(1, &[0; 9])]), Err(DecodeError::TrailingBytes(1)));
    assert_eq!(decode(2, &[epoch]), Err(DecodeError::Truncated));

    let largest = with_tags(&[2, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0], &[]);
    let refused = ApiVersionsResponse::decode_whole(&largest, 3).map(drop);
    assert_eq!(refused, Err(DecodeError::TagsNotAscending(0)), "nothing follows the last tag");
}

#[test]
fn a_structure_has_a_bounded_number_of_tags() {
    let with_count = |count: u32| {
        let mut buffer = BytesMut::from(&b"\0\0\x01\0\0\0\0"[..]);
        let mut writer = Writer::new(&mut buffer);
        writer.unsigned_varint(count);
        for tag in 0..count.min(2 * TAGGED_FIELDS_MAX) {
            writer.unsigned_varint(100 + tag);
            writer.unsigned_varint(0);
        }
        ApiVersionsResponse::decode_whole(&buffer, 3).map(drop)
    };
    assert_eq!(with_count(TAGGED_FIELDS_MAX), Ok(()));
    for count in [TAGGED_FIELDS_MAX + 1, u32::MAX] {
        assert_eq!(with_count(count), Err(DecodeError::TooManyTags(count)));
    }
}

#[test]
fn what_a_version_lacks_comes_back_as_its_default() {
    let partition = FetchPartition { fetch_offset: 5, high_watermark: 9, ..Default::default() };
    let topic =
        FetchTopic { topic: "topic", topic_id: [3; 16], partitions: vec![partition].into() };
    let request = FetchRequest {
        max_bytes: 70,
        rack_id: "rack",
        session_epoch: 4,
        topics: vec![topic].into(),
        ..FetchRequest::default()
    };
    let bytes = encoded(&request, 4);
    let oldest = FetchRequest::decode_whole(&bytes, 4).unwrap();
    assert_eq!((oldest.max_bytes, oldest.rack_id, oldest.session_epoch), (70, "", -1));
    let topic = oldest.topics.iter().next().unwrap();
    assert_eq!((topic.topic, topic.topic_id), ("topic", [0; 16]));
    let partition = topic.partitions.iter().next().unwrap();
    assert_eq!((partition.fetch_offset, partition.high_watermark), (5, i64::MAX));

    let bytes = encoded(&request, 18);
    let newest = FetchRequest::decode_whole(&bytes, 18).unwrap();
    assert_eq!((newest.max_bytes, newest.rack_id, newest.session_epoch), (70, "rack", 4));
    let topic = newest.topics.iter().next().unwrap();
    assert_eq!((topic.topic, topic.topic_id), ("", [3; 16]));
    assert_eq!(topic.partitions.iter().next().unwrap().high_watermark, 9);
}

#[test]
fn tagged_fields_at_their_default_are_not_written() {
    let empty = ApiVersionsResponse::default();
    assert_eq!(encoded(&empty, 4), b"\0\0\x01\0\0\0\0\0");
    let feature = SupportedFeatureKey { name: "feature", min_version: 1, max_version: 2 };
    let response =
        ApiVersionsResponse { supported_features: vec![feature].into(), ..empty.clone() };
    assert_eq!(encoded(&response, 4), b"\0\0\x01\0\0\0\0\x01\0\x0e\x02\x08feature\0\x01\0\x02\0");
    assert_eq!(encoded(&response, 2), encoded(&empty, 2));
    assert_eq!(encoded(&MetadataResponse::default(), 0), [0; 8]);
}
