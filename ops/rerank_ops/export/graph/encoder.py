"""Encoder graph for one layout: all layers but the last in full, and the part of the last that the first token needs.

After the last layer only the first token is read, so only its query attends, and the key and value projections are
absorbed. With the first token's query q of one head, q·K = (q·Wk^T)·X and p·V = (p·X)·Wv for all tokens X: each costs
one row instead of a projection of every token. The key bias cancels in the softmax. This is exact and saves a whole
layer's linear work. The rest of that layer has one row a pair; tail.py computes it for many pairs at once.
"""

from __future__ import annotations

import math

import numpy as np
import onnx

from rerank_ops.export.graph.arithmetic import Arithmetic, Dynamic
from rerank_ops.export.graph.bodies.body import Body, Embeddings, Function, Layer, Norm
from rerank_ops.export.graph.draft import FLOAT, Draft
from rerank_ops.export.graph.functions.kernel_calls import first_rows_call, kernels_take, layer_call
from rerank_ops.export.graph.layout import Attention, Layout
from rerank_ops.export.graph.layouts import LAYOUT_CLASSES
from rerank_shared.models.precision import LayoutName


def build_encoder(
    body: Body, layout_name: LayoutName, arithmetic: Arithmetic, *, states: bool = False
) -> onnx.ModelProto:
    """Return the graph of `layout_name`, from token ids to one row a pair, [pairs, (heads + 1) * hidden].

    With `states`, the first tokens' hidden states after each layer but the last are outputs too; see `state_output`.
    """
    draft = Draft(layout_name, arithmetic.dtype)
    layout = LAYOUT_CLASSES[layout_name](draft)
    x = layer_norm(draft, _embeddings(draft, body.embeddings, layout, arithmetic), body.embeddings.norm)
    if body.embeddings.projection is not None:
        x = arithmetic.linear(draft, x, body.embeddings.projection)
    for done, layer in enumerate(body.layers[:-1], start=1):
        x = _layer(draft, body, layout, layer, x, arithmetic)
        if states:
            put_state(draft, done, layout.first(x), body.hidden)
    rows = _first_rows(draft, body, layout, body.layers[-1], x, arithmetic)
    return finish_encoder(draft, rows, row_width(body))


def row_width(body: Body) -> int:
    """Return the floats of a pair's row: each head's mean of the hidden states, and the first token's hidden state."""
    return (body.heads + 1) * body.hidden


def finish_encoder(draft: Draft, rows: str, width: int) -> onnx.ModelProto:
    """Return the graph with `rows`, [pairs, width], as its output, in 32-bit floats at any precision."""
    if draft.float_type != FLOAT:
        rows = draft.add("Cast", rows, to=FLOAT)
    draft.output("rows", rows, ["pairs", width])
    return draft.finish()


def state_output(layers: int) -> str:
    """Return the name of the output that holds what a head would read after so many layers, [pairs, hidden]."""
    return f"state_{layers}"


def put_state(draft: Draft, layers: int, state: str, hidden: int) -> None:
    """Declare `state`, [pairs, 1, hidden] or [pairs, hidden], as the output of so many layers."""
    rows = draft.add("Reshape", state, draft.integers(-1, hidden))
    draft.output(state_output(layers), rows, ["pairs", hidden])


def layer_norm(draft: Draft, x: str, norm: Norm) -> str:
    """Return the normalised x. SkipLayerNormalization, which also fuses the residual, is slower on CPU."""
    scale = draft.weight(f"{norm.name}.weight", norm.scale)
    shift = draft.weight(f"{norm.name}.bias", norm.shift)
    return draft.add("LayerNormalization", x, scale, shift, epsilon=norm.epsilon)


def feed_forward(draft: Draft, function: Function, layer: Layer, attended: str, x: str, arithmetic: Arithmetic) -> str:
    """Return a layer's output from its attention: projection, residual, feed-forward, residual."""
    x = layer_norm(
        draft, draft.add("Add", arithmetic.linear(draft, attended, layer.attention_out), x), layer.attention_norm
    )
    inner = arithmetic.apply(draft, function, arithmetic.linear(draft, x, layer.up))
    return layer_norm(draft, draft.add("Add", arithmetic.linear(draft, inner, layer.down), x), layer.output_norm)


def _embeddings(draft: Draft, embeddings: Embeddings, layout: Layout, arithmetic: Arithmetic) -> str:
    """Return the sum of word, position and type embeddings."""
    words = arithmetic.lookup(draft, "embeddings.words", embeddings.words, layout.ids())
    total = draft.add("Add", words, layout.by_position("embeddings.positions", embeddings.positions))
    if embeddings.types is None:
        return total
    rows = draft.add("Gather", draft.weight("embeddings.types", embeddings.types), layout.types())
    return draft.add("Add", total, rows)


def _layer(draft: Draft, body: Body, layout: Layout, layer: Layer, x: str, arithmetic: Arithmetic) -> str:
    """Return a layer's output: a call of a kernel where there is one, else operators."""

    def operators(draft: Draft, layout: Layout, x: str) -> str:
        return _layer_of_operators(draft, body, layout, layer, x, arithmetic)

    if isinstance(arithmetic, Dynamic) and kernels_take(body):
        return layer_call(draft, body, layout, layer, x, arithmetic.smoothing, operators)
    return operators(draft, layout, x)


def _layer_of_operators(draft: Draft, body: Body, layout: Layout, layer: Layer, x: str, arithmetic: Arithmetic) -> str:
    qkv = arithmetic.linear(draft, x, layer.qkv)
    q, k, v = draft.add_many(3, "Split", qkv, axis=-1, num_outputs=3)
    return feed_forward(draft, body.activation, layer, layout.attend(q, k, v, Attention(body.heads)), x, arithmetic)


def _first_rows(draft: Draft, body: Body, layout: Layout, layer: Layer, x: str, arithmetic: Arithmetic) -> str:
    """Return each pair's row: a call of a kernel where there is one, else operators."""

    def operators(draft: Draft, layout: Layout, x: str) -> str:
        return _first_rows_of_operators(draft, body, layout, layer, x)

    if isinstance(arithmetic, Dynamic) and kernels_take(body):
        return first_rows_call(draft, body, layout, layer, x, operators)
    return operators(draft, layout, x)


def _first_rows_of_operators(draft: Draft, body: Body, layout: Layout, layer: Layer, x: str) -> str:
    hidden, heads, width = body.hidden, body.heads, body.head_width
    states, first, bias = layout.over_pairs(x), layout.first(x), layout.unseen()
    query_weight, key_weight = layer.qkv.weight[:, :hidden], layer.qkv.weight[:, hidden : 2 * hidden]
    scaled = 1 / math.sqrt(width)
    weight = draft.weight(f"{layer.qkv.name}.query", np.asarray(query_weight * scaled, np.float32))
    offset = draft.weight(f"{layer.qkv.name}.query_bias", np.asarray(layer.qkv.bias[:hidden] * scaled, np.float32))
    query = draft.add("Add", draft.add("MatMul", first, weight), offset)
    by_head = draft.add("Reshape", query, draft.integers(-1, heads, 1, width))
    # [heads, width, hidden]: maps a head's query to a query over hidden states.
    absorbed = draft.weight(f"{layer.qkv.name}.key", key_weight.T.reshape(heads, width, hidden))
    wide = draft.add("Reshape", draft.add("MatMul", by_head, absorbed), draft.integers(-1, heads, hidden))
    scores = draft.fused("FusedMatMul", wide, states, transB=1)
    if bias:
        scores = draft.add("Add", scores, bias)
    means = draft.add("MatMul", draft.add("Softmax", scores, axis=-1), states)
    flat = draft.add("Reshape", means, draft.integers(-1, heads * hidden))
    return draft.add("Concat", flat, draft.add("Reshape", first, draft.integers(-1, hidden)), axis=1)
