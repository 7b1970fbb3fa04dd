"""Consumer groups (KIP-848): heartbeats, what is refused, how they are described, and offsets by member epochs.

Kafka may assign a while after a member has joined, so a member's heart beats until nothing changes; what is compared is where that ends.
Its groups begin with epoch 2, ours with 1: epochs are told as steps from the first one in which a member of the group was stable.
"""

import contextlib
import time
import uuid

import wire

from . import collector
from .members import Group, in_group

CASES, case = collector()

STABLE_BEATS = 4


class Consumer:
    """A member that gives partitions up as soon as it is told."""

    def __init__(self, group, topics, **settings):
        self.group = group
        self.id = str(uuid.uuid4())
        group.names[self.id] = f"member {len(group.names) + 1}"
        self.topics = topics
        self.settings = settings
        self.epoch = 0
        self.owned = []

    def ask(self, **values):
        """One heartbeat with nothing but what is given."""
        request = {"GroupId": self.group.id, "MemberId": self.id, "MemberEpoch": self.epoch, "TopicPartitions": None} | values
        reply = self.group.broker.call("ConsumerGroupHeartbeat", request, 1)
        return reply

    def error(self, **values):
        reply = self.group.settled(lambda: wire.error_name(self.ask(**values)["ErrorCode"]))
        return reply

    def first(self):
        names = {"SubscribedTopicNames": self.topics, "SubscribedTopicRegex": None}
        return {"MemberEpoch": 0, "RebalanceTimeoutMs": 20_000, "TopicPartitions": []} | names | self.settings

    def beat(self):
        values = self.first() if self.epoch == 0 else {"TopicPartitions": self.owned} | self.named()
        reply = self.ask(**values)
        if reply["ErrorCode"] == 0:
            self.epoch = reply["MemberEpoch"]
            if reply["Assignment"] is not None:
                self.owned = reply["Assignment"]["TopicPartitions"]
        return wire.error_name(reply["ErrorCode"])

    def named(self):
        return {"InstanceId": self.settings["InstanceId"]} if "InstanceId" in self.settings else {}

    def leave(self, epoch=-1, **values):
        return self.error(MemberEpoch=epoch, **(self.named() | values))

    def count(self):
        return sum(len(topic["Partitions"]) for topic in self.owned)


def settle(*members):
    """Beats until nobody's epoch or share has changed for some rounds."""
    same, deadline = 0, time.monotonic() + 20
    before = None
    errors = set()
    while same < STABLE_BEATS and time.monotonic() < deadline:
        errors |= {member.group.settled(member.beat) for member in members}
        now = [(member.epoch, member.owned) for member in members]
        same = same + 1 if now == before else 0
        before = now
        time.sleep(0.4)
    group = members[0].group
    if not hasattr(group, "first_epoch"):
        group.first_epoch = min(member.epoch for member in members) - len(members)
    epochs = [member.epoch - group.first_epoch for member in members]
    return {"errors": sorted(errors), "epochs": epochs, "counts": [member.count() for member in members]}


def described(group, version=1):
    reply = group.ask("ConsumerGroupDescribe", {"GroupIds": [group.id]}, version)["Groups"][0]
    for member in reply["Members"]:
        for share in ("Assignment", "TargetAssignment"):
            for topic in member[share]["TopicPartitions"]:
                topic["Partitions"] = len(topic["Partitions"])
                topic["TopicName"] = topic["TopicName"].removeprefix(group.broker.prefix)
        member["SubscribedTopicNames"] = [name.removeprefix(group.broker.prefix) for name in member["SubscribedTopicNames"]]
        member["MemberEpoch"] -= group.first_epoch
    reply["Members"].sort(key=lambda member: member["MemberId"])
    if reply["ErrorCode"] == "NONE":
        reply["GroupEpoch"] -= group.first_epoch
        reply["AssignmentEpoch"] -= group.first_epoch
    return reply


def listed(group, **values):
    reply = group.broker.call("ListGroups", values, 5)
    return [{key: each[key] for key in ("ProtocolType", "GroupState", "GroupType")} for each in reply["Groups"] if each["GroupId"] == group.id]


def _life(assignor):
    @in_group
    def run(broker, group):
        topic = broker.topic("-t", 4)
        settings = {"ServerAssignor": assignor} if assignor else {}
        one = Consumer(group, [topic], **settings)
        outcome = {"alone": settle(one), "described": described(group), "v0": described(group, 0), "listed": listed(group)}
        two = Consumer(group, [topic], **settings)
        outcome["two"] = settle(one, two)
        outcome["described two"] = described(group)
        outcome["classic description"] = {version: group.describe(version) for version in (5, 6)}
        outcome["leave"] = two.leave()
        outcome["alone again"] = settle(one)
        outcome["last leaves"] = one.leave()
        outcome["empty"] = described(group)
        outcome["listed empty"] = listed(group, TypesFilter=["consumer"], StatesFilter=["Empty"])
        outcome["not listed"] = listed(group, TypesFilter=["classic"])
        outcome["deleted"] = group.ask("DeleteGroups", {"GroupsNames": [group.id]}, 2)["Results"][0]["ErrorCode"]
        outcome["gone"] = described(group)
        return outcome

    return run


for _assignor in (None, "uniform", "range"):
    case(f"life-{_assignor or 'default'}")(_life(_assignor))


@case()
@in_group
def heartbeat_errors(broker, group):
    topic = broker.topic("-t", 2)
    member = Consumer(group, [topic])
    first = member.first()
    wrong = {
        "no member id": {"MemberId": ""},
        "no group id": {"GroupId": ""},
        "empty instance id": {"InstanceId": ""},
        "empty rack": {"RackId": ""},
        "no rebalance timeout": {"RebalanceTimeoutMs": -1},
        "no partitions owned": {"TopicPartitions": None},
        "partitions owned": {"TopicPartitions": [{"TopicId": broker.topic_id(topic), "Partitions": [0]}]},
        "no subscription": {"SubscribedTopicNames": None},
        "epoch -3": {"MemberEpoch": -3},
        "epoch -2 without instance": {"MemberEpoch": -2},
        "unknown assignor": {"ServerAssignor": "sticky"},
        "no pattern": {"SubscribedTopicRegex": "("},
        "look-ahead": {"SubscribedTopicRegex": "(?=a)"},
        "back-reference": {"SubscribedTopicRegex": r"(a)\1"},
    }
    outcome = {name: member.error(**(first | values)) for name, values in wrong.items()}
    for epoch in (-1, 1):
        outcome[f"no group, epoch {epoch}"] = member.error(MemberEpoch=epoch)
    outcome["none of it makes a group"] = described(group)
    outcome["enter"] = settle(member)
    stranger = Consumer(group, [topic])
    for epoch in (-1, 1):
        outcome[f"unknown member, epoch {epoch}"] = stranger.error(MemberEpoch=epoch)
    outcome["epoch ahead"] = member.error(MemberEpoch=member.epoch + 1)
    outcome["unknown static member"] = member.error(InstanceId="i")
    outcome["epoch behind"] = member.error(MemberEpoch=member.epoch - 1) if member.epoch > 1 else "FENCED_MEMBER_EPOCH"
    outcome["joins again"] = member.error(**first)
    return outcome


@case()
@in_group
def static_members(broker, group):
    topic = broker.topic("-t", 4)
    one, other = Consumer(group, [topic], InstanceId="one"), Consumer(group, [topic])
    outcome = {"enter": settle(one, other)}
    before = one.owned
    thief = Consumer(group, [topic], InstanceId="one")
    outcome["name is taken"] = thief.error(**thief.first())
    outcome["fenced"] = thief.error(MemberEpoch=1, InstanceId="one")
    outcome["fenced leave"] = thief.leave()
    outcome["leaves for a while"] = one.leave(-2)
    outcome["its old epoch"] = one.error(InstanceId="one")
    outcome["the other keeps"] = settle(other)
    back = Consumer(group, [topic], InstanceId="one")
    outcome["back"] = settle(back, other)
    outcome["with what it had"] = back.owned == before
    outcome["old id"] = one.error(MemberEpoch=1)
    leave = {"GroupId": group.id, "Members": [{"MemberId": "", "GroupInstanceId": name} for name in ("one", "nobody")]}
    outcome["sent away"] = group.ask("LeaveGroup", leave, 5)
    outcome["alone"] = settle(other)
    return outcome


@case()
@in_group
def patterns(broker, group):
    broker.topic("-first", 2)
    one = Consumer(group, None, SubscribedTopicRegex=f"{broker.prefix}-(first|second)")
    outcome = {"enter": settle(one), "described": {m["MemberId"]: m["SubscribedTopicRegex"] is not None for m in described(group)["Members"]}}
    two = Consumer(group, [], SubscribedTopicRegex=f"{broker.prefix}-fir")
    outcome["whole names only"] = settle(one, two)
    outcome["resubscribes"] = two.error(SubscribedTopicNames=[f"{broker.prefix}-first"], SubscribedTopicRegex="")
    outcome["two"] = settle(one, two)
    return outcome


@case()
@in_group
def topics_come_and_go(broker, group):
    first, second = broker.topic("-first", 2), f"{broker.prefix}-second"
    one = Consumer(group, [first, second])
    outcome = {"enter": settle(one)}
    broker.topic("-second", 3)
    deadline = time.monotonic() + 10
    while one.count() < 5 and time.monotonic() < deadline:
        outcome["second comes"] = settle(one)
    broker.call("DeleteTopics", {"TopicNames": [first], "TimeoutMs": 10_000}, 5)
    while one.count() > 3 and time.monotonic() < deadline:
        outcome["first goes"] = settle(one)
    return outcome


@case()
@in_group
def offsets(broker, group):
    topic = broker.topic("-t", 2)
    one = Consumer(group, [topic])
    settle(one)

    def commit(version=9, epoch=None, member=None, partition=0):
        epoch = one.epoch if epoch is None else epoch
        who = {"MemberId": one.id if member is None else member, "GenerationIdOrMemberEpoch": epoch}
        return group.commit(topic, 5, version, partition, topic_id=broker.topic_id(topic), **who)

    outcome = {}
    for version in (8, 9, 10):
        outcome[f"v{version}"] = commit(version)
        outcome[f"v{version} epoch ahead"] = commit(version, one.epoch + 1)
        outcome[f"v{version} before it had it"] = commit(version, 0)
        outcome[f"v{version} unknown member"] = commit(version, member="unknown")
        outcome[f"v{version} no member"] = commit(version, -1, "")

    def fetch(**who):
        reply = group.fetch({topic: [0]}, 9, **who)["Groups"][0]
        return [reply["ErrorCode"], [p["CommittedOffset"] for t in reply["Topics"] for p in t["Partitions"]]]
    outcome["fetch"] = fetch(MemberId=one.id, MemberEpoch=one.epoch)
    outcome["fetch without a member"] = fetch(MemberId=None, MemberEpoch=-1)
    outcome["fetch ahead"] = fetch(MemberId=one.id, MemberEpoch=one.epoch + 1)
    outcome["fetch of an unknown member"] = fetch(MemberId="unknown", MemberEpoch=1)
    request = {"GroupId": group.id, "Topics": [{"Name": topic, "Partitions": [{"PartitionIndex": 0}]}]}
    outcome["delete what is read"] = group.ask("OffsetDelete", request, 0)["Topics"][0]["Partitions"]
    outcome["delete the group"] = group.ask("DeleteGroups", {"GroupsNames": [group.id]}, 2)["Results"][0]["ErrorCode"]
    outcome["leave"] = one.leave()
    outcome["v9 of an empty group"] = commit(9, -1, "")
    return outcome


@case()
@in_group
def between_the_protocols(broker, group):
    """Only where nobody is in the group: with members, Kafka runs both protocols in one."""
    topic = broker.topic("-t", 2)
    outcome = {}
    with contextlib.ExitStack() as stack:
        classic = Group(broker, stack)
        member = classic.member().enter()
        outcome["classic"] = listed(group)
        outcome["not a consumer group"] = described(group)
        modern = Consumer(group, [topic])
        outcome["heartbeat of no member"] = modern.error(MemberEpoch=1)
        outcome["leave of no member"] = modern.leave()
        member.leave()
    outcome["becomes a consumer group"] = settle(modern)
    outcome["listed"] = listed(group)
    with contextlib.ExitStack() as stack:
        classic = Group(broker, stack)
        outcome["classic heartbeat"] = classic.member().heartbeat(MemberId="unknown", GenerationId=1)
        outcome["classic sync"] = classic.member().sync(MemberId="unknown", GenerationId=1)["ErrorCode"]
        outcome["modern leaves"] = modern.leave()
        member = classic.member().enter()
        outcome["becomes classic"] = listed(group)
        member.leave()
    return outcome
