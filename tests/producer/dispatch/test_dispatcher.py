"""A request's jobs: sent together, waited for under one deadline, sent again where that helps, or taken back."""

from __future__ import annotations

import asyncio
import math
from itertools import chain

import pytest

from rerank_producer._dispatch.dispatcher import DispatchResult
from rerank_producer._io.port import drive
from rerank_producer.testing import InMemoryFleet
from rerank_shared.errors import DeadlineExceeded, DeadlineTooShort, Overloaded, QueueUnavailable, ScoringFailed
from rerank_shared.keys import Keys
from support.in_memory import Parts, until_sent

TWENTY = [f"document {number}" for number in range(20)]


def ask(
    parts: Parts,
    documents: list[str] = TWENTY,
    deadline_s: float = 30.0,
    *,
    partial: bool = True,
    count: int | None = None,
) -> DispatchResult:
    plan = parts.plan(documents, deadline_s)
    deadline = parts.deadline(deadline_s)
    return drive(parts.pipeline.dispatcher.dispatch(parts.port, plan, deadline, partial=partial, count=count))


def unanswered(fleet: InMemoryFleet) -> int:
    """Return how many jobs the server counts as not answered."""
    store = fleet._server.store
    backlogs = store.names(Keys(fleet.settings.namespace).backlog("interactive"))
    return sum(len(store.read(backlog)) for backlog in backlogs)


def test_shards_go_out_in_one_trip_to_as_many_processes_as_are_idle() -> None:
    parts = Parts(workers=3, pair_s=0.1)
    asked = ask(parts)
    assert parts.port.trips.count("enqueue") == 1
    assert sorted(chain.from_iterable(each.offsets for each in asked.shards)) == list(range(20))
    assert {outcome.worker for outcome in asked.outcomes if outcome} == {f"in-memory-{n}" for n in range(3)}
    assert asked.shortfall is None


def test_each_outcome_is_that_of_its_own_shard() -> None:
    asked = ask(Parts(workers=2, pair_s=0.1))
    for shard, outcome in zip(asked.shards, asked.outcomes, strict=True):
        assert outcome is not None
        assert (outcome.job_id, len(outcome.scores)) == (shard.job.job_id, len(shard.offsets))


def test_what_is_answered_is_forgotten_by_server_and_client() -> None:
    parts = Parts(workers=2, pair_s=0.1, inline_bytes=0)
    ask(parts)
    keys = parts.pipeline.keys
    assert (unanswered(parts.fleet), len(parts.port._pending)) == (0, 0)
    assert parts.fleet._server.store.names(keys.text("")) == []


def test_a_failed_request_leaves_no_waiter() -> None:
    parts = Parts()
    parts.fleet.fail_with(ScoringFailed("no"))
    with pytest.raises(ScoringFailed):
        ask(parts)
    assert len(parts.port._pending) == 0


def test_nothing_is_sent_once_the_deadline_has_passed() -> None:
    parts = Parts()
    with pytest.raises(DeadlineTooShort, match="5000 ms before"):
        ask(parts, deadline_s=-5.0)
    assert (parts.fleet.jobs, parts.port.trips) == ([], [])


def test_nothing_is_sent_that_could_not_be_answered_in_time() -> None:
    parts = Parts(pair_s=1.0, aging_s=0.001)
    with parts.fleet.client() as client:
        client.submit("before", TWENTY)
    with pytest.raises(Overloaded) as refused:
        ask(parts, deadline_s=2.0)
    assert len(parts.fleet.jobs) == 1
    assert refused.value.predicted_wait_ms == pytest.approx(20_000.0)


def test_what_was_scored_in_time_is_there_beside_the_shortfall() -> None:
    parts = Parts(pair_s=0.5)
    asked = ask(parts, deadline_s=2.1, count=1)
    assert asked.outcomes[0] is not None
    assert [score is not None for score in asked.outcomes[0].scores] == [True] * 4 + [False] * 16
    assert asked.shortfall is None


def test_silence_is_a_shortfall_at_the_deadline() -> None:
    parts = Parts()
    parts.fleet.be_late(math.inf)
    asked = ask(parts, deadline_s=3.0)
    assert asked.outcomes == [None]
    assert isinstance(asked.shortfall, DeadlineExceeded)
    assert parts.pipeline.clock.monotonic() == 3.0


def test_late_shards_are_sent_once_more_to_a_process_that_is_idle() -> None:
    parts = Parts(workers=3, pair_s=0.1)
    parts.fleet.be_late(20.0)
    parts.fleet.after(0.5, lambda: parts.fleet.be_late(0.0))
    asked = ask(parts, count=2)
    assert [outcome and outcome.worker for outcome in asked.outcomes] == ["in-memory-2"] * 2
    assert sorted(job.attempt for job in parts.fleet.jobs) == [1, 1, 2, 2]
    assert parts.pipeline.clock.monotonic() < 20.0


def test_late_shards_are_not_sent_again_where_nobody_is_idle() -> None:
    parts = Parts(workers=1, pair_s=0.1)
    parts.fleet.be_late(20.0)
    with parts.fleet.client() as client:
        client.submit("before", ["x"], deadline_ms=60_000)
    parts.fleet.after(3.0, lambda: parts.fleet.be_late(0.0))
    assert ask(parts, ["x"]).shortfall is None
    assert [job.attempt for job in parts.fleet.jobs] == [1, 1]


def test_a_job_that_the_server_forgot_is_sent_again_as_the_same_job() -> None:
    parts = Parts()
    parts.fleet.be_late(1.0)
    parts.fleet.after(0.2, parts.fleet.forget_jobs)
    asked = ask(parts)
    first, second = parts.fleet.jobs
    assert (first.job_id, first.attempt + 1) == (second.job_id, second.attempt)
    assert asked.outcomes[0] is not None


def test_a_text_that_the_server_lost_is_sent_again_inside_the_job() -> None:
    parts = Parts(inline_bytes=0)
    parts.fleet.be_late(1.0)
    server, text = parts.fleet._server, parts.pipeline.keys.text("")
    parts.fleet.after(0.2, lambda: server.store.end(*server.store.names(text)))
    texts: list[int] = []
    parts.fleet.after(1.5, lambda: texts.append(len(server.store.names(text))))
    asked = ask(parts)
    assert asked.outcomes[0] is not None
    assert asked.outcomes[0].complete
    assert [job.documents for job in parts.fleet.jobs] == [tuple(TWENTY)] * 2
    assert texts == [0]


def test_an_outage_is_waited_out() -> None:
    parts = Parts(pair_s=0.1)
    parts.fleet.after(0.2, parts.fleet.go_away)
    parts.fleet.after(5.0, parts.fleet.come_back)
    asked = ask(parts)
    assert asked.shortfall is None
    assert parts.pipeline.clock.monotonic() == pytest.approx(7.0)


def test_an_outage_that_lasts_is_told_at_the_deadline() -> None:
    parts = Parts(pair_s=0.1)
    parts.fleet.after(0.2, lambda: parts.fleet.go_away("loading"))
    asked = ask(parts, deadline_s=4.0)
    assert isinstance(asked.shortfall, QueueUnavailable)
    assert (asked.shortfall.reason, parts.pipeline.clock.monotonic()) == ("loading", 4.0)


async def test_a_cancelled_request_takes_its_jobs_back() -> None:
    parts = Parts(pair_s=0.1, inline_bytes=0)
    fleet, port = parts.fleet, parts.async_port
    plan, deadline = parts.plan(TWENTY, 30.0), parts.deadline(30.0)
    task = asyncio.create_task(parts.pipeline.dispatcher.dispatch(port, plan, deadline, partial=True))
    await until_sent(fleet)
    assert unanswered(fleet) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (unanswered(fleet), len(port._pending)) == (0, 0)
    assert fleet._server.store.names(parts.pipeline.keys.text("")) == []


def test_two_asks_are_one_with_the_places_of_the_second_behind() -> None:
    parts = Parts()
    both = ask(parts, ["a", "b"]).then(ask(parts, ["c"]), 2)
    assert [each.offsets for each in both.shards] == [(0, 1), (2,)]
    assert [outcome and len(outcome.scores) for outcome in both.outcomes] == [2, 1]


def test_a_late_job_of_a_pool_that_is_gone_is_sent_to_the_one_that_serves_its_model_now() -> None:
    """As where the last workers of this release stop and those of an earlier one go on: nobody takes the job over."""
    parts = Parts(workers=2, pair_s=1.0)
    old = parts.pool
    parts.fleet.be_late(math.inf)

    def go_over() -> None:
        parts.fleet.be_late(0.0)
        parts.fleet.serve(parts.model, lambda query, document: 0.0)

    parts.fleet.after(0.5, go_over)
    asked = ask(parts, deadline_s=120.0, count=1)
    assert asked.shortfall is None
    assert [outcome and outcome.identity for outcome in asked.outcomes] == [parts.pool.identity]
    assert parts.port.pools == [old.id, parts.pool.id]
    assert old.id != parts.pool.id
    assert unanswered(parts.fleet) == 0
