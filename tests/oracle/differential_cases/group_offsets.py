"""The offsets of groups: OffsetCommit, OffsetFetch, OffsetDelete."""

import time
import uuid

from . import collector
from .members import in_group, subscription

CASES, case = collector()

NO_SUCH_ID = uuid.UUID("12345678-1234-4123-8123-123456789abc")


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


# Deleting


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
