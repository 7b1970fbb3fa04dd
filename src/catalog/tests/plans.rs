//! One test for each way to be granted and each reason to be refused.

use std::sync::Arc;

use super::super::*;
use super::{apply_all, create, join, named, outcome, random, started};
use crate::ids::{LeaderEpoch, NodeId, ProducerId, TopicId};
use crate::limits::{
    BROKER_PARTITIONS_MAX, REQUEST_PARTITIONS_MAX, REQUEST_TOPICS_MAX, TOPIC_PARTITIONS_MAX,
};

fn refusal(catalog: &Catalog, topic: TopicCreation) -> Refusal {
    outcome(catalog.plan_create_topics(&[topic], &[random(1)], false)).unwrap_err()
}

fn with_config(key: &str, value: Option<&str>) -> TopicCreation {
    let configs = vec![(key.to_owned(), value.map(str::to_owned))];
    TopicCreation { configs, ..TopicCreation::with_defaults("t") }
}

fn with_replicas(assignments: &[(i32, &[i32])]) -> TopicCreation {
    let assignments = assignments
        .iter()
        .map(|(partition, replicas)| ReplicaAssignment {
            partition: *partition,
            replicas: replicas.iter().map(|id| NodeId(*id)).collect(),
        })
        .collect();
    TopicCreation { assignments, ..TopicCreation::with_defaults("t") }
}

#[test]
fn a_topic_is_created_with_the_brokers_defaults() {
    let mut catalog = started(&[("num.partitions", "3")]);
    let plan =
        catalog.plan_create_topics(&[TopicCreation::with_defaults("t")], &[random(1)], false);
    assert!(catalog.image().topic("t").is_none(), "a plan changes nothing");
    apply_all(&mut catalog, &plan.records);
    let created = outcome(plan).unwrap();
    assert_eq!((created.partition_count, created.replication_factor), (3, 1));
    assert_eq!(created.configs.len(), config_keys::topic_keys().len());
    let topic = catalog.image().topic("t").unwrap();
    assert_eq!(topic.id, created.id);
    assert_eq!(topic.partitions.len(), 3);
    assert!(!topic.internal);
    for partition in &topic.partitions {
        assert_eq!(partition.leader, Some(NodeId(1)));
        assert_eq!((&partition.replicas, &partition.isr), (&vec![NodeId(1)], &vec![NodeId(1)]));
        assert_eq!(partition.leader_epoch, LeaderEpoch(0));
    }
    assert!(Arc::ptr_eq(topic, catalog.image().topic_by_id(created.id).unwrap()));
    assert_eq!(catalog.image().topics.replica_count(NodeId(1)), 3);
}

#[test]
fn creation_is_refused_for_each_reason() {
    let mut catalog = started(&[]);
    create(&mut catalog, named("taken", 1)).unwrap();
    create(&mut catalog, named("a.b", 1)).unwrap();
    let cases: Vec<(TopicCreation, Refusal)> = vec![
        (named("taken", 1), Refusal::TopicExists("Topic 'taken' already exists.".into())),
        (
            named("a_b", 1),
            Refusal::InvalidTopic("Topic 'a_b' collides with existing topic: a.b".into()),
        ),
        (
            named("..", 1),
            Refusal::InvalidTopic("Topic name is invalid: '..' is not allowed".into()),
        ),
        (
            named("__cluster_metadata", 1),
            Refusal::InvalidRequest(
                "Creation of internal topic __cluster_metadata is prohibited.".into(),
            ),
        ),
        (
            named("t", 0),
            Refusal::InvalidPartitions(
                "Number of partitions was set to an invalid non-positive value.".into(),
            ),
        ),
        (
            named("t", -2),
            Refusal::InvalidPartitions(
                "Number of partitions was set to an invalid non-positive value.".into(),
            ),
        ),
        (
            TopicCreation { replication_factor: 0, ..named("t", 1) },
            Refusal::InvalidReplicationFactor(
                "Replication factor must be larger than 0, or -1 to use the default value.".into(),
            ),
        ),
        (
            TopicCreation { replication_factor: 2, ..named("t", 1) },
            Refusal::InvalidReplicationFactor(
                "Unable to replicate the partition 2 time(s): The target replication factor of 2 \
                 cannot be reached because only 1 broker(s) are registered."
                    .into(),
            ),
        ),
        (
            with_config("nope", Some("1")),
            Refusal::InvalidConfig("Unknown topic config name: nope".into()),
        ),
        (
            with_config("retention.ms", None),
            Refusal::InvalidConfig(
                "Null value not supported for topic configs: retention.ms".into(),
            ),
        ),
        (
            TopicCreation { partition_count: 1, ..with_replicas(&[(0, &[1])]) },
            Refusal::InvalidRequest(
                "A manual partition assignment was specified, but numPartitions was not set to -1."
                    .into(),
            ),
        ),
        (
            TopicCreation { replication_factor: 1, ..with_replicas(&[(0, &[1])]) },
            Refusal::InvalidRequest(
                "A manual partition assignment was specified, but replication factor was not set \
                 to -1."
                    .into(),
            ),
        ),
    ];
    for (topic, expected) in cases {
        assert_eq!(refusal(&catalog, topic), expected);
    }
    let limit = TOPIC_PARTITIONS_MAX;
    assert!(matches!(refusal(&catalog, named("t", limit + 1)), Refusal::PolicyViolation(_)));
    assert!(matches!(refusal(&catalog, named("t", i32::MAX)), Refusal::PolicyViolation(_)));
}

#[test]
fn replicas_chosen_by_the_client() {
    let mut catalog = started(&[]);
    join(&mut catalog, &[2, 3]);
    for (assignments, part) in [
        (&[(0, &[][..])][..], "an empty replica list."),
        (&[(0, &[7][..])], "broker 7, but no such broker is registered."),
        (&[(0, &[1, 1][..])], "the broker 1 more than once."),
        (&[(0, &[1][..]), (1, &[1, 2])], "1 replica(s)"),
        (&[(0, &[1][..]), (0, &[2])], "multiple manual partition assignments for partition 0"),
        (&[(0, &[1][..]), (2, &[2])], "consecutive 0-based"),
        (&[(1, &[1][..])], "consecutive 0-based"),
        (&[(-1, &[1][..])], "consecutive 0-based"),
    ] {
        let refusal = refusal(&catalog, with_replicas(assignments));
        let Refusal::InvalidReplicaAssignment(text) = refusal else { panic!("{refusal:?}") };
        assert!(text.contains(part), "{text}");
    }
    create(&mut catalog, with_replicas(&[(1, &[3, 1]), (0, &[2, 3])])).unwrap();
    let topic = catalog.image().topic("t").unwrap().clone();
    assert_eq!(topic.partitions[0].replicas, [NodeId(2), NodeId(3)]);
    assert_eq!(topic.partitions[0].leader, Some(NodeId(2)));
    assert_eq!(topic.partitions[1].replicas, [NodeId(3), NodeId(1)]);
}

#[test]
fn items_of_one_request_stand_alone_but_see_each_other() {
    let catalog = started(&[]);
    let names = ["twice", "x.y", "twice", "x_y", "fine", "bad name"];
    let topics: Vec<_> = names.iter().map(|name| named(name, 1)).collect();
    // All ids drawn alike: they still have to differ.
    let plan = catalog.plan_create_topics(&topics, &[random(5); 6], false);
    let messages: Vec<_> = plan
        .outcomes
        .iter()
        .map(|outcome| match outcome {
            Ok(created) => created.name.as_str(),
            Err(refusal) => refusal.message(),
        })
        .collect();
    assert_eq!(
        messages[..5],
        [
            "Duplicate topic name.",
            "x.y",
            "Duplicate topic name.",
            "Topic 'x_y' collides with existing topic: x.y",
            "fine"
        ]
    );
    assert!(plan.outcomes[5].is_err());
    assert_eq!(plan.records.len(), 2);
    let mut catalog = catalog;
    apply_all(&mut catalog, &plan.records);
    assert_eq!(catalog.image().topics.len(), 2);

    let validated = started(&[]).plan_create_topics(&topics, &[random(5); 6], true);
    assert!(validated.records.is_empty());
    assert_eq!(validated.outcomes, plan.outcomes);
}

#[test]
fn a_broker_holds_so_many_partitions_and_no_more() {
    let mut catalog = started(&[]);
    let whole = TOPIC_PARTITIONS_MAX;
    let fill = BROKER_PARTITIONS_MAX / whole as usize;
    let step = REQUEST_PARTITIONS_MAX as i32;
    for at in 0..fill {
        let name = format!("t{at}");
        create(&mut catalog, named(&name, step)).unwrap();
        for count in (2 * step..=whole).step_by(step as usize) {
            let more = PartitionsCreation { name: name.clone(), count, assignments: None };
            let plan = catalog.plan_create_partitions(&[more], false);
            apply_all(&mut catalog, &plan.records);
        }
        assert_eq!(catalog.image().topic(&name).unwrap().partitions.len(), whole as usize);
    }
    let Refusal::PolicyViolation(text) = refusal(&catalog, named("more", 1)) else { panic!() };
    assert!(text.contains("200001 partitions"), "{text}");
    let plan = catalog.plan_create_partitions(
        &[PartitionsCreation { name: "t0".into(), count: whole + 1, assignments: None }],
        false,
    );
    assert!(matches!(outcome(plan), Err(Refusal::PolicyViolation(_))));
    let deletion = catalog.plan_delete_topics(&[TopicSelector::Name("t0".into())]);
    apply_all(&mut catalog, &deletion.records);
    create(&mut catalog, named("more", 1)).unwrap();
}

#[test]
fn one_request_creates_so_much_and_no_more() {
    let catalog = started(&[]);
    let plan = |topics: &[TopicCreation]| {
        let random: Vec<[u8; 16]> =
            (0..topics.len() as u128).map(|at| (at << 64 | at).to_be_bytes()).collect();
        catalog.plan_create_topics(topics, &random, true).outcomes
    };
    let many = REQUEST_TOPICS_MAX + 10;
    let topics: Vec<_> = (0..many).map(|at| named(&format!("t{at}"), 1)).collect();
    let outcomes = plan(&topics);
    let refused = |outcome: &Result<_, Refusal>| matches!(outcome, Err(Refusal::TooMuchAtOnce(_)));
    assert!(outcomes[..REQUEST_TOPICS_MAX].iter().all(Result::is_ok));
    assert!(outcomes[REQUEST_TOPICS_MAX..].iter().all(refused));
    // Those that look alike share their description.
    let configs = |at: usize| outcomes[at].as_ref().unwrap().configs.clone();
    assert!(Arc::ptr_eq(&configs(0), &configs(REQUEST_TOPICS_MAX - 1)));

    let most = REQUEST_PARTITIONS_MAX as i32;
    let outcomes = plan(&[named("a", most - 1), named("b", 2), named("c", 1), named("d", 1)]);
    assert!(outcomes[0].is_ok() && refused(&outcomes[1]) && outcomes[2].is_ok());
    assert!(refused(&outcomes[3]));
    let mut catalog = started(&[]);
    create(&mut catalog, named("t", 1)).unwrap();
    let more = PartitionsCreation { name: "t".into(), count: most + 2, assignments: None };
    let plan = catalog.plan_create_partitions(&[more], false);
    assert!(matches!(outcome(plan), Err(Refusal::TooMuchAtOnce(_))));
}

#[test]
fn topics_are_deleted_by_name_and_by_id() {
    let mut catalog = started(&[]);
    create(&mut catalog, named("a", 1)).unwrap();
    create(&mut catalog, named("b", 1)).unwrap();
    let b = catalog.image().topic("b").unwrap().id;
    let plan = catalog.plan_delete_topics(&[
        TopicSelector::Name("a".into()),
        TopicSelector::Id(b),
        TopicSelector::Name("b".into()),
        TopicSelector::Name("none".into()),
        TopicSelector::Id(TopicId([3; 16])),
        TopicSelector::Name("dup".into()),
        TopicSelector::Name("dup".into()),
    ]);
    apply_all(&mut catalog, &plan.records);
    assert!(catalog.image().topics.is_empty());
    assert_eq!(catalog.image().topics.replica_count(NodeId(1)), 0);
    assert_eq!(plan.outcomes[1], Ok(DeletedTopic { name: "b".into(), id: b }));
    assert!(matches!(plan.outcomes[2], Err(Refusal::UnknownTopic(_))), "b went by its id");
    assert!(matches!(plan.outcomes[3], Err(Refusal::UnknownTopic(_))));
    assert!(matches!(plan.outcomes[4], Err(Refusal::UnknownTopicId(_))));
    assert!(matches!(plan.outcomes[5], Err(Refusal::InvalidRequest(_))));
    assert!(matches!(plan.outcomes[6], Err(Refusal::InvalidRequest(_))));
    // The name is free again, and the topic is another one.
    create(&mut catalog, named("b", 1)).unwrap();
    assert_ne!(catalog.image().topic("b").unwrap().id, b);

    let mut fixed = started(&[("delete.topic.enable", "false")]);
    create(&mut fixed, named("a", 1)).unwrap();
    let plan = fixed.plan_delete_topics(&[TopicSelector::Name("a".into())]);
    assert!(matches!(outcome(plan), Err(Refusal::TopicDeletionDisabled(_))));
}

#[test]
fn an_internal_topic_keeps_its_partitions() {
    let mut catalog = started(&[]);
    create(&mut catalog, named("__consumer_offsets", 2)).unwrap();
    let name = "__consumer_offsets".to_owned();
    let more = PartitionsCreation { name, count: 3, assignments: None };
    let refusal = outcome(catalog.plan_create_partitions(&[more], false)).unwrap_err();
    assert!(matches!(refusal, Refusal::InvalidRequest(_)), "{refusal:?}");
}

#[test]
fn partitions_are_added_at_the_end() {
    let mut catalog = started(&[]);
    create(&mut catalog, named("t", 2)).unwrap();
    let more = |count, assignments| PartitionsCreation { name: "t".into(), count, assignments };
    let refuse = |request| outcome(catalog.plan_create_partitions(&[request], false)).unwrap_err();
    assert_eq!(
        refuse(more(2, None)),
        Refusal::InvalidPartitions("Topic already has 2 partition(s).".into())
    );
    for count in [1, 0, -5] {
        assert!(matches!(refuse(more(count, None)), Refusal::InvalidPartitions(_)));
    }
    assert!(matches!(refuse(more(i32::MAX, None)), Refusal::PolicyViolation(_)));
    let one = vec![NodeId(1)];
    for assignments in [vec![], vec![one.clone()], vec![one.clone(), vec![NodeId(2)]]] {
        let refusal = refuse(more(4, Some(assignments)));
        assert!(matches!(refusal, Refusal::InvalidReplicaAssignment(_)), "{refusal:?}");
    }
    let unknown = PartitionsCreation { name: "u".into(), ..more(4, None) };
    assert!(matches!(refuse(unknown), Refusal::UnknownTopic(_)));

    let dry = catalog.plan_create_partitions(&[more(4, None)], true);
    assert!(dry.records.is_empty() && dry.outcomes[0].is_ok());
    let plan = catalog.plan_create_partitions(&[more(4, Some(vec![one.clone(), one]))], false);
    apply_all(&mut catalog, &plan.records);
    let created = outcome(plan).unwrap();
    assert_eq!((created.first, created.count), (2, 4));
    assert_eq!(catalog.image().topic("t").unwrap().partitions.len(), 4);
}

fn change(key: &str, operation: ConfigOperation, value: &str) -> ConfigChange {
    ConfigChange { key: key.into(), operation, value: Some(value.into()) }
}

fn alter(
    catalog: &mut Catalog,
    resource: ConfigResource,
    changes: Vec<ConfigChange>,
) -> Result<(), Refusal> {
    let alteration = IncrementalAlteration { resource, changes };
    let plan = catalog.plan_incremental_alter_configs(&[alteration], false);
    apply_all(catalog, &plan.records);
    outcome(plan)
}

#[test]
fn configs_change_one_by_one() {
    use ConfigOperation::{Append, Delete, Set, Subtract};
    let mut catalog = started(&[]);
    create(&mut catalog, with_config("retention.ms", Some("5"))).unwrap();
    let topic = || ConfigResource::Topic("t".into());
    let configs = |catalog: &Catalog| {
        let topic = catalog.image().topic("t").unwrap().clone();
        topic.configs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
    };
    alter(&mut catalog, topic(), vec![change("cleanup.policy", Append, "compact")]).unwrap();
    assert_eq!(configs(&catalog), ["cleanup.policy=delete,compact", "retention.ms=5"]);
    alter(&mut catalog, topic(), vec![change("cleanup.policy", Subtract, "delete")]).unwrap();
    assert_eq!(configs(&catalog), ["cleanup.policy=compact", "retention.ms=5"]);
    let both = vec![change("retention.ms", Delete, ""), change("segment.ms", Set, "7")];
    alter(&mut catalog, topic(), both).unwrap();
    assert_eq!(configs(&catalog), ["cleanup.policy=compact", "segment.ms=7"]);
    let version = catalog.image().version;
    alter(&mut catalog, topic(), vec![change("segment.ms", Set, "7")]).unwrap();
    alter(&mut catalog, topic(), vec![change("flush.ms", Delete, "")]).unwrap();
    assert_eq!(catalog.image().version, version, "what is so already needs no record");

    for (changes, expected) in [
        (
            vec![change("retention.ms", Append, "1")],
            Refusal::InvalidConfig(
                "Can't APPEND to key retention.ms because its type is not LIST.".into(),
            ),
        ),
        (
            vec![change("nope", Subtract, "1")],
            Refusal::InvalidConfig(
                "Can't SUBTRACT to key nope because its type is not LIST.".into(),
            ),
        ),
        (
            vec![change("segment.ms", Set, "1"), change("segment.ms", Delete, "")],
            Refusal::InvalidRequest("Error due to duplicate config keys".into()),
        ),
        (
            vec![ConfigChange { key: "segment.ms".into(), operation: Set, value: None }],
            Refusal::InvalidRequest("Null value not supported for : segment.ms".into()),
        ),
        (
            // The first change alone would be fine; a resource changes as a whole or not at all.
            vec![change("segment.ms", Set, "9"), change("retention.ms", Set, "-2")],
            Refusal::InvalidConfig(
                "Invalid value -2 for configuration retention.ms: Value must be at least -1".into(),
            ),
        ),
        (
            vec![
                change("min.compaction.lag.ms", Set, "9"),
                change("max.compaction.lag.ms", Set, "8"),
            ],
            Refusal::InvalidConfig(
                "conflict topic config setting min.compaction.lag.ms (9) > max.compaction.lag.ms \
                 (8)"
                .into(),
            ),
        ),
    ] {
        assert_eq!(alter(&mut catalog, topic(), changes), Err(expected));
    }
    assert_eq!(configs(&catalog), ["cleanup.policy=compact", "segment.ms=7"]);
    let missing = alter(&mut catalog, ConfigResource::Topic("u".into()), Vec::new());
    assert!(matches!(missing, Err(Refusal::UnknownTopic(_))));
    let empty = alter(&mut catalog, ConfigResource::Topic(String::new()), Vec::new());
    assert!(matches!(empty, Err(Refusal::InvalidRequest(_))));
}

#[test]
fn the_older_request_replaces_all_configs() {
    let mut catalog = started(&[]);
    create(&mut catalog, with_config("retention.ms", Some("5"))).unwrap();
    let alteration = |name: &str, value: Option<&str>| ConfigAlteration {
        resource: ConfigResource::Topic(name.into()),
        configs: vec![("segment.ms".into(), value.map(str::to_owned))],
    };
    let dry = catalog.plan_alter_configs(&[alteration("t", Some("7"))], true);
    assert!(dry.records.is_empty());
    let plan = catalog.plan_alter_configs(&[alteration("t", Some("7"))], false);
    apply_all(&mut catalog, &plan.records);
    let topic = catalog.image().topic("t").unwrap();
    assert_eq!(topic.configs.iter().collect::<Vec<_>>(), [(&"segment.ms".into(), &"7".into())]);

    let null = catalog.plan_alter_configs(&[alteration("t", None)], false);
    assert!(matches!(outcome(null), Err(Refusal::InvalidRequest(_))));
    let twice =
        [alteration("t", Some("7")), alteration("t", Some("8")), alteration("u", Some("1"))];
    let plan = catalog.plan_alter_configs(&twice, false);
    assert!(plan.records.is_empty());
    let text = "Each resource must appear at most once.";
    assert_eq!(plan.outcomes[0], Err(Refusal::InvalidRequest(text.into())));
    assert_eq!(plan.outcomes[1], Err(Refusal::InvalidRequest(text.into())));
    assert!(matches!(plan.outcomes[2], Err(Refusal::UnknownTopic(_))));
}

#[test]
fn broker_configs_change_where_they_may() {
    use ConfigOperation::{Delete, Set};
    let mut catalog = started(&[]);
    let one = || ConfigResource::Broker(NodeId(1));
    alter(&mut catalog, one(), vec![change("log.retention.ms", Set, "5")]).unwrap();
    alter(&mut catalog, ConfigResource::Cluster, vec![change("log.roll.ms", Set, "6")]).unwrap();
    assert_eq!(catalog.image().broker_configs[&NodeId(1)]["log.retention.ms"], "5");
    assert_eq!(catalog.image().cluster_configs["log.roll.ms"], "6");
    for (resource, key, value, text) in [
        (
            one(),
            "num.partitions",
            "3",
            "Cannot update these configs dynamically: Set(num.partitions)",
        ),
        (one(), "nope", "3", "Unknown broker config name: nope"),
        (
            ConfigResource::Cluster,
            "log.retention.ms",
            "x",
            "Invalid value x for configuration log.retention.ms: Not a number of type LONG",
        ),
        (
            ConfigResource::Broker(NodeId(2)),
            "log.retention.ms",
            "1",
            "Unexpected broker id, expected 1 or empty string, but received 2",
        ),
    ] {
        let outcome = alter(&mut catalog, resource, vec![change(key, Set, value)]);
        assert_eq!(outcome, Err(Refusal::InvalidRequest(text.into())));
    }
    alter(&mut catalog, one(), vec![change("log.retention.ms", Delete, "")]).unwrap();
    assert!(catalog.image().broker_configs.is_empty());
}

#[test]
fn values_are_checked_with_kafkas_words() {
    let catalog = started(&[]);
    let wide = "x".repeat(65 * 1024);
    for (key, value, text) in [
        ("retention.ms", "x", "Not a number of type LONG"),
        ("retention.ms", "1.5", "Not a number of type LONG"),
        ("max.message.bytes", "3000000000", "Not a number of type INT"),
        ("max.message.bytes", "67104641", "Value must be no more than 67104640, the largest"),
        ("segment.bytes", "14", "Value must be at least 1048576"),
        ("cleanup.policy", "foo", "String must be one of: compact, delete"),
        (
            "compression.type",
            "foo",
            "String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer",
        ),
        ("preallocate", "maybe", "Expected value to be either true or false"),
        ("min.cleanable.dirty.ratio", "2", "Invalid value 2.0 for configuration min.cleanable."),
        ("min.cleanable.dirty.ratio", "NaN", "Not a number of type DOUBLE"),
        ("compression.gzip.level", "10", "Value must be between 1 and 9 or equal to -1"),
        ("compression.zstd.level", "23", "Value must be no more than 22"),
        (
            "leader.replication.throttled.replicas",
            "a:b",
            "Invalid value [a:b] for configuration leader.replication.throttled.replicas: leader.",
        ),
        ("cleanup.policy", wide.as_str(), "longer than 65536 bytes"),
    ] {
        let Refusal::InvalidConfig(message) = refusal(&catalog, with_config(key, Some(value)))
        else {
            panic!("{key}={value}")
        };
        assert!(message.starts_with("Invalid value") && message.contains(text), "{message}");
    }
    let Refusal::InvalidConfig(message) =
        refusal(&catalog, with_config("remote.storage.enable", Some("true")))
    else {
        panic!()
    };
    assert!(message.starts_with("Tiered Storage functionality is disabled in the broker."));
    for (key, value) in [
        ("retention.ms", " 7 "),
        ("cleanup.policy", ""),
        ("cleanup.policy", "compact, delete"),
        ("preallocate", "TRUE"),
        ("compression.gzip.level", "-1"),
        ("leader.replication.throttled.replicas", "0:1,12:3"),
        ("leader.replication.throttled.replicas", "*"),
        ("remote.storage.enable", "false"),
        ("unclean.leader.election.enable", "true"),
    ] {
        let plan =
            catalog.plan_create_topics(&[with_config(key, Some(value))], &[random(1)], false);
        outcome(plan).unwrap();
    }
}

#[test]
fn every_start_raises_the_epoch_of_what_the_broker_leads() {
    let mut catalog = started(&[]);
    join(&mut catalog, &[2]);
    create(&mut catalog, with_replicas(&[(0, &[1, 2]), (1, &[2, 1])])).unwrap();
    let before = catalog.image().clone();
    let records = catalog.plan_restart(NodeId(1), Vec::new(), Some("r1".into())).unwrap();
    apply_all(&mut catalog, &records);
    let image = catalog.image();
    let topic = image.topic("t").unwrap();
    assert_eq!(topic.partitions[0].leader_epoch, LeaderEpoch(1));
    assert_eq!(topic.partitions[0].partition_epoch, 1);
    assert_eq!(topic.partitions[1].leader_epoch, LeaderEpoch(0));
    assert_eq!(image.incarnation.0, before.incarnation.0 + 1);
    assert!(image.brokers[&NodeId(1)].epoch > before.brokers[&NodeId(1)].epoch);
    assert_eq!(image.brokers[&NodeId(1)].rack.as_deref(), Some("r1"));
    assert_eq!(before.topic("t").unwrap().partitions[0].leader_epoch, LeaderEpoch(0), "a snapshot");

    assert!(matches!(
        catalog.plan_restart(NodeId(2), Vec::new(), None),
        Err(Refusal::InvalidConfig(_))
    ));
    let empty = Catalog::new(super::statics(&[]));
    assert!(empty.plan_restart(NodeId(1), Vec::new(), None).is_err());
    assert!(catalog.plan_create_cluster(NodeId(1), None, random(1), &[]).is_err());
    assert!(empty.plan_create_cluster(NodeId(1), Some("short"), random(1), &[]).is_err());
    let id = "AAAAAAAAAAAAAAAAAAAAAQ";
    assert!(empty.plan_create_cluster(NodeId(1), Some(id), random(1), &[]).is_ok());
}

#[test]
fn producer_ids_are_given_out_once() {
    let mut catalog = started(&[]);
    let (records, block) = catalog.plan_allocate_producer_ids(1000).unwrap();
    assert_eq!(block, ProducerIdBlock { first: ProducerId(0), count: 1000 });
    apply_all(&mut catalog, &records);
    let (_, next) = catalog.plan_allocate_producer_ids(1).unwrap();
    assert_eq!(next.first, ProducerId(1000));
    apply_all(&mut catalog, &[Record::ProducerIdsAllocated { next: ProducerId(i64::MAX) }]);
    let refusal = catalog.plan_allocate_producer_ids(1).unwrap_err();
    assert!(matches!(refusal, Refusal::PolicyViolation(_)));
}

#[test]
fn a_record_that_does_not_fit_changes_nothing() {
    let mut catalog = started(&[]);
    create(&mut catalog, named("t", 1)).unwrap();
    let topic = catalog.image().topic("t").unwrap().clone();
    let none = TopicId([8; 16]);
    let created = |name: &str, id, partitions| Record::TopicCreated {
        name: name.into(),
        id,
        partitions,
        configs: std::collections::BTreeMap::new(),
    };
    let key = || "retention.ms".to_owned();
    let resource = || ConfigResource::Topic("u".into());
    let headless = Partition { isr: Vec::new(), ..topic.partitions[0].clone() };
    for record in [
        Record::ClusterCreated { cluster_id: "x".into(), node_id: NodeId(1) },
        Record::BrokerRegistered {
            node_id: NodeId(1),
            incarnation: catalog.image().incarnation,
            endpoints: Vec::new(),
            rack: None,
        },
        created("t", none, topic.partitions.clone()),
        created("u", topic.id, topic.partitions.clone()),
        created("u", none, Vec::new()),
        created("u", none, vec![headless]),
        created("u/v", none, topic.partitions.clone()),
        Record::PartitionsAdded { id: none, first: 0, partitions: topic.partitions.clone() },
        Record::PartitionsAdded { id: topic.id, first: 2, partitions: topic.partitions.clone() },
        Record::TopicDeleted { id: none },
        Record::ConfigSet { resource: resource(), key: key(), value: "1".into() },
        Record::ConfigRemoved { resource: resource(), key: key() },
        Record::ProducerIdsAllocated { next: ProducerId(-1) },
        Record::FeatureSet { name: "f".into(), level: -1 },
    ] {
        let before = catalog.image().clone();
        let error = catalog.apply(&record).unwrap_err();
        assert_eq!(error.version, before.version + 1);
        assert_eq!(*catalog.image(), before, "{error}");
    }
    let first = Record::TopicDeleted { id: none };
    assert!(Catalog::new(super::statics(&[])).apply(&first).is_err());
}
