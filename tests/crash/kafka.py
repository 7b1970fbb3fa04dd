"""The little of Kafka's protocol that the rigs speak themselves.

Only what a rig has to see with its own eyes: single acknowledgements, error codes, and the bytes a
Fetch brings. Everything that judges whole histories is done by `ringload verify`.
"""

import socket
import struct
import time

NAMES = {
    -1: "UNKNOWN_SERVER_ERROR", 0: "NONE", 1: "OFFSET_OUT_OF_RANGE", 2: "CORRUPT_MESSAGE",
    3: "UNKNOWN_TOPIC_OR_PARTITION", 5: "LEADER_NOT_AVAILABLE", 6: "NOT_LEADER_OR_FOLLOWER",
    7: "REQUEST_TIMED_OUT", 10: "MESSAGE_TOO_LARGE", 13: "NETWORK_EXCEPTION",
    17: "INVALID_TOPIC_EXCEPTION", 19: "NOT_ENOUGH_REPLICAS",
    20: "NOT_ENOUGH_REPLICAS_AFTER_APPEND", 35: "UNSUPPORTED_VERSION", 36: "TOPIC_ALREADY_EXISTS",
    45: "OUT_OF_ORDER_SEQUENCE_NUMBER", 56: "KAFKA_STORAGE_ERROR", 89: "THROTTLING_QUOTA_EXCEEDED",
}

# What a producer sends again by itself, or what names the storage as the cause.
PASSING = {2, 3, 5, 6, 7, 13, 19, 20, 56, 89}


def name(code):
    """Kafka's name of an error code."""
    return NAMES.get(code, f"error code {code}")


def _table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _table()


def crc32c(data):
    """CRC-32C (Castagnoli), as in record batches and in ringload's state files."""
    table, crc = _CRC, 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _varint(number):
    number = number << 1 ^ number >> 63
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def batch(values):
    """A record batch, version 2, without producer id."""
    now_ms = int(time.time() * 1000)
    records = b""
    for delta, value in enumerate(values):
        record = b"\0" + _varint(0) + _varint(delta) + _varint(-1) + _varint(len(value)) + value
        record += _varint(0)
        records += _varint(len(record)) + record
    body = struct.pack(">hiqqqhii", 0, len(values) - 1, now_ms, now_ms, -1, -1, -1, len(values))
    body += records
    head = struct.pack(">ibI", -1, 2, crc32c(body))
    return struct.pack(">qi", 0, len(head) + len(body)) + head + body


def batches(records):
    """The whole batches of a Fetch reply: (base offset, next offset, checksum is right, bytes)."""
    at = 0
    while at + 61 <= len(records):
        base, length, _, magic, crc, _, last = struct.unpack_from(">qiibIhi", records, at)
        end = at + 12 + length
        if length < 49 or end > len(records):
            return
        right = magic == 2 and crc32c(records[at + 21:end]) == crc
        yield base, base + last + 1, right, records[at:end]
        at = end


def _string(text):
    return b"\xff\xff" if text is None else struct.pack(">h", len(text)) + text.encode()


def _array(items):
    return struct.pack(">i", len(items)) + b"".join(items)


class Broken(Exception):
    """No connection, no answer in time, or an answer that makes no sense."""


class _Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, layout):
        layout = ">" + layout
        try:
            values = struct.unpack_from(layout, self.data, self.at)
        except struct.error as error:
            raise Broken(f"a reply that is too short: {error}") from None
        self.at += struct.calcsize(layout)
        return values if len(values) > 1 else values[0]

    def string(self):
        return self.bytes(self.take("h"))

    def bytes(self, length=None):
        length = self.take("i") if length is None else length
        if length < 0:
            return b""
        if self.at + length > len(self.data):
            raise Broken("a reply that is too short")
        self.at += length
        return self.data[self.at - length:self.at]

    def array(self, item):
        return [item() for _ in range(max(0, self.take("i")))]


class Client:
    """One connection to one broker."""

    def __init__(self, port, timeout=10.0, host="127.0.0.1"):
        self.timeout = timeout
        self.correlation = 0
        try:
            self.socket = socket.create_connection((host, port), timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise Broken(str(error)) from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, key, version, body):
        self.correlation += 1
        frame = struct.pack(">hhi", key, version, self.correlation) + _string("crash-rig") + body
        try:
            self.socket.sendall(struct.pack(">i", len(frame)) + frame)
        except OSError as error:
            raise Broken(str(error)) from None

    def receive(self):
        deadline = time.monotonic() + self.timeout
        frame = self._exactly(struct.unpack(">i", self._exactly(4, deadline))[0], deadline)
        reader = _Reader(frame)
        if reader.take("i") != self.correlation:
            raise Broken("a reply to another request")
        return reader

    def _exactly(self, count, deadline):
        data = bytearray()
        while len(data) < count:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Broken("no answer in time")
            self.socket.settimeout(left)
            try:
                piece = self.socket.recv(count - len(data))
            except OSError as error:
                raise Broken(str(error)) from None
            if not piece:
                raise Broken("the broker closed the connection")
            data += piece
        return bytes(data)

    def ask(self, key, version, body):
        self.send(key, version, body)
        return self.receive()

    def create_topic(self, topic, partitions, configs=()):
        """The error code."""
        configs = [_string(key) + _string(value) for key, value in configs]
        one = _string(topic) + struct.pack(">ih", partitions, 1) + _array([]) + _array(configs)
        reply = self.ask(19, 2, _array([one]) + struct.pack(">ib", int(self.timeout * 1000), 0))
        reply.take("i")
        codes = reply.array(lambda: (reply.string(), reply.take("h"), reply.string()))
        return codes[0][1]

    def delete_topic(self, topic):
        """The error code."""
        reply = self.ask(20, 1, _array([_string(topic)]) + struct.pack(">i", 10_000))
        reply.take("i")
        return reply.array(lambda: (reply.string(), reply.take("h")))[0][1]

    def topics(self):
        """Number of partitions by name of topic."""
        reply = self.ask(3, 4, struct.pack(">ib", -1, 0))
        reply.take("i")
        reply.array(lambda: (reply.take("i"), reply.string(), reply.take("i"), reply.string()))
        reply.string(), reply.take("i")

        def partition():
            reply.take("hii")
            reply.array(lambda: reply.take("i"))
            reply.array(lambda: reply.take("i"))

        def topic():
            code, called, _ = reply.take("h"), reply.string().decode(), reply.take("b")
            return code, called, len(reply.array(partition))

        return {called: count for code, called, count in reply.array(topic) if code == 0}

    def produce(self, topic, partition, values, timeout_ms=5000):
        """Error code and base offset."""
        data = batch(values)
        one = struct.pack(">i", partition) + struct.pack(">i", len(data)) + data
        body = _string(None) + struct.pack(">hi", -1, timeout_ms)
        reply = self.ask(0, 3, body + _array([_string(topic) + _array([one])]))
        answers = reply.array(
            lambda: (reply.string(), reply.array(lambda: reply.take("ihqq"))))
        _, code, offset, _ = answers[0][1][0]
        return code, offset

    def list_offset(self, topic, partition, timestamp):
        """Error code and offset; -2 is the earliest, -1 the end."""
        one = _string(topic) + _array([struct.pack(">iq", partition, timestamp)])
        reply = self.ask(2, 1, struct.pack(">i", -1) + _array([one]))
        answers = reply.array(
            lambda: (reply.string(), reply.array(lambda: reply.take("ihqq"))))
        _, code, _, offset = answers[0][1][0]
        return code, offset

    def fetch(self, topic, partition, offset, bytes_max=1 << 20, wait_ms=100):
        """Error code, high watermark and the bytes of record batches."""
        one = struct.pack(">iqi", partition, offset, bytes_max)
        body = struct.pack(">iiiib", -1, wait_ms, 1, bytes_max, 0)
        reply = self.ask(1, 4, body + _array([_string(topic) + _array([one])]))
        reply.take("i")

        def answer():
            _, code, high_watermark, _ = reply.take("ihqq")
            reply.array(lambda: reply.take("qq"))
            return code, high_watermark, reply.bytes()

        return reply.array(lambda: (reply.string(), reply.array(answer)))[0][1][0]
