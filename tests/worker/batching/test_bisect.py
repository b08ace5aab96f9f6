"""Poison isolation: exactly the guilty fail, in few runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_worker.batching.bisect import score_bisected


class Runs:
    """Scores a number by itself and refuses every run that holds a guilty one."""

    def __init__(self, guilty: set[int]) -> None:
        self.guilty = guilty
        self.sizes: list[int] = []

    def __call__(self, pairs: Sequence[int]) -> list[float]:
        self.sizes.append(len(pairs))
        if bad := self.guilty.intersection(pairs):
            raise ValueError(f"guilty: {sorted(bad)}")
        return [float(pair) for pair in pairs]


@given(st.integers(1, 200), st.data())
def test_exactly_the_guilty_fail(count: int, data: st.DataObject) -> None:
    guilty = data.draw(st.sets(st.integers(0, count - 1)))
    runs = Runs(guilty)
    found = list(score_bisected(runs, range(count)))
    assert [pair for pair, _ in found] == list(range(count))
    for pair, logit in found:
        if pair in guilty:
            assert isinstance(logit, ValueError)
            assert str(logit) == f"guilty: [{pair}]"
        else:
            assert logit == float(pair)
            assert isinstance(logit, float)


@given(st.integers(1, 2_000), st.data())
def test_one_guilty_costs_about_two_runs_a_halving(count: int, data: st.DataObject) -> None:
    runs = Runs({data.draw(st.integers(0, count - 1))})
    list(score_bisected(runs, range(count)))
    assert len(runs.sizes) <= 1 + 2 * math.ceil(math.log2(count))


@given(st.integers(1, 200), st.data())
def test_no_number_of_guilty_costs_more_than_two_runs_a_pair(count: int, data: st.DataObject) -> None:
    guilty = data.draw(st.sets(st.integers(0, count - 1)))
    runs = Runs(guilty)
    list(score_bisected(runs, range(count)))
    assert len(runs.sizes) <= 1 + 2 * len(guilty) * math.ceil(math.log2(max(count, 2)))
    assert len(runs.sizes) <= 2 * count - 1


def test_a_clean_batch_is_one_run() -> None:
    runs = Runs(set())
    list(score_bisected(runs, range(100)))
    assert runs.sizes == [100]


def test_scores_are_given_out_before_the_guilty_is_found() -> None:
    """The first half need not wait for the search in the second."""
    runs = Runs({7})
    found = score_bisected(runs, range(8))
    assert next(found) == (0, 0.0)
    assert runs.sizes == [8, 4]


def test_what_ends_the_process_is_not_held_up() -> None:
    def interrupted(pairs: Sequence[int]) -> list[float]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(score_bisected(interrupted, [1, 2]))


def test_an_engine_that_loses_a_logit_is_found_out() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        list(score_bisected(lambda pairs: [0.0] * (len(pairs) - 1), [1, 2]))
