"""Fetch: positions, limits, sessions, epochs, and both ways to name a topic."""

import uuid

import wire
from wire import record_batch

from . import collector
from .broker import ZERO, normal
from .produce import TIME

CASES, case = collector()


def _request(topic, *partitions, version=12, topic_id=None, **more):
    """A fetch that does not wait. `partitions` are dicts, or offsets of partition 0."""
    entries = [
        {"Partition": 0, "PartitionMaxBytes": 1_000_000} | (entry if isinstance(entry, dict) else {"FetchOffset": entry})
        for entry in partitions
    ]
    place = {"TopicId": topic_id} if version >= 13 else {"Topic": topic}
    return {"MaxWaitMs": 0, "MinBytes": 0, "Topics": [place | {"Partitions": entries}]} | more


def _fetch(broker, topic, *partitions, version=12, **more):
    topic_id = more.pop("topic_id", None)
    if version >= 13 and topic_id is None:
        topic_id = broker.topic_id(topic)
    return broker.ask("Fetch", _request(topic, *partitions, version=version, topic_id=topic_id, **more), version)


def _filled(broker, partitions=1):
    """Three batches: offsets 0-2, 3-4, 5."""
    topic = broker.topic(partitions=partitions)
    broker.fill(topic, [(b"a", b"b", b"c"), (b"d", b"e"), (b"f",)], base_timestamp=TIME)
    return topic


def _version(version):
    def run(broker):
        topic = _filled(broker)
        outcome = {"from 0": _fetch(broker, topic, 0, version=version)}
        outcome["at the end"] = _fetch(broker, topic, 6, version=version)
        outcome["past the end"] = _fetch(broker, topic, 7, version=version)
        outcome["unknown partition"] = _fetch(broker, topic, {"Partition": 9, "FetchOffset": 0}, version=version)
        if version < 13:
            outcome["unknown topic"] = _fetch(broker, topic + "-unknown", 0, version=version)
        else:
            outcome["unknown topic"] = _fetch(broker, None, 0, version=version, topic_id=uuid.UUID(int=5))
            outcome["zero topic"] = _fetch(broker, None, 0, version=version, topic_id=ZERO)
        return outcome

    return run


for _number in range(4, 19):
    case(f"v{_number}")(_version(_number))


@case()
def positions(broker):
    """An offset inside a batch returns the whole batch; offsets outside the log are refused."""
    topic = _filled(broker)
    return {offset: _fetch(broker, topic, offset) for offset in (-2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 2**62)}


@case()
def limits(broker):
    """The first batch comes even when it is larger than every limit; after it the limits hold."""
    topic = broker.topic(partitions=2)
    for partition in (0, 1):
        broker.fill(topic, [(b"x" * 500,), (b"y" * 500,), (b"z" * 500,)], partition=partition, base_timestamp=TIME)

    def both(limit):
        return [{"Partition": index, "FetchOffset": 0, "PartitionMaxBytes": limit} for index in (0, 1)]

    outcome = {}
    for limit in (0, 1, 571, 572, 1000, 1500, 100_000):
        outcome[f"partition limit {limit}"] = _fetch(broker, topic, *both(limit))
        outcome[f"request limit {limit}"] = _fetch(broker, topic, *both(100_000), MaxBytes=limit)
    outcome["negative partition limit"] = _fetch(broker, topic, *both(-1))
    outcome["negative request limit"] = _fetch(broker, topic, *both(100_000), MaxBytes=-1)
    return outcome


@case()
def waiting(broker):
    """A fetch at the end waits for its time, and less when records come."""
    import threading
    import time

    topic = _filled(broker)
    started = time.monotonic()
    empty = _fetch(broker, topic, 6, MaxWaitMs=600, MinBytes=1)
    waited = time.monotonic() - started
    outcome = {"empty": empty, "waited": 0.5 <= waited < 3}

    def produce_later():
        time.sleep(0.3)
        with wire.Connection(broker.bootstrap) as other:
            partition = {"Index": 0, "Records": record_batch(base_timestamp=TIME)}
            request = {"Acks": -1, "TimeoutMs": 5000, "TopicData": [{"Name": topic, "PartitionData": [partition]}]}
            other.call("Produce", request, 9)

    thread = threading.Thread(target=produce_later)
    thread.start()
    started = time.monotonic()
    outcome["woken"] = _fetch(broker, topic, 6, MaxWaitMs=8000, MinBytes=1)
    outcome["woken early"] = time.monotonic() - started < 4
    thread.join()
    started = time.monotonic()
    outcome["error does not wait"] = _fetch(broker, topic, 99, MaxWaitMs=5000, MinBytes=1)
    outcome["error came early"] = time.monotonic() - started < 3
    started = time.monotonic()
    outcome["enough bytes do not wait"] = _fetch(broker, topic, 0, MaxWaitMs=5000, MinBytes=1)
    outcome["bytes came early"] = time.monotonic() - started < 3
    return outcome


@case()
def leader_epochs(broker):
    topic = _filled(broker)
    outcome = {}
    for epoch in (-2, -1, 0, 1, 99):
        outcome[f"current {epoch}"] = _fetch(broker, topic, {"FetchOffset": 0, "CurrentLeaderEpoch": epoch})
    for epoch, offset in ((0, 3), (0, 6), (0, 9), (1, 3), (7, 6), (-2, 3)):
        entry = {"FetchOffset": offset, "LastFetchedEpoch": epoch}
        outcome[f"last fetched {epoch} at {offset}"] = _fetch(broker, topic, entry)
    return outcome


@case()
def isolation(broker):
    topic = _filled(broker)
    return {f"level {level}": _fetch(broker, topic, 0, IsolationLevel=level) for level in (0, 1, 2)}


@case()
def several_topics(broker):
    """The order of the reply, an unknown topic among known ones, one partition twice."""
    first, second = [broker.topic(suffix, partitions=2) for suffix in ("-a", "-b")]
    for topic in (first, second):
        broker.fill(topic, [(b"x",)], base_timestamp=TIME)

    def entry(name, *partitions):
        return {"Topic": name, "Partitions": [{"Partition": index, "FetchOffset": 0, "PartitionMaxBytes": 1000} for index in partitions]}

    def ask(*topics):
        return broker.ask("Fetch", {"MaxWaitMs": 0, "MinBytes": 0, "Topics": list(topics)}, 12)

    unknown = ask(entry(first, 0), entry(first + "-unknown", 0), entry(second, 0))
    # Kafka tells errors behind records, or where they were asked for, as it happens.
    unknown["Responses"].sort(key=lambda topic: topic["Topic"])
    return {
        "order": ask(entry(second, 1, 0), entry(first, 0)),
        "unknown among them": unknown,
        "topic twice": ask(entry(first, 0), entry(first, 1)),
        "partition twice": ask(entry(first, 0, 0)),
        "no topic": ask(),
        "no partition": ask(entry(first)),
        "invalid name": ask(entry("a b", 0)),
    }


class Session:
    """A fetch session; `ask` sends exactly the id and epoch it is told to."""

    def __init__(self, broker, version):
        self.broker, self.version = broker, version
        self.id = 0

    def ask(self, epoch, topics=(), forgotten=(), session_id=None):
        request = {
            "MaxWaitMs": 0,
            "MinBytes": 0,
            "SessionId": self.id if session_id is None else session_id,
            "SessionEpoch": epoch,
            "Topics": list(topics),
            "ForgottenTopicsData": list(forgotten),
        }
        with self.broker.survive() as seen:
            reply = self.broker.call("Fetch", request, self.version)
            if reply["SessionId"] > 0:
                self.id = reply["SessionId"]
            # Which partition is read first depends on which was read last, and Kafka tells errors behind records.
            for topic in reply["Responses"]:
                topic["Partitions"].sort(key=lambda partition: partition["PartitionIndex"])
            seen.append(normal(reply))
        return seen[0]


def _session(version):
    def run(broker):
        topic = _filled(broker, partitions=2)
        place = {"TopicId": broker.topic_id(topic)} if version >= 13 else {"Topic": topic}

        def at(*pairs):
            partitions = [{"Partition": index, "FetchOffset": offset, "PartitionMaxBytes": 100_000} for index, offset in pairs]
            return [place | {"Partitions": partitions}]

        session = Session(broker, version)
        outcome = {"opened": session.ask(0, at((0, 0), (1, 0)))}
        outcome["nothing new asked"] = session.ask(1)
        outcome["moved on"] = session.ask(2, at((0, 6)))
        outcome["nothing to send"] = session.ask(3)
        broker.fill(topic, [(b"g",)], partition=1, base_timestamp=TIME)
        outcome["only what changed"] = session.ask(4)
        outcome["forgotten"] = session.ask(5, forgotten=[place | {"Partitions": [1]}])
        broker.fill(topic, [(b"h",)], partition=1, base_timestamp=TIME)
        outcome["forgotten stays silent"] = session.ask(6)
        outcome["added again"] = session.ask(7, at((1, 1)))
        outcome["unknown partition"] = session.ask(8, at((9, 0)))
        outcome["error is told again"] = session.ask(9)
        outcome["epoch skipped"] = session.ask(12)
        outcome["epoch repeated"] = session.ask(9)
        outcome["right epoch after that"] = session.ask(10)
        outcome["unknown session"] = session.ask(1, session_id=123_456_789)
        outcome["epoch 0 of a known session"] = session.ask(0, at((0, 0)))
        outcome["closed"] = session.ask(-1, at((0, 0)))
        outcome["after closing"] = session.ask(1)
        outcome["no session wanted"] = session.ask(-1, at((0, 0)), session_id=0)
        outcome["epoch without session"] = session.ask(5, at((0, 0)), session_id=0)
        outcome["empty full fetch"] = session.ask(0, session_id=0)
        return outcome

    return run


for _number in (7, 12, 13, 17):
    case(f"session-v{_number}")(_session(_number))


@case()
def session_with_an_unknown_topic(broker):
    """An unknown topic in a session, by name and by id, and a topic that is deleted under a session."""
    topic = _filled(broker)
    topic_id = broker.topic_id(topic)

    def partitions(offset=0):
        return [{"Partition": 0, "FetchOffset": offset, "PartitionMaxBytes": 1000}]

    by_name, by_id, dying = Session(broker, 12), Session(broker, 13), Session(broker, 13)
    outcome = {"by name": by_name.ask(0, [{"Topic": topic + "-unknown", "Partitions": partitions()}])}
    outcome["by name, again"] = by_name.ask(1)
    outcome["by id"] = by_id.ask(0, [{"TopicId": uuid.UUID(int=5), "Partitions": partitions()}])
    outcome["by id, again"] = by_id.ask(1)
    outcome["before"] = dying.ask(0, [{"TopicId": topic_id, "Partitions": partitions(6)}])
    broker.ask("DeleteTopics", {"Topics": [{"Name": topic}], "TimeoutMs": 5000}, 6)
    outcome["deleted"] = dying.ask(1)
    outcome["deleted, again"] = dying.ask(2)
    outcome["mixed versions"] = Session(broker, 12).ask(1, session_id=dying.id)
    return outcome


@case()
def as_a_replica(broker):
    """A request that claims to come from another broker."""
    topic = _filled(broker)
    return {"unknown replica": _fetch(broker, topic, 0, ReplicaId=4711), "debug consumer": _fetch(broker, topic, 0, ReplicaId=-2)}
