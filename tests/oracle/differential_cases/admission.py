"""What happens before a request means anything: ApiVersions, unknown versions and APIs, frames that are not what they say.

Metadata, which every client asks next, is here as well, with the three APIs that describe the cluster.
"""

import struct

import wire
from tap import NARROW

from . import collector
from .broker import ZERO, by_name, normal

CASES, case = collector()

INVALID_NAMES = ["", ".", "..", "a/b", "a b", "ü", "a" * 249, "a" * 250, "a:b", "a\nb", "a\0b"]
BY_KEY = {key: name for name, key in wire.api_keys().items()}


def _versions(version):
    def run(broker):
        reply = broker.call("ApiVersions", {"ClientSoftwareName": "rig", "ClientSoftwareVersion": "1.0"}, version)
        served = {BY_KEY.get(key["ApiKey"], key["ApiKey"]): [key["MinVersion"], key["MaxVersion"]] for key in reply["ApiKeys"]}
        return {
            "error": wire.error_name(reply["ErrorCode"]),
            "apis": {name: served.get(name) for name in sorted(NARROW)},
            "doubled": len(reply["ApiKeys"]) - len(served),
        }

    return run


for _version in range(5):
    case(f"api-versions-v{_version}")(_versions(_version))


@case()
def api_versions_features(broker):
    """Features that are finalised steer the Java clients, so their levels are compared by name."""
    reply = broker.call("ApiVersions", {"ClientSoftwareName": "rig", "ClientSoftwareVersion": "1.0"}, 4)
    return {
        "supported": sorted(feature["Name"] for feature in reply["SupportedFeatures"]),
        "finalized": {feature["Name"]: feature["MaxVersionLevel"] for feature in reply["FinalizedFeatures"]},
    }


@case()
def api_versions_of_a_future_version(broker):
    """Error 35 in the shape of version 0, with the keys filled in."""
    outcome = {}
    for version in (5, 99, 32767):
        with broker.survive() as seen:
            header = broker.connection.header(18, version, 77, True)
            broker.connection.send_frame(header + wire.encode("ApiVersionsRequest", 4, {}))
            frame = broker.connection.receive_frame()
            reply = wire.decode("ApiVersionsResponse", 0, frame[4:])
            keys = [key["ApiKey"] for key in reply["ApiKeys"]]
            seen.append({"error": wire.error_name(reply["ErrorCode"]), "correlation": frame[:4].hex(), "lists 18": 18 in keys})
        outcome[version] = seen[0]
    return outcome


@case()
def api_versions_with_bad_software_name(broker):
    outcome = {}
    for name, version in [("", "1"), ("rig", ""), ("-rig", "1"), ("ri g", "1"), ("rig", "1.0-"), ("Rig.1", "1_0")]:
        outcome[f"{name}/{version}"] = broker.ask(
            "ApiVersions", {"ClientSoftwareName": name, "ClientSoftwareVersion": version}, 3
        )
        if isinstance(outcome[f"{name}/{version}"], dict):
            outcome[f"{name}/{version}"] = outcome[f"{name}/{version}"]["ErrorCode"]
    return outcome


def _raw(broker, data):
    """What a broker does after these bytes: closes, or answers a well-formed request that follows on the same connection."""
    with broker.survive() as seen:
        broker.connection.send_bytes(data)
        reply = broker.connection.call("ApiVersions", {}, 0)
        seen.append("ANSWERED " + wire.error_name(reply["ErrorCode"]))
    return seen[0]


@case()
def unknown_apis_and_versions(broker):
    def request(key, version):
        header = struct.pack(">hhih", key, version, 5, 3) + b"rig"
        return struct.pack(">i", len(header)) + header

    wanted = [(999, 0), (-1, 0), (32767, 0), (4, 0), (0, 2), (0, -1), (0, 99), (1, 3), (1, 99), (2, 0), (2, 99), (3, 99), (19, 1)]
    wanted += [(19, 99), (22, 99), (23, 1), (32, 0), (35, 0)]
    return {f"key {key} version {version}": _raw(broker, request(key, version)) for key, version in wanted}


@case()
def malformed_frames(broker):
    metadata = struct.pack(">hhih", 3, 5, 5, 3) + b"rig"
    flexible = struct.pack(">hhih", 3, 9, 5, 3) + b"rig\0"
    frames = {
        "negative size": struct.pack(">i", -1),
        "size 0": struct.pack(">i", 0),
        "size 4": struct.pack(">i", 4) + b"\0\3\0\5",
        "size over the limit": struct.pack(">i", 104_857_601),
        "largest size": struct.pack(">i", 2**31 - 1),
        "no body": struct.pack(">i", len(metadata)) + metadata,
        "truncated array": struct.pack(">i", len(metadata) + 4) + metadata + struct.pack(">i", 3),
        "array of 2^31-1": struct.pack(">i", len(metadata) + 5) + metadata + struct.pack(">ib", 2**31 - 1, 0),
        "array of -2": struct.pack(">i", len(metadata) + 5) + metadata + struct.pack(">ib", -2, 0),
        "client id longer than the frame": struct.pack(">ihhih", 10, 3, 5, 5, 500),
        "client id of -2": struct.pack(">ihhih", 10, 3, 5, 5, -2),
        "overlong varint": struct.pack(">i", len(flexible) + 12) + flexible + b"\xff" * 11 + b"\1",
        "tag section that lies": struct.pack(">i", len(flexible) + 6) + flexible + b"\1\0\0\0\x01\x7f",
        "invalid utf-8 in a topic name": struct.pack(">i", len(metadata) + 9) + metadata + struct.pack(">ih2sb", 1, 2, b"\xff\xfe", 0),
    }
    return {name: _raw(broker, frame) for name, frame in frames.items()}


@case()
def bytes_after_a_request(broker):
    header = struct.pack(">hhih", 3, 5, 5, 3) + b"rig"
    body = wire.encode("MetadataRequest", 5, {"Topics": [], "AllowAutoTopicCreation": False}) + b"more"
    with broker.survive() as seen:
        broker.connection.send_bytes(struct.pack(">i", len(header + body)) + header + body)
        frame = broker.connection.receive_frame()
        seen.append(normal(wire.decode("MetadataResponse", 5, frame[4:]))["Topics"])
    return {"reply": seen[0]}


@case()
def unknown_tags_are_skipped(broker):
    request = {"Topics": [], "AllowAutoTopicCreation": False, "_raw_tags": [(100, b"abc"), (10_000, b"")]}
    return {"topics": broker.ask("Metadata", request, 9)["Topics"]}


@case()
def null_client_id(broker):
    header = struct.pack(">hhih", 3, 5, 5, -1)
    body = wire.encode("MetadataRequest", 5, {"Topics": [], "AllowAutoTopicCreation": False})
    with broker.survive() as seen:
        broker.connection.send_bytes(struct.pack(">i", len(header + body)) + header + body)
        seen.append(len(broker.connection.receive_frame()) > 4)
    return {"answered": seen[0]}


@case()
def replies_come_in_order(broker):
    """Twenty requests in one write, a slow fetch among them."""
    topic = broker.topic()
    sent = []
    for index in range(20):
        if index == 3:
            request = {
                "MaxWaitMs": 700,
                "MinBytes": 1,
                "Topics": [{"Topic": topic, "Partitions": [{"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1000}]}],
            }
            sent.append(("Fetch", 11, broker.connection.send("Fetch", request, 11)))
        else:
            sent.append(("Metadata", 5, broker.connection.send("Metadata", {"Topics": [], "AllowAutoTopicCreation": False}, 5)))
    return {"in order": [broker.connection.receive(*entry) is not None for entry in sent]}


# Metadata


def _metadata(version):
    def run(broker):
        topic = broker.topic(partitions=2)
        auto = {"AllowAutoTopicCreation": False} if version >= 4 else {}
        outcome = {"known": broker.ask("Metadata", {"Topics": [{"Name": topic}]} | auto, version)}
        if version >= 4:
            unknown = {"Topics": [{"Name": topic + "-unknown"}]} | auto
            outcome["unknown"] = broker.ask("Metadata", unknown, version)["Topics"]
            invalid = broker.ask("Metadata", {"Topics": [{"Name": name} for name in INVALID_NAMES]} | auto, version)["Topics"]
            outcome["invalid"] = by_name(invalid)
            outcome["doubled"] = broker.ask("Metadata", {"Topics": [{"Name": topic}, {"Name": topic}]} | auto, version)["Topics"]
        if version >= 1:
            outcome["none"] = broker.ask("Metadata", {"Topics": []} | auto, version)["Topics"]
            every = broker.ask("Metadata", {"Topics": None} | auto, version)["Topics"]
        else:
            every = broker.ask("Metadata", {"Topics": []}, version)["Topics"]
        outcome["all holds it"] = [entry for entry in every if entry["Name"] == topic]
        return outcome

    return run


for _version in range(14):
    case(f"metadata-v{_version}")(_metadata(_version))


@case()
def metadata_by_topic_id(broker):
    topic = broker.topic()
    topic_id = broker.topic_id(topic)
    unknown = wire.uuid.UUID(int=12345)
    outcome = {}
    for version in (10, 12, 13):
        for name, entry in {
            "by id": {"Name": None, "TopicId": topic_id},
            "by id and name": {"Name": topic, "TopicId": topic_id},
            "unknown id": {"Name": None, "TopicId": unknown},
            "no id and no name": {"Name": None, "TopicId": ZERO},
        }.items():
            request = {"Topics": [entry], "AllowAutoTopicCreation": False}
            reply = broker.ask("Metadata", request, version)
            outcome[f"v{version} {name}"] = reply["Topics"] if isinstance(reply, dict) else reply
    return outcome


@case()
def metadata_with_authorized_operations(broker):
    topic = broker.topic()
    request = {"Topics": [{"Name": topic}], "IncludeTopicAuthorizedOperations": True}
    outcome = {"v8": broker.ask("Metadata", request | {"IncludeClusterAuthorizedOperations": True}, 8)}
    outcome["v12"] = broker.ask("Metadata", request, 12)["Topics"]
    return outcome


@case()
def metadata_creates_topics(broker):
    """The first answer says that there is no leader yet; the topic then exists with the default number of partitions."""
    name = broker.prefix + "-auto"
    first = broker.ask("Metadata", {"Topics": [{"Name": name}], "AllowAutoTopicCreation": True}, 9)["Topics"]
    broker.wait_for_leaders(name, 1)
    again = broker.ask("Metadata", {"Topics": [{"Name": name}], "AllowAutoTopicCreation": False}, 9)["Topics"]
    invalid = broker.ask("Metadata", {"Topics": [{"Name": "a b"}, {"Name": ""}], "AllowAutoTopicCreation": True}, 9)["Topics"]
    return {"first": first, "again": again, "invalid": by_name(invalid)}


# The cluster


@case()
def describe_cluster(broker):
    outcome = {f"v{version}": broker.ask("DescribeCluster", {}, version) for version in (0, 1, 2)}
    outcome["operations"] = broker.ask("DescribeCluster", {"IncludeClusterAuthorizedOperations": True}, 1)
    outcome["unknown endpoint type"] = broker.ask("DescribeCluster", {"EndpointType": 7}, 1)
    outcome["fenced brokers too"] = broker.ask("DescribeCluster", {"IncludeFencedBrokers": True}, 2)
    return outcome


@case()
def describe_topic_partitions(broker):
    topics = [broker.topic(suffix, partitions=3) for suffix in ("-a", "-b")]

    def ask(**request):
        return broker.ask("DescribeTopicPartitions", request, 0)

    both = [{"Name": name} for name in topics]
    return {
        "two": ask(Topics=both),
        "unsorted": ask(Topics=list(reversed(both))),
        "unknown": ask(Topics=[{"Name": broker.prefix + "-unknown"}]),
        "invalid": by_name(ask(Topics=[{"Name": "a b"}, {"Name": ""}])["Topics"]),
        "limit 4": ask(Topics=both, ResponsePartitionLimit=4),
        "limit 0": ask(Topics=both, ResponsePartitionLimit=0),
        "cursor": ask(Topics=both, Cursor={"TopicName": topics[1], "PartitionIndex": 1}),
        "cursor past the end": ask(Topics=both, Cursor={"TopicName": topics[1], "PartitionIndex": 9}),
        "negative cursor": ask(Topics=both, Cursor={"TopicName": topics[1], "PartitionIndex": -1}),
        "cursor behind all": ask(Topics=both, Cursor={"TopicName": broker.prefix + "-z", "PartitionIndex": 0}),
    }


@case()
def describe_log_dirs(broker):
    topic = broker.topic(partitions=2)
    broker.fill(topic, [(b"a", b"b"), (b"c",)], base_timestamp=1_700_000_000_000)

    def ask(version, topics):
        reply = broker.ask("DescribeLogDirs", {"Topics": topics}, version)
        if isinstance(reply, dict):
            for directory in reply["Results"]:
                directory["Topics"] = sorted(
                    (entry for entry in directory["Topics"] if entry["Name"].startswith(broker.prefix)), key=lambda t: t["Name"]
                )
                for entry in directory["Topics"]:
                    entry["Partitions"].sort(key=lambda p: p["PartitionIndex"])
        return reply

    outcome = {f"v{version}": ask(version, [{"Topic": topic, "Partitions": [0, 1]}]) for version in (1, 2, 3, 4)}
    outcome["all"] = ask(4, None)
    outcome["none"] = ask(4, [])
    outcome["unknown"] = ask(4, [{"Topic": broker.prefix + "-unknown", "Partitions": [0]}])
    outcome["unknown partition"] = ask(4, [{"Topic": topic, "Partitions": [5]}])
    return outcome
