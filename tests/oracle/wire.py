"""Kafka's protocol as raw frames, for the rigs: encodes and decodes any message of any version from Kafka's own schemas.

The schemas are the JSON files inside the cached kafka-clients jar, so nothing here shares a line or a table with the broker under
test. Messages are plain dicts with Kafka's field names; a field that is left out takes its default. Decoding is strict: bytes left
over, a null where none is allowed or a short message raise WireError.

Record batches are built by hand (`record_batch`), field by field, so that a case can spoil any of them.
"""

import functools
import gzip
import itertools
import json
import os
import pathlib
import re
import socket
import struct
import time
import uuid
import zipfile

CACHE = pathlib.Path(os.environ.get("RINGMAIN_TEST_CACHE") or pathlib.Path.home() / ".cache" / "ringmain-tests")

ERRORS = {
    -1: "UNKNOWN_SERVER_ERROR", 0: "NONE", 1: "OFFSET_OUT_OF_RANGE", 2: "CORRUPT_MESSAGE", 3: "UNKNOWN_TOPIC_OR_PARTITION",
    4: "INVALID_FETCH_SIZE", 5: "LEADER_NOT_AVAILABLE", 6: "NOT_LEADER_OR_FOLLOWER", 7: "REQUEST_TIMED_OUT",
    8: "BROKER_NOT_AVAILABLE", 9: "REPLICA_NOT_AVAILABLE", 10: "MESSAGE_TOO_LARGE", 11: "STALE_CONTROLLER_EPOCH",
    12: "OFFSET_METADATA_TOO_LARGE", 13: "NETWORK_EXCEPTION", 14: "COORDINATOR_LOAD_IN_PROGRESS",
    15: "COORDINATOR_NOT_AVAILABLE", 16: "NOT_COORDINATOR", 17: "INVALID_TOPIC_EXCEPTION", 18: "RECORD_LIST_TOO_LARGE",
    19: "NOT_ENOUGH_REPLICAS", 20: "NOT_ENOUGH_REPLICAS_AFTER_APPEND", 21: "INVALID_REQUIRED_ACKS", 22: "ILLEGAL_GENERATION",
    23: "INCONSISTENT_GROUP_PROTOCOL", 24: "INVALID_GROUP_ID", 25: "UNKNOWN_MEMBER_ID", 26: "INVALID_SESSION_TIMEOUT",
    27: "REBALANCE_IN_PROGRESS", 28: "INVALID_COMMIT_OFFSET_SIZE", 29: "TOPIC_AUTHORIZATION_FAILED",
    30: "GROUP_AUTHORIZATION_FAILED", 31: "CLUSTER_AUTHORIZATION_FAILED", 32: "INVALID_TIMESTAMP",
    33: "UNSUPPORTED_SASL_MECHANISM", 34: "ILLEGAL_SASL_STATE", 35: "UNSUPPORTED_VERSION", 36: "TOPIC_ALREADY_EXISTS",
    37: "INVALID_PARTITIONS", 38: "INVALID_REPLICATION_FACTOR", 39: "INVALID_REPLICA_ASSIGNMENT", 40: "INVALID_CONFIG",
    41: "NOT_CONTROLLER", 42: "INVALID_REQUEST", 43: "UNSUPPORTED_FOR_MESSAGE_FORMAT", 44: "POLICY_VIOLATION",
    45: "OUT_OF_ORDER_SEQUENCE_NUMBER", 46: "DUPLICATE_SEQUENCE_NUMBER", 47: "INVALID_PRODUCER_EPOCH", 48: "INVALID_TXN_STATE",
    49: "INVALID_PRODUCER_ID_MAPPING", 50: "INVALID_TRANSACTION_TIMEOUT", 51: "CONCURRENT_TRANSACTIONS",
    52: "TRANSACTION_COORDINATOR_FENCED", 53: "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", 54: "SECURITY_DISABLED",
    55: "OPERATION_NOT_ATTEMPTED", 56: "KAFKA_STORAGE_ERROR", 57: "LOG_DIR_NOT_FOUND", 58: "SASL_AUTHENTICATION_FAILED",
    59: "UNKNOWN_PRODUCER_ID", 60: "REASSIGNMENT_IN_PROGRESS", 68: "NON_EMPTY_GROUP", 69: "GROUP_ID_NOT_FOUND",
    70: "FETCH_SESSION_ID_NOT_FOUND", 71: "INVALID_FETCH_SESSION_EPOCH", 72: "LISTENER_NOT_FOUND",
    73: "TOPIC_DELETION_DISABLED", 74: "FENCED_LEADER_EPOCH", 75: "UNKNOWN_LEADER_EPOCH", 76: "UNSUPPORTED_COMPRESSION_TYPE",
    77: "STALE_BROKER_EPOCH", 78: "OFFSET_NOT_AVAILABLE", 79: "MEMBER_ID_REQUIRED", 80: "PREFERRED_LEADER_NOT_AVAILABLE",
    81: "GROUP_MAX_SIZE_REACHED", 82: "FENCED_INSTANCE_ID", 86: "GROUP_SUBSCRIBED_TO_TOPIC", 87: "INVALID_RECORD",
    88: "UNSTABLE_OFFSET_COMMIT", 89: "THROTTLING_QUOTA_EXCEEDED",
    90: "PRODUCER_FENCED", 91: "RESOURCE_NOT_FOUND", 92: "DUPLICATE_RESOURCE", 95: "INCONSISTENT_VOTER_SET",
    96: "INVALID_UPDATE_VERSION", 100: "UNKNOWN_TOPIC_ID", 103: "INCONSISTENT_TOPIC_ID", 104: "INCONSISTENT_CLUSTER_ID",
    106: "FETCH_SESSION_TOPIC_ID_ERROR", 109: "OFFSET_MOVED_TO_TIERED_STORAGE", 110: "FENCED_MEMBER_EPOCH",
    111: "UNRELEASED_INSTANCE_ID", 112: "UNSUPPORTED_ASSIGNOR", 113: "STALE_MEMBER_EPOCH",
    115: "UNSUPPORTED_ENDPOINT_TYPE", 120: "TRANSACTION_ABORTABLE", 121: "INVALID_RECORD_STATE",
}  # fmt: skip


class WireError(Exception):
    """Bytes that are not a message of the expected kind and version."""


class Closed(Exception):
    """The peer closed the connection instead of answering."""


def error_name(code):
    return ERRORS.get(code, f"ERROR_{code}")


# Schemas


def version_range(text):
    """(first, last) of Kafka's notation "3", "3+", "3-7" or "none"."""
    if text in (None, "none"):
        return (1, 0)
    if text.endswith("+"):
        return (int(text[:-1]), 1 << 15)
    first, _, last = text.partition("-")
    return (int(first), int(last or first))


def within(version, text):
    first, last = version_range(text)
    return first <= version <= last


@functools.cache
def schemas():
    """Every request and response schema by name, from the newest kafka-clients jar in the cache."""
    jars = sorted((CACHE / "oracle" / "lib").glob("kafka-clients-*.jar"))
    if not jars:
        raise SystemExit("wire: no kafka-clients jar in the cache; run tests/oracle/kafka fetch")
    found = {}
    with zipfile.ZipFile(jars[-1]) as jar:
        for name in jar.namelist():
            if not re.fullmatch(r"common/message/\w+(Request|Response)(Header)?\.json", name):
                continue
            text = re.sub(r"^\s*//.*$", "", jar.read(name).decode(), flags=re.M)
            text = re.sub(r"\s//[^\"\n]*$", "", text, flags=re.M)
            schema = json.loads(text)
            found[schema["name"]] = schema
    return found


@functools.cache
def api_keys():
    return {name.removesuffix("Request"): s["apiKey"] for name, s in schemas().items() if s["type"] == "request"}


def is_flexible(name, version):
    return within(version, schemas()[name].get("flexibleVersions"))


def max_version(api):
    return version_range(schemas()[api + "Request"]["validVersions"])[1]


FIXED = {"int8": ">b", "int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "int64": ">q", "float64": ">d"}


def uvarint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def varint(value):
    return uvarint((value << 1) ^ (value >> 63) if value < 0 else value << 1)


def default_of(field, structs, version):
    kind, value = field["type"], field.get("default")
    if kind.startswith("[]"):
        return None if value == "null" else []
    if kind in FIXED:
        return float(value or 0) if kind == "float64" else int(str(value), 0) if value not in (None, "") else 0
    if kind == "bool":
        return value in (True, "true")
    if kind == "string":
        return None if value == "null" else value or ""
    if kind == "bytes":
        return None if value == "null" else b""
    if kind == "records":
        return None
    if kind == "uuid":
        return uuid.UUID(int=0)
    return None if value == "null" else {}


def fields_of(kind, field, structs):
    return field["fields"] if "fields" in field else structs[kind]


class Writer:
    def __init__(self, schema, version):
        self.out = bytearray()
        self.version = version
        self.flexible = within(version, schema.get("flexibleVersions"))
        self.structs = {s["name"]: s["fields"] for s in schema.get("commonStructs", [])}

    def length(self, count, width):
        """The length before a string (`width` 2) or bytes and arrays (`width` 4); None for null."""
        if self.flexible:
            self.out += uvarint(0 if count is None else count + 1)
        else:
            self.out += struct.pack(">h" if width == 2 else ">i", -1 if count is None else count)

    def value(self, kind, field, value):
        if kind.startswith("[]"):
            self.length(None if value is None else len(value), 4)
            for element in value or []:
                self.value(kind[2:], field, element)
        elif kind in FIXED:
            self.out += struct.pack(FIXED[kind], value)
        elif kind == "bool":
            self.out.append(1 if value else 0)
        elif kind == "string":
            data = None if value is None else value.encode()
            if field.get("flexibleVersions") == "none" or not self.flexible:
                self.out += struct.pack(">h", -1 if data is None else len(data))
            else:
                self.length(None if data is None else len(data), 2)
            self.out += data or b""
        elif kind in ("bytes", "records"):
            self.length(None if value is None else len(value), 4)
            self.out += value or b""
        elif kind == "uuid":
            self.out += value.bytes
        else:
            # In an array it is the array that may be null, not its elements.
            if within(self.version, field.get("nullableVersions")) and not field["type"].startswith("[]"):
                self.out += struct.pack(">b", -1 if value is None else 1)
                if value is None:
                    return
            self.struct(fields_of(kind, field, self.structs), value)

    def struct(self, fields, values):
        unknown = set(values) - {field["name"] for field in fields} - {"_raw_tags"}
        if unknown:
            raise ValueError(f"no such field: {unknown}")
        tagged = []
        for field in fields:
            if not within(self.version, field["versions"]):
                continue
            value = values.get(field["name"], default_of(field, self.structs, self.version))
            if within(self.version, field.get("taggedVersions")):
                if field["name"] in values:
                    tagged.append((field["tag"], field, value))
            else:
                self.value(field["type"], field, value)
        if self.flexible:
            raw_tags = values.get("_raw_tags", [])
            self.out += uvarint(len(tagged) + len(raw_tags))
            for tag, field, value in sorted(tagged, key=lambda entry: entry[0]):
                start, self.out = self.out, bytearray()
                self.value(field["type"], field, value)
                body, self.out = self.out, start
                self.out += uvarint(tag) + uvarint(len(body)) + body
            for tag, body in raw_tags:
                self.out += uvarint(tag) + uvarint(len(body)) + body


class Reader:
    def __init__(self, schema, version, data):
        self.data = data
        self.position = 0
        self.version = version
        self.flexible = within(version, schema.get("flexibleVersions"))
        self.structs = {s["name"]: s["fields"] for s in schema.get("commonStructs", [])}

    def take(self, count):
        if count < 0 or self.position + count > len(self.data):
            raise WireError(f"{count} bytes wanted at {self.position} of {len(self.data)}")
        self.position += count
        return self.data[self.position - count : self.position]

    def fixed(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def uvarint(self):
        value = 0
        for shift in range(0, 70, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise WireError("overlong varint")

    def length(self, width):
        if self.flexible:
            count = self.uvarint() - 1
        else:
            count = self.fixed(">h" if width == 2 else ">i")
        if count < -1:
            raise WireError(f"length {count}")
        return None if count == -1 else count

    def value(self, kind, field):
        if kind.startswith("[]"):
            count = self.length(4)
            self.null_check(count, field)
            return None if count is None else [self.value(kind[2:], field) for _ in range(count)]
        if kind in FIXED:
            return self.fixed(FIXED[kind])
        if kind == "bool":
            return self.take(1) != b"\0"
        if kind == "string":
            count = self.length(2)
            self.null_check(count, field)
            return None if count is None else self.take(count).decode()
        if kind in ("bytes", "records"):
            count = self.length(4)
            self.null_check(count, field)
            return None if count is None else bytes(self.take(count))
        if kind == "uuid":
            return uuid.UUID(bytes=bytes(self.take(16)))
        if within(self.version, field.get("nullableVersions")) and not field["type"].startswith("[]"):
            if self.fixed(">b") < 0:
                return None
        return self.struct(fields_of(kind, field, self.structs))

    def null_check(self, count, field):
        if count is None and not within(self.version, field.get("nullableVersions")) and field["type"] not in ("records",):
            raise WireError(f"null {field['name']}")

    def struct(self, fields):
        values, tagged = {}, {}
        for field in fields:
            if not within(self.version, field["versions"]):
                continue
            if within(self.version, field.get("taggedVersions")):
                tagged[field["tag"]] = field
                values[field["name"]] = default_of(field, self.structs, self.version)
            else:
                values[field["name"]] = self.value(field["type"], field)
        if self.flexible:
            last = -1
            for _ in range(self.uvarint()):
                tag, size = self.uvarint(), self.uvarint()
                if tag <= last:
                    raise WireError(f"tag {tag} after {last}")
                last = tag
                end = self.position + size
                if tag in tagged:
                    values[tagged[tag]["name"]] = self.value(tagged[tag]["type"], tagged[tag])
                    if self.position != end:
                        raise WireError(f"tag {tag} of {size} bytes ended at {self.position}, not {end}")
                else:
                    self.take(size)
                    values.setdefault("_unknown_tags", []).append(tag)
        return values


def encode(name, version, values):
    schema = schemas()[name]
    writer = Writer(schema, version)
    writer.struct(schema["fields"], values)
    return bytes(writer.out)


def decode(name, version, data):
    schema = schemas()[name]
    reader = Reader(schema, version, data)
    values = reader.struct(schema["fields"])
    if reader.position != len(data):
        raise WireError(f"{len(data) - reader.position} bytes after {name} v{version}")
    return values


class Connection:
    """One connection with blocking calls. Requests may also be pipelined with `send` and `receive`."""

    def __init__(self, bootstrap, timeout_seconds=30, client_id="rig"):
        host, port = bootstrap.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=timeout_seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client_id = client_id
        self.correlation_ids = itertools.count(1)
        self._versions = None

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def versions(self):
        """api key -> (min, max) as the broker advertises them."""
        if self._versions is None:
            reply = self.call("ApiVersions", {"ClientSoftwareName": "rig", "ClientSoftwareVersion": "1"}, version=3)
            self._versions = {key["ApiKey"]: (key["MinVersion"], key["MaxVersion"]) for key in reply["ApiKeys"]}
        return self._versions

    def header(self, api_key, version, correlation_id, flexible):
        client_id = self.client_id.encode()
        head = struct.pack(">hhih", api_key, version, correlation_id, len(client_id)) + client_id
        return head + (b"\0" if flexible else b"")

    def send(self, api, values, version):
        correlation_id = next(self.correlation_ids)
        name = api + "Request"
        body = encode(name, version, values)
        self.send_frame(self.header(api_keys()[api], version, correlation_id, is_flexible(name, version)) + body)
        return correlation_id

    def send_frame(self, frame):
        self.send_bytes(struct.pack(">i", len(frame)) + frame)

    def send_bytes(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed() from error

    def receive(self, api, version, correlation_id):
        frame = self.receive_frame()
        (received_id,) = struct.unpack(">i", frame[:4])
        if received_id != correlation_id:
            raise WireError(f"reply {received_id} where {correlation_id} was due")
        start = 4
        # The header of an ApiVersions reply is the old one at every version, so that a client can read it before it knows any.
        if is_flexible(api + "Response", version) and api != "ApiVersions":
            if frame[4] != 0:
                raise WireError("tags in a response header")
            start = 5
        return decode(api + "Response", version, frame[start:])

    def receive_frame(self):
        (size,) = struct.unpack(">i", self.receive_exactly(4))
        return self.receive_exactly(size)

    def receive_exactly(self, count):
        parts = bytearray()
        while len(parts) < count:
            try:
                data = self.socket.recv(count - len(parts))
            except ConnectionResetError as error:
                raise Closed() from error
            if not data:
                raise Closed()
            parts += data
        return bytes(parts)

    def call(self, api, values, version=None):
        """Sends one request and returns its reply; `version` None takes the highest that both sides know."""
        if version is None:
            key = api_keys()[api]
            if key not in self.versions():
                raise WireError(f"{api} is not advertised")
            low, high = self.versions()[key]
            version = min(high, max_version(api))
            if version < low:
                raise WireError(f"{api}: no common version")
        return self.receive(api, version, self.send(api, values, version))


# Record batches

_CRC_TABLE = []
for _byte in range(256):
    _crc = _byte
    for _ in range(8):
        _crc = _crc >> 1 ^ (0x82F63B78 if _crc & 1 else 0)
    _CRC_TABLE.append(_crc)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def now_ms():
    return int(time.time() * 1000)


def record(offset_delta, value=b"v", key=None, headers=(), timestamp_delta=0):
    def optional(data):
        return varint(-1) if data is None else varint(len(data)) + data

    body = b"\0" + varint(timestamp_delta) + varint(offset_delta) + optional(key) + optional(value) + varint(len(headers))
    for name, data in headers:
        body += varint(len(name)) + name + optional(data)
    return varint(len(body)) + body


def record_batch(
    values=(b"v",),
    *,
    keys=None,
    base_offset=0,
    partition_leader_epoch=-1,
    magic=2,
    attributes=0,
    base_timestamp=None,
    max_timestamp=None,
    producer_id=-1,
    producer_epoch=-1,
    base_sequence=-1,
    record_count=None,
    last_offset_delta=None,
    records=None,
    length_delta=0,
    crc_delta=0,
):
    """A record batch; `records` replaces the encoded records, the `*_delta` and count arguments spoil what was computed."""
    if records is None:
        keys = keys or [None] * len(values)
        records = b"".join(record(index, value, key) for index, (value, key) in enumerate(zip(values, keys, strict=True)))
    if attributes & 7 == 1:
        records = gzip.compress(records)
    base_timestamp = now_ms() if base_timestamp is None else base_timestamp
    tail = struct.pack(
        ">hiqqqhii",
        attributes,
        len(values) - 1 if last_offset_delta is None else last_offset_delta,
        base_timestamp,
        base_timestamp if max_timestamp is None else max_timestamp,
        producer_id,
        producer_epoch,
        base_sequence,
        len(values) if record_count is None else record_count,
    )
    tail += records
    crc = (crc32c(tail) + crc_delta) & 0xFFFFFFFF
    middle = struct.pack(">ibI", partition_leader_epoch, magic, crc)
    return struct.pack(">qi", base_offset, len(middle) + len(tail) + length_delta) + middle + tail


def batch_headers(data):
    """The headers of the whole batches in `data`."""
    position = 0
    while position + 61 <= len(data):
        base_offset, length, epoch, magic, _crc, attributes, last, first_time, max_time, producer, producer_epoch, sequence, count = (
            struct.unpack(">qiibIhiqqqhii", data[position : position + 61])
        )
        if position + 12 + length > len(data):
            return
        yield {
            "base_offset": base_offset,
            "length": length,
            "partition_leader_epoch": epoch,
            "magic": magic,
            "attributes": attributes,
            "last_offset_delta": last,
            "base_timestamp": first_time,
            "max_timestamp": max_time,
            "producer_id": producer,
            "producer_epoch": producer_epoch,
            "base_sequence": sequence,
            "count": count,
        }
        position += 12 + length
