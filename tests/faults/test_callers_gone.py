"""Work that nobody waits for any more is not run: the caller's process died, cancelled, or its deadline passed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from celery.result import AsyncResult

from conftest import StartFleet
from rerank_producer import RerankClient
from rerank_shared.errors import DeadlineExceeded, JobRevoked
from rerank_shared.settings import Settings, to_environ
from support.jobs import celery_of, make_job, passages, rerank_in_part, send
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults]

_CALLER = """
from rerank_producer import RerankClient
from rerank_shared import load_settings
from support.jobs import passages
RerankClient(load_settings()).rerank("which rooms?", passages(2000), deadline_ms=600_000)
"""


def test_job_of_a_killed_caller_is_dropped(start_fleet: StartFleet, settings: Settings) -> None:
    fleet = start_fleet()
    environ = to_environ(settings) | {"PYTHONPATH": "tests"}
    with subprocess.Popen([sys.executable, "-c", _CALLER], env=environ) as caller:
        wait_until(lambda: fleet.held_jobs() == 1, "the worker holds the job")
        caller.kill()
    wait_until(lambda: fleet.held_jobs() == 0, "the job is dropped")
    wait_until(lambda: fleet.client.hlen(fleet.keys.unacked) == 0, "its message is acknowledged")
    assert fleet.client.zcard(fleet.keys.backlog("interactive")) == 0
    assert fleet.client.keys(f"{fleet.keys.prefix}text:*") == []


def test_submitted_job_outlives_its_caller(start_fleet: StartFleet, settings: Settings) -> None:
    """Nobody listens live to a submitted job, so nobody's leaving abandons it."""
    fleet = start_fleet()
    with RerankClient(settings) as client:
        handle = client.submit("which rooms?", passages(300), deadline_ms=600_000)
        wait_until(lambda: fleet.held_jobs() == 1, "the worker holds the job")
    with RerankClient(settings) as another:
        assert another.collect(str(handle)).complete


def test_revoked_job_is_dropped_in_mid_run(start_fleet: StartFleet, settings: Settings) -> None:
    fleet = start_fleet()
    with RerankClient(settings) as client:
        handle = client.submit("which rooms?", passages(2000), deadline_ms=600_000)
        wait_until(lambda: fleet.held_jobs() == 1, "the worker holds the job")
        client.cancel(handle)
        with pytest.raises(JobRevoked):
            client.collect(handle, timeout_ms=20_000)
    wait_until(lambda: fleet.held_jobs() == 0, "the job is dropped")


def test_a_job_that_is_cancelled_while_it_is_queued_counts_as_work_no_longer(
    start_fleet: StartFleet, settings: Settings
) -> None:
    fleet = start_fleet(concurrency=1)
    with RerankClient(settings) as client:
        first = client.submit("which rooms?", passages(2000), deadline_ms=600_000)
        wait_until(lambda: fleet.held_jobs() == 1, "the worker holds the first job")
        second = client.submit("which rooms?", passages(300), deadline_ms=600_000)
        client.cancel(second)
        client.cancel(first)
        with pytest.raises(JobRevoked):
            client.collect(second, timeout_ms=20_000)
    wait_until(lambda: fleet.client.zcard(fleet.keys.backlog("interactive")) == 0, "neither counts any more")


def test_plain_celery_revoke_works_on_a_queued_job(start_fleet: StartFleet, settings: Settings) -> None:
    fleet = start_fleet(concurrency=1)
    with celery_of(settings) as app:
        running = send(app, settings, make_job(settings, "which rooms?", passages(400), deadline_at=2e9))
        wait_until(lambda: fleet.held_jobs() == 1, "the worker holds the first job")
        waiting: AsyncResult = send(app, settings, make_job(settings, "which rooms?", passages(5)))
        waiting.revoke()
        assert running.get(timeout=90)["complete"]
        wait_until(lambda: waiting.state in ("REVOKED", "FAILURE"), "the second job is revoked")


def test_job_that_arrives_after_its_deadline_is_not_run(start_fleet: StartFleet, settings: Settings) -> None:
    start_fleet()
    with celery_of(settings) as app:
        result = send(app, settings, make_job(settings, "q", ["d"], deadline_at=1.0))
        with pytest.raises(DeadlineExceeded, match="after its deadline"):
            result.get(timeout=20)


def test_deadline_in_mid_run_gives_what_is_scored(start_fleet: StartFleet, settings: Settings) -> None:
    start_fleet()
    with RerankClient(settings) as client:
        response = rerank_in_part(client, 3000, deadline_ms=5_000)
        scored = [result for result in response.results if result.scored]
        unscored = [result.index for result in response.results if not result.scored]
        assert not response.complete
        assert 0 < len(scored) < 3000
        assert response.results[: len(scored)] == scored
        assert unscored == sorted(unscored)
        with pytest.raises(DeadlineExceeded):
            client.rerank("which rooms?", passages(3000), deadline_ms=1000, partial=False)
