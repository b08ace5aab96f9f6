"""The Celery task `rerank.score`: takes bytes and returns plain data.

It handles Celery's life-cycle only: acknowledge, requeue, revoke. JobHandler.answer does the work.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

from celery import Celery
from celery.exceptions import Ignore, Reject
from celery.signals import task_revoked

from rerank_shared.cache import ScoreWrites
from rerank_shared.contract import wire
from rerank_shared.contract.messages import Job, Outcome, Score
from rerank_shared.errors import JobRevoked, RerankError
from rerank_shared.keys import pool_of_queue
from rerank_shared.queue.backend import Completion
from rerank_shared.queue.celery_app import TASK_NAME
from rerank_shared.redis.connections import OUTAGES_AND_REFUSALS
from rerank_shared.redis.outage import outage_of
from rerank_shared.settings import Settings
from rerank_shared.tracing.spans import current_span
from rerank_worker import metrics
from rerank_worker.consume.handler import Abandoned, Drained, JobHandler
from rerank_worker.consume.job_span import processing
from rerank_worker.consume.leases import Leases
from rerank_worker.consume.strays import Strays

#: Holds the message with this delivery tag; yields a function to call once its pairs are in the batcher.
Inside = Callable[[str | None], AbstractContextManager[Callable[[], None]]]

_REFUSED_PAUSE_S = 0.5
#: Celery spells out each result for its log and its events, with all scores unless it is told when to stop.
_REPR_CHARS = 64


def register(
    app: Celery,
    handler: JobHandler,
    leases: Leases,
    inside: Inside,
    settings: Settings,
    strays: Strays,
    on_settled: Callable[[str], None] = lambda tag: None,
) -> None:
    """Add the task `rerank.score` to `app`, answering with `handler` what `strays` does not move elsewhere.

    `on_settled` gets the delivery tag of each message that was acknowledged together with its job's outcome.
    """

    # `throws`: a RerankError is an answer to the caller, not a fault of the worker, so it is logged without a trace.
    @app.task(bind=True, name=TASK_NAME, throws=(RerankError,), shared=False, resultrepr_maxsize=_REPR_CHARS)
    def score(self: Any, payload: bytes) -> dict[str, Any]:
        tag = self.request.properties.get("delivery_tag")
        with leases.held(tag), inside(tag) as waits:
            job = wire.decode_job(payload)
            with processing(handler.keys, job, self.request):
                return settled(self.request, job, waits)

    def settled(request: Any, job: Job, on_waiting: Callable[[], None]) -> dict[str, Any]:
        """Return the job's outcome. Raises what tells Celery to settle the job in another way."""
        try:
            if filed(request, job):
                current_span().set({"rerank.outcome": "filed elsewhere"})
                raise Ignore
            return _answer(request, job, on_waiting)
        except Drained:
            current_span().set({"rerank.outcome": "given back"})
            told = f"job {job.job_id} goes back: this worker is stopping, or has unloaded its model"
            raise Reject(told, requeue=True) from None
        except OUTAGES_AND_REFUSALS as error:
            # Without a pause, a server that keeps refusing would make the job come and go in a tight loop.
            time.sleep(_REFUSED_PAUSE_S)
            current_span().set({"rerank.outcome": "given back"})
            raise Reject(f"job {job.job_id} goes back: Redis {outage_of(error).says}", requeue=True) from None
        except RerankError as error:
            metrics.JOBS.labels(job.job_class, error.code).inc()
            raise

    def filed(request: Any, job: Job) -> bool:
        tag = request.properties.get("delivery_tag")
        if tag is None or not strays.filed(job, _queue_of(request), tag):
            return False
        metrics.JOBS_FILED.labels(job.job_class).inc()
        on_settled(tag)
        return True

    def completion_of(job: Job, tag: str | None, scores: dict[bytes, Score] | None = None) -> Completion:
        writes = ScoreWrites(scores, settings.cache_ttl_s) if scores and settings.cache else None
        return Completion.of(handler.keys, job, writes=writes, tag=tag, on_settled=on_settled)

    # Celery drops a job that was revoked before a thread took it, without calling the task.
    @task_revoked.connect(sender=score, weak=False)
    def dropped(request: Any, **_: Any) -> None:
        with suppress(*OUTAGES_AND_REFUSALS, RerankError):
            job = wire.decode_job(request.args[0])
            metrics.JOBS.labels(job.job_class, JobRevoked.code).inc()
            metrics.JOBS_DROPPED.labels("revoked").inc()
            completion_of(job, None).run(handler.client)

    def _answer(request: Any, job: Job, on_waiting: Callable[[], None]) -> dict[str, Any]:
        reply_to = request.reply_to if handler.keys.is_reply(request.reply_to) else None
        tag = request.properties.get("delivery_tag")
        request.completion = completion_of(job, tag)
        if _is_again(request, job):
            answered = _announce_again(handler, reply_to, job.job_id)
            metrics.JOBS_AGAIN.labels(job.job_class, "answered_before" if answered else "run").inc()
            if answered:
                request.completion.run(handler.client)
                current_span().set({"rerank.outcome": "answered before"})
                raise Ignore
        try:
            answer = handler.answer(job, reply_to, on_waiting, pool=pool_of_queue(_queue_of(request)))
        except Abandoned:
            request.completion.run(handler.client)
            metrics.JOBS.labels(job.job_class, "abandoned").inc()
            current_span().set({"rerank.outcome": "abandoned"})
            raise Ignore from None
        request.completion = completion_of(job, tag, answer.scores)
        _count(job, answer.outcome)
        return wire.outcome_to_plain(answer.outcome)


def _queue_of(request: Any) -> str:
    return str((request.delivery_info or {}).get("routing_key"))


def _is_again(request: Any, job: Job) -> bool:
    return job.attempt > 1 or bool((request.delivery_info or {}).get("redelivered"))


def _announce_again(handler: JobHandler, reply_to: str | None, job_id: str) -> bool:
    """Publish the record of another delivery of this job, if there is one: running the job again would be a waste.

    Return whether there was a record.
    """
    record: Any = handler.client.get(handler.keys.result(job_id))
    if record is None:
        return False
    for channel in filter(None, (reply_to, handler.keys.result(job_id))):
        handler.client.publish(channel, record)
    return True


def _count(job: Job, outcome: Outcome) -> None:
    metrics.JOBS.labels(job.job_class, "complete" if outcome.complete else "partial").inc()
    for stage in ("queue", "tokenize", "batch", "run"):
        seconds = getattr(outcome.stages, f"{stage}_ms") / 1000
        metrics.STAGE_SECONDS.labels(stage, job.job_class).observe(seconds)
