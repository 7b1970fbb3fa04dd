"""A small encoder of Kafka requests that remembers where every length stands, so that it can be made a lie.

Independent of the broker's own tables: written from the public message schemas. It only encodes; the few replies that
the cases look at are read by hand in `replies.py`.
"""

import struct

BOOL, I8, I16, I32, I64, UUID, STRING, BYTES = "bool i8 i16 i32 i64 uuid string bytes".split()
FORMATS = {I8: ">b", I16: ">h", I32: ">i", I64: ">q", BOOL: ">?"}
NEVER = 1000


class Field:
    """One field: name, type (or a list holding the fields of an array's elements, or a one-element list of a type)."""

    def __init__(self, name, kind, since=0, until=NEVER, null=NEVER, tag=None):
        self.name, self.kind, self.since, self.until = name, kind, since, until
        self.null, self.tag = null, tag


def F(*arguments, **named):
    return Field(*arguments, **named)


CONFIGS = [F("name", STRING), F("value", STRING, null=0)]

# API key: name, oldest and newest version, first flexible version, fields of the request.
APIS = {
    0: ("Produce", 3, 13, 9, [
        F("transactional_id", STRING, null=3), F("acks", I16), F("timeout_ms", I32),
        F("topics", [F("name", STRING, 0, 12), F("topic_id", UUID, 13),
                     F("partitions", [F("index", I32), F("records", BYTES, null=0)])])]),
    1: ("Fetch", 4, 18, 12, [
        F("replica_id", I32, 0, 14), F("max_wait_ms", I32), F("min_bytes", I32), F("max_bytes", I32, 3),
        F("isolation_level", I8, 4), F("session_id", I32, 7), F("session_epoch", I32, 7),
        F("topics", [F("topic", STRING, 0, 12), F("topic_id", UUID, 13), F("partitions", [
            F("partition", I32), F("current_leader_epoch", I32, 9), F("fetch_offset", I64),
            F("last_fetched_epoch", I32, 12), F("log_start_offset", I64, 5), F("partition_max_bytes", I32),
            F("high_watermark", I64, 18, tag=1)])]),
        F("forgotten", [F("topic", STRING, 7, 12), F("topic_id", UUID, 13), F("partitions", [I32], 7)], 7),
        F("rack_id", STRING, 11), F("cluster_id", STRING, 12, null=12, tag=0)]),
    2: ("ListOffsets", 1, 11, 6, [
        F("replica_id", I32), F("isolation_level", I8, 2),
        F("topics", [F("name", STRING), F("partitions", [
            F("partition_index", I32), F("current_leader_epoch", I32, 4), F("timestamp", I64)])]),
        F("timeout_ms", I32, 10)]),
    3: ("Metadata", 0, 13, 9, [
        F("topics", [F("topic_id", UUID, 10), F("name", STRING, null=10)], null=1),
        F("allow_auto_topic_creation", BOOL, 4), F("include_cluster", BOOL, 8, 10), F("include_topic", BOOL, 8)]),
    8: ("OffsetCommit", 2, 10, 8, [
        F("group_id", STRING), F("generation_id", I32, 1), F("member_id", STRING, 1),
        F("group_instance_id", STRING, 7, null=7), F("retention_time_ms", I64, 2, 4),
        F("topics", [F("name", STRING, 0, 9), F("topic_id", UUID, 10), F("partitions", [
            F("partition_index", I32), F("committed_offset", I64), F("committed_leader_epoch", I32, 6),
            F("committed_metadata", STRING, null=0)])])]),
    9: ("OffsetFetch", 1, 10, 6, [
        F("group_id", STRING, 0, 7), F("topics", [F("name", STRING), F("partition_indexes", [I32])], 0, 7, null=2),
        F("groups", [
            F("group_id", STRING), F("member_id", STRING, 9, null=9), F("member_epoch", I32, 9),
            F("topics", [F("name", STRING, 8, 9), F("topic_id", UUID, 10), F("partition_indexes", [I32])], null=8)], 8),
        F("require_stable", BOOL, 7)]),
    10: ("FindCoordinator", 0, 6, 3, [F("key", STRING, 0, 3), F("key_type", I8, 1), F("coordinator_keys", [STRING], 4)]),
    11: ("JoinGroup", 0, 9, 6, [
        F("group_id", STRING), F("session_timeout_ms", I32), F("rebalance_timeout_ms", I32, 1), F("member_id", STRING),
        F("group_instance_id", STRING, 5, null=5), F("protocol_type", STRING),
        F("protocols", [F("name", STRING), F("metadata", BYTES)]), F("reason", STRING, 8, null=8)]),
    12: ("Heartbeat", 0, 4, 4, [
        F("group_id", STRING), F("generation_id", I32), F("member_id", STRING), F("group_instance_id", STRING, 3, null=3)]),
    13: ("LeaveGroup", 0, 5, 4, [
        F("group_id", STRING), F("member_id", STRING, 0, 2),
        F("members", [F("member_id", STRING), F("group_instance_id", STRING, null=3), F("reason", STRING, 5, null=5)], 3)]),
    14: ("SyncGroup", 0, 5, 4, [
        F("group_id", STRING), F("generation_id", I32), F("member_id", STRING), F("group_instance_id", STRING, 3, null=3),
        F("protocol_type", STRING, 5, null=5), F("protocol_name", STRING, 5, null=5),
        F("assignments", [F("member_id", STRING), F("assignment", BYTES)])]),
    15: ("DescribeGroups", 0, 6, 5, [F("groups", [STRING]), F("include_authorized_operations", BOOL, 3)]),
    16: ("ListGroups", 0, 5, 3, [F("states_filter", [STRING], 4), F("types_filter", [STRING], 5)]),
    18: ("ApiVersions", 0, 4, 3, [F("software_name", STRING, 3), F("software_version", STRING, 3)]),
    19: ("CreateTopics", 2, 7, 5, [
        F("topics", [F("name", STRING), F("num_partitions", I32), F("replication_factor", I16),
                     F("assignments", [F("partition_index", I32), F("broker_ids", [I32])]),
                     F("configs", CONFIGS)]),
        F("timeout_ms", I32), F("validate_only", BOOL, 1)]),
    20: ("DeleteTopics", 1, 6, 4, [
        F("topics", [F("name", STRING, null=6), F("topic_id", UUID)], 6), F("topic_names", [STRING], 0, 5),
        F("timeout_ms", I32)]),
    21: ("DeleteRecords", 0, 2, 2, [
        F("topics", [F("name", STRING), F("partitions", [F("partition_index", I32), F("offset", I64)])]),
        F("timeout_ms", I32)]),
    22: ("InitProducerId", 0, 5, 2, [
        F("transactional_id", STRING, null=0), F("transaction_timeout_ms", I32), F("producer_id", I64, 3),
        F("producer_epoch", I16, 3)]),
    23: ("OffsetForLeaderEpoch", 2, 4, 4, [
        F("replica_id", I32, 3),
        F("topics", [F("topic", STRING), F("partitions", [
            F("partition", I32), F("current_leader_epoch", I32, 2), F("leader_epoch", I32)])])]),
    32: ("DescribeConfigs", 1, 4, 4, [
        F("resources", [F("resource_type", I8), F("resource_name", STRING), F("keys", [STRING], null=0)]),
        F("include_synonyms", BOOL, 1), F("include_documentation", BOOL, 3)]),
    33: ("AlterConfigs", 0, 2, 2, [
        F("resources", [F("resource_type", I8), F("resource_name", STRING), F("configs", CONFIGS)]),
        F("validate_only", BOOL)]),
    35: ("DescribeLogDirs", 1, 4, 2, [F("topics", [F("topic", STRING), F("partitions", [I32])], null=0)]),
    37: ("CreatePartitions", 0, 3, 2, [
        F("topics", [F("name", STRING), F("count", I32), F("assignments", [F("broker_ids", [I32])], null=0)]),
        F("timeout_ms", I32), F("validate_only", BOOL)]),
    42: ("DeleteGroups", 0, 2, 2, [F("groups_names", [STRING])]),
    44: ("IncrementalAlterConfigs", 0, 1, 1, [
        F("resources", [F("resource_type", I8), F("resource_name", STRING),
                        F("configs", [F("name", STRING), F("operation", I8), F("value", STRING, null=0)])]),
        F("validate_only", BOOL)]),
    47: ("OffsetDelete", 0, 0, 99, [
        F("group_id", STRING), F("topics", [F("name", STRING), F("partitions", [F("partition_index", I32)])])]),
    60: ("DescribeCluster", 0, 2, 0, [
        F("include_operations", BOOL), F("endpoint_type", I8, 1), F("include_fenced", BOOL, 2)]),
    68: ("ConsumerGroupHeartbeat", 0, 1, 0, [
        F("group_id", STRING), F("member_id", STRING), F("member_epoch", I32), F("instance_id", STRING, null=0),
        F("rack_id", STRING, null=0), F("rebalance_timeout_ms", I32), F("subscribed_topic_names", [STRING], null=0),
        F("subscribed_topic_regex", STRING, 1, null=1), F("server_assignor", STRING, null=0),
        F("topic_partitions", [F("topic_id", UUID), F("partitions", [I32])], null=0)]),
    69: ("ConsumerGroupDescribe", 0, 1, 0, [F("group_ids", [STRING]), F("include_authorized_operations", BOOL)]),
    75: ("DescribeTopicPartitions", 0, 0, 0, [
        F("topics", [F("name", STRING)]), F("limit", I32), F("cursor_marker", I8)]),
}

# What a harmless request says, by field name. Names that no topic has keep the valid requests without effect.
SAMPLE = {
    "name": "abuse-nothing", "topic": "abuse-nothing", "resource_name": "abuse-nothing", "topic_names": "abuse-nothing",
    "resource_type": 2, "acks": 1, "timeout_ms": 1000, "replica_id": -1, "session_epoch": -1, "max_bytes": 1000,
    "partition_max_bytes": 1000, "num_partitions": 1, "replication_factor": 1, "validate_only": True, "limit": 10,
    "cursor_marker": -1, "current_leader_epoch": -1, "producer_id": -1, "producer_epoch": -1, "endpoint_type": 1,
    "last_fetched_epoch": -1, "records": b"\0" * 61, "software_name": "abuse", "software_version": "1", "value": "x",
    "keys": "retention.ms", "count": 2, "broker_ids": 0, "timestamp": -1, "transactional_id": None, "cluster_id": None,
    "assignments": [], "allow_auto_topic_creation": False,
}


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Encoder:
    """Encodes; `marks` are (offset, bytes taken, kind, may be null) of every length, count and tag count."""

    def __init__(self, version, flexible):
        self.version, self.flexible, self.out, self.marks = version, flexible, bytearray(), []

    def length(self, value, wide, kind, null_allowed):
        at = len(self.out)
        if self.flexible:
            self.out += varint(0 if value is None else value + 1)
        else:
            self.out += struct.pack(wide, -1 if value is None else value)
        self.marks.append((at, len(self.out) - at, kind, null_allowed))

    def tags(self, fields=()):
        at = len(self.out)
        self.out += varint(len(fields))
        self.marks.append((at, len(self.out) - at, "tags", False))
        for tag, value in fields:
            self.out += varint(tag) + varint(len(value)) + value

    def value(self, kind, value, null_allowed=False):
        if isinstance(kind, list):
            self.length(None if value is None else len(value), ">i", "array", null_allowed)
            for element in value or []:
                if isinstance(kind[0], Field):
                    self.structure(kind, element)
                else:
                    self.value(kind[0], element)
        elif kind in FORMATS:
            self.out += struct.pack(FORMATS[kind], value)
        elif kind == UUID:
            self.out += value
        elif kind == STRING:
            raw = None if value is None else value.encode() if isinstance(value, str) else value
            self.length(None if raw is None else len(raw), ">h", "string", null_allowed)
            self.out += raw or b""
        else:
            self.length(None if value is None else len(value), ">i", "bytes", null_allowed)
            self.out += value or b""

    def structure(self, fields, values):
        tagged = []
        for field in fields:
            if not field.since <= self.version <= field.until:
                continue
            value = values.get(field.name, default(field, self.version))
            if field.tag is None:
                self.value(field.kind, value, self.version >= field.null)
            elif self.flexible and value not in (None, 0):
                inner = Encoder(self.version, True)
                inner.value(field.kind, value, True)
                tagged.append((field.tag, bytes(inner.out)))
        if self.flexible:
            self.tags(sorted(tagged))


def default(field, version):
    if field.name in SAMPLE:
        value = SAMPLE[field.name]
        if isinstance(field.kind, list) and not isinstance(value, list):
            return [value]
        return value
    if isinstance(field.kind, list):
        return [{}] if isinstance(field.kind[0], Field) else [default(Field(field.name, field.kind[0]), version)]
    return {UUID: b"\1" * 16, STRING: "x", BYTES: b"", BOOL: False}.get(field.kind, 0)


def header(key, version, correlation=1, client="abuse", flexible=None):
    if flexible is None:
        flexible = version >= APIS[key][3] if key in APIS else False
    raw = client.encode() if isinstance(client, str) else client
    out = struct.pack(">hhi", key, version, correlation)
    out += struct.pack(">h", -1) if raw is None else struct.pack(">h", len(raw)) + raw
    return out + (b"\0" if flexible else b"")


def body(key, version, **values):
    """The body of a request, and its marks."""
    encoder = Encoder(version, version >= APIS[key][3])
    encoder.structure(APIS[key][4], values)
    return bytes(encoder.out), encoder.marks


def request(key, version, correlation=1, client="abuse", **values):
    return header(key, version, correlation, client) + body(key, version, **values)[0]


def frame(payload):
    return struct.pack(">i", len(payload)) + payload


def every_version():
    for key, (name, low, high, _, _) in APIS.items():
        for version in range(low, high + 1):
            yield key, name, version
