"""Keeps worker processes alive: one for each core, restarted when they die, drained when asked.

A process that exits with status 78 says that starting it again can't help, and takes the whole supervisor with it.
No process outlives the supervisor, however that ends: each watches a pipe whose other end only the supervisor holds.
Where it can be, processes are forked from a fork server, which loads the model once (forkserver_main.py).
Nothing here polls: the supervisor sleeps until a process ends, a signal comes or a time is due.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
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
from rerank_worker.supervisor.metrics_endpoint import MetricsEndpoint, SupervisorCollector
from rerank_worker.supervisor.release_leases import release_leases_soon
from rerank_worker.supervisor.wakeup import Wakeup, caught_signals

log = logging.getLogger(__name__)

EX_OK = 0
EX_KILLED = 1
EX_CONFIG = 78


class Supervisor:
    """Starts, watches, restarts and drains worker processes; used once.

    `run()` is all that a program of its own needs. Elsewhere it is a context manager, or `start()` and `stop()`, with
    `poll()` in between as often as deaths shall be dealt with; these from one thread, which need not be the main one.
    `drain()`, `kill()` and `roll()` may be called from any.
    """

    def __init__(
        self,
        settings: Settings,
        processes: int | None = None,
        cores: Sequence[int] | None = None,
        *,
        command: Sequence[str] = WORKER_COMMAND,
        forkserver_command: Sequence[str] | None = None,
        collectors: Sequence[Collector] = (),
        counted: bool = False,
        policy: RestartPolicy | None = None,
        settle_s: float = 10.0,
    ) -> None:
        """`processes`, and `cores` to pin them to, are chosen from settings and machine where they are not given.

        `command` starts one worker. `forkserver_command` starts the fork server, where settings and system allow one; a
        `command` of one's own has none unless it is given. `collectors` add to /metrics. `counted` fills `counts`
        without /metrics.
        `settle_s` is how long every process must have run before a rolling restart takes the next: longer than a worker
        takes to load its model.
        """
        usable = available_cores() if cores is None else cores
        count = processes or settings.processes or max(1, len(usable))
        pinnable = () if not settings.pin else pinnable_cores() if cores is None else cores
        self._pins = spread(count, pinnable)
        self._settings = settings
        self._command = tuple(command)
        # For one process alone a fork server would take more memory than it shares.
        default = FORKSERVER_COMMAND if self._command == WORKER_COMMAND and count > 1 else None
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
        #: Deaths that nobody asked for, each followed by a restart.
        self.restarts = 0
        #: What the processes have counted, those that have ended included; None where nobody asks, or there is no
        #: memory for it.
        self.counts: CountsMemory | None = None

    def run(self) -> int:
        """Run until a signal ends it; return the exit status: 0 drained, 1 had to kill, 78 a worker can't be started.

        SIGTERM and SIGINT drain, a second one kills. SIGHUP replaces the processes one by one, or drains if it means
        that the terminal was closed. A signal that was ignored before stays ignored.
        Raises ValueError outside the main thread, ConfigurationError when /metrics can't listen.
        """
        wakeup = self._open()
        with self._resources, caught_signals(self._on_signal(on_terminal=os.isatty(0)), wakeup):
            self._start_all()
            return self._finish()

    def start(self) -> None:
        """Start all processes. Raises ConfigurationError when /metrics can't listen."""
        self._open()
        self._start_all()

    def poll(self, timeout_s: float | None = 0.0) -> int | None:
        """Deal with what happened, after waiting at most so long for it (None: without end).

        Returns the exit status once all processes have ended for good, None before.
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
        """Drain, SIGKILL what is left after `grace_s`, release what `start()` took and return the exit status."""
        with self._resources:
            self.drain()
            return self._finish()

    def drain(self) -> None:
        """Ask all processes to finish what they run and end. Returns at once; `poll()` does it."""
        self._request(self._drain)

    def kill(self) -> None:
        """End all processes by SIGKILL. Returns at once; `poll()` does it."""
        self._request(self._kill)

    def roll(self) -> None:
        """Replace all processes, one at a time. Returns at once; `poll()` does it."""
        self._request(self._roll)

    def pids(self) -> list[int]:
        """Return the ids of the processes that run; one that the fork server is still to fork has none."""
        return [pid for child in self._children if (pid := child.pid) is not None]

    @property
    def processes(self) -> int:
        """How many processes there are to be."""
        return len(self._children)

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
                endpoint = MetricsEndpoint(self._settings.metrics_host, port, collectors)
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
                self._children.append(Child(index, core, launch, backoff, wakeup.wake, self._forkserver))
            self._resources = resources.pop_all()
        return wakeup

    def _start_all(self) -> None:
        for child in self._children:
            self._start(child)

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
        """Return how long to sleep: until the next time that is due, and at most `timeout_s`."""
        due = self._roll_at()
        for child in self._children:
            if child.occupied:
                due = min(due, math.inf if child.kill_at is None else child.kill_at)
            elif not self._draining:
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
            if not self._draining and now >= child.start_at:
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
            log.error("worker refused %s", told)
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
        log.error("a file that the worker had mapped was cut short or can't be read: look after the model and its disk")
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

    def _roll(self) -> None:
        log.info("rolling restart workers=%d", len(self._children))
        if self._forkserver is not None:
            # What it has loaded is what shall be replaced.
            self._forkserver.renew()
        self._to_roll = deque(self._children)

    def _roll_at(self) -> float:
        """Return when the next process may be replaced: never while one is missing or on its way out."""
        if self._draining or not self._to_roll:
            return math.inf
        if any(child.pid is None or child.kill_at is not None for child in self._children):
            return math.inf
        return max(child.started_at for child in self._children) + self._settle_s

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
        # Scoring matters more than being counted.
        log.warning("metrics of worker processes are off error=%r", error)
        return None
