"""How tokens of one run are laid out, and how attention keeps pairs apart, for each run plan.

Linear layers see tokens as rows of a matrix in every layout; only inputs and attention differ. Every layout ends in
one row a pair: what the last layer's attention of the first token reads, and that token itself; see tail.py.
"""

from __future__ import annotations

from typing import Protocol

from rerank_ops.export.graph.arithmetic import Arithmetic
from rerank_ops.export.graph.body import Body
from rerank_ops.export.graph.draft import INT32, INT64, Draft


class Layout(Protocol):
    """One way to lay out the pairs of a run."""

    name: str

    def open(self, draft: Draft, body: Body, arithmetic: Arithmetic) -> str:
        """Declare the inputs; return the summed embeddings of all tokens."""
        ...

    def attend(self, draft: Draft, body: Body, q: str, k: str, v: str) -> str:
        """Return the attention of all tokens, each over its own pair."""
        ...

    def last(self, draft: Draft, x: str) -> tuple[str, str, str]:
        """Return (hidden states [pairs, length, hidden], first tokens [pairs, 1, hidden], bias of scores or '')."""
        ...


class Single:
    """One pair, unpadded: no mask at all."""

    name = "single"

    def open(self, draft: Draft, body: Body, arithmetic: Arithmetic) -> str:
        ids = draft.input("input_ids", INT64, ["one", "tokens"])
        length = draft.add("Slice", draft.add("Shape", ids), draft.integers(1), draft.integers(2), draft.integers(0))
        table = draft.weight("embeddings.positions", body.embeddings.positions)
        rows = draft.add("Slice", table, draft.integers(0), length, draft.integers(0))
        return embed(draft, body, arithmetic, ids, rows, ["one", "tokens"])

    def attend(self, draft: Draft, body: Body, q: str, k: str, v: str) -> str:
        return attention(draft, body, q, k, v)

    def last(self, draft: Draft, x: str) -> tuple[str, str, str]:
        return x, draft.add("Slice", x, draft.integers(0), draft.integers(1), draft.integers(1)), ""


class Buckets:
    """Pairs of similar length, padded on the right to the longest."""

    name = "buckets"

    def open(self, draft: Draft, body: Body, arithmetic: Arithmetic) -> str:
        ids = draft.input("input_ids", INT64, ["pairs", "tokens"])
        draft.input("lengths", INT32, ["pairs"])
        self._mask = key_mask(draft, arithmetic, ids)
        length = draft.add("Slice", draft.add("Shape", ids), draft.integers(1), draft.integers(2), draft.integers(0))
        table = draft.weight("embeddings.positions", body.embeddings.positions)
        rows = draft.add("Slice", table, draft.integers(0), length, draft.integers(0))
        return embed(draft, body, arithmetic, ids, rows, ["pairs", "tokens"])

    def attend(self, draft: Draft, body: Body, q: str, k: str, v: str) -> str:
        return attention(draft, body, q, k, v, mask=self._mask)

    def last(self, draft: Draft, x: str) -> tuple[str, str, str]:
        first = draft.add("Slice", x, draft.integers(0), draft.integers(1), draft.integers(1))
        return x, first, padding_bias(draft, x)


class Ragged:
    """All pairs' tokens end to end, without padding; only attention gathers them into padded rows and back."""

    name = "ragged"

    def open(self, draft: Draft, body: Body, arithmetic: Arithmetic) -> str:
        ids = draft.input("input_ids", INT64, ["tokens"])
        draft.input("lengths", INT32, ["pairs"])
        positions = draft.input("position_ids", INT64, ["tokens"])
        padded = draft.input("padded_from", INT64, ["pairs", "longest"])
        self._mask = key_mask(draft, arithmetic, padded)
        draft.input("packed_from", INT64, ["tokens"])
        rows = draft.add("Gather", draft.weight("embeddings.positions", body.embeddings.positions), positions)
        return embed(draft, body, arithmetic, ids, rows, ["tokens"])

    def attend(self, draft: Draft, body: Body, q: str, k: str, v: str) -> str:
        q, k, v = (draft.add("Gather", rows, "padded_from") for rows in (q, k, v))
        context = attention(draft, body, q, k, v, mask=self._mask)
        flat = draft.add("Reshape", context, draft.integers(-1, body.hidden))
        return draft.add("Gather", flat, "packed_from")

    def last(self, draft: Draft, x: str) -> tuple[str, str, str]:
        padded = draft.add("Gather", x, "padded_from")
        first = draft.add("Slice", padded, draft.integers(0), draft.integers(1), draft.integers(1))
        return padded, first, padding_bias(draft, padded)


class Packs:
    """All pairs' tokens as one long row; a block-diagonal mask keeps each token within its pair."""

    name = "packs"

    def open(self, draft: Draft, body: Body, arithmetic: Arithmetic) -> str:
        ids = draft.input("input_ids", INT64, ["one", "tokens"])
        positions = draft.input("position_ids", INT64, ["one", "tokens"])
        pair = draft.input("pair_of", INT64, ["tokens"])
        first = draft.input("first", INT64, ["pairs"])
        rows = draft.add("Gather", draft.weight("embeddings.positions", body.embeddings.positions), positions)
        column = draft.add("Unsqueeze", pair, draft.integers(1))
        same = draft.add("Equal", column, draft.add("Unsqueeze", pair, draft.integers(0)))
        bias = draft.add("Where", same, draft.scalar(0.0), draft.scalar(MASKED))
        self._bias = draft.add("Unsqueeze", bias, draft.integers(0, 1))
        self._first_bias = draft.add("Unsqueeze", draft.add("Gather", bias, first), draft.integers(1))
        return embed(draft, body, arithmetic, ids, rows, ["one", "tokens"])

    def attend(self, draft: Draft, body: Body, q: str, k: str, v: str) -> str:
        return attention(draft, body, q, k, v, bias=self._bias)

    def last(self, draft: Draft, x: str) -> tuple[str, str, str]:
        first = draft.add("Gather", draft.add("Squeeze", x, draft.integers(0)), "first")
        return x, draft.add("Unsqueeze", first, draft.integers(1)), self._first_bias


#: Added to the score of a token that must not be seen: its share of attention is then exactly zero in 32-bit floats,
#: and it stays finite in 16-bit ones.
MASKED = -30_000.0


def embed(
    draft: Draft, body: Body, arithmetic: Arithmetic, ids: str, position_rows: str, shape: list[str | int]
) -> str:
    """Return the sum of word, position and type embeddings."""
    words = arithmetic.lookup(draft, "embeddings.words", body.embeddings.words, ids)
    total = draft.add("Add", words, position_rows)
    if body.embeddings.types is None:
        return total
    types = draft.input("token_type_ids", INT64, shape)
    rows = draft.add("Gather", draft.weight("embeddings.types", body.embeddings.types), types)
    return draft.add("Add", total, rows)


def attention(draft: Draft, body: Body, q: str, k: str, v: str, mask: str = "", bias: str = "") -> str:
    """Return attention of [pairs, tokens, hidden] inputs; `mask`: lengths [pairs], `bias`: added to the scores."""
    inputs = [q, k, v, "", mask, bias]
    while inputs[-1] == "":
        inputs.pop()
    return draft.fused("MultiHeadAttention", *inputs, num_heads=body.heads)


def key_mask(draft: Draft, arithmetic: Arithmetic, grid: str) -> str:
    """Return the mask that keeps attention from padding in `grid` [pairs, longest]: the pairs' lengths.

    In 16 bits they are followed by where each pair starts among the queries and among the keys. It says nothing new,
    but CUDA's memory-efficient attention takes lengths in this form only; by the other they cost a score for each pair
    of tokens in memory. Read in ONNX Runtime's sources, not tried on a GPU.
    """
    if arithmetic.dtype.itemsize != 2:
        return "lengths"
    shape = draft.add("Shape", grid)
    pairs, longest = (draft.add("Gather", shape, draft.integer(axis)) for axis in (0, 1))
    end = draft.add("Mul", draft.add("Add", pairs, draft.integer(1)), longest)
    starts = draft.add("Cast", draft.add("Range", draft.integer(0), end, longest), to=INT32)
    return draft.add("Concat", "lengths", starts, starts, axis=0)


def padding_bias(draft: Draft, x: str) -> str:
    """Return what to add to scores over x [pairs, tokens, hidden] so that padding is not seen: [pairs, 1, tokens]."""
    length = draft.add("Slice", draft.add("Shape", x), draft.integers(1), draft.integers(2), draft.integers(0))
    tokens = draft.add("Squeeze", length, draft.integers(0))
    index = draft.add("Range", draft.integer(0), tokens, draft.integer(1))
    column = draft.add("Unsqueeze", draft.add("Cast", "lengths", to=INT64), draft.integers(1))
    seen = draft.add("Less", index, column)
    bias = draft.add("Where", seen, draft.scalar(0.0), draft.scalar(MASKED))
    return draft.add("Unsqueeze", bias, draft.integers(1))


LAYOUTS: dict[str, type[Single] | type[Buckets] | type[Ragged] | type[Packs]] = {
    "single": Single, "buckets": Buckets, "ragged": Ragged, "packs": Packs,
}  # fmt: skip
