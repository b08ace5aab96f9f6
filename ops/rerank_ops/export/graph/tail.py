"""Tail graph: the rest of the last layer and the head, from the encoder's rows to logits, always in 32-bit floats.

It has one row a pair. For a single pair it would only stream weights from memory, so pairs share a run.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from rerank_ops.export.graph.arithmetic import Full
from rerank_ops.export.graph.bodies.body import Body, Layer, Step
from rerank_ops.export.graph.draft import FLOAT, Draft
from rerank_ops.export.graph.encoder import feed_forward, row_width


def build_tail(body: Body) -> onnx.ModelProto:
    """Return the graph from rows [pairs, (heads + 1) * hidden] to logits [pairs, 1]."""
    draft = Draft("tail")
    rows = draft.input("rows", FLOAT, ["pairs", row_width(body)])
    cut = body.heads * body.hidden
    means = draft.add("Slice", rows, draft.integers(0), draft.integers(cut), draft.integers(1))
    first = draft.add("Slice", rows, draft.integers(cut), draft.integers(row_width(body)), draft.integers(1))
    attended = _values(draft, body, body.layers[-1], means)
    x = feed_forward(draft, body.activation, body.layers[-1], attended, first, Full())
    return finish_tail(draft, x, body.head)


def finish_tail(draft: Draft, x: str, head: Sequence[Step]) -> onnx.ModelProto:
    """Return the graph whose output is the head's logits, [pairs, 1], of x, [pairs, hidden]."""
    full = Full()
    for step in head:
        x = full.apply(draft, step.then, full.linear(draft, x, step.dense))
    draft.output("logits", x, ["pairs", 1])
    return draft.finish()


def _values(draft: Draft, body: Body, layer: Layer, means: str) -> str:
    """Return the attention's context [pairs, hidden] from each head's mean of hidden states."""
    hidden, heads, width = body.hidden, body.heads, body.head_width
    by_head = draft.add("Reshape", means, draft.integers(-1, heads, hidden))
    across = draft.add("Transpose", by_head, perm=[1, 0, 2])
    value = layer.qkv.weight[:, 2 * hidden :].reshape(hidden, heads, width).transpose(1, 0, 2)
    context = draft.add("MatMul", across, draft.weight(f"{layer.qkv.name}.value", value))
    joined = draft.add("Reshape", draft.add("Transpose", context, perm=[1, 0, 2]), draft.integers(-1, hidden))
    return draft.add("Add", joined, draft.weight(f"{layer.qkv.name}.value_bias", layer.qkv.bias[2 * hidden :]))
