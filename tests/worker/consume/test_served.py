"""The names that mean a model of a process: its own, its alias, and what becomes of a name that two have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rerank_shared.errors import ConfigurationError, UnknownModel
from rerank_shared.scheduling.cost import CostParameters, Work
from rerank_worker.batching.batcher import Batcher
from rerank_worker.batching.cost_model import CostModel
from rerank_worker.batching.lane import Lane
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.consume.served import ServedModel, ServedModels
from support.scoring import IDENTITY, SmallEngine, scorer_of


def served(name: str, alias: str, run_s: float = 1.0) -> ServedModel:
    run_cost = RunCost(cost=CostModel(CostParameters(run_s, 0.0, 0.0)))
    batcher = Batcher(budget_tokens=100, max_wait_s=0.0, predict_s=run_cost.cost.predict_s)
    scorer = scorer_of(SmallEngine(), identity=replace(IDENTITY, model=name))
    return ServedModel(Lane(scorer, batcher, run_cost), alias)


def test_a_model_is_meant_by_its_name_and_by_its_alias() -> None:
    models = ServedModels([one := served("org/a", "file:/a"), two := served("org/b", "org/b")])
    assert [models.named(name) for name in ("org/a", "file:/a", "org/b")] == [one, one, two]
    assert models.default is one
    assert [set(models.names_of(model)) for model in models] == [{"org/a", "file:/a"}, {"org/b"}]


def test_a_name_of_two_exports_means_the_first_and_the_second_has_its_alias() -> None:
    models = ServedModels([one := served("org/a", "file:/int8"), two := served("org/a", "file:/fp32")])
    assert models.named("org/a") is one
    assert models.names_of(two) == {"file:/fp32"}


def test_an_alias_means_its_own_model_though_another_has_it_for_a_name() -> None:
    models = ServedModels([served("org/a", "file:/int8"), original := served("org/a", "org/a")])
    assert models.named("org/a") is original


def test_a_name_that_is_not_served_is_told_with_all_that_are() -> None:
    models = ServedModels([served("org/a", "file:/int8"), served("org/a", "file:/fp32"), served("org/b", "org/b")])
    with pytest.raises(UnknownModel) as caught:
        models.named("org/c")
    assert caught.value.message == (
        "model: 'org/c' is not served here; this worker serves 'org/a', 'file:/fp32', 'org/b'"
    )


def test_work_of_an_unknown_model_takes_as_long_as_with_the_slowest() -> None:
    models = ServedModels([served("a", "a", 0.5), served("b", "b", 3.0), served("c", "c", 1.0)])
    assert models.slowest_s(Work(2.0)) == pytest.approx(6.0, rel=0.01)


def test_a_model_that_would_have_no_name_left_is_refused_and_changes_nothing() -> None:
    models = ServedModels([original := served("org/a", "org/a")])
    thief = replace(served("org/b", "new"), aliases=("org/a",))
    with pytest.raises(ConfigurationError, match="org/a would have no name left"):
        models.add(thief)
    with pytest.raises(ConfigurationError):
        ServedModels([original, thief])
    assert models.named("org/a") is original
    assert len(models) == 1
