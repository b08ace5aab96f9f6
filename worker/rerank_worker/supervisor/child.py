"""Child: one place for a worker process, which starts the process and tracks it until it is reaped.

The process is forked by the fork server if there is one, else it is a fresh interpreter. It is never a fork of the
supervisor's own process, which has threads. The supervisor decides when a process is started, stopped or replaced.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rerank_shared.settings import PREFIX, Settings, to_environ
from rerank_worker.counting.memory import FD_VARIABLE, PLACE_VARIABLE
from rerank_worker.supervisor.backoff import Backoff
from rerank_worker.supervisor.forkserver_client import ForkServer

WORKER_COMMAND = (sys.executable, "-m", "rerank_worker.process")
# Heartbeat keys and Celery node names contain the host's name, which must not need quoting there.
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Launch:
    """Launch parameters that all processes of one supervisor share."""

    settings: Settings
    command: Sequence[str]
    parent_fd: int
    #: The descriptor of the counts memory, None if metrics are off.
    counts_fd: int | None = None

    @property
    def inherited_fds(self) -> tuple[int, ...]:
        """The descriptors that each process inherits."""
        return (self.parent_fd,) if self.counts_fd is None else (self.parent_fd, self.counts_fd)

    def environ(self, base: Mapping[str, str]) -> dict[str, str]:
        """Return the shared environment: `base` without RERANK_ variables, then exactly these settings."""
        kept = {key: value for key, value in base.items() if not key.startswith(PREFIX)}
        # Since 1.29 ONNX Runtime sends telemetry from a thread of its own. `base` may turn it on again.
        kept.setdefault("ORT_DISABLE_TELEMETRY", "1")
        ours = {
            "FLEET_PARENT_FD": str(self.parent_fd),
            FD_VARIABLE: "" if self.counts_fd is None else str(self.counts_fd),
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        return kept | to_environ(self.settings) | ours


def family_name() -> str:
    """Return what the names of all worker processes of this supervisor begin with."""
    return f"{_UNSAFE.sub('-', socket.gethostname())}-{os.getpid()}-"


class WorkerProcess(Protocol):
    """The common interface of subprocess.Popen and ForkedWorker."""

    @property
    def pid(self) -> int | None:
        """The process id; None while it is not known."""

    def poll(self) -> int | None:
        """Return the exit code once the process has ended, None before."""

    def send_signal(self, signum: signal.Signals, /) -> None:
        """Send a signal; harmless after the process has ended."""

    def kill(self) -> None:
        """Send SIGKILL."""


class Child:
    """One place for a worker process, and the process in it, if there is one."""

    def __init__(
        self,
        index: int,
        core: int | None,
        launch: Launch,
        backoff: Backoff,
        on_exit: Callable[[], None],
        forkserver: ForkServer | None = None,
    ) -> None:
        """`on_exit` is called on another thread each time a process in this place has ended."""
        self.index = index
        self.core = core
        self.backoff = backoff
        #: The name of the current process, or of the last one.
        self.name = ""
        self.started_at = 0.0
        #: Whether the place stays empty: the fleet needs fewer processes than it has places.
        self.parked = False
        #: The time to start the next process if none runs (monotonic clock).
        self.start_at = 0.0
        #: The time to kill a process that was asked to end; None if it was not asked (monotonic clock).
        self.kill_at: float | None = None
        self._launch = launch
        self._on_exit = on_exit
        self._forkserver = forkserver
        self._process: WorkerProcess | None = None
        self._is_new = False

    @property
    def occupied(self) -> bool:
        """Whether a process was started in this place and is not reaped yet."""
        return self._process is not None

    @property
    def pid(self) -> int | None:
        """The process id; None if there is no process, or if the fork server has not forked it yet."""
        return None if self._process is None else self._process.pid

    def start(self, now: float) -> None:
        """Start a process. Raises OSError if the system refuses."""
        self.name = f"{family_name()}{self.index}-{secrets.token_hex(2)}"
        self._process = self._fork() or self._spawn()
        self._is_new = True
        self.started_at = now
        self.kill_at = None
        self.backoff.started()

    def new_pid(self) -> int | None:
        """Return the process id once, as soon as it is known; None otherwise."""
        if not self._is_new or self.pid is None:
            return None
        self._is_new = False
        return self.pid

    def retire(self, kill_at: float) -> None:
        """Send SIGTERM, once: the process finishes its batch and ends. A second SIGTERM would prevent the drain."""
        if self._process is not None and self.kill_at is None:
            self.kill_at = kill_at
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the process."""
        if self._process is not None:
            self._process.kill()

    def reap(self) -> tuple[int | None, int] | None:
        """Return (pid, exit code) of a process that has ended, and empty the place; None otherwise.

        pid None: the fork server died or failed before it forked.
        """
        if self._process is None or (code := self._process.poll()) is None:
            return None
        pid, self._process = self._process.pid, None
        return pid, code

    def _variables(self) -> dict[str, str]:
        """Return the environment variables of this process alone."""
        return {
            "FLEET_WORKER_NAME": self.name,
            "FLEET_WORKER_CORE": "" if self.core is None else str(self.core),
            PLACE_VARIABLE: str(self.index),
        }

    def _fork(self) -> WorkerProcess | None:
        return None if self._forkserver is None else self._forkserver.fork(self._variables())

    def _spawn(self) -> WorkerProcess:
        process = subprocess.Popen(
            self._launch.command,
            stdin=subprocess.DEVNULL,
            # Logs go to stderr. Celery prints on stdout at shutdown, which would mix with the parent's own output.
            stdout=subprocess.DEVNULL,
            env=self._launch.environ(os.environ) | self._variables(),
            pass_fds=self._launch.inherited_fds,
            # Ctrl-C must reach the supervisor alone: a worker that gets it and then a SIGTERM ends without a drain.
            process_group=0,
        )
        # The thread blocks in waitpid, so a death is noticed at once, on any platform and without polling.
        threading.Thread(target=self._await_exit, args=(process,), name=f"await-{self.name}", daemon=True).start()
        return process

    def _await_exit(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._on_exit()
