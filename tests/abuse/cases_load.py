"""S5, S6, S7: too much of what is allowed."""

import errno
import socket
import struct
import time

import batches
import wire
from client import (Client, Closed, Reader, api_versions_payload, create_topic, delete_topic, list_offset,
                    metadata, produce)
from rig import MIB, check

# All arrays of a request together, and of one that changes the catalog (see src/limits.rs).
ELEMENTS_MAX = 50_000
CHANGES_MAX = 10_000


def flood(rig, count, pause=0.0):
    """Opens connections; those which answer a request are here to stay."""
    clients, kept = [], []
    for _ in range(count):
        try:
            clients.append(Client(rig.broker.port, timeout=3))
        except OSError:
            continue
        if pause:
            time.sleep(pause)
    for client in clients:
        try:
            client.exchange(api_versions_payload())
            kept.append(client)
        except (Closed, OSError):
            client.close()
    return kept


def cap(limit):
    def run(rig):
        kept = flood(rig, 300)
        # The canary has one of them. Shards hold a share each, so fewer may fit than allowed, never more.
        check(len(kept) <= limit, "%d of 300 connections stay where %d are allowed" % (len(kept), limit))
        check(len(kept) >= limit // 4, "only %d connections are let in of %d allowed" % (len(kept), limit))
        for client in kept:
            client.close()
        until = time.monotonic() + 5
        while time.monotonic() < until:
            again = flood(rig, 4)
            for client in again:
                client.close()
            if len(again) == 4:
                return "%d of 300 stay; after they left, others are welcome" % len(kept)
            time.sleep(0.1)
        check(False, "after the flood left, nobody is let in")
    return run


def creation_rate(limit):
    def run(rig):
        started = time.monotonic()
        kept = flood(rig, 300)
        seconds = time.monotonic() - started
        allowed = limit * (int(seconds) + 2)
        check(len(kept) <= allowed, "%d connections in %.1f s where %d a second are allowed" % (len(kept), seconds, limit))
        check(kept, "nobody is let in")
        for client in kept:
            client.close()
        time.sleep(1.1)
        check(flood(rig, 1), "nobody is let in after the flood")
        return "%d of 300 in %.1f s" % (len(kept), seconds)
    return run


def idle_connections(rig):
    count = 10_000 if rig.deep else 5_000
    before, started = rig.broker.resident(), time.monotonic()
    clients = rig.connect_many(count)
    seconds = time.monotonic() - started
    for client in clients[:: max(count // 200, 1)]:
        client.exchange(api_versions_payload())
    time.sleep(0.5)
    each = (rig.broker.resident() - before) / 1024 / count
    check(each <= 20, "%.1f KiB for each idle connection, at most 20 allowed" % each)
    for client in clients:
        client.close()
    until = time.monotonic() + 10
    while rig.broker.sockets() > 200 and time.monotonic() < until:
        time.sleep(0.05)
    check(rig.broker.sockets() < 200, "%d sockets are left open" % rig.broker.sockets())
    return "%.2f KiB for each of %d idle connections, made in %.1f s" % (each, count, seconds)


def idle_close(rig):
    with rig.connect() as quiet, rig.connect() as busy:
        started = time.monotonic()
        quiet.socket.setblocking(False)
        while time.monotonic() - started < 15:
            busy.exchange(api_versions_payload())
            time.sleep(0.1)
            try:
                if quiet.socket.recv(1) == b"":
                    return [quiet.peer], "closed after %.1f s" % (time.monotonic() - started)
            except BlockingIOError:
                pass
            except OSError:
                return [quiet.peer], "reset after %.1f s" % (time.monotonic() - started)
        check(False, "an idle connection is open after 15 s where 2 s are allowed")


def fill(client, topic, count):
    """Batches of 1 MB; the same one again and again."""
    create_topic(client, topic, 1)
    one = batches.batch(values=[bytes(1_000_000)])
    for _ in range(count):
        error, _ = produce(client, topic, one)
        check(error == 0, "produce gives error %d" % error)


def unread(port):
    """A connection whose replies nobody reads."""
    return Client(port, receive_buffer=4096)


def fetch_payload(topic, bytes_max, correlation, wait=0):
    return wire.frame(wire.request(1, 4, correlation, max_wait_ms=wait, min_bytes=1, max_bytes=bytes_max, topics=[
        {"topic": topic, "partitions": [{"partition": 0, "fetch_offset": 0, "partition_max_bytes": bytes_max}]}]))


def slow_readers(rig):
    """20 connections ask for 50 MiB each, ten times, and read nothing: bounded, and closed in the end."""
    with rig.connect() as client:
        fill(client, "huge", 48)
    time.sleep(0.5)
    rig.broker.reset_peak()
    before, open_before = rig.broker.resident(), rig.broker.sockets()
    clients = [unread(rig.broker.port) for _ in range(20)]
    for client in clients:
        for correlation in range(10):
            client.send(fetch_payload("huge", 50 * MIB, correlation))
    time.sleep(2)
    grown = (rig.broker.peak() - before) / MIB
    check(grown < 96, "%.0f MiB more for readers that do not read" % grown)
    until = time.monotonic() + 20
    while rig.broker.sockets() > open_before + 2 and time.monotonic() < until:
        time.sleep(0.1)
    left = rig.broker.sockets() - open_before
    peers = [client.peer for client in clients]
    for client in clients:
        client.close()
    check(left <= 2, "%d connections that read nothing are still open after 20 s, where 3 s are allowed" % left)
    return peers, "%+.0f MiB for 20 of them" % grown


def one_slow_reader_survives(rig):
    """A reader that is merely slow gets its bytes, whole."""
    with rig.connect() as client:
        fill(client, "huge-slow", 12)
    client = Client(rig.broker.port, receive_buffer=65536)
    client.send(fetch_payload("huge-slow", 12 * MIB, 1))
    length = struct.unpack(">i", client.take(4))[0]
    taken = 0
    while taken < length:
        taken += len(client.take(min(200_000, length - taken)))
        time.sleep(0.02)
    client.close()
    check(length > 11_000_000, "a reply of %d bytes" % length)
    return "%d bytes" % length


def swapped_topic(rig):
    """A reply under way when its topic is deleted and made again: the rest of it is never of the new one."""
    old, new = (batches.batch(values=[letter * 1_000_000]) for letter in (b"A", b"B"))
    with rig.connect() as client:
        create_topic(client, "swap", 1)
        for _ in range(60):
            check(produce(client, "swap", old)[0] == 0, "cannot produce")
        time.sleep(3)
        readers = [unread(rig.broker.port) for _ in range(8)]
        for reader in readers:
            reader.send(fetch_payload("swap", 20 * MIB, 1))
            reader.take(200_000)
        check(delete_topic(client, "swap") == 0, "cannot delete")
        check(create_topic(client, "swap", 1) == 0, "cannot create again")
        for _ in range(60):
            check(produce(client, "swap", new)[0] == 0, "cannot produce")
        time.sleep(3)
    mixed = whole = cut = 0
    for reader in readers:
        taken = 0
        try:
            while taken < 18 * MIB:
                piece = reader.take(100_000)
                taken += len(piece)
                if b"BBBBBBBB" in piece:
                    mixed += 1
                    break
            else:
                whole += 1
        except Closed:
            cut += 1
        reader.close()
    check(not mixed, "%d of %d replies go on with the records of the new topic" % (mixed, len(readers)))
    return "%d replies whole, %d cut off" % (whole, cut)


def pipelined(rig, name, payload, replies_mib):
    """Sends requests for as long as the broker takes them, reading nothing."""
    before = rig.broker.resident()
    client = unread(rig.broker.port)
    client.socket.setblocking(False)
    piece = payload * max(65536 // len(payload), 1)
    data, sent, quiet_since = b"", 0, time.monotonic()
    reason = "the broker stopped reading"
    started = time.monotonic()
    while time.monotonic() - quiet_since < 2:
        if not data:
            data = piece
        try:
            count = client.socket.send(data)
            data, sent, quiet_since = data[count:], sent + count, time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
        except OSError as error:
            reason = "the broker closed: " + errno.errorcode.get(error.errno, "?")
            break
        grown = (rig.broker.resident() - before) / MIB
        if grown > replies_mib or time.monotonic() - started > 20:
            client.close()
            return None, "%s: %d requests taken with nobody reading, %.0f MiB more, and no end" % (
                name, sent // len(payload), grown)
    client.close()
    return "%s: %d requests, then %s" % (name, sent // len(payload), reason), None


def unread_pipelines(rig):
    notes, bad = [], []
    configs = wire.frame(wire.request(32, 1, 1, resources=[{"resource_type": 4, "resource_name": "", "keys": None}],
                                      include_synonyms=True))
    everything = wire.frame(wire.request(3, 4, 1, topics=None))
    for name, payload in (
        ("ApiVersions", wire.frame(api_versions_payload())), ("Metadata", everything), ("DescribeConfigs", configs),
        ("ListOffsets", wire.frame(wire.request(2, 1, 1))), ("InitProducerId", wire.frame(wire.request(22, 0, 1))),
        ("Fetch of nothing", fetch_payload("nothing-there", 1000, 1)),
    ):
        note, problem = pipelined(rig, name, payload, 64)
        notes += [note] if note else []
        bad += [problem] if problem else []
    check(not bad, "; ".join(bad))
    return "; ".join(notes)


def long_polls(rig):
    """A pile of long polls whose connections go away at once: nothing of them stays."""
    for _ in range(3):
        clients = rig.connect_many(200)
        for client in clients:
            for correlation in range(20):
                client.send(wire.frame(wire.request(1, 4, correlation, max_wait_ms=120_000, min_bytes=1 << 30,
                                                    max_bytes=1 << 30, topics=[{"topic": "canary", "partitions": [
                                                        {"partition": p, "fetch_offset": 0, "partition_max_bytes": 1}
                                                        for p in range(4)]}])))
        for client in clients:
            client.close()
    until = time.monotonic() + 10
    while rig.broker.sockets() > 200 and time.monotonic() < until:
        time.sleep(0.05)
    check(rig.broker.sockets() < 200, "%d sockets are left open" % rig.broker.sockets())
    return "12,000 polls"


def crowd(rig):
    """Fetches that all wait for the canary's partition, for its next byte or for far more than it will get: every
    append wakes only those who have waited for no more, and nobody else waits for all of them."""
    clients = rig.connect_many(100)
    waiting = [(1, 50), (1 << 30, 50)]
    for client in clients:
        error, end = list_offset(client, "canary", -1)
        check(error == 0, "ListOffsets gives error %d" % error)
        for bytes_min, count in waiting:
            wanted = {"partition": 0, "fetch_offset": end, "partition_max_bytes": 1}
            client.send(wire.frame(wire.request(1, 4, 1, max_wait_ms=5_000, min_bytes=bytes_min, max_bytes=1000, topics=[
                {"topic": "canary", "partitions": [wanted]}])) * count)
    answered = 0
    for client in clients:
        for _ in range(sum(count for _, count in waiting)):
            client.receive()
            answered += 1
        client.close()
    return "%d answers" % answered


def many_changes(rig):
    """Many clients change the catalog at once, faster than it can be: each change is made, or refused for now."""
    codes = {}
    clients = rig.connect_many(60)
    for number, client in enumerate(clients):
        for turn in range(30):
            topics = [{"name": "change-%d-%d" % (number, turn), "num_partitions": 1, "replication_factor": 1,
                       "assignments": [], "configs": []}]
            client.send(wire.frame(wire.request(19, 2, turn, topics=topics, timeout_ms=30000, validate_only=False)))
    for client in clients:
        for _ in range(30):
            reply = Reader(client.receive()[4:])
            reply.i32()
            for _, error, _ in reply.many(lambda: (reply.string(), reply.i16(), reply.string())):
                codes[error] = codes.get(error, 0) + 1
        client.close()
    check(set(codes) <= {0, 7}, "errors %s" % codes)
    check(codes.get(0, 0) >= 100, "only %s" % codes)
    return "%d made, %d refused for now" % (codes.get(0, 0), codes.get(7, 0))


def add_partitions(client, name, count):
    """The error code."""
    reply = client.ask(37, 0, topics=[{"name": name, "count": count, "assignments": None}], timeout_ms=60000)
    reply.i32()
    return reply.many(lambda: (reply.string(), reply.i16(), reply.string()))[0][1]


def partitions(rig):
    with rig.connect(timeout=120) as client:
        # Too many is against this broker's policy, as in Kafka's controller; none or fewer is nonsense.
        for count, expected in ((10_001, 44), (100_001, 44), (2147483647, 44), (-2, 37), (0, 37), (-2147483648, 37)):
            error = create_topic(client, "too-many", count)
            check(error == expected, "%d partitions: error %d, expected %d" % (count, error, expected))
        count = 100_000 if rig.deep else 10_000
        before = rig.broker.resident()
        started = time.monotonic()
        # One request may ask for 10,000 of them, as with Kafka.
        error = create_topic(client, "many", 10_000)
        for more in range(20_000, count + 1, 10_000):
            error = error or add_partitions(client, "many", more)
        seconds = time.monotonic() - started
        check(error == 0, "%d partitions: error %d" % (count, error))
        each = (rig.broker.resident() - before) / 1024 / count
        check(metadata(client, ["many"]) == {"many": (0, count)}, "Metadata disagrees")
        check(each <= 8, "%.1f KiB for each partition, at most 8 allowed" % each)
        check(delete_topic(client, "many") == 0, "cannot be deleted")
        return "%d in %.1f s, %.2f KiB each; deleted" % (count, seconds, each)


def producer_ids(rig):
    total, batch = 100_000 if rig.deep else 20_000, 100
    seen = set()
    clients = [rig.connect() for _ in range(8)]
    for _ in range(total // batch // len(clients)):
        for client in clients:
            client.send(wire.frame(wire.request(22, 0, 1, transaction_timeout_ms=1000)) * batch)
        for client in clients:
            for _ in range(batch):
                reply = Reader(client.receive()[8:])
                error, producer = reply.i16(), reply.i64()
                check(error == 0, "error %d" % error)
                check(producer not in seen, "producer id %d twice" % producer)
                seen.add(producer)
    for client in clients:
        client.close()
    return "%d, all different" % len(seen)


def unknown_producers(rig):
    """Producer ids nobody gave out, each with one batch: what a partition remembers of them is bounded."""
    with rig.connect() as client:
        create_topic(client, "producers", 1)
        start = 12_000 if not rig.deep else 40_000
        template = {"name": "producers"}
        for first in range(0, start, 50):
            burst = b""
            for producer in range(first, first + 50):
                records = batches.batch(values=[b"v"], producer=1_000_000 + producer, epoch=0, sequence=0)
                burst += wire.frame(wire.request(0, 7, producer, acks=1, topics=[
                    dict(template, partitions=[{"index": 0, "records": records}])]))
            client.send(burst)
            for _ in range(50):
                reply = Reader(client.receive()[4:])
                reply.i32(), reply.string(), reply.i32(), reply.i32()
                error = reply.i16()
                check(error == 0, "error %d" % error)
        delete_topic(client, "producers")
        return "%d producers" % start


def many_names(rig):
    """Metadata for names that do not exist, created by the way."""
    count = 10_000
    with rig.connect(timeout=120) as client:
        refused = metadata(client, ["nobody-%d" % i for i in range(count)], create=False)
        check({error for error, _ in refused.values()} == {3}, "not created: %s" % set(refused.values()))
        started = time.monotonic()
        made = metadata(client, ["auto-%d" % i for i in range(count)])
        seconds = time.monotonic() - started
        # A cap on what one request may create is as good as creating all of them.
        errors = {error for error, _ in made.values()}
        check(-1 not in errors and len(made) == count, "errors %s, %d names" % (errors, len(made)))
        created = [name for name, (error, _) in made.items() if error == 0]
        for first in range(0, len(created), 2000):
            names = created[first:first + 2000]
            reply = client.ask(20, 1, topic_names=names, timeout_ms=60000)
            reply.i32()
            results = dict(reply.many(lambda: (reply.string(), reply.i16())))
            check(set(results.values()) == {0}, "deleting gives %s" % set(results.values()))
        illegal = metadata(client, ["a/%d" % i for i in range(count)])
        check({error for error, _ in illegal.values()} == {17}, "illegal names: %s" % set(illegal.values()))
        again = metadata(client, ["same"] * count)
        check(len(again) == 1, "one name asked for 10,000 times")
        return "%d created in %.1f s, and deleted" % (len(created), seconds)


def fetch_sessions(rig):
    """Sessions of 10,000 partitions each, of partitions that are not there."""
    sessions = 1_200 if rig.deep else 60
    wanted = [{"partition": p, "fetch_offset": 0, "partition_max_bytes": 1} for p in range(10_000)]
    payload = wire.frame(wire.request(1, 7, 1, max_wait_ms=0, min_bytes=0, session_id=0, session_epoch=0, forgotten=[],
                                      topics=[{"topic": "canary", "partitions": wanted}]))
    before, ids = rig.broker.resident(), set()
    for _ in range(sessions):
        with rig.connect() as client:
            client.send(payload)
            reply = Reader(client.receive()[8:])
            error, session = reply.i16(), reply.i32()
            check(error == 0, "error %d" % error)
            ids.add(session)
    each = (rig.broker.resident() - before) / 1024 / sessions
    return "%d sessions (%d kept an id), %.0f KiB each" % (sessions, len(ids - {0}), each)


def huge_lists(rig):
    """The longest lists that are taken: answers are as long as questions, and their time is not their square. Longer ones are
    refused with a line in the log."""
    slowest = 0
    with rig.connect(timeout=60) as client:
        count = ELEMENTS_MAX - 1
        for name, key, version, values in (
            ("ListOffsets", 2, 1, {"topics": [{"name": "canary", "partitions": [
                {"partition_index": p, "timestamp": -1} for p in range(count)]}]}),
            ("DeleteRecords", 21, 0, {"topics": [{"name": "nothing", "partitions": [
                {"partition_index": p, "offset": 0} for p in range(count)]}]}),
            ("OffsetForLeaderEpoch", 23, 2, {"topics": [{"topic": "canary", "partitions": [
                {"partition": p, "current_leader_epoch": -1, "leader_epoch": 0} for p in range(count)]}]}),
            ("DescribeLogDirs", 35, 1, {"topics": [{"topic": "canary", "partitions": list(range(count))}]}),
            ("DescribeConfigs", 32, 1, {"resources": [{"resource_type": 2, "resource_name": "canary", "keys": [
                "k%d" % i for i in range(count)]}]}),
            ("CreateTopics with one name", 19, 2, {"topics": [{"name": "same", "assignments": [], "configs": []}] * CHANGES_MAX}),
            ("CreateTopics with configs", 19, 2, {"topics": [{"name": "configured", "assignments": [], "configs": [
                {"name": "k%d" % i, "value": "v"} for i in range(CHANGES_MAX - 1)]}]}),
            ("CreateTopics with assignments", 19, 2, {"topics": [{
                "name": "assigned", "num_partitions": -1, "replication_factor": -1, "configs": [], "assignments": [
                    {"partition_index": i, "broker_ids": [0] * 20} for i in range(470)]}]}),
            ("DeleteTopics", 20, 1, {"topic_names": ["gone-%d" % i for i in range(CHANGES_MAX)]}),
            ("CreatePartitions", 37, 0, {"topics": [{"name": "gone-%d" % i, "assignments": None} for i in range(CHANGES_MAX)]}),
            ("AlterConfigs", 33, 0, {"resources": [{"resource_type": 2, "resource_name": "canary", "configs": [
                {"name": "k%d" % i, "value": "v"} for i in range(CHANGES_MAX - 1)]}]}),
            ("IncrementalAlterConfigs", 44, 0, {"resources": [
                {"resource_type": 2, "resource_name": "r%d" % i, "configs": []} for i in range(CHANGES_MAX)]}),
            ("DescribeTopicPartitions", 75, 0, {"topics": [{"name": "t%d" % i} for i in range(50_000)]}),
        ):
            started = time.monotonic()
            client.exchange(wire.request(key, version, 1, **values))
            seconds = time.monotonic() - started
            if seconds > slowest:
                slowest, what = seconds, name
    check(slowest < 20, "%s takes %.1f s" % (what, slowest))
    peers = []
    for key, version, values in (
        (2, 1, {"topics": [{"name": "canary", "partitions": [
            {"partition_index": p, "timestamp": -1} for p in range(ELEMENTS_MAX)]}]}),
        (3, 1, {"topics": [{"name": "t%d" % i} for i in range(ELEMENTS_MAX + 1)]}),
        (20, 1, {"topic_names": ["gone-%d" % i for i in range(CHANGES_MAX + 1)]}),
    ):
        client = rig.connect(timeout=60)
        peers.append(client.peer)
        try:
            client.exchange(wire.request(key, version, 1, **values))
            check(False, "API key %d is answered with too many elements" % key)
        except Closed:
            pass
    return peers, "slowest: %s, %.0f ms" % (what, slowest * 1000)


def small_parts(rig):
    """Requests of 1 MiB made of as many small parts as fit: neither work nor answer may be a multiple that kills."""
    notes, bad = [], []
    size = 4 * MIB if rig.deep else 1 * MIB
    cases = (
        ("Metadata of distinct names", 3, 4, lambda n: {
            "topics": [{"name": "%x" % i} for i in range(n)], "allow_auto_topic_creation": False}, 6),
        ("Metadata of distinct ids", 3, 12, lambda n: {
            "topics": [{"name": None, "topic_id": struct.pack(">QQ", 7, i)} for i in range(n)],
            "allow_auto_topic_creation": False}, 18),
        ("Fetch", 1, 4, lambda n: {"max_wait_ms": 0, "topics": [{"topic": "canary", "partitions": [
            {"partition": i, "fetch_offset": 0, "partition_max_bytes": 1} for i in range(n)]}]}, 16),
        ("Fetch of one partition again and again", 1, 4, lambda n: {"max_wait_ms": 0, "topics": [
            {"topic": "canary", "partitions": [{"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1}] * n}]}, 16),
        ("Produce", 0, 7, lambda n: {"topics": [{"name": "nothing", "partitions": [
            {"index": i, "records": None} for i in range(n)]}]}, 8),
        ("FindCoordinator", 10, 4, lambda n: {"coordinator_keys": [""] * n}, 1),
        ("DescribeConfigs", 32, 1, lambda n: {"resources": [
            {"resource_type": 4, "resource_name": "", "keys": None}] * n, "include_synonyms": True}, 7),
        ("DescribeConfigs of topics", 32, 1, lambda n: {"resources": [
            {"resource_type": 2, "resource_name": "canary", "keys": None}] * n, "include_synonyms": True}, 13),
        ("DescribeLogDirs", 35, 1, lambda n: {"topics": [{"topic": "canary", "partitions": [0]}] * n}, 16),
        ("DescribeTopicPartitions", 75, 0, lambda n: {"topics": [{"name": "canary"}] * n, "limit": 2147483647}, 8),
        ("CreateTopics", 19, 5, lambda n: {"topics": [
            {"name": "t%x" % i, "assignments": [], "configs": []} for i in range(n)], "validate_only": True}, 16),
        ("ListOffsets", 2, 1, lambda n: {"topics": [{"name": "canary", "partitions": [
            {"partition_index": 0, "timestamp": -1}] * n}]}, 12),
    )
    for name, key, version, values, each in cases:
        # The heaviest one gets less to do: it is enough to see what a part costs.
        count = min(size, 100_000 if name.startswith("DescribeConfigs") else size) // each
        payload = wire.request(key, version, 1, **values(count))
        before = rig.broker.resident()
        rig.broker.reset_peak()
        started = time.monotonic()
        with rig.connect(timeout=120) as client:
            try:
                reply = len(client.exchange(payload))
            except Closed:
                reply = 0
        if not rig.broker.alive():
            check(False, "%s of %d bytes kills the broker" % (name, len(payload)))
        seconds = time.monotonic() - started
        grown = rig.broker.peak() - before
        notes.append("%s %.0fx, %.2f s" % (name, grown / len(payload), seconds))
        if grown > 64 * MIB:
            bad.append("%s: %d bytes make %.0f MiB of memory, a reply of %.0f MiB, %.1f s" % (
                name, len(payload), grown / MIB, reply / MIB, seconds))
    check(not bad, "; ".join(bad) + " (" + "; ".join(notes) + ")")
    return "; ".join(notes)
