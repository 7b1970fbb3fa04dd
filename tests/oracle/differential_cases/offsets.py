"""ListOffsets and OffsetForLeaderEpoch."""

import time

import wire
from wire import record_batch

from . import collector
from .produce import TIME

CASES, case = collector()

SPECIAL = {"latest": -1, "earliest": -2, "max timestamp": -3, "earliest local": -4, "latest tiered": -5, "earliest pending": -6, "-7": -7}


def _timed(broker):
    """Times 100, 110, 120 at offsets 0-2; 90 at 3; 200 and 150 at 4-5 (highest first in its batch); 130 at 6."""
    topic = broker.topic()

    def batch(*times):
        records = b"".join(wire.record(index, b"v", timestamp_delta=time - times[0]) for index, time in enumerate(times))
        return record_batch(
            (b"v",) * len(times), base_timestamp=TIME + times[0], max_timestamp=TIME + max(times), records=records
        )

    for times in ((100, 110, 120), (90,), (200, 150), (130,)):
        assert broker.produce(topic, batch(*times))["ErrorCode"] == "NONE"
    return topic


def _version(version):
    def run(broker):
        topic = _timed(broker)
        outcome = {name: broker.list_offset(topic, timestamp, version=version) for name, timestamp in SPECIAL.items()}
        outcome["by time"] = broker.list_offset(topic, TIME + 110, version=version)
        outcome["unknown topic"] = broker.list_offset(topic + "-unknown", -1, version=version)
        outcome["unknown partition"] = broker.list_offset(topic, -1, 9, version=version)
        return outcome

    return run


for _number in range(1, 12):
    case(f"list-v{_number}")(_version(_number))


@case()
def by_time(broker):
    """The first record at or after the time, also where times go back, and inside a batch."""
    topic = _timed(broker)
    outcome = {}
    for delta in (0, 89, 90, 99, 100, 101, 110, 111, 120, 121, 130, 150, 151, 199, 200, 201):
        outcome[f"{delta}"] = broker.list_offset(topic, TIME + delta)
    outcome["time 0"] = broker.list_offset(topic, 0)
    outcome["far future"] = broker.list_offset(topic, 2**62)
    return outcome


@case()
def by_time_in_compressed_batches(broker):
    topic = broker.topic()
    records = b"".join(wire.record(index, b"v", timestamp_delta=index * 10) for index in range(5))
    batch = record_batch((b"v",) * 5, base_timestamp=TIME, max_timestamp=TIME + 40, records=records, attributes=1)
    outcome = {"produced": broker.produce(topic, batch)}
    for delta in (-5, 0, 5, 10, 35, 40, 41):
        outcome[f"{delta}"] = broker.list_offset(topic, TIME + delta)
    outcome["max timestamp"] = broker.list_offset(topic, -3)
    return outcome


@case()
def of_an_empty_partition(broker):
    topic = broker.topic()
    outcome = {name: broker.list_offset(topic, timestamp) for name, timestamp in SPECIAL.items()}
    outcome["by time"] = broker.list_offset(topic, TIME)
    return outcome


@case()
def after_delete_records(broker):
    topic = _timed(broker)
    request = {"Topics": [{"Name": topic, "Partitions": [{"PartitionIndex": 0, "Offset": 5}]}], "TimeoutMs": 5000}
    broker.ask("DeleteRecords", request, 2)
    outcome = {name: broker.list_offset(topic, timestamp) for name, timestamp in SPECIAL.items()}
    for delta in (0, 100, 150, 200):
        outcome[f"{delta}"] = broker.list_offset(topic, TIME + delta)
    return outcome


@case()
def of_log_append_time(broker):
    topic = broker.topic(configs={"message.timestamp.type": "LogAppendTime"})
    # The second batch comes in another millisecond than the first, or which of them is the newest would be chance.
    broker.fill(topic, [(b"a", b"b")], base_timestamp=TIME)
    time.sleep(0.02)
    broker.fill(topic, [(b"c",)], base_timestamp=TIME)
    max_timestamp = broker.list_offset(topic, -3)
    max_timestamp["Timestamp"] = "NOW" if max_timestamp.get("Timestamp", 0) > TIME + 1_000_000 else max_timestamp
    return {"long ago": broker.list_offset(topic, TIME)["Offset"], "max timestamp": max_timestamp}


@case()
def with_leader_epochs(broker):
    topic = _timed(broker)
    return {f"epoch {epoch}": broker.list_offset(topic, -1, leader_epoch=epoch) for epoch in (-2, -1, 0, 1, 99)}


@case()
def with_isolation_and_replica(broker):
    topic = _timed(broker)
    outcome = {f"isolation {level}": broker.list_offset(topic, -1, IsolationLevel=level) for level in (0, 1, 2)}
    outcome["debug consumer"] = broker.list_offset(topic, -1, ReplicaId=-2)
    outcome["unknown replica"] = broker.list_offset(topic, -1, ReplicaId=4711)
    return outcome


@case()
def partition_twice(broker):
    topic = _timed(broker)
    partitions = [{"PartitionIndex": 0, "Timestamp": timestamp} for timestamp in (-1, -2)]
    return {"reply": broker.ask("ListOffsets", {"ReplicaId": -1, "Topics": [{"Name": topic, "Partitions": partitions}]}, 7)}


# OffsetForLeaderEpoch


def _end_offset(broker, topic, epoch, current=-1, partition=0, version=4):
    entry = {"Partition": partition, "CurrentLeaderEpoch": current, "LeaderEpoch": epoch}
    request = {"Topics": [{"Topic": topic, "Partitions": [entry]}]}
    if version >= 3:
        request["ReplicaId"] = -1
    reply = broker.ask("OffsetForLeaderEpoch", request, version)
    return reply["Topics"] if isinstance(reply, dict) else reply


@case()
def end_of_epoch(broker):
    topic = _timed(broker)
    outcome = {f"epoch {epoch}": _end_offset(broker, topic, epoch) for epoch in (-2, -1, 0, 1, 99)}
    for current in (-2, 0, 1, 99):
        outcome[f"current {current}"] = _end_offset(broker, topic, 0, current)
    outcome["unknown topic"] = _end_offset(broker, topic + "-unknown", 0)
    outcome["unknown partition"] = _end_offset(broker, topic, 0, partition=9)
    for version in (2, 3, 4):
        outcome[f"v{version}"] = _end_offset(broker, topic, 0, version=version)
    return outcome


@case()
def end_of_epoch_of_an_empty_partition(broker):
    topic = broker.topic()
    return {f"epoch {epoch}": _end_offset(broker, topic, epoch) for epoch in (-1, 0, 1)}
