"""Real worker processes for tests: started as the supervisor starts them, killed as faults kill them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rerank_shared.contract.messages import name_of
from rerank_shared.fleet_state import FleetState, read_state
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, bare_environ, to_environ
from support.waiting import wait_until

_TESTS = Path(__file__).parents[1]


class TestFleet:
    """Worker processes of one namespace. Not a supervisor: nothing is restarted unless a test does it."""

    __test__ = False

    def __init__(self, settings: Settings, log_directory: Path, first: int = 0) -> None:
        """`first` is the number of the first process; fleets that share a namespace need different ones."""
        self.settings = settings
        self._first = first
        self.client = connect(settings)
        self._logs = log_directory
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def keys(self) -> Keys:
        """The keys of its pool, where its model has one; else those of the common queue."""
        common = Keys(self.settings.namespace)
        pools: list[Any] = list(self.client.hgetall(common.pools_of(name_of(self.settings.model))))
        return common.of(pools[0].decode()) if len(pools) == 1 else common

    def start(self, count: int = 1, *, wait: bool = True, mortal: str | None = None) -> Self:
        """Start worker processes and wait for their heartbeats; `mortal` says when they die (support.mortal)."""
        begin = self._first + len(self.processes)
        numbers = range(begin, begin + count)
        self.processes += [self._spawn(number, mortal) for number in numbers]
        if wait:
            # By name: a worker that was killed a moment ago still has its last heartbeat.
            names = {_name(number) for number in numbers}
            wait_until(lambda: self._ready(names), f"{', '.join(sorted(names))} ready; see {self._logs}")
        return self

    def state(self) -> FleetState:
        """What the fleet says of itself now."""
        return read_state(self.client, Keys(self.settings.namespace), name_of(self.settings.model))

    def held_jobs(self) -> int:
        """How many jobs the workers hold, by their heartbeats."""
        return sum(worker.held_jobs for worker in self.state().workers)

    def kill(self, index: int = 0) -> None:
        """SIGKILL a worker, as the kernel does when memory runs out."""
        self.processes[index].kill()
        self.processes[index].wait()

    def log(self, index: int = 0) -> str:
        """What a worker has logged so far."""
        return (self._logs / f"worker-{self._first + index}.log").read_text()

    def stop(self) -> None:
        """End every process; those that do not drain in time are killed."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def _ready(self, names: set[str]) -> bool:
        if (dead := next((p for p in self.processes if p.poll() not in (None, -signal.SIGKILL)), None)) is not None:
            raise AssertionError(f"a worker ended with {dead.returncode}: {self.log(self.processes.index(dead))}")
        return names <= {worker.worker_id for worker in self.state().workers}

    def _spawn(self, number: int, mortal: str | None) -> subprocess.Popen[bytes]:
        environ = bare_environ() | to_environ(self.settings)
        environ |= {"FLEET_WORKER_NAME": _name(number), "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        module = ["rerank_worker.process"]
        if mortal is not None:
            module = ["support.mortal", mortal]
            environ["PYTHONPATH"] = os.pathsep.join([str(_TESTS), environ.get("PYTHONPATH", "")])
        with (self._logs / f"worker-{number}.log").open("wb") as log:
            return subprocess.Popen([sys.executable, "-m", *module], env=environ, stdout=log, stderr=subprocess.STDOUT)


def alive(settings: Settings) -> int:
    """How many workers are alive in a namespace, whoever started them."""
    with connect(settings) as client:
        return len(read_state(client, Keys(settings.namespace), name_of(settings.model)).workers)


def _name(number: int) -> str:
    return f"test-{number}"
