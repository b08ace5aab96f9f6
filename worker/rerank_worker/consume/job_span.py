"""The span of a job in a worker: `process {queue}`, a child of the span in which the job was sent."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from celery.exceptions import Ignore, Reject

from rerank_shared.contract.messages import DeadLetter, Job, Outcome
from rerank_shared.errors import JobPoisoned
from rerank_shared.keys import Keys
from rerank_shared.queue.dead_letters import headers_of
from rerank_shared.tracing.messaging import attributes_of, carrier_in, request_id_of, span_name
from rerank_shared.tracing.spans import Attributes, Span, spanning, start_span, tracer


def processing(keys: Keys, job: Job, request: Any) -> AbstractContextManager[Span]:
    """Return the span of a job; `request` is Celery's, which has the headers of the message.

    A job that goes back, or needs no answer, has not failed.
    """
    if tracer() is None:
        return spanning("")
    queue = keys.of(job.pool).queue_list(job.job_class)
    return spanning(
        span_name("process", queue),
        "CONSUMER",
        {**attributes_of("process", queue, **_ids(job.job_id)), **_delivery(job, request)},
        parent=carrier_in(vars(request)),
        expected=(Ignore, Reject),
    )


def tell_stages(span: Span, outcome: Outcome, ends: Mapping[str, float], arrived: float) -> None:
    """Put the stages of an answered job into its span, each as a child from the end of the one before.

    `ends` are seconds of the clock of `arrived`; the last one is now. The queue is before the span, so its time is an
    attribute.
    """
    if not span.recording:
        return
    span.stages(arrived, ends)
    scored = sum(score is not None for score in outcome.scores)
    span.set({
        "rerank.outcome": "complete" if outcome.complete else "partial",
        "rerank.queue_ms": outcome.stages.queue_ms,
        "rerank.pairs.scored": scored,
        "rerank.worker": outcome.worker,
    })  # fmt: skip


def _ids(job_id: str) -> dict[str, str]:
    return {"message__id": job_id, "message__conversation_id": request_id_of(job_id)}


def _delivery(job: Job, request: Any) -> Attributes:
    again = bool((request.delivery_info or {}).get("redelivered"))
    return {"rerank.attempt": job.attempt, "rerank.redelivered": again, "rerank.pairs": job.pairs}


def tell_set_aside(keys: Keys, letter: DeadLetter) -> None:
    """Record that a job was set aside, in the trace in which it was sent."""
    if tracer() is None:
        return
    queue = f"{keys.prefix}{letter.queue}"
    about = attributes_of("settle", queue, **_ids(letter.job_id))
    span = start_span(span_name("settle", queue), "CLIENT", about, parent=carrier_in(headers_of(letter)), root=True)
    span.set({"rerank.outcome": "set aside", "rerank.deaths": letter.deaths})
    span.fail(JobPoisoned.code)
    span.end()
