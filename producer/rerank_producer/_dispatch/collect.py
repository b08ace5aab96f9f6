"""Collects the response to a submitted request, in the process that submitted it or in another one.

The request's text is not at hand here, so a job that the server has lost can't be sent again: collecting raises JobLost
as soon as it sees that. The queue still delivers a job again when its worker dies.
"""

from __future__ import annotations

import math
from typing import Any

from rerank_producer import metrics
from rerank_producer._dispatch.failover import Failover
from rerank_producer._dispatch.hedging import HedgePolicy
from rerank_producer._dispatch.learned_deviations import LearnedDeviations
from rerank_producer._dispatch.pipeline import incomplete
from rerank_producer._dispatch.routes.errors import naming_route
from rerank_producer._dispatch.served_models import count_processes
from rerank_producer._dispatch.wait import BacklogMember, InflightShard, Wait, locate, lost_job
from rerank_producer._io.clock import Clock, Deadline
from rerank_producer._io.port import Port
from rerank_producer._request.merge import agree, combine
from rerank_producer._request.ranking import ranking_of
from rerank_producer._request.response import build_response, stage_timings
from rerank_producer.handles import JobState, JobStatus
from rerank_shared.contract import wire
from rerank_shared.contract.messages import Outcome, StoredRequest
from rerank_shared.contract.schemas import RerankResponse
from rerank_shared.errors import JobLost, RerankError
from rerank_shared.keys import Keys
from rerank_shared.tracing.spans import spanning


async def collect(
    port: Port,
    keys: Keys,
    failover: Failover,
    learned: LearnedDeviations,
    job_id: str,
    timeout_ms: float | None,
    *,
    partial: bool,
    swap_share: float = 0.0,
) -> RerankResponse:
    """Return the response to a submitted request; see RerankClient.collect."""
    clock = failover.clock
    limit = Deadline.after(math.inf if timeout_ms is None else timeout_ms / 1000, clock)
    stored, record = await _read(port, keys, failover, job_id, limit)
    asked = {"openinference.span.kind": "RERANKER", "reranker.model_name": stored.model}
    about = asked | {"messaging.message.conversation_id": job_id}
    with spanning("collect", attributes=about) as span, metrics.watched(stored.job_class) as watch:
        outcome, shortfall = None, None
        with naming_route(stored.route, stored.route_version, stored.model):
            if stored.misses:
                outcome, shortfall = await _outcome(port, keys, clock, stored, record, limit)
            if shortfall is not None and not partial:
                raise shortfall
        if not agree([outcome], stored.identity if stored.hits else None):
            raise JobLost(
                f"job {job_id}: the fleet's model changed while it waited, so what was cached does not belong with "
                "what was scored: submit the request again"
            )
        scored = combine(len(stored.misses), [range(len(stored.misses))], [outcome])
        timings = stage_timings(scored)
        timings.total_ms = (clock.monotonic() - limit.started) * 1000
        ranking = ranking_of(stored, scored)
        learned.teach(ranking)
        response = build_response(stored, scored, ranking, timings=timings, swap_share=swap_share)
        if not (partial or response.complete):
            raise incomplete(stored, scored)
        metrics.observe_fusion(response)
        span.set({"rerank.complete": response.complete, "rerank.documents": len(stored.ids)})
        watch.response = response
        return response


async def status(port: Port, keys: Keys, failover: Failover, job_id: str) -> JobStatus:
    """Return the status of a submitted request; see RerankClient.status."""
    clock = failover.clock
    stored, record = await _read(port, keys, failover, job_id, Deadline.after(math.inf, clock))
    member = _member(keys, stored)
    if record is None and member is not None and member.missed(clock.epoch()):
        lost, record = await locate(port, keys, job_id, member)
        if lost:
            raise lost_job(job_id)
    return JobStatus(
        job_id=stored.job_id,
        state=_state(stored, record, clock.epoch()),
        job_class=stored.job_class,
        tenant=stored.tenant,
        submitted_at=stored.submitted_at,
        deadline_at=stored.deadline_at,
    )


def _state(stored: StoredRequest, record: bytes | None, now: float) -> JobState:
    if not stored.misses:
        return "done"
    if record is not None:
        return "failed" if isinstance(wire.decode_record(record)[1], RerankError) else "done"
    return "waiting" if now < stored.deadline_at else "late"


def _member(keys: Keys, stored: StoredRequest) -> BacklogMember | None:
    if not stored.entry:
        return None
    return BacklogMember(keys.of(stored.pool).backlog(stored.job_class), stored.entry, stored.deadline_at)


async def _read(
    port: Port, keys: Keys, failover: Failover, job_id: str, limit: Deadline
) -> tuple[StoredRequest, bytes | None]:
    def fill(pipe: Any) -> None:
        pipe.get(keys.request(job_id))
        pipe.get(keys.result(job_id))
        pipe.time()

    async def ask() -> tuple[bytes | None, bytes | None]:
        asked_at = failover.clock.monotonic()
        request, record, time = await port.pipeline(fill)
        failover.clock.synchronise(time, asked_at)
        return request, record

    request, record = await failover.through(port, limit, ask)
    if request is None:
        raise JobLost(
            f"no submitted request {job_id!r} is known: either it was not submitted to this namespace, or its answer "
            "was kept RERANK_RESULT_TTL_S after the deadline and is gone; submit it again"
        )
    return wire.decode_stored_request(request), record


async def _outcome(
    port: Port, keys: Keys, clock: Clock, stored: StoredRequest, record: bytes | None, limit: Deadline
) -> tuple[Outcome | None, RerankError | None]:
    if record is not None:
        answer = wire.decode_record(record)[1]
        if isinstance(answer, RerankError):
            raise answer
        return answer, None
    deadline = Deadline.at_epoch(stored.deadline_at, clock)
    if limit.at < deadline.at:
        deadline = limit
    waiters = await port.listen([stored.job_id], {stored.job_id: keys.result(stored.job_id)})
    try:
        policy = HedgePolicy(clock.monotonic(), deadline.at)
        # The record may have come between reading it and being subscribed.
        policy.reconnected(clock.monotonic())
        inflight = InflightShard(waiters[0], policy, _member(keys, stored))
        model, own = stored.model, keys.of(stored.pool)
        wait = Wait(
            port,
            own,
            clock,
            deadline,
            [inflight],
            model,
            alive=lambda: count_processes(port, own, model, clock.epoch()),
        )
        shortfall = await wait.finish()
        return inflight.outcome, shortfall
    finally:
        port.forget(waiters)
