"""SIGTERM: the running batch finishes, waiting jobs go back to the queue, and another worker answers them."""

from __future__ import annotations

import pytest

from conftest import StartFleet
from rerank_shared.keys import Keys
from rerank_shared.settings import Settings
from support.jobs import celery_of, make_job, passages, send
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults]


@pytest.mark.timeout(300)
def test_no_job_is_lost_and_none_waits_for_redelivery(start_fleet: StartFleet, settings: Settings) -> None:
    fleet = start_fleet()
    with celery_of(settings) as app:
        results = [
            send(app, settings, make_job(settings, "which rooms?", passages(100), deadline_at=2e9)) for _ in range(8)
        ]
        wait_until(lambda: fleet.held_jobs() > 0, "the worker holds one or more")
        fleet.processes[0].terminate()
        assert fleet.processes[0].wait(timeout=settings.grace_s) == 0
        answered = sum(result.ready() for result in results)
        assert fleet.client.hlen(fleet.keys.unacked) == 0
        assert fleet.client.llen(Keys(settings.namespace).queue_list("interactive")) == len(results) - answered
        assert answered < len(results)
        assert fleet.state().workers == ()
        fleet.start(1, wait=False)
        assert all(result.get(timeout=200)["complete"] for result in results)
