"""One worker process's place in a fleet: how its process is started, and what is known of the one that runs there.

A process is forked from a fork server where there is one, else a fresh interpreter; never a fork of this one, with its
threads. When to start, stop or replace it is the supervisor's decision.
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
# Heartbeat keys and Celery node names hold the host's name, which must not need quoting there.
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Launch:
    """What all processes of one supervisor are started with."""

    settings: Settings
    command: Sequence[str]
    parent_fd: int
    #: Where processes count, None if nobody asks.
    counts_fd: int | None = None

    @property
    def inherited_fds(self) -> tuple[int, ...]:
        """Return the descriptors that each process is born with."""
        return (self.parent_fd,) if self.counts_fd is None else (self.parent_fd, self.counts_fd)

    def environ(self, base: Mapping[str, str]) -> dict[str, str]:
        """Return what all have in their environment: `base` without settings of ours, then exactly these settings."""
        kept = {key: value for key, value in base.items() if not key.startswith(PREFIX)}
        # Since 1.29 ONNX Runtime reports to its makers, from a thread of its own; whoever wants that may say so.
        kept.setdefault("ORT_DISABLE_TELEMETRY", "1")
        ours = {
            "FLEET_PARENT_FD": str(self.parent_fd),
            FD_VARIABLE: "" if self.counts_fd is None else str(self.counts_fd),
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        return kept | to_environ(self.settings) | ours


class WorkerProcess(Protocol):
    """What Popen and Forked have in common."""

    @property
    def pid(self) -> int | None:
        """Its id; None while it is not known."""

    def poll(self) -> int | None:
        """Return the exit code once it has ended."""

    def send_signal(self, signum: signal.Signals, /) -> None:
        """Signal it; harmless after its end."""

    def kill(self) -> None:
        """End it without its consent."""


class Child:
    """One place, and the process that runs there, if one does."""

    def __init__(
        self,
        index: int,
        core: int | None,
        launch: Launch,
        backoff: Backoff,
        on_exit: Callable[[], None],
        forkserver: ForkServer | None = None,
    ) -> None:
        """`on_exit` is called on another thread whenever a process here has ended."""
        self.index = index
        self.core = core
        self.backoff = backoff
        #: Of the process that runs, or ran last.
        self.name = ""
        self.started_at = 0.0
        #: When to start the next process, if none runs.
        self.start_at = 0.0
        #: When to stop waiting for a process that was told to end; None while it was not told.
        self.kill_at: float | None = None
        self._launch = launch
        self._on_exit = on_exit
        self._forkserver = forkserver
        self._process: WorkerProcess | None = None
        self._is_new = False

    @property
    def occupied(self) -> bool:
        """Whether a process is here that was started and is not reaped yet."""
        return self._process is not None

    @property
    def pid(self) -> int | None:
        """The id of the process here; None where there is none, and while the fork server has not forked it yet."""
        return None if self._process is None else self._process.pid

    def start(self, now: float) -> None:
        """Start a process. Raises OSError when the system refuses."""
        self.name = f"{_UNSAFE.sub('-', socket.gethostname())}-{os.getpid()}-{self.index}-{secrets.token_hex(2)}"
        self._process = self._fork() or self._spawn()
        self._is_new = True
        self.started_at = now
        self.kill_at = None
        self.backoff.started()

    def new_pid(self) -> int | None:
        """Return the id of the process here, once, when it is known."""
        if not self._is_new or self.pid is None:
            return None
        self._is_new = False
        return self.pid

    def retire(self, kill_at: float) -> None:
        """Tell the process to finish what it runs and end; once, since a second SIGTERM would end it cold."""
        if self._process is not None and self.kill_at is None:
            self.kill_at = kill_at
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process without its consent."""
        if self._process is not None:
            self._process.kill()

    def reap(self) -> tuple[int | None, int] | None:
        """Return (pid, exit code) of a process that has ended, once; the place is empty from then on.

        No pid: the fork server died, or was refused, before it forked.
        """
        if self._process is None or (code := self._process.poll()) is None:
            return None
        pid, self._process = self._process.pid, None
        return pid, code

    def _variables(self) -> dict[str, str]:
        """Return what this process's environment has that those of the others have not."""
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
            # Logs go to stderr; on stdout Celery prints at shutdown, in the middle of whatever its parent prints there.
            stdout=subprocess.DEVNULL,
            env=self._launch.environ(os.environ) | self._variables(),
            pass_fds=self._launch.inherited_fds,
            # Ctrl-C must reach the supervisor alone: a worker that sees it and the SIGTERM that follows ends cold.
            process_group=0,
        )
        # Blocks in waitpid, so that a death is noticed at once, on any platform, and without polling.
        threading.Thread(target=self._await_exit, args=(process,), name=f"await-{self.name}", daemon=True).start()
        return process

    def _await_exit(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._on_exit()
