"""Scores of a run: what was ranked first stays first for every reader, in as few digits as tell floats apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_producer.bulk.formats.runs.trec_scores import below, spelled

SCORES = st.lists(st.floats(-50, 50, width=32), max_size=60).map(lambda found: sorted(found, reverse=True))


@given(SCORES)
def test_a_reader_of_32_bit_floats_finds_the_order_written(scores: list[float]) -> None:
    read = np.array([np.float32(text) for text in spelled(scores)])
    assert (np.diff(read) < 0).all()
    assert read == pytest.approx(np.array(scores), abs=1e-3)


@given(st.lists(st.floats(-50, 50, width=32), unique=True, max_size=60).map(lambda found: sorted(found, reverse=True)))
def test_scores_that_differ_are_written_as_they_are(scores: list[float]) -> None:
    assert [np.float32(text) for text in spelled(scores)] == [np.float32(score) for score in scores]


@pytest.mark.parametrize("tied", [0.0, 1.0, -1.0, 1e-40, 3.4028234e38])
def test_ties_go_down_by_the_least_step(tied: float) -> None:
    first, second, third = (np.float32(text) for text in spelled([tied] * 3))
    assert first == np.float32(tied)
    assert second == np.nextafter(first, np.float32(-np.inf))
    assert third == np.nextafter(second, np.float32(-np.inf))


def test_ties_may_be_kept() -> None:
    assert list(spelled([2.5, 2.5, 1.0], keep_ties=True)) == ["2.5", "2.5", "1"]


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 30))
def test_documents_that_were_not_scored_stand_below(last: float, count: int) -> None:
    if last < -1e38:
        return
    written = [np.float32(text) for text in spelled([last, *below(last, count)])]
    assert len(written) == count + 1
    assert (np.diff(np.array(written)) < 0).all()
