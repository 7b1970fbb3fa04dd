//! Tests of whole configurations.

use super::*;
use crate::catalog::config_keys::broker_keys;

fn set(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn errors(toml: &str) -> Vec<String> {
    let errors = Settings::parse(Some(toml), &[]).unwrap_err();
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_given_is_a_broker_on_loopback() {
    let settings = Settings::parse(None, &[]).unwrap();
    assert_eq!(settings.node_id, NodeId(1));
    assert_eq!(settings.listeners.len(), 1);
    assert_eq!(settings.listeners[0].to_string(), "PLAINTEXT://127.0.0.1:9092");
    assert_eq!(settings.advertised_listeners, settings.listeners);
    assert_eq!(settings.log_dir, PathBuf::from("./ringmain-data"));
    assert_eq!((settings.shards, settings.cpus.len()), (None, 0));
    assert_eq!(settings.socket_request_max_bytes, crate::limits::REQUEST_BYTES_MAX);
    assert_eq!(settings.journal_file_bytes, crate::limits::JOURNAL_FILE_BYTES);
    assert_eq!(settings.connections_max_idle_ms, Some(600_000));
    assert_eq!(settings.queued_max_request_bytes, None);
    assert_eq!(settings.max_connections, i32::MAX as u32);
    assert!(settings.auto_create_topics_enable && settings.log_cleaner_enable);
    assert!(settings.groups.consumer_protocol_enable);
    assert_eq!(settings.groups.consumer_assignors, ["uniform", "range"]);
    assert_eq!(settings.groups.offsets_retention_ms, 7 * 24 * 3_600_000);
    assert_eq!(settings.transactions.topic_partitions, 50);
    assert_eq!(settings.warnings, Vec::<String>::new());
    assert_eq!(settings.static_configs.iter().count(), 0);
    assert_eq!(Settings::parse(Some(""), &[]).unwrap(), settings);
}

#[test]
fn every_notation_of_a_key_is_the_same() {
    let quoted = "\"log.retention.ms\" = 1\n\"num.partitions\" = \"3\"";
    let dotted = "log.retention.ms = 1\nnum.partitions = 0x3";
    let table = "[log.retention]\nms = 1\n[num]\npartitions = 3";
    let inline = "log = { retention = { ms = 1 } }\nnum.\"partitions\" = 3";
    let expected = Settings::parse(Some(quoted), &[]).unwrap();
    assert_eq!(expected.static_configs.get("log.retention.ms"), Some("1"));
    assert_eq!(expected.static_configs.get("num.partitions"), Some("3"));
    for toml in [dotted, table, inline] {
        assert_eq!(Settings::parse(Some(toml), &[]).unwrap(), expected, "{toml}");
    }
    let overridden =
        set(&[("num.partitions", "9"), ("num.partitions", "3"), ("log.retention.ms", "1")]);
    assert_eq!(Settings::parse(Some("num.partitions = 5"), &overridden).unwrap(), expected);
    let list = "\"log.cleanup.policy\" = [\"compact\", \"delete\"]\n\
                log.cleaner.min.cleanable.ratio = 0.25";
    let settings = Settings::parse(Some(list), &[]).unwrap();
    assert_eq!(settings.static_configs.get("log.cleanup.policy"), Some("compact,delete"));
    assert_eq!(settings.static_configs.get("log.cleaner.min.cleanable.ratio"), Some("0.25"));
}

#[test]
fn every_error_is_reported_with_its_line() {
    let toml = "\n\"num.partition\" = 3\n\"retention.ms\" = 5\n\"num.partitions\" = true\n\
                \"log.segment.bytes\" = 14\n[log]\nflush = 2020-01-01\nnonsense.here = 1\n";
    assert_eq!(
        errors(toml),
        [
            "line 2: unknown key num.partition; did you mean num.partitions?",
            "line 3: unknown key retention.ms; did you mean log.retention.ms?",
            "line 4: Invalid value true for configuration num.partitions: Not a number of type INT",
            "line 5: Invalid value 14 for configuration log.segment.bytes: Value must be at least \
             1048576",
            "line 7: log.flush must be a text, a number, true or false, or a list of these",
            "line 8: unknown key log.nonsense.here",
        ]
    );
    let overrides = set(&[("num.partitons", "1")]);
    let from_command_line = Settings::parse(None, &overrides).unwrap_err();
    assert_eq!(from_command_line[0].line, None);
    assert_eq!(from_command_line[0].key.as_deref(), Some("num.partitons"));
    for (toml, part) in [
        ("a = ", "line 1: the file is not TOML"),
        ("\"num.partitions\" = 1\nnum.partitions = 2", "num.partitions is there twice"),
        ("max.connections = 1\nmax.connections.per.ip = 2", "has to be quoted"),
        ("\"ssl.key.password\" = \"x\"", "encryption and authentication are not available"),
        ("\"zookeeper.connect\" = \"x\"", "there is no ZooKeeper"),
        ("\"authorizer.class.name\" = \"x\"", "authorizer.class.name: Classes cannot be loaded"),
    ] {
        let errors = errors(toml);
        assert!(errors.len() == 1 && errors[0].contains(part), "{toml}: {errors:?}");
    }
}

#[test]
fn contradictions_are_errors() {
    for (pairs, part) in [
        (&[("log.dirs", "/a,/b")][..], "log.dirs: exactly one data directory is possible, not 2"),
        (&[("log.dirs", " ")], "log.dirs: a data directory is needed"),
        (&[("node.id", "1"), ("broker.id", "2")], "broker.id: is 2, but node.id is 1"),
        (&[("listeners", "PLAINTEXT://0.0.0.0:9092")], "clients cannot connect to"),
        (&[("advertised.listeners", "PLAINTEXT://0.0.0.0:1")], "give a routable address"),
        (&[("advertised.listeners", "OTHER://h:1")], "OTHER is not one of the listeners"),
        (&[("listeners", "SSL://localhost:9092")], "asks for SSL; only PLAINTEXT is available"),
        (&[("listeners", "INSIDE://localhost:9092")], "no security protocol is defined"),
        (&[("listeners", "localhost")], "not of the form NAME://host:port"),
        (&[("listener.security.protocol.map", "PLAINTEXT")], "not of the form NAME:PROTOCOL"),
        (&[("ringmain.cpus", "1-x")], "neither a core nor a range"),
        (&[("ringmain.cpus", "3-1")], "neither a core nor a range"),
        (&[("ringmain.cpus", "0-3,2")], "a core is there twice"),
        (&[("ringmain.cpus", "0-3"), ("ringmain.shards", "3")], "4 cores do not fit 3 shards"),
        (&[("ringmain.journal.file.bytes", "33554433")], "must be a multiple of 4096"),
        (&[("ringmain.cluster.id", "x")], "must be 22 characters"),
        (&[("max.connections.per.ip.overrides", "localhost")], "not of the form host:limit"),
        (&[("message.max.bytes", "200000000")], "is above socket.request.max.bytes"),
        (&[("message.max.bytes", "67104641")], "must be no more than 67104640"),
        (&[("group.min.session.timeout.ms", "1800001")], "is above group.max.session.timeout.ms"),
        (
            &[
                ("log.cleaner.min.compaction.lag.ms", "9"),
                ("log.cleaner.max.compaction.lag.ms", "8"),
            ],
            "log.cleaner.max.compaction.lag.ms: ",
        ),
        (&[("security.inter.broker.protocol", "SSL")], "Only PLAINTEXT listeners are available."),
    ] {
        let errors = Settings::parse(None, &set(pairs)).unwrap_err();
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(texts.iter().any(|text| text.contains(part)), "{pairs:?}: {texts:?}");
    }
}

#[test]
fn settings_reach_their_fields() {
    let pairs = set(&[
        ("broker.id", "7"),
        ("log.dir", "/data"),
        ("broker.rack", "r1"),
        ("listeners", "OUT://:9092,IN://10.0.0.1:9093"),
        ("advertised.listeners", "OUT://kafka.example:9092"),
        ("listener.security.protocol.map", "OUT:PLAINTEXT, in:PLAINTEXT"),
        ("ringmain.cpus", "2-4,8"),
        ("ringmain.shards", "4"),
        ("connections.max.idle.ms", "-1"),
        ("socket.send.buffer.bytes", "-1"),
        ("max.connections.per.ip.overrides", "10.0.0.2:5, ::1:6"),
        ("offsets.retention.minutes", "2147483647"),
        ("group.coordinator.rebalance.protocols", "classic"),
        ("ringmain.cluster.id", "AAAAAAAAAAAAAAAAAAAAAQ"),
    ]);
    let settings = Settings::parse(None, &pairs).unwrap();
    assert_eq!(settings.node_id, NodeId(7));
    assert_eq!(settings.log_dir, PathBuf::from("/data"));
    assert_eq!(settings.rack.as_deref(), Some("r1"));
    assert_eq!(settings.listeners.len(), 2);
    assert_eq!(settings.advertised_listeners[0].host, "kafka.example");
    assert_eq!((settings.shards, settings.cpus), (Some(4), vec![2, 3, 4, 8]));
    assert_eq!(settings.connections_max_idle_ms, None);
    assert_eq!(settings.socket_send_buffer_bytes, None);
    assert_eq!(settings.max_connections_per_ip_overrides["10.0.0.2"], 5);
    assert_eq!(settings.max_connections_per_ip_overrides["::1"], 6);
    assert_eq!(settings.groups.offsets_retention_ms, 2_147_483_647 * 60_000);
    assert!(!settings.groups.consumer_protocol_enable);
    assert_eq!(settings.cluster_id.as_deref(), Some("AAAAAAAAAAAAAAAAAAAAAQ"));
}

#[test]
fn what_deserves_a_warning_gets_one() {
    let pairs = set(&[
        ("listeners", "PLAINTEXT://192.168.1.5:9092"),
        ("log.flush.interval.messages", "1000"),
        ("num.io.threads", "16"),
        ("num.network.threads", "3"),
    ]);
    let warnings = Settings::parse(None, &pairs).unwrap().warnings;
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings[0].starts_with("PLAINTEXT://192.168.1.5:9092 is open to other machines"));
    assert!(warnings[1].contains("a power failure may take back records"));
    assert_eq!(
        warnings[2],
        "num.io.threads has no effect: the number of shards is set by ringmain.shards"
    );
}

#[test]
fn what_is_rendered_makes_the_same_settings() {
    let pairs = set(&[
        ("log.dirs", "/data/with \"quotes\""),
        ("num.io.threads", "16"),
        ("log.cleaner.min.cleanable.ratio", "0.25"),
    ]);
    let settings = Settings::parse(None, &pairs).unwrap();
    let text = settings.render();
    assert!(text.starts_with("# warning: num.io.threads has no effect"));
    for key in broker_keys() {
        assert!(text.contains(&format!("\"{}\"", key.name)), "{}", key.name);
    }
    let mut again = Settings::parse(Some(&text), &[]).unwrap();
    assert!(again.static_configs.iter().count() > settings.static_configs.iter().count());
    again.static_configs = settings.static_configs.clone();
    assert_eq!(again, settings);
}

#[test]
fn the_coordinators_topics_can_be_created() {
    use crate::catalog::Catalog;
    let settings = Settings::parse(None, &set(&[("offsets.topic.segment.bytes", "1")])).unwrap();
    let names = ["__consumer_offsets", "__transaction_state"];
    let topics = names.map(|name| settings.internal_topic(name).unwrap());
    assert_eq!(settings.internal_topic("t"), None);
    let mut catalog = Catalog::new(settings.static_configs.clone());
    let mut records = catalog.plan_create_cluster(NodeId(1), None, [1; 16], &[]).unwrap();
    records.iter().for_each(|record| catalog.apply(record).unwrap());
    records = catalog.plan_restart(NodeId(1), Vec::new(), None).unwrap();
    records.iter().for_each(|record| catalog.apply(record).unwrap());
    let plan = catalog.plan_create_topics(&topics, &[[1; 16], [2; 16]], false);
    plan.records.iter().for_each(|record| catalog.apply(record).unwrap());
    for name in names {
        let topic = catalog.image().topic(name).unwrap();
        assert!(topic.internal && topic.partitions.len() == 50, "{name}");
        assert_eq!(topic.configs["cleanup.policy"], "compact");
    }
}
