"""An HTTP server as a process of its own for as long as a block lasts, and the gateway as one.

What it logs goes to a file; its address is read from there, as it listens on a port that was free.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from rerank_shared.errors import ConfigurationError
from rerank_shared.settings import GATEWAY_PREFIX, Settings, bare_environ, to_environ

START_S = 60.0
#: Far above the grace of a gateway: on a machine that has no processor to spare a process takes long to end.
STOP_S = 90.0
_POLL_S = 0.02
#: As the gateway says it, and uvicorn of others.
_URL = re.compile(r"(?:listening url=|running on )(http://\S+:[1-9]\d*)")
#: The command line of this environment, which needs no script on the PATH: [sys.executable, "-c", CLI, ...].
CLI = "from rerank_ops.cli import main; main()"


class Served:
    """A server's process. Raises ConfigurationError with the end of its log if it does not come up."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self.log_path = log
        self._name = log.stem
        with log.open("wb") as out:
            environ = {**environ, "PYTHONFAULTHANDLER": "1"}
            self.process = subprocess.Popen(command, env=environ, stdout=out, stderr=subprocess.STDOUT)
        try:
            self.url = self._wait_for_url()
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def cpu_s(self) -> float:
        """Return the processor time it has used so far."""
        return cpu_s(self.pid)

    def waited_s(self) -> float:
        """Return how long its main thread could have run while others had the core (Linux; elsewhere 0)."""
        path = Path(f"/proc/{self.pid}/schedstat")
        return int(path.read_text().split()[1]) / 1e9 if path.exists() else 0.0

    def rss_mb(self) -> float:
        """Return the memory that it has resident."""
        return float(psutil.Process(self.pid).memory_info().rss) / 1e6

    def pin(self, core: int) -> None:
        """Keep all of its threads on one core (Linux; elsewhere it stays where it is)."""
        pin(self.pid, core)

    def stop(self) -> int:
        """End it in order; returns its exit status. Raises TimeoutError, with the end of its log, if it had to be
        killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            # By a signal at which Python says what its threads are at.
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            raise TimeoutError(f"{self._name} did not end within {STOP_S:g} s; {self._log_end()}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def _wait_for_url(self) -> str:
        give_up = time.monotonic() + START_S
        while time.monotonic() < give_up and self.process.poll() is None:
            # Servers say where they listen once they do.
            if found := _URL.search(self.log_path.read_text(errors="replace")):
                return found[1]
            time.sleep(_POLL_S)
        raise ConfigurationError(f"{self._name} did not listen within {START_S:g} s; {self._log_end(5)}")

    def _log_end(self, lines: int = 40) -> str:
        return f"its log ends: {' | '.join(self.log_path.read_text(errors='replace').splitlines()[-lines:])}"


def served_gateway(settings: Settings, log: Path) -> Served:
    """Start `rerank-fleet gateway` on a fleet."""
    return Served([sys.executable, "-c", CLI, "gateway"], gateway_environ(settings), log)


def gateway_environ(settings: Settings, **variables: Any) -> dict[str, str]:
    """Return the environment of a gateway on a fleet; `variables` are its settings, by the names of GatewaySettings."""
    own = {GATEWAY_PREFIX + name.upper(): str(value) for name, value in ({"port": 0} | variables).items()}
    return bare_environ() | to_environ(settings) | own


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used so far."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def pin(pid: int, core: int) -> None:
    """Keep all threads that a process has on one core, and those that they start (Linux; elsewhere nothing)."""
    if not hasattr(os, "sched_setaffinity"):
        return
    for thread in psutil.Process(pid).threads():
        os.sched_setaffinity(thread.id, {core})
