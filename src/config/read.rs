//! From keys and values to settings, with every check that spans more than one key.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::ConfigError;
use super::file::read_file;
use super::listener::{Listener, parse_listeners};
use super::suggest::nearest_key;
use super::{GroupSettings, Settings, TransactionSettings};
use crate::catalog::StaticConfigs;
use crate::catalog::config_keys::{ConfigKey, Effect, broker_key};
use crate::ids::NodeId;
use crate::limits::{JOURNAL_BLOCK_BYTES, SHARDS_MAX, journal_batch_bytes_max};

/// A value with its place, before it is checked.
struct Given {
    text: String,
    line: Option<usize>,
}

pub(super) fn read(
    toml: Option<&str>,
    overrides: &[(String, String)],
) -> Result<Settings, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut given: BTreeMap<String, Given> = BTreeMap::new();
    if let Some(text) = toml {
        for (key, value) in read_file(text, &mut errors) {
            given.insert(key, Given { text: value.text, line: Some(value.line) });
        }
    }
    for (key, text) in overrides {
        given.insert(key.trim().to_owned(), Given { text: text.clone(), line: None });
    }

    let mut valid = BTreeMap::new();
    let mut lines = BTreeMap::new();
    for (name, Given { text, line }) in given {
        let Some(key) = broker_key(&name) else {
            errors.push(ConfigError::new(line, &name, unknown(&name)));
            continue;
        };
        match key.normalized(&text) {
            Ok(value) => {
                valid.insert(name.clone(), value);
                lines.insert(name, line);
            }
            Err(message) if message.contains(&name) => {
                errors.push(ConfigError::new(line, &name, message));
            }
            Err(message) => {
                errors.push(ConfigError::new(line, &name, format!("{name}: {message}")));
            }
        }
    }

    let mut reading = Reading { values: StaticConfigs::new(valid), lines, errors };
    let settings = reading.settings();
    let mut errors = reading.errors;
    if errors.is_empty() {
        return Ok(settings);
    }
    errors.sort_by_key(|error| error.line.unwrap_or(usize::MAX));
    Err(errors)
}

fn unknown(name: &str) -> String {
    let mut message = format!("unknown key {}", name.escape_debug());
    if let Some(meant) = nearest_key(name) {
        message.push_str(&format!("; did you mean {meant}?"));
    } else if name.starts_with("ssl.") || name.starts_with("sasl.") {
        message.push_str("; encryption and authentication are not available");
    } else if name.starts_with("zookeeper.") || name.starts_with("controller.") {
        message.push_str("; there is no ZooKeeper and no controller to configure");
    }
    message
}

struct Reading {
    values: StaticConfigs,
    lines: BTreeMap<String, Option<usize>>,
    errors: Vec<ConfigError>,
}

impl Reading {
    fn refuse(&mut self, key: &str, reason: impl AsRef<str>) {
        let line = self.lines.get(key).copied().flatten();
        let message = format!("{key}: {}", reason.as_ref());
        self.errors.push(ConfigError::new(line, key, message));
    }

    fn key(name: &str) -> &'static ConfigKey {
        let Some(key) = broker_key(name) else { unreachable!("{name} is in the table of keys") };
        key
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).or(Self::key(name).default)
    }

    fn optional_text(&self, name: &str) -> Option<String> {
        self.text(name).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn flag(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }

    /// A number that the table holds within the type asked for; out of it, it is the largest.
    fn number<T: TryFrom<i64> + Limit>(&self, name: &str) -> T {
        let value: Option<i64> = self.text(name).and_then(|text| text.parse().ok());
        let Some(value) = value else { unreachable!("{name} has a number as its default") };
        T::try_from(value.max(0)).unwrap_or(T::LARGEST)
    }

    /// A number whose negative values mean "none".
    fn optional_number<T: TryFrom<i64> + Limit>(&self, name: &str) -> Option<T> {
        let negative = self.text(name).is_some_and(|text| text.starts_with('-'));
        (!negative).then(|| self.number(name))
    }

    fn settings(&mut self) -> Settings {
        let node_id = self.node_id();
        let (listeners, advertised_listeners) = self.listeners();
        let log_dir = self.log_dir();
        let shards = Some(self.number::<u16>("ringmain.shards")).filter(|count| *count > 0);
        let cpus = self.cpus(shards);
        let max_connections_per_ip_overrides = self.overrides();
        self.check_relations();
        let warnings = self.warnings(&listeners);
        Settings {
            node_id,
            cluster_id: self.optional_text("ringmain.cluster.id"),
            rack: self.optional_text("broker.rack"),
            listeners,
            advertised_listeners,
            log_dir,
            journal_path: self.optional_text("ringmain.journal.path").map(PathBuf::from),
            shards,
            cpus,
            journal_file_bytes: self.number("ringmain.journal.file.bytes"),
            journal_files: self.number("ringmain.journal.files"),
            memory_tail_bytes: self.number("ringmain.memory.tail.bytes"),
            socket_request_max_bytes: self.number("socket.request.max.bytes"),
            socket_send_buffer_bytes: self.optional_number("socket.send.buffer.bytes"),
            socket_receive_buffer_bytes: self.optional_number("socket.receive.buffer.bytes"),
            socket_listen_backlog_size: self.number("socket.listen.backlog.size"),
            connections_max_idle_ms: self.optional_number("connections.max.idle.ms"),
            max_connections: self.number("max.connections"),
            max_connections_per_ip: self.number("max.connections.per.ip"),
            max_connections_per_ip_overrides,
            max_connection_creation_rate: self.number("max.connection.creation.rate"),
            queued_max_request_bytes: self
                .optional_number("queued.max.request.bytes")
                .filter(|bytes| *bytes > 0),
            fetch_max_bytes: self.number("fetch.max.bytes"),
            fetch_session_slots: self.number("max.incremental.fetch.session.cache.slots"),
            max_request_partition_size_limit: self.number("max.request.partition.size.limit"),
            auto_create_topics_enable: self.flag("auto.create.topics.enable"),
            log_retention_check_interval_ms: self.number("log.retention.check.interval.ms"),
            log_cleaner_enable: self.flag("log.cleaner.enable"),
            log_cleaner_backoff_ms: self.number("log.cleaner.backoff.ms"),
            log_cleaner_dedupe_buffer_size: self.number("log.cleaner.dedupe.buffer.size"),
            groups: self.groups(),
            transactions: self.transactions(),
            static_configs: Arc::new(self.values.clone()),
            warnings,
        }
    }

    fn groups(&self) -> GroupSettings {
        let list = |name: &str| {
            let parts = self.text(name).unwrap_or_default().split(',').map(str::to_owned);
            parts.filter(|part| !part.is_empty()).collect::<Vec<_>>()
        };
        let protocols = list("group.coordinator.rebalance.protocols");
        GroupSettings {
            initial_rebalance_delay_ms: self.number("group.initial.rebalance.delay.ms"),
            min_session_timeout_ms: self.number("group.min.session.timeout.ms"),
            max_session_timeout_ms: self.number("group.max.session.timeout.ms"),
            max_size: self.number("group.max.size"),
            consumer_session_timeout_ms: self.number("group.consumer.session.timeout.ms"),
            consumer_heartbeat_interval_ms: self.number("group.consumer.heartbeat.interval.ms"),
            consumer_max_size: self.number("group.consumer.max.size"),
            consumer_assignors: list("group.consumer.assignors"),
            consumer_protocol_enable: protocols.iter().any(|protocol| protocol == "consumer"),
            offset_metadata_max_bytes: self.number("offset.metadata.max.bytes"),
            offsets_commit_timeout_ms: self.number("offsets.commit.timeout.ms"),
            offsets_retention_ms: 60_000 * self.number::<u64>("offsets.retention.minutes"),
            offsets_retention_check_interval_ms: self.number("offsets.retention.check.interval.ms"),
            offsets_topic_partitions: self.number("offsets.topic.num.partitions"),
            offsets_topic_replication_factor: self.number("offsets.topic.replication.factor"),
            offsets_topic_segment_bytes: self.number("offsets.topic.segment.bytes"),
        }
    }

    fn transactions(&self) -> TransactionSettings {
        TransactionSettings {
            producer_id_expiration_ms: self.number("producer.id.expiration.ms"),
            max_timeout_ms: self.number("transaction.max.timeout.ms"),
            transactional_id_expiration_ms: self.number("transactional.id.expiration.ms"),
            abort_interval_ms: self
                .number("transaction.abort.timed.out.transaction.cleanup.interval.ms"),
            remove_expired_interval_ms: self
                .number("transaction.remove.expired.transaction.cleanup.interval.ms"),
            partition_verification_enable: self.flag("transaction.partition.verification.enable"),
            topic_partitions: self.number("transaction.state.log.num.partitions"),
            topic_replication_factor: self.number("transaction.state.log.replication.factor"),
            topic_min_isr: self.number("transaction.state.log.min.isr"),
            topic_segment_bytes: self.number("transaction.state.log.segment.bytes"),
        }
    }

    fn node_id(&mut self) -> NodeId {
        let old: Option<i32> = self.optional_number("broker.id");
        let new: i32 = self.number("node.id");
        match (old, self.values.get("node.id")) {
            (Some(old), Some(_)) if old != new => {
                self.refuse("broker.id", format!("is {old}, but node.id is {new}"));
                NodeId(new)
            }
            (Some(old), _) => NodeId(old),
            (None, _) => NodeId(new),
        }
    }

    fn log_dir(&mut self) -> PathBuf {
        let key = if self.text("log.dirs").is_some() { "log.dirs" } else { "log.dir" };
        let text = self.text(key).unwrap_or_default().to_owned();
        let paths: Vec<&str> =
            text.split(',').map(str::trim).filter(|path| !path.is_empty()).collect();
        match paths.as_slice() {
            [path] => PathBuf::from(path),
            [] => {
                self.refuse(key, "a data directory is needed");
                PathBuf::new()
            }
            [_, ..] => {
                self.refuse(
                    key,
                    format!("exactly one data directory is possible, not {}", paths.len()),
                );
                PathBuf::new()
            }
        }
    }

    fn listeners(&mut self) -> (Vec<Listener>, Vec<Listener>) {
        let listeners = self.listener_list("listeners");
        self.check_protocols(&listeners);
        if self.text("advertised.listeners").is_none() {
            if let Some(wildcard) = listeners.iter().find(|listener| listener.is_wildcard()) {
                self.refuse(
                    "listeners",
                    format!(
                        "clients cannot connect to {wildcard}: say in advertised.listeners where \
                         they can"
                    ),
                );
            }
            return (listeners.clone(), listeners);
        }
        let advertised = self.listener_list("advertised.listeners");
        for listener in &advertised {
            if listener.is_wildcard() {
                self.refuse(
                    "advertised.listeners",
                    format!("clients cannot connect to {listener}: give a routable address"),
                );
            }
            if !listeners.is_empty() && !listeners.iter().any(|known| known.name == listener.name) {
                self.refuse(
                    "advertised.listeners",
                    format!("{} is not one of the listeners", listener.name),
                );
            }
        }
        (listeners, advertised)
    }

    fn listener_list(&mut self, key: &str) -> Vec<Listener> {
        match parse_listeners(self.text(key).unwrap_or_default()) {
            Ok(listeners) => listeners,
            Err(reason) => {
                self.refuse(key, reason);
                Vec::new()
            }
        }
    }

    fn check_protocols(&mut self, listeners: &[Listener]) {
        const KEY: &str = "listener.security.protocol.map";
        let text = self.text(KEY).unwrap_or_default().to_owned();
        let mut protocols = BTreeMap::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            match pair.split_once(':') {
                Some((name, protocol)) => {
                    protocols.insert(name.trim().to_ascii_uppercase(), protocol.trim());
                }
                None => self.refuse(KEY, format!("'{pair}' is not of the form NAME:PROTOCOL")),
            }
        }
        for listener in listeners {
            match protocols.get(&listener.name) {
                Some(&"PLAINTEXT") => {}
                Some(protocol) => self.refuse(
                    "listeners",
                    format!("{listener} asks for {protocol}; only PLAINTEXT is available"),
                ),
                None => self.refuse(
                    "listeners",
                    format!("no security protocol is defined for {}; see {KEY}", listener.name),
                ),
            }
        }
    }

    fn cpus(&mut self, shards: Option<u16>) -> Vec<usize> {
        const KEY: &str = "ringmain.cpus";
        let text = self.text(KEY).unwrap_or_default().to_owned();
        let mut cpus = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (first.trim().parse::<usize>(), last.trim().parse::<usize>()) {
                (Ok(first), Ok(last)) if first <= last && last < usize::from(u16::MAX) => {
                    cpus.extend(first..=last);
                }
                _ => self.refuse(KEY, format!("'{part}' is neither a core nor a range of cores")),
            }
        }
        let mut sorted = cpus.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() < cpus.len() {
            self.refuse(KEY, "a core is there twice");
        }
        if cpus.len() > usize::from(SHARDS_MAX) {
            self.refuse(KEY, format!("at most {SHARDS_MAX} cores are possible"));
        }
        if let Some(shards) = shards
            && !cpus.is_empty()
            && cpus.len() != usize::from(shards)
        {
            self.refuse(KEY, format!("{} cores do not fit {shards} shards", cpus.len()));
        }
        cpus
    }

    fn overrides(&mut self) -> BTreeMap<String, u32> {
        const KEY: &str = "max.connections.per.ip.overrides";
        let text = self.text(KEY).unwrap_or_default().to_owned();
        let mut overrides = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.rsplit_once(':').map(|(host, limit)| (host.trim(), limit.trim().parse())) {
                Some((host, Ok(limit))) if !host.is_empty() => {
                    overrides.insert(host.to_owned(), limit);
                }
                _ => self.refuse(KEY, format!("'{part}' is not of the form host:limit")),
            }
        }
        overrides
    }

    /// Relations between keys that no single one of them breaks.
    fn check_relations(&mut self) {
        for (low, high) in [
            ("group.min.session.timeout.ms", "group.max.session.timeout.ms"),
            ("group.consumer.min.session.timeout.ms", "group.consumer.session.timeout.ms"),
            ("group.consumer.session.timeout.ms", "group.consumer.max.session.timeout.ms"),
            ("group.consumer.min.heartbeat.interval.ms", "group.consumer.heartbeat.interval.ms"),
            ("group.consumer.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"),
            ("group.consumer.heartbeat.interval.ms", "group.consumer.session.timeout.ms"),
            ("log.cleaner.min.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"),
            ("message.max.bytes", "socket.request.max.bytes"),
        ] {
            let (least, most) = (self.number::<u64>(low), self.number::<u64>(high));
            if least > most {
                let blamed = if self.values.get(high).is_some() { high } else { low };
                self.refuse(blamed, format!("{low} ({least}) is above {high} ({most})"));
            }
        }
        if let Some(id) = self.optional_text("ringmain.cluster.id")
            && !crate::catalog::is_cluster_id(&id)
        {
            self.refuse("ringmain.cluster.id", "must be 22 characters of URL-safe base64");
        }
        let queued: u64 = self.number("queued.max.request.bytes");
        let request: u64 = self.number("socket.request.max.bytes");
        if (1..request).contains(&queued) {
            self.refuse(
                "queued.max.request.bytes",
                format!("must be at least socket.request.max.bytes ({request})"),
            );
        }
        let block = JOURNAL_BLOCK_BYTES as u64;
        if !self.number::<u64>("ringmain.journal.file.bytes").is_multiple_of(block) {
            self.refuse("ringmain.journal.file.bytes", format!("must be a multiple of {block}"));
        }
        let file_bytes = self.number::<u64>("ringmain.journal.file.bytes");
        let largest = journal_batch_bytes_max(file_bytes);
        if self.number::<u64>("message.max.bytes") > largest as u64 {
            let most = journal_batch_bytes_max(u64::MAX);
            self.refuse(
                "message.max.bytes",
                format!(
                    "must be no more than {largest}, the largest batch that a journal file of \
                     {file_bytes} bytes takes (ringmain.journal.file.bytes; no more than {most} \
                     whatever its value)"
                ),
            );
        }
    }

    fn warnings(&self, listeners: &[Listener]) -> Vec<String> {
        let mut warnings: Vec<String> = listeners
            .iter()
            .filter(|listener| !listener.is_loopback())
            .map(|listener| {
                format!(
                    "{listener} is open to other machines without encryption or authentication: \
                     whoever reaches it may read, write and delete everything"
                )
            })
            .collect();
        if self.number::<u64>("log.flush.interval.messages") > 1 {
            warnings.push(
                "log.flush.interval.messages is above 1: a power failure may take back records \
                 that were acknowledged"
                    .to_owned(),
            );
        }
        for (name, value) in self.values.iter() {
            let key = Self::key(name);
            if let Effect::AcceptedIgnored(why) = key.effect
                && key.default != Some(value)
            {
                warnings.push(format!("{name} has no effect: {why}"));
            }
        }
        warnings
    }
}

/// The largest value of a type, for numbers that are only bounded by Kafka's wider one.
trait Limit {
    const LARGEST: Self;
}

macro_rules! limit {
    ($($number:ty),*) => {
        $(impl Limit for $number {
            const LARGEST: $number = <$number>::MAX;
        })*
    };
}

limit!(u16, u32, u64, usize, i16, i32);
