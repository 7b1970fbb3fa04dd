//! The rules for topic names and topic ids, as Kafka has them.

use crate::ids::TopicId;
use crate::limits::TOPIC_NAME_BYTES_MAX;

/// The topic that holds committed offsets and group metadata.
pub const GROUP_METADATA_TOPIC: &str = "__consumer_offsets";
/// The topic that holds the transaction coordinator's state.
pub const TRANSACTION_STATE_TOPIC: &str = "__transaction_state";
/// The topic that holds the state of share groups (KIP-932).
pub const SHARE_GROUP_STATE_TOPIC: &str = "__share_group_state";
/// The name Kafka reserves for its metadata log; it is never a topic.
pub const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";
/// The id Kafka reserves for its metadata log.
pub const METADATA_TOPIC_ID: TopicId = TopicId(1_u128.to_be_bytes());

/// True for the topics that Kafka's clients hide and protect (`Topic.isInternal`).
#[must_use]
pub fn is_internal_topic(name: &str) -> bool {
    matches!(name, GROUP_METADATA_TOPIC | TRANSACTION_STATE_TOPIC | SHARE_GROUP_STATE_TOPIC)
}

/// Why `name` may not be a topic name, in Kafka's words; `None` if it may. A legal name is also a
/// safe file name: it has no separator and is neither `.` nor `..`.
#[must_use]
pub fn invalid_topic_name(name: &str) -> Option<String> {
    let reason = if name.is_empty() {
        "the empty string is not allowed".to_owned()
    } else if name == "." || name == ".." {
        format!("'{name}' is not allowed")
    } else if name.len() > TOPIC_NAME_BYTES_MAX {
        format!(
            "the length of '{}' is longer than the max allowed length {TOPIC_NAME_BYTES_MAX}",
            printable(name)
        )
    } else if !name.bytes().all(is_legal) {
        format!(
            "'{}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
            printable(name)
        )
    } else {
        return None;
    };
    Some(format!("Topic name is invalid: {reason}"))
}

fn is_legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// The name as it may appear in a message: bounded, and without control characters that could forge
/// a log line.
pub(super) fn printable(name: &str) -> String {
    const CHARACTERS_MAX: usize = 2 * TOPIC_NAME_BYTES_MAX;
    let mut text: String = name.chars().take(CHARACTERS_MAX).flat_map(escape).collect();
    if name.chars().nth(CHARACTERS_MAX).is_some() {
        text.push_str("...");
    }
    text
}

fn escape(character: char) -> Box<dyn Iterator<Item = char>> {
    if character.is_control() {
        Box::new(character.escape_default())
    } else {
        Box::new(std::iter::once(character))
    }
}

/// The form in which two names collide: metric names turn `.` into `_`, so topics that differ only
/// there would share their metrics.
pub(super) fn unified(name: &str) -> String {
    name.replace('.', "_")
}

/// A topic id from 16 random bytes: a version-4 UUID as Kafka draws it, which is never one of the
/// reserved ids, and whose text does not begin with `-` (tools would take it for an option).
#[must_use]
pub fn topic_id_from_random(mut random: [u8; 16]) -> TopicId {
    const FIRST_SYMBOL_DASH: u8 = 62;
    let [first, _, _, _, _, _, version, _, variant, ..] = &mut random;
    *version = (*version & 0x0f) | 0x40;
    *variant = (*variant & 0x3f) | 0x80;
    if *first >> 2 == FIRST_SYMBOL_DASH {
        *first ^= 0x80;
    }
    TopicId(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_rules() {
        let longest = "a".repeat(249);
        for name in ["a", "A.b_c-9", "...", "__consumer_offsets", longest.as_str()] {
            assert_eq!(invalid_topic_name(name), None, "{name}");
        }
        let too_long = "a".repeat(250);
        for (name, part) in [
            ("", "the empty string is not allowed"),
            (".", "'.' is not allowed"),
            ("..", "'..' is not allowed"),
            (too_long.as_str(), "longer than the max allowed length 249"),
            ("a/b", "other than ASCII alphanumerics"),
            ("a b", "other than ASCII alphanumerics"),
            ("ä", "other than ASCII alphanumerics"),
            ("a\nb", "'a\\nb' contains"),
            ("a\0", "other than ASCII alphanumerics"),
        ] {
            let reason = invalid_topic_name(name).unwrap();
            assert!(reason.starts_with("Topic name is invalid: "), "{reason}");
            assert!(reason.contains(part), "{reason}");
        }
    }

    #[test]
    fn a_drawn_id_is_never_reserved_nor_looks_like_an_option() {
        for first in 0..=255_u8 {
            let mut random = [0; 16];
            random[0] = first;
            let id = topic_id_from_random(random);
            assert_ne!(id, TopicId::ZERO);
            assert_ne!(id, METADATA_TOPIC_ID);
            assert!(!id.to_string().starts_with('-'), "{id}");
            assert_eq!((id.0[6] >> 4, id.0[8] >> 6), (4, 2));
        }
    }
}
