"""The broker under test, the well-behaved canary beside the abuse, and what is checked after every case."""

import ctypes
import multiprocessing
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import traceback

import batches
from client import Client, HANG_SECONDS, create_topic, fetch, produce

MIB = 1 << 20
# Escapes are as forbidden as bells: a terminal that shows the log would obey them.
RAW_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")
PANIC = re.compile(r"panicked|RUST_BACKTRACE|assertion .*failed|fatal runtime|stack overflow|SIGABRT|allocation of \d+")


# Of CPU time, which other programs on the machine do not lengthen.
LONG_TURN = re.compile(r"a long turn cpu_us=(\d+)")
TURN_CPU_MS_MAX = 50


class Failure(Exception):
    """What a case found wrong."""


def check(condition, text):
    if not condition:
        raise Failure(text)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """A broker process with a data directory of its own."""

    def __init__(self, binary, settings=(), shards=2, listen=True, directory=None):
        self.home = directory or tempfile.mkdtemp(prefix="ringmain-abuse-")
        self.data = os.path.join(self.home, "data")
        self.log_path = os.path.join(self.home, "log")
        self.port = free_port()
        # A broker of this rig never outlives it.
        with_parent = lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # noqa: E731
        command = [binary, "serve", "--data-dir", self.data, "--shards", str(shards)]
        if listen:
            command += ["--listen", "127.0.0.1:%d" % self.port]
        for setting in settings:
            command += ["--set", setting]
        environment = dict(os.environ, RINGMAIN_LOG="info,ringmain::turns=debug", NO_COLOR="1")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            env=environment, cwd=self.home, preexec_fn=with_parent)
        if listen:
            self.wait()

    def wait(self):
        until = time.monotonic() + HANG_SECONDS
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise Failure("the broker does not start: " + self.log()[-500:])
            try:
                Client(self.port).close()
                return
            except OSError:
                time.sleep(0.02)
        raise Failure("the broker does not listen")

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def status(self, key):
        with open("/proc/%d/status" % self.pid) as status:
            for line in status:
                if line.startswith(key + ":"):
                    return int(line.split()[1]) * 1024
        return 0

    def resident(self):
        return self.status("VmRSS")

    def reset_peak(self):
        with open("/proc/%d/clear_refs" % self.pid, "w") as references:
            references.write("5")

    def peak(self):
        return self.status("VmHWM")

    def sockets(self):
        count = 0
        for descriptor in os.listdir("/proc/%d/fd" % self.pid):
            try:
                count += os.readlink("/proc/%d/fd/%s" % (self.pid, descriptor)).startswith("socket:")
            except OSError:
                pass
        return count

    def log_size(self):
        return os.path.getsize(self.log_path)

    def log_bytes(self, start=0):
        with open(self.log_path, "rb") as log:
            log.seek(start)
            return log.read()

    def log(self, start=0):
        return self.log_bytes(start).decode(errors="replace")

    def logged(self, pattern, start=0, seconds=2):
        """Whether the log says so, now or within a moment."""
        until = time.monotonic() + seconds
        while True:
            if re.search(pattern, self.log(start)):
                return True
            if time.monotonic() > until:
                return False
            time.sleep(0.02)

    def stop(self):
        """Ends it as an operator would; the exit status, or None if it had to be killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(HANG_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

    def remove(self):
        shutil.rmtree(self.home, ignore_errors=True)


def _canary(port, pipe):
    """Produces and fetches every few milliseconds on every shard's partitions, for as long as it is let."""
    partitions, worst, done, errors = 4, 0.0, 0, []
    connection, offsets, turn = None, [None] * partitions, 0
    value = batches.batch(values=[b"canary"])
    while True:
        while pipe.poll(0.004):
            command = pipe.recv()
            if command == "stop":
                return
            pipe.send((done, worst, errors))
            worst, done, errors = 0.0, 0, []
        started = time.monotonic()
        try:
            if connection is None:
                connection = Client(port, client="canary")
            partition = turn % partitions
            error, offset = produce(connection, "canary", value, partition, acks=-1)
            if error:
                raise Failure("produce gives error %d" % error)
            if offsets[partition] is not None and offset != offsets[partition] + 1:
                raise Failure("offset %d after %d" % (offset, offsets[partition]))
            offsets[partition] = offset
            error, end, records = fetch(connection, "canary", partition, offset, wait=1000)
            if error or end != offset + 1 or b"canary" not in records:
                raise Failure("fetch gives error %d, end %d, %d bytes" % (error, end, len(records)))
            turn, done = turn + 1, done + 1
        except Exception as error:  # pylint: disable=broad-except
            # Whatever goes wrong for a client that does nothing wrong is a finding.
            if len(errors) < 3:
                errors.append("%s: %s" % (type(error).__name__, error))
            connection, offsets = None, [None] * partitions
            time.sleep(0.05)
        worst = max(worst, time.monotonic() - started)


class Canary:
    def __init__(self, port):
        with Client(port) as client:
            create_topic(client, "canary", 4)
        # Several attempts put it on more than one shard over the run; its partitions are on all of them anyway.
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=_canary, args=(port, theirs), daemon=True)
        self.process.start()

    def mark(self):
        self.pipe.send("mark")
        if not self.pipe.poll(HANG_SECONDS + 5):
            return 0, float("inf"), ["the canary hangs"]
        return self.pipe.recv()

    def after(self):
        """What it saw since the last mark, with a few whole rounds after this moment."""
        done, worst, errors = self.mark()
        until = time.monotonic() + HANG_SECONDS
        fresh = 0
        while fresh < 8 and time.monotonic() < until:
            time.sleep(0.05)
            more, slow, wrong = self.mark()
            fresh, done, worst, errors = fresh + more, done + more, max(worst, slow), errors + wrong
            if wrong:
                break
        if fresh < 8 and not errors:
            errors = ["no progress after the case"]
        return done, worst, errors

    def stop(self):
        try:
            self.pipe.send("stop")
        except OSError:
            pass
        self.process.join(2)
        if self.process.is_alive():
            self.process.terminate()


class Rig:
    """Runs cases against a broker that lives through all of them, restarting it only after it has died."""

    def __init__(self, binary, only, deep, settings=()):
        self.binary, self.only, self.deep, self.settings = binary, only, deep, settings
        self.passed = self.failed = 0
        self.failures = []
        self.broker = self.canary = None

    def up(self):
        if self.broker is None or self.canary is None or not self.broker.alive():
            if self.canary:
                self.canary.stop()
                self.canary = None
            if self.broker and self.broker.alive():
                self.broker.stop()
            self.broker = Broker(self.binary, self.settings)
            self.canary = Canary(self.broker.port)
            self.canary.after()

    def connect(self, **options):
        return Client(self.broker.port, **options)

    def connect_many(self, count):
        """Not faster than the listen backlog of 50 takes them: whoever overruns it waits a second for each."""
        clients = []
        for number in range(count):
            clients.append(self.connect())
            if number % 10 == 9:
                time.sleep(0.001)
        return clients

    def verdict(self, name, problems, note):
        if problems:
            self.failed += 1
            self.failures.append(name)
            print("FAIL %s: %s%s" % (name, "; ".join(problems), " (%s)" % note if note else ""), flush=True)
        else:
            self.passed += 1
            print("ok   %s%s" % (name, " (%s)" % note if note else ""), flush=True)

    def case(self, name, run, grow_mib=8, peer_logged=False, own=None):
        """Runs one case. `run(rig)` returns a note, raises Failure, and gives peers to look for in the log when
        `peer_logged`; `own` are settings of a broker of its own, with its own canary."""
        if self.only and self.only not in name:
            return
        started = time.monotonic()
        shared = (self.broker, self.canary)
        problems, note = [], ""
        try:
            if own is not None:
                self.broker, self.canary = Broker(self.binary, own), None
                self.canary = Canary(self.broker.port)
                self.canary.after()
            else:
                self.up()
        except Exception as error:  # pylint: disable=broad-except
            self.verdict(name, ["%s: %s" % (type(error).__name__, error)], "")
            if own is not None:
                self.broker, self.canary = shared
            return
        broker = self.broker
        self.canary.mark()
        log_start, before = broker.log_size(), broker.resident()
        broker.reset_peak()
        try:
            result = run(self)
            peers, note = result if isinstance(result, tuple) else ([], result or "")
            if peer_logged:
                for peer in peers:
                    if not broker.logged(re.escape(peer) + r"\b", log_start):
                        problems.append("no log line names %s" % peer)
                        break
        except Failure as failure:
            problems.append(str(failure))
        except Exception as error:  # pylint: disable=broad-except
            place = traceback.extract_tb(error.__traceback__)[-1]
            problems.append("%s: %s (%s:%d)" % (type(error).__name__, error, os.path.basename(place.filename),
                                                 place.lineno))
        broker, worst = self.broker, 0.0
        if broker.alive():
            done, worst, errors = self.canary.after()
            problems += ["canary: " + error for error in errors[:2]]
            grown = (broker.peak() - before) / MIB
            if grown > grow_mib:
                problems.append("%.1f MiB more at the peak, at most %g allowed" % (grown, grow_mib))
            note = "%s%s%+.1f MiB, canary's worst %.0f ms" % (note, ", " if note else "", grown, worst * 1000)
        if not broker.alive():
            problems.append("the broker died (%s)" % broker.process.returncode)
        text = broker.log_bytes(log_start)
        panic = PANIC.search(text.decode(errors="replace"))
        if panic:
            line = next(l for l in text.decode(errors="replace").splitlines() if PANIC.search(l))
            problems.append("panic in the log: " + line[:300])
        longest = max((int(turn) for turn in LONG_TURN.findall(text.decode(errors="replace"))), default=0)
        if longest > TURN_CPU_MS_MAX * 1000:
            problems.append("a turn of %.1f ms, at most %d allowed" % (longest / 1000, TURN_CPU_MS_MAX))
        if longest:
            note = "%s, longest turn %.1f ms" % (note, longest / 1000)
        if RAW_CONTROL.search(text):
            problems.append("raw control characters in the log")
        if own is not None:
            self.canary.stop()
            if broker.alive() and broker.stop() != 0:
                problems.append("a clean stop ends with %s" % broker.process.returncode)
            if not problems:
                broker.remove()
            self.broker, self.canary = shared
        self.verdict(name, problems, "%s, %.1f s" % (note, time.monotonic() - started))
        if problems:
            print("     log and data: %s" % broker.home, flush=True)

    def finish(self):
        if self.canary:
            self.canary.stop()
        if self.broker:
            home = self.broker.home
            if self.broker.alive() and self.broker.stop() != 0:
                self.verdict("clean stop", ["status %s; see %s" % (self.broker.process.returncode, home)], "")
            elif not self.failures:
                self.broker.remove()
