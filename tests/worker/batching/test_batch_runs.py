"""The runs of one batch: every pair in one, and each with the time that is left from its beginning."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rerank_worker.batching.batch_runs import batch_runs
from rerank_worker.batching.batcher import BRIEF_S


def in_twos(pairs: Sequence[float]) -> list[range]:
    return [range(start, min(start + 2, len(pairs))) for start in range(0, len(pairs), 2)]


def test_each_run_knows_what_is_left_and_which_is_the_last() -> None:
    runs = batch_runs([10.0, 20.0, 30.0], in_twos, sum, joins=True)
    assert [(run.pairs, run.left_s, run.is_last) for run in runs] == [([10, 20], 60.0, False), ([30], 30.0, True)]


@pytest.mark.parametrize(
    ("seconds", "joins", "runs"),
    [(BRIEF_S, True, 1), (BRIEF_S, False, 2), (1.001 * BRIEF_S, True, 2), (0.0, True, 2)],
    ids=["brief", "runs of a fixed size", "too long", "not known yet"],
)
def test_a_batch_that_ends_soon_is_one_run_where_runs_may_be_joined(seconds: float, joins: bool, runs: int) -> None:
    assert len(batch_runs([1.0, 2.0, 3.0], in_twos, lambda pairs: seconds * len(pairs) / 3, joins=joins)) == runs


@pytest.mark.parametrize("joins", [True, False])
def test_a_batch_of_nothing_has_no_run(joins: bool) -> None:
    assert batch_runs([], in_twos, sum, joins=joins) == []
