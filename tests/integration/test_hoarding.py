"""What one process takes is what it can soon run: others take the rest, and no urgent job waits behind a long one."""

from __future__ import annotations

import time

import pytest
from celery import Celery
from celery.result import AsyncResult

from conftest import StartFleet
from rerank_producer import RerankClient
from rerank_shared.contract import wire
from rerank_shared.contract.messages import Job
from rerank_shared.keys import Keys
from rerank_shared.settings import Settings
from support.jobs import celery_of, make_job, passages, send_payload
from support.waiting import wait_until

pytestmark = pytest.mark.integration
TOKENS_A_PASSAGE = 80


def send_told(app: Celery, settings: Settings, job: Job) -> AsyncResult:
    """Put a job on the queue with what a client says of it."""
    assert job.documents is not None
    headers = {"due_at": job.enqueued_at + 10.0, "tokens": len(job.documents) * TOKENS_A_PASSAGE, "tenant": ""}
    return send_payload(app, settings, wire.encode_job(job), job.job_id, headers=headers)


def test_jobs_go_to_the_process_that_is_free(start_fleet: StartFleet, settings: Settings) -> None:
    fleet = start_fleet(2)
    with celery_of(fleet.settings) as app:
        long = send_told(app, settings, make_job(settings, "which rooms?", passages(1_500), deadline_at=2e9))
        wait_until(lambda: fleet.held_jobs() == 1, "one process holds the long job")
        (busy,) = (worker.worker_id for worker in fleet.state().workers if worker.held_jobs)
        answers = [send_told(app, settings, make_job(settings, "a", passages(20))).get(timeout=60) for _ in range(8)]
        assert all(answer["complete"] for answer in answers)
        assert busy not in {answer["worker"] for answer in answers}
        assert not long.ready(), "the long job was too short to show anything"


def test_a_full_process_leaves_the_rest_on_the_queue(start_fleet: StartFleet, settings: Settings) -> None:
    """Far fewer than its threads allow: two that fill a batch, and what was in flight."""
    fleet = start_fleet(1)
    assert fleet.settings.concurrency == 16
    with celery_of(fleet.settings) as app:
        results = [
            send_told(app, settings, make_job(settings, "which rooms?", passages(60), deadline_at=2e9))
            for _ in range(16)
        ]
        wait_until(lambda: fleet.held_jobs() > 0, "the process has begun")
        assert fleet.held_jobs() <= 4
        assert fleet.client.hlen(Keys(settings.namespace).waiting("interactive")) >= 8
        assert all(result.get(timeout=120)["complete"] for result in results)


def test_an_urgent_job_gets_into_a_process_that_is_full_of_bulk(start_fleet: StartFleet) -> None:
    fleet = start_fleet(1)
    with RerankClient(fleet.settings) as client:
        client.submit("which rooms?", passages(1_500), job_class="bulk")
        wait_until(lambda: fleet.held_jobs() == 1, "the process holds the bulk job")
        assert client.rerank("a", passages(3)).complete
        assert fleet.client.zcount(fleet.keys.backlog("bulk"), time.time(), "+inf") == 1


def test_what_runs_cost_outlives_the_processes(start_fleet: StartFleet) -> None:
    fleet = start_fleet(1)
    with RerankClient(fleet.settings) as client:
        assert client.rerank("a", passages(3)).complete
    cost = fleet.state().cost
    assert cost is not None
    assert cost.observations > 0
    fleet.stop()
    assert fleet.client.ttl(fleet.keys.cost(fleet.settings.model)) > 86_400
