"""What all crash rigs share: a scratch directory, brokers, load, checks, and the verdict.

A rig is a script with a function `run(rig, options, mutant)`. Its checks are lines of a table, and
its last line is `N passed, N failed`. With `--self-test` it runs once per mutant instead, and each
run that does *not* fail is a failure: a rig that cannot fail proves nothing.

Invariant: a check that could not be carried out is a failed check.
"""

import argparse
import atexit
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

import kafka

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# The rig needs something that this machine does not have. Nothing was proven.
UNAVAILABLE = 77
# src/shell/fatal.rs
STOPPED, USAGE, DISK, CORRUPT, RING, DATA_DIRECTORY = 0, 2, 10, 11, 12, 13
LOCKED, PORT, UNSUPPORTED, START, FORCED = 14, 15, 16, 17, 18
LISTED = {STOPPED, USAGE, DISK, CORRUPT, RING, DATA_DIRECTORY, LOCKED, PORT, UNSUPPORTED, START,
          FORCED}
NEVER = "9223372036854775807"

_processes = []
_cleanups = []


def binary(variable, name):
    return os.environ.get(variable) or os.path.join(ROOT, "target", "release", name)


def on_exit(cleanup):
    """Runs at the end, whatever happens; the latest first."""
    _cleanups.append(cleanup)


def run_cleanups():
    for process in _processes:
        if process.poll() is None:
            process.kill()
            process.wait()
    _processes.clear()
    while _cleanups:
        try:
            _cleanups.pop()()
        except (OSError, subprocess.SubprocessError) as error:
            print(f"cleaning up: {error}", file=sys.stderr)


atexit.register(run_cleanups)


class Unavailable(Exception):
    """This machine lacks what the rig needs."""


class BrokerEnded(Exception):
    """A broker that should run does not."""

    def __init__(self, status, lines):
        super().__init__(f"the broker ended with status {status}: {lines[-1] if lines else '-'}")
        self.status = status
        self.lines = lines


def free_port():
    """A port outside of the range that the kernel gives to clients, free now."""
    while True:
        port = random.SystemRandom().randrange(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Rig:
    """Collects checks. Each is a name, whether it holds, and what was seen."""

    def __init__(self, title, seed, quiet=False):
        self.title = title
        self.random = random.Random(seed)
        self.quiet = quiet
        self.checks = []
        self.scratch = tempfile.mkdtemp(
            prefix=f"ringmain-{title}-", dir=os.environ.get("RINGMAIN_SCRATCH"))
        self.numbers = {}

    def path(self, *parts):
        return os.path.join(self.scratch, *parts)

    def fresh(self, stem):
        """A new path in the scratch directory."""
        number = self.numbers[stem] = self.numbers.get(stem, 0) + 1
        return self.path(f"{stem}-{number}")

    def check(self, what, holds, seen=""):
        self.checks.append((what, bool(holds), str(seen)))
        if not self.quiet:
            print(f"  {'ok  ' if holds else 'FAIL'}  {what:<58} {seen}", flush=True)
        return bool(holds)

    def figure(self, what, value):
        """Something measured that decides nothing."""
        if not self.quiet:
            print(f"  --    {what:<58} {value}", flush=True)

    def progress(self, text):
        if not self.quiet:
            print(f"        {text}", flush=True)

    @property
    def failed(self):
        return [check for check in self.checks if not check[1]]

    def discard(self):
        shutil.rmtree(self.scratch, ignore_errors=True)


class Broker:
    """A ringmain process on a data directory, started and ended as often as need be."""

    def __init__(self, rig, directory=None, port=None, shards=2, settings=(), arguments=()):
        self.rig = rig
        self.directory = directory or rig.fresh("data")
        self.port = port or free_port()
        self.shards = shards
        self.settings = list(settings)
        self.arguments = list(arguments)
        self.log = rig.fresh("broker") + ".log"
        self.process = None
        self.log_start = 0
        self.started_at = 0.0

    def command(self):
        command = [binary("RINGMAIN_BIN", "ringmain"), "serve", "--data-dir", self.directory,
                   "--listen", f"127.0.0.1:{self.port}", "--shards", str(self.shards)]
        for setting in self.settings:
            command += ["--set", setting]
        return command + self.arguments

    def spawn(self, preexec=None, wrapper=()):
        """Starts it and waits for nothing."""
        with open(self.log, "ab") as log:
            self.log_start = log.tell()
            self.started_at = time.monotonic()
            self.process = subprocess.Popen(
                [*wrapper, *self.command()], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=preexec, env={**os.environ, "NO_COLOR": "1"})
        _processes.append(self.process)
        return self

    def start(self, timeout=60.0, preexec=None, wrapper=()):
        """Starts it and waits until it takes connections; returns how long that took."""
        self.spawn(preexec, wrapper)
        return self.wait_ready(timeout)

    def wait_ready(self, timeout=60.0):
        while True:
            if self.process.poll() is not None:
                raise BrokerEnded(self.process.returncode, self.lines())
            # The port alone says nothing: sockets of a process that was just killed may still take
            # connections while the kernel is winding up its rings.
            if any(" serving " in line for line in self.lines()):
                return time.monotonic() - self.started_at
            if time.monotonic() - self.started_at > timeout:
                raise BrokerEnded("none (it runs and does not listen)", self.lines())
            time.sleep(0.003)

    def lines(self):
        """What it has logged since its last start."""
        with open(self.log, "rb") as log:
            log.seek(self.log_start)
            text = log.read().decode("utf-8", "replace")
        return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in text.splitlines() if line.strip()]

    def errors(self):
        return [line for line in self.lines() if " ERROR " in line]

    def runs(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        if self.runs():
            self.process.send_signal(number)

    def kill(self):
        """kill -9, and nothing else."""
        self.signal(signal.SIGKILL)
        return self.process.wait()

    def stop(self, timeout=40.0):
        """SIGTERM; returns status and seconds."""
        begun = time.monotonic()
        self.signal(signal.SIGTERM)
        return self.wait(timeout), time.monotonic() - begun

    def wait(self, timeout):
        """The exit status; None if it still runs."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def client(self, timeout=10.0):
        return kafka.Client(self.port, timeout)


class Load:
    """`ringload verify --phase write`, which goes on through every outage, and its check."""

    def __init__(self, rig, broker, topic, partitions=4, batch=10, rate=5000, record_bytes=256,
                 producers=2, deadline=120, idempotent=True, extra=()):
        self.rig, self.broker, self.topic, self.batch = rig, broker, topic, batch
        self.state = rig.fresh(f"state-{topic}")
        self.log = self.state + ".log"
        self.command = [
            binary("RINGLOAD_BIN", "ringload"), "verify", "-b", f"127.0.0.1:{broker.port}",
            "-t", topic, "-p", str(partitions), "--producers", str(producers),
            "--records-per-batch", str(batch), "--record-bytes", str(record_bytes),
            "--rate", str(rate), "--deadline", str(deadline), "--request-timeout-ms", "10000",
            "-q", "--state", self.state, "--phase", "write", "-s", "0", *extra]
        if not idempotent:
            self.command.append("--no-idempotence")
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        _processes.append(self.process)
        return self

    def size(self):
        """Bytes of its state file: they grow with every acknowledgement and every retry."""
        try:
            return os.path.getsize(self.state)
        except OSError:
            return 0

    def acknowledged_since(self, position):
        """How many batches were acknowledged behind this position of the state file."""
        try:
            with open(self.state, "rb") as state:
                state.seek(position)
                return (b"\n" + state.read()).count(b"\nack ")
        except OSError:
            return 0

    def wait_acknowledged(self, position, timeout, batches=1):
        """Seconds until so many batches are acknowledged; None if they are not."""
        begun = time.monotonic()
        while self.acknowledged_since(position) < batches:
            if time.monotonic() - begun > timeout or self.process.poll() is not None:
                return None
            time.sleep(0.005)
        return time.monotonic() - begun

    def runs(self):
        return self.process.poll() is None

    def stop(self, timeout=60.0):
        """Ends the writing. Status and what it said."""
        if self.runs():
            self.process.send_signal(signal.SIGINT)
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = f"none within {timeout:.0f} s, killed ({self.process.wait()})"
        return status, self.said()

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            lines = [line.strip() for line in log if line.strip()]
        return lines[-1] if lines else "-"

    def judge(self, deadline=None):
        """Reads everything and compares: (is well, counts by name, one line)."""
        if deadline is None:
            # A mutant leaves gaps by intention; nobody waits for them to close.
            deadline = 0.5 if self.rig.quiet else 30
        result = self.state + ".json"
        if os.path.exists(result):
            os.unlink(result)
        done = subprocess.run(
            [binary("RINGLOAD_BIN", "ringload"), "verify", "-b",
             f"127.0.0.1:{self.broker.port}", "--check", self.state, "--deadline", str(deadline),
             "-q", "--json", result], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=deadline + 600)
        counts = {}
        if os.path.exists(result):
            with open(result, encoding="utf-8") as file:
                counts = json.load(file)
        said = (done.stderr.strip() or done.stdout.strip() or "-").splitlines()
        # Both must agree: the status alone could be a fault of the rig.
        well = done.returncode == 0 and counts.get("ok") is True \
            and counts.get("acknowledged", 0) > 0
        text = f"{counts.get('acknowledged', 0):,.0f} acknowledged, {counts.get('summary')}" \
            if counts else f"status {done.returncode}: {said[-1]}"
        if not well and counts:
            shown = [line.strip() for line in done.stdout.splitlines() if line.startswith("  ! ")]
            text += "".join(f"\n{'':10}{line}" for line in shown[:5])
        return well, counts, text

    def forge(self):
        """The simplest mutant: an acknowledgement that no broker ever gave."""
        last = None
        with open(self.state, encoding="utf-8", errors="replace") as state:
            for line in state:
                if line.startswith("ack 0 0 "):
                    last = line.split()
        # Far behind the batches that were on their way at the end: those may well be there.
        first = int(last[3]) + int(last[4]) + 1000 * self.batch
        fact = f"ack 0 0 {first} {self.batch} -1"
        with open(self.state, "ab") as state:
            state.write(f"{fact} #{kafka.crc32c(fact.encode()):08x}\n".encode())


def stop_loads(rig, loads):
    """Ends the writing of all of them; a refusal that no client would send again is a failure."""
    for load in loads:
        status, said = load.stop()
        rig.check(f"{load.topic}: nothing was refused for good", status == 0, said)


def judge_loads(rig, loads, when=""):
    for load in loads:
        well, _, text = load.judge()
        rig.check(f"{load.topic}: 0 lost, 0 duplicated, 0 reordered{when}", well, text)


def wait_until(holds, timeout, pause=0.02):
    """Seconds until it holds; None if it does not in time."""
    begun = time.monotonic()
    while not holds():
        if time.monotonic() - begun > timeout:
            return None
        time.sleep(pause)
    return time.monotonic() - begun


def shell(*command, check=True, timeout=120):
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    if check and done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def attempt(rig, run, options, mutant):
    """Runs a rig once; an error of any kind is a failed check."""
    try:
        run(rig, options, mutant)
    except Unavailable:
        raise
    except (BrokerEnded, kafka.Broken, OSError, subprocess.SubprocessError) as error:
        rig.check("the run comes to its end", False, error)
    except Exception:
        rig.check("the run comes to its end", False, "\n" + traceback.format_exc())
    finally:
        run_cleanups()
    if not rig.checks:
        rig.check("something was checked", False)


def section(rig, what, part, *arguments):
    """Runs a part of a rig; if it cannot go on, that is a failed check, and the rest still runs."""
    try:
        part(rig, *arguments)
    except (BrokerEnded, kafka.Broken, OSError, subprocess.SubprocessError) as error:
        rig.check(f"{what}: comes to its end", False, error)


def main(title, run, mutants, add_options=None, shrink=None):
    """The command line of a rig. `mutants` maps names to the check that has to fail."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--seed", type=int, default=None, help="of all random choices")
    parser.add_argument("--self-test", action="store_true",
                        help="run with each mutant and demand that the rig catches it")
    parser.add_argument("--mutant", choices=sorted(mutants), help="run with this mutant")
    parser.add_argument("--keep", action="store_true", help="keep the scratch directory")
    if add_options:
        add_options(parser)
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 32)
    for variable, name in (("RINGMAIN_BIN", "ringmain"), ("RINGLOAD_BIN", "ringload")):
        if not os.access(binary(variable, name), os.X_OK):
            print(f"{binary(variable, name)} is not there; run `cargo build --release "
                  f"--workspace` or set {variable}", file=sys.stderr)
            sys.exit(2)
    print(f"{title} (seed {options.seed})", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if options.self_test:
            if shrink:
                shrink(options)
            checks = self_test(title, run, mutants, options)
        else:
            rig = Rig(title, options.seed)
            attempt(rig, run, options, options.mutant)
            checks = rig.checks
            if rig.failed or options.keep:
                print(f"the scratch directory is kept: {rig.scratch}")
            else:
                rig.discard()
    except Unavailable as reason:
        print(f"{title}: cannot run here: {reason}")
        print("0 passed, 0 failed (nothing was proven)")
        sys.exit(UNAVAILABLE)
    failed = sum(not holds for _, holds, _ in checks)
    print(f"{len(checks) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


def self_test(title, run, mutants, options):
    checks = []
    for mutant, expected in mutants.items():
        rig = Rig(title, options.seed, quiet=True)
        attempt(rig, run, options, mutant)
        caught = [what for what, _, _ in rig.failed]
        holds = any(expected in what for what in caught)
        seen = f"caught by: {next((w for w in caught if expected in w), caught or 'nothing')}"
        print(f"  {'ok  ' if holds else 'FAIL'}  mutant: {mutant:<50} {seen}", flush=True)
        checks.append((mutant, holds, seen))
        if holds and not options.keep:
            rig.discard()
        else:
            print(f"the scratch directory is kept: {rig.scratch}")
    return checks
