"""Configuration of an ONNX graph without a config.json: derived from the graph itself.

Sizes follow from the tensors; heads, activation and epsilon from constants in the graph. Only BERT, RoBERTa and ELECTRA
are supported: other families have settings that leave no trace in the graph.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from rerank_ops.export.sources.onnx_view import OnnxView, attribute
from rerank_ops.export.sources.weights import Tensor
from rerank_shared.errors import ConfigurationError

_ADD_CONFIG = "put the model's config.json beside the ONNX file"
#: RoBERTa and XLM-RoBERTa are one architecture; both count positions from behind the padding id.
_FAMILIES: dict[str, dict[str, Any]] = {
    "bert": {"pad_token_id": 0},
    "roberta": {"pad_token_id": 1},
    "electra": {"pad_token_id": 0},
}
_LAYER = re.compile(r"\w+\.encoder\.layer\.(\d+)\.")


def derive_config(view: OnnxView, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the content of config.json. Raises ConfigurationError where a value can't be derived."""
    family = next((f for f in _FAMILIES if f"{f}.embeddings.word_embeddings.weight" in tensors), None)
    if family is None:
        raise ConfigurationError(f"the graph's family can't be told from its names: {_ADD_CONFIG}")
    words = tensors[f"{family}.embeddings.word_embeddings.weight"]
    try:
        intermediate, hidden = tensors[f"{family}.encoder.layer.0.intermediate.dense.weight"].shape
        positions = tensors[f"{family}.embeddings.position_embeddings.weight"].shape[0]
        types = tensors[f"{family}.embeddings.token_type_embeddings.weight"].shape[0]
        last = next(name for name in ("classifier.weight", "classifier.out_proj.weight") if name in tensors)
    except (KeyError, StopIteration) as error:
        raise ConfigurationError(f"the graph is no whole {family} reranker (missing {error}): {_ADD_CONFIG}") from None
    return (
        _FAMILIES[family]
        | _padding(view)
        | {
            "model_type": family,
            "vocab_size": words.shape[0],
            "hidden_size": hidden,
            "num_hidden_layers": 1 + max(int(m[1]) for name in tensors if (m := _LAYER.match(name))),
            "num_attention_heads": _heads(view, hidden),
            "intermediate_size": intermediate,
            "max_position_embeddings": positions,
            "type_vocab_size": types,
            "layer_norm_eps": _epsilon(view),
            "hidden_act": _activation(view),
            "num_labels": tensors[last].shape[0],
        }
        | ({"embedding_size": words.shape[1]} if family == "electra" else {})
    )


def _padding(view: OnnxView) -> dict[str, int]:
    """Return the padding id that the graph compares its input with, as graphs that start positions behind it do."""
    for node in view.nodes:
        if node.op_type == "Equal" and "input_ids" in node.input:
            known = [array for name in node.input if (array := view.constant(name)) is not None and array.size == 1]
            return {"pad_token_id": int(known[0].reshape(()))} if known else {}
    return {}


def _heads(view: OnnxView, hidden: int) -> int:
    """Return the number of heads, from a shape whose last two of four numbers have the row's width as product."""
    for shape in _shapes(view):
        if len(shape) == 4 and shape[2] is not None and shape[3] is not None and shape[2] * shape[3] == hidden:
            return shape[2]
    raise ConfigurationError(f"the graph does not tell how many attention heads there are: {_ADD_CONFIG}")


def _shapes(view: OnnxView) -> Iterable[list[int | None]]:
    """Yield the target shape of each Reshape, None for sizes known only at run time."""
    for node in view.nodes:
        if node.op_type != "Reshape":
            continue
        whole, made = view.constant(node.input[1]), view.producers.get(node.input[1])
        if whole is not None:
            yield [int(size) for size in whole]
        elif made is not None and made.op_type == "Concat":
            parts = [view.constant(name) for name in made.input]
            yield [None if part is None or part.size != 1 else int(part.reshape(())) for part in parts]


def _epsilon(view: OnnxView) -> float:
    """Return the epsilon of the first normalisation: an attribute, or the constant added before its square root."""
    for node in view.nodes:
        if node.op_type == "LayerNormalization":
            return _short(attribute(node, "epsilon", 1e-5))
        added = view.producers.get(node.input[0]) if node.op_type == "Sqrt" else None
        if added is not None and added.op_type == "Add":
            parts = [part for name in added.input if (part := view.constant(name)) is not None and part.size == 1]
            if parts:
                return _short(parts[0].reshape(()))
    raise ConfigurationError(f"the graph does not tell the epsilon of its normalisations: {_ADD_CONFIG}")


def _activation(view: OnnxView) -> str:
    kinds = {node.op_type for node in view.nodes}
    if "Erf" in kinds or "Gelu" in kinds:
        return "gelu"
    if "Relu" in kinds:
        return "relu"
    raise ConfigurationError(f"the graph does not tell its activation function: {_ADD_CONFIG}")


def _short(value: Any) -> float:
    """Return the shortest decimal number of a 32-bit float: 1e-12, not 9.999999960041972e-13."""
    return float(str(np.float32(value)))
