"""Supervisor: keeps worker processes alive, one for each core. It restarts those that die, and drains them on request.

Exit status 78 of a process means that a restart can't help, and ends the whole supervisor.
No process outlives the supervisor, however that ends: each watches a pipe whose other end only the supervisor holds.
If the system allows it, processes are forked by a fork server, which loads the model once (forkserver_main.py).
There is no polling: the supervisor sleeps until a process ends, a signal comes or a time is due.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import FrameType
from typing import Self

from prometheus_client.registry import Collector

from rerank_shared.errors import InternalError
from rerank_shared.settings import Settings
from rerank_worker.counting.memory import CountsMemory
from rerank_worker.supervisor.backoff import Backoff, RestartPolicy
from rerank_worker.supervisor.child import WORKER_COMMAND, Child, Launch
from rerank_worker.supervisor.cores import available_cores, pinnable_cores, spread
from rerank_worker.supervisor.forkserver import EX_CANT_FORK
from rerank_worker.supervisor.forkserver_client import FORKSERVER_COMMAND, ForkServer, can_fork
from rerank_worker.supervisor.health import Health
from rerank_worker.supervisor.metrics_endpoint import MetricsEndpoint, SupervisorCollector
from rerank_worker.supervisor.release_leases import release_leases_soon
from rerank_worker.supervisor.wakeup import Wakeup, caught_signals

log = logging.getLogger(__name__)

EX_OK = 0
EX_KILLED = 1
EX_CONFIG = 78


class Supervisor:
    """Starts, watches, restarts and drains worker processes; used once.

    A program of its own needs only `run()`. Elsewhere use it as a context manager, or call `start()` and `stop()`, with
    `poll()` in between as often as deaths shall be handled. Call these from one thread, not necessarily the main one.
    `drain()`, `kill()`, `roll()`, `resize()`, `turns()` and `names()` may be called from any thread.
    """

    def __init__(
        self,
        settings: Settings,
        processes: int | None = None,
        cores: Sequence[int] | None = None,
        *,
        most: int | None = None,
        command: Sequence[str] = WORKER_COMMAND,
        forkserver_command: Sequence[str] | None = None,
        collectors: Sequence[Collector] = (),
        counted: bool = False,
        policy: RestartPolicy | None = None,
        settle_s: float = 10.0,
    ) -> None:
        """`processes`, and `cores` to pin them to, are chosen from settings and machine if not given.

        `most`: how many `resize()` may ask for; unset, as many as there are at the start.
        `command` starts one worker. `forkserver_command` starts the fork server, if settings and system allow one;
        with another `command` than the default there is no fork server unless this is given. `collectors` add to
        /metrics. `counted` fills `counts` without /metrics.
        `settle_s`: the seconds that every process must have run before a rolling restart replaces the next one. It
        should be longer than a worker needs to load its model.
        """
        usable = available_cores() if cores is None else cores
        count = processes or settings.processes or max(1, len(usable))
        pinnable = () if not settings.pin else pinnable_cores() if cores is None else cores
        places = max(count, most or 0)
        self._count = count
        self._pins = spread(places, pinnable)
        self._settings = settings
        self._command = tuple(command)
        # For a single process a fork server would take more memory than it saves.
        default = FORKSERVER_COMMAND if self._command == WORKER_COMMAND and places > 1 else None
        self._forkserver_command = (forkserver_command or default) if can_fork(settings) else None
        self._collectors = tuple(collectors)
        self._counted = counted or settings.metrics_port != 0
        self._policy = policy or RestartPolicy()
        self._settle_s = settle_s
        self._children: list[Child] = []
        self._to_roll: deque[Child] = deque()
        self._requests: deque[Callable[[], None]] = deque()
        self._resources = ExitStack()
        self._wakeup: Wakeup | None = None
        self._forkserver: ForkServer | None = None
        self._draining = self._interrupted = self._finished = False
        self._exit_code = EX_OK
        #: Unrequested deaths, each followed by a restart.
        self.restarts = 0
        #: The counts of all processes, including those that have ended; None if metrics are off, or if there is no
        #: memory for them.
        self.counts: CountsMemory | None = None

    def run(self) -> int:
        """Run until a signal ends it, and return the exit status.

        Exit status: 0 all processes drained, 1 a process had to be killed, 78 a worker can't be started.
        SIGTERM and SIGINT drain; a second one kills. SIGHUP replaces the processes one by one, or drains if the
        supervisor runs on a terminal, which has then closed. A signal that was ignored before stays ignored.
        Raises ValueError outside the main thread, ConfigurationError if /metrics can't listen.
        """
        wakeup = self._open()
        with self._resources, caught_signals(self._on_signal(on_terminal=os.isatty(0)), wakeup):
            self._start_all()
            return self._finish()

    def start(self) -> None:
        """Start all processes. Raises ConfigurationError if /metrics can't listen."""
        self._open()
        self._start_all()

    def poll(self, timeout_s: float | None = 0.0) -> int | None:
        """Wait up to `timeout_s` for an event (None: without limit), then handle deaths, requests and due times.

        Return the exit status once all processes have ended for good, None before.
        """
        if self._wakeup is None:
            raise InternalError("a Supervisor was polled before it was started")
        if not self._finished:
            self._wakeup.sleep(self._sleep_s(timeout_s))
            while self._requests:
                self._requests.popleft()()
            if self._forkserver is not None:
                self._forkserver.tend()
            for child in self._children:
                self._tend(child)
            self._roll_next()
            if self._draining and not self._occupied():
                self._finished = True
        return self._exit_code if self._finished else None

    def stop(self) -> int:
        """Drain, SIGKILL the processes left after `grace_s`, release all resources, and return the exit status."""
        with self._resources:
            self.drain()
            return self._finish()

    def drain(self) -> None:
        """Request that all processes finish their batches and end. Returns at once; `poll()` acts."""
        self._request(self._drain)

    def kill(self) -> None:
        """Request that all processes end by SIGKILL. Returns at once; `poll()` acts."""
        self._request(self._kill)

    def roll(self) -> None:
        """Request that all processes be replaced, one at a time. Returns at once; `poll()` acts."""
        self._request(self._roll)

    def resize(self, processes: int, held: Mapping[str, int]) -> None:
        """Request that so many processes be kept running, at most the `most` of the start. Returns at once.

        Those that hold least by `held`, tokens by name, are drained first; where that is the same, the youngest.
        """
        self._request(lambda: self._resize(processes, held))

    def pids(self) -> list[int]:
        """Return the ids of the running processes, without those that the fork server has not forked yet."""
        return [pid for child in self._children if (pid := child.pid) is not None]

    def names(self) -> list[str]:
        """Return the names of the processes that the supervisor keeps; none once it drains."""
        return [] if self._draining else [child.name for child in self._kept()]

    def turns(self, timeout_s: float) -> bool:
        """Return whether `poll()` handles a request within the time. For any thread but the one that polls."""
        turned = threading.Event()
        self._request(turned.set)
        return turned.wait(timeout_s)

    @property
    def processes(self) -> int:
        """The number of processes that the supervisor keeps running."""
        return len(self._kept())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _open(self) -> Wakeup:
        if self._wakeup is not None:
            raise InternalError("a Supervisor was started twice; each runs once")
        with ExitStack() as resources:
            for fd in (pipe := os.pipe()):
                resources.callback(os.close, fd)
            if self._counted and (counts := _counts_memory(len(self._pins))) is not None:
                self.counts = counts
                resources.callback(counts.close)
            if port := self._settings.metrics_port:
                collectors = [*self._collectors, SupervisorCollector(self), *([self.counts] if self.counts else [])]
                health = Health(self._settings, self)
                endpoint = MetricsEndpoint(self._settings.metrics_host, port, collectors, health)
                resources.callback(endpoint.close)
            wakeup = self._wakeup = Wakeup()
            resources.callback(wakeup.close)
            launch = Launch(self._settings, self._command, pipe[0], self.counts.fd if self.counts else None)
            if self._forkserver_command is not None:
                environ = launch.environ(os.environ)
                self._forkserver = ForkServer(self._forkserver_command, environ, launch.inherited_fds, wakeup)
                resources.callback(self._forkserver.close)
            for index, core in enumerate(self._pins):
                backoff = Backoff(self._policy, time.monotonic)
                child = Child(index, core, launch, backoff, wakeup.wake, self._forkserver)
                child.parked = index >= self._count
                self._children.append(child)
            self._resources = resources.pop_all()
        return wakeup

    def _start_all(self) -> None:
        for child in self._kept():
            self._start(child)

    def _kept(self) -> list[Child]:
        return [child for child in self._children if not child.parked]

    def _finish(self) -> int:
        while (code := self.poll(None)) is None:
            pass
        return code

    def _occupied(self) -> int:
        return sum(child.occupied for child in self._children)

    def _request(self, action: Callable[[], None]) -> None:
        self._requests.append(action)
        if self._wakeup is not None:
            self._wakeup.wake()

    def _sleep_s(self, timeout_s: float | None) -> float | None:
        """Return the seconds until the next due time, at most `timeout_s`; None: without limit."""
        due = self._roll_at()
        for child in self._children:
            if child.occupied:
                due = min(due, math.inf if child.kill_at is None else child.kill_at)
            elif not self._draining and not child.parked:
                due = min(due, child.start_at)
        most = math.inf if timeout_s is None else timeout_s
        sleep_s = min(most, max(0.0, due - time.monotonic()))
        return None if sleep_s == math.inf else sleep_s

    def _tend(self, child: Child) -> None:
        if (ended := child.reap()) is not None:
            self._on_exit(child, *ended)
        self._tell_started(child)
        now = time.monotonic()
        if not child.occupied:
            if not self._draining and not child.parked and now >= child.start_at:
                self._start(child)
        elif child.kill_at is not None and now >= child.kill_at:
            log.warning("worker killed name=%s pid=%s", child.name, child.pid)
            child.kill()
            child.kill_at = math.inf
            if self._draining:
                self._exit_code = self._exit_code or EX_KILLED

    def _start(self, child: Child) -> None:
        try:
            child.start(time.monotonic())
        except OSError as error:
            child.start_at = time.monotonic() + child.backoff.died()
            log.error("worker not started child=%d error=%r", child.index, error)
        else:
            self._tell_started(child)

    def _tell_started(self, child: Child) -> None:
        if (pid := child.new_pid()) is not None:
            core = "any" if child.core is None else child.core
            log.info("worker started name=%s pid=%d core=%s", child.name, pid, core)

    def _on_exit(self, child: Child, pid: int | None, code: int) -> None:
        told = f"name={child.name} pid={pid} code={code} lived_s={time.monotonic() - child.started_at:.1f}"
        if code == EX_CONFIG:
            log.error("worker refused to start %s", told)
            self._exit_code = EX_CONFIG
            self._drain()
        elif self._draining or child.kill_at is not None or (pid is None and code == EX_CANT_FORK):
            log.info("worker ended %s", told)
            child.start_at = time.monotonic()
        else:
            wait_s = child.backoff.died()
            child.start_at = time.monotonic() + wait_s
            self.restarts += 1
            log.warning("worker died %s restart_in_s=%g", told, wait_s)
            if code == -signal.SIGBUS:
                self._on_lost_file()
            if code < 0:
                release_leases_soon(self._settings, child.name)

    def _on_lost_file(self) -> None:
        """Renew the fork server after a worker lost a mapped file: the old one still maps it."""
        log.error("mapped file was cut short or can't be read: check the model's directory and its disk")
        if self._forkserver is not None:
            self._forkserver.renew()

    def _drain(self) -> None:
        if self._draining:
            return
        self._draining = True
        log.info("draining workers=%d grace_s=%g", self._occupied(), self._settings.grace_s)
        for child in self._children:
            child.retire(time.monotonic() + self._settings.grace_s)

    def _kill(self) -> None:
        self._draining = True
        for child in self._children:
            child.kill_at = time.monotonic()

    def _resize(self, processes: int, held: Mapping[str, int]) -> None:
        kept, now = self._kept(), time.monotonic()
        if self._draining or processes == len(kept):
            return
        log.info("resizing workers=%d from=%d", processes, len(kept))
        idlest = sorted(kept, key=lambda child: (child.occupied, held.get(child.name, 0), -child.started_at))
        for child in idlest[: max(0, len(kept) - processes)]:
            child.parked = True
            child.retire(now + self._settings.grace_s)
        free = [child for child in self._children if child.parked]
        for child in free[: max(0, processes - len(kept))]:
            child.parked = False

    def _roll(self) -> None:
        log.info("rolling restart workers=%d", self.processes)
        if self._forkserver is not None:
            # The fork server's loaded model is part of what a rolling restart replaces.
            self._forkserver.renew()
        self._to_roll = deque(self._kept())

    def _roll_at(self) -> float:
        """Return the time to replace the next process (monotonic clock); infinite while one is missing or ending."""
        if self._draining or not self._to_roll:
            return math.inf
        kept = self._kept()
        if any(child.pid is None or child.kill_at is not None for child in kept):
            return math.inf
        return max((child.started_at for child in kept), default=-math.inf) + self._settle_s

    def _roll_next(self) -> None:
        if (now := time.monotonic()) >= self._roll_at():
            self._to_roll.popleft().retire(now + self._settings.grace_s)

    def _on_signal(self, *, on_terminal: bool) -> Callable[[int, FrameType | None], None]:
        def handle(signum: int, _frame: FrameType | None) -> None:
            if signum == signal.SIGHUP and not on_terminal:
                self.roll()
            elif self._interrupted:
                self.kill()
            else:
                self._interrupted = True
                self.drain()

        return handle


def _counts_memory(places: int) -> CountsMemory | None:
    try:
        return CountsMemory(places)
    except OSError as error:
        # Scoring matters more than metrics.
        log.warning("metrics of worker processes are off error=%r", error)
        return None
