"""Worker processes of one namespace, each under a supervisor of its own, as hosts of a fleet have them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from rerank_dev.bench.served import CLI
from rerank_shared.contract.messages import Heartbeat
from rerank_shared.errors import ConfigurationError
from rerank_shared.redis.connections import connect
from rerank_shared.settings import PREFIX, Settings, bare_environ, load_settings, to_environ
from rerank_shared.watch.autoscale import read_signal

#: What a checkout has on its PYTHONPATH.
_FOLDERS = ("shared", "producer", "worker", "ops")
#: Far above what a start or a drain takes, on a machine that has no processor to spare.
_READY_S, _STOP_S = 120.0, 60.0
_POLL_S = 0.2


class Worker:
    """One `rerank-fleet worker` with one process."""

    def __init__(self, environ: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("wb") as out:
            command = [sys.executable, "-c", CLI, "worker", "--processes", "1"]
            self.process = subprocess.Popen(command, env=environ, stdout=out, stderr=subprocess.STDOUT)

    def owns(self, beat: Heartbeat) -> bool:
        """Return whether a heartbeat is that of its worker process."""
        try:
            return beat.pid in {child.pid for child in psutil.Process(self.process.pid).children(recursive=True)}
        except psutil.NoSuchProcess:
            return False

    def stop(self) -> None:
        """Drain it by SIGTERM and wait for its end; kill it where it does not end."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill supervisor and worker process at once, as a host that goes away does."""
        family = [self.process, *psutil.Process(self.process.pid).children(recursive=True)]
        for each in family:
            each.send_signal(signal.SIGKILL)
        self.process.wait()


class Workers:
    """The workers of one namespace; all end with the block."""

    def __init__(self, settings: Settings, logs: Path) -> None:
        self.settings = settings
        self.running: list[Worker] = []
        self._logs = logs
        self._started = 0

    def start(self, count: int = 1, root: Path | None = None, **changes: Any) -> list[Worker]:
        """Start workers and return them once each has told of itself. `changes` are settings of these alone.

        `root` is the checkout whose code they run, None for what is installed.
        Raises ConfigurationError with the end of the log of one that does not come up.
        """
        environ = environ_of(changed(self.settings, **changes), root)
        begun = [Worker(environ, self._log()) for _ in range(count)]
        self.running += begun
        for worker in begun:
            self._wait_for(worker)
        return begun

    def stop(self, worker: Worker) -> None:
        """Drain one of them."""
        self.running.remove(worker)
        worker.stop()

    def kill(self, worker: Worker) -> None:
        """Kill one of them."""
        self.running.remove(worker)
        worker.kill()

    def alive(self) -> tuple[Heartbeat, ...]:
        """Return the heartbeats of all worker processes of the namespace."""
        with connect(self.settings) as client:
            return read_signal(client, self.settings).state.workers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for worker in self.running:
            worker.process.terminate()
        for worker in self.running:
            worker.stop()

    def _log(self) -> Path:
        self._started += 1
        return self._logs / f"{self.settings.namespace}-{self._started}.log"

    def _wait_for(self, worker: Worker) -> None:
        give_up = time.monotonic() + _READY_S
        while not any(map(worker.owns, self.alive())):
            if worker.process.poll() is not None or time.monotonic() > give_up:
                said = " | ".join(worker.log.read_text(errors="replace").splitlines()[-8:])
                raise ConfigurationError(f"a worker did not come up within {_READY_S:g} s; its log ends: {said}")
            time.sleep(_POLL_S)


def changed(settings: Settings, **changes: Any) -> Settings:
    """Return the settings that were given, with changes."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    return load_settings(**(given | changes))


def environ_of(settings: Settings, root: Path | None = None) -> dict[str, str]:
    """Return the environment of a process on a fleet, which runs the code of the checkout at `root` if there is one.

    It has the settings that were given and no others: an earlier release need not know the others.
    """
    given = {PREFIX + name.upper() for name in settings.model_fields_set}
    environ = bare_environ() | {name: value for name, value in to_environ(settings).items() if name in given}
    if root is not None:
        environ["PYTHONPATH"] = os.pathsep.join(str(root / folder) for folder in _FOLDERS)
    return environ
