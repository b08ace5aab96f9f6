"""Calls of the fused kernels: one for each whole layer, and one for the first tokens' part of the last layer.

A worker with the library `rerank-fleet-kernels` runs a kernel for each call. Elsewhere ONNX Runtime puts the function's
body in its place: the operators that the graph would have without it. The names and inputs are the library's contract
(worker/kernels/README.md). A function has no optional parts, so its name tells which products have smoothed inputs:
EncoderLayer_qu has those of qkv and up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rerank_ops.export.graph.bodies.body import Body, Dense, Floats, Layer, Norm
from rerank_ops.export.graph.draft import Draft
from rerank_ops.export.graph.functions.function_draft import call
from rerank_ops.export.graph.layout import Layout

#: Builds one layer, or its first tokens' part, from the hidden states called x.
Build = Callable[[Draft, Layout, str], str]
_HEAD_WIDTHS = (32, 64)
_STEP = 64
_ACTIVATIONS = ("gelu", "gelu_tanh", "relu")


def kernels_take(body: Body) -> bool:
    """Whether the kernels know the shapes and functions of this model."""
    widths = (body.hidden, *(layer.up.weight.shape[1] for layer in body.layers))
    return (
        body.head_width in _HEAD_WIDTHS
        and all(width % _STEP == 0 for width in widths)
        and body.activation in _ACTIVATIONS
    )


def layer_call(
    draft: Draft, body: Body, layout: Layout, layer: Layer, x: str, smoothing: Mapping[str, Floats], build: Build
) -> str:
    """Add a call for a whole layer and return its output; `build` makes the layer of operators.

    `smoothing` has the names of the products whose inputs are smoothed.
    """
    products = {"q": layer.qkv, "o": layer.attention_out, "u": layer.up, "d": layer.down}
    smoothed = {letter: dense for letter, dense in products.items() if dense.name in smoothing}
    weights = {
        **_dense(layer.qkv, "qkv"),
        **_dense(layer.attention_out, "out"),
        **_norm(layer.attention_norm, "attention_norm"),
        **_dense(layer.up, "up"),
        **_dense(layer.down, "down"),
        **_norm(layer.output_norm, "output_norm"),
        **{f"{dense.name}.smoothing": f"smoothing_{letter}" for letter, dense in smoothed.items()},
    }
    layout.prepare()
    return call(
        draft,
        "_".join(["EncoderLayer", *(["".join(smoothed)] if smoothed else [])]),
        x,
        weights,
        lambda inner: build(inner, layout.within(inner), "x"),
        layout.lengths(),
        heads=body.heads,
        activation=body.activation,
        attention_epsilon=layer.attention_norm.epsilon,
        output_epsilon=layer.output_norm.epsilon,
    )


def first_rows_call(draft: Draft, body: Body, layout: Layout, layer: Layer, x: str, build: Build) -> str:
    """Add a call for the first tokens' part of the last layer and return the rows."""
    weights = {f"{layer.qkv.name}.{part}": part for part in ("query", "query_bias", "key")}
    return call(
        draft,
        "FirstRows",
        x,
        weights,
        lambda inner: build(inner, layout.within(inner), "x"),
        layout.lengths(),
        heads=body.heads,
    )


def _dense(dense: Dense, name: str) -> dict[str, str]:
    stored = {"weight_int8": "weight", "weight_scale": "scale", "bias": "bias"}
    return {f"{dense.name}.{part}": f"{name}_{formal}" for part, formal in stored.items()}


def _norm(norm: Norm, name: str) -> dict[str, str]:
    return {f"{norm.name}.weight": f"{name}_weight", f"{norm.name}.bias": f"{name}_bias"}
