"""Which requests are handed to shadows, what their callers see of that, and what a shadow is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from rerank_producer import RerankResponse
from rerank_producer._dispatch.fleet_load import FleetLoad
from rerank_producer._dispatch.shadow.asking import ShadowAnswer, ShadowRequests
from rerank_producer._dispatch.shadow.comparison import compare, worst_query
from rerank_producer._dispatch.shadow.dropping import Dropped, drop_of, refuse_load
from rerank_producer._dispatch.stages.shadowed import Sampled
from rerank_producer._io.port import drive
from rerank_producer.fusion import FirstStage
from rerank_shared.errors import (
    DeadlineTooShort,
    InternalError,
    JobLost,
    Overloaded,
    QueueUnavailable,
    RerankError,
    ScoringFailed,
    UnknownModel,
)
from rerank_shared.queue.backlog import DueJobs
from rerank_shared.scheduling.cost import CostParameters, Work
from support.in_memory import OPTIONS, Parts

DOCUMENTS: list[Any] = ["1", "20", "3", "4"]


@pytest.fixture
def parts() -> Parts:
    """A fleet of two models, one the shadow of the other."""
    parts = Parts()
    parts.fleet.serve("live", lambda query, document: float(document) / 10)
    parts.fleet.serve("new", lambda query, document: -float(document) / 10)
    route(parts)
    return parts


@pytest.fixture
def handed(parts: Parts) -> list[Sampled]:
    found: list[Sampled] = []
    parts.pipeline.on_sampled = found.append
    return found


def route(parts: Parts, **fields: Any) -> None:
    parts.fleet.route("search", {"live": 1.0}, **({"shadow": {"new": 1}} | fields))
    # Longer than a client remembers the route.
    parts.fleet.advance(10)


def rerank(parts: Parts, documents: list[Any] = DOCUMENTS, **options: Any) -> RerankResponse:
    given = FirstStage(documents)
    asked = OPTIONS | {"model": "search"} | options
    return drive(parts.pipeline.rerank(parts.port, "q", given, asked, partial=True))


def test_an_answer_and_its_round_trips_are_those_without_a_shadow(parts: Parts, handed: list[Sampled]) -> None:
    rerank(parts, ["9"])
    parts.port.trips.clear()
    shadowed = rerank(parts, top_n=2)
    trips = parts.port.trips.copy()
    parts.fleet.clear_cache()
    route(parts, shadow={})
    rerank(parts, ["9"])
    parts.port.trips.clear()
    plain = rerank(parts, top_n=2)
    hidden = {"id", "route_version"}
    assert shadowed.model_dump(exclude=hidden) == plain.model_dump(exclude=hidden)
    assert parts.port.trips == trips == ["lookup", "enqueue"]
    (sampled,) = handed
    assert (sampled.live, sampled.shadow, sampled.route.name) == ("live", "new", "search")
    # All scores, though the caller asked for two.
    assert [score.logit for score in sampled.ranking.scores if score] == pytest.approx([0.1, 2.0, 0.3, 0.4])


def test_what_is_not_sampled_is_not_handed_on(parts: Parts, handed: list[Sampled]) -> None:
    rerank(parts, model="live")
    rerank(parts, job_class="bulk")
    rerank(parts, stages=[{"model": "live"}, {"model": "new"}], model=None)
    rerank(parts, ["7"])
    rerank(parts, [])
    given = FirstStage(DOCUMENTS)
    drive(parts.pipeline.submit(parts.port, "q", given, OPTIONS | {"model": "search"}))
    route(parts, stages=[{"model": "live"}, {"model": "new"}])
    rerank(parts)
    route(parts, shadow={"live": 1})
    rerank(parts)
    assert handed == []


def test_a_failed_request_is_not_handed_on_and_of_a_partial_one_what_was_scored(
    parts: Parts, handed: list[Sampled]
) -> None:
    with pytest.raises(ScoringFailed):
        rerank(parts, ["1", "no number"])
    assert handed == []
    rerank(parts, ["1", "2"])
    parts.fleet.workers = 0
    answer = rerank(parts, ["1", "2", "5", "6"], deadline_ms=50)
    assert not answer.complete
    parts.fleet.workers = 1
    found = ask(parts, handed[-1])
    assert (found.documents, len(found.ranking.scores)) == ([0, 1], 2)


def ask(parts: Parts, sampled: Sampled) -> ShadowAnswer:
    return drive(ShadowRequests(parts.pipeline.lookup, parts.pipeline.clock).ask(parts.port, sampled))


def test_a_shadow_gets_the_same_pairs_as_one_job_of_class_bulk(parts: Parts, handed: list[Sampled]) -> None:
    parts.fleet.workers = 8
    documents = [{"text": str(number), "id": f"d{number}", "score": 1.0} for number in range(200)]
    answer = rerank(parts, documents, tenant="shop", cache_scope="tenant", top_n=3, fusion="zscore")
    count = len(parts.fleet.jobs)
    found = ask(parts, handed[0])
    (job,) = parts.fleet.jobs[count:]
    assert (job.model, job.job_class, len(job.documents), job.tenant) == ("new", "bulk", 200, "shop")
    assert answer.fusion is not None
    agreed = compare(handed[0], found).agreement
    assert (agreed.overlap, agreed.order) == (0.0, 0.0)
    assert agreed.spearman == pytest.approx(-1.0)
    # The next time its cache has all.
    ask(parts, handed[0])
    assert len(parts.fleet.jobs) == count + 1


def test_texts_are_cut_and_kept_only_where_that_is_asked_for(parts: Parts, handed: list[Sampled]) -> None:
    parts.fleet.serve("live", lambda query, document: float(len(document)))
    parts.fleet.serve("new", lambda query, document: -float(len(document)))
    rerank(parts, ["short", {"text": "long " * 300}])
    found = ask(parts, handed[0])
    agreed = compare(handed[0], found).agreement
    bare = worst_query(handed[0], found, agreed, 1.0, with_texts=False)
    assert (bare.query, bare.live_first, bare.shadow_first, len(bare.query_digest)) == (None, None, None, 32)
    told = worst_query(handed[0], found, agreed, 1.0, with_texts=True)
    assert (told.query, told.live_first, told.shadow_first) == ("q", ("long " * 300)[:500], "short")


def test_what_the_fleet_can_not_do_is_raised_and_has_its_reason(parts: Parts, handed: list[Sampled]) -> None:
    rerank(parts)
    sampled = handed[0]

    def reason() -> str:
        with pytest.raises((Dropped, RerankError)) as raised:
            ask(parts, sampled)
        return drop_of(raised.value)

    parts.fleet.serve("new", lambda query, document: float("no number"))
    assert reason() == "failed"
    parts.fleet.workers = 0
    assert reason() == "no_workers"
    parts.fleet.go_away()
    assert reason() == "unavailable"
    parts.fleet.come_back()
    parts.fleet.workers = 1
    longer = sampled.request.model_copy(update={"max_length": 100_000})
    sampled = Sampled(longer, sampled.route, sampled.live, sampled.shadow, sampled.ranking, sampled.load)
    assert reason() == "unfit"


COST = CostParameters(run_s=0.1, token_s=0.0, token_longest_s=0.0)
#: A job of a second.
WAITS = DueJobs("bulk", Work(runs=10.0), 1e12, 1e12)


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        (None, "unavailable"),
        (FleetLoad(workers=0), "no_workers"),
        (FleetLoad(workers=2, unanswered=1), None),
        # Nobody knows how long what waits will take.
        (FleetLoad(workers=1, unanswered=1), "busy"),
        (FleetLoad(workers=1, unanswered=1, cost=COST), None),
        (FleetLoad(workers=2, unanswered=2, cost=COST, due=(WAITS, WAITS)), None),
        (FleetLoad(workers=2, unanswered=2, cost=COST, due=(WAITS, WAITS, WAITS)), "busy"),
    ],
)
def test_a_shadow_goes_first_where_a_pool_has_other_work(load: FleetLoad | None, reason: str | None) -> None:
    if reason is None:
        refuse_load(load)
        return
    with pytest.raises(Dropped) as dropped:
        refuse_load(load)
    assert dropped.value.reason == reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UnknownModel("x"), "no_workers"),
        (Overloaded("x", predicted_wait_ms=1, retry_after_s=1), "busy"),
        (DeadlineTooShort("x"), "late"),
        (QueueUnavailable("x"), "unavailable"),
        (JobLost("x"), "failed"),
        (InternalError("x"), "failed"),
        (ZeroDivisionError(), "failed"),
    ],
)
def test_every_error_is_counted_under_a_reason(error: Exception, reason: str) -> None:
    assert drop_of(error) == reason
