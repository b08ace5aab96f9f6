"""The span of a batch: a trace of its own, with a link to each job, since its jobs are of many traces.

A job's span links the batch in turn. A batch without a job that is recorded has no span.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rerank_shared.keys import JobClass
from rerank_shared.tracing.messaging import attributes_of, span_name
from rerank_shared.tracing.spans import start_span
from rerank_worker.batching.batcher import WaitingPair
from rerank_worker.batching.pending_job import PendingJob


@contextmanager
def batch_span(
    jobs: Sequence[PendingJob], pairs: Sequence[WaitingPair], queue_of: Callable[[JobClass], str]
) -> Iterator[None]:
    """Record that these pairs of these jobs run together inside the block; `queue_of` names the queue of a class."""
    recorded = [job for job in jobs if job.span.recording]
    if not recorded:
        yield
        return
    queues = {queue_of(pair.job_class) for pair in pairs}
    queue = queues.pop() if len(queues) == 1 else None
    span = start_span(
        span_name("process", queue),
        "CONSUMER",
        attributes_of("process", queue, batch__message_count=len(jobs)),
        links=[job.span.carrier for job in recorded],
        root=True,
    )
    span.set({"rerank.pairs": len(pairs), "rerank.tokens": sum(pair.tokens for pair in pairs)})
    for job in recorded:
        job.span.link(span)
    try:
        yield
    finally:
        span.end()
