"""Classic groups: joining, syncing, heartbeats, leaving, and how groups are described, listed and deleted."""

import contextlib
import time

from . import collector
from .members import Group, in_group, subscription, two_members

CASES, case = collector()


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


def _once_there(group):
    """The description, as soon as there is a group. Kafka describes what is committed, and a member id that was only given is
    not always committed by the time it is asked."""
    until = time.monotonic() + 5
    while True:
        described = group.describe()
        if described["GroupState"] != "Dead" or time.monotonic() > until:
            return described
        time.sleep(0.02)


@case()
@in_group
def a_member_id_that_was_given_and_not_used(broker, group):
    """It counts as a member of the group only once it joins with it."""
    pending = group.member()
    outcome = {"given": pending.join_once(), "described": _once_there(group)}
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
