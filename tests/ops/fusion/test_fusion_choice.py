"""Folds, the choice among variants, and intervals: what is reported of a query was chosen without it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_ops.fusion.choice import best, cross_validated, folds_of
from rerank_ops.fusion.sweep import VARIANTS, Sweep, Variant
from rerank_ops.judging.bootstrap import Values, paired_difference
from rerank_shared.errors import ConfigurationError

SIZES = st.integers(2, 9).flatmap(lambda folds: st.tuples(st.integers(folds, 60), st.just(folds)))


def swept(values: dict[Variant, Values]) -> Sweep:
    count = len(next(iter(values.values())))
    return Sweep(tuple(map(str, range(count))), None, values, values)


def random_sweep(count: int, seed: int) -> dict[Variant, Values]:
    random = np.random.default_rng(seed)
    return {variant: random.random(count) for variant in VARIANTS}


@given(SIZES, st.integers(0, 99))
def test_folds_are_a_partition_of_about_equal_parts(sizes: tuple[int, int], seed: int) -> None:
    count, folds = sizes
    parts = folds_of(count, folds, seed)
    assert sorted(int(row) for part in parts for row in part) == list(range(count))
    assert len(parts) == folds
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert all(np.array_equal(one, two) for one, two in zip(parts, folds_of(count, folds, seed), strict=True))


@pytest.mark.parametrize(("count", "folds"), [(4, 5), (0, 2), (9, 1)])
def test_more_folds_than_queries_are_refused(count: int, folds: int) -> None:
    with pytest.raises(ConfigurationError, match=f"^folds: {folds} for {count} judged queries"):
        folds_of(count, folds, 0)


@given(SIZES, st.integers(0, 99), st.data())
def test_no_fold_takes_part_in_the_choice_of_its_own_variant(
    sizes: tuple[int, int], seed: int, data: st.DataObject
) -> None:
    count, folds = sizes
    parts = folds_of(count, folds, seed)
    values = random_sweep(count, seed)
    before = cross_validated(swept(values), VARIANTS, parts)
    number = data.draw(st.integers(0, folds - 1))
    other = random_sweep(count, seed + 1_000)
    for variant, row in values.items():
        row[parts[number]] = other[variant][parts[number]]
    after = cross_validated(swept(values), VARIANTS, parts)
    assert after.chosen[number] == before.chosen[number]
    assert np.array_equal(after.ndcg[parts[number]], values[after.chosen[number]][parts[number]])


def test_the_held_out_mean_does_not_flatter() -> None:
    """Where every variant is noise, the best of all looks better than it is, and the held-out one does not."""
    values = random_sweep(200, 5)
    found = swept(values)
    flattered = found.quality(best(found, VARIANTS)).ndcg_at_10
    honest = np.mean(
        [cross_validated(found, VARIANTS, folds_of(200, 5, seed)).quality.ndcg_at_10 for seed in range(20)]
    )
    assert honest < flattered
    assert honest == pytest.approx(0.5, abs=0.04)


def test_of_equal_variants_a_stage_alone_is_chosen_then_the_smallest_weight() -> None:
    equal = swept({variant: np.array([0.5, 0.25]) for variant in VARIANTS})
    assert best(equal, VARIANTS[::-1]).weight == 0.0
    assert best(equal, VARIANTS) == VARIANTS[0]
    assert best(equal, [each for each in VARIANTS if each.weight > 0]).weight == math.inf
    assert best(equal, [each for each in VARIANTS[::-1] if not each.alone]).weight == 0.25


@given(st.lists(st.floats(0, 1), min_size=2, max_size=40), st.integers(0, 99))
def test_an_interval_is_around_its_mean_and_the_same_each_time(ones: list[float], seed: int) -> None:
    one, other = np.array(ones), np.array(ones[::-1]) / 2
    found = paired_difference(one, other, seed, samples=300)
    assert found == paired_difference(one, other, seed, samples=300)
    assert found.mean == pytest.approx(float((one - other).mean()))
    differences = one - other
    assert differences.min() - 1e-9 <= found.low <= found.high <= differences.max() + 1e-9


def test_an_interval_narrows_with_more_queries_and_finds_what_is_there() -> None:
    random = np.random.default_rng(3)
    noise, gain = random.normal(0, 0.2, 2_000), 0.05
    few = paired_difference(noise[:40] + gain, np.zeros(40), 1)
    many = paired_difference(noise + gain, np.zeros(2_000), 1)
    assert many.high - many.low < few.high - few.low
    assert many.low > 0
    assert not many.spans_zero
    assert paired_difference(noise, noise, 1).spans_zero
    # 1.96 standard errors to either side.
    assert many.high - many.low == pytest.approx(2 * 1.96 * 0.2 / 2_000**0.5, rel=0.1)
