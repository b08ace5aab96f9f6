"""The four layouts of a run, as graphs: one pair, padded rows, tokens end to end, and one long row."""

from __future__ import annotations

from rerank_ops.export.graph.bodies.body import Floats
from rerank_ops.export.graph.draft import INT32, INT64
from rerank_ops.export.graph.layout import Attention, Layout
from rerank_shared.models.precision import LayoutName


class Unpadded(Layout):
    """One pair, without padding and mask."""

    def ids(self) -> str:
        """See Layout."""
        return self.draft.input("input_ids", INT64, ["one", "tokens"])

    def types(self) -> str:
        """See Layout."""
        return self.draft.input("token_type_ids", INT64, ["one", "tokens"])

    def by_position(self, name: str, table: Floats) -> str:
        """See Layout."""
        draft = self.draft
        return draft.add(
            "Slice", draft.weight(name, table), draft.integers(0), self.length("input_ids"), draft.integers(0)
        )

    def rotated(self, x: str, cosine: str, sine: str, heads: int) -> str:
        """See Layout."""
        return self.draft.fused("RotaryEmbedding", x, self.draft.integers(0), cosine, sine, num_heads=heads)

    def attend(self, q: str, k: str, v: str, how: Attention) -> str:
        """See Layout."""
        return self.attention(q, k, v, how, hidden=self.window_bias(how.window))

    def first(self, x: str) -> str:
        """See Layout."""
        return self.first_of_rows(x)

    def over_pairs(self, x: str) -> str:
        """See Layout."""
        return x

    def unseen(self) -> str:
        """See Layout."""
        return ""

    def positions(self) -> str:
        """See Layout."""
        return self.index("input_ids")

    def lengths(self) -> str:
        """See Layout."""
        return ""

    def mean(self, x: str) -> str:
        """See Layout."""
        return self.draft.add("ReduceMean", x, self.draft.integers(1), keepdims=0)


class Padded(Unpadded):
    """Pairs of similar length, padded on the right to the longest."""

    def ids(self) -> str:
        """See Layout."""
        self.draft.input("lengths", INT32, ["pairs"])
        return self.draft.input("input_ids", INT64, ["pairs", "tokens"])

    def types(self) -> str:
        """See Layout."""
        return self.draft.input("token_type_ids", INT64, ["pairs", "tokens"])

    def attend(self, q: str, k: str, v: str, how: Attention) -> str:
        """See Layout."""
        mask = self.key_mask("input_ids")
        return self.attention(q, k, v, how, mask, self.window_bias(how.window))

    def unseen(self) -> str:
        """See Layout."""
        return self.padding()

    def lengths(self) -> str:
        """See Layout."""
        return "lengths"

    def mean(self, x: str) -> str:
        """See Layout."""
        return self.mean_of_real(x)


class Varlen(Layout):
    """All pairs' tokens end to end, without padding; only attention gathers them into padded rows, and back."""

    def ids(self) -> str:
        """See Layout."""
        draft = self.draft
        draft.input("lengths", INT32, ["pairs"])
        draft.input("position_ids", INT64, ["tokens"])
        draft.input("padded_from", INT64, ["pairs", "longest"])
        draft.input("packed_from", INT64, ["tokens"])
        return draft.input("input_ids", INT64, ["tokens"])

    def types(self) -> str:
        """See Layout."""
        return self.draft.input("token_type_ids", INT64, ["tokens"])

    def by_position(self, name: str, table: Floats) -> str:
        """See Layout."""
        return self.draft.add("Gather", self.draft.weight(name, table), "position_ids")

    def rotated(self, x: str, cosine: str, sine: str, heads: int) -> str:
        """See Layout."""
        # A row for each token: the operator refuses rows longer than its tables, and a run is longer than a pair.
        draft, axis = self.draft, self.draft.integers(1)
        rows, positions = (draft.add("Unsqueeze", each, axis) for each in (x, "position_ids"))
        turned = draft.fused("RotaryEmbedding", rows, positions, cosine, sine, num_heads=heads)
        return draft.add("Squeeze", turned, axis)

    def attend(self, q: str, k: str, v: str, how: Attention) -> str:
        """See Layout."""
        draft = self.draft
        q, k, v = (self.over_pairs(rows) for rows in (q, k, v))
        mask = self.key_mask("padded_from")
        context = self.attention(q, k, v, how, mask, self.window_bias(how.window))
        return draft.add("Gather", draft.add("Flatten", context, axis=2), "packed_from")

    def first(self, x: str) -> str:
        """See Layout."""
        return self.first_of_rows(self.over_pairs(x))

    def over_pairs(self, x: str) -> str:
        """See Layout."""
        return self.draft.add("Gather", x, "padded_from")

    def unseen(self) -> str:
        """See Layout."""
        return self.padding()

    def positions(self) -> str:
        """See Layout."""
        return self.index("padded_from")

    def lengths(self) -> str:
        """See Layout."""
        return "lengths"

    def mean(self, x: str) -> str:
        """See Layout."""
        return self.mean_of_real(self.over_pairs(x))


class Packed(Layout):
    """All pairs' tokens as one long row; a block-diagonal mask keeps each token within its pair."""

    def ids(self) -> str:
        """See Layout."""
        self.draft.input("position_ids", INT64, ["one", "tokens"])
        self.draft.input("pair_of", INT64, ["tokens"])
        self.draft.input("first", INT64, ["pairs"])
        return self.draft.input("input_ids", INT64, ["one", "tokens"])

    def types(self) -> str:
        """See Layout."""
        return self.draft.input("token_type_ids", INT64, ["one", "tokens"])

    def by_position(self, name: str, table: Floats) -> str:
        """See Layout."""
        return self.draft.add("Gather", self.draft.weight(name, table), "position_ids")

    def rotated(self, x: str, cosine: str, sine: str, heads: int) -> str:
        """See Layout."""
        # One row for each token, as in Varlen.
        rows = self.draft.add("Transpose", x, perm=[1, 0, 2])
        positions = self.draft.add("Transpose", "position_ids", perm=[1, 0])
        turned = self.draft.fused("RotaryEmbedding", rows, positions, cosine, sine, num_heads=heads)
        return self.draft.add("Transpose", turned, perm=[1, 0, 2])

    def attend(self, q: str, k: str, v: str, how: Attention) -> str:
        """See Layout."""
        return self.attention(q, k, v, how, hidden=self._mask(how.window))

    def prepare(self) -> None:
        """See Layout."""
        self._mask(None)

    def _mask(self, window: int | None) -> str:
        key = window or 0
        if key not in self._windows:
            seen = self._same_pair()
            if window is not None:
                seen = self.draft.add("And", seen, self.near(self.positions(), window))
            self._windows[key] = self.draft.add("Unsqueeze", self.hidden_where(seen), self.draft.integers(0, 1))
        return self._windows[key]

    def first(self, x: str) -> str:
        """See Layout."""
        rows = self.draft.add("Gather", self.draft.add("Squeeze", x, self.draft.integers(0)), "first")
        return self.draft.add("Unsqueeze", rows, self.draft.integers(1))

    def over_pairs(self, x: str) -> str:
        """See Layout."""
        return x

    def unseen(self) -> str:
        """See Layout."""
        hidden = self.draft.add("Gather", self.hidden_where(self._same_pair()), "first")
        return self.draft.add("Unsqueeze", hidden, self.draft.integers(1))

    def positions(self) -> str:
        """See Layout."""
        return self.draft.add("Squeeze", "position_ids", self.draft.integers(0))

    def lengths(self) -> str:
        """See Layout. Only kernels need it, so graphs without their calls have no such input."""
        return self.draft.input("lengths", INT32, ["pairs"])

    def mean(self, x: str) -> str:
        """See Layout."""
        draft = self.draft
        own = self.draft.add("Gather", self._same_pair(), "first")
        share = draft.add("Cast", own, to=draft.float_type)
        total = draft.add("MatMul", share, draft.add("Squeeze", x, draft.integers(0)))
        return draft.add("Div", total, draft.add("ReduceSum", share, draft.integers(1), keepdims=1))

    def _same_pair(self) -> str:
        column, row = (self.draft.add("Unsqueeze", "pair_of", self.draft.integers(axis)) for axis in (1, 0))
        return self.draft.add("Equal", column, row)


LAYOUT_CLASSES: dict[LayoutName, type[Layout]] = {
    "unpadded": Unpadded,
    "padded": Padded,
    "varlen": Varlen,
    "packed": Packed,
}
