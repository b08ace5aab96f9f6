"""A job that is delivered twice is answered twice and run once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conftest import StartFleet
from rerank_shared.settings import Settings
from support.jobs import celery_of, make_job, passages, send
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults]


def test_second_delivery_of_an_answered_job_gets_the_same_record(start_fleet: StartFleet, settings: Settings) -> None:
    fleet = start_fleet()
    with celery_of(settings) as app:
        job = make_job(settings, "which rooms?", passages(3))
        first = send(app, settings, job).get(timeout=20)
        listener = fleet.client.pubsub(ignore_subscribe_messages=True)
        listener.subscribe(fleet.keys.result(job.job_id))
        send(app, settings, replace(job, attempt=2))
        message = wait_until(lambda: listener.get_message(timeout=0.1), "the record is announced again")
        listener.close()
    record = fleet.client.get(fleet.keys.result(job.job_id))
    assert message["data"] == record
    assert app.backend.decode(record)["result"] == first
    wait_until(lambda: fleet.client.hlen(fleet.keys.unacked) == 0, "the second message is acknowledged")


def test_two_deliveries_at_once_give_one_set_of_scores(start_fleet: StartFleet, settings: Settings) -> None:
    fleet = start_fleet()
    with celery_of(settings) as app:
        job = make_job(settings, "which rooms?", passages(40))
        results = [send(app, settings, replace(job, attempt=attempt)) for attempt in (1, 2)]
        answers = [result.get(timeout=30) for result in results]
    assert answers[0]["logits"] == answers[1]["logits"]
    assert answers[0]["complete"]
    wait_until(lambda: fleet.client.hlen(fleet.keys.unacked) == 0, "both messages are acknowledged")
    assert fleet.client.zcard(fleet.keys.backlog("interactive")) == 0
