"""Work and what it costs: sums of work, and parameters as they travel."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared.errors import MalformedMessage
from rerank_shared.keys import COST_FRESH_S
from rerank_shared.scheduling.cost import CostParameters, SharedCost, Work, typical

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
    shared = SharedCost(COST, 12.5)
    assert SharedCost.from_fields([*shared.cost_fields(), "more"]) == shared


def test_an_earlier_release_told_no_time_of_sharing() -> None:
    assert SharedCost.from_fields(COST.cost_fields()) == SharedCost(COST, 0.0)
    with pytest.raises(MalformedMessage, match="time of sharing"):
        SharedCost.from_fields([*COST.cost_fields(), math.inf])


def shared(token_s: float, at: float) -> SharedCost:
    return SharedCost(CostParameters(0.0, token_s, 0.0), at)


@pytest.mark.parametrize(
    ("costs", "token_s"),
    [
        ([], None),
        # A mixed fleet is judged by its middle.
        ([shared(3.0, 1_000), shared(1.0, 1_000), shared(9.0, 1_000)], 3.0),
        # Dead hosts do not count beside a live one, nor earlier releases, nor times of before a clock was set back.
        (
            [shared(1.0, 999.9 - COST_FRESH_S), shared(1.0, 0), shared(1.0, 1_000.1 + COST_FRESH_S), shared(9.0, 999)],
            9.0,
        ),
        # Where none lives, the last known ones do: a fleet that was scaled to 0 predicts too.
        ([shared(1.0, 5), shared(2.0, 6), shared(3.0, 7)], 2.0),
    ],
)
def test_the_typical_cost_is_that_of_hosts_that_live(costs: list[SharedCost], token_s: float | None) -> None:
    found = typical(costs, now=1_000.0)
    assert (found and found.token_s) == token_s
