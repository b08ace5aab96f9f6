"""A cross-encoder's forward pass as its papers write it: one pair, all tokens, 64-bit floats, no trick of any graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rerank_ops.export.graph.bodies.body import Body, Dense, Function, Layer, Norm
from rerank_worker.tokenizing import EncodedPair

Array = npt.NDArray[np.float64]
_erf = np.frompyfunc(math.erf, 1, 1)


def oracle(body: Body, pairs: Sequence[EncodedPair]) -> Array:
    """Return the logit of each pair, shape [pairs]."""
    return np.array([_logit(body, pair) for pair in pairs])


def _logit(body: Body, pair: EncodedPair) -> float:
    parts = body.embeddings
    x: Array = parts.words[pair.ids].astype(np.float64) + parts.positions[: pair.tokens]
    if parts.types is not None:
        x = x + parts.types[pair.type_ids]
    x = _norm(parts.norm, x)
    if parts.projection is not None:
        x = _linear(parts.projection, x)
    for layer in body.layers:
        x = _layer(body, layer, x)
    first = x[0]
    for step in body.head:
        first = _apply(step.then, _linear(step.dense, first))
    return float(first[0])


def _layer(body: Body, layer: Layer, x: Array) -> Array:
    x = _norm(layer.attention_norm, x + _linear(layer.attention_out, _attention(body, layer, x)))
    inner = _apply(body.activation, _linear(layer.up, x))
    return _norm(layer.output_norm, x + _linear(layer.down, inner))


def _attention(body: Body, layer: Layer, x: Array) -> Array:
    # Each [heads, tokens, width].
    q, k, v = (
        part.reshape(len(x), body.heads, body.head_width).transpose(1, 0, 2)
        for part in np.split(_linear(layer.qkv, x), 3, axis=-1)
    )
    scores = q @ k.transpose(0, 2, 1) / math.sqrt(body.head_width)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    context = shares / shares.sum(axis=-1, keepdims=True) @ v
    joined: Array = context.transpose(1, 0, 2).reshape(x.shape)
    return joined


def _linear(dense: Dense, x: Array) -> Array:
    product: Array = x @ dense.weight.astype(np.float64) + dense.bias
    return product


def _norm(norm: Norm, x: Array) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    scaled: Array = centred / np.sqrt(variance + norm.epsilon) * norm.scale + norm.shift
    return scaled


def _apply(function: Function, x: Array) -> Array:
    if function == "gelu":
        erf: Any = _erf(x / math.sqrt(2))
        gelu: Array = x * 0.5 * (1 + erf.astype(np.float64))
        return gelu
    known: dict[Function, Callable[[Array], Array]] = {
        "gelu_tanh": lambda x: x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        "relu": lambda x: np.maximum(x, 0),
        "tanh": np.tanh,
        "none": lambda x: x,
    }
    return known[function](x)
