"""DescribeConfigs, IncrementalAlterConfigs and AlterConfigs of topics, and what they say of brokers."""

import time

import wire

from . import collector

CASES, case = collector()

TOPIC, BROKER = 2, 4
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3
SETTLE_SECONDS = 0.25


def _describe(broker, kind, name, keys=None, version=4, **more):
    resource = {"ResourceType": kind, "ResourceName": name, "ConfigurationKeys": keys}
    reply = broker.ask("DescribeConfigs", {"Resources": [resource]} | more, version)
    if not isinstance(reply, dict):
        return reply
    for result in reply["Results"]:
        # By name, so that one key more or less does not shift all the others.
        result["Configs"] = {entry.pop("Name"): entry for entry in sorted(result["Configs"], key=lambda entry: entry["Name"])}
    return reply["Results"]


@case()
def describe_every_key_of_a_topic(broker):
    topic = broker.topic()
    return {"result": _describe(broker, TOPIC, topic, IncludeSynonyms=True, IncludeDocumentation=True)}


@case()
def describe_a_topic_with_configs(broker):
    topic = broker.topic(configs={"retention.ms": "1000", "cleanup.policy": "compact,delete", "segment.bytes": "1048576"})
    keys = ["retention.ms", "cleanup.policy", "segment.bytes", "max.message.bytes"]
    outcome = {f"v{version}": _describe(broker, TOPIC, topic, keys, version) for version in (1, 2, 3, 4)}
    outcome["synonyms"] = _describe(broker, TOPIC, topic, keys, IncludeSynonyms=True)
    return outcome


@case()
def describe_bad_resources(broker):
    topic = broker.topic()
    return {
        "unknown key": _describe(broker, TOPIC, topic, ["no.such.key"]),
        "no keys": _describe(broker, TOPIC, topic, []),
        "unknown topic": _describe(broker, TOPIC, topic + "-unknown"),
        "invalid topic name": _describe(broker, TOPIC, "a b"),
        "empty topic name": _describe(broker, TOPIC, ""),
        "unknown resource type": _describe(broker, 77, topic),
        "resource type 0": _describe(broker, 0, topic),
        "unknown broker": _describe(broker, BROKER, "4711", []),
        "broker that is no number": _describe(broker, BROKER, "one", []),
    }


@case()
def describe_the_broker(broker):
    """Which of the keys that topics inherit a broker shows, with type and source; not their values, which are each broker's own."""
    node = broker.call("Metadata", {"Topics": []}, 4)["Brokers"][0]["NodeId"]
    keys = ["log.retention.ms", "message.max.bytes", "num.partitions", "auto.create.topics.enable", "log.segment.bytes"]
    keys += ["log.cleanup.policy", "compression.type", "min.insync.replicas", "log.flush.interval.messages"]
    return {"own": _describe(broker, BROKER, str(node), keys), "default": _describe(broker, BROKER, "", keys)}


def _change(broker, name, *changes, kind=TOPIC, version=1, **more):
    configs = [{"Name": key, "ConfigOperation": operation, "Value": value} for key, operation, value in changes]
    resource = {"ResourceType": kind, "ResourceName": name, "Configs": configs}
    reply = broker.ask("IncrementalAlterConfigs", {"Resources": [resource]} | more, version)
    return reply["Responses"] if isinstance(reply, dict) else reply


def _value(broker, topic, key):
    """The value once it has settled: Kafka answers a change before the describing broker has replayed it."""
    time.sleep(SETTLE_SECONDS)
    entry = _describe(broker, TOPIC, topic, [key])[0]["Configs"][key]
    return f"{entry['Value']} from source {entry['ConfigSource']}"


@case()
def change_and_look(broker):
    """Each step's reply and the value that the key has after it."""
    topic = broker.topic(configs={"cleanup.policy": "delete"})
    steps = [
        ("retention.ms", SET, "1000"),
        ("retention.ms", SET, "not a number"),
        ("retention.ms", SET, "-5"),
        ("retention.ms", SET, None),
        ("retention.ms", DELETE, None),
        ("retention.ms", DELETE, None),
        ("retention.ms", APPEND, "5"),
        ("retention.ms", 9, "5"),
        ("cleanup.policy", APPEND, "compact"),
        ("cleanup.policy", APPEND, "compact"),
        ("cleanup.policy", SUBTRACT, "delete"),
        ("cleanup.policy", SUBTRACT, "delete"),
        ("cleanup.policy", SUBTRACT, "compact"),
        ("cleanup.policy", APPEND, "shrink"),
        ("cleanup.policy", SET, ""),
        ("cleanup.policy", DELETE, None),
        ("max.message.bytes", SET, "0"),
        ("max.message.bytes", SET, "99999999999"),
        ("segment.bytes", SET, "1048576"),
        ("segment.bytes", SET, "1048575"),
        ("message.timestamp.type", SET, "LogAppendTime"),
        ("message.timestamp.type", SET, "logappendtime"),
        ("compression.type", SET, "zstd"),
        ("compression.type", SET, "producer"),
        ("min.cleanable.dirty.ratio", SET, "1.5"),
        ("min.cleanable.dirty.ratio", SET, "0.25"),
        ("unclean.leader.election.enable", SET, "true"),
        ("preallocate", SET, "yes"),
        ("flush.messages", SET, "0"),
        ("flush.messages", SET, "7"),
        ("retention.bytes", SET, "-1"),
        ("retention.bytes", SET, "-2"),
        ("min.insync.replicas", SET, "2"),
        ("min.insync.replicas", SET, "0"),
        ("follower.replication.throttled.replicas", SET, "0:1,1:1"),
        ("follower.replication.throttled.replicas", APPEND, "2:1"),
        ("follower.replication.throttled.replicas", SUBTRACT, "1:1"),
        ("follower.replication.throttled.replicas", SET, "*"),
        ("follower.replication.throttled.replicas", SET, "nonsense"),
    ]
    outcome = {}
    for number, (key, operation, value) in enumerate(steps):
        name = f"{number:02d} {key} {['set', 'delete', 'append', 'subtract'][operation] if operation < 4 else operation} {value}"
        outcome[name] = {"reply": _change(broker, topic, (key, operation, value)), "value": _value(broker, topic, key)}
    return outcome


@case()
def change_badly(broker):
    topic = broker.topic()
    return {
        "unknown key": _change(broker, topic, ("no.such.key", SET, "1")),
        "key twice": _change(broker, topic, ("retention.ms", SET, "1"), ("retention.ms", SET, "2")),
        "good and bad": _change(broker, topic, ("retention.ms", SET, "5000"), ("segment.bytes", SET, "x")),
        "neither was taken": _value(broker, topic, "retention.ms"),
        "unknown topic": _change(broker, topic + "-unknown", ("retention.ms", SET, "1")),
        "invalid topic": _change(broker, "a b", ("retention.ms", SET, "1")),
        "unknown resource type": _change(broker, topic, ("retention.ms", SET, "1"), kind=77),
        "nothing": _change(broker, topic),
        "validate only": _change(broker, topic, ("retention.ms", SET, "777"), ValidateOnly=True),
        "was not changed": _value(broker, topic, "retention.ms"),
        "v0": _change(broker, topic, ("retention.ms", SET, "778"), version=0),
        "was changed": _value(broker, topic, "retention.ms"),
    }


@case()
def change_one_topic_twice(broker):
    topic = broker.topic()
    resource = {"ResourceType": TOPIC, "ResourceName": topic}
    resources = [
        resource | {"Configs": [{"Name": "retention.ms", "ConfigOperation": SET, "Value": str(value)}]} for value in (1, 2)
    ]
    reply = broker.ask("IncrementalAlterConfigs", {"Resources": resources}, 1)
    return {"reply": reply, "value": _value(broker, topic, "retention.ms")}


@case()
def replace_all_configs(broker):
    """The older AlterConfigs: what is not named goes back to its default."""
    topic = broker.topic(configs={"retention.ms": "1000", "segment.bytes": "1048576"})

    def alter(name, configs, version=2, **more):
        entries = [{"Name": key, "Value": value} for key, value in configs]
        resource = {"ResourceType": TOPIC, "ResourceName": name, "Configs": entries}
        reply = broker.ask("AlterConfigs", {"Resources": [resource]} | more, version)
        return reply["Responses"] if isinstance(reply, dict) else reply

    outcome = {"one": alter(topic, [("retention.ms", "2000")])}
    outcome["named"] = _value(broker, topic, "retention.ms")
    outcome["not named"] = _value(broker, topic, "segment.bytes")
    outcome["validate only"] = alter(topic, [("retention.ms", "3000")], ValidateOnly=True)
    outcome["unchanged"] = _value(broker, topic, "retention.ms")
    outcome["null value"] = alter(topic, [("retention.ms", None)])
    outcome["unknown key"] = alter(topic, [("no.such.key", "1")])
    outcome["bad value"] = alter(topic, [("retention.ms", "soon")])
    outcome["unknown topic"] = alter(topic + "-unknown", [("retention.ms", "1")])
    outcome["twice"] = alter(topic, [("retention.ms", "1"), ("retention.ms", "2")])
    outcome["nothing"] = alter(topic, [])
    outcome["all default"] = _value(broker, topic, "retention.ms")
    for version in (0, 1):
        outcome[f"v{version}"] = alter(topic, [("retention.ms", str(4000 + version))], version)
    outcome["last"] = _value(broker, topic, "retention.ms")
    return outcome


@case()
def a_config_takes_effect(broker):
    """max.message.bytes lowered and raised again, seen by Produce."""
    topic = broker.topic()
    batch = wire.record_batch((b"x" * 2000,), base_timestamp=1_700_000_000_000)
    outcome = {"before": broker.produce(topic, batch)}
    _change(broker, topic, ("max.message.bytes", SET, "1000"))
    outcome["lowered"] = _until(lambda: broker.produce(topic, batch), lambda reply: reply["ErrorCode"] != "NONE")["ErrorCode"]
    _change(broker, topic, ("max.message.bytes", DELETE, None))
    outcome["raised"] = _until(lambda: broker.produce(topic, batch), lambda reply: reply["ErrorCode"] == "NONE")["ErrorCode"]
    return outcome


def _until(ask, settled):
    """Kafka applies a change when its metadata log has been replayed, shortly after the reply."""
    deadline = time.monotonic() + 5
    while True:
        reply = ask()
        if settled(reply) or time.monotonic() > deadline:
            return reply
        time.sleep(0.02)
