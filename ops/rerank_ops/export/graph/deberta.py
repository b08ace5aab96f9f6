"""Graphs of DeBERTa: an encoder for each layout, and the tail.

The distance part of a score is computed for the distances in the run, not for the whole table, and is an attention
bias. The last layer attends for all tokens; the rest of it is computed for the first token alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from rerank_ops.export.graph.arithmetic import Arithmetic, Full
from rerank_ops.export.graph.bodies.body import Floats, Layer
from rerank_ops.export.graph.bodies.deberta import DebertaBody, Distances
from rerank_ops.export.graph.draft import FLOAT, Draft
from rerank_ops.export.graph.encoder import feed_forward, finish_encoder, layer_norm, put_state
from rerank_ops.export.graph.layout import Attention, Layout, by_head
from rerank_ops.export.graph.layouts import LAYOUT_CLASSES
from rerank_ops.export.graph.tail import finish_tail
from rerank_shared.models.precision import LayoutName


def build_deberta_encoder(
    body: DebertaBody, layout_name: LayoutName, arithmetic: Arithmetic, *, states: bool = False
) -> onnx.ModelProto:
    """Return the graph of `layout_name`, from token ids to one row a pair, [pairs, 2 * hidden].

    With `states`, what a head would read after each layer but the last is an output too; see `state_output`.
    """
    draft = Draft(layout_name, arithmetic.dtype)
    layout = LAYOUT_CLASSES[layout_name](draft)
    x = layer_norm(draft, arithmetic.lookup(draft, "embeddings.words", body.words, layout.ids()), body.norm)
    near = _Near.of(draft, body, layout)
    for done, (layer, distances) in enumerate(zip(body.layers[:-1], body.distances[:-1], strict=True), start=1):
        attended = _attend(draft, body, layout, near, layer, distances, x, arithmetic)
        x = feed_forward(draft, body.activation, layer, attended, x, arithmetic)
        if states:
            put_state(draft, done, layout.first(x), body.hidden)
    attended = _attend(draft, body, layout, near, body.layers[-1], body.distances[-1], x, arithmetic)
    both = [draft.add("Reshape", layout.first(each), draft.integers(-1, body.hidden)) for each in (attended, x)]
    return finish_encoder(draft, draft.add("Concat", *both, axis=1), 2 * body.hidden)


def build_deberta_tail(body: DebertaBody) -> onnx.ModelProto:
    """Return the graph from rows [pairs, 2 * hidden] to logits [pairs, 1], in 32-bit floats."""
    draft = Draft("tail")
    rows = draft.input("rows", FLOAT, ["pairs", 2 * body.hidden])
    attended, first = draft.add_many(2, "Split", rows, axis=1, num_outputs=2)
    x = feed_forward(draft, body.activation, body.layers[-1], attended, first, Full())
    return finish_tail(draft, x, body.head)


@dataclass(frozen=True, slots=True)
class _Near:
    """The distances of a run. `rows`: their rows in a Distances, [reach]; `index[i, j]`: the place of i - j in `rows`.

    `turned` is `index` transposed.
    """

    rows: str
    index: str
    turned: str

    @classmethod
    def of(cls, draft: Draft, body: DebertaBody, layout: Layout) -> _Near:
        positions = layout.positions()
        top = draft.add("ReduceMax", positions, keepdims=0)
        reach = draft.add("Range", draft.add("Neg", top), draft.add("Add", top, draft.integer(1)), draft.integer(1))
        place = draft.add("Add", reach, draft.integer(body.positions - 1))
        column, row = (draft.add("Unsqueeze", positions, draft.integers(axis)) for axis in (1, 0))
        index = draft.add("Add", draft.add("Sub", column, row), top)
        rows = draft.add("Gather", draft.weight("distance_buckets", body.buckets), place)
        return cls(rows, index, draft.add("Transpose", index, perm=[1, 0]))


def _attend(
    draft: Draft,
    body: DebertaBody,
    layout: Layout,
    near: _Near,
    layer: Layer,
    distances: Distances,
    x: str,
    arithmetic: Arithmetic,
) -> str:
    q, k, v = draft.add_many(3, "Split", arithmetic.linear(draft, x, layer.qkv), axis=-1, num_outputs=3)

    def bias(queries: str, keys: str) -> str:
        """Return the distance part of the scores, [pairs, heads, tokens, tokens]."""
        to_keys = _over(draft, body, queries, f"{distances.name}.keys", distances.keys, near.rows, near.index)
        to_queries = _over(draft, body, keys, f"{distances.name}.queries", distances.queries, near.rows, near.turned)
        return draft.add("Add", to_keys, draft.add("Transpose", to_queries, perm=[0, 1, 3, 2]))

    return layout.attend(q, k, v, Attention(body.heads, bias_of=bias, scale=body.scale))


def _over(draft: Draft, body: DebertaBody, x: str, name: str, table: Floats, rows: str, index: str) -> str:
    """Return x's products with the table's `rows`, selected by `index` for each two tokens."""
    used = draft.add("Gather", draft.weight(name, table), rows, axis=1)
    products = draft.fused("FusedMatMul", by_head(draft, x, body.heads), used, transB=1)
    lead = draft.add("Slice", draft.add("Shape", products), draft.integers(0), draft.integers(2), draft.integers(0))
    shape = draft.add("Concat", lead, draft.add("Shape", index), axis=0)
    return draft.add("GatherElements", products, draft.add("Expand", index, shape), axis=3)
