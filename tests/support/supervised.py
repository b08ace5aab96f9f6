"""Tiny real worker processes for the supervisor's tests: they note what happens to them in files."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rerank_shared.settings import Settings
from rerank_worker.supervisor.backoff import RestartPolicy
from rerank_worker.supervisor.supervisor import Supervisor
from support.waiting import wait_until

QUICK = RestartPolicy(first_s=0.01, longest_s=0.05)

# Writes down what it was started with once its signal handlers are in place, then blocks as a worker does, until its
# parent is gone. Standard library only and without site, so that it is up in a few hundredths of a second.
CHILD = """
import json, os, signal, sys
directory, mode = sys.argv[1:]
def note(kind, value):
    path = os.path.join(directory, f"{os.getpid()}.{kind}")
    with open(path + "~", "w") as file:
        json.dump(value, file)
    os.rename(path + "~", path)
def first():
    try:
        return os.open(os.path.join(directory, "first"), os.O_CREAT | os.O_EXCL) > 0
    except FileExistsError:
        return False
if mode == "crash":
    sys.exit(3)
if mode == "refuse-second" and not first():
    sys.exit(78)
stubborn = mode == "stubborn" or mode == "stubborn-first" and first()
told = 0
def on_term(*_):
    global told
    told += 1
    note("told" if stubborn else "drained", told)
    if not stubborn:
        sys.exit(0)
signal.signal(signal.SIGTERM, on_term)
note("started", dict(os.environ))
while os.read(int(os.environ["FLEET_PARENT_FD"]), 1):
    pass
note("orphaned", True)
"""

# A fork server whose workers are the children above. `mode` is theirs, or what becomes of the fork server itself.
FORKSERVER = """
import json, os, signal, socket, sys, threading, time
from rerank_worker.supervisor.forkserver import serve
directory, mode, fd = sys.argv[1:]
def there(name):
    return os.path.exists(os.path.join(directory, name))
with open(os.path.join(directory, f"{os.getpid()}.forkserver"), "w"):
    pass
if mode == "forkserver-dies" and not there("well"):
    sys.exit(3)
if mode == "forkserver-refuses":
    sys.exit(78)
if mode == "forkserver-loads":
    while not there("loaded"):
        time.sleep(0.01)
if mode == "forkserver-threads":
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
def fork_and_die():
    parent, pid = os.getpid(), fork()
    if pid:
        os.kill(parent, signal.SIGKILL)
    while os.getppid() == parent:
        time.sleep(0.001)
    return pid
if mode == "forkserver-dies-forking" and not there("well"):
    open(os.path.join(directory, "well"), "w").close()
    fork, os.fork = os.fork, fork_and_die
with socket.socket(fileno=int(fd)) as commands:
    is_worker = serve(commands)
if is_worker:
    sys.argv = ["child", directory, mode]
"""
FORKSERVER += f"    exec({CHILD!r})\n"

# A program around a supervisor, for signals. SIGINT is ignored in children of a shell's background job.
PROGRAM = """
import logging, signal, sys
from rerank_shared.settings import load_settings
from rerank_worker.supervisor.supervisor import Supervisor
signal.signal(signal.SIGINT, signal.default_int_handler)
logging.basicConfig(level="INFO", stream=sys.stderr, format="%(message)s")
sys.exit(Supervisor(load_settings(), 2, command=sys.argv[1:], settle_s=0.05).run())
"""

COUNTING_CHILD = """
import os, signal, sys
from rerank_worker.counting.collectors import Counter, count_in
from rerank_worker.counting.memory import own_counts
jobs = Counter("jobs", "Jobs.")
count_in(own_counts(os.environ))
jobs.inc(5)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
open(os.path.join(sys.argv[1], f"{os.getpid()}.counted"), "w").close()
os.read(int(os.environ["FLEET_PARENT_FD"]), 1)
"""


class Constant(Collector):
    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("from_elsewhere", "A collector's own.", value=42)


class Children:
    """The commands of children of a test, and what those have written down."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def command(self, mode: str = "good") -> list[str]:
        return [sys.executable, "-S", "-c", CHILD, str(self.directory), mode]

    def forkserver(self, mode: str = "good") -> list[str]:
        return [sys.executable, "-c", FORKSERVER, str(self.directory), mode]

    def started(self) -> dict[int, dict[str, str]]:
        return {pid: json.loads(self._path(pid, "started").read_text()) for pid in self.noted("started")}

    def told(self) -> dict[int, int]:
        """How many SIGTERMs each stubborn child has had."""
        return {pid: json.loads(self._path(pid, "told").read_text()) for pid in self.noted("told")}

    def noted(self, kind: str) -> set[int]:
        return {int(path.stem) for path in self.directory.glob(f"*.{kind}")}

    def _path(self, pid: int, kind: str) -> Path:
        return self.directory / f"{pid}.{kind}"


def poll_until(supervisor: Supervisor, condition: Callable[[], object], what: str) -> None:
    def polled() -> bool:
        supervisor.poll(0.01)
        return bool(condition())

    wait_until(polled, what)


def roll_all(supervisor: Supervisor, children: Children) -> tuple[set[int], int]:
    """Replace all processes, which must have started; return those before, and the fewest that lived meanwhile."""
    before, started = set(supervisor.pids()), len(children.started())
    fewest = len(before)

    def replaced() -> bool:
        nonlocal fewest
        fewest = min(fewest, len(supervisor.pids()))
        return len(children.started()) == started + len(before)

    supervisor.roll()
    poll_until(supervisor, replaced, "all are replaced")
    return before, fewest


def scrape(settings: Settings) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{settings.metrics_port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def wait_line(process: subprocess.Popen[str], start: str) -> bool:
    assert process.stderr is not None
    return any(line.startswith(start) for line in iter(process.stderr.readline, ""))


def lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
