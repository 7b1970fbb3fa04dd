"""What the cells read from the machine (/proc), and the processes they start: brokers, null brokers, load generators."""

import json
import mmap
import os
import pathlib
import platform
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20
GIB = 1 << 30


def cpu_seconds():
    """(busy, steal) of the whole machine since its boot."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, pathlib.Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq) / TICKS, steal / TICKS


def own_cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def process_cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mib(pid, key):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    raise KeyError(key)


def tasks(pid):
    """Name and context switches of each thread, the kernel's io_uring workers included."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
        try:
            name = (task / "comm").read_text().strip()
            switches = [line.split()[1] for line in (task / "status").read_text().splitlines() if "ctxt_switches" in line]
        except (FileNotFoundError, ProcessLookupError):
            continue
        found.append((task.name, name, sum(map(int, switches))))
    return found


class Sampler(threading.Thread):
    """Watches a process: most io_uring workers at a time, context switches of all threads that ever were."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.stopped = pid, threading.Event()
        self.workers_max, self.first, self.last = 0, {}, {}

    def look(self):
        seen = tasks(self.pid)
        self.workers_max = max(self.workers_max, sum(name.startswith("iou-wrk") for _, name, _ in seen))
        for task, _, switches in seen:
            self.last[task] = switches

    def run(self):
        while not self.stopped.wait(0.25):
            self.look()

    def __enter__(self):
        self.look()
        self.first, self.workers_max = dict(self.last), 0
        self.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.join()
        self.look()

    def switches(self):
        return sum(last - self.first.get(task, 0) for task, last in self.last.items())


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Program:
    """A started process; ended at the end of its `with`."""

    def __init__(self, command, log):
        self.log = log
        with open(log, "ab") as out:
            self.started = time.monotonic()
            self.process = subprocess.Popen([str(word) for word in command], stdout=out, stderr=out)
        self.pid = self.process.pid

    def wait_for_port(self, port, seconds=60):
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except ConnectionRefusedError:
                if self.process.poll() is not None or time.monotonic() - self.started > seconds:
                    raise Failed(f"{self.process.args[0]} does not serve:\n{self.log.read_text()}")
                time.sleep(0.01)

    def end(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end(signal.SIGKILL)


class Broker:
    """A data directory of its own, and the broker that is started on it, again and again if need be."""

    def __init__(self, binary, shards, root, settings=()):
        self.binary, self.shards, self.settings = binary, shards, settings
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="cells-", dir=root))
        self.port = free_port()
        self.program = None

    def start(self):
        command = [self.binary, "serve", "--data-dir", self.directory / "data", "--listen", f"127.0.0.1:{self.port}"]
        command += ["--shards", self.shards]
        for setting in self.settings:
            command += ["--set", setting]
        self.program = Program(command, self.directory / "broker.log")
        return self.program

    def serve(self):
        self.start().wait_for_port(self.port)
        return self

    @property
    def pid(self):
        return self.program.pid

    def stop(self):
        status = self.program.end()
        if status != 0:
            raise Failed(f"the broker ended with status {status}:\n{(self.directory / 'broker.log').read_text()[-2000:]}")

    def kill(self):
        self.program.end(signal.SIGKILL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.program is not None:
            self.kill()
        shutil.rmtree(self.directory)


class Client:
    """One run of ringload; its CPU is what the kernel counted for the process when it ended."""

    def __init__(self, binary, arguments, directory, pinned=()):
        self.json = pathlib.Path(directory) / f"client-{time.monotonic_ns()}.json"
        self.log = self.json.with_suffix(".log")
        self.command = [str(word) for word in [binary, *arguments, "--quiet", "--json", self.json, *pinned]]
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(self.command, stdout=out, stderr=out)

    def finish(self, overload=False):
        """Its report, with `client_cpu_seconds`. With `overload`, requests that were not answered in time are no failure."""
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        report = json.loads(self.json.read_text()) if self.json.exists() else None
        overloaded = overload and report is not None and report["unanswered_requests"] > 0 and report["error_count"] == 0
        if self.process.returncode != 0 and not overloaded or report is None:
            raise Failed(f"{' '.join(self.command)}\nexit status {self.process.returncode}\n{self.log.read_text()[-1500:]}")
        report["client_cpu_seconds"] = usage.ru_utime + usage.ru_stime
        return report

    def abandon(self):
        if self.process.returncode is None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Failed(Exception):
    """A program ended as it should not, or records are missing."""


class Watch:
    """Measures the machine and one server process around a run.

    CPU of the server's side is that of the whole machine minus the clients' and minus this script's. The window ends when a
    `sync` has returned, so that writing back what the run left behind in memory is charged to it.
    """

    def __init__(self, pid):
        self.pid, self.sampler = pid, Sampler(pid)

    def __enter__(self):
        self.sampler.__enter__()
        self.machine, self.steal = cpu_seconds()
        self.own, self.process = own_cpu_seconds(), process_cpu_seconds(self.pid)
        self.since = time.monotonic()
        return self

    def __exit__(self, *_):
        os.sync()
        self.sampler.__exit__()
        machine, steal = cpu_seconds()
        self.machine, self.steal = machine - self.machine, steal - self.steal
        self.own, self.process = own_cpu_seconds() - self.own, process_cpu_seconds(self.pid) - self.process
        self.seconds = time.monotonic() - self.since

    def measures(self, client_cpu_seconds):
        return {
            "server_cpu_seconds": max(self.machine - client_cpu_seconds - self.own, 0.0),
            "process_cpu_seconds": self.process,
            "client_cpu_seconds": client_cpu_seconds,
            "steal_seconds": self.steal,
            "iou_workers_max": self.sampler.workers_max,
            "context_switches": self.sampler.switches(),
            "rss_peak_mib": memory_mib(self.pid, "VmHWM"),
        }


class Spinners:
    """A busy loop on every core that yields to everything else, so that no core of a virtual machine falls asleep: waking one
    costs milliseconds, which would be measured in place of the broker.

    It yields within its group of the scheduler only. In the group of a session, kernel workers wait for it until the next tick,
    and with them every completed direct write; so session groups are off meanwhile, if that is permitted."""

    AUTOGROUP = pathlib.Path("/proc/sys/kernel/sched_autogroup_enabled")

    def __enter__(self):
        self.children, parent = [], os.getpid()
        try:
            self.grouped = self.AUTOGROUP.read_text().strip() == "1"
            if self.grouped:
                self.AUTOGROUP.write_text("0")
        except OSError:
            self.grouped = False
        for core in os.sched_getaffinity(0):
            child = os.fork()
            if child == 0:
                os.sched_setaffinity(0, [core])
                os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
                while os.getppid() == parent:
                    for _ in range(1_000_000):
                        pass
                os._exit(0)
            self.children.append(child)

    def __exit__(self, *_):
        for child in self.children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        if self.grouped:
            self.AUTOGROUP.write_text("1")


def condition(gib):
    """Touches that much memory and gives it back, after the caches were dropped: a run then begins with free pages that the
    host has really given to this machine."""
    os.sync()
    try:
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3\n")
    except PermissionError:
        raise SystemExit("cells: --condition drops the page cache and needs root") from None
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    mmap.mmap(-1, int(gib * GIB), flags=flags).close()


def durable_writes(root, block_bytes, seconds):
    """Direct, flushed overwrites of a file that is already written, one at a time: writes per second."""
    blocks = max(8, 64 * MIB // block_bytes)
    block = mmap.mmap(-1, block_bytes)
    block.write(os.urandom(block_bytes))
    descriptor, path = tempfile.mkstemp(prefix="cells-disk-", dir=root)
    os.close(descriptor)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_DSYNC)
        for number in range(blocks):
            os.pwrite(descriptor, block, number * block_bytes)
        count, since = 0, time.monotonic()
        while time.monotonic() - since < seconds:
            os.pwrite(descriptor, block, count % blocks * block_bytes)
            count += 1
        rate = count / (time.monotonic() - since)
        os.close(descriptor)
        return rate
    finally:
        os.unlink(path)


def description(root):
    """The machine in one line."""
    model = next((line.partition(":")[2].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    kind = subprocess.run(["df", "--output=fstype", str(root)], capture_output=True, text=True).stdout.split()[-1]
    return f"{os.cpu_count()} x {model}, {memory:.0f} GiB, Linux {platform.release()}, {kind}"
