"""Collects the answer to a request that was submitted, in this process or another.

The request's text is not at hand here, so a job that the server has forgotten can't be sent again: that is told as soon
as it is seen. The broker still delivers a job again when its worker dies.
"""

from __future__ import annotations

from typing import Any

from rerank_producer import metrics
from rerank_producer._dispatch.hedging import Patience
from rerank_producer._dispatch.pipeline import incomplete
from rerank_producer._dispatch.wait import Awaited, LedgerEntry, Wait, forgotten, whereabouts
from rerank_producer._io.clock import Clock, Deadline
from rerank_producer._io.port import Port
from rerank_producer._request.merge import agree, combine
from rerank_producer._request.response import build_response, stage_timings
from rerank_producer.handles import JobState, JobStatus
from rerank_shared.contract import wire
from rerank_shared.contract.messages import Outcome, Submitted
from rerank_shared.contract.schemas import RerankResponse
from rerank_shared.errors import JobLost, RerankError
from rerank_shared.keys import Keys


async def collect(
    port: Port, keys: Keys, clock: Clock, job_id: str, timeout_ms: float | None, *, partial: bool
) -> RerankResponse:
    """Return the answer to a submitted request; see RerankClient.collect."""
    started = clock.monotonic()
    plan, record = await _read(port, keys, clock, job_id)
    with metrics.watched(plan.job_class) as watch:
        outcome, shortfall = None, None
        if plan.misses:
            outcome, shortfall = await _outcome(port, keys, clock, plan, record, timeout_ms)
        if shortfall is not None and not partial:
            raise shortfall
        if not agree([outcome], plan.artefact if plan.hits else None):
            raise JobLost(
                f"job {job_id}: the fleet's model changed while it waited, so what was cached does not belong with "
                "what was scored: submit the request again"
            )
        scored = combine(len(plan.misses), [range(len(plan.misses))], [outcome])
        timings = stage_timings(scored)
        timings.total_ms = (clock.monotonic() - started) * 1000
        response = build_response(plan, scored, timings=timings)
        if not (partial or response.complete):
            raise incomplete(plan, scored)
        watch.response = response
        return response


async def status(port: Port, keys: Keys, clock: Clock, job_id: str) -> JobStatus:
    """Return how a submitted request stands; see RerankClient.status."""
    plan, record = await _read(port, keys, clock, job_id)
    entry = _entry(keys, plan)
    if record is None and entry is not None and entry.missed(clock.epoch()):
        lost, record = await whereabouts(port, keys, job_id, entry)
        if lost:
            raise forgotten(job_id)
    return JobStatus(
        job_id=plan.job_id,
        state=_state(plan, record, clock.epoch()),
        job_class=plan.job_class,
        tenant=plan.tenant,
        submitted_at=plan.submitted_at,
        deadline_at=plan.deadline_at,
    )


def _state(plan: Submitted, record: bytes | None, now: float) -> JobState:
    if not plan.misses:
        return "done"
    if record is not None:
        return "failed" if isinstance(wire.decode_record(record)[1], RerankError) else "done"
    return "waiting" if now < plan.deadline_at else "late"


def _entry(keys: Keys, plan: Submitted) -> LedgerEntry | None:
    return LedgerEntry(keys.ledger(plan.job_class), plan.entry, plan.deadline_at) if plan.entry else None


async def _read(port: Port, keys: Keys, clock: Clock, job_id: str) -> tuple[Submitted, bytes | None]:
    def fill(pipe: Any) -> None:
        pipe.get(keys.request(job_id))
        pipe.get(keys.result(job_id))
        pipe.time()

    asked_at = clock.monotonic()
    request, record, time = await port.pipeline(fill)
    clock.synchronise(time, asked_at)
    if request is None:
        raise JobLost(
            f"no submitted request {job_id!r} is known: either it was not submitted to this namespace, or its answer "
            "was kept RERANK_RESULT_TTL_S after the deadline and is gone; submit it again"
        )
    return wire.decode_submitted(request), record


async def _outcome(
    port: Port, keys: Keys, clock: Clock, plan: Submitted, record: bytes | None, timeout_ms: float | None
) -> tuple[Outcome | None, RerankError | None]:
    if record is not None:
        answer = wire.decode_record(record)[1]
        if isinstance(answer, RerankError):
            raise answer
        return answer, None
    deadline = Deadline.at_epoch(plan.deadline_at, clock)
    if timeout_ms is not None and deadline.started + timeout_ms / 1000 < deadline.at:
        deadline = Deadline.after(timeout_ms / 1000, clock)
    waiters = await port.listen([plan.job_id], {plan.job_id: keys.result(plan.job_id)})
    try:
        patience = Patience(clock.monotonic(), deadline.at)
        # The record may have come between reading it and being subscribed.
        patience.line_restored(clock.monotonic())
        awaited = Awaited(waiters[0], patience, _entry(keys, plan))
        shortfall = await Wait(port, keys, clock, deadline, [awaited]).finish()
        return awaited.outcome, shortfall
    finally:
        port.forget(waiters)
