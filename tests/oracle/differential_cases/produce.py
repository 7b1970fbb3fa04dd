"""Produce: what a batch, a topic or a request must look like, and the error for each way to get it wrong."""

import gzip
import struct

import wire
from wire import record_batch

from . import collector
from .broker import ZERO

CASES, case = collector()

# A fixed time well in the past keeps the default limit on future timestamps out of the way.
TIME = 1_700_000_000_000


def _version(version):
    def run(broker):
        topic = broker.topic()
        request = {
            "Acks": -1,
            "TimeoutMs": 10_000,
            "TopicData": [
                {
                    "Name": topic,
                    "TopicId": broker.topic_id(topic),
                    "PartitionData": [{"Index": 0, "Records": record_batch((b"a", b"b"), base_timestamp=TIME)}],
                }
            ],
        }
        entry = request["TopicData"][0]
        del entry["TopicId" if version < 13 else "Name"]
        outcome = {"first": broker.ask("Produce", request, version), "second": broker.ask("Produce", request, version)}
        entry["PartitionData"][0]["Index"] = 7
        outcome["unknown partition"] = broker.ask("Produce", request, version)
        entry["PartitionData"] = []
        outcome["no partition"] = broker.ask("Produce", request, version)
        request["TopicData"] = []
        outcome["no topic"] = broker.ask("Produce", request, version)
        return outcome

    return run


for _number in range(3, 14):
    case(f"v{_number}")(_version(_number))


@case()
def acknowledgements(broker):
    topic = broker.topic()
    batch = record_batch(base_timestamp=TIME)
    outcome = {f"acks {acks}": broker.produce(topic, batch, acks=acks) for acks in (-1, 1, 2, -2, 32767)}
    # Nothing answers acks=0; what follows on the connection is answered as if it had not been there.
    request = {"Acks": 0, "TimeoutMs": 1000, "TopicData": [{"Name": topic, "PartitionData": [{"Index": 0, "Records": batch}]}]}
    broker.connection.send("Produce", request, 9)
    outcome["after acks 0"] = broker.produce(topic, batch)
    # An error with acks=0 can only be told by closing the connection.
    request["TopicData"][0]["Name"] = topic + "-unknown"
    with broker.survive() as seen:
        broker.connection.send("Produce", request, 9)
        seen.append(broker.connection.call("ApiVersions", {}, 0)["ErrorCode"])
    outcome["unknown topic with acks 0"] = seen[0]
    return outcome


@case()
def unknown_places(broker):
    batch = record_batch(base_timestamp=TIME)
    topic = broker.topic()
    outcome = {name: broker.produce(name, batch) for name in ("a b", "", "..", "x" * 250)}
    outcome["unknown topic"] = broker.produce(topic + "-unknown", batch)
    outcome["negative partition"] = broker.produce(topic, batch, partition=-1)
    for name, topic_id in {"unknown id": wire.uuid.UUID(int=77), "zero id": ZERO}.items():
        request = {"Acks": -1, "TimeoutMs": 1000, "TopicData": [{"TopicId": topic_id, "PartitionData": [{"Index": 0, "Records": batch}]}]}
        outcome[name] = broker.ask("Produce", request, 13)
    return outcome


BAD_RECORD = wire.varint(5) + b"\0\0\0\1\1"

SPOILED = {
    "null records": None,
    "no bytes": b"",
    "one byte": b"\0",
    "eleven bytes": b"\0" * 11,
    "header only": record_batch(base_timestamp=TIME)[:61],
    "torn": record_batch((b"a" * 100,), base_timestamp=TIME)[:-5],
    "bytes after the batch": record_batch(base_timestamp=TIME) + b"abc",
    "two batches": record_batch(base_timestamp=TIME) + record_batch(base_timestamp=TIME),
    "crc": record_batch(base_timestamp=TIME, crc_delta=1),
    "crc 0": record_batch(base_timestamp=TIME)[:17] + bytes(4) + record_batch(base_timestamp=TIME)[21:],
    "magic 0": record_batch(base_timestamp=TIME, magic=0),
    "magic 1": record_batch(base_timestamp=TIME, magic=1),
    "magic 3": record_batch(base_timestamp=TIME, magic=3),
    "magic minus 1": record_batch(base_timestamp=TIME, magic=-1),
    "length too small": record_batch(base_timestamp=TIME, length_delta=-1),
    "length too large": record_batch(base_timestamp=TIME, length_delta=1),
    "length 0": struct.pack(">qi", 0, 0) + record_batch(base_timestamp=TIME)[12:],
    "length negative": struct.pack(">qi", 0, -1) + record_batch(base_timestamp=TIME)[12:],
    "length 13": struct.pack(">qi", 0, 13) + record_batch(base_timestamp=TIME)[12:],
    "length 2^31-1": struct.pack(">qi", 0, 2**31 - 1) + record_batch(base_timestamp=TIME)[12:],
    "no records": record_batch((), base_timestamp=TIME, last_offset_delta=0),
    "no records, delta -1": record_batch((), base_timestamp=TIME),
    "count too large": record_batch((b"a",), base_timestamp=TIME, record_count=2),
    "count too small": record_batch((b"a", b"b"), base_timestamp=TIME, record_count=1),
    "count negative": record_batch((b"a",), base_timestamp=TIME, record_count=-1),
    "count 2^31-1": record_batch((b"a",), base_timestamp=TIME, record_count=2**31 - 1, last_offset_delta=2**31 - 2),
    "last delta too large": record_batch((b"a",), base_timestamp=TIME, last_offset_delta=5),
    "last delta too small": record_batch((b"a", b"b"), base_timestamp=TIME, last_offset_delta=0),
    "last delta negative": record_batch((b"a",), base_timestamp=TIME, last_offset_delta=-1),
    "record garbage": record_batch((b"a",), base_timestamp=TIME, records=b"\xff\xff\xff\xff\xff\xff"),
    "record too long": record_batch((b"a",), base_timestamp=TIME, records=wire.varint(100) + bytes(6)),
    "record of negative length": record_batch((b"a",), base_timestamp=TIME, records=wire.varint(-5) + bytes(6)),
    "record truncated": record_batch((b"a",), base_timestamp=TIME, records=BAD_RECORD),
    "offset deltas not in order": record_batch(
        (b"a", b"b"), base_timestamp=TIME, records=wire.record(1, b"a") + wire.record(0, b"b")
    ),
    "offset deltas with a hole": record_batch(
        (b"a", b"b"), base_timestamp=TIME, records=wire.record(0, b"a") + wire.record(2, b"b"), last_offset_delta=2
    ),
    "bytes after the records": record_batch((b"a",), base_timestamp=TIME, records=wire.record(0, b"a") + b"zz"),
    "control batch": record_batch(base_timestamp=TIME, attributes=1 << 5),
    "transactional without producer": record_batch(base_timestamp=TIME, attributes=1 << 4),
    "transactional with producer": record_batch(
        base_timestamp=TIME, attributes=1 << 4, producer_id=4711, producer_epoch=0, base_sequence=0
    ),
    "unknown attribute bits": record_batch(base_timestamp=TIME, attributes=1 << 9),
    "delete horizon attribute": record_batch(base_timestamp=TIME, attributes=1 << 6),
    "codec 5": record_batch(base_timestamp=TIME, attributes=5),
    "codec 7": record_batch(base_timestamp=TIME, attributes=7),
    "snappy that is not snappy": record_batch(base_timestamp=TIME, attributes=2, records=b"\xff\xff\xff\xff\xff\xff\xff\xff"),
    "lz4 that is not lz4": record_batch(base_timestamp=TIME, attributes=3),
    "zstd that is not zstd": record_batch(base_timestamp=TIME, attributes=4),
    "producer id without sequence": record_batch(base_timestamp=TIME, producer_id=4711, producer_epoch=0),
    "sequence without producer id": record_batch(base_timestamp=TIME, base_sequence=0),
    "log append time attribute": record_batch(base_timestamp=TIME, attributes=1 << 3),
    "timestamp -1": record_batch(base_timestamp=-1),
    "timestamp negative": record_batch(base_timestamp=-1000),
    "timestamp 0": record_batch(base_timestamp=0),
    "max timestamp wrong": record_batch(base_timestamp=TIME, max_timestamp=TIME + 5),
    "base offset set": record_batch(base_timestamp=TIME, base_offset=12345),
    "leader epoch set": record_batch(base_timestamp=TIME, partition_leader_epoch=99),
    "null value": record_batch((None,), base_timestamp=TIME),
    "empty key and value": record_batch((b"",), keys=[b""], base_timestamp=TIME),
    "header with null value": record_batch(
        (b"a",), base_timestamp=TIME, records=wire.record(0, b"a", None, [(b"h", None), (b"", b""), (b"h", b"x")])
    ),
    "record attributes set": record_batch((b"a",), base_timestamp=TIME, records=b"\x0c\x01\x00\x00\x01\x02\x61\x00"),
    "gzip": record_batch((b"a", b"b"), base_timestamp=TIME, attributes=1),
}

def _spoiled_gzip(data):
    good = bytearray(record_batch((b"a" * 50,), base_timestamp=TIME, attributes=1))
    # Behind the header is the compressed part: spoil it and put the CRC right again.
    good[61 : 61 + len(data)] = data
    crc = wire.crc32c(bytes(good[21:]))
    good[17:21] = struct.pack(">I", crc)
    return bytes(good)


SPOILED["gzip that is not gzip"] = _spoiled_gzip(b"notgzip")
SPOILED["gzip with a wrong checksum"] = _spoiled_gzip(gzip.compress(b"x")[:10] + b"\xff\xff\xff")


def _spoiled(batch):
    def run(broker):
        topic = broker.topic()
        outcome = {"reply": broker.produce(topic, batch)}
        # A refused batch leaves nothing behind, and the connection or a new one goes on.
        outcome["then"] = broker.produce(topic, record_batch(base_timestamp=TIME))
        partition = {"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 100_000}
        request = {"MaxWaitMs": 0, "MinBytes": 0, "Topics": [{"Topic": topic, "Partitions": [partition]}]}
        outcome["stored"] = broker.ask("Fetch", request, 12)["Responses"]
        return outcome

    return run


for _name, _batch in SPOILED.items():
    case("batch: " + _name)(_spoiled(_batch))


@case()
def sizes(broker):
    """Around max.message.bytes, which counts the batch as it is stored."""
    topic = broker.topic(configs={"max.message.bytes": "1000"})
    outcome = {}
    for size in (800, 925, 930, 931, 932, 933, 940, 1000, 5000):
        batch = record_batch((b"x" * size,), base_timestamp=TIME)
        outcome[f"value {size}, batch {len(batch)}"] = broker.produce(topic, batch)
    default = broker.topic("-default")
    outcome["over the default"] = broker.produce(default, record_batch((bytes(1_048_588),), base_timestamp=TIME))
    outcome["over the default, compressed small"] = broker.produce(
        default, record_batch((bytes(2_000_000),), base_timestamp=TIME, attributes=1)
    )
    return outcome


@case()
def several_partitions_in_one_request(broker):
    topic = broker.topic(partitions=3)
    good, bad = record_batch(base_timestamp=TIME), record_batch(base_timestamp=TIME, crc_delta=1)

    def ask(*partitions):
        request = {
            "Acks": -1,
            "TimeoutMs": 10_000,
            "TopicData": [{"Name": topic, "PartitionData": [{"Index": index, "Records": data} for index, data in partitions]}],
        }
        reply = broker.ask("Produce", request, 9)
        if isinstance(reply, dict):
            for entry in reply["Responses"]:
                entry["PartitionResponses"].sort(key=lambda partition: partition["Index"])
        return reply

    outcome = {"one bad": ask((0, good), (1, bad), (2, good)), "one unknown": ask((0, good), (9, good))}
    outcome["same partition twice"] = ask((0, good), (0, good))
    return outcome


@case()
def compacted_topics_need_keys(broker):
    topic = broker.topic(configs={"cleanup.policy": "compact"})
    return {
        "no key": broker.produce(topic, record_batch((b"a",), base_timestamp=TIME)),
        "second has no key": broker.produce(topic, record_batch((b"a", b"b", b"c"), keys=[b"k", None, None], base_timestamp=TIME)),
        "key": broker.produce(topic, record_batch((b"a",), keys=[b"k"], base_timestamp=TIME)),
        "tombstone": broker.produce(topic, record_batch((None,), keys=[b"k"], base_timestamp=TIME)),
        "compressed, no key": broker.produce(topic, record_batch((b"a",), base_timestamp=TIME, attributes=1)),
    }


@case()
def timestamps_out_of_range(broker):
    now = wire.now_ms()
    topic = broker.topic(configs={"message.timestamp.before.max.ms": "60000", "message.timestamp.after.max.ms": "60000"})
    outcome = {}
    for name, delta in {"now": 0, "an hour ago": -3_600_000, "in an hour": 3_600_000}.items():
        outcome[name] = broker.produce(topic, record_batch((b"a",), base_timestamp=now + delta))
    records = wire.record(0, b"a") + wire.record(1, b"b", timestamp_delta=3_600_000)
    spoiled = record_batch((b"a", b"b"), base_timestamp=now, max_timestamp=now + 3_600_000, records=records)
    outcome["second in an hour"] = broker.produce(topic, spoiled)
    default = broker.topic("-default")
    outcome["in two hours, by default"] = broker.produce(default, record_batch((b"a",), base_timestamp=now + 7_200_000))
    outcome["long ago, by default"] = broker.produce(default, record_batch((b"a",), base_timestamp=1000))
    return outcome


@case()
def log_append_time(broker):
    topic = broker.topic(configs={"message.timestamp.type": "LogAppendTime"})
    before = wire.now_ms()
    outcome = {"reply": broker.produce(topic, record_batch((b"a", b"b"), base_timestamp=TIME))}
    outcome["far future is replaced"] = broker.produce(topic, record_batch((b"a",), base_timestamp=before + 9_999_999_999))
    partition = {"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 100_000}
    request = {"MaxWaitMs": 0, "MinBytes": 0, "Topics": [{"Topic": topic, "Partitions": [partition]}]}
    records = broker.call("Fetch", request, 12)["Responses"][0]["Partitions"][0]["Records"]
    outcome["stored"] = [
        {
            "attributes": header["attributes"],
            "max timestamp is now": before - 5000 <= header["max_timestamp"] <= wire.now_ms() + 5000,
            "base timestamp kept": header["base_timestamp"] in (TIME, before + 9_999_999_999),
        }
        for header in wire.batch_headers(records)
    ]
    return outcome


@case()
def zstd_needs_version_7(broker):
    """A producer too old to know zstd must not write it. The batch is not even looked into."""
    topic = broker.topic()
    batch = record_batch(base_timestamp=TIME, attributes=4)
    return {f"v{version}": broker.produce(topic, batch, version=version) for version in (3, 6)}


@case()
def recompression(broker):
    """A topic with a codec of its own stores every batch in it."""
    topic = broker.topic(configs={"compression.type": "gzip"})
    plain = broker.topic("-plain", configs={"compression.type": "uncompressed"})
    outcome = {}
    for name, place, attributes in [("to gzip", topic, 0), ("gzip stays", topic, 1), ("to none", plain, 1)]:
        batch = record_batch((b"a" * 500, b"b" * 500), base_timestamp=TIME, attributes=attributes)
        outcome[name] = broker.produce(place, batch)
    for name, place in (("gzip", topic), ("none", plain)):
        partition = {"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 100_000}
        request = {"MaxWaitMs": 0, "MinBytes": 0, "Topics": [{"Topic": place, "Partitions": [partition]}]}
        outcome[f"stored as {name}"] = broker.ask("Fetch", request, 12)["Responses"]
    return outcome


@case()
def a_transactional_id_in_the_request(broker):
    topic = broker.topic()
    plain = record_batch(base_timestamp=TIME)
    return {"plain batch": broker.produce(topic, plain, transactional_id="t"), "empty id": broker.produce(topic, plain, transactional_id="")}


@case()
def what_is_stored(broker):
    """The bytes that come back are the bytes that went in, but for base offset and leader epoch."""
    topic = broker.topic()
    sent = [record_batch((b"a", b"b"), base_timestamp=TIME, attributes=codec) for codec in (0, 1)]
    for batch in sent:
        broker.produce(topic, batch)
    partition = {"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 100_000}
    request = {"MaxWaitMs": 0, "MinBytes": 0, "Topics": [{"Topic": topic, "Partitions": [partition]}]}
    got = broker.call("Fetch", request, 12)["Responses"][0]["Partitions"][0]["Records"]
    outcome, position = [], 0
    for batch in sent:
        piece = got[position : position + len(batch)]
        position += len(batch)
        outcome.append({"base offset": struct.unpack(">q", piece[:8])[0], "rest is same": piece[16:] == batch[16:]})
    return {"batches": outcome, "nothing more": position == len(got)}
