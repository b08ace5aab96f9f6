"""Graphs of ModernBERT: an encoder for each layout, and the tail.

Where the head reads the first token, the last layer's query, projection and feed-forward are computed for that token
alone. Its keys and values are computed for all tokens: keys are rotated by each token's position, so their projection
can't be absorbed as in encoder.py. Where the head reads the mean, every layer is computed for every token.
"""

from __future__ import annotations

import math

import onnx

from rerank_ops.export.graph.arithmetic import Arithmetic, Full
from rerank_ops.export.graph.bodies.body import Dense, Step
from rerank_ops.export.graph.bodies.modern import ModernBody, ModernLayer
from rerank_ops.export.graph.draft import FLOAT, Draft
from rerank_ops.export.graph.encoder import finish_encoder, layer_norm, put_state
from rerank_ops.export.graph.layout import Attention, Layout, by_head
from rerank_ops.export.graph.layouts import LAYOUT_CLASSES
from rerank_ops.export.graph.tail import finish_tail
from rerank_shared.models.precision import LayoutName


def build_modern_encoder(
    body: ModernBody, layout_name: LayoutName, arithmetic: Arithmetic, *, states: bool = False
) -> onnx.ModelProto:
    """Return the graph of `layout_name`, from token ids to one row a pair, [pairs, row_width].

    With `states`, what a head would read after each layer but the last is an output too; see `state_output`.
    """
    draft = Draft(layout_name, arithmetic.dtype)
    layout = LAYOUT_CLASSES[layout_name](draft)
    words = arithmetic.lookup(draft, "embeddings.words", body.words, layout.ids())
    x = layer_norm(draft, words, body.norm)
    whole = body.layers if body.pooling == "mean" else body.layers[:-1]
    for done, layer in enumerate(whole, start=1):
        x = _layer(draft, body, layout, layer, x, arithmetic)
        if states and done < len(body.layers):
            normalised = layer_norm(draft, x, body.last_norm)
            read = layout.mean(normalised) if body.pooling == "mean" else layout.first(normalised)
            put_state(draft, done, read, body.hidden)
    if body.pooling == "mean":
        rows = layout.mean(layer_norm(draft, x, body.last_norm))
    else:
        rows = _first_rows(draft, body, layout, body.layers[-1], x, arithmetic)
    return finish_encoder(draft, rows, row_width(body))


def build_modern_tail(body: ModernBody) -> onnx.ModelProto:
    """Return the graph from rows [pairs, row_width] to logits [pairs, 1], in 32-bit floats."""
    draft, full = Draft("tail"), Full()
    rows = draft.input("rows", FLOAT, ["pairs", row_width(body)])
    if body.pooling == "cls":
        context, first = draft.add_many(2, "Split", rows, axis=1, num_outputs=2)
        x = _feed_forward(draft, body, body.layers[-1], context, first, full)
        rows = layer_norm(draft, x, body.last_norm)
    pooled = full.apply(draft, body.head.then, full.linear(draft, rows, body.head.dense))
    if body.head_norm is not None:
        pooled = layer_norm(draft, pooled, body.head_norm)
    return finish_tail(draft, pooled, [Step(body.classifier, "none")])


def row_width(body: ModernBody) -> int:
    """Return the floats of a pair's row: the mean, or the first token's attention and its hidden state."""
    return body.hidden if body.pooling == "mean" else 2 * body.hidden


def _layer(draft: Draft, body: ModernBody, layout: Layout, layer: ModernLayer, x: str, arithmetic: Arithmetic) -> str:
    inner = x if layer.before is None else layer_norm(draft, x, layer.before)
    q, k, v = draft.add_many(3, "Split", arithmetic.linear(draft, inner, layer.qkv), axis=-1, num_outputs=3)
    q, k = (_rotated(draft, layout, layer, each, body.heads) for each in (q, k))
    attended = layout.attend(q, k, v, Attention(body.heads, layer.window))
    return _feed_forward(draft, body, layer, attended, x, arithmetic)


def _feed_forward(
    draft: Draft, body: ModernBody, layer: ModernLayer, attended: str, x: str, arithmetic: Arithmetic
) -> str:
    x = draft.add("Add", arithmetic.linear(draft, attended, layer.attention_out), x)
    both = arithmetic.linear(draft, layer_norm(draft, x, layer.middle), layer.up)
    value, gate = draft.add_many(2, "Split", both, axis=-1, num_outputs=2)
    gated = draft.add("Mul", arithmetic.apply(draft, body.activation, value), gate)
    return draft.add("Add", arithmetic.linear(draft, gated, layer.down), x)


def _rotated(draft: Draft, layout: Layout, layer: ModernLayer, x: str, heads: int) -> str:
    cosine = draft.weight(f"{layer.rotation.name}/cosine", layer.rotation.cosine)
    sine = draft.weight(f"{layer.rotation.name}/sine", layer.rotation.sine)
    return layout.rotated(x, cosine, sine, heads)


def _first_rows(
    draft: Draft, body: ModernBody, layout: Layout, layer: ModernLayer, x: str, arithmetic: Arithmetic
) -> str:
    """Return each first token's attention and hidden state, side by side. At position 0 its query is not rotated."""
    hidden, heads = body.hidden, body.heads
    inner = x if layer.before is None else layer_norm(draft, x, layer.before)
    name, weight, bias = layer.qkv.name, layer.qkv.weight, layer.qkv.bias
    keys_values = Dense(f"{name}.key_value", weight[:, hidden:], bias[hidden:])
    k, v = draft.add_many(2, "Split", arithmetic.linear(draft, inner, keys_values), axis=-1, num_outputs=2)
    k = _rotated(draft, layout, layer, k, heads)
    query = Dense(f"{name}.query", weight[:, :hidden], bias[:hidden])
    q = Full(arithmetic.dtype).linear(draft, layout.first(inner), query)
    # [pairs, heads, 1, width] against [pairs or 1, heads, tokens, width].
    q, k, v = (by_head(draft, each, heads) for each in (q, layout.over_pairs(k), layout.over_pairs(v)))
    scores = draft.fused("FusedMatMul", q, k, transB=1, alpha=1 / math.sqrt(hidden // heads))
    if unseen := layout.unseen():
        scores = draft.add("Add", scores, draft.add("Unsqueeze", unseen, draft.integers(1)))
    if layer.window is not None:
        scores = draft.add("Add", scores, layout.beyond(layer.window))
    context = draft.add("MatMul", draft.add("Softmax", scores, axis=-1), v)
    first = draft.add("Reshape", layout.first(x), draft.integers(-1, hidden))
    return draft.add("Concat", draft.add("Reshape", context, draft.integers(-1, hidden)), first, axis=1)
