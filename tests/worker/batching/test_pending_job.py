"""A job's state inside a worker: it ends once, for one reason, and keeps what it has."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared.contract.messages import Score
from rerank_shared.errors import ScoringFailed
from rerank_worker.batching.pending_job import PendingJob


def pending(documents: int) -> PendingJob:
    digests = tuple(bytes([i]) for i in range(documents))
    return PendingJob("job", 1.0, None, [None] * documents, digests, 0.0, 10 * documents)


def score(logit: float) -> Score:
    return Score(logit, 10, False)


def test_the_last_score_ends_it() -> None:
    waiting = pending(3)
    for index in (2, 0):
        waiting.resolve(index, score(index))
        assert waiting.open
        assert not waiting.wait(0)
    waiting.resolve(1, score(1))
    assert not waiting.open
    assert waiting.wait(0)
    assert waiting.scores == [score(0), score(1), score(2)]
    assert (waiting.dropped, waiting.error, waiting.unscored) == (None, None, 0)


@given(st.lists(st.integers(0, 4), max_size=12))
def test_a_document_counts_once(indices: list[int]) -> None:
    waiting = pending(5)
    for index in indices:
        waiting.resolve(index, score(index))
    assert waiting.unscored == 5 - len(set(indices)) == waiting.scores.count(None)
    assert waiting.open == (waiting.unscored > 0)


def test_the_first_score_of_a_document_stays() -> None:
    waiting = pending(2)
    waiting.resolve(0, score(1.0))
    waiting.resolve(0, score(2.0))
    assert waiting.scores == [score(1.0), None]


def test_a_job_without_documents_has_ended() -> None:
    assert not pending(0).open
    assert pending(0).wait(0)


def test_the_first_end_holds() -> None:
    dropped = pending(1)
    dropped.drop("revoked")
    dropped.drop("expired")
    dropped.fail(ScoringFailed("late"))
    assert (dropped.dropped, dropped.error) == ("revoked", None)
    failed = pending(1)
    error = ScoringFailed("first")
    failed.fail(error)
    failed.fail(ScoringFailed("second"))
    failed.drop("drained")
    assert (failed.dropped, failed.error) == (None, error)
    scored = pending(1)
    scored.resolve(0, score(1.0))
    scored.drop("expired")
    scored.fail(ScoringFailed("late"))
    assert (scored.dropped, scored.error) == (None, None)


def test_scores_that_come_after_the_end_are_kept() -> None:
    """They were paid for, and the cache takes them."""
    waiting = pending(2)
    waiting.drop("expired")
    waiting.resolve(1, score(1.0))
    assert waiting.scores == [None, score(1.0)]
    assert waiting.dropped == "expired"


@pytest.mark.parametrize("timeout_s", [-5.0, 0.0, 1e300])
def test_any_time_may_be_waited(timeout_s: float) -> None:
    """A deadline comes from outside and may be as far away as a float goes."""
    waiting = pending(1)
    if timeout_s > 0:
        threading.Timer(0.01, waiting.drop, ["expired"]).start()
    assert waiting.wait(timeout_s) == (timeout_s > 0)
