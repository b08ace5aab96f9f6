"""When a process takes another job: not while it has enough to do, and what is on its way counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared.scheduling.cost import CostParameters, Work
from rerank_worker.batching.batcher import Waiting
from rerank_worker.consume.backpressure import Backpressure

#: A pair of 100 tokens takes 10 ms.
COST = CostParameters(0.0, 1e-4, 0.0)


def backpressure(*, lookahead_s: float = 0.1, budget_tokens: int = 2_048) -> Backpressure:
    return Backpressure(lookahead_s, budget_tokens, COST.predict_s)


def of(work: Work) -> Waiting:
    return Waiting(work.tokens, COST.predict_s(work))


@pytest.mark.parametrize(("pairs", "is_open"), [(0, True), (9, True), (10, False), (100, False)])
def test_it_closes_at_as_much_work_as_it_looks_ahead(pairs: int, is_open: bool) -> None:
    assert backpressure().open(of(Work.of([100] * pairs)), 0) is is_open


@pytest.mark.parametrize(
    ("waiting", "coming", "is_open"), [(0, 999, True), (0, 1_001, False), (5, 499, True), (5, 501, False)]
)
def test_what_is_not_tokenized_yet_counts_too(waiting: int, coming: int, is_open: bool) -> None:
    assert backpressure().open(of(Work.of([100] * waiting)), coming) is is_open


@pytest.mark.parametrize(("waiting", "coming", "is_open"), [(2_047, 0, True), (2_048, 0, False), (1_000, 1_048, False)])
def test_it_holds_no_more_than_a_batch_however_fast_it_is(waiting: int, coming: int, is_open: bool) -> None:
    fast = Backpressure(100.0, 2_048, COST.predict_s)
    assert fast.open(of(Work(1, waiting, 0)), coming) is is_open


def test_while_nothing_is_known_of_its_speed_only_the_batch_bounds_it() -> None:
    unknown = Backpressure(0.1, 2_048, lambda _: 0.0)
    assert unknown.open(Waiting(2_000.0), 0)
    assert not unknown.open(Waiting(2_100.0), 0)


@given(st.integers(0, 5_000), st.integers(0, 5_000), st.integers(0, 500))
def test_more_work_never_opens_it(waiting: int, coming: int, more: int) -> None:
    one = backpressure()
    if not one.open(of(Work.pair(waiting)), coming):
        assert not one.open(of(Work.pair(waiting)) + of(Work.pair(more)), coming)
        assert not one.open(of(Work.pair(waiting)), coming + more)
