"""The cost model: it finds what runs cost, follows when that changes, and no single run throws it off."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared.scheduling.cost import CostParameters, Work
from rerank_worker.batching.cost_model import CostModel

MACHINES = [
    pytest.param(CostParameters(1e-3, 5e-5, 5e-8), id="cpu"),
    pytest.param(CostParameters(0.0, 1e-4, 0.0), id="tokens-alone"),
    pytest.param(CostParameters(5e-3, 1e-5, 0.0), id="launches"),
    pytest.param(CostParameters(1e-3, 0.0, 1e-7), id="attention"),
]
CPU = CostParameters(1e-3, 5e-5, 5e-8)

Runs = Callable[[random.Random], Work]


def singles(chance: random.Random) -> Work:
    return Work.of([chance.randint(10, 400) for _ in range(chance.randint(1, 4))])


def padded(chance: random.Random) -> Work:
    return Work.padded(chance.randint(1, 32), chance.choice([32, 64, 128, 256, 512]))


def train(
    model: CostModel, truth: CostParameters, runs: Runs, count: int, *, noise: float = 0.1, seed: int = 1
) -> None:
    chance = random.Random(seed)
    for _ in range(count):
        work = runs(chance)
        model.observe(work, truth.predict_s(work) * chance.lognormvariate(0.0, noise))


def typical_error(model: CostModel, truth: CostParameters, runs: Runs) -> float:
    chance = random.Random(99)
    works = [runs(chance) for _ in range(200)]
    return median(abs(model.predict_s(work) - truth.predict_s(work)) / truth.predict_s(work) for work in works)


@pytest.mark.parametrize("truth", MACHINES)
@pytest.mark.parametrize("runs", [singles, padded])
@pytest.mark.parametrize("seed", range(5))
def test_it_finds_what_runs_cost(truth: CostParameters, runs: Runs, seed: int) -> None:
    model = CostModel()
    train(model, truth, runs, 50, noise=0.15, seed=seed)
    assert typical_error(model, truth, runs) < 0.15


@pytest.mark.parametrize("truth", MACHINES)
def test_without_noise_it_finds_the_parameters_themselves(truth: CostParameters) -> None:
    model = CostModel()
    train(model, truth, padded, 200, noise=0.0)
    found = model.parameters
    assert found is not None
    # Each to within what it matters: a hundredth of a run of 8 pairs of 128 tokens.
    for name, size in (("run_s", 1), ("token_s", 1_024), ("token_longest_s", 1_024 * 128)):
        off = abs(getattr(found, name) - getattr(truth, name)) * size
        assert off < 0.01 * truth.predict_s(Work.padded(8, 128))
    assert found.error_ratio < 0.01
    assert found.observations == 200


@pytest.mark.parametrize("factor", [0.3, 0.7, 1.5, 4.0])
def test_it_follows_a_change_of_speed(factor: float) -> None:
    model = CostModel()
    train(model, CPU, singles, 300)
    slower = replace(CPU, **{name: getattr(CPU, name) * factor for name in ("run_s", "token_s", "token_longest_s")})
    train(model, slower, singles, 30, seed=2)
    assert typical_error(model, slower, singles) < 0.15


def test_a_change_of_speed_seen_on_one_kind_of_run_holds_for_the_others() -> None:
    model = CostModel()
    train(model, CPU, singles, 200)
    train(model, replace(CPU, run_s=2e-3, token_s=1e-4, token_longest_s=1e-7), lambda _: Work.pair(50), 20, seed=2)
    assert model.predict_s(Work.pair(400)) == pytest.approx(2 * CPU.predict_s(Work.pair(400)), rel=0.2)


@pytest.mark.parametrize(("factor", "before"), [(100.0, 1), (100.0, 5), (100.0, 50), (0.01, 50)])
def test_one_outlier_does_not_throw_it_off(factor: float, before: int) -> None:
    model = CostModel()
    train(model, CPU, singles, before, noise=0.0)
    model.observe(Work.pair(100), CPU.predict_s(Work.pair(100)) * factor)
    train(model, CPU, singles, 5, noise=0.0, seed=3)
    assert typical_error(model, CPU, singles) < 0.15


@pytest.mark.parametrize("work", [Work.pair(100), Work.of([100, 100, 100, 100]), Work.padded(16, 64)])
def test_one_kind_of_run_is_enough(work: Work) -> None:
    """What it can't know of other kinds it takes from the text that they run."""
    model = CostModel()
    for _ in range(100):
        model.observe(work, 0.02)
    assert model.predict_s(work) == pytest.approx(0.02, rel=0.01)
    assert model.predict_s(work + work) == pytest.approx(0.04, rel=0.01)
    twice_as_long = Work.padded(work.runs, 2 * work.tokens / work.runs)
    assert 0.03 < model.predict_s(twice_as_long) < 0.05


class TestPrior:
    def test_is_used_from_the_start(self) -> None:
        model = CostModel(prior=CPU)
        assert model.parameters == CPU
        for work in (Work.pair(20), Work.pair(400), Work.padded(8, 128)):
            assert model.predict_s(work) == pytest.approx(CPU.predict_s(work), rel=0.01)

    def test_gives_the_shape_that_a_few_runs_of_one_kind_lack(self) -> None:
        truth, known, unknown = CostParameters(5e-3, 1e-5, 0.0), CostModel(CostParameters(5e-3, 1e-5, 0.0)), CostModel()
        for model in (known, unknown):
            train(model, truth, lambda _: Work.pair(50), 5, noise=0.0)
        long = Work.pair(500)
        assert known.predict_s(long) == pytest.approx(truth.predict_s(long), rel=0.05)
        assert abs(unknown.predict_s(long) - truth.predict_s(long)) > 0.5 * truth.predict_s(long)

    @pytest.mark.parametrize("prior", [CostParameters(1e-2, 5e-4, 5e-7), CostParameters(1e-4, 5e-6, 5e-9)])
    def test_is_outgrown(self, prior: CostParameters) -> None:
        model = CostModel(prior)
        train(model, CPU, singles, 50)
        assert typical_error(model, CPU, singles) < 0.15
        assert model.parameters is not None
        assert model.parameters.observations == 50

    def test_that_knows_nothing_is_no_prior(self) -> None:
        model = CostModel(CostParameters(0.0, 0.0, 0.0))
        assert (model.predict_s(Work.pair(10)), model.parameters) == (0.0, None)


def test_nothing_is_predicted_before_the_first_run() -> None:
    model = CostModel()
    assert model.predict_s(Work.pair(100)) == 0.0
    assert model.parameters is None


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.inf, math.nan])
def test_a_time_that_is_none_is_left_alone(seconds: float) -> None:
    model = CostModel()
    assert model.observe(Work.pair(10), seconds) is None
    assert model.observe(Work(), 1.0) is None
    assert model.parameters is None


def test_it_tells_how_far_off_it_was() -> None:
    model = CostModel()
    assert model.observe(Work.pair(100), 0.02) is None
    assert model.observe(Work.pair(100), 0.01) == pytest.approx(1.0, rel=0.01)


def test_p99_covers_what_was_seen() -> None:
    model = CostModel()
    chance = random.Random(5)
    for _ in range(500):
        model.observe(Work.pair(100), 0.01 * (3.0 if chance.random() < 0.05 else 1.0))
    found = model.parameters
    assert found is not None
    assert found.predict_p99_s(Work.pair(100)) > 0.025
    assert found.predict_s(Work.pair(100)) < 0.012


lengths = st.lists(st.integers(1, 512), min_size=1, max_size=8)
works = lengths.map(Work.of) | st.builds(Work.padded, st.integers(1, 64), st.integers(1, 512))


@given(st.lists(st.tuples(works, st.floats(1e-6, 1e3)), max_size=40), works)
def test_no_prediction_is_negative_or_no_number(observed: Sequence[tuple[Work, float]], asked: Work) -> None:
    model = CostModel()
    for work, seconds in observed:
        model.observe(work, seconds)
        assert 0 <= model.predict_s(asked) < math.inf
    found = model.parameters
    assert (found is None) == (not observed)
    if found is not None:
        assert min(found.run_s, found.token_s, found.token_longest_s, found.error_ratio) >= 0
        assert found.p99_ratio >= 1
        assert CostParameters.from_fields(found.cost_fields()) == found
