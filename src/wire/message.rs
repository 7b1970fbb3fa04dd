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
//!     /// A structure that carries its version with it.
//!     versioned Note<'a>[0..=4, flexible 4..] { .. }
//! }
//! ```
//!
//! A field reads: name, type, default if not the type's, versions that have it, then
//! `nullable` and the versions from which null is allowed, `tag` for a tagged field (KIP-482),
//! `ignorable` if its value may be lost in versions that lack it. A field that is not ignorable and
//! not its default in a version without it is a mistake of whoever built the message: caught in
//! debug builds, left out in release, for a broker does not die of a reply.

use std::ops::{RangeFrom, RangeInclusive};

use bytes::{Bytes, BytesMut};

use super::api_key::ApiKey;
use super::primitive::{DecodeError, Reader, Writer, check_version};
use super::value::{Form, Value};
use crate::limits::{CHANGE_ELEMENTS_MAX, REQUEST_ELEMENTS_MAX, TAGGED_FIELDS_MAX};

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

    /// Reads a message from the start of `bytes`, whatever follows it. So does Kafka, and so must a
    /// broker read requests: librdkafka 2.12 sends three bytes too many with Metadata version 13.
    /// Its arrays have together no more elements than the limits say.
    fn decode_from(bytes: &'a [u8], version: i16) -> Result<Self, DecodeError> {
        let elements_max = match Self::API_KEY {
            ApiKey::CreateTopics
            | ApiKey::DeleteTopics
            | ApiKey::CreatePartitions
            | ApiKey::AlterConfigs
            | ApiKey::IncrementalAlterConfigs => CHANGE_ELEMENTS_MAX,
            _ => REQUEST_ELEMENTS_MAX,
        };
        Self::decode(&mut Reader::limited(bytes, elements_max), version)
    }

    /// Reads a message that fills `bytes`; more bytes after its end are an error.
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

/// A structure that carries its version with it, in two bytes in front: what internal topics keep,
/// and what clients leave in fields whose meaning a broker need not know.
pub trait Versioned<'a>: Value<'a> + Default {
    /// The versions that can be decoded and encoded.
    const VERSIONS: RangeInclusive<i16>;
    /// First version with compact lengths and tagged fields.
    const FLEXIBLE_FROM: i16;

    /// Reads a structure from the start of `bytes`, whatever follows it.
    fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.i16()?;
        if !Self::VERSIONS.contains(&version) {
            return Err(DecodeError::UnknownVersion(version));
        }
        Self::read(&mut reader, Self::form(version))
    }

    /// As `decode`, but takes a newer version for the newest known: right where later versions are
    /// promised to add fields at the end only.
    fn decode_or_newer(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.i16()?;
        if version < *Self::VERSIONS.start() {
            return Err(DecodeError::UnknownVersion(version));
        }
        Self::read(&mut reader, Self::form(version.min(*Self::VERSIONS.end())))
    }

    /// The version and the structure. `version` must be one of `VERSIONS`.
    fn encode(&self, version: i16) -> Bytes {
        assert!(Self::VERSIONS.contains(&version), "whoever writes chooses a known version");
        let form = Self::form(version);
        let mut buffer = BytesMut::with_capacity(2 + self.measure(form));
        let mut writer = Writer::new(&mut buffer);
        writer.i16(version);
        self.write(&mut writer, form);
        buffer.freeze()
    }

    /// How the structure stands in `version`.
    #[must_use]
    fn form(version: i16) -> Form {
        Form { version, flexible: version >= Self::FLEXIBLE_FROM, nullable: false }
    }
}

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
        reader.within(length, |field| if known(tag, field)? { field.finish() } else { Ok(()) })?;
    }
    Ok(())
}

/// Declares the structures of a message; see the module's documentation.
macro_rules! message {
    ($(
        $(#[$meta:meta])*
        $kind:ident $name:ident $(<$life:lifetime>)?
        $(($key:ident, $versions:expr, flexible $flexible:literal ..))?
        $([$own_versions:expr, flexible $own_flexible:literal ..])?
        { $($fields:tt)* }
    )*) => {$(
        $crate::wire::message::structure! {
            $(#[$meta])*
            $name $(<$life>)? { $($fields)* }
        }
        $crate::wire::message::root! {
            $kind $name $(<$life>)? $(($key, $versions, $flexible))?
            $([$own_versions, $own_flexible])?
        }
    )*};
}

/// Makes a structure what its kind says: the body of a request or response, and so on.
macro_rules! root {
    (struct $name:ident $(<$life:lifetime>)?) => {};
    (versioned $name:ident $(<$life:lifetime>)? [$versions:expr, $flexible:literal]) => {
        impl<'a> $crate::wire::message::Versioned<'a> for $name $(<$life>)? {
            const VERSIONS: std::ops::RangeInclusive<i16> = $versions;
            const FLEXIBLE_FROM: i16 = $flexible;
        }
    };
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
