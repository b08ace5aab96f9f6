"""How a batch is split into runs: every pair once and in order, no run above its bounds, and none smaller than it must
be. And what such runs are made of."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared.models.precision import LAYOUTS, LayoutName
from rerank_shared.scheduling.cost import Work
from rerank_shared.scheduling.runs import RunShape
from rerank_shared.settings import load_settings

LENGTHS = st.lists(st.integers(1, 600), max_size=60)
SHAPES = st.builds(RunShape, st.sampled_from(LAYOUTS), st.integers(1, 20), st.integers(1, 2_000))


def cost(layout: LayoutName, lengths: Sequence[int]) -> int:
    """Tokens that a run computes."""
    return max(lengths) * len(lengths) if layout == "padded" else sum(lengths)


@given(SHAPES, LENGTHS)
def test_every_pair_is_in_one_run_and_in_order(shape: RunShape, lengths: list[int]) -> None:
    runs = shape.split(lengths)
    assert [index for run in runs for index in run] == list(range(len(lengths)))
    assert all(len(run) > 0 for run in runs)


@given(SHAPES, LENGTHS)
def test_no_run_is_above_its_bounds_unless_it_is_one_pair(shape: RunShape, lengths: list[int]) -> None:
    for run in shape.split(lengths):
        assert len(run) <= shape.pairs
        assert len(run) == 1 or cost(shape.layout, lengths[run.start : run.stop]) <= shape.tokens


@given(SHAPES, LENGTHS)
def test_no_run_had_room_for_the_pair_that_begins_the_next(shape: RunShape, lengths: list[int]) -> None:
    for run in shape.split(lengths)[:-1]:
        wider = lengths[run.start : run.stop + 1]
        assert len(wider) > shape.pairs or cost(shape.layout, wider) > shape.tokens


@given(SHAPES, st.integers(1, 600), st.integers(0, 60))
def test_pairs_of_one_length_cost_the_same_in_every_plan(shape: RunShape, length: int, count: int) -> None:
    packed, padded = (
        RunShape(layout, shape.pairs, shape.tokens).split([length] * count) for layout in ("packed", "padded")
    )
    assert packed == padded


@pytest.mark.parametrize(
    ("layout", "sizes"),
    [("padded", [1, 1, 3, 1]), ("packed", [3, 2, 1]), ("varlen", [3, 2, 1]), ("unpadded", [3, 2, 1])],
)
def test_padding_counts_where_there_is_any(layout: LayoutName, sizes: list[int]) -> None:
    lengths = [10, 60, 30, 30, 30, 200]
    assert [len(run) for run in RunShape(layout, 8, 100).split(lengths)] == sizes


@given(SHAPES, st.lists(st.integers(1, 600), min_size=1, max_size=60))
def test_padding_is_what_a_run_computes_beside_its_tokens(shape: RunShape, lengths: list[int]) -> None:
    assert shape.padding(lengths) == shape.run_work(lengths).tokens - sum(lengths)


def test_settings_say_how_large_a_run_is() -> None:
    shape = RunShape.of(load_settings(layout="packed", run_pairs=7, run_tokens=333))
    assert shape == RunShape("packed", 7, 333)


@pytest.mark.parametrize(
    ("layout", "work"),
    [
        ("unpadded", Work(3, 60, 10 * 10 + 20 * 20 + 30 * 30)),
        ("padded", Work(1, 90, 3 * 30 * 30)),
        ("varlen", Work(1, 60, 10 * 10 + 20 * 20 + 30 * 30)),
        ("packed", Work(1, 60, 10 * 10 + 20 * 20 + 30 * 30)),
    ],
)
def test_the_work_of_a_run(layout: LayoutName, work: Work) -> None:
    assert RunShape(layout).run_work([10, 20, 30]) == work


@pytest.mark.parametrize(("tokens", "share"), [(10, 1 / 8), (100, 1 / 5), (500, 1.0), (900, 1.0)])
def test_a_pair_s_share_of_a_run_that_is_as_full_as_it_may_be(tokens: int, share: float) -> None:
    assert RunShape("padded", pairs=8, tokens=500).pair_work(tokens) == Work(share, tokens, tokens * tokens)
    assert RunShape("unpadded", pairs=8, tokens=500).pair_work(tokens) == Work.pair(tokens)


def test_a_batch_is_bounded_only_where_more_than_one_run_gains_nothing() -> None:
    assert RunShape("unpadded", pairs=5).batch_pairs == 5
    assert RunShape("padded", pairs=5).batch_pairs is None
