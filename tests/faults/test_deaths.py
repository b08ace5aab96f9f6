"""Workers killed at each moment of a job's life, frozen, or with a wrong clock: what the caller sees, and by when.

Two workers, of which one is mortal. The fleet's redelivery is that of its settings; no client sends a job again, since
a submitted one has nobody who could.
"""

from __future__ import annotations

import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import StartFleet
from rerank_producer import RerankClient
from rerank_shared.errors import JobPoisoned
from rerank_shared.settings import Settings, bare_environ, load_settings, to_environ
from support.commands import COMMAND
from support.fleet import TestFleet
from support.jobs import passages
from support.mortal import MOMENTS
from support.waiting import wait_until

REDELIVERY_S = 1.0


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return load_settings(**(settings.model_dump(exclude_none=True) | {"redelivery_s": REDELIVERY_S}))


def died(fleet: TestFleet, index: int = 0) -> bool:
    return fleet.processes[index].poll() == -signal.SIGKILL


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_submitted_job_outlives_its_worker(start_fleet: StartFleet, settings: Settings, moment: str) -> None:
    fleet = start_fleet(1, mortal=moment)
    with RerankClient(settings) as client:
        handle = client.submit("which rooms?", passages(30), deadline_ms=120_000)
        wait_until(lambda: died(fleet), "the worker died of it")
        fleet.start()
        answer = client.collect(handle, timeout_ms=60_000)
    assert answer.complete
    # What was answered before its worker died is not run again.
    assert answer.workers == (["test-0"] if moment == "answered" else ["test-1"])
    wait_until(lambda: fleet.client.hlen(fleet.keys.unacked) == 0, "the job is off the books")
    assert fleet.client.zcard(fleet.keys.leases) == 0


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_waiting_caller_is_answered_before_its_deadline(
    start_fleet: StartFleet, settings: Settings, moment: str
) -> None:
    fleet = start_fleet(1, mortal=moment)
    fleet.start()
    with RerankClient(settings) as client:
        answers = [client.rerank("which rooms?", passages(30), deadline_ms=60_000, partial=False) for _ in range(2)]
    assert all(answer.complete for answer in answers)
    assert died(fleet)


def test_a_job_that_kills_every_worker_is_set_aside_and_its_caller_told(
    start_fleet: StartFleet, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MORTAL_WORD", "poison")
    fleet = start_fleet(3, mortal="word")
    with RerankClient(settings) as client:
        poison = client.submit("poison?", passages(2), deadline_ms=120_000)
        good = client.submit("which rooms?", passages(2), deadline_ms=120_000)
        wait_until(lambda: all(died(fleet, index) for index in range(3)), "it killed three workers", bound_s=60)
        fleet.start(mortal="word")
        with pytest.raises(JobPoisoned, match=r"rerank-fleet dead retry"):
            client.collect(poison, timeout_ms=60_000)
        assert client.collect(good, timeout_ms=60_000).complete
    assert fleet.client.zcard(fleet.keys.backlog("interactive")) == 0


def test_a_clock_that_is_an_hour_off_is_no_fault(start_fleet: StartFleet, settings: Settings) -> None:
    """Deadlines, leases and heartbeats are by the server's clock."""
    fleet = start_fleet(1, mortal="clock+3600")
    fleet.start(mortal="clock-3600")
    with RerankClient(settings) as client:
        answers = [client.rerank("which rooms?", passages(30), deadline_ms=60_000, partial=False) for _ in range(3)]
        assert all(answer.complete for answer in answers)
        # Long enough for a lease to run out, were it not renewed by the right clock.
        client.rerank("which rooms?", passages(200), deadline_ms=60_000, partial=False)
    assert {worker.worker_id for worker in fleet.state().workers} == {"test-0", "test-1"}
    assert fleet.client.exists(fleet.keys.dead) == 0


def test_a_server_that_stands_still_for_a_while_is_waited_out(start_fleet: StartFleet, settings: Settings) -> None:
    fleet = start_fleet(1, redelivery_s=6)
    with RerankClient(settings) as client, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.rerank, "which rooms?", passages(100), deadline_ms=60_000, partial=False)
        wait_until(lambda: fleet.held_jobs() == 1, "the worker has it")
        fleet.client.client_pause(5_000, all=True)
        assert answer.result(timeout=90).complete


def test_connections_that_are_cut_are_made_anew(start_fleet: StartFleet, settings: Settings) -> None:
    fleet = start_fleet(1)
    with RerankClient(settings) as client:
        handle = client.submit("which rooms?", passages(60), deadline_ms=120_000)
        wait_until(lambda: fleet.held_jobs() == 1, "the worker has it")
        for kind in ("pubsub", "normal"):
            fleet.client.client_kill_filter(_type=kind, skipme=True)
        assert client.collect(handle, timeout_ms=60_000).complete
        assert client.rerank("which books?", passages(3), deadline_ms=30_000, partial=False).complete


def test_jobs_of_a_killed_supervisor_s_workers_are_done_by_others(start_fleet: StartFleet, settings: Settings) -> None:
    """Its workers notice, drain, and give back what they hold."""
    command = [COMMAND, "worker", "--processes", "1"]
    fleet = start_fleet(0)
    with RerankClient(settings) as client:
        supervisor = subprocess.Popen(command, env=bare_environ() | to_environ(settings), stderr=subprocess.DEVNULL)
        wait_until(lambda: fleet.state().workers, "its worker is there", bound_s=60)
        handle = client.submit("which rooms?", passages(400), deadline_ms=120_000)
        wait_until(lambda: fleet.held_jobs() == 1, "its worker has the job")
        supervisor.kill()
        supervisor.wait()
        wait_until(lambda: not fleet.state().workers, "its worker has gone", bound_s=60)
        fleet.start()
        assert client.collect(handle, timeout_ms=100_000).workers == ["test-0"]


def test_an_answer_that_comes_after_the_caller_gave_up_is_for_whoever_asks_next(
    start_fleet: StartFleet, settings: Settings
) -> None:
    fleet = start_fleet(1, refuse=False)
    documents = passages(5)
    with RerankClient(settings) as client:
        fleet.processes[0].send_signal(signal.SIGSTOP)
        gave_up = client.rerank("which rooms?", documents, deadline_ms=500)
        assert not any(result.scored for result in gave_up.results)
        fleet.processes[0].send_signal(signal.SIGCONT)
        # Nobody wants the old job any more: it ends unscored, and the new one is its own.
        assert client.rerank("which rooms?", documents, deadline_ms=30_000, partial=False).complete
    wait_until(lambda: fleet.client.hlen(fleet.keys.unacked) == 0, "both jobs are off the books")
