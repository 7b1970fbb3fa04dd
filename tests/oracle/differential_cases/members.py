"""A classic group and its members, as the cases of groups and of their offsets play them.

Every member has a connection of its own, for JoinGroup and SyncGroup wait for others. Member ids are made by the broker; an outcome
names them by the order in which they came up.
"""

import contextlib
import re
import struct
import time

import wire

from .broker import normal

COORDINATOR_ERRORS = ("COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR")
GENERATED = re.compile(r"[\w.-]*-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def subscription(*topics):
    """What a consumer says of itself in version 0 of its protocol."""
    names = b"".join(struct.pack(">h", len(topic)) + topic.encode() for topic in topics)
    return struct.pack(">hi", 0, len(topics)) + names + struct.pack(">i", -1)


class Group:
    """One group of a case: its members, and outcomes in which their ids are names."""

    def __init__(self, broker, stack, suffix=""):
        self.broker = broker
        self.stack = stack
        self.id = f"{broker.prefix}{suffix}"
        self.names = {}
        deadline = time.monotonic() + 20
        while True:
            reply = broker.call("FindCoordinator", {"Key": self.id, "KeyType": 0}, 3)
            if reply["ErrorCode"] == 0:
                break
            assert time.monotonic() < deadline, f"no coordinator: {wire.error_name(reply['ErrorCode'])}"
            time.sleep(0.1)

    def member(self, **settings):
        connection = wire.Connection(self.broker.bootstrap, timeout_seconds=15)
        self.stack.callback(connection.close)
        return Member(self, connection, **settings)

    def learn(self, member_id):
        if member_id and member_id not in self.names:
            shape = "" if GENERATED.fullmatch(member_id) else f" of shape {member_id}"
            self.names[member_id] = f"member {len(self.names) + 1}{shape}"

    def plain(self, value):
        """With names for member ids."""
        if isinstance(value, dict):
            return {key: self.plain(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.plain(inner) for inner in value]
        if isinstance(value, bytes):
            return value.hex()
        return self.names.get(value, value) if isinstance(value, str) else value

    def ask(self, api, values, version):
        return self.plain(self.settled(lambda: self.broker.ask(api, values, version)))

    def settled(self, ask):
        """A new partition of the offsets topic may still be loading; that is no part of any outcome."""
        deadline = time.monotonic() + 10
        while True:
            reply = ask()
            if not any(name in str(reply) for name in COORDINATOR_ERRORS) or time.monotonic() > deadline:
                return reply
            time.sleep(0.1)

    def commit(self, topic, offset=1, version=8, partition=0, metadata="", topic_id=None, **values):
        entry = {"PartitionIndex": partition, "CommittedOffset": offset, "CommittedMetadata": metadata}
        named = {"TopicId": topic_id} if version >= 10 else {"Name": topic}
        request = {"GroupId": self.id, "Topics": [named | {"Partitions": [entry]}]} | values
        reply = self.ask("OffsetCommit", request, version)
        return reply["Topics"][0]["Partitions"][0]["ErrorCode"] if isinstance(reply, dict) else reply

    def fetch(self, topics, version=8, **values):
        """`topics` maps names to partitions; None asks for all."""
        wanted = None if topics is None else [{"Name": name, "PartitionIndexes": list(p)} for name, p in topics.items()]
        if version >= 8:
            request = {"Groups": [{"GroupId": self.id, "Topics": wanted} | values]}
        else:
            request = {"GroupId": self.id, "Topics": wanted} | values
        return self.ask("OffsetFetch", request, version)

    def describe(self, version=5):
        group = self.ask("DescribeGroups", {"Groups": [self.id]}, version)["Groups"][0]
        group["Members"].sort(key=lambda member: member["MemberId"])
        return group

    def state(self):
        return self.describe()["GroupState"]

    def wait_for(self, state):
        deadline = time.monotonic() + 10
        while self.state() != state:
            assert time.monotonic() < deadline, f"{self.state()} where {state} is due"
            time.sleep(0.02)


class Member:
    def __init__(self, group, connection, instance=None, protocols=None, protocol_type="consumer", session_ms=30_000):
        self.group = group
        self.connection = connection
        self.instance = instance
        self.protocols = protocols or {"range": subscription("t")}
        self.protocol_type = protocol_type
        self.session_ms = session_ms
        self.id = ""
        self.generation = -1
        self.protocol = None

    def send_join(self, version=7, **values):
        request = {
            "GroupId": self.group.id,
            "SessionTimeoutMs": self.session_ms,
            "MemberId": self.id,
            "ProtocolType": self.protocol_type,
            "Protocols": [{"Name": name, "Metadata": metadata} for name, metadata in self.protocols.items()],
        }
        if version >= 1:
            request["RebalanceTimeoutMs"] = 20_000
        if version >= 5:
            request["GroupInstanceId"] = self.instance
        self.pending = (version, self.connection.send("JoinGroup", request | values, version))

    def receive_join(self):
        reply = self.connection.receive("JoinGroup", *self.pending)
        self.group.learn(reply["MemberId"])
        for member in reply["Members"]:
            self.group.learn(member["MemberId"])
        if reply["MemberId"]:
            self.id = reply["MemberId"]
        if reply["ErrorCode"] == 0:
            self.generation, self.protocol = reply["GenerationId"], reply["ProtocolName"]
        reply["Members"].sort(key=lambda member: self.group.names[member["MemberId"]])
        return self.group.plain(normal(reply))

    def join_once(self, version=7, **values):
        self.send_join(version, **values)
        return self.receive_join()

    def join(self, version=7, **values):
        """Joins as a client does: again, with the id it was given."""
        reply = self.group.settled(lambda: self.join_once(version, **values))
        return self.join_once(version, **values) if reply["ErrorCode"] == "MEMBER_ID_REQUIRED" else reply

    def ready_join(self, version=7):
        """Gets an id and joins, without waiting for the others."""
        if not self.id and self.instance is None:
            assert self.join_once(version)["ErrorCode"] == "MEMBER_ID_REQUIRED"
        self.send_join(version)

    def send_sync(self, assignments=None, version=3, **values):
        given = [{"MemberId": member, "Assignment": data} for member, data in (assignments or {}).items()]
        request = {"GroupId": self.group.id, "GenerationId": self.generation, "MemberId": self.id, "Assignments": given}
        if version >= 3:
            request["GroupInstanceId"] = self.instance
        if version >= 5:
            request |= {"ProtocolType": self.protocol_type, "ProtocolName": self.protocol}
        self.pending = (version, self.connection.send("SyncGroup", request | values, version))

    def receive_sync(self):
        return self.group.plain(normal(self.connection.receive("SyncGroup", *self.pending)))

    def sync(self, assignments=None, version=3, **values):
        self.send_sync(assignments, version, **values)
        return self.receive_sync()

    def enter(self):
        """Joins and syncs alone."""
        assert self.join()["ErrorCode"] == "NONE"
        assert self.sync({self.id: b"mine"})["ErrorCode"] == "NONE"
        return self

    def heartbeat(self, version=3, **values):
        request = {"GroupId": self.group.id, "GenerationId": self.generation, "MemberId": self.id}
        if version >= 3:
            request["GroupInstanceId"] = self.instance
        return normal(self.connection.call("Heartbeat", request | values, version))["ErrorCode"]

    def leave(self, version=3, **values):
        member = {"MemberId": self.id, "GroupInstanceId": self.instance}
        request = {"GroupId": self.group.id} | ({"Members": [member]} if version >= 3 else {"MemberId": self.id})
        return self.group.plain(normal(self.connection.call("LeaveGroup", request | values, version)))

    def commit(self, topic, version=8, **values):
        who = {"GenerationIdOrMemberEpoch": self.generation, "MemberId": self.id}
        if version >= 7:
            who["GroupInstanceId"] = self.instance
        return self.group.commit(topic, version=version, **(who | values))


def in_group(function):
    """A case that gets a group; its connections are closed at the end."""

    def run(broker):
        with contextlib.ExitStack() as stack:
            return function(broker, Group(broker, stack))

    run.__name__ = function.__name__
    return run


def two_members(group, **settings):
    """A leader and a follower in generation 2, stable."""
    leader, follower = group.member(**settings), group.member(**settings)
    leader.enter()
    follower.ready_join()
    group.wait_for("PreparingRebalance")
    leader.send_join()
    leader.receive_join(), follower.receive_join()
    follower.send_sync()
    leader.sync({leader.id: b"left", follower.id: b"right"})
    follower.receive_sync()
    return leader, follower
