"""S4 and the batches that are wrong: each gets the error Kafka gives, never UNKNOWN_SERVER_ERROR."""

import functools
import struct
import time

import batches
from batches import CODECS, GZIP, LZ4, SNAPPY, ZSTD, batch
from client import create_topic, fetch, init_producer_id, list_offset, produce
from rig import MIB, check

NONE, CORRUPT_MESSAGE, UNKNOWN_TOPIC, MESSAGE_TOO_LARGE = 0, 2, 3, 10
INVALID_ACKS, INVALID_TIMESTAMP, OUT_OF_ORDER, OLD_EPOCH = 21, 32, 45, 47
UNSUPPORTED_CODEC, INVALID_RECORD = 76, 87

# What a broker that has to look inside may spend on it.
DECOMPRESSED_MAX = 64 * MIB


def topic(rig, client, name, **configs):
    error = create_topic(client, name, 1, [(k.replace("_", "."), v) for k, v in configs.items()])
    check(error in (0, 36), "creating %s gives error %d" % (name, error))


def lies_inside():
    """Batches whose header is right and whose records are not."""
    return [
        ("no records, one claimed", batch(b"", 1)),
        ("10^7 records claimed", batch(batches.record(0, key=b"k"), 10_000_000)),
        ("2^31-1 records claimed", batch(batches.record(0, key=b"k"), 2147483647)),
        ("10^7 headers claimed", batch(struct.pack("b", 20) + b"\0\0\0\1\2v" + batches.zigzag(10_000_000), 1)),
        ("record of negative length", batch(batches.zigzag(-10) + bytes(20), 1)),
        ("record longer than the batch", batch(batches.zigzag(1 << 30) + bytes(20), 1)),
        ("overlong varint", batch(b"\xff" * 12, 1)),
        ("bytes after the last record", batch(batches.record(0, key=b"k") + bytes(30), 1)),
        ("a record that skips an offset", batch(batches.record(0, key=b"k") + batches.record(5, key=b"k"), 2)),
    ]


def wrong_inside(rig):
    """A topic that needs keys has to look at every record, and refuses what is none."""
    bad = []
    with rig.connect() as client:
        topic(rig, client, "wrong-inside", cleanup_policy="compact")
        for what, records in lies_inside():
            error, _ = produce(client, "wrong-inside", records)
            # Kafka too lets an uncompressed batch with a gap pass.
            if error not in {CORRUPT_MESSAGE, INVALID_RECORD} | ({NONE} if "skips" in what else set()):
                bad.append("%s: error %d" % (what, error))
        error, _ = produce(client, "wrong-inside", batch(batches.record(0), 1))
        if error != INVALID_RECORD:
            bad.append("no key: error %d, expected %d" % (error, INVALID_RECORD))
    check(not bad, "; ".join(bad))


def more_claimed_than_fits(rig):
    """A record has at least 7 bytes: the header alone shows that so many cannot be there. Stored, such a batch moves
    the end of the log by two billion."""
    bad = []
    with rig.connect() as client:
        topic(rig, client, "wrong-claimed")
        for what, records in lies_inside()[:3]:
            error, _ = produce(client, "wrong-claimed", records)
            if error not in (CORRUPT_MESSAGE, INVALID_RECORD):
                bad.append("%s: error %d" % (what, error))
        _, end, _ = fetch(client, "wrong-claimed")
    check(not bad, "; ".join(bad) + "; the log ends at %d" % end)


def zstd_before_seven(rig):
    with rig.connect() as client:
        topic(rig, client, "wrong-zstd")
        error, _ = produce(client, "wrong-zstd", batches.compressed(ZSTD, [b"v"]), version=3)
        check(error == UNSUPPORTED_CODEC, "error %d, expected %d" % (error, UNSUPPORTED_CODEC))


def wrong(rig):
    """One wrong thing at a time, in a topic of the default kind."""
    now = int(time.time() * 1000)
    good = batch(values=[b"value"])
    cases = [
        ("good", good, {NONE}),
        ("null", None, {INVALID_RECORD}),
        ("empty", b"", {INVALID_RECORD}),
        ("corrupt checksum", batch(values=[b"v"], crc=1), {CORRUPT_MESSAGE}),
        ("a byte flipped", good[:-1] + bytes([good[-1] ^ 1]), {CORRUPT_MESSAGE}),
        ("magic 0", batches.legacy(0), {INVALID_RECORD}),
        ("magic 1", batches.legacy(1), {INVALID_RECORD}),
        ("magic 3", batch(values=[b"v"], magic=3), {CORRUPT_MESSAGE}),
        ("magic -1", batch(values=[b"v"], magic=-1), {CORRUPT_MESSAGE}),
        ("two batches", good + good, {INVALID_RECORD}),
        ("base offset 5", batch(values=[b"v"], base=5), {INVALID_RECORD}),
        ("no records", batch(b"", 0, last_delta=-1), {INVALID_RECORD}),
        ("negative count", batch(count=1, last_delta=0, payload=batches.record(0), crc=None)[:57] + b"\xff" * 4
         + batches.record(0), {CORRUPT_MESSAGE}),
        ("count of -1", batch(batches.record(0), -1, last_delta=0), {INVALID_RECORD}),
        ("negative last offset delta", batch(batches.record(0), 1, last_delta=-5), {INVALID_RECORD}),
        ("count and offsets disagree", batch(batches.record(0), 1, last_delta=7), {INVALID_RECORD}),
        ("length too large", batch(values=[b"v"], length=5000), {INVALID_RECORD, CORRUPT_MESSAGE}),
        ("length too small", batch(values=[b"v"], length=3), {CORRUPT_MESSAGE}),
        ("length negative", batch(values=[b"v"], length=-1), {CORRUPT_MESSAGE}),
        ("truncated header", good[:30], {INVALID_RECORD}),
        ("truncated records", good[:-1], {INVALID_RECORD}),
        ("control batch", batch(values=[b"v"], attributes=0x20), {INVALID_RECORD}),
        ("codec 5", batch(values=[b"v"], codec=5), {INVALID_RECORD, CORRUPT_MESSAGE, UNSUPPORTED_CODEC}),
        ("codec 7", batch(values=[b"v"], codec=7), {INVALID_RECORD, CORRUPT_MESSAGE, UNSUPPORTED_CODEC}),
        ("producer without sequence", batch(values=[b"v"], producer=5000, epoch=0), {INVALID_RECORD}),
        ("too large", batch(values=[bytes(1_100_000)]), {MESSAGE_TOO_LARGE}),
        ("a day ahead", batch(values=[b"v"], timestamp=now + 86_400_000), {INVALID_TIMESTAMP}),
    ]
    bad = []
    with rig.connect() as client:
        topic(rig, client, "wrong")
        for what, records, expected in cases:
            error, _ = produce(client, "wrong", records)
            if error not in expected:
                bad.append("%s: error %d, expected %s" % (what, error, sorted(expected)))
        for what, expected, arguments in (
            ("acks 5", INVALID_ACKS, {"acks": 5}), ("partition 7", UNKNOWN_TOPIC, {"partition": 7}),
            ("partition -1", UNKNOWN_TOPIC, {"partition": -1}),
        ):
            error, _ = produce(client, "wrong", good, **arguments)
            if error != expected:
                bad.append("%s: error %d, expected %d" % (what, error, expected))
        error, producer, epoch = init_producer_id(client)
        check(error == 0 and epoch == 0, "InitProducerId gives error %d, epoch %d" % (error, epoch))
        for what, sequence, at_epoch, expected in (
            ("first sequence", 0, 3, NONE), ("a gap", 5, 3, OUT_OF_ORDER), ("an older epoch", 1, 2, OLD_EPOCH),
            ("the next", 1, 3, NONE), ("a repetition", 1, 3, NONE),
        ):
            records = batch(values=[b"v"], producer=producer, epoch=at_epoch, sequence=sequence)
            error, _ = produce(client, "wrong", records)
            if error != expected:
                bad.append("%s: error %d, expected %d" % (what, error, expected))
        error, end, records = fetch(client, "wrong")
        if (error, end) != (0, 3):
            bad.append("the log ends at %d (error %d): something refused was appended, or the reverse" % (end, error))
    check(not bad, "; ".join(bad))
    return "%d batches" % (len(cases) + 8)


def acks_zero(rig):
    """With acks=0 an error can only be told by closing the connection."""
    from client import Closed
    from wire import frame, request
    with rig.connect() as client:
        topic(rig, client, "wrong")
        client.send(frame(request(0, 7, acks=0, topics=[
            {"name": "wrong", "partitions": [{"index": 0, "records": batch(values=[b"v"], crc=1)}]}])))
        try:
            check(client.closed(), "stays open")
        except Closed:
            pass
        return [client.peer], ""


KINDS = {
    "compacted": {"cleanup_policy": "compact"},
    "append-time": {"message_timestamp_type": "LogAppendTime"},
    "to-lz4": {"compression_type": "lz4"},
    "to-gzip": {"compression_type": "gzip"},
    "to-zstd": {"compression_type": "zstd"},
    "to-snappy": {"compression_type": "snappy"},
    "to-none": {"compression_type": "uncompressed"},
}
SIZES = {GZIP: 300 * MIB, SNAPPY: 21 * MIB, LZ4: 250 * MIB, ZSTD: 4096 * MIB}


@functools.cache
def packed_bombs():
    """For each codec, one record of enormous size, and zeros."""
    return {name: (batches.bomb(codec, SIZES[codec], one_huge_record(SIZES[codec])), batches.bomb(codec, SIZES[codec]))
            for name, codec in CODECS.items()}


def one_huge_record(size):
    """The start of a record that fills `size` bytes with its value."""
    fixed = b"\0\0\0" + batches.zigzag(1) + b"k" + batches.zigzag(size - 64)
    return batches.zigzag(len(fixed) + size - 64 + 1) + fixed


def bombs(kind):
    """Every codec into one kind of topic. What need not be looked into to be stored may be stored as it is."""
    return lambda rig: bombs_into(rig, kind, KINDS[kind], {NONE} if kind == "append-time" else set(),
                                  kind.removeprefix("to-"))


def bombs_into(rig, kind, configs, unseen, kept):
    bad, slowest = [], 0.0
    with rig.connect() as client:
        packed = packed_bombs()
        topic(rig, client, "bomb-" + kind, **configs)
        for name, codec in CODECS.items():
            error, _ = produce(client, "bomb-" + kind, batches.compressed(codec, [b"x", b"y"]))
            if error:
                bad.append("%s into %s: a right batch gives error %d" % (name, kind, error))
            for what, payload in zip(("one huge record", "zeros"), packed[name]):
                # Snappy packs 20 to 1 at most: what fits into a batch may well be a batch.
                allowed = {CORRUPT_MESSAGE, INVALID_RECORD, MESSAGE_TOO_LARGE} | unseen
                if codec == SNAPPY and what == "one huge record" or name == kept:
                    allowed.add(NONE)
                started = time.monotonic()
                error, _ = produce(client, "bomb-" + kind, batch(payload, 1, codec))
                slowest = max(slowest, time.monotonic() - started)
                if error not in allowed:
                    bad.append("%s of %s into %s: error %d" % (name, what, kind, error))
    check(not bad, "; ".join(bad[:6]))
    return "slowest refusal %.0f ms" % (slowest * 1000)


def broken_streams(rig):
    """Streams that lie about themselves: sizes, windows, ends, checksums."""
    good = {name: batches.compressed(codec, [b"value"])[61:] for name, codec in CODECS.items()}
    streams = [
        (SNAPPY, "claims 4 GiB", batches.uvarint(0xFFFFFFFF) + b"\0a"),
        (SNAPPY, "claims 2 GiB, gives 1 MiB", batches.uvarint(1 << 31) + batches.bomb(SNAPPY, MIB)[4:]),
        (SNAPPY, "copies from before the start", batches.uvarint(100) + struct.pack("<BH", 63 << 2 | 2, 50)),
        (SNAPPY, "xerial without blocks", b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)),
        (SNAPPY, "xerial block of 2 GiB", b"\x82SNAPPY\0" + struct.pack(">iii", 1, 1, 0x7FFFFFFF) + b"abc"),
        (SNAPPY, "xerial block of -1", b"\x82SNAPPY\0" + struct.pack(">iii", 1, 1, -1) + b"abc"),
        (ZSTD, "window of 2 GiB", batches.zstd_with_window(31)),
        (ZSTD, "window of 2 TiB", batches.zstd_with_window(41)),
        (ZSTD, "skippable frame of 4 GiB", b"\x50\x2a\x4d\x18\xff\xff\xff\xff" + b"abc"),
        (ZSTD, "content size of 2^63", b"\x28\xb5\x2f\xfd\xc0\x38" + b"\xff" * 7 + b"\x7f" + b"\1\0\0"),
        (LZ4, "block of 2 GiB", b"\x04\x22\x4d\x18\x60\x70\x73" + b"\xff\xff\xff\x7f" + b"abc"),
        (LZ4, "wrong header checksum", b"\x04\x22\x4d\x18\x60\x70\x00" + bytes(4)),
        (LZ4, "copies from before the start", good["lz4"][:7] + struct.pack("<I", 4) + b"\x0f\xff\xff\x00" + bytes(4)),
        (GZIP, "empty", b""), (LZ4, "empty", b""), (SNAPPY, "empty", b""), (ZSTD, "empty", b""),
    ]
    for name, codec in CODECS.items():
        streams.append((codec, "random bytes", bytes(range(256)) * 4))
        streams.append((codec, "cut short", good[name][:len(good[name]) // 2]))
        streams.append((codec, "twice", good[name] * 2))
        for at in range(0, len(good[name]), 3):
            streams.append((codec, "byte %d flipped" % at,
                            good[name][:at] + bytes([good[name][at] ^ 0x55]) + good[name][at + 1:]))
    bad = []
    with rig.connect() as client:
        topic(rig, client, "bomb-compacted", cleanup_policy="compact")
        for codec, what, payload in streams:
            error, _ = produce(client, "bomb-compacted", batch(payload, 1, codec))
            # Flipped bytes may hit what no decoder looks at (gzip's time, a flag) or the value itself.
            allowed = {CORRUPT_MESSAGE, INVALID_RECORD} | ({NONE} if "flipped" in what or what == "twice" else set())
            if error not in allowed:
                bad.append("codec %d, %s: error %d" % (codec, what, error))
    check(not bad, "; ".join(bad[:6]))
    return "%d streams" % len(streams)


def many_lookups_over_a_bomb(rig):
    """Requests that ask again and again for the same time, which lies in a bomb: nobody else waits for all of them, and
    a shard that worked them off in one go would leave the canary hanging. Within one request a partition can only be
    asked for once."""
    import wire
    count = 120 if rig.deep else 20
    with rig.connect(timeout=600) as client:
        topic(rig, client, "bomb-asked")
        now = int(time.time() * 1000)
        payload = batches.bomb(GZIP, SIZES[GZIP], one_huge_record(SIZES[GZIP]))
        error, _ = produce(client, "bomb-asked", batch(payload, 1, GZIP, timestamp=now, max_timestamp=now + 60_000))
        check(error in (0, CORRUPT_MESSAGE, INVALID_RECORD), "error %d" % error)
        started = time.monotonic()
        wanted = {"partition_index": 0, "timestamp": now + 1}
        client.exchange(wire.request(2, 1, 1, topics=[{"name": "bomb-asked", "partitions": [wanted] * 3000}]))
        check(time.monotonic() - started < 20, "a partition named 3,000 times is looked into as often")
        client.send(wire.frame(wire.request(2, 1, 1, topics=[{"name": "bomb-asked", "partitions": [wanted]}])) * count)
        for _ in range(count):
            client.receive()
        return "%d lookups in %.1f s" % (count, time.monotonic() - started)


def offsets_over_bombs(rig):
    """A bomb in a topic that takes batches as they are; then a lookup by time has to look inside."""
    errors = set()
    with rig.connect() as client:
        topic(rig, client, "bomb-plain")
        now = int(time.time() * 1000)
        for codec in CODECS.values():
            payload = batches.bomb(codec, SIZES[codec], one_huge_record(SIZES[codec]))
            error, base = produce(client, "bomb-plain", batch(payload, 1, codec, timestamp=now, max_timestamp=now + 60_000))
            check(error in (0, CORRUPT_MESSAGE, INVALID_RECORD), "codec %d: error %d" % (codec, error))
            for timestamp in (now + 1, now + 59_999):
                error, offset = list_offset(client, "bomb-plain", timestamp)
                check(error != -1, "ListOffsets gives UNKNOWN_SERVER_ERROR over codec %d" % codec)
                errors.add(error)
            now += 1000
        check(list_offset(client, "bomb-plain", -1)[0] == 0, "the topic is of no use after it")
    return "lookups give errors %s" % sorted(errors)
