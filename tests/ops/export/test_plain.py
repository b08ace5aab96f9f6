"""The plain export of every family equals transformers' own output, alone and in padded batches of any shape."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from rerank_ops.export.plain import (
    check_traceable,
    export_plain,
    first_line,
    load_classifier,
    optimise_plain,
    plain_files,
)
from rerank_ops.export.reference import onnx_reference, torch_reference
from rerank_shared.errors import ConfigurationError
from rerank_shared.models.cpu import host_features
from rerank_shared.models.precision import PrecisionName
from rerank_worker.tokenizing import EncodedPair, PairTokenizer
from support.model.toy_models import (
    FAMILIES,
    MAX_TOKENS,
    padded_inputs,
    padded_logits,
    reference_logits,
    toy_pairs,
    write_toy,
)

Toy = Callable[[str], Path]
pytestmark = pytest.mark.export
EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module")
def plain(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """The directory of a family's traced fp32 graph."""
    found: dict[str, Path] = {}

    def export(family: str) -> Path:
        if family not in found:
            found[family] = export_plain(toy(family), tmp_path_factory.mktemp("plain")).parent
        return found[family]

    return export


def encode(directory: Path, pairs: list[tuple[str, str]]) -> list[EncodedPair]:
    tokenizer = PairTokenizer(directory / "tokenizer.json")
    return [tokenizer.encode(query, [document], MAX_TOKENS)[0] for query, document in pairs]


def run_padded(path: Path, directory: Path, pairs: list[tuple[str, str]]) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = padded_inputs(directory, pairs)
    (logits,) = session.run(None, {node.name: inputs[node.name] for node in session.get_inputs()})
    assert logits.shape == (len(pairs), 1)
    return np.asarray(logits[:, 0])


@EVERY_FAMILY
def test_pairs_of_any_length_score_as_in_transformers(family: str, toy: Toy, plain: Toy, tmp_path: Path) -> None:
    pairs = toy_pairs(9)
    files = plain_files(plain(family) / "model.onnx", tmp_path, "fp32")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)
    expected, encoded = reference_logits(toy(family), pairs), encode(toy(family), pairs)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(onnx_reference(tmp_path / "model.onnx")(encoded), expected, atol=1e-4)
    np.testing.assert_allclose(torch_reference(toy(family))(encoded), expected, atol=1e-6)


@EVERY_FAMILY
@pytest.mark.parametrize("count", [1, 2, 7])
def test_padding_changes_nothing(family: str, count: int, toy: Toy, plain: Toy, tmp_path: Path) -> None:
    pairs = toy_pairs(count, seed=count)
    optimise_plain(plain(family) / "model.onnx", tmp_path)
    logits = run_padded(tmp_path / "model.onnx", toy(family), pairs)
    np.testing.assert_allclose(logits, padded_logits(toy(family), pairs), atol=1e-4)
    np.testing.assert_allclose(logits, reference_logits(toy(family), pairs), atol=1e-4)


@EVERY_FAMILY
def test_int8_is_near_and_is_int8(family: str, toy: Toy, plain: Toy, tmp_path: Path) -> None:
    pairs = toy_pairs(20)
    # As the export decides it.
    plain_files(plain(family) / "model.onnx", tmp_path, "int8", reduced_range=host_features().saturates)
    expected = reference_logits(toy(family), pairs)
    found = onnx_reference(tmp_path / "model.onnx")(encode(toy(family), pairs))
    assert np.abs(found - expected).max() > 1e-4
    assert np.corrcoef(found, expected)[0, 1] > 0.95
    graph = onnx.load(tmp_path / "model.onnx").graph
    int8 = [tensor for tensor in graph.initializer if tensor.data_type == TensorProto.INT8 and len(tensor.dims) == 2]
    # At the least query, key and value (or all three in one), attention's output, and both of the feed-forward network.
    assert len(int8) >= (4 * 4 if family == "modernbert" else 2 * 6)


def test_weights_lie_outside_of_the_graph(toy: Toy, plain: Toy, tmp_path: Path) -> None:
    optimise_plain(plain("bert") / "model.onnx", tmp_path)
    graph = onnx.load(tmp_path / "model.onnx", load_external_data=False).graph
    inside = [t.name for t in graph.initializer if t.data_location != TensorProto.EXTERNAL and np.prod(t.dims) > 256]
    assert inside == []
    assert (tmp_path / "weights.bin").stat().st_size > 50_000


def test_a_model_without_its_head_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    directory = write_toy("bert", tmp_path / "headless")
    tensors = load_file(directory / "model.safetensors")
    save_file(
        {k: v for k, v in tensors.items() if "classifier" not in k}, directory / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(ConfigurationError, match=r"lack classifier\.bias, classifier\.weight: they are no whole"):
        load_classifier(directory)


def test_what_optimum_does_not_know_is_told(tmp_path: Path) -> None:
    directory = write_toy("yoso", tmp_path / "yoso")
    with pytest.raises(ConfigurationError, match=r"optimum can't export model_type 'yoso': .*give the ONNX file"):
        export_plain(directory, tmp_path)


@pytest.mark.parametrize("precision", ["int8-static", "fp16"])
def test_other_precisions_are_refused(precision: PrecisionName, plain: Toy, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=rf"no {precision}: it makes fp32 and int8"):
        plain_files(plain("bert") / "model.onnx", tmp_path, precision)


def test_what_optimum_can_t_trace_is_told_and_not_raised(tmp_path: Path) -> None:
    """Tracing runs the model's code, which may raise anything: Longformer's raises an IndexError."""
    directory = write_toy(
        "longformer", tmp_path / "longformer", attention_window=8, type_vocab_size=1, max_position_embeddings=130
    )
    with pytest.raises(ConfigurationError, match=r"optimum can't export model_type 'longformer': .*the ONNX file"):
        export_plain(directory, tmp_path)


def test_what_optimum_knows_can_be_asked_before_there_are_weights() -> None:
    check_traceable({"model_type": "mpnet"})
    for family, why in (("yoso", "not supported"), ("t5", "it knows no text-classification")):
        with pytest.raises(ConfigurationError, match=f"can't export model_type '{family}': .*{why}"):
            check_traceable({"model_type": family})


def test_a_config_may_leave_its_one_label_out(tmp_path: Path) -> None:
    directory = write_toy("bert", tmp_path / "bert")
    config = json.loads((directory / "config.json").read_text())
    bare = {name: value for name, value in config.items() if name not in ("id2label", "label2id", "num_labels")}
    (directory / "config.json").write_text(json.dumps(bare))
    assert load_classifier(directory).config.num_labels == 1


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("Errors in state_dict:\n\tsize mismatch"), "Errors in state_dict: size mismatch"),
        (ValueError("one thing\nand another"), "one thing"),
        (KeyError("yoso"), "KeyError: 'yoso'"),
        (IndexError(), "IndexError"),
    ],
)
def test_an_error_is_told_in_one_line_that_says_something(error: Exception, line: str) -> None:
    assert first_line(error) == line
