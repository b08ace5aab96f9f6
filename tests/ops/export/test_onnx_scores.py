"""Plain ONNX graphs of any ending are exported as logits, and both forms of a model answer alike."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import onnx
import pytest
from onnx import TensorProto, helper

from rerank_ops.export.onnx_scores import keep_logits
from rerank_ops.export.pipeline import Wanted, export
from rerank_ops.export.sources.onnx_weights import load_onnx
from rerank_shared.errors import ConfigurationError, ModelDamaged
from rerank_shared.models.catalogue import ModelFiles, load_files
from rerank_worker.engine import identity_of, open_engine
from rerank_worker.engine.whole import run_engine
from rerank_worker.tokenizing import PairTokenizer
from support.model.tiny_graphs import IDENTITY, write_tiny, write_tiny_model

TEXTS = ["berlin has four million people", "a lake", "museums and old trades, of which there are many here"]
#: The tiny graphs heed no mask.
SINGLE = Wanted("fp32", layouts=("unpadded",))
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def answers(files: ModelFiles) -> list[float]:
    """Return the logits that a worker gives for the texts."""
    pairs = PairTokenizer.of(files).encode("how many people live in berlin?", TEXTS, 128)
    return [float(logit) for logit in run_engine(open_engine(files), pairs)]


def exported(model: str, directory: Path) -> ModelFiles:
    export(model, directory, SINGLE)
    return load_files(f"file:{directory}")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ending": "sigmoid"},
        {"ending": "sigmoid behind a cast"},
        {"ending": "softmax of two"},
        {"ids": TensorProto.INT32},
        {"flat": True},
        {"extra_output": True},
        {"data_file": "model.onnx_data"},
    ],
    ids=str,
)
def test_the_plain_and_the_exported_form_answer_alike(options: dict[str, Any], tmp_path: Path) -> None:
    own = {"activation_fn": IDENTITY, "prompts": {"web": "search: "}, "default_prompt_name": "web"}
    usual = write_tiny_model(tmp_path / "usual", configs={"config_sentence_transformers.json": own})
    expected = load_files(f"file:{usual}")
    directory = write_tiny_model(tmp_path / "model", configs={"config_sentence_transformers.json": own})
    write_tiny(directory / "model.onnx", **options)
    plain, made = load_files(f"file:{directory}"), exported(str(directory), tmp_path / "out")
    for files in (plain, made):
        assert answers(files) == pytest.approx(answers(expected), abs=1e-4)
        assert files.prompt == "search: "
    templates = {identity_of(files, PairTokenizer.of(files), "unpadded").template for files in (plain, made)}
    assert len(templates) == 1
    probability = "ending" in options
    assert (plain.activation, made.activation) == (("sigmoid",) * 2 if probability else ("identity",) * 2)


def test_an_activation_of_its_own_is_kept_without_a_sigmoid_in_the_graph(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model", "sigmoid")
    assert exported(str(tmp_path / "model"), tmp_path / "out").activation == "sigmoid"
    graph = onnx.load(tmp_path / "out" / "model.onnx", load_external_data=False).graph
    assert "Sigmoid" not in {node.op_type for node in graph.node}


def test_weights_in_a_data_file_of_the_hub_s_cache_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache holds links to files that are called by their digests."""
    config = {"model_type": "tiny", "architectures": ["JinaBertModel"], "max_position_embeddings": 256}
    model = write_tiny_model(tmp_path / "model", configs={"config.json": config})
    (model / "model.onnx").unlink()
    write_tiny(model / "onnx" / "model.onnx", data_file="model.onnx_data")
    repository = tmp_path / "hub" / "models--org--ext"
    snapshot = repository / "snapshots" / COMMIT
    for directory in (snapshot / "onnx", repository / "blobs", repository / "refs"):
        directory.mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    for number, path in enumerate(path for path in sorted(model.rglob("*")) if path.is_file()):
        blob = path.rename(repository / "blobs" / f"{number:040x}")
        link = snapshot / path.relative_to(model)
        link.symlink_to(os.path.relpath(blob, link.parent))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    made = exported("org/ext", tmp_path / "out")
    expected = load_files(f"file:{write_tiny_model(tmp_path / 'usual')}")
    assert (made.name, made.max_length) == ("org/ext", 256)
    assert answers(made) == pytest.approx(answers(expected), abs=1e-5)


def test_data_that_is_cut_off_or_outside_is_told(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "model.onnx", data_file="model.onnx_data")
    whole = load_onnx(path)
    assert not any(tensor.external_data for tensor in whole.graph.initializer)
    data = tmp_path / "model.onnx_data"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(ModelDamaged, match=r"model\.onnx_data is cut off"):
        load_onnx(path)
    data.unlink()
    with pytest.raises(ModelDamaged, match=r"model\.onnx can't be read"):
        load_onnx(path)
    path.write_bytes(path.read_bytes().replace(b"model.onnx_data", b"../../../secret"))
    with pytest.raises(ConfigurationError, match="outside"):
        load_onnx(path)


def test_a_model_of_nothing_but_nan_is_not_written(tmp_path: Path) -> None:
    write_tiny(write_tiny_model(tmp_path / "model") / "model.onnx", nan=True)
    with pytest.raises(ConfigurationError, match="gives nan or inf for ordinary text"):
        export(str(tmp_path / "model"), tmp_path / "out", SINGLE)


def signature(inputs: list[str], *shape: str | int) -> onnx.ModelProto:
    return helper.make_model(
        helper.make_graph(
            [],
            "none",
            [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in inputs],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, list(shape))],
        )
    )


def test_graphs_of_another_kind_are_refused(tmp_path: Path) -> None:
    for labels in ((1,), (), ("labels",)):
        assert keep_logits(signature(["input_ids", "attention_mask"], "batch", *labels)) == ""
    with pytest.raises(ConfigurationError, match=r"takes \['input_ids', 'pixels'\]"):
        keep_logits(signature(["input_ids", "pixels"], "batch", 1))
    for sizes in ((3,), ("tokens", 384)):
        with pytest.raises(ConfigurationError, match="one logit a pair"):
            keep_logits(signature(["input_ids"], "batch", *sizes))
    with pytest.raises(ConfigurationError, match="softmax over one label, always 1"):
        keep_logits(onnx.load(write_tiny(tmp_path / "model.onnx", "softmax of one")))


def test_a_score_picked_from_labels_has_no_other_graph(tmp_path: Path) -> None:
    model = onnx.load(write_tiny(tmp_path / "model.onnx", "softmax of two", extra_output=True))
    assert keep_logits(model) == "its score is picked from several labels"
    assert [output.name for output in model.graph.output] == ["logits_log_odds"]
    onnx.checker.check_model(model)
