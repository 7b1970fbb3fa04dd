"""S1 and S2: frames that are not requests."""

import random
import struct
import threading
import time

import wire
from client import Client, Closed, api_versions_payload
from rig import MIB, Failure, check

LIMIT = 100 * MIB


def refused(rig, data, name, half_close=False):
    """Sends bytes that are no request; the broker must close. The peer, for the log."""
    import socket
    with rig.connect() as client:
        try:
            client.send(data)
            if half_close:
                client.socket.shutdown(socket.SHUT_WR)
        except Closed:
            return client.peer
        check(client.closed(), name + ": the connection stays open")
        return client.peer


def lengths(rig):
    peers = []
    for length in (-1, -2147483648, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 2147483647, LIMIT + 1, 0x47455420, 0x16030100):
        peers.append(refused(rig, struct.pack(">i", length) + b"x" * 16, "length %d" % length))
    return peers, "%d lengths" % len(peers)


def exact_limit_announced(rig):
    clients = [rig.connect() for _ in range(50)]
    for client in clients:
        client.send(struct.pack(">i", LIMIT))
    time.sleep(0.5)
    for client in clients:
        client.send(b"\0\1\0\4")
    time.sleep(0.5)
    for client in clients:
        client.close()
    return "50 connections announce 100 MiB each"


def large_frame_paid_in_full(rig):
    """A frame of 60 MiB that does come: at most twice its size."""
    with rig.connect() as client:
        payload = wire.header(0, 7) + b"\xfe" * (60 * MIB)
        try:
            client.send(wire.frame(payload))
        except Closed:
            pass
        check(client.closed(), "nonsense is taken for a request")
        return [client.peer], "60 MiB of nonsense"


def half_frames(rig):
    for key, name, version in wire.every_version():
        data = wire.frame(wire.request(key, version))
        with rig.connect() as client:
            client.send(data[:len(data) // 2])
    for cut in range(1, 20):
        with rig.connect() as client:
            client.send(wire.frame(api_versions_payload())[:cut])


class Trickles:
    """Connections that send a byte a second, begun early and looked at in the end."""

    def __init__(self, rig):
        self.broker, self.log_start, self.ended = rig.broker, rig.broker.log_size(), {}
        self.stop = threading.Event()
        header = Client(self.broker.port)
        body = Client(self.broker.port)
        body.send(struct.pack(">i", 1 * MIB) + wire.header(0, 7))
        self.clients = {"header": header, "body": body}
        pieces = {"header": struct.pack(">i", 5000) + wire.header(3, 4), "body": bytes(200)}
        self.started = time.monotonic()
        for name, client in self.clients.items():
            threading.Thread(target=self.drip, args=(name, client, pieces[name] + bytes(400)), daemon=True).start()

    def drip(self, name, client, data):
        try:
            client.socket.settimeout(1)
            for byte in data:
                client.send(bytes([byte]))
                try:
                    if not client.socket.recv(1):
                        break
                except TimeoutError:
                    pass
                if self.stop.is_set():
                    return
        except (Closed, OSError):
            pass
        self.ended[name] = time.monotonic() - self.started

    def look(self, rig):
        check(self.broker is rig.broker, "the broker died meanwhile")
        until = self.started + 75
        while len(self.ended) < len(self.clients) and time.monotonic() < until:
            time.sleep(0.2)
        self.stop.set()
        missing = set(self.clients) - set(self.ended)
        check(not missing, "still open after 75 s: %s" % ", ".join(missing))
        for client in self.clients.values():
            check(self.broker.logged(client.peer, self.log_start), "no log line names " + client.peer)
        return "closed after %s s" % ", ".join("%.0f" % s for s in self.ended.values())


def keys_and_versions(rig):
    peers = []
    for key in [-32768, -1, 4, 5, 6, 7, 52, 93, 999, 32767] + [k for k in range(0, 100) if k not in wire.APIS]:
        peers.append(refused(rig, wire.frame(struct.pack(">hhih", key, 0, 1, -1) + bytes(8)), "key %d" % key))
    for key, (_, low, high, _, _) in wire.APIS.items():
        if key == 18:
            continue
        for version in {low - 1, high + 1, -1, 32767, -32768}:
            peers.append(refused(rig, wire.frame(wire.header(key, version) + bytes(32)), "key %d v%d" % (key, version)))
    return peers, "%d requests" % len(peers)


def produce_before_three(rig):
    peers = []
    for version in (0, 1, 2):
        body = struct.pack(">hii", 1, 1000, 1) + struct.pack(">h", 6) + b"canary" + struct.pack(">iii", 1, 0, 0)
        peers.append(refused(rig, wire.frame(wire.header(0, version) + body), "Produce v%d" % version))
    return peers, ""


def api_versions(rig):
    for version in (5, 6, 100, 32767, -1):
        with rig.connect() as client:
            reply = client.exchange(api_versions_payload(version, 77))
            correlation, error, count = struct.unpack(">ihi", reply[:10])
            check((correlation, error) == (77, 35), "v%d: correlation %d, error %d" % (version, correlation, error))
            entries = [struct.unpack(">hhh", reply[10 + 6 * i:16 + 6 * i]) for i in range(count)]
            check((18, 0, 4) in entries, "v%d: the reply does not say what is served: %s" % (version, entries))
            check(len(reply) == 10 + 6 * count, "v%d: not in the form of version 0" % version)
            # The connection goes on: this is how clients learn what to speak.
            reply = client.exchange(api_versions_payload(0, 78))
            check(struct.unpack(">ih", reply[:6]) == (78, 0), "no second chance after v%d" % version)
    with rig.connect() as client:
        reply = client.exchange(api_versions_payload(0))
        count = struct.unpack(">i", reply[6:10])[0]
        for key, low, high in (struct.unpack(">hhh", reply[10 + 6 * i:16 + 6 * i]) for i in range(count)):
            check(key in wire.APIS, "API %d is served and this rig does not know it" % key)
            name, known_low, known_high, _, _ = wire.APIS[key]
            known_low = 0 if key == 0 else known_low
            check((low, high) == (known_low, known_high), "%s: %d to %d" % (name, low, high))
    return "error 35, version 0, and a second chance"


def valid(rig):
    """Every valid request of every version gets an answer: the table that the lies are made from is right."""
    for key, name, version in wire.every_version():
        with rig.connect() as client:
            try:
                reply = client.exchange(wire.request(key, version, 5))
            except Closed:
                raise Failure("%s v%d: closed" % (name, version)) from None
            check(struct.unpack(">i", reply[:4])[0] == 5, "%s v%d: wrong correlation" % (name, version))
    return "%d versions" % len(list(wire.every_version()))


def lies(mark, body, flexible):
    """What can be said in place of the length at this mark."""
    at, size, kind, null_allowed = mark
    before, after = body[:at], body[at + size:]
    if flexible:
        for value in (2147483647, 4294967295, 1 << 20, len(after) + 100):
            yield "%s of %d" % (kind, value), before + wire.varint(value) + after
        yield "overlong varint", before + b"\xff" * 5 + b"\x7f" + after
        yield "endless varint", before + b"\x80" * 300
        if kind == "tags":
            yield "a tag that is longer than the frame", before + b"\1\x63\xff\xff\xff\x07" + after
            yield "a tag twice", before + b"\2\x63\0\x63\0" + after
            many = b"".join(wire.varint(1000 + i) + b"\0" for i in range(20000))
            yield "20,000 tags", before + wire.varint(20000) + many + after
        elif not null_allowed:
            yield "null " + kind, before + b"\0" + after
    else:
        wide = ">h" if kind == "string" else ">i"
        for value in (32767, -2, -32768) if wide == ">h" else (2147483647, -2, -2147483648, 1 << 20, len(after) + 100):
            yield "%s of %d" % (kind, value), before + struct.pack(wide, value) + after
        if not null_allowed:
            yield "null " + kind, before + struct.pack(wide, -1) + after


def lying(rig):
    """Every length of every request of every version, each lie on a connection of its own: closed, and logged."""
    peers, count = [], 0
    for key, name, version in wire.every_version():
        if not rig.deep and version not in (wire.APIS[key][1], wire.APIS[key][2], wire.APIS[key][3]):
            continue
        flexible = version >= wire.APIS[key][3]
        header = wire.header(key, version)
        body, marks = wire.body(key, version)
        for mark in marks:
            for what, lie in lies(mark, body, flexible):
                # ApiVersions of a flexible version must be readable to Kafka only as far as its header.
                peer = refused(rig, wire.frame(header + lie), "%s v%d: %s at byte %d" % (name, version, what, mark[0]))
                count += 1
                if count % 50 == 0:
                    peers.append(peer)
        if flexible:
            for what, tags in (("2^31 tags in the header", b"\xff\xff\xff\xff\x07"),
                               ("overlong tag count in the header", b"\xff" * 6),
                               ("a tag of 2 GiB in the header", b"\1\0\xff\xff\xff\xff\x07")):
                refused(rig, wire.frame(header[:-1] + tags + body), "%s v%d: %s" % (name, version, what))
    return peers, "%d lies" % count


def trailing(rig):
    """Bytes behind the end: Kafka passes over them, closing is as good; saying nothing is not."""
    answered = closed = 0
    for key, name, version in wire.every_version():
        if key == 0:
            body, _ = wire.body(key, version, acks=1)
        else:
            body, _ = wire.body(key, version)
        for more in (b"\0", bytes(70_000), b"\xff" * 300):
            with rig.connect() as client:
                try:
                    reply = client.exchange(wire.header(key, version, 9) + body + more)
                    check(struct.unpack(">i", reply[:4])[0] == 9, "%s v%d: wrong correlation" % (name, version))
                    answered += 1
                except Closed:
                    closed += 1
    return "%d answered, %d closed" % (answered, closed)


def unknown_tags(rig):
    """Tags nobody knows are passed over, up to the limit that is stated."""
    for key, name, version in wire.every_version():
        if version < wire.APIS[key][3]:
            continue
        body, marks = wire.body(key, version)
        at = marks[-1][0]
        many = b"".join(wire.varint(5000 + i) + b"\3abc" for i in range(1000))
        with rig.connect() as client:
            try:
                client.exchange(wire.header(key, version) + body[:at] + wire.varint(1000) + many)
            except Closed:
                raise Failure("%s v%d: closed over 1,000 unknown tags" % (name, version)) from None
    body, _ = wire.body(18, 4)
    count = 20_000_000 if rig.deep else 2_000_000
    peer = refused(rig, wire.frame(wire.header(18, 4)[:-1] + wire.varint(count) + b"\x63\0" * count + body),
                   "%d tags in the header" % count)
    return [peer], "and %d in one header refused" % count


def truncations(rig):
    """Every valid request, cut at every byte, whole in its frame: closed each time."""
    count, step = 0, 1
    for key, name, version in wire.every_version():
        data = wire.request(key, version)
        if key == 0:
            data = wire.request(key, version, topics=[{"partitions": [{"records": b"\0" * 3}]}])
        cuts = range(0, len(data), step)
        for cut in cuts:
            refused(rig, wire.frame(data[:cut]), "%s v%d cut to %d of %d" % (name, version, cut, len(data)))
            count += 1
    return "%d cuts" % count


def garbage(rig):
    """Random frames: half with a valid header, half mutated valid requests."""
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    versions = list(wire.every_version())
    total = 100_000 if rig.deep else 8_000
    sent = 0
    client = rig.connect()
    while sent < total:
        burst = bytearray()
        for _ in range(dice.randrange(1, 6)):
            key, _, version = dice.choice(versions)
            roll = dice.random()
            if roll < 0.2:
                payload = dice.randbytes(dice.randrange(10, 400))
            elif roll < 0.5:
                payload = wire.header(key, version) + dice.randbytes(dice.randrange(0, 300))
            else:
                payload = bytearray(wire.request(key, version))
                for _ in range(dice.randrange(1, 4)):
                    # The key stays what it is, or most of it would be "unknown API".
                    payload[dice.randrange(4, len(payload))] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
            burst += wire.frame(bytes(payload))
            sent += 1
        try:
            client.send(bytes(burst))
            client.socket.settimeout(0.0005)
            while client.socket.recv(65536):
                pass
            client.close()
            client = rig.connect()
        except (TimeoutError, BlockingIOError):
            # Still open and quiet: the frames were requests, or there is half a frame; go on with the next.
            if dice.random() < 0.5:
                client.close()
                client = rig.connect()
        except (Closed, OSError):
            client.close()
            client = rig.connect()
        client.socket.settimeout(20)
        if not rig.broker.alive():
            raise Failure("died after %d frames, seed %d" % (sent, seed))
    client.close()
    return "%d frames, seed %d" % (sent, seed)
