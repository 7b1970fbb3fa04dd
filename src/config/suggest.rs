//! "Did you mean": the key that a mistyped one was probably meant to be.

use crate::catalog::config_keys::{broker_key, broker_keys, topic_key, topic_synonyms};

/// The known key nearest to `unknown`, if one is near.
pub(super) fn nearest_key(unknown: &str) -> Option<&'static str> {
    // The most frequent mistake: the name of the topic config in the broker's file.
    if topic_key(unknown).is_some()
        && let Some(synonym) = topic_synonyms(unknown).first()
    {
        return Some(synonym.name);
    }
    let own = format!("ringmain.{unknown}");
    if let Some(key) = broker_key(&own) {
        return Some(key.name);
    }
    let changes_max = (unknown.len() / 5).clamp(2, 5);
    let unknown = unknown.to_ascii_lowercase().replace('_', ".");
    let ranked = broker_keys().iter().map(|key| (distance(&unknown, key.name), key.name));
    ranked.filter(|(changes, _)| *changes <= changes_max).min().map(|(_, name)| name)
}

/// Letters to insert, remove, replace or swap with their neighbour to get from one word to the
/// other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let width = b.len() + 1;
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..width).collect();
    for (row, letter) in a.iter().enumerate() {
        let mut line = Vec::with_capacity(width);
        line.push(row + 1);
        for (column, other) in b.iter().enumerate() {
            let replaced = last[column] + usize::from(letter != other);
            let mut best = replaced.min(last[column + 1] + 1).min(line[column] + 1);
            if row > 0 && column > 0 && a[row - 1] == *other && b[column - 1] == *letter {
                best = best.min(before[column - 1] + 1);
            }
            line.push(best);
        }
        before = std::mem::replace(&mut last, line);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, changes) in [
            ("", "", 0),
            ("a", "", 1),
            ("abc", "abd", 1),
            ("abcd", "acbd", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), changes, "{a} {b}");
            assert_eq!(distance(b, a), changes, "{b} {a}");
        }
    }

    #[test]
    fn suggestions() {
        for (typed, meant) in [
            ("log.retention.hour", Some("log.retention.hours")),
            ("num.partition", Some("num.partitions")),
            ("auto_create_topics_enable", Some("auto.create.topics.enable")),
            ("lgo.dirs", Some("log.dirs")),
            ("retention.ms", Some("log.retention.ms")),
            ("cleanup.policy", Some("log.cleanup.policy")),
            ("shards", Some("ringmain.shards")),
            ("ringmain.shard", Some("ringmain.shards")),
            ("zookeeper.connect", None),
            ("something.else.entirely", None),
        ] {
            assert_eq!(nearest_key(typed), meant, "{typed}");
        }
    }
}
