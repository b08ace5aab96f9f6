"""kill -9 of a worker in mid-batch: its jobs come back by themselves, and their callers are answered by another."""

from __future__ import annotations

import pytest

from conftest import StartFleet
from rerank_producer import RerankClient
from rerank_shared.settings import Settings
from support.jobs import celery_of, make_job, passages, send
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults]
#: The broker's second-long sweep sets the floor.
REDELIVERY_S = 1.0


def test_job_in_mid_batch_is_done_by_another_worker(start_fleet: StartFleet, settings: Settings) -> None:
    fleet = start_fleet(redelivery_s=REDELIVERY_S)
    with celery_of(fleet.settings) as app:
        result = send(app, settings, make_job(settings, "which rooms?", passages(200)))
        wait_until(lambda: fleet.held_jobs() == 1, "the worker holds the job")
        fleet.kill(0)
        fleet.start(1, wait=False)
        answer = result.get(timeout=80)
    assert answer["complete"]
    assert answer["worker"] == "test-1"
    wait_until(lambda: fleet.client.hlen(fleet.keys.unacked) == 0, "the message is acknowledged")


def test_client_is_answered_within_its_deadline(start_fleet: StartFleet) -> None:
    fleet = start_fleet(redelivery_s=REDELIVERY_S)
    with RerankClient(fleet.settings) as client:
        handle = client.submit("which rooms?", passages(200), deadline_ms=90_000)
        wait_until(lambda: fleet.held_jobs() == 1, "the worker holds the job")
        fleet.kill(0)
        fleet.start(1, wait=False)
        response = client.collect(handle)
    assert response.complete
    assert sorted(result.index for result in response.results) == list(range(200))


def test_waiting_jobs_of_a_killed_worker_come_back_too(start_fleet: StartFleet, settings: Settings) -> None:
    fleet = start_fleet(redelivery_s=REDELIVERY_S)
    with celery_of(fleet.settings) as app:
        results = [send(app, settings, make_job(settings, "which rooms?", passages(60))) for _ in range(6)]
        wait_until(lambda: fleet.held_jobs() > 0, "the worker holds its share")
        fleet.kill(0)
        fleet.start(1, wait=False)
        assert all(result.get(timeout=90)["complete"] for result in results)


def test_a_living_worker_keeps_a_job_longer_than_the_redelivery_time(
    start_fleet: StartFleet, settings: Settings
) -> None:
    """Leases are renewed: a job that runs for several redelivery times is not run twice."""
    fleet = start_fleet(2, redelivery_s=REDELIVERY_S)
    with celery_of(fleet.settings) as app:
        result = send(app, settings, make_job(settings, "which rooms?", passages(300), deadline_at=2e9))
        seen: list[int] = []

        def answered() -> bool:
            seen.append(fleet.held_jobs())
            return bool(result.ready())

        wait_until(answered, "the long job is answered", bound_s=100)
    # Two workers holding it at once would have shown as two held jobs.
    assert max(seen) == 1
    assert result.get()["complete"]
