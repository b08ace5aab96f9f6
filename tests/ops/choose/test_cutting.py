"""Cutting: an order of fewer candidates is the one that a request of so many gets; the rest follows as it was."""

from __future__ import annotations

import pytest

from rerank_ops.choose.cutting import first, runs_of
from rerank_ops.choose.latency import Times
from rerank_ops.choose.load import Cut, Fleet
from rerank_ops.evaluate.systems import Run
from rerank_ops.fusion.sweep import MODEL, ScoredQuery, Variant, deviations_of, ranking
from rerank_ops.simulate.model.spec import FleetSpec
from rerank_shared.keys import FusionMethod
from support.choice import COST, NAMES, times


def run_of(queries: list[ScoredQuery], k: int, weight: float, method: FusionMethod) -> Run:
    return next(runs_of(queries, k, [weight], method))


QUERY = ScoredQuery("q", ("a", "b", "c", "d"), (0.1, 2.0, 1.0, 9.0), (4.0, 3.0, 2.0, 1.0))
TOKENS = dict.fromkeys(NAMES, (120,) * 100)
FLEET = Fleet(2, None, FleetSpec(2, COST), 30.0)


@pytest.mark.parametrize("method", ["weighted", "zscore", "rrf"])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_an_order_of_k_is_that_of_a_request_of_k(k: int, method: FusionMethod) -> None:
    few = first(QUERY, k)
    known = deviations_of([few])
    ratio = None if known is None else known.ratio
    assert run_of([QUERY], k, 0.5, method)["q"] == (
        *ranking(few, Variant(method, 0.5), ratio),
        *QUERY.documents[k:],
    )


@pytest.mark.parametrize("method", ["weighted", "zscore", "rrf", "none"])
def test_without_weight_the_model_alone_orders(method: FusionMethod) -> None:
    assert run_of([QUERY], 4, 0.0, method)["q"] == tuple(ranking(QUERY, MODEL, None)) == ("d", "b", "c", "a")
    assert run_of([QUERY], 3, 0.0, method)["q"] == ("b", "c", "a", "d")


def test_a_query_without_candidates_stays_without() -> None:
    assert run_of([ScoredQuery("q", (), (), ())], 10, 1.0, "weighted") == {"q": ()}


def test_times_between_two_that_were_measured_lie_on_the_line() -> None:
    made = times()
    assert made.latency(256, 50).origin == "measured"
    assert made.latency(256, 50).p95_ms == pytest.approx(300.0)
    between = made.latency(256, 30)
    assert between.origin == "interpolated"
    assert between.p95_ms == pytest.approx(180.0)


def test_a_fleet_of_the_size_that_was_timed_comes_out_as_it_was_measured() -> None:
    cut = Cut(times(), 256, 50, TOKENS)
    assert cut.latency(FLEET).p95_ms == pytest.approx(300.0)
    # The way through the planner, for the same number, ends at the same time.
    same = Times(times().cells, COST, 2, "a machine", 180)
    by_hand = Cut(same, 256, 50, TOKENS)
    assert by_hand._alone_ms(2) == pytest.approx([300.0] * 20)


def test_more_processes_are_faster_and_the_least_that_does_is_found() -> None:
    cut = Cut(times(), 256, 50, TOKENS)
    latencies = [cut.latency(Fleet(n, None, FLEET.spec, 30.0)).p95_ms for n in (1, 2, 4)]
    assert latencies == sorted(latencies, reverse=True)
    needed = cut.processes_for(160.0, FLEET)
    assert needed is not None
    assert cut.latency(Fleet(needed, None, FLEET.spec, 30.0)).p95_ms <= 160.0
    assert cut.latency(Fleet(needed - 1, None, FLEET.spec, 30.0)).p95_ms > 160.0
    assert cut.processes_for(5.0, FLEET) is None


def test_a_rate_beyond_what_the_fleet_can_do_is_not_kept() -> None:
    cut = Cut(times(), 256, 50, TOKENS)
    flooded = cut.latency(Fleet(1, 50.0, FLEET.spec, 2.0, requests=300))
    assert flooded.missed > 0.1
    assert not flooded.keeps(10_000.0, 0.005)
    needed = cut.processes_for(1_000.0, Fleet(1, 5.0, FLEET.spec, 30.0, requests=300))
    assert needed is not None
    assert cut.latency(Fleet(needed, 5.0, FLEET.spec, 30.0, requests=300)).keeps(1_000.0, 0.005)
