//! Names of the files of a segment, as Kafka spells them: the base offset in twenty digits and a
//! suffix for what the file holds.

use crate::ids::Offset;

/// What a file of a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// The record batches (`.log`).
    Log,
    /// Offset to position (`.index`).
    Index,
    /// Timestamp to offset (`.timeindex`).
    TimeIndex,
}

impl FileKind {
    /// Every kind, in the order in which a segment is written.
    pub const ALL: [FileKind; 3] = [FileKind::Log, FileKind::Index, FileKind::TimeIndex];

    /// The suffix with its dot.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            FileKind::Log => ".log",
            FileKind::Index => ".index",
            FileKind::TimeIndex => ".timeindex",
        }
    }
}

const DIGITS: usize = 20;
/// Suffix of a file that compaction has made and that has not yet taken its place. Kafka's word.
const CLEANED: &str = ".cleaned";
/// Suffix of a file that something else has taken the place of. Kafka's word.
const DELETED: &str = ".deleted";

/// The name of one file of the segment that starts at `segment`.
#[must_use]
pub fn file_name(segment: Offset, kind: FileKind) -> String {
    assert!(segment.0 >= 0, "a segment starts at a real offset");
    format!("{:020}{}", segment.0, kind.suffix())
}

/// The segment and kind that a file name stands for; `None` for a file that is none of ours.
#[must_use]
pub fn parse_file_name(name: &str) -> Option<(Offset, FileKind)> {
    let (digits, suffix) = name.split_at_checked(DIGITS)?;
    let kind = FileKind::ALL.into_iter().find(|kind| kind.suffix() == suffix)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((Offset(digits.parse().ok()?), kind))
}

/// The name of a file that compaction is making, until it takes its place.
#[must_use]
pub fn cleaned_name(segment: Offset, kind: FileKind, generation: u32) -> String {
    format!("{}.{generation}{CLEANED}", file_name(segment, kind))
}

/// The name a file gets when one of a later generation takes its place, for those who still have to
/// read it.
#[must_use]
pub fn deleted_name(segment: Offset, kind: FileKind, generation: u32) -> String {
    format!("{}.{generation}{DELETED}", file_name(segment, kind))
}

/// Whether a file has one of the names that compaction gives for a while; with what is in it if it
/// has not yet taken its place.
#[must_use]
pub fn parse_passing_name(name: &str) -> Option<Option<(Offset, FileKind, u32)>> {
    let (rest, cleaned) = match name.strip_suffix(CLEANED) {
        Some(rest) => (rest, true),
        None => (name.strip_suffix(DELETED)?, false),
    };
    let (file, generation) = rest.rsplit_once('.')?;
    let (segment, kind) = parse_file_name(file)?;
    let generation = generation.parse().ok()?;
    Some(cleaned.then_some((segment, kind, generation)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passing_names_round_trip() {
        let name = cleaned_name(Offset(7), FileKind::TimeIndex, 12);
        assert_eq!(name, "00000000000000000007.timeindex.12.cleaned");
        assert_eq!(parse_passing_name(&name), Some(Some((Offset(7), FileKind::TimeIndex, 12))));
        assert_eq!(parse_passing_name(&deleted_name(Offset(7), FileKind::Log, 3)), Some(None));
        for name in [".cleaned", "a.1.cleaned", "00000000000000000007.log.cleaned"] {
            assert_eq!(parse_passing_name(name), None, "{name}");
        }
    }

    #[test]
    fn names_round_trip() {
        assert_eq!(file_name(Offset(0), FileKind::Log), "00000000000000000000.log");
        assert_eq!(file_name(Offset(i64::MAX), FileKind::Index), "09223372036854775807.index");
        for kind in FileKind::ALL {
            let name = file_name(Offset(170_210), kind);
            assert_eq!(parse_file_name(&name), Some((Offset(170_210), kind)));
        }
    }

    #[test]
    fn foreign_names_are_refused() {
        for name in [
            "",
            ".log",
            "0000000000000000000.log",
            "000000000000000000000.log",
            "00000000000000000000.log.deleted",
            "00000000000000000000.snapshot",
            "+0000000000000000000.log",
            "99999999999999999999.log",
            "leader-epoch-checkpoint",
            "ääääääääää.log",
        ] {
            assert_eq!(parse_file_name(name), None, "{name}");
        }
    }
}
