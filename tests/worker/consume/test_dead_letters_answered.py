"""A job that was set aside is answered: its caller is told, and it counts as work no longer."""

from __future__ import annotations

import json
import time

import pytest

from rerank_shared.contract.messages import DeadLetter
from rerank_shared.contract.wire import decode_record
from rerank_shared.errors import JobPoisoned
from rerank_shared.keys import Keys
from rerank_shared.queue.backlog import backlog_member
from rerank_shared.queue.celery_app import make_celery
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings
from rerank_worker import metrics
from rerank_worker.consume.dead_letters import answer_dead_letter
from support.jobs import celery_of, make_job, send

pytestmark = pytest.mark.integration


def test_its_caller_is_told_and_its_work_forgotten(settings: Settings) -> None:
    keys, job = Keys(settings.namespace), make_job(settings, "q", ["d"], tokens=7)
    with celery_of(settings) as app, connect(settings) as client:
        client.zadd(keys.backlog("interactive"), {backlog_member(job): job.deadline_at})
        result = send(app, settings, job)
        (message,) = client.hvals(keys.waiting("interactive"))
        letter = DeadLetter(
            job.job_id, "jobs.interactive", message.partition(b"|")[2].decode(), 3, "worker-1", time.time()
        )
        with make_celery(settings) as worker:
            answer_dead_letter(worker, keys, letter)
        record = client.get(keys.result(job.job_id))
        job_id, outcome = decode_record(record)
        assert job_id == job.job_id
        assert type(outcome) is JobPoisoned
        assert "3 workers that took it died or fell silent, worker-1 last" in outcome.message
        assert client.zcard(keys.backlog("interactive")) == 0
        with pytest.raises(Exception, match="set aside"):
            result.get(timeout=10)


def test_one_that_can_t_be_opened_is_answered_all_the_same(settings: Settings) -> None:
    keys = Keys(settings.namespace)
    envelope = {"body": "!", "content-type": "application/x-msgpack", "content-encoding": "binary"}
    letter = DeadLetter("broken", "jobs.interactive", json.dumps(envelope), 3, "worker-1", time.time())
    with make_celery(settings) as app, connect(settings) as client:
        answer_dead_letter(app, keys, letter)
        _, outcome = decode_record(client.get(keys.result("broken")))
    assert type(outcome) is JobPoisoned


def test_its_caller_is_told_before_it_is_counted(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise MemoryError

    monkeypatch.setattr(metrics.JOBS_POISONED, "inc", fail)
    keys = Keys(settings.namespace)
    letter = DeadLetter("counted", "jobs.interactive", json.dumps({"body": "!"}), 3, "worker-1", time.time())
    with make_celery(settings) as app, connect(settings) as client:
        with pytest.raises(MemoryError):
            answer_dead_letter(app, keys, letter)
        assert client.get(keys.result("counted")) is not None
