"""The warm-up: each length once, no batch over budget, and a model that can't run is found out before it takes jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest

from rerank_shared.catalogue import load_files
from rerank_shared.errors import ModelDamaged
from rerank_shared.settings import Settings
from rerank_worker.engine import OnnxEngine
from rerank_worker.rate import TokenRate
from rerank_worker.tokenizing import EncodedPair, PairTokenizer
from rerank_worker.warmup import warm_up

FILES = load_files(Settings().model)
TOKENIZER = PairTokenizer(FILES.tokenizer_path)


@dataclass
class Recorder:
    """An engine that notes what it is given, and fails from a length on."""

    padded: bool
    fails_at: int = 1_000_000
    shapes: list[tuple[int, int]] = field(default_factory=list)
    texts: list[EncodedPair] = field(default_factory=list)

    def runs(self, pairs: Sequence[EncodedPair]) -> list[range]:
        return [range(len(pairs))] if self.padded else [range(i, i + 1) for i in range(len(pairs))]

    def score(self, pairs: Sequence[EncodedPair]) -> npt.NDArray[np.float32]:
        longest = max(pair.tokens for pair in pairs)
        if longest >= self.fails_at:
            raise RuntimeError("indices element out of data bounds")
        self.shapes.append((len(pairs), longest))
        self.texts += pairs
        return np.zeros(len(pairs), dtype=np.float32)


@pytest.mark.parametrize(
    ("max_length", "lengths"),
    [(512, [16, 32, 64, 128, 256, 512]), (100, [16, 32, 64, 100]), (8, [8]), (64, [16, 32, 64])],
)
def test_every_length_up_to_the_limit_runs_once(max_length: int, lengths: list[int]) -> None:
    single, padded = Recorder(padded=False), Recorder(padded=True)
    for engine in (single, padded):
        warm_up(engine, TOKENIZER, TokenRate(), max_length, budget_tokens=2_048)
    assert single.shapes == [(1, length) for length in lengths]
    # On a device the largest batch is what a first caller would otherwise pay for.
    assert padded.shapes == [(2_048 // length, length) for length in lengths]


def test_the_text_is_of_different_words() -> None:
    engine = Recorder(padded=False)
    warm_up(engine, TOKENIZER, TokenRate(), 512, budget_tokens=512)
    assert len(set(engine.texts[-1].ids.tolist())) > 15


def test_a_model_that_can_t_run_is_told() -> None:
    with pytest.raises(ModelDamaged, match=r"64 tokens: indices element out of data bounds"):
        warm_up(Recorder(padded=False, fails_at=64), TOKENIZER, TokenRate(), 512, budget_tokens=512)


def test_it_is_the_first_measurement_of_the_rate() -> None:
    rate = TokenRate()
    seconds = warm_up(OnnxEngine(FILES.model_path), TOKENIZER, rate, 64, budget_tokens=64)
    assert seconds > 0
    assert rate.tokens_per_s >= (16 + 32 + 64) / seconds
