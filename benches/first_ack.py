"""The few Kafka requests that the cells send themselves, over one blocking connection: to time a first acknowledgement without
the start of another process in it, and to count what a log holds."""

import socket
import struct
import time

NO_ERROR = 0


def _crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _crc32c_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


def batch_of_one(value):
    """A record batch v2 with one record; the value is at most 50 bytes, so that every varint has one byte."""
    record = b"\0\0\0\1" + bytes([len(value) * 2]) + value + b"\0"
    after_crc = struct.pack(">hiqqqhii", 0, 0, *[int(time.time() * 1000)] * 2, -1, -1, -1, 1) + bytes([len(record) * 2]) + record
    after_length = struct.pack(">ibI", -1, 2, crc32c(after_crc)) + after_crc
    return struct.pack(">qi", 0, len(after_length)) + after_length


class Refused(Exception):
    """The broker answered with an error code."""


class Connection:
    def __init__(self, port, timeout_seconds=600):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout_seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        self.socket.close()

    def ask(self, key, version, body):
        request = struct.pack(">hhi", key, version, 1) + text("cells") + body
        self.socket.sendall(struct.pack(">i", len(request)) + request)
        (length,) = struct.unpack(">i", self._read(4))
        return self._read(length)[4:]

    def _read(self, count):
        data = bytearray()
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise ConnectionError("the broker closed the connection")
            data += piece
        return bytes(data)

    def create_topic(self, name, partitions, configs=()):
        """CreateTopics v2."""
        body = struct.pack(">i", 1) + text(name) + struct.pack(">ihii", partitions, 1, 0, len(configs))
        for key, value in configs:
            body += text(key) + text(value)
        answer = self.ask(19, 2, body + struct.pack(">ib", 600_000, 0))
        # throttle time, one topic: name, error code
        (code,) = struct.unpack_from(">h", answer, 4 + 4 + 2 + len(name))
        if code != NO_ERROR:
            raise Refused(f"CreateTopics: error {code}")

    def produce_one(self, topic, partition=0):
        """Produce v3 of one record, acks=all."""
        batch = batch_of_one(b"first ack")
        body = struct.pack(">hhii", -1, -1, 30_000, 1) + text(topic) + struct.pack(">iii", 1, partition, len(batch)) + batch
        answer = self.ask(0, 3, body)
        # one topic: name, one partition: index, error code
        (code,) = struct.unpack_from(">h", answer, 4 + 2 + len(topic) + 4 + 4)
        if code != NO_ERROR:
            raise Refused(f"Produce: error {code}")

    def offsets(self, topic, partitions, timestamp):
        """ListOffsets v1: the offset of every partition; -1 is the end of the log, -2 its start."""
        body = struct.pack(">ii", -1, 1) + text(topic) + struct.pack(">i", partitions)
        for partition in range(partitions):
            body += struct.pack(">iq", partition, timestamp)
        answer = self.ask(2, 1, body)
        at = 4 + 2 + len(topic)
        (count,) = struct.unpack_from(">i", answer, at)
        offsets = {}
        for row in range(count):
            partition, code, _, offset = struct.unpack_from(">ihqq", answer, at + 4 + row * 22)
            if code != NO_ERROR:
                raise Refused(f"ListOffsets of {topic}-{partition}: error {code}")
            offsets[partition] = offset
        return offsets

    def record_count(self, topic, partitions):
        first, end = (self.offsets(topic, partitions, timestamp) for timestamp in (-2, -1))
        return sum(end[partition] - first[partition] for partition in end)


def until_first_ack(port, topic, started, deadline_seconds=300, create=False):
    """Milliseconds from `started` (of time.monotonic) until a record is acknowledged, trying every millisecond. A broker that
    only tries its port out may take a connection and drop it again: that is tried again too."""
    while True:
        try:
            connection = Connection(port)
            if create:
                connection.create_topic(topic, 1)
            connection.produce_one(topic)
        except ConnectionError:
            if time.monotonic() - started > deadline_seconds:
                raise
            time.sleep(0.001)
            continue
        elapsed_ms = (time.monotonic() - started) * 1000
        connection.close()
        return elapsed_ms
