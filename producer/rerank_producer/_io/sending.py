"""Sends jobs, each in a span `send {queue}` whose context travels with it.

The spans are not the current one: several jobs go in one round trip.
"""

from __future__ import annotations

from collections.abc import Sequence

from rerank_producer._io.enqueue import Enqueue
from rerank_producer._io.port import Port
from rerank_shared.contract import wire
from rerank_shared.contract.messages import Job
from rerank_shared.keys import Keys
from rerank_shared.queue.job_queue import StoredValue
from rerank_shared.tracing.messaging import attributes_of, request_id_of, span_name
from rerank_shared.tracing.spans import Carrier, Span, error_code, start_span, tracer


async def send(
    port: Port,
    keys: Keys,
    jobs: Sequence[Job],
    reply_to: str | None,
    values: Sequence[StoredValue] = (),
    forgotten: Sequence[str] = (),
    *,
    after: Sequence[Carrier] = (),
) -> Sequence[Carrier]:
    """Put jobs on the queue, all or none; see Enqueue. Return the context of each, nothing where there is no trace.

    `after` are the contexts in which earlier attempts of these jobs were sent.
    """
    if tracer() is None:
        await port.enqueue(Enqueue(jobs, reply_to, values, forgotten))
        return ()
    spans = [_start(keys, job, after) for job in jobs]
    try:
        carriers = [span.carrier for span in spans]
        await port.enqueue(Enqueue(jobs, reply_to, values, forgotten, carriers))
        return carriers
    except BaseException as error:
        for span in spans:
            span.fail(error_code(error))
        raise
    finally:
        for span in spans:
            span.end()


def _start(keys: Keys, job: Job, after: Sequence[Carrier]) -> Span:
    queue = keys.of(job.pool).queue_list(job.job_class)
    span = start_span(span_name("send", queue), "PRODUCER", links=after)
    if span.recording:
        ids = {"message__id": job.job_id, "message__conversation_id": request_id_of(job.job_id)}
        span.set(attributes_of("send", queue, **ids, message__body__size=len(wire.encode_job(job))))
        span.set({"rerank.attempt": job.attempt, "rerank.pairs": job.pairs, "rerank.tokens.estimated": job.tokens})
    return span
