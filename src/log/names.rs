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

#[cfg(test)]
mod tests {
    use super::*;

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
