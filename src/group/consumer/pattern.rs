//! Subscriptions by pattern: regular expressions whose matching takes time in proportion to the
//! text, as with Kafka's RE2.

use std::collections::BTreeSet;
use std::time::Duration;

use regex::{Regex, RegexBuilder};

use crate::group::reply::Refusal;
use crate::group::topics::TopicView;
use crate::limits::{GROUP_ENTRY_BYTES_MAX, PATTERN_BYTES_MAX, PATTERN_PROGRAM_BYTES_MAX};
use crate::time::{Instant, Now};

use super::Group;
use super::entry::{ConsumerEntry, Resolved};

/// New topics are looked for at most this often, as in Kafka.
pub(super) const LOOK_UP_INTERVAL: Duration = Duration::from_secs(10);

/// Compiles a pattern so that it matches whole names only.
pub(super) fn compile(pattern: &str) -> Result<Regex, Refusal> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(Refusal::InvalidPattern);
    }
    let build = |pattern: &str| {
        RegexBuilder::new(pattern)
            .size_limit(PATTERN_PROGRAM_BYTES_MAX)
            .dfa_size_limit(PATTERN_PROGRAM_BYTES_MAX)
            .build()
            .map_err(|_| Refusal::InvalidPattern)
    };
    // By itself first: `a)|(b` is none, though it would be in parentheses.
    build(pattern)?;
    build(&format!(r"\A(?:{pattern})\z"))
}

fn resolve(pattern: &str, topics: &dyn TopicView) -> Result<BTreeSet<Box<str>>, Refusal> {
    let compiled = compile(pattern)?;
    let mut matched = BTreeSet::new();
    topics.each_name(&mut |name| {
        if compiled.is_match(name) {
            matched.insert(name.into());
        }
    });
    Ok(matched)
}

/// What comes of looking patterns up.
#[derive(Debug, Default)]
pub(super) struct LookedUp {
    /// To be recorded.
    pub entries: Vec<ConsumerEntry>,
    /// All of them were.
    pub all: Option<Instant>,
}

impl LookedUp {
    /// The topics they stand for.
    pub(super) fn topics(&self) -> impl Iterator<Item = &Box<str>> {
        let resolved = self.entries.iter().filter_map(|entry| match entry {
            ConsumerEntry::Pattern(_, resolved) => resolved.as_ref(),
            _ => None,
        });
        resolved.flat_map(|resolved| &resolved.topics)
    }
}

impl Group {
    /// Looks up what the pattern of a member, who comes with it, stands for, and those of the others
    /// if topics have come or gone.
    ///
    /// # Errors
    /// The pattern is none, or stands for too much to be written down.
    pub(super) fn look_up(
        &self,
        new: Option<&str>,
        topics: &dyn TopicView,
        version: u64,
        now: Now,
    ) -> Result<LookedUp, Refusal> {
        let mut looked_up = LookedUp::default();
        let entry = |pattern: &str| -> Result<ConsumerEntry, Refusal> {
            let topics = resolve(pattern, topics)?;
            let version = i64::try_from(version).unwrap_or(i64::MAX);
            let resolved = Resolved { topics, version, at: now.timestamp };
            if resolved.size() > GROUP_ENTRY_BYTES_MAX {
                return Err(Refusal::StateTooLarge);
            }
            Ok(ConsumerEntry::Pattern(pattern.into(), Some(resolved)))
        };
        if let Some(new) = new.filter(|new| !self.patterns.contains_key(*new)) {
            looked_up.entries.push(entry(new)?);
        }
        let due = self.looked_up.is_none_or(|last| last + LOOK_UP_INTERVAL <= now.instant);
        if self.patterns_seen != Some(version) && due {
            looked_up.all = Some(now.instant);
            for (pattern, before) in &self.patterns {
                // What cannot be looked up any more stays as it is.
                if let Ok(ConsumerEntry::Pattern(pattern, Some(resolved))) = entry(pattern)
                    && resolved.topics != before.topics
                {
                    looked_up.entries.push(ConsumerEntry::Pattern(pattern, Some(resolved)));
                }
            }
        }
        Ok(looked_up)
    }

    /// Patterns that nobody subscribes to any more.
    pub(super) fn unused_patterns(&self) -> Vec<Box<str>> {
        let used: BTreeSet<&str> =
            self.members.values().filter_map(|member| member.pattern.as_deref()).collect();
        self.patterns.keys().filter(|pattern| !used.contains(&***pattern)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_names_match() {
        for (pattern, name, matches) in [
            ("ord.*", "orders", true),
            ("ord", "orders", false),
            ("rders", "orders", false),
            ("a|orders", "orders", true),
            ("a|order", "orders", false),
            ("^orders$", "orders", true),
            ("[a-z]+-\\d+", "orders-17", true),
            ("(?i)ORDERS", "orders", true),
        ] {
            assert_eq!(compile(pattern).unwrap().is_match(name), matches, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in ["(", "a)|(b", "*", "[", "a{2000000}", r"(a)\1", "(?=a)", "x{1000}{1000}"] {
            assert_eq!(compile(pattern).err(), Some(Refusal::InvalidPattern), "{pattern}");
        }
        let long = "a".repeat(PATTERN_BYTES_MAX + 1);
        assert_eq!(compile(&long).err(), Some(Refusal::InvalidPattern));
    }
}
