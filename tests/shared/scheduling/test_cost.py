"""Work and what it costs: sums of work, and parameters as they travel."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared.errors import MalformedMessage
from rerank_shared.scheduling.cost import CostParameters, Work

COST = CostParameters(1e-3, 5e-5, 5e-8)
lengths = st.lists(st.integers(1, 512), min_size=1, max_size=8)


@given(lengths, lengths)
def test_work_adds_up(left: list[int], right: list[int]) -> None:
    assert Work.of(left) + Work.of(right) == Work.of(left + right)
    assert Work.of(left + right) - Work.of(right) == Work.of(left)
    assert sum(map(Work.pair, left), Work()) == Work.of(left)
    assert Work.padded(1, left[0]) == Work.pair(left[0])


@pytest.mark.parametrize(
    "fields", [[], [1.0] * 5, ["1", 1, 1, 1, 1, 1], [math.nan, 1, 1, 1, 1, 1], [-1.0, 1, 1, 1, 1, 1], [None] * 6]
)
def test_garbled_parameters_are_refused(fields: list[object]) -> None:
    with pytest.raises(MalformedMessage):
        CostParameters.from_fields(fields)


def test_a_later_release_may_add_fields() -> None:
    assert CostParameters.from_fields([*COST.cost_fields(), "more"]) == COST
