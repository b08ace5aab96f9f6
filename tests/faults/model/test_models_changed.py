"""Models are changed while Redis goes, or while a process is frozen: what the operator is told of each process."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import StartFleet
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_shared.errors import QueueUnavailable
from rerank_shared.keys import Keys
from rerank_shared.settings import to_environ
from rerank_worker.consume.remote_control import forget_control, silent_workers
from support.changing import change
from support.commands import CommandLine
from support.model.exports import write_export
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults]


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start(persistent=True) as running:
        yield running


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The sources of two models."""
    root = tmp_path_factory.mktemp("exports")
    small, other = (write_export(root / f"m{seed}", layouts=("unpadded",), seed=seed) for seed in (0, 1))
    return f"file:{small}", f"file:{other}"


def test_a_short_outage_is_waited_out(start_fleet: StartFleet, server: EmbeddedServer, both: tuple[str, str]) -> None:
    """The process is frozen until the server is back, so that it can't be done before."""
    fleet, said = start_fleet(model=both[0]), list[str]()
    workers = fleet.state().workers
    fleet.processes[0].send_signal(signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        changed = pool.submit(change, fleet, "load", both[1], workers=workers, say=said.append)
        server.kill()
        wait_until(lambda: said, "the command says that it waits")
        assert "while loading a model" in said[0]
        server.restart()
        fleet.processes[0].send_signal(signal.SIGCONT)
        assert changed.result(timeout=100)["test-0"].change.state == "done"
    assert said[1:] == ["Redis is back: the command goes on"]


def test_an_outage_that_lasts_ends_the_command(
    start_fleet: StartFleet, server: EmbeddedServer, both: tuple[str, str]
) -> None:
    fleet = start_fleet(model=both[0])
    workers = fleet.state().workers
    server.kill()
    with pytest.raises(QueueUnavailable, match="can't be reached"):
        change(fleet, "load", both[1], workers=workers, patience_s=1.0)


def test_a_frozen_process_is_named_and_the_exit_status_says_so(
    start_fleet: StartFleet, both: tuple[str, str], tmp_path: Path
) -> None:
    fleet = start_fleet(2, model=both[0])
    command = CommandLine(to_environ(fleet.settings) | {"PATH": "/usr/bin:/bin", "COLUMNS": "200"})
    frozen, keys = fleet.processes[0], Keys(fleet.settings.namespace)
    frozen.send_signal(signal.SIGSTOP)
    wait_until(lambda: len(fleet.state().workers) == 1, "its heartbeat has ended")
    loaded = command.run("models", "load", both[1])
    assert (loaded.returncode, "test-1: loaded: " in loaded.stderr) == (1, True), loaded.stderr
    assert "test-0: no answer: it has no heartbeat; it is frozen or cut off" in loaded.stderr
    assert "test-0: no answer: " in command.run("models", "list").stderr
    there = command.run("models", "unload", both[1], "--on", "test-1")
    assert (there.returncode, "test-0" in there.stderr) == (0, False), there.stderr
    frozen.kill()
    # As a supervisor does that saw it die.
    forget_control(fleet.client, keys, "test-0")
    assert command.run("models", "list").returncode == 0


def test_processes_that_ended_in_order_are_not_taken_for_frozen_ones(start_fleet: StartFleet) -> None:
    fleet = start_fleet(2)
    fleet.processes[0].terminate()
    assert fleet.processes[0].wait(timeout=60) == 0
    assert silent_workers(fleet.client, Keys(fleet.settings.namespace), 0.0) == []
