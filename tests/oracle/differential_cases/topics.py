"""CreateTopics, DeleteTopics, CreatePartitions and DeleteRecords: every way to be refused, and the shapes of success."""

import time
import uuid

import wire

from . import collector
from .admission import INVALID_NAMES
from .broker import by_name

CASES, case = collector()


def _create(broker, *topics, version=7, **more):
    reply = broker.ask("CreateTopics", {"Topics": list(topics), "timeoutMs": 15_000} | more, version)
    if isinstance(reply, dict):
        for topic in reply["Topics"]:
            # Every default with its source is compared in configs/; here only what the request set.
            if topic.get("Configs"):
                topic["Configs"] = [entry for entry in topic["Configs"] if entry["ConfigSource"] == 1]
        return reply["Topics"]
    return reply


def _topic(name, partitions=1, factor=1, **more):
    return {"Name": name, "NumPartitions": partitions, "ReplicationFactor": factor} | more


def _create_version(version):
    def run(broker):
        first = _create(broker, _topic(broker.prefix), version=version)
        return {"new": first, "again": _create(broker, _topic(broker.prefix), version=version)}

    return run


for _version in range(2, 8):
    case(f"create-v{_version}")(_create_version(_version))


@case()
def create_with_invalid_names(broker):
    return {repr(name): _create(broker, _topic(name)) for name in INVALID_NAMES if len(name) != 249}


@case()
def create_with_bad_counts(broker):
    counts = [(0, 1), (-1, -1), (-2, 1), (1, 0), (1, -2), (1, 2), (1, 32767), (-1, 1), (3, -1)]
    return {f"{p} partitions, factor {f}": _create(broker, _topic(f"{broker.prefix}{i}", p, f)) for i, (p, f) in enumerate(counts)}


@case()
def create_with_assignments(broker):
    def assigned(suffix, replicas, partitions=-1, factor=-1):
        assignments = [{"PartitionIndex": index, "BrokerIds": brokers} for index, brokers in replicas]
        return _create(broker, _topic(broker.prefix + suffix, partitions, factor, Assignments=assignments))

    node = broker.call("Metadata", {"Topics": []}, 4)["Brokers"][0]["NodeId"]
    return {
        "good": assigned("-a", [(0, [node]), (1, [node])]),
        "with a count too": assigned("-b", [(0, [node])], partitions=1),
        "with a factor too": assigned("-c", [(0, [node])], factor=1),
        "unknown broker": assigned("-d", [(0, [4711])]),
        "same broker twice": assigned("-e", [(0, [node, node])]),
        "no broker": assigned("-f", [(0, [])]),
        "hole": assigned("-g", [(0, [node]), (2, [node])]),
        "not from 0": assigned("-h", [(1, [node])]),
        "negative partition": assigned("-i", [(-1, [node])]),
    }


@case()
def create_twice_in_one_request(broker):
    name = broker.prefix
    return {"reply": by_name(_create(broker, _topic(name), _topic(name, 2), _topic(name + "-other")))}


@case()
def create_validate_only(broker):
    return {
        "good": _create(broker, _topic(broker.prefix, 3), validateOnly=True),
        "not created": broker.ask("Metadata", {"Topics": [{"Name": broker.prefix}], "AllowAutoTopicCreation": False}, 9)["Topics"],
        "bad": _create(broker, _topic(broker.prefix, 0), validateOnly=True),
    }


@case()
def create_with_configs(broker):
    def with_config(suffix, key, value):
        return _create(broker, _topic(broker.prefix + suffix, Configs=[{"Name": key, "Value": value}]))

    return {
        "good": with_config("-a", "retention.ms", "1000"),
        "list": with_config("-b", "cleanup.policy", "compact,delete"),
        "unknown key": with_config("-c", "no.such.key", "1"),
        "not a number": with_config("-d", "retention.ms", "soon"),
        "out of range": with_config("-e", "segment.bytes", "1"),
        "not in the list": with_config("-f", "cleanup.policy", "shrink"),
        "null value": with_config("-g", "retention.ms", None),
        "empty value": with_config("-h", "retention.ms", ""),
        "bad codec": with_config("-i", "compression.type", "brotli"),
        "bad timestamp type": with_config("-j", "message.timestamp.type", "Never"),
        "in sync replicas 0": with_config("-k", "min.insync.replicas", "0"),
        "boolean": with_config("-l", "preallocate", "maybe"),
        "spaces": with_config("-m", "retention.ms", " 1000 "),
    }


@case()
def create_colliding_and_internal_names(broker):
    name = broker.prefix.replace("/", "")
    return {
        "dot": _create(broker, _topic(name + ".x")),
        "underscore": _create(broker, _topic(name + "_x")),
        "the metadata topic": _create(broker, _topic("__cluster_metadata")),
    }


# DeleteTopics


def _delete(broker, version=6, **request):
    reply = broker.ask("DeleteTopics", {"TimeoutMs": 15_000} | request, version)
    return reply["Responses"] if isinstance(reply, dict) else reply


def _delete_version(version):
    def run(broker):
        topic = broker.topic()
        wanted = {"Topics": [{"Name": topic}]} if version >= 6 else {"TopicNames": [topic]}
        return {"known": _delete(broker, version, **wanted), "again": _delete(broker, version, **wanted)}

    return run


for _version in range(1, 7):
    case(f"delete-v{_version}")(_delete_version(_version))


@case()
def delete_by_id(broker):
    topic = broker.topic()
    topic_id = broker.topic_id(topic)
    return {
        "unknown id": _delete(broker, Topics=[{"Name": None, "TopicId": uuid.UUID(int=99)}]),
        "neither": _delete(broker, Topics=[{"Name": None}]),
        "name and id": _delete(broker, Topics=[{"Name": topic, "TopicId": topic_id}]),
        "id": _delete(broker, Topics=[{"Name": None, "TopicId": topic_id}]),
        "gone": _delete(broker, Topics=[{"Name": None, "TopicId": topic_id}]),
    }


@case()
def delete_twice_in_one_request(broker):
    topic = broker.topic()
    replies = _delete(broker, Topics=[{"Name": topic}, {"Name": topic}])
    return {"replies": sorted(str(reply) for reply in replies) if isinstance(replies, list) else replies}


@case()
def delete_invalid_names(broker):
    return {repr(name): _delete(broker, Topics=[{"Name": name}]) for name in ("", "a b", "..")}


@case()
def a_deleted_topic_is_gone(broker):
    """A producer or consumer that still knows the id or the name of a deleted topic, and the topic created again."""
    topic = broker.topic()
    old_id = broker.topic_id(topic)
    broker.fill(topic)
    _delete(broker, Topics=[{"Name": topic}])
    # Kafka's reply comes before the broker has closed the partition.
    time.sleep(1)
    outcome = {"produce": broker.produce(topic, wire.record_batch())}

    def fetch(topic_id):
        partition = {"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1000}
        return broker.ask(
            "Fetch", {"MaxWaitMs": 0, "MinBytes": 0, "Topics": [{"TopicId": topic_id, "Partitions": [partition]}]}, 13
        )

    outcome["fetch by the old id"] = fetch(old_id)
    again = broker.topic()
    outcome["fetch by the old id, topic created again"] = fetch(old_id)
    outcome["latest offset of the new topic"] = broker.list_offset(again, -1)
    outcome["another id"] = broker.topic_id(again) != old_id
    return outcome


# CreatePartitions


def _grow(broker, name, count, version=3, assignments=None, **more):
    entry = {"Name": name, "Count": count, "Assignments": assignments}
    reply = broker.ask("CreatePartitions", {"Topics": [entry], "TimeoutMs": 15_000} | more, version)
    return reply["Results"] if isinstance(reply, dict) else reply


@case()
def grow(broker):
    topic = broker.topic(partitions=2)
    node = broker.call("Metadata", {"Topics": []}, 4)["Brokers"][0]["NodeId"]
    outcome = {f"to {count}": _grow(broker, topic, count) for count in (2, 1, 0, -1)}
    outcome["unknown topic"] = _grow(broker, topic + "-unknown", 3)
    outcome["invalid name"] = _grow(broker, "a b", 3)
    outcome["validate only"] = _grow(broker, topic, 5, ValidateOnly=True)
    outcome["too few assignments"] = _grow(broker, topic, 4, assignments=[{"BrokerIds": [node]}])
    outcome["too many assignments"] = _grow(broker, topic, 3, assignments=[{"BrokerIds": [node]}] * 2)
    outcome["unknown broker"] = _grow(broker, topic, 3, assignments=[{"BrokerIds": [4711]}])
    outcome["other factor"] = _grow(broker, topic, 3, assignments=[{"BrokerIds": [node, node]}])
    outcome["to 3, assigned"] = _grow(broker, topic, 3, assignments=[{"BrokerIds": [node]}])
    for version in range(4):
        outcome[f"v{version}"] = _grow(broker, topic, 4 + version, version)
    broker.wait_for_leaders(topic, 7)
    partitions = broker.ask("Metadata", {"Topics": [{"Name": topic}]}, 9)["Topics"][0]["Partitions"]
    outcome["partitions"] = sorted(partition["PartitionIndex"] for partition in partitions)
    return outcome


@case()
def grow_twice_in_one_request(broker):
    topic = broker.topic()
    entries = [{"Name": topic, "Count": count, "Assignments": None} for count in (2, 3)]
    reply = broker.ask("CreatePartitions", {"Topics": entries, "TimeoutMs": 15_000}, 3)
    return {"reply": reply}


# DeleteRecords


def _delete_records(broker, topic, offset, partition=0, version=2):
    entry = {"Name": topic, "Partitions": [{"PartitionIndex": partition, "Offset": offset}]}
    reply = broker.ask("DeleteRecords", {"Topics": [entry], "TimeoutMs": 15_000}, version)
    return reply["Topics"] if isinstance(reply, dict) else reply


@case()
def delete_records(broker):
    topic = broker.topic()
    broker.fill(topic, [(b"a", b"b", b"c"), (b"d", b"e"), (b"f",)])
    outcome = {}
    for name, offset in [("beyond the end", 7), ("-2", -2), ("0", 0), ("1, in a batch", 1), ("lower again", 0), ("4", 4)]:
        outcome[name] = _delete_records(broker, topic, offset)
        outcome[f"{name}: earliest"] = broker.list_offset(topic, -2)
    outcome["unknown topic"] = _delete_records(broker, topic + "-unknown", 0)
    outcome["unknown partition"] = _delete_records(broker, topic, 0, partition=3)
    outcome["negative partition"] = _delete_records(broker, topic, 0, partition=-1)
    outcome["everything"] = _delete_records(broker, topic, -1)
    outcome["everything again"] = _delete_records(broker, topic, -1)
    outcome["earliest"] = broker.list_offset(topic, -2)
    outcome["latest"] = broker.list_offset(topic, -1)
    for version in range(3):
        outcome[f"v{version}"] = _delete_records(broker, topic, -1, version=version)
    return outcome


@case()
def fetch_after_delete_records(broker):
    topic = broker.topic()
    broker.fill(topic, [(b"a", b"b", b"c"), (b"d", b"e")])
    _delete_records(broker, topic, 1)
    outcome = {}
    for offset in (0, 1, 3):
        partition = {"Partition": 0, "FetchOffset": offset, "PartitionMaxBytes": 10_000}
        request = {"MaxWaitMs": 0, "MinBytes": 0, "Topics": [{"Topic": topic, "Partitions": [partition]}]}
        outcome[offset] = broker.ask("Fetch", request, 12)["Responses"]
    return outcome
