//! The `message!` macro: one table declares a message's structures, their fields, and in which
//! versions and how each field is on the wire; reading, writing, measuring and defaults follow.
//!
//! ```text
//! message! {
//!     /// What the message is.
//!     request ExampleRequest<'a>(Example, 0..=3, flexible 2..) {
//!         /// What the field is.
//!         name: &'a str, 0..;
//!         note: Option<&'a str>, 1.., nullable 2..;
//!         limit: i32 = -1, 1..=2, ignorable;
//!         leader: Leader, 3.., tag 0;
//!         items: Array<'a, Item<'a>>, 0..;
//!     }
//!     /// A structure within it; `nullable` in place of `struct` if it may be absent as a whole.
//!     struct Item<'a> { .. }
//! }
//! ```
//!
//! A field reads: name, type, default if not the type's, versions that have it, then
//! `nullable` and the versions from which null is allowed, `tag` for a tagged field (KIP-482),
//! `ignorable` if its value may be lost in versions that lack it. A field that is not ignorable and
//! not its default in a version without it is a mistake of whoever built the message: caught in
//! debug builds, left out in release, for a broker does not die of a reply.

use std::ops::{RangeFrom, RangeInclusive};

use super::api_key::ApiKey;
use super::primitive::{DecodeError, Reader, Writer, check_version};
use super::value::{Form, Value};
use crate::limits::TAGGED_FIELDS_MAX;

/// A request or response body.
pub trait Message<'a>: Value<'a> + Default {
    /// Which API it belongs to.
    const API_KEY: ApiKey;
    /// The versions that can be decoded and encoded.
    const VERSIONS: RangeInclusive<i16>;
    /// First version with compact lengths and tagged fields.
    const FLEXIBLE_FROM: i16;

    /// Reads the message, leaving what follows it in the reader.
    fn decode(reader: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError> {
        check_version(Self::API_KEY.code(), version, &Self::VERSIONS)?;
        Self::read(reader, Self::form(version))
    }

    /// Reads a message that fills `bytes`.
    ///
    /// Bytes after the end are refused. Kafka ignores them, but no client is known to send any: they
    /// mean that both sides disagree about the schema, and then every value read is in doubt.
    fn decode_whole(bytes: &'a [u8], version: i16) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let message = Self::decode(&mut reader, version)?;
        reader.finish()?;
        Ok(message)
    }

    /// Appends the message. `version` must be one of `VERSIONS`.
    fn encode(&self, writer: &mut Writer<'_>, version: i16) {
        assert!(Self::VERSIONS.contains(&version), "a reply has the version of its request");
        self.write(writer, Self::form(version));
    }

    /// How many bytes `encode` writes, bytes of holes included.
    fn size(&self, version: i16) -> usize {
        Value::measure(self, Self::form(version))
    }

    /// How the message stands on the wire in `version`.
    #[must_use]
    fn form(version: i16) -> Form {
        Form { version, flexible: version >= Self::FLEXIBLE_FROM, nullable: false }
    }
}

/// A message from client to broker.
pub trait Request<'a>: Message<'a> {}

/// A message from broker to client.
pub trait Response<'a>: Message<'a> {}

/// What the table says of a field besides its type and versions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) tag: Option<u32>,
    pub(crate) ignorable: bool,
    nullable_from: i16,
}

impl Field {
    pub(crate) const fn new() -> Field {
        Field { tag: None, ignorable: false, nullable_from: i16::MAX }
    }

    pub(crate) const fn tag(self, tag: u32) -> Field {
        Field { tag: Some(tag), ..self }
    }

    pub(crate) const fn ignorable(self) -> Field {
        Field { ignorable: true, ..self }
    }

    pub(crate) const fn nullable(self, versions: RangeFrom<i16>) -> Field {
        Field { nullable_from: versions.start, ..self }
    }

    /// The form of this field in a structure of form `form`.
    pub(crate) const fn form(self, form: Form) -> Form {
        Form { nullable: form.version >= self.nullable_from, ..form }
    }
}

/// Whether tags rise in the order the fields are declared, which is the order they are written.
pub(crate) const fn tags_ascend(fields: &[Field]) -> bool {
    let mut next = 0;
    let mut at = 0;
    while at < fields.len() {
        if let Some(tag) = fields[at].tag {
            if tag < next {
                return false;
            }
            next = tag + 1;
        }
        at += 1;
    }
    true
}

/// Reads the tagged fields that end a flexible structure. `known` gets each tag with a reader over
/// its bytes, and says whether it read them; what it does not know is passed over.
pub(crate) fn read_tags<'a>(
    reader: &mut Reader<'a>,
    mut known: impl FnMut(u32, &mut Reader<'a>) -> Result<bool, DecodeError>,
) -> Result<(), DecodeError> {
    let count = reader.unsigned_varint()?;
    if count > TAGGED_FIELDS_MAX {
        return Err(DecodeError::TooManyTags(count));
    }
    let mut next = Some(0);
    for _ in 0..count {
        let tag = reader.unsigned_varint()?;
        if next.is_none_or(|next| tag < next) {
            return Err(DecodeError::TagsNotAscending(tag));
        }
        next = tag.checked_add(1);
        let length = reader.unsigned_varint()? as usize;
        let mut field = Reader::new(reader.take(length)?);
        if known(tag, &mut field)? {
            field.finish()?;
        }
    }
    Ok(())
}

/// Declares the structures of a message; see the module's documentation.
macro_rules! message {
    ($(
        $(#[$meta:meta])*
        $kind:ident $name:ident $(<$life:lifetime>)?
        $(($key:ident, $versions:expr, flexible $flexible:literal ..))?
        { $($fields:tt)* }
    )*) => {$(
        $crate::wire::message::structure! {
            $(#[$meta])*
            $name $(<$life>)? { $($fields)* }
        }
        $crate::wire::message::root! {
            $kind $name $(<$life>)? $(($key, $versions, $flexible))?
        }
    )*};
}

/// Makes a structure the body of a request or response.
macro_rules! root {
    (struct $name:ident $(<$life:lifetime>)?) => {};
    (nullable $name:ident $(<$life:lifetime>)?) => {
        impl<'a> $crate::wire::value::Nullable<'a> for $name $(<$life>)? {
            fn read_nullable(
                reader: &mut $crate::wire::primitive::Reader<'a>,
                form: $crate::wire::value::Form,
            ) -> Result<Option<Self>, $crate::wire::primitive::DecodeError> {
                match <i8 as $crate::wire::value::Value>::read(reader, form)? {
                    -1 => Ok(None),
                    1 => <Self as $crate::wire::value::Value>::read(reader, form).map(Some),
                    other => Err($crate::wire::primitive::DecodeError::StructureMarker(other)),
                }
            }

            fn write_nullable(
                value: Option<&Self>,
                writer: &mut $crate::wire::primitive::Writer<'_>,
                form: $crate::wire::value::Form,
            ) {
                let marker: i8 = if value.is_some() { 1 } else { -1 };
                writer.put(&marker.to_be_bytes());
                if let Some(value) = value {
                    $crate::wire::value::Value::write(value, writer, form);
                }
            }

            fn measure_nullable(value: Option<&Self>, form: $crate::wire::value::Form) -> usize {
                1 + value.map_or(0, |value| $crate::wire::value::Value::measure(value, form))
            }

            fn empty() -> Self {
                Self::default()
            }
        }
    };
    (request $name:ident $(<$life:lifetime>)? ($($head:tt)*)) => {
        $crate::wire::message::root! { body $name $(<$life>)? ($($head)*) }
        impl<'a> $crate::wire::message::Request<'a> for $name $(<$life>)? {}
    };
    (response $name:ident $(<$life:lifetime>)? ($($head:tt)*)) => {
        $crate::wire::message::root! { body $name $(<$life>)? ($($head)*) }
        impl<'a> $crate::wire::message::Response<'a> for $name $(<$life>)? {}
    };
    (body $name:ident $(<$life:lifetime>)? ($key:ident, $versions:expr, $flexible:literal)) => {
        impl<'a> $crate::wire::message::Message<'a> for $name $(<$life>)? {
            const API_KEY: $crate::wire::api_key::ApiKey = $crate::wire::api_key::ApiKey::$key;
            const VERSIONS: std::ops::RangeInclusive<i16> = $versions;
            const FLEXIBLE_FROM: i16 = $flexible;
        }
    };
}

/// Declares one structure and how it stands on the wire.
macro_rules! structure {
    (
        $(#[$meta:meta])*
        $name:ident $(<$life:lifetime>)? {$(
            $(#[$doc:meta])*
            $field:ident: $type:ty $(= $default:expr)?, $versions:expr
                $(, $option:ident $($value:expr)?)*;
        )*}
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name $(<$life>)? {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl $(<$life>)? Default for $name $(<$life>)? {
            fn default() -> Self {
                $name {
                    $($field: $crate::wire::message::default_or!($($default)?),)*
                }
            }
        }

        const _: () = assert!($crate::wire::message::tags_ascend(&[
            $($crate::wire::message::field!($($option $($value)?),*)),*
        ]));

        impl<'a> $crate::wire::value::Value<'a> for $name $(<$life>)? {
            fn read(
                reader: &mut $crate::wire::primitive::Reader<'a>,
                form: $crate::wire::value::Form,
            ) -> Result<Self, $crate::wire::primitive::DecodeError> {
                let mut value = Self::default();
                $({
                    const FIELD: $crate::wire::message::Field =
                        $crate::wire::message::field!($($option $($value)?),*);
                    if FIELD.tag.is_none() && ($versions).contains(&form.version) {
                        value.$field =
                            $crate::wire::value::Value::read(reader, FIELD.form(form))?;
                    }
                })*
                if form.flexible {
                    $crate::wire::message::read_tags(reader, |_tag, _reader| {
                        $({
                            const FIELD: $crate::wire::message::Field =
                                $crate::wire::message::field!($($option $($value)?),*);
                            if FIELD.tag == Some(_tag) && ($versions).contains(&form.version) {
                                value.$field =
                                    $crate::wire::value::Value::read(_reader, FIELD.form(form))?;
                                return Ok(true);
                            }
                        })*
                        Ok(false)
                    })?;
                }
                Ok(value)
            }

            fn write(
                &self,
                writer: &mut $crate::wire::primitive::Writer<'_>,
                form: $crate::wire::value::Form,
            ) {
                let default = Self::default();
                let mut tag_count = 0;
                $({
                    const FIELD: $crate::wire::message::Field =
                        $crate::wire::message::field!($($option $($value)?),*);
                    if !($versions).contains(&form.version) {
                        debug_assert!(
                            FIELD.ignorable || self.$field == default.$field,
                            concat!(stringify!($name), ".", stringify!($field),
                                " is set but not part of version {}"),
                            form.version
                        );
                    } else if FIELD.tag.is_none() {
                        $crate::wire::value::Value::write(&self.$field, writer, FIELD.form(form));
                    } else if self.$field != default.$field {
                        tag_count += 1;
                    }
                })*
                if !form.flexible {
                    return;
                }
                writer.unsigned_varint(tag_count);
                $({
                    const FIELD: $crate::wire::message::Field =
                        $crate::wire::message::field!($($option $($value)?),*);
                    if let Some(tag) = FIELD.tag
                        && ($versions).contains(&form.version)
                        && self.$field != default.$field
                    {
                        let form = FIELD.form(form);
                        let size = $crate::wire::value::Value::measure(&self.$field, form);
                        writer.unsigned_varint(tag);
                        writer.unsigned_varint(size as u32);
                        $crate::wire::value::Value::write(&self.$field, writer, form);
                    }
                })*
            }

            fn measure(&self, form: $crate::wire::value::Form) -> usize {
                let default = Self::default();
                let mut size = 0;
                let mut tag_count = 0;
                $({
                    const FIELD: $crate::wire::message::Field =
                        $crate::wire::message::field!($($option $($value)?),*);
                    if ($versions).contains(&form.version) {
                        let form = FIELD.form(form);
                        match FIELD.tag {
                            None => size += $crate::wire::value::Value::measure(&self.$field, form),
                            Some(tag) if self.$field != default.$field => {
                                let field = $crate::wire::value::Value::measure(&self.$field, form);
                                size += $crate::wire::primitive::unsigned_varint_size(tag);
                                size += $crate::wire::primitive::unsigned_varint_size(field as u32);
                                size += field;
                                tag_count += 1;
                            }
                            Some(_) => {}
                        }
                    }
                })*
                if form.flexible {
                    size += $crate::wire::primitive::unsigned_varint_size(tag_count);
                }
                size
            }

            fn size_min(form: $crate::wire::value::Form) -> usize {
                let mut size = usize::from(form.flexible);
                $({
                    const FIELD: $crate::wire::message::Field =
                        $crate::wire::message::field!($($option $($value)?),*);
                    if FIELD.tag.is_none() && ($versions).contains(&form.version) {
                        size += <$type as $crate::wire::value::Value>::size_min(FIELD.form(form));
                    }
                })*
                size
            }
        }
    };
}

/// A [`Field`] from the options in the table.
macro_rules! field {
    ($($option:ident $($value:expr)?),*) => {
        $crate::wire::message::Field::new()$(.$option($($value)?))*
    };
}

/// The default in the table, or the type's.
macro_rules! default_or {
    () => {
        Default::default()
    };
    ($default:expr) => {
        $default
    };
}

pub(crate) use {default_or, field, message, root, structure};

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::wire::api_versions::{ApiVersionsResponse, SupportedFeatureKey};
    use crate::wire::describe_topic_partitions::DescribeTopicPartitionsRequest;
    use crate::wire::fetch::{FetchPartition, FetchRequest, FetchTopic};
    use crate::wire::metadata::{MetadataRequest, MetadataResponse};
    use crate::wire::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};

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
        let request =
            ProduceRequest { topic_data: vec![topic].into(), ..ProduceRequest::default() };
        let good = encoded(&request, 8);
        let decoded = ProduceRequest::decode_whole(&good, 8).unwrap();
        assert_eq!(decoded, request);
        let records = decoded.topic_data.iter().next().unwrap().partition_data.iter().next();
        let records = records.unwrap().records.unwrap();
        let range = crate::wire::primitive::range_in(&good, records).unwrap();
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
            ApiVersionsResponse::decode_whole(&body, 3).map(|response| {
                (response.finalized_features_epoch, response.supported_features.len())
            })
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
        assert_eq!(
            encoded(&response, 4),
            b"\0\0\x01\0\0\0\0\x01\0\x0e\x02\x08feature\0\x01\0\x02\0"
        );
        assert_eq!(encoded(&response, 2), encoded(&empty, 2));
        assert_eq!(encoded(&MetadataResponse::default(), 0), [0; 8]);
    }
}
