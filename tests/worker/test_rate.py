"""The moving average of tokens a second."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_worker.rate import BatchSize, TokenRate

runs = st.lists(st.tuples(st.integers(1, 10**5), st.floats(0.001, 100)), min_size=1, max_size=20)


def test_before_the_first_run_nothing_is_known() -> None:
    rate = TokenRate()
    assert rate.tokens_per_s == 0.0


def test_a_run_that_took_no_time_is_no_division_by_zero() -> None:
    rate = TokenRate()
    rate.add(100, 0.0)
    assert rate.tokens_per_s == 0.0
    rate.add(100, 0.5)
    assert rate.tokens_per_s == pytest.approx(400.0, rel=0.05)


@given(runs)
def test_an_average_lies_between_its_measurements(measured: list[tuple[int, float]]) -> None:
    rate = TokenRate()
    for tokens, seconds in measured:
        rate.add(tokens, seconds)
    each = [tokens / seconds for tokens, seconds in measured]
    assert min(each) * (1 - 1e-9) <= rate.tokens_per_s <= max(each) * (1 + 1e-9)


@given(st.floats(0.01, 1e6))
def test_a_steady_rate_is_found(tokens_per_s: float) -> None:
    rate = TokenRate()
    for _ in range(5):
        rate.add(round(tokens_per_s * 1_000), 1_000 * round(tokens_per_s * 1_000) / (tokens_per_s * 1_000))
    assert rate.tokens_per_s == pytest.approx(tokens_per_s)


def test_what_is_ten_seconds_old_has_lost_half_its_weight() -> None:
    rate = TokenRate()
    rate.add(1_000, 10.0)
    rate.add(40_000, 10.0)
    assert rate.tokens_per_s == pytest.approx((1_000 / 2 + 40_000) / (10 / 2 + 10))


def test_a_changed_machine_is_noticed() -> None:
    rate = TokenRate()
    for _ in range(100):
        rate.add(1_000, 1.0)
    for _ in range(60):
        rate.add(100, 1.0)
    assert rate.tokens_per_s == pytest.approx(100, rel=0.2)


class TestBatchSize:
    def test_before_the_first_batch_there_is_none(self) -> None:
        assert BatchSize().pairs_per_batch == 0.0

    @given(st.lists(st.integers(1, 1_000), min_size=1, max_size=50))
    def test_an_average_lies_between_its_batches(self, sizes: list[int]) -> None:
        mean = BatchSize()
        for size in sizes:
            mean.add(size)
        assert min(sizes) * (1 - 1e-9) <= mean.pairs_per_batch <= max(sizes) * (1 + 1e-9)

    def test_sixteen_batches_later_half_of_the_weight_is_left(self) -> None:
        mean = BatchSize()
        mean.add(1)
        for _ in range(1_000):
            mean.add(100)
        for _ in range(16):
            mean.add(0)
        assert mean.pairs_per_batch == pytest.approx(50)
