"""Plain graphs as exporters write them: whatever they take and give, the same pair has the same logit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from rerank_shared.contract.activation import sigmoid
from rerank_shared.errors import ConfigurationError
from rerank_shared.scheduling.runs import RunShape
from rerank_worker.engine import PlainEngine, precision_of
from rerank_worker.engine.signature import log_odds
from support.model.exports import pairs_of
from support.model.tiny_graphs import write_tiny

PAIRS = pairs_of([12, 12, 40, 90])


def logits(path: Path) -> list[float]:
    engine = PlainEngine(path, RunShape("padded"))
    # Of one length each, since the tiny graph heeds no mask.
    return [float(logit) for run in (*([pair] for pair in PAIRS), PAIRS[:2]) for logit in engine.score(run)]


@pytest.mark.parametrize(
    "options",
    [
        {"ids": TensorProto.INT32},
        {"mask": TensorProto.BOOL},
        {"mask": TensorProto.FLOAT},
        {"flat": True},
        {"extra_output": True},
        {"ending": "sigmoid"},
        {"ending": "sigmoid behind a cast"},
        {"ending": "softmax of two"},
        {"ending": "sigmoid", "flat": True},
        {"ids": TensorProto.INT32, "ending": "softmax of two", "extra_output": True, "flat": True},
    ],
    ids=str,
)
def test_every_shape_gives_the_same_logits(options: dict[str, Any], tmp_path: Path) -> None:
    expected = logits(write_tiny(tmp_path / "usual.onnx"))
    assert max(expected) - min(expected) > 1
    assert logits(write_tiny(tmp_path / "odd.onnx", **options)) == pytest.approx(expected, abs=1e-4)


def test_half_precision_is_served_and_called_so(tmp_path: Path) -> None:
    expected = logits(write_tiny(tmp_path / "usual.onnx"))
    half = write_tiny(tmp_path / "half.onnx", weights=np.float16)
    assert logits(half) == pytest.approx(expected, abs=0.05)
    assert (precision_of(tmp_path / "usual.onnx"), precision_of(half)) == ("fp32", "fp16")


def test_a_softmax_over_one_label_is_no_score(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="softmax over one label, which is 1 whatever the pair"):
        PlainEngine(write_tiny(tmp_path / "model.onnx", "softmax of one"))


@pytest.mark.parametrize("count", [1, 3])
def test_a_classifier_whose_labels_have_no_fixed_number_is_told(tmp_path: Path, count: int) -> None:
    engine = PlainEngine(write_tiny(tmp_path / "model.onnx", labels=2))
    told = rf"'logits' has shape \[{count}, 2\] for a batch of {count}: a reranker has one logit a pair"
    with pytest.raises(ConfigurationError, match=told):
        engine.score(PAIRS[:1] * count)


def test_an_input_of_another_kind_is_told(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "model.onnx", mask=TensorProto.INT16)
    with pytest.raises(ConfigurationError, match=r"takes attention_mask \(tensor\(int16\)\)"):
        PlainEngine(path)


def test_log_odds_undo_the_sigmoid_and_are_finite_at_its_ends() -> None:
    probabilities = np.array([0.0, 1e-30, 0.25, 0.5, 0.999, 1.0], dtype=np.float32)
    found = log_odds(probabilities)
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()
    assert [sigmoid(float(logit)) for logit in found] == pytest.approx(probabilities.tolist(), abs=1e-6)
    assert np.isnan(log_odds(np.array([np.nan], dtype=np.float32))).all()
