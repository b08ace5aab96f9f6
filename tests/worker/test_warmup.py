"""The warm-up: each length once, bounded in time, no batch over budget, and a model that can't run is found out before
it takes jobs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from rerank_shared.errors import ConfigurationError, ModelDamaged
from rerank_shared.models.catalogue import load_files
from rerank_shared.models.precision import LayoutName
from rerank_shared.scheduling.cost import Work
from rerank_shared.scheduling.runs import RunShape
from rerank_shared.settings import Settings
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.engine import Engine, PlainEngine
from rerank_worker.tokenizing import EncodedPair
from rerank_worker.warmup import warm_up
from support.model.tiny_graphs import write_tiny
from support.scoring import IDENTITY, scorer_of

FILES = load_files(Settings().model)
LENGTHS = [
    (512, [16, 32, 64, 128, 256, 512]),
    (4_000, [16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_000]),
    (100, [16, 32, 64, 100]),
    (64, [16, 32, 64]),
    (8, [8]),
]


@dataclass
class Recorder:
    """An engine that notes what it is given; it fails or gets slow from a length on."""

    padded: bool = False
    fails_at: int = 1_000_000
    slow_at: int = 1_000_000
    gives: float = 0.0
    shapes: list[tuple[int, int]] = field(default_factory=list)
    texts: list[EncodedPair] = field(default_factory=list)

    def runs(self, pairs: Sequence[EncodedPair]) -> list[range]:
        return [range(len(pairs))] if self.padded else [range(i, i + 1) for i in range(len(pairs))]

    def score(self, pairs: Sequence[EncodedPair]) -> npt.NDArray[np.float32]:
        longest = max(pair.tokens for pair in pairs)
        if longest >= self.fails_at:
            raise RuntimeError("indices element out of data bounds")
        if longest >= self.slow_at:
            # What is slow can't be shown in less time than counts as slow.
            time.sleep(0.35)
        self.shapes.append((len(pairs), longest))
        self.texts += pairs
        return np.full(len(pairs), self.gives, dtype=np.float32)


def warm(
    engine: Engine,
    max_length: int,
    run_cost: RunCost | None = None,
    *,
    budget_tokens: int = 512,
    layout: LayoutName = "unpadded",
) -> float:
    scorer = scorer_of(engine, RunShape(layout), replace(IDENTITY, max_length=max_length))
    return warm_up(scorer, run_cost or RunCost(), budget_tokens)


@pytest.mark.parametrize(("max_length", "lengths"), LENGTHS)
def test_every_length_up_to_the_limit_runs_once(max_length: int, lengths: list[int]) -> None:
    engine = Recorder()
    warm(engine, max_length, budget_tokens=4_096)
    assert engine.shapes == [(1, length) for length in lengths]


@pytest.mark.parametrize(("max_length", "lengths"), LENGTHS)
@pytest.mark.parametrize("together", [True, False])
def test_where_pairs_share_a_run_it_is_as_large_as_can_be(max_length: int, lengths: list[int], together: bool) -> None:
    """On a device the largest batch is what a first caller would otherwise pay for; elsewhere it only takes long."""
    engine = Recorder(padded=True)
    warm(engine, max_length, budget_tokens=4_096, layout="padded" if together else "unpadded")
    assert engine.shapes == [(4_096 // length if together else 1, length) for length in lengths]


def test_a_slow_model_is_not_run_at_lengths_that_would_take_longer_still() -> None:
    engine = Recorder(slow_at=64)
    assert warm(engine, 8_192, budget_tokens=8_192) > 0.3
    assert engine.shapes == [(1, 16), (1, 32), (1, 64)]


def test_the_text_is_of_different_words() -> None:
    engine = Recorder()
    warm(engine, 512)
    assert len(set(engine.texts[-1].ids.tolist())) > 15


def test_a_model_that_can_t_run_is_told() -> None:
    with pytest.raises(ModelDamaged, match=r"64 tokens: indices element out of data bounds"):
        warm(Recorder(fails_at=64), 512)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_model_that_gives_no_numbers_is_told(wrong: float) -> None:
    with pytest.raises(ModelDamaged, match=rf"gives {wrong} for plain English text of 16 tokens: its weights are"):
        warm(Recorder(gives=wrong), 512)


def test_a_damaged_graph_is_told_before_it_takes_jobs(tmp_path: Path) -> None:
    engine = PlainEngine(write_tiny(tmp_path / "model.onnx", nan=True))
    with pytest.raises(ModelDamaged, match="gives nan"):
        warm(engine, 64)


def test_a_classifier_is_told_as_one_and_not_as_damaged(tmp_path: Path) -> None:
    engine = PlainEngine(write_tiny(tmp_path / "model.onnx", labels=2))
    with pytest.raises(ConfigurationError, match=r"^the model's output 'logits' has shape \[1, 2\]") as caught:
        warm(engine, 64)
    assert not isinstance(caught.value, ModelDamaged)


def test_the_length_that_still_runs_is_told(tmp_path: Path) -> None:
    """A position table may be shorter than config.json says."""
    with pytest.raises(ModelDamaged, match="It scored 32 tokens: RERANK_MAX_LENGTH=32 serves it so far"):
        warm(Recorder(fails_at=64), 512)
    with pytest.raises(ModelDamaged) as caught:
        warm(Recorder(fails_at=8), 512)
    assert "RERANK_MAX_LENGTH" not in caught.value.message


def test_it_is_the_first_measurement_of_what_runs_cost() -> None:
    run_cost = RunCost()
    seconds = warm(PlainEngine(FILES.model_path), 64, run_cost)
    assert seconds > 0
    assert run_cost.rate.tokens_per_s >= (16 + 32 + 64) / seconds
    known = run_cost.cost.parameters
    assert known is not None
    assert known.observations == 3
    assert 0 < known.predict_s(Work.pair(64)) < seconds
