"""S12, S14, S15: defaults, what reaches the log, and what becomes a path."""

import os
import shutil
import socket
import stat
import struct
import subprocess
import time

import batches
import wire
from client import Client, Closed, create_topic, delete_topic, fetch, metadata, produce
from rig import Broker, Failure, check

INVALID_TOPIC = 17


def defaults(rig):
    """Without any setting: loopback only, and nobody else can read the data."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return "SKIPPED: no unshare, so port 9092 cannot be had to itself"
    script = os.path.join(rig.broker.home, "own-network")
    with open(script, "w") as file:
        file.write('#!/bin/sh\nexec unshare -n sh -c \'ip link set lo up && exec "$0" "$@"\' %s "$@"\n' % rig.binary)
    os.chmod(script, 0o700)
    umask = os.umask(0)
    try:
        broker = Broker(script, listen=False)
    finally:
        os.umask(umask)
    try:
        check(broker.logged("serving|listening|stopped|rror", seconds=10), "does not start: " + broker.log()[-300:])
        addresses = set()
        for table in ("tcp", "tcp6"):
            with open("/proc/%d/net/%s" % (broker.pid, table)) as file:
                for line in file.readlines()[1:]:
                    fields = line.split()
                    if fields[3] == "0A":
                        addresses.add(fields[1])
        check(addresses == {"0100007F:2384"}, "listens on %s, not on 127.0.0.1:9092 alone" % sorted(addresses))
        open_to_others = []
        for place, folders, files in os.walk(broker.data):
            if stat.S_IMODE(os.stat(place).st_mode) != 0o700:
                open_to_others.append("%s %o" % (place, stat.S_IMODE(os.stat(place).st_mode)))
            for name in files:
                mode = stat.S_IMODE(os.stat(os.path.join(place, name)).st_mode)
                if mode & 0o077:
                    open_to_others.append("%s %o" % (name, mode))
        check(not open_to_others, "not 0700 or 0600 with umask 0: " + ", ".join(open_to_others[:5]))
    finally:
        status = broker.stop()
        broker.remove()
    check(status == 0, "a clean stop ends with %s" % status)
    return "127.0.0.1:9092 alone, 0700 and 0600"


def open_to_the_world(rig):
    """A plaintext listener for everybody has to be asked for in so many words."""
    broker = Broker(rig.binary, ["listeners=PLAINTEXT://0.0.0.0:%d" % 0], listen=False)
    try:
        broker.process.wait(10)
        check(broker.process.returncode != 0, "ends with status 0")
    except subprocess.TimeoutExpired:
        raise Failure("serves the world without being told how clients reach it") from None
    finally:
        broker.stop()
        broker.remove()
    return "refused"


NASTY = ["\x1b[31mred", "bell\x07", "new\nline", "carriage\rreturn", "nul\0", "\x7f", "c1\u009b31m", "tab\there",
         "\u202eright-to-left", "2026-11-21T00:00:00Z  INFO forged line\n2026", "\x1b]0;title\x07", "\u2028line"]


def control_characters(rig):
    """In client ids, names, configs and bad frames; the rig looks for raw ones in the log after each case."""
    for text in NASTY:
        with rig.connect(client=text) as client:
            create_topic(client, text)
            create_topic(client, "named", 1, [(text, text), ("retention.ms", text)])
            metadata(client, [text])
            produce(client, text, batches.batch(values=[b"v"]))
            client.ask(44, 0, resources=[
                {"resource_type": 2, "resource_name": text, "configs": [{"name": text, "operation": 0, "value": text}]},
                {"resource_type": 2, "resource_name": "canary", "configs": [{"name": text, "operation": 0, "value": text}]},
                {"resource_type": 4, "resource_name": text, "configs": [{"name": text, "operation": 0, "value": text}]}])
            client.ask(22, 0, transactional_id=text, transaction_timeout_ms=1)
            for name, key, version in wire.every_version():
                if key == 18:
                    continue
            client.send(wire.frame(wire.header(3, 4, 1, text) + text.encode() * 3))
            try:
                client.closed()
            except Closed:
                pass
        with rig.connect() as client:
            # Names of software that are not what KIP-511 allows.
            body = struct.pack("B", len(text.encode()) + 1) + text.encode()
            try:
                reply = client.exchange(wire.header(18, 3) + body + body + b"\0")
                error = struct.unpack(">h", reply[4:6])[0]
                check(error == 42, "a software name of %r: error %d, expected INVALID_REQUEST" % (text, error))
            except Closed:
                pass
    with rig.connect(client=b"\xff\xfe\x80") as client:
        client.send(wire.frame(wire.header(3, 4, 1, b"\xff\xfe\x80") + b"\0\0\0\1\0\2\xff\xfe\0"))
        check(client.closed(), "bytes that are no UTF-8 are taken for a name")
    log = rig.broker.log()
    check("\u202e" not in log and "\u2028" not in log, "raw direction or line marks in the log")
    check("forged line\n" not in log, "a forged line in the log")
    return "%d texts" % len(NASTY)


ILLEGAL = ["", ".", "..", "a/b", "../up", "/etc/passwd", "a\\b", "a\0b", "a b", "a\n", "é", "a" * 250, "a" * 32000, "%2e%2e", "a:b",
           "a*b", "~", "a,b", '"', "a\u0000", "..\u002f..", "$(id)", "a;b", "-/..", "\u202e", " ", "....//"]


def tree(place):
    return {os.path.join(at, name) for at, folders, files in os.walk(place) for name in folders + files}


def illegal_names(rig):
    data, home = rig.broker.data, rig.broker.home
    outside = {p for p in tree(home) if not p.startswith(data)}
    beside = set(os.listdir(os.path.dirname(home)))
    bad = []
    with rig.connect() as client:
        for name in ILLEGAL:
            error = create_topic(client, name)
            if error != INVALID_TOPIC:
                bad.append("CreateTopics %r: error %d" % (name[:20], error))
            error = metadata(client, [name]).get(name, (None,))[0]
            if error != INVALID_TOPIC:
                bad.append("Metadata %r: error %s" % (name[:20], error))
            error, _ = produce(client, name, batches.batch(values=[b"v"]))
            if error not in (3, INVALID_TOPIC):
                bad.append("Produce %r: error %d" % (name[:20], error))
            error = delete_topic(client, name)
            if error not in (3, INVALID_TOPIC):
                bad.append("DeleteTopics %r: error %d" % (name[:20], error))
        # Clashes: Kafka's own, since dots and underscores meet in metric names.
        if create_topic(client, "clash.a") != 0 or create_topic(client, "clash_a") != INVALID_TOPIC:
            bad.append("clash_a beside clash.a")
        # Each name gets its own error, whatever stands beside it.
        codes = metadata(client, ["!!", "clash_a", "fine", "~"])
        if {name: error for name, (error, _) in codes.items()} != {"!!": 17, "clash_a": 17, "fine": 0, "~": 17}:
            bad.append("Metadata of four names: %s" % codes)
        # Letters of either case are different topics, with different records.
        for name, value in (("CaseClash", b"upper"), ("caseclash", b"lower")):
            error = create_topic(client, name)
            error = error or produce(client, name, batches.batch(values=[value]))[0]
            if error:
                bad.append("%s: error %d" % (name, error))
        for name, value in (("CaseClash", b"upper"), ("caseclash", b"lower")):
            error, end, records = fetch(client, name)
            if error or end != 1 or value not in records:
                bad.append("%s: error %d, end %d" % (name, error, end))
        # Legal and unusual: nothing to refuse, and they can be used and removed.
        for name in ("...", "-rf", "--help", "_", "0", "-", "a..b", "lost-found", "CON", "journal",
                     "catalog", "checkpoint", "meta.properties", "incarnation", "canary-0", ".lock", "name-delete"):
            error = create_topic(client, name)
            error = error or produce(client, name, batches.batch(values=[b"v"]))[0]
            if error == 0 and fetch(client, name)[1] != 1:
                error = "lost"
            error = error or delete_topic(client, name)
            if error:
                bad.append("legal name %r: error %s" % (name[:20], error))
    check(not bad, "; ".join(bad[:8]))
    now_outside = {p for p in tree(home) if not p.startswith(data)}
    check(now_outside == outside, "appeared outside the data directory: %s" % (now_outside - outside))
    fresh = {n for n in set(os.listdir(os.path.dirname(home))) - beside if not n.startswith("ringmain-abuse-")}
    check(not any(n in ("up", "b") for n in fresh), "appeared beside it: %s" % fresh)
    for path in tree(data):
        name = os.path.relpath(path, data)
        check(all(32 < ord(c) < 127 for c in name) and "%" not in name, "a strange file: %r" % name)
    return "%d illegal names" % len(ILLEGAL)


def long_names(rig):
    """Names up to the longest that is legal: made, written to, deleted."""
    with rig.connect() as client:
        for length in (200, 213, 214, 215, 221, 222, 230, 240, 248, 249):
            name = "n" * length
            for step in (lambda: create_topic(client, name),
                         lambda: produce(client, name, batches.batch(values=[b"v"]))[0],
                         lambda: delete_topic(client, name)):
                try:
                    error = step()
                except Closed:
                    raise Failure("a name of %d bytes ends the connection" % length) from None
                check(error == 0, "a name of %d bytes: error %d" % (length, error))
            time.sleep(0.1)
            check(rig.broker.alive(), "a name of %d bytes" % length)


def names_survive_restart(rig):
    """Nothing of the above keeps the broker from starting again."""
    broker = rig.broker
    status = broker.stop()
    check(status == 0, "a clean stop ends with %s: %s" % (status, broker.log()[-300:]))
    rig.canary.stop()
    rig.broker = Broker(rig.binary, rig.settings, directory=broker.home)
    from rig import Canary
    rig.canary = Canary(rig.broker.port)
    with rig.connect() as client:
        error, end, records = fetch(client, "caseclash")
        check(not error and b"lower" in records, "caseclash: error %d, end %d" % (error, end))
    return "stopped with status 0 and started again"
