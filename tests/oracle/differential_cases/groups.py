"""Classic consumer groups: joining, syncing, heartbeats, leaving, offsets, and how groups are described, listed and deleted.

Every member has a connection of its own, for JoinGroup and SyncGroup wait for others. Member ids are made by the broker; an outcome
names them by the order in which they came up.
"""

import contextlib
import re
import struct
import time
import uuid

import wire

from . import collector
from .broker import normal

CASES, case = collector()

NO_SUCH_ID = uuid.UUID("12345678-1234-4123-8123-123456789abc")
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


# Versions


def _life(version):
    """A member's life, each step in the version that goes with that of JoinGroup."""

    @in_group
    def run(broker, group):
        member = group.member()
        outcome = {"first": group.settled(lambda: member.join_once(version))}
        if version >= 4:
            outcome["second"] = member.join_once(version)
        outcome["sync"] = member.sync({member.id: b"assignment"}, min(version, 5))
        outcome["heartbeat"] = member.heartbeat(min(version, 4))
        outcome["described"] = group.describe(min(version, 6))
        outcome["leave"] = member.leave(min(version, 5))
        outcome["after"] = group.describe(min(version, 6))
        return outcome

    return run


for _version in range(10):
    case(f"life-v{_version}")(_life(_version))


def _offsets(version):
    @in_group
    def run(broker, group):
        topic = broker.topic(partitions=2)
        known = {"topic_id": broker.topic_id(topic)} if version >= 10 else {}
        unknown = {"topic_id": NO_SUCH_ID} if version >= 10 else {}
        return {
            "commit": group.commit(topic, 7, version, metadata="note", **known),
            "null metadata": group.commit(topic, 8, version, 1, metadata=None, **known),
            "unknown topic": group.commit(topic + "-unknown", 1, version, **unknown),
            "unknown partition": group.commit(topic, 1, version, 9, **known),
            "fetched": group.fetch(None, 8),
        }

    return run


for _version in range(2, 11):
    case(f"commit-v{_version}")(_offsets(_version))


def _fetched(version):
    @in_group
    def run(broker, group):
        topic = broker.topic(partitions=2)
        group.commit(topic, 7, metadata="note")
        if version < 10:
            wanted = {topic: [0, 1, 9], topic + "-unknown": [0]}
            outcome = {"some": group.fetch(wanted, version), "none": group.fetch({}, version)}
        else:
            ids = [broker.topic_id(topic), NO_SUCH_ID]
            topics = [{"TopicId": topic_id, "PartitionIndexes": [0, 1, 9]} for topic_id in ids]
            request = {"Groups": [{"GroupId": group.id, "Topics": topics}]}
            outcome = {"some": group.ask("OffsetFetch", request, version)}
        if version >= 2:
            outcome["all"] = group.fetch(None, version)
        return outcome

    return run


for _version in range(1, 11):
    case(f"fetch-v{_version}")(_fetched(_version))


# Joining


@case()
@in_group
def join_errors(broker, group):
    outcome = {
        "empty group id": group.member().join_once(GroupId=""),
        "session too short": group.member(session_ms=5_999).join_once(),
        "session too long": group.member(session_ms=1_800_001).join_once(),
        "shortest session": group.member(session_ms=6_000).join_once(),
        "unknown member of no group": group.member().join_once(GroupId=group.id + "-none", MemberId="unknown"),
        "no protocols": group.member().join_once(GroupId=group.id + "-none", Protocols=[]),
        "no protocol type": group.member().join_once(GroupId=group.id + "-none", ProtocolType=""),
    }
    group.member().enter()
    outcome["unknown member"] = group.member().join_once(MemberId="unknown")
    outcome["other type"] = group.member(protocol_type="connect").join_once()
    outcome["no common protocol"] = group.member(protocols={"sticky": b""}).join_once()
    outcome["no protocols in a group"] = group.member().join_once(Protocols=[])
    outcome["unknown static member"] = group.member(instance="static").join_once(MemberId="unknown")
    outcome["state"] = group.state()
    return outcome


@case()
@in_group
def join_again(broker, group):
    """A lone leader that joins once more starts a new generation; its metadata may change."""
    member = group.member().enter()
    outcome = {"same": member.join_once(), "state": group.state()}
    outcome["sync"] = member.sync({member.id: b"mine"})
    member.protocols = {"range": subscription("t", "u")}
    outcome["changed"] = member.join_once()
    outcome["heartbeat of the old generation"] = member.heartbeat(GenerationId=1)
    outcome["sync of the old generation"] = member.sync(GenerationId=1)
    return outcome


@case()
@in_group
def the_protocol_is_chosen_by_votes(broker, group):
    protocols = [("roundrobin", "range"), ("range", "roundrobin"), ("sticky", "range", "roundrobin")]
    members = [group.member(protocols={name: subscription(name) for name in names}) for names in protocols]
    members[0].enter()
    for member in members[1:]:
        member.ready_join()
    group.wait_for("PreparingRebalance")
    members[0].send_join()
    replies = [member.receive_join() for member in members]
    return {"leader": replies[0], "protocols": [reply["ProtocolName"] for reply in replies]}


@case()
@in_group
def any_protocol_type(broker, group):
    """What a group's protocols are for is none of the broker's business."""
    worker = group.member(protocol_type="connect", protocols={"sessioned": b"url", "compatible": b""})
    outcome = {"join": worker.join(), "sync": worker.sync({worker.id: b"tasks"}), "described": group.describe()}
    outcome["commit"] = worker.commit(broker.topic())
    return outcome


# A rebalance, step by step


@case()
@in_group
def rebalance(broker, group):
    topic = broker.topic()
    leader, follower = group.member(), group.member()
    leader.enter()
    follower.ready_join()
    group.wait_for("PreparingRebalance")
    outcome = {
        "described": group.describe(),
        "heartbeat while preparing": leader.heartbeat(),
        "commit while preparing": leader.commit(topic),
        "sync while preparing": leader.sync(),
        "heartbeat of the joining": leader.heartbeat(MemberId=follower.id),
    }
    leader.send_join()
    outcome["leader"], outcome["follower"] = leader.receive_join(), follower.receive_join()
    outcome["completing"] = group.describe()
    outcome["heartbeat while completing"] = [leader.heartbeat(), follower.heartbeat()]
    outcome["commit while completing"] = leader.commit(topic)
    outcome["commit of the old generation"] = leader.commit(topic, GenerationIdOrMemberEpoch=1)
    outcome["offset fetched while completing"] = group.fetch({topic: [0]})
    follower.send_sync()
    outcome["leader synced"] = leader.sync({leader.id: b"left", follower.id: b"right", "stranger": b"none"})
    outcome["follower synced"] = follower.receive_sync()
    outcome["synced again"] = [follower.sync(), leader.sync({leader.id: b"changed"})]
    outcome["stable"] = group.describe()
    outcome["follower joins again"] = follower.join_once()
    outcome["still"] = group.state()
    return outcome


@case()
@in_group
def a_leader_that_joins_again_makes_all_join(broker, group):
    leader, follower = two_members(group)
    leader.send_join()
    group.wait_for("PreparingRebalance")
    outcome = {"heartbeat": follower.heartbeat()}
    follower.send_join()
    outcome["leader"], outcome["follower"] = leader.receive_join(), follower.receive_join()
    return outcome


@case()
@in_group
def members_leave(broker, group):
    leader, follower = two_members(group)
    outcome = {"follower leaves": follower.leave(), "leader hears": leader.heartbeat(), "state": group.state()}
    outcome["follower after"] = [follower.heartbeat(), follower.sync(), follower.leave(2)]
    outcome["leader alone"] = leader.join_once()
    outcome["leader leaves while completing"] = leader.leave()
    outcome["empty"] = group.describe()
    outcome["heartbeat in an empty group"] = leader.heartbeat()
    outcome["join with the id of before"] = leader.join_once()
    return outcome


@case()
@in_group
def a_new_leader_when_the_old_one_leaves(broker, group):
    leader, follower = two_members(group)
    outcome = {"leave": leader.leave(), "hears": follower.heartbeat(), "joined": follower.join_once()}
    outcome["synced"] = follower.sync({follower.id: b"all"})
    return outcome


@case()
@in_group
def a_session_ends(broker, group):
    silent, lively = two_members(group, session_ms=6_000)
    deadline = time.monotonic() + 12
    while (hears := lively.heartbeat()) == "NONE" and time.monotonic() < deadline:
        time.sleep(0.2)
    return {"hears": hears, "silent": silent.heartbeat(), "joined": lively.join_once()}


# Errors of those who are no members


@case()
@in_group
def strangers(broker, group):
    stranger = group.member()
    stranger.generation = 1

    def all_of(**values):
        return {
            "heartbeat": stranger.heartbeat(**values),
            "sync": stranger.sync(**values),
            "leave v2": stranger.leave(2, **{key: value for key, value in values.items() if key != "GenerationId"}),
        }

    outcome = {"no group": all_of(MemberId="unknown"), "no group id": all_of(MemberId="unknown", GroupId="")}
    outcome["no member id"] = all_of()
    outcome["leave v3 no group"] = stranger.leave(Members=[{"MemberId": "unknown"}])
    member = group.member().enter()
    outcome["unknown member"] = all_of(MemberId="unknown")
    outcome["no member id in a group"] = all_of()
    outcome["generations"] = [member.heartbeat(GenerationId=number) for number in (-1, 0, 1, 2)]
    outcome["sync generations"] = [member.sync(GenerationId=number)["ErrorCode"] for number in (-1, 0, 1, 2)]
    checks = [("consumer", "range"), ("connect", "range"), ("consumer", "sticky"), (None, "range"), ("consumer", None)]
    outcome["sync protocols"] = [
        member.sync(version=5, ProtocolType=kind, ProtocolName=name)["ErrorCode"] for kind, name in checks
    ]
    several = [{"MemberId": "unknown"}, {"MemberId": member.id}, {"MemberId": member.id}, {"MemberId": ""}]
    outcome["leave several"] = member.leave(Members=several)
    outcome["leave none"] = member.leave(Members=[])
    return outcome


@case()
@in_group
def a_member_id_that_was_given_and_not_used(broker, group):
    """It counts as a member of the group only once it joins with it."""
    pending = group.member()
    outcome = {"given": pending.join_once(), "described": group.describe()}
    outcome["sync"] = pending.sync(GenerationId=0)
    outcome["heartbeat"] = pending.heartbeat(GenerationId=0)
    outcome["leave"] = pending.leave()
    outcome["join after leaving"] = pending.join_once()
    return outcome


# Static members (KIP-345)


@case()
@in_group
def static_members(broker, group):
    topic = broker.topic()
    first = group.member(instance="one")
    outcome = {"joined without a round for the id": first.join(), "synced": first.sync({first.id: b"mine"})}
    second = group.member(instance="one")
    outcome["comes back"] = second.join_once()
    outcome["state"] = group.state()
    outcome["assignment is kept"] = second.sync()
    outcome["fenced heartbeat"] = first.heartbeat()
    outcome["fenced sync"] = first.sync()
    outcome["fenced join"] = first.join_once()
    outcome["fenced commit"] = first.commit(topic)
    outcome["fenced leave"] = first.leave()
    outcome["good heartbeat"] = second.heartbeat()
    outcome["heartbeat without instance"] = second.heartbeat(GroupInstanceId=None)
    outcome["heartbeat of an unknown instance"] = second.heartbeat(GroupInstanceId="two")
    outcome["good commit"] = second.commit(topic)
    outcome["described"] = group.describe()
    outcome["removed by instance"] = second.leave(Members=[{"MemberId": "", "GroupInstanceId": "one"}])
    outcome["removed twice"] = second.leave(Members=[{"MemberId": "", "GroupInstanceId": "one"}])
    outcome["empty"] = group.state()
    return outcome


@case()
@in_group
def a_static_member_comes_back_with_another_subscription(broker, group):
    first = group.member(instance="one")
    first.join(), first.sync({first.id: b"mine"})
    second = group.member(instance="one", protocols={"range": subscription("t", "u")})
    return {"joined": second.join_once(), "state": group.state()}


# Committing


@case()
@in_group
def commit_errors(broker, group):
    topic = broker.topic()
    who = {"GenerationIdOrMemberEpoch": 1, "MemberId": "unknown"}
    outcome = {"no group": {version: group.commit(topic, version=version, **who) for version in (2, 8, 9)}}
    outcome["no group id"] = group.commit(topic, GroupId="")
    outcome["without being a member"] = group.commit(topic)
    outcome["generation without a member"] = group.commit(topic, GenerationIdOrMemberEpoch=1)
    outcome["member without a generation"] = group.commit(topic, MemberId="unknown")
    outcome["member of an empty group"] = group.commit(topic, **who)
    for size in (4096, 4097):
        outcome[f"{size} bytes of metadata"] = group.commit(topic, metadata="m" * size)
    outcome["4096 characters of two bytes"] = group.commit(topic, metadata="é" * 4096)
    for offset in (-1, -2, 2**63 - 1):
        outcome[f"offset {offset}"] = group.commit(topic, offset)
    outcome["no topics"] = group.ask("OffsetCommit", {"GroupId": group.id, "Topics": []}, 8)
    outcome["bad name"] = group.commit("a/b")
    member = group.member().enter()
    outcome["of a member"] = member.commit(topic)
    outcome["of a stranger"] = group.commit(topic)
    outcome["of an unknown member"] = group.commit(topic, **who)
    outcome["generations"] = [member.commit(topic, GenerationIdOrMemberEpoch=number) for number in (-1, 0, 2)]
    outcome["generations v9"] = [member.commit(topic, 9, GenerationIdOrMemberEpoch=number) for number in (-1, 0, 2)]
    outcome["kept"] = group.fetch({topic: [0]})
    return outcome


@case()
@in_group
def one_commit_of_good_and_bad(broker, group):
    topic = broker.topic(partitions=2)

    def entry(partition, metadata=""):
        return {"PartitionIndex": partition, "CommittedOffset": 5, "CommittedMetadata": metadata}

    topics = [
        {"Name": topic, "Partitions": [entry(0), entry(7), entry(1, "m" * 5000)]},
        {"Name": topic + "-unknown", "Partitions": [entry(0)]},
        {"Name": topic, "Partitions": [entry(0, "again")]},
    ]
    reply = group.ask("OffsetCommit", {"GroupId": group.id, "Topics": topics}, 8)
    by_topic = sorted(reply["Topics"], key=lambda result: result["Name"])
    return {"reply": by_topic, "fetched": group.fetch(None)}


# Fetching offsets


@case()
@in_group
def fetch_errors(broker, group):
    topic = broker.topic()
    none = {"GroupId": group.id + "-none", "Topics": None}
    outcome = {f"no group v{version}": group.ask("OffsetFetch", none, version) for version in (2, 7)}
    outcome["no group v8"] = group.ask("OffsetFetch", {"Groups": [none]}, 8)
    outcome["no group, some topics"] = group.ask(
        "OffsetFetch", {"Groups": [none | {"Topics": [{"Name": topic, "PartitionIndexes": [0]}]}]}, 8
    )
    outcome["no group id"] = group.fetch({topic: [0]}, GroupId="")
    group.commit(topic, 3)
    several = [{"GroupId": group.id, "Topics": None}, none, {"GroupId": group.id, "Topics": []}]
    reply = group.ask("OffsetFetch", {"Groups": several}, 8)
    outcome["several groups"] = sorted(reply["Groups"], key=lambda found: (found["GroupId"], len(found["Topics"])))
    outcome["no groups"] = group.ask("OffsetFetch", {"Groups": []}, 8)
    outcome["stable only"] = group.ask("OffsetFetch", {"Groups": [several[0]], "RequireStable": True}, 8)
    for epoch in (-1, 0, 1):
        outcome[f"as a member, epoch {epoch}"] = group.fetch({topic: [0]}, 9, MemberId="unknown", MemberEpoch=epoch)
    return outcome


# Describing, listing


@case()
@in_group
def describe_errors(broker, group):
    member = group.member().enter()
    outcome = {}
    for version in (0, 5, 6):
        request = {"Groups": [group.id, group.id + "-none", group.id]}
        reply = group.ask("DescribeGroups", request, version)
        outcome[f"v{version}"] = sorted(reply["Groups"], key=lambda found: found["GroupId"])
    request = {"Groups": [group.id], "IncludeAuthorizedOperations": True}
    outcome["operations"] = group.ask("DescribeGroups", request, 5)
    outcome["none"] = group.ask("DescribeGroups", {"Groups": []}, 5)
    member.leave()
    outcome["empty, v5"], outcome["empty, v6"] = group.describe(5), group.describe(6)
    return outcome


@case()
@in_group
def list_groups(broker, group):
    """Only the groups of this case: others have theirs on the same broker."""
    topic = broker.topic()
    with contextlib.ExitStack() as stack:
        stable, completing, worker, offsets = [Group(broker, stack, f"-{name}") for name in ("a", "b", "c", "d")]
        stable.member().enter()
        completing.member().join()
        worker.member(protocol_type="connect", protocols={"v1": b""}).enter()
        offsets.commit(topic)

        def listed(version, **filters):
            reply = group.ask("ListGroups", filters, version)
            ours = [found for found in reply["Groups"] if found["GroupId"].startswith(broker.prefix)]
            return [reply["ErrorCode"], sorted(ours, key=lambda found: found["GroupId"])]

        outcome = {f"v{version}": listed(version) for version in range(6)}
        for states in (["Stable"], ["stable"], ["Empty", "CompletingRebalance"], ["Dead"], ["Nonsense"], [""]):
            outcome[f"states {states}"] = listed(4, StatesFilter=states)
        for types in (["classic"], ["Classic"], ["consumer"], ["classic", "consumer"], ["nonsense"], [""]):
            outcome[f"types {types}"] = listed(5, TypesFilter=types)
        outcome["both"] = listed(5, StatesFilter=["Stable"], TypesFilter=["classic"])
    return outcome


# Deleting


@case()
@in_group
def delete_groups(broker, group):
    topic = broker.topic()
    member = group.member().enter()

    def delete(*ids, version=2):
        reply = group.ask("DeleteGroups", {"GroupsNames": list(ids)}, version)
        return sorted(reply["Results"], key=lambda result: (result["GroupId"], result["ErrorCode"]))

    delete("")  # Which another case may have filled.
    outcome = {"with members": delete(group.id), "unknown": delete(group.id + "-none"), "no id": delete("")}
    outcome["no id described"] = group.ask("DescribeGroups", {"Groups": [""]}, 5)
    outcome["nothing"] = delete()
    member.commit(topic)
    member.leave()
    outcome["empty"] = delete(group.id)
    outcome["again"] = delete(group.id)
    outcome["described"] = group.describe()
    outcome["offsets"] = group.fetch({topic: [0]})
    for version in (0, 1, 2):
        group.commit(topic)
        outcome[f"only offsets v{version}"] = delete(group.id, version=version)
    group.commit(topic)
    outcome["good and bad"] = delete(group.id, group.id + "-none")
    outcome["reborn"] = group.member().join()
    return outcome


@case()
@in_group
def offset_delete(broker, group):
    topic, other = broker.topic(partitions=2), broker.topic("-other")

    def delete(name, *partitions, **values):
        topics = [{"Name": name, "Partitions": [{"PartitionIndex": index} for index in partitions]}]
        return group.ask("OffsetDelete", {"GroupId": group.id, "Topics": topics} | values, 0)

    outcome = {"no group": delete(topic, 0), "no group id": delete(topic, 0, GroupId="")}
    for index in (0, 1):
        group.commit(topic, partition=index)
    outcome["good, never committed, unknown"] = delete(topic, 0, 1, 9)
    outcome["unknown topic"] = delete(topic + "-unknown", 0)
    outcome["nothing"] = group.ask("OffsetDelete", {"GroupId": group.id, "Topics": []}, 0)
    outcome["left"] = group.fetch(None)
    member = group.member(protocols={"range": subscription(topic)}).enter()
    member.commit(topic), member.commit(other)
    outcome["subscribed"], outcome["not subscribed"] = delete(topic, 0), delete(other, 0)
    outcome["left of both"] = group.fetch(None)
    member.leave()
    outcome["nobody subscribes"] = delete(topic, 0)
    return outcome


@case()
@in_group
def offset_delete_in_a_group_of_others(broker, group):
    topic = broker.topic()
    worker = group.member(protocol_type="connect", protocols={"v1": b""}).enter()
    worker.commit(topic)
    request = {"GroupId": group.id, "Topics": [{"Name": topic, "Partitions": [{"PartitionIndex": 0}]}]}
    outcome = {"with members": group.ask("OffsetDelete", request, 0)}
    worker.leave()
    outcome["empty"] = group.ask("OffsetDelete", request, 0)
    return outcome


@case()
@in_group
def offsets_of_a_topic_that_is_deleted(broker, group):
    topic = broker.topic()
    group.commit(topic, 3)
    broker.call("DeleteTopics", {"TopicNames": [topic], "TimeoutMs": 10_000}, 5)
    deadline = time.monotonic() + 10
    while (left := group.fetch(None)["Groups"][0]["Topics"]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return {"left": left}
