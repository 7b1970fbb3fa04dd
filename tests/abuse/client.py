"""A blocking client for the few requests the cases send, and readers of their replies."""

import itertools
import os
import socket
import struct

from wire import frame, header, request

HANG_SECONDS = float(os.environ.get("ABUSE_HANG_SECONDS", "20"))
_CORRELATION = itertools.count(1)


class Closed(Exception):
    """The broker closed the connection."""


class Client:
    def __init__(self, port, timeout=HANG_SECONDS, client="abuse", receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.peer = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.client = client

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed() from error

    def take(self, count):
        out = bytearray()
        while len(out) < count:
            try:
                piece = self.socket.recv(min(count - len(out), 1 << 20))
            except ConnectionResetError as error:
                raise Closed() from error
            if not piece:
                raise Closed()
            out += piece
        return bytes(out)

    def receive(self):
        """The next reply, without its length."""
        length = struct.unpack(">i", self.take(4))[0]
        assert 4 <= length <= 200 << 20, "reply of length %d" % length
        return self.take(length)

    def exchange(self, payload):
        self.send(frame(payload))
        return self.receive()

    def ask(self, key, version, **values):
        correlation = next(_CORRELATION)
        reply = self.exchange(request(key, version, correlation, self.client, **values))
        assert struct.unpack(">i", reply[:4])[0] == correlation, "reply to another request"
        return Reader(reply[4:])

    def closed(self):
        """Whether the broker closes the connection (whatever it still sends), before the hang limit."""
        try:
            while True:
                self.receive()
        except Closed:
            return True
        except (TimeoutError, socket.timeout):
            return False


class Reader:
    """Reads replies of inflexible versions."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def _take(self, form, size):
        value = struct.unpack(form, self.data[self.at:self.at + size])[0]
        self.at += size
        return value

    def i8(self):
        return self._take(">b", 1)

    def i16(self):
        return self._take(">h", 2)

    def i32(self):
        return self._take(">i", 4)

    def i64(self):
        return self._take(">q", 8)

    def string(self):
        length = self.i16()
        if length < 0:
            return None
        self.at += length
        return self.data[self.at - length:self.at].decode()

    def blob(self):
        length = self.i32()
        self.at += max(length, 0)
        return self.data[self.at - max(length, 0):self.at]

    def many(self, read):
        return [read() for _ in range(self.i32())]


def create_topic(client, name, partitions=1, configs=(), replication=1):
    """The error code."""
    topic = {"name": name, "num_partitions": partitions, "replication_factor": replication, "assignments": [],
             "configs": [{"name": k, "value": v} for k, v in configs]}
    reply = client.ask(19, 2, topics=[topic], timeout_ms=30000, validate_only=False)
    reply.i32()
    return reply.many(lambda: (reply.string(), reply.i16(), reply.string()))[0][1]


def delete_topic(client, name):
    reply = client.ask(20, 1, topic_names=[name], timeout_ms=30000)
    reply.i32()
    return reply.many(lambda: (reply.string(), reply.i16()))[0][1]


def produce(client, topic, records, partition=0, acks=1, version=7):
    """Error code and base offset."""
    reply = client.ask(0, version, acks=acks, timeout_ms=10000, topics=[
        {"name": topic, "partitions": [{"index": partition, "records": records}]}])
    results = reply.many(lambda: (reply.string(), reply.many(
        lambda: (reply.i32(), reply.i16(), reply.i64(), reply.i64(), reply.i64() if version >= 5 else None))))
    return results[0][1][0][1:3]


def fetch(client, topic, partition=0, offset=0, bytes_max=1 << 20, wait=0, bytes_min=1):
    """Error code, high watermark, records."""
    reply = client.ask(1, 4, max_wait_ms=wait, min_bytes=bytes_min, max_bytes=bytes_max, topics=[
        {"topic": topic, "partitions": [{"partition": partition, "fetch_offset": offset,
                                         "partition_max_bytes": bytes_max}]}])
    reply.i32()
    results = reply.many(lambda: (reply.string(), reply.many(lambda: (
        reply.i32(), reply.i16(), reply.i64(), reply.i64(), reply.many(lambda: (reply.i64(), reply.i64()))
        if reply.data[reply.at:reply.at + 4] != b"\xff\xff\xff\xff" else reply.i32(), reply.blob()))))
    partition = results[0][1][0]
    return partition[1], partition[2], partition[5]


def list_offset(client, topic, timestamp, partition=0):
    """Error code and offset."""
    reply = client.ask(2, 1, topics=[{"name": topic, "partitions": [
        {"partition_index": partition, "timestamp": timestamp}]}])
    results = reply.many(lambda: (reply.string(), reply.many(
        lambda: (reply.i32(), reply.i16(), reply.i64(), reply.i64()))))
    return results[0][1][0][1], results[0][1][0][3]


def metadata(client, names, create=True):
    """Error codes by topic, and what the reply holds of partitions."""
    reply = client.ask(3, 4, topics=[{"name": name} for name in names], allow_auto_topic_creation=create)
    reply.i32()
    reply.many(lambda: (reply.i32(), reply.string(), reply.i32(), reply.string()))
    reply.string()
    reply.i32()

    def topic():
        error, name = reply.i16(), reply.string()
        reply.i8()
        partitions = reply.many(lambda: (reply.i16(), reply.i32(), reply.i32(), reply.many(reply.i32),
                                         reply.many(reply.i32)))
        return name, (error, len(partitions))

    return dict(reply.many(topic))


def init_producer_id(client):
    reply = client.ask(22, 0, transaction_timeout_ms=1000)
    reply.i32()
    return reply.i16(), reply.i64(), reply.i16()


def api_versions_payload(version=0, correlation=1):
    return header(18, version, correlation, flexible=version >= 3) + (b"\x06abuse\x021\0" if version >= 3 else b"")
