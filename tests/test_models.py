"""The poison model is poison: ONNX Runtime raises on one word, and scores everything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from rerank_shared.models.catalogue import load_files
from rerank_shared.models.precision import LayoutName
from rerank_shared.scheduling.runs import RunShape
from rerank_worker.batching.bisect import score_bisected
from rerank_worker.engine import PlainEngine
from rerank_worker.tokenizing import EncodedPair, PairTokenizer
from support.model.poison import POISON_WORD, write_poison_model

LAYOUTS = pytest.mark.parametrize("layout", ["unpadded", "padded"])
OUT_OF_BOUNDS = r"indices element out of data bounds"


@pytest.fixture(scope="module")
def poison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models") / "poison"
    write_poison_model(directory)
    return directory


def encode(poison: Path, *documents: str) -> list[EncodedPair]:
    return PairTokenizer(load_files(f"file:{poison}").tokenizer_path).encode("which animal", documents, 512)


@LAYOUTS
def test_plain_text_is_scored(poison: Path, layout: LayoutName) -> None:
    pairs = encode(poison, "a horse", "a cow with a longer text", "", "Ein Pferd, 日本語 and naïve punctuation!?")
    engine = PlainEngine(poison / "model.onnx", RunShape(layout))
    scores = np.concatenate([engine.score([pairs[i] for i in run]) for run in engine.runs(pairs)])
    assert np.isfinite(scores).all()
    assert len(set(scores.tolist())) == len(pairs)


@LAYOUTS
def test_the_word_makes_the_runtime_raise_and_not_crash(poison: Path, layout: LayoutName) -> None:
    engine = PlainEngine(poison / "model.onnx", RunShape(layout))
    (pair,) = encode(poison, f"a {POISON_WORD} in it")
    for _ in range(3):
        with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument, match=OUT_OF_BOUNDS):
            engine.score([pair])
    (plain,) = encode(poison, "a horse in it")
    assert np.isfinite(engine.score([plain])).all()


def test_it_spoils_a_padded_batch_and_isolation_saves_the_others(poison: Path) -> None:
    documents = [f"document {n}" for n in range(7)]
    documents.insert(4, f"the {POISON_WORD}")
    pairs = encode(poison, *documents)
    engine = PlainEngine(poison / "model.onnx", RunShape("padded"))
    with pytest.raises(Exception, match=OUT_OF_BOUNDS):
        engine.score(pairs)
    found = list(score_bisected(lambda part: engine.score(part).tolist(), pairs))
    assert [isinstance(logit, Exception) for _, logit in found] == [n == 4 for n in range(8)]
