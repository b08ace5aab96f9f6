"""One small cross-encoder in the many shapes that exporters give it: types of inputs, outputs, what it ends in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rerank_shared.models.catalogue import load_files
from rerank_shared.settings import Settings

Ending = Literal["logit", "sigmoid", "sigmoid behind a cast", "softmax of two", "softmax of one"]
_WIDTH, _VOCABULARY = 4, 31_000
#: Of torch's classes, as sentence-transformers stores them.
IDENTITY = "torch.nn.modules.linear.Identity"


def write_tiny(
    path: Path,
    ending: Ending = "logit",
    *,
    ids: int = TensorProto.INT64,
    mask: int | None = None,
    weights: type[np.generic] = np.float32,
    flat: bool = False,
    labels: int = 1,
    extra_output: bool = False,
    nan: bool = False,
    data_file: str | None = None,
) -> Path:
    """Write the graph and return its path; with every option its logit is the same, but where it ends in NaN.

    With `labels` each pair has it as often, and the graph does not say how often.

    Logits lie between -6 and 6 or so, one a pair by its ids' mean embedding.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(3)
    head = random.normal(size=(_WIDTH, 1)) * (np.nan if nan else 3.0)
    # A classifier's two labels whose difference is the logit.
    if ending == "softmax of two":
        head = np.concatenate([np.zeros_like(head), head], axis=1)
    head = np.repeat(head, labels, axis=1)
    tensors = {"table": random.normal(size=(_VOCABULARY, _WIDTH)), "head": head}
    types = {"input_ids": ids, "attention_mask": mask or ids, "token_type_ids": ids}
    axes = ["batch"] if flat else ["batch", "labels" if labels > 1 else 1]
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "input_ids"], ["tokens"]),
            helper.make_node("ReduceMean", ["tokens"], ["mean"], axes=[1], keepdims=0),
            helper.make_node("MatMul", ["mean", "head"], ["raw"]),
            *([helper.make_node("Compress", ["raw", "kept"], ["some"], axis=1)] if labels > 1 else []),
            helper.make_node("Cast", ["some" if labels > 1 else "raw"], ["scores"], to=TensorProto.FLOAT),
            *_end(ending, flat=flat),
        ],
        "tiny",
        [helper.make_tensor_value_info(name, kind, ["batch", "tokens"]) for name, kind in types.items()],
        [
            *([helper.make_tensor_value_info("mean", helper.np_dtype_to_tensor_dtype(np.dtype(weights)), ["batch", 4])]
              if extra_output else []),
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, axes),
        ],
        [numpy_helper.from_array(array.astype(weights), name) for name, array in tensors.items()],
    )  # fmt: skip
    if ending == "softmax of two":
        graph.initializer.append(numpy_helper.from_array(np.array([1]), "second"))
    if labels > 1:
        # Nobody can tell without running it how many a Compress keeps.
        graph.initializer.append(numpy_helper.from_array(np.ones(labels, dtype=np.bool_), "kept"))
    if flat:
        graph.initializer.append(numpy_helper.from_array(np.array([1]), "labels_axis"))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.save(model, path, save_as_external_data=data_file is not None, location=data_file, size_threshold=0)
    return path


def write_tiny_model(directory: Path, ending: Ending = "logit", configs: dict[str, Any] | None = None) -> Path:
    """Write the graph with the catalogue model's tokenizer and the config files by name, and return the directory."""
    write_tiny(directory / "model.onnx", ending)
    shutil.copy(load_files(Settings().model).tokenizer_path, directory / "tokenizer.json")
    for name, content in (configs or {}).items():
        (directory / name).write_text(json.dumps(content), encoding="utf-8")
    return directory


def _end(ending: Ending, *, flat: bool) -> list[onnx.NodeProto]:
    last = "column" if flat else "logits"
    steps = {
        "logit": [helper.make_node("Identity", ["scores"], [last])],
        "sigmoid": [helper.make_node("Sigmoid", ["scores"], [last])],
        "sigmoid behind a cast": [
            helper.make_node("Sigmoid", ["scores"], ["probability"]),
            helper.make_node("Cast", ["probability"], [last], to=TensorProto.FLOAT),
        ],
        "softmax of two": [
            helper.make_node("Softmax", ["scores"], ["shares"], axis=-1),
            helper.make_node("Gather", ["shares", "second"], [last], axis=1),
        ],
        "softmax of one": [helper.make_node("Softmax", ["scores"], [last], axis=-1)],
    }[ending]
    return [*steps, *([helper.make_node("Squeeze", ["column", "labels_axis"], ["logits"])] if flat else [])]
