"""A job's message as it lies on the queue, beside the one that Celery would have sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from celery.result import AsyncResult

from producer.conftest import Echo
from producer.echo_worker import logit
from rerank_producer._io.blocking import BlockingPort
from rerank_producer._io.enqueue import Enqueue
from rerank_producer._io.envelope import seal
from rerank_producer._io.port import drive
from rerank_shared.contract import wire
from rerank_shared.keys import Keys
from rerank_shared.queue.celery_app import TASK_NAME, make_celery
from rerank_shared.queue.urgency_headers import read_urgency, urgency_of
from rerank_shared.settings import Settings
from support.jobs import celery_of, make_job
from support.queue.queueing import queueing

pytestmark = pytest.mark.integration


def test_it_is_the_message_that_celery_sends(settings: Settings) -> None:
    job = make_job(settings, "q", ["d", "e"], tenant="acme", tokens=7, due_at=5.0)
    with queueing(settings) as queue:
        app = make_celery(settings, results=False)
        app.send_task(
            TASK_NAME,
            args=(wire.encode_job(job),),
            task_id=job.job_id,
            queue=queue.keys.queue(job.job_class),
            reply_to="somebody",
            headers={"due_at": job.due_at, "tokens": job.tokens, "tenant": job.tenant},
            argsrepr="(job,)",
            kwargsrepr="{}",
        )
        waiting: dict[Any, Any] = queue.client.hgetall(queue.keys.waiting("interactive"))
        ((tag, sent),) = waiting.items()
        assert json.loads(seal(queue.keys, job, tag.decode(), "somebody")) == json.loads(sent.partition(b"|")[2])
        app.close()


def test_it_says_where_the_job_stands(settings: Settings) -> None:
    job = make_job(settings, "q", ["d"], tenant="acme", tokens=7, due_at=5.0)
    headers: dict[str, Any] = json.loads(seal(Keys(settings.namespace), job, "tag", None))["headers"]
    assert read_urgency(headers, 0.0) == urgency_of(job)


def test_celery_s_own_tools_know_the_job(echo: Echo) -> None:
    """`AsyncResult` of a plain Celery app, by the job's id."""
    job = make_job(echo.settings, "q", ["any text"])
    with celery_of(echo.settings) as app:
        result = AsyncResult(job.job_id, app=app)
        port = BlockingPort(echo.settings)
        drive(port.enqueue(Enqueue([job], None)))
        assert result.get(timeout=30)["logits"] == [logit("q", "any text")]
        assert result.state == "SUCCESS"
        port.close()
