"""The runs of one batch: every pair in one, and each with the time that is left from its beginning."""

from __future__ import annotations

from rerank_worker.batching.batch_runs import batch_runs


def test_each_run_knows_what_is_left_and_which_is_the_last() -> None:
    runs = batch_runs([10, 20, 30], [range(2), range(2, 3)], lambda pairs: float(sum(pairs)))
    assert [(run.pairs, run.left_s, run.is_last) for run in runs] == [([10, 20], 60.0, False), ([30], 30.0, True)]


def test_a_batch_of_nothing_has_no_run() -> None:
    assert batch_runs([], [], lambda pairs: 1.0) == []
