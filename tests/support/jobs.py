"""Jobs put on the queue by hand, as a plain Celery caller or a broken one would."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from celery import Celery
from celery.result import AsyncResult

from rerank_producer import RerankClient, RerankResponse
from rerank_shared.contract import wire
from rerank_shared.contract.messages import Job
from rerank_shared.contract.token_ids import Content
from rerank_shared.keys import Keys
from rerank_shared.queue.celery_app import TASK_NAME, make_celery
from rerank_shared.settings import Settings

#: The published fp32 logits of cross-encoder/ms-marco-MiniLM-L-12-v2 for these two are 9.4506 and -11.1605.
BERLIN_QUERY = "How many people live in Berlin?"
BERLIN_DOCUMENTS = [
    "Berlin has a population of 3,520,031 registered inhabitants in an area of 891.82 square kilometers.",
    "New York City is famous for the Metropolitan Museum of Art.",
]


def make_job(settings: Settings, query: str, documents: Sequence[Content], **changes: Any) -> Job:
    """Return a job as a client would make it, due in a minute and a half."""
    now = time.time()
    fields: dict[str, Any] = {
        "job_id": uuid.uuid4().hex,
        "job_class": "interactive",
        "model": settings.model,
        "query": query,
        "documents": tuple(documents),
        "max_length": None,
        "enqueued_at": now,
        "deadline_at": now + 90,
    }
    return Job(**(fields | changes))


def send(app: Celery, settings: Settings, job: Job) -> AsyncResult:
    """Put a job on the queue with plain Celery."""
    return send_payload(app, settings, wire.encode_job(job), job.job_id)


def send_payload(
    app: Celery, settings: Settings, payload: Any, job_id: str | None = None, **options: Any
) -> AsyncResult:
    """Put any payload on the queue as the argument of our task."""
    queue = Keys(settings.namespace).queue("interactive")
    return app.send_task(TASK_NAME, args=(payload,), task_id=job_id or uuid.uuid4().hex, queue=queue, **options)


@contextmanager
def celery_of(settings: Settings) -> Iterator[Celery]:
    """Give a Celery app that can await results, as a foreign caller has; closes what Celery leaves to the collector."""
    app = make_celery(settings)
    try:
        yield app
    finally:
        app.backend.result_consumer.stop()
        app.backend.client.close()
        app.close()


def passages(count: int, words: int = 60, mark: str = "") -> list[str]:
    """Return texts of about `words` words that no other call returns, so that none is cached or shared."""
    mark = mark or uuid.uuid4().hex[:8]
    sentence = "the old house by the river has many rooms and in each of them somebody reads a book about far places"
    text = " ".join((sentence.split() * (1 + words // 20))[:words])
    return [f"passage {number} of {mark}: {text}" for number in range(count)]


def rerank_in_part(client: RerankClient, count: int, *, deadline_ms: int, words: int = 60) -> RerankResponse:
    """Ask for more passages than can be scored before the deadline, and return the answer that has some of them.

    A slow or busy machine scores none in a time in which a fast one scores all: the deadline doubles until one is.
    """
    for attempt in range(4):
        response = client.rerank("which rooms?", passages(count, words), deadline_ms=deadline_ms * 2**attempt)
        if any(result.scored for result in response.results):
            return response
    raise AssertionError(f"nothing is scored in {deadline_ms * 2**attempt / 1000:.0f} s")
