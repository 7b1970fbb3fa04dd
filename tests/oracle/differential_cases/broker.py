"""One broker as a case sees it: calls whose replies are normalised, and the shortcuts that most cases share."""

import contextlib
import time
import uuid

import wire

ZERO = uuid.UUID(int=0)

# Fields that hold something which must differ between two brokers, and the word that replaces it.
KINDS = {
    "Host": lambda value: "HOST" if value else value,
    "Port": lambda value: "PORT" if value > 0 else value,
    "ClusterId": lambda value: "CLUSTER" if value else value,
    "ErrorMessage": lambda value: "MESSAGE" if value else value,
    "BatchIndexErrorMessage": lambda value: "MESSAGE" if value else value,
    "TopicId": lambda value: "ID" if value != ZERO else "ZERO",
    "ProducerId": lambda value: "PRODUCER" if value >= 0 else value,
    "LogAppendTimeMs": lambda value: "TIME" if value > 0 else value,
    "SessionId": lambda value: "SESSION" if value > 0 else value,
    "LogDir": lambda value: "DIRECTORY" if value else value,
    "TotalBytes": lambda value: "BYTES" if value > 0 else value,
    "UsableBytes": lambda value: "BYTES" if value > 0 else value,
    "Documentation": lambda value: "TEXT" if value else value,
}
NODE_FIELDS = {"NodeId", "BrokerId", "ControllerId", "LeaderId", "PreferredReadReplica"}
NODE_LIST_FIELDS = {"ReplicaNodes", "IsrNodes", "OfflineReplicas", "EligibleLeaderReplicas", "LastKnownElr"}
DROPPED = {"ThrottleTimeMs"}


def normal(value, name=""):
    """Error codes by name, broker-specific values by kind, records as the headers of their batches."""
    if name == "Records":
        return None if value is None else [batch_shape(header) for header in wire.batch_headers(value)]
    if name.endswith("ErrorCode"):
        return wire.error_name(value)
    if name in KINDS and not isinstance(value, (dict, list)):
        return KINDS[name](value)
    if name in NODE_FIELDS and isinstance(value, int):
        return "NODE" if value >= 0 else value
    if name in NODE_LIST_FIELDS and value:
        return ["NODE" for _ in value]
    if isinstance(value, dict):
        return {key: normal(inner, key) for key, inner in value.items() if key not in DROPPED}
    if isinstance(value, list):
        return [normal(inner, name) for inner in value]
    return value


def by_name(topics):
    """Topics of a reply, where Kafka's order is that of its hash tables."""
    return sorted(topics, key=lambda topic: topic["Name"] or "")


def batch_shape(header):
    shape = {key: header[key] for key in ("base_offset", "count", "attributes", "partition_leader_epoch", "base_sequence")}
    return shape | {"last_offset_delta": header["last_offset_delta"], "producer": header["producer_id"] >= 0}


class Broker:
    def __init__(self, bootstrap, prefix):
        self.bootstrap = bootstrap
        self.prefix = prefix
        self._connection = None

    def close(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def connection(self):
        if self._connection is None:
            self._connection = wire.Connection(self.bootstrap, timeout_seconds=15)
        return self._connection

    def call(self, api, values, version):
        """The reply as it came. A closed connection is replaced before the next call."""
        try:
            return self.connection.call(api, values, version)
        except (wire.Closed, wire.WireError, OSError):
            self.close()
            raise

    def ask(self, api, values, version):
        """The reply with everything normalised, or what became of the connection."""
        with self.survive() as outcome:
            outcome.append(normal(self.call(api, values, version)))
        return outcome[0]

    @contextlib.contextmanager
    def survive(self):
        """Collects one outcome; a closed or silent connection is an outcome as well, so that a sweep goes on."""
        outcome = []
        try:
            yield outcome
        except wire.Closed:
            outcome.append("CLOSED")
            self.close()
        except TimeoutError:
            outcome.append("NO ANSWER")
            self.close()
        except wire.WireError as error:
            outcome.append(f"UNREADABLE: {error}")
            self.close()

    def topic(self, suffix="", partitions=1, configs=None):
        """Creates a topic of this case and waits until it has leaders."""
        name = f"{self.prefix}{suffix}"
        reply = self.call(
            "CreateTopics",
            {
                "Topics": [
                    {
                        "Name": name,
                        "NumPartitions": partitions,
                        "ReplicationFactor": 1,
                        "Configs": [{"Name": key, "Value": value} for key, value in (configs or {}).items()],
                    }
                ],
                "timeoutMs": 15_000,
            },
            5,
        )
        code = reply["Topics"][0]["ErrorCode"]
        assert code == 0, f"create topic: {wire.error_name(code)}"
        self.wait_for_leaders(name, partitions)
        return name

    def wait_for_leaders(self, name, partitions):
        """Kafka tells of a leader before that leader has opened the partition, so each partition is asked for its end as well."""
        deadline = time.monotonic() + 10
        wanted = [{"PartitionIndex": index, "Timestamp": -1} for index in range(partitions)]
        while True:
            topic = self.call("Metadata", {"Topics": [{"Name": name}], "AllowAutoTopicCreation": False}, 5)["Topics"][0]
            if topic["ErrorCode"] == 0 and [p["ErrorCode"] for p in topic["Partitions"]] == [0] * partitions:
                reply = self.call("ListOffsets", {"ReplicaId": -1, "Topics": [{"Name": name, "Partitions": wanted}]}, 3)
                if all(partition["ErrorCode"] == 0 for partition in reply["Topics"][0]["Partitions"]):
                    return
            assert time.monotonic() < deadline, f"{name} has no leaders"
            time.sleep(0.02)

    def topic_id(self, name):
        return self.call("Metadata", {"Topics": [{"Name": name}], "AllowAutoTopicCreation": False}, 12)["Topics"][0]["TopicId"]

    def produce(self, topic, records, partition=0, acks=-1, version=9, transactional_id=None):
        """One Produce of one partition; returns its normalised partition reply."""
        request = {
            "TransactionalId": transactional_id,
            "Acks": acks,
            "TimeoutMs": 10_000,
            "TopicData": [{"Name": topic, "PartitionData": [{"Index": partition, "Records": records}]}],
        }
        reply = self.ask("Produce", request, version)
        return reply["Responses"][0]["PartitionResponses"][0] if isinstance(reply, dict) else reply

    def fill(self, topic, batches=((b"a", b"b", b"c"),), partition=0, **settings):
        """Produces the batches and insists that they are taken."""
        for values in batches:
            reply = self.produce(topic, wire.record_batch(values, **settings), partition)
            assert reply["ErrorCode"] == "NONE", reply

    def producer_id(self):
        reply = self.call("InitProducerId", {"TransactionalId": None, "TransactionTimeoutMs": 60_000}, 4)
        assert reply["ErrorCode"] == 0, reply
        return reply["ProducerId"], reply["ProducerEpoch"]

    def list_offset(self, topic, timestamp, partition=0, version=7, leader_epoch=-1, **more):
        partition_request = {"PartitionIndex": partition, "Timestamp": timestamp}
        if version >= 4:
            partition_request["CurrentLeaderEpoch"] = leader_epoch
        request = {"ReplicaId": -1, "Topics": [{"Name": topic, "Partitions": [partition_request]}]} | more
        reply = self.ask("ListOffsets", request, version)
        return reply["Topics"][0]["Partitions"][0] if isinstance(reply, dict) else reply
