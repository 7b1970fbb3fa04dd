//! Which broker keys stand behind a topic key, as Kafka's ServerTopicConfigSynonyms has them.

/// A broker key that gives a topic key its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// The broker key.
    pub name: &'static str,
    /// Multiplies its value into the unit of the topic key: hours and minutes into milliseconds.
    pub factor: i64,
}

const fn same(name: &'static str) -> Synonym {
    Synonym { name, factor: 1 }
}

const fn minutes(name: &'static str) -> Synonym {
    Synonym { name, factor: 60_000 }
}

const fn hours(name: &'static str) -> Synonym {
    Synonym { name, factor: 3_600_000 }
}

type Row = (&'static str, &'static [Synonym]);

static SYNONYMS: &[Row] = &[
    ("cleanup.policy", &[same("log.cleanup.policy")]),
    ("compression.gzip.level", &[same("compression.gzip.level")]),
    ("compression.lz4.level", &[same("compression.lz4.level")]),
    ("compression.type", &[same("compression.type")]),
    ("compression.zstd.level", &[same("compression.zstd.level")]),
    ("delete.retention.ms", &[same("log.cleaner.delete.retention.ms")]),
    ("file.delete.delay.ms", &[same("log.segment.delete.delay.ms")]),
    ("flush.messages", &[same("log.flush.interval.messages")]),
    ("flush.ms", &[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")]),
    ("index.interval.bytes", &[same("log.index.interval.bytes")]),
    ("local.retention.bytes", &[same("log.local.retention.bytes")]),
    ("local.retention.ms", &[same("log.local.retention.ms")]),
    ("max.compaction.lag.ms", &[same("log.cleaner.max.compaction.lag.ms")]),
    ("max.message.bytes", &[same("message.max.bytes")]),
    ("message.timestamp.after.max.ms", &[same("log.message.timestamp.after.max.ms")]),
    ("message.timestamp.before.max.ms", &[same("log.message.timestamp.before.max.ms")]),
    ("message.timestamp.type", &[same("log.message.timestamp.type")]),
    ("min.cleanable.dirty.ratio", &[same("log.cleaner.min.cleanable.ratio")]),
    ("min.compaction.lag.ms", &[same("log.cleaner.min.compaction.lag.ms")]),
    ("min.insync.replicas", &[same("min.insync.replicas")]),
    ("preallocate", &[same("log.preallocate")]),
    ("retention.bytes", &[same("log.retention.bytes")]),
    (
        "retention.ms",
        &[same("log.retention.ms"), minutes("log.retention.minutes"), hours("log.retention.hours")],
    ),
    ("segment.bytes", &[same("log.segment.bytes")]),
    ("segment.index.bytes", &[same("log.index.size.max.bytes")]),
    ("segment.jitter.ms", &[same("log.roll.jitter.ms"), hours("log.roll.jitter.hours")]),
    ("segment.ms", &[same("log.roll.ms"), hours("log.roll.hours")]),
    ("unclean.leader.election.enable", &[same("unclean.leader.election.enable")]),
];

/// The broker keys behind a topic key: the first one that has a value gives it. Empty for the few
/// topic keys that brokers do not have.
#[must_use]
pub fn topic_synonyms(topic_key: &str) -> &'static [Synonym] {
    match SYNONYMS.binary_search_by(|(name, _)| (*name).cmp(topic_key)) {
        Ok(at) => SYNONYMS.get(at).map_or(&[], |(_, synonyms)| *synonyms),
        Err(_) => &[],
    }
}

/// The broker keys that set the same thing as `name`, in the order of their precedence; `None` if
/// it stands alone. Kafka does not count the scheduler's interval as a synonym of its own.
#[must_use]
pub fn broker_synonyms(name: &str) -> Option<&'static [Synonym]> {
    if name == "log.flush.scheduler.interval.ms" {
        return None;
    }
    let lists = SYNONYMS.iter().map(|(_, synonyms)| *synonyms);
    lists
        .filter(|synonyms| synonyms.len() > 1)
        .find(|synonyms| synonyms.iter().any(|synonym| synonym.name == name))
}
