"""What runs the programs of examples/, and one fleet for all of them, on a server of its own that tests may stop."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from rerank_ops.local.redis_server import EmbeddedServer
from rerank_shared.settings import Settings, load_settings
from support.examples import Examples, make_examples
from support.fleet import TestFleet
from support.waiting import wait_until


@dataclass(frozen=True, slots=True)
class Shared:
    """Real workers and their server. A test may kill what it likes: the next one gets what it needs back."""

    server: EmbeddedServer
    fleet: TestFleet

    @property
    def settings(self) -> Settings:
        """Settings of its clients."""
        return self.fleet.settings

    def need(self, count: int) -> None:
        """Have so many workers at least."""
        living = [process.poll() is None for process in self.fleet.processes]
        if (missing := count - sum(living)) > 0:
            self.fleet.start(missing, wait=False)
            living += [True] * missing
        # By name: one that was killed a moment ago still has its last heartbeat.
        names = {f"test-{number}" for number, lives in enumerate(living) if lives}
        wait_until(lambda: names <= {worker.worker_id for worker in self.fleet.state().workers}, f"{names} ready")

    def holders(self) -> list[int]:
        """Return which workers hold a job now, one number a job; a heartbeat says it later."""
        names: list[Any] = self.fleet.client.hvals(self.fleet.keys.lease_owners)
        return [int(name.decode().removeprefix("test-")) for name in names]

    def held_by_one(self) -> int:
        """Wait until a job is taken, and return the number of the worker that has it."""
        return wait_until(lambda: [number + 1 for number in self.holders()], "a worker holds the job")[0] - 1

    def wait_for_jobs(self, count: int) -> None:
        """Wait until so many jobs, or more, are unanswered."""
        backlog = self.fleet.keys.backlog("interactive")
        wait_until(lambda: self.fleet.client.zcard(backlog) >= count, f"{count} jobs on the queue")

    def restart_server(self) -> None:
        """Kill the server and start it again; it has forgotten everything."""
        self.server.kill()
        self.server.restart()

    @contextmanager
    def idle(self) -> Iterator[None]:
        """Nobody takes a job inside the block: all workers stand still."""
        for process in self.fleet.processes:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in self.fleet.processes:
                process.send_signal(signal.SIGCONT)


@pytest.fixture(scope="package", autouse=True)
def _compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Many short programs: what they import is compiled once, and nothing of it is left in examples/."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("compiled")))
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        yield


@pytest.fixture(scope="package")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examples]:
    """Starts programs; what still runs at the end is ended."""
    starting = make_examples(tmp_path_factory.mktemp("examples"))
    yield starting
    for running in starting.spawn.started:
        if running.process.poll() is None:
            running.end()


@pytest.fixture(scope="package")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    with EmbeddedServer.start() as server:
        # A dead worker's jobs come back soon, so that nobody waits for that.
        settings = load_settings(redis_url=server.url, namespace="examples", redelivery_s=1.0)
        with TestFleet(settings, tmp_path_factory.mktemp("workers")) as fleet:
            yield Shared(server, fleet)


@pytest.fixture
def shared(_shared: Shared) -> Shared:
    """The fleet for all programs, with one worker at least."""
    _shared.need(1)
    return _shared
