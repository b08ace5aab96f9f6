"""The moving averages: tokens a second, which no frozen run spoils, and pairs of a batch."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared.scheduling.cost import CostParameters, Work
from rerank_worker.batching.rate import BatchSize, TokenRate
from rerank_worker.batching.run_cost import RunCost

runs = st.lists(st.tuples(st.integers(1, 10**5), st.floats(0.001, 100)), min_size=1, max_size=20)
CPU = CostParameters(1e-3, 5e-5, 5e-8)


def unknown() -> TokenRate:
    """One that knows nothing of what runs usually take."""
    return TokenRate(lambda _: 0.0)


def test_before_the_first_run_nothing_is_known() -> None:
    assert unknown().tokens_per_s == 0.0


def test_a_run_that_took_no_time_is_no_division_by_zero() -> None:
    rate = unknown()
    rate.add(100, Work.pair(100), 0.0)
    assert rate.tokens_per_s == 0.0
    rate.add(100, Work.pair(100), 0.5)
    assert rate.tokens_per_s == pytest.approx(200.0)


@given(runs)
def test_an_average_lies_between_its_measurements(measured: list[tuple[int, float]]) -> None:
    rate = unknown()
    for tokens, seconds in measured:
        rate.add(tokens, Work.pair(tokens), seconds)
    each = [tokens / seconds for tokens, seconds in measured]
    assert min(each) * (1 - 1e-9) <= rate.tokens_per_s <= max(each) * (1 + 1e-9)


@given(runs, st.floats(0.2, 100))
def test_no_run_counts_for_more_than_twice_of_what_it_usually_takes(
    measured: list[tuple[int, float]], usual_s: float
) -> None:
    rate = TokenRate(lambda _: usual_s)
    for tokens, seconds in measured:
        rate.add(tokens, Work.pair(tokens), seconds)
    assert rate.tokens_per_s >= min(tokens for tokens, _ in measured) / (2 * usual_s) * (1 - 1e-9)


def test_what_is_ten_seconds_old_has_lost_half_its_weight() -> None:
    rate = unknown()
    rate.add(1_000, Work.pair(1_000), 10.0)
    rate.add(40_000, Work.pair(40_000), 10.0)
    assert rate.tokens_per_s == pytest.approx((1_000 / 2 + 40_000) / (10 / 2 + 10))


class Machine:
    """Runs pairs of all lengths at some speed, and tells a run_cost how long each took."""

    def __init__(self, seed: int, slower: float = 1.0) -> None:
        self.run_cost, self.slower = RunCost(), slower
        self._chance = random.Random(seed)

    def run(self, frozen_s: float = 0.0) -> float:
        """Return the seconds of a run without those that it was frozen."""
        lengths = [self._chance.randint(20, 300) for _ in range(self._chance.randint(1, 4))]
        seconds = self.slower * CPU.predict_s(Work.of(lengths)) * self._chance.lognormvariate(0.0, 0.1)
        self.run_cost.observe(lengths, seconds + frozen_s)
        return seconds

    def run_for(self, seconds: float) -> None:
        while seconds > 0:
            seconds -= self.run()

    @property
    def rate(self) -> float:
        return self.run_cost.rate.tokens_per_s


seeds = st.integers(0, 2**32)
freezes = st.floats(0.5, 1e6)


class TestFrozen:
    @given(seeds, freezes)
    def test_a_freeze_does_not_move_the_rate(self, seed: int, frozen_s: float) -> None:
        machine = Machine(seed)
        machine.run_for(5)
        before = machine.rate
        machine.run(frozen_s)
        assert machine.rate == pytest.approx(before, rel=0.08)

    @given(seeds, freezes, st.integers(0, 9))
    def test_nor_one_while_little_is_known(self, seed: int, frozen_s: float, runs: int) -> None:
        """The first run of a process included; a second of running later it shows no more."""
        frozen, other = Machine(seed), Machine(seed)
        for _ in range(runs):
            frozen.run()
            other.run()
        frozen.run(frozen_s)
        other.run()
        frozen.run_for(2)
        other.run_for(2)
        assert frozen.rate == pytest.approx(other.rate, rel=0.2)

    @given(seeds, freezes)
    def test_nor_what_others_reckon_with(self, seed: int, frozen_s: float) -> None:
        machine = Machine(seed)
        machine.run_for(5)
        before = machine.run_cost.shared
        machine.run(frozen_s)
        after = machine.run_cost.shared
        assert before is not None
        assert after is not None
        work = Work.of([60, 128, 250])
        assert after.predict_s(work) == pytest.approx(before.predict_s(work), rel=0.1)
        assert after.predict_p99_s(work) < 1.5 * before.predict_p99_s(work)

    @given(seeds, st.floats(1.3, 50))
    def test_a_machine_that_stays_slower_is_learned_however_much_slower(self, seed: int, slower: float) -> None:
        machine, other = Machine(seed), Machine(seed, slower)
        machine.run_for(5)
        machine.slower = slower
        machine.run_for(120)
        other.run_for(120)
        assert machine.rate == pytest.approx(other.rate, rel=0.3)

    @given(seeds)
    def test_one_at_half_its_speed_within_seconds_of_running(self, seed: int) -> None:
        machine = Machine(seed)
        machine.run_for(5)
        before, machine.slower = machine.rate, 2.0
        machine.run_for(5)
        assert machine.rate < 0.8 * before

    @given(seeds)
    def test_a_container_that_pauses_between_time_slices_is_as_slow_as_it_is(self, seed: int) -> None:
        """A tenth of a second in every fifth run: more than the run, and no accident."""
        machine, seconds, tokens = Machine(seed), 0.0, 0.0
        chance = random.Random(seed)
        for _ in range(300):
            length = chance.randint(50, 250)
            took = CPU.predict_s(Work.pair(length)) + (0.1 if chance.random() < 0.2 else 0.0)
            machine.run_cost.observe([length], took)
            seconds, tokens = seconds + took, tokens + length
        assert machine.rate == pytest.approx(tokens / seconds, rel=0.2)


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
