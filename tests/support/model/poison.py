"""Tiny real models for tests: ONNX files that ONNX Runtime loads and runs like any cross-encoder's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rerank_shared.models.catalogue import load_files
from rerank_shared.settings import Settings

#: Its token id (29,145) lies beyond the poison model's embedding table; all ids of plainer words lie within.
POISON_WORD = "zebra"
_WIDTH = 4


def write_poison_model(directory: Path, table_rows: int = 29_000) -> None:
    """Write a model that scores any pair but one with a rare word, on which ONNX Runtime raises (Gather out of range).

    It is what a vocabulary that does not match its weights does in the field. Its tokenizer is the real one.
    """
    directory.mkdir(parents=True)
    real = load_files(Settings().model)
    shutil.copy(real.tokenizer_path, directory / "tokenizer.json")
    (directory / "config.json").write_text(json.dumps({"max_position_embeddings": 512}))
    random = np.random.default_rng(7)
    weights = {
        "embeddings": random.normal(size=(table_rows, _WIDTH)).astype(np.float32),
        "head": random.normal(size=(_WIDTH, 1)).astype(np.float32),
    }
    names = ("input_ids", "attention_mask", "token_type_ids")
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["embeddings", "input_ids"], ["tokens"]),
            helper.make_node("ReduceMean", ["tokens"], ["mean"], axes=[1], keepdims=0),
            helper.make_node("MatMul", ["mean", "head"], ["logits"]),
        ],
        "poison",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in names],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, directory / "model.onnx")
