"""A small embedder that ONNX Runtime loads: states looked up by token id, with the files of sentence-transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rerank_shared.models.catalogue import load_files
from rerank_shared.settings import Settings

WIDTH, _VOCABULARY = 8, 31_000
MEAN = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
CLS = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}


def write_tiny_embedder(
    directory: Path,
    pooling: dict[str, Any] | None = MEAN,
    configs: dict[str, Any] | None = None,
    *,
    rows: int = _VOCABULARY,
    pooled: bool = False,
    nan: bool = False,
) -> Path:
    """Write it and return the directory; token ids from `rows` on can't be run. `pooled`: the graph takes the mean."""
    directory.mkdir(parents=True, exist_ok=True)
    table = np.random.default_rng(5).normal(size=(rows, WIDTH)).astype(np.float32) * (np.nan if nan else 1)
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])]
    outputs = [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "tokens", WIDTH])]
    if pooled:
        nodes.append(
            helper.make_node("ReduceMean", ["last_hidden_state"], ["sentence_embedding"], axes=[1], keepdims=0)
        )
        outputs.append(helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", WIDTH]))
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    graph = helper.make_graph(
        nodes, "tiny", inputs, outputs, [numpy_helper.from_array(table.astype(np.float32), "table")]
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), directory / "model.onnx"
    )
    shutil.copy(load_files(Settings().model).tokenizer_path, directory / "tokenizer.json")
    if pooling is not None:
        write_json(directory / "1_Pooling" / "config.json", pooling)
    for name, content in (configs or {}).items():
        write_json(directory / name, content)
    return directory


def write_json(path: Path, content: Any) -> None:
    """Write a config file."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
