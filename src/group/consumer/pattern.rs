//! Subscriptions by pattern: regular expressions whose matching takes time in proportion to the
//! text, as with Kafka's RE2.

use std::collections::BTreeSet;
use std::time::Duration;

use regex::bytes::{Regex, RegexBuilder};

use crate::group::reply::Refusal;
use crate::group::topics::TopicView;
use crate::limits::{
    GROUP_ENTRY_BYTES_MAX, GROUP_PATTERNS_MAX, PATTERN_BYTES_MAX, PATTERN_PROGRAM_BYTES_MAX,
};
use crate::time::{Instant, Now};

use super::Group;
use super::entry::Resolved;
use super::heartbeat::Known;

/// New topics are looked for at most this often, as in Kafka.
pub(super) const LOOK_UP_INTERVAL: Duration = Duration::from_secs(10);

/// Compiles a pattern so that it matches whole names only. Names of topics are ASCII: a pattern is
/// one of bytes, which makes for small programs.
pub(super) fn compile(pattern: &str) -> Result<Regex, Refusal> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(Refusal::InvalidPattern);
    }
    let build = |pattern: &str| {
        let mut builder = RegexBuilder::new(pattern);
        builder.unicode(false).size_limit(PATTERN_PROGRAM_BYTES_MAX);
        builder.build().map_err(|_| Refusal::InvalidPattern)
    };
    // By itself first: `a)|(b` is none, though it would be in parentheses.
    build(pattern)?;
    build(&format!(r"\A(?:{pattern})\z"))
}

fn resolve(pattern: &str, topics: &dyn TopicView) -> Result<BTreeSet<Box<str>>, Refusal> {
    let compiled = compile(pattern)?;
    let mut matched = BTreeSet::new();
    topics.each_name(&mut |name| {
        if compiled.is_match(name.as_bytes()) {
            matched.insert(name.into());
        }
    });
    Ok(matched)
}

/// When a pattern was last looked up.
#[derive(Clone, Copy, Debug)]
pub(super) struct LookedUp {
    /// Among which version of the topics.
    version: u64,
    at: Instant,
    failed: bool,
}

/// What comes of looking a pattern up.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// To be recorded: the pattern is new, or stands for other topics than before.
    pub resolved: Option<Resolved>,
    /// It was looked up.
    pub looked_up: Option<LookedUp>,
}

impl Group {
    /// Looks up what the pattern of a member, who comes with it, stands for, unless that is known.
    /// A heartbeat looks up its own member's pattern only, so that one turn does not pay for all.
    ///
    /// # Errors
    /// The pattern is new, and is none, or one too many, or stands for too much to be written down.
    pub(super) fn look_up(
        &self,
        member: &str,
        pattern: &str,
        known: Known<'_>,
        now: Now,
    ) -> Result<Found, Refusal> {
        let before = self.patterns.get(pattern);
        let last = self.looked_up.get(pattern);
        let is_due = |last: &LookedUp| {
            last.version != known.version && last.at + LOOK_UP_INTERVAL <= now.instant
        };
        if before.is_some() && !last.is_none_or(is_due) {
            return Ok(Found::default());
        }
        let others = self.patterns_of_all_but(member);
        if before.is_none() && others.len() >= GROUP_PATTERNS_MAX && !others.contains(pattern) {
            return Err(Refusal::TooManyPatterns);
        }
        let resolved = resolve(pattern, known.topics).and_then(|topics| {
            let version = i64::try_from(known.version).unwrap_or(i64::MAX);
            let resolved = Resolved { topics, version, at: now.timestamp };
            match resolved.size() > GROUP_ENTRY_BYTES_MAX {
                true => Err(Refusal::StateTooLarge),
                false => Ok(resolved),
            }
        });
        let (resolved, failed) = match (resolved, before) {
            (Err(refusal), None) => return Err(refusal),
            // What cannot be looked up any more stays as it is.
            (Err(refusal), Some(_)) => {
                if last.is_none_or(|last| !last.failed) {
                    let group = &*self.id;
                    tracing::warn!(
                        group,
                        pattern,
                        ?refusal,
                        "the pattern's topics stay as they are"
                    );
                }
                (None, true)
            }
            (Ok(resolved), before) => {
                let differs = before.is_none_or(|before| before.topics != resolved.topics);
                (Some(resolved).filter(|_| differs), false)
            }
        };
        let looked_up = LookedUp { version: known.version, at: now.instant, failed };
        Ok(Found { resolved, looked_up: Some(looked_up) })
    }

    fn patterns_of_all_but(&self, member: &str) -> BTreeSet<&str> {
        let others = self.members.iter().filter(|(id, _)| ***id != *member);
        others.filter_map(|(_, other)| other.pattern.as_deref()).collect()
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
            assert_eq!(
                compile(pattern).unwrap().is_match(name.as_bytes()),
                matches,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in
            ["(", "a)|(b", "*", "[", "a{2000000}", r"(a)\1", "(?=a)", "x{1000}{1000}", "x{1000}"]
        {
            assert_eq!(compile(pattern).err(), Some(Refusal::InvalidPattern), "{pattern}");
        }
        let long = "a".repeat(PATTERN_BYTES_MAX + 1);
        assert_eq!(compile(&long).err(), Some(Refusal::InvalidPattern));
    }

    /// The size of a program bounds what one look-up costs. These keep all of their program busy to
    /// the end of a name that does not match: at the limit a thousand names of 249 bytes took some
    /// 120 ms on one core.
    #[test]
    fn the_costliest_patterns_are_small() {
        for tail in [".*!", "[ -~]*!", "([ -~]?)*!", "(.|.|.)*!"] {
            let pattern = |count: usize| format!("([ -~]?){{{count}}}{tail}");
            let fits = |count: &usize| compile(&pattern(*count)).is_ok();
            let largest = (1..2000).take_while(fits).last().unwrap();
            assert!((10..100).contains(&largest), "{tail}: {largest} repetitions fit");
        }
    }
}
