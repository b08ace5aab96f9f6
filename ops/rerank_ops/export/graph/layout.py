"""Layout of a run: the arrangement of its tokens, and the masks that keep attention within each pair.

In every layout linear layers take tokens as rows of a matrix; only inputs, positions and attention differ. No layout
changes a score beyond rounding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from rerank_ops.export.graph.bodies.body import Floats
from rerank_ops.export.graph.draft import FLOAT, INT32, INT64, Draft

#: Added to the score of a masked token: its share of attention is then exactly zero in 32-bit floats, and the score
#: stays finite in 16-bit floats.
MASKED = -30_000.0


@dataclass(frozen=True, slots=True)
class Attention:
    """Attention parameters of an architecture.

    `window`: largest distance between two tokens that attend to each other. `bias_of`: function from queries and keys
    [pairs, tokens, width] to a bias on their scores, [pairs, heads, tokens, tokens]. `scale`: factor of the products,
    None for the operator's default.
    """

    heads: int
    window: int | None = None
    bias_of: Callable[[str, str], str] | None = None
    scale: float | None = None


@dataclass(slots=True)
class Layout(ABC):
    """One way to lay out the pairs of a run, for one draft of a graph."""

    draft: Draft
    _windows: dict[int, str] = field(default_factory=dict)
    _key_mask: str = ""

    @abstractmethod
    def ids(self) -> str:
        """Declare the inputs that every graph of the layout has; return the token ids."""

    @abstractmethod
    def types(self) -> str:
        """Declare and return the type ids of tokens."""

    @abstractmethod
    def by_position(self, name: str, table: Floats) -> str:
        """Return the row of `table` for each token's position within its pair."""

    @abstractmethod
    def rotated(self, x: str, cosine: str, sine: str, heads: int) -> str:
        """Return x turned by each token's position: rotary embedding, halves not interleaved."""

    @abstractmethod
    def attend(self, q: str, k: str, v: str, how: Attention) -> str:
        """Return the attention of all tokens, each over the tokens of its own pair."""

    @abstractmethod
    def first(self, x: str) -> str:
        """Return the first token of each pair, [pairs, 1, width]."""

    @abstractmethod
    def over_pairs(self, x: str) -> str:
        """Return the tokens that first tokens attend over, [pairs, tokens, width] or [1, tokens, width] for all."""

    @abstractmethod
    def unseen(self) -> str:
        """Return the mask on the first tokens' scores, [pairs, 1, tokens]; '' where no token is masked."""

    @abstractmethod
    def positions(self) -> str:
        """Return the position within its pair of each token in attention, [tokens]."""

    @abstractmethod
    def mean(self, x: str) -> str:
        """Return the mean of each pair's tokens, [pairs, width]."""

    @abstractmethod
    def lengths(self) -> str:
        """Return the graph's input with the tokens of each pair, int32 [pairs]; '' where a run has one pair."""

    def prepare(self) -> None:
        """Add to the graph what all its layers share, before one of them becomes a function."""
        return

    def within(self, inner: Draft) -> Layout:
        """Return the layout for the body of a function, which takes what was prepared as inputs."""
        return replace(self, draft=inner, _windows=dict(self._windows))

    def attention(self, q: str, k: str, v: str, how: Attention, mask: str = "", hidden: str = "") -> str:
        """Attend over [pairs, tokens, width] inputs; `mask` is from `key_mask`, `hidden` is added to the scores."""
        bias = "" if how.bias_of is None else how.bias_of(q, k)
        both = self.draft.add("Add", bias, hidden) if bias and hidden else bias or hidden
        inputs = [q, k, v, "", mask, both]
        while inputs[-1] == "":
            inputs.pop()
        scale = {} if how.scale is None else {"scale": how.scale}
        return self.draft.fused("MultiHeadAttention", *inputs, num_heads=how.heads, **scale)

    def key_mask(self, x: str) -> str:
        """Return the mask of the padding in rows like x: the pairs' lengths.

        In 16 bits the start of each pair among the queries and among the keys follows. It adds no information, but
        CUDA's memory-efficient attention takes lengths in this form only; in the other form they may cost a score for
        each two tokens in memory. Read in ONNX Runtime's sources, not tried on a GPU.
        """
        draft = self.draft
        if draft.float_type == FLOAT:
            return "lengths"
        if not self._key_mask:
            shape = draft.add("Shape", x)
            pairs, longest = (draft.add("Gather", shape, draft.integer(axis)) for axis in (0, 1))
            end = draft.add("Mul", draft.add("Add", pairs, draft.integer(1)), longest)
            starts = draft.add("Cast", draft.add("Range", draft.integer(0), end, longest), to=INT32)
            self._key_mask = draft.add("Concat", "lengths", starts, starts, axis=0)
        return self._key_mask

    def hidden_where(self, seen: str) -> str:
        """Return 0 where the condition `seen` holds, and MASKED elsewhere."""
        return self.draft.add("Where", seen, self.draft.scalar(0.0), self.draft.scalar(MASKED))

    def length(self, x: str) -> str:
        """Return the second dimension of x, as a vector of one integer."""
        draft = self.draft
        return draft.add("Slice", draft.add("Shape", x), draft.integers(1), draft.integers(2), draft.integers(0))

    def index(self, x: str) -> str:
        """Return 0, 1, ... along the second dimension of x."""
        draft = self.draft
        tokens = draft.add("Squeeze", self.length(x), draft.integers(0))
        return draft.add("Range", draft.integer(0), tokens, draft.integer(1))

    def near(self, positions: str, window: int) -> str:
        """Return whether each two of `positions` [tokens] are at most `window` apart, [tokens, tokens]."""
        draft = self.draft
        column, row = (draft.add("Unsqueeze", positions, draft.integers(axis)) for axis in (1, 0))
        return draft.add("LessOrEqual", draft.add("Abs", draft.add("Sub", column, row)), draft.integer(window))

    def window_bias(self, window: int | None) -> str:
        """Return the mask of tokens beyond the window, [1, 1, tokens, tokens]; '' without a window."""
        if window is None:
            return ""
        if window not in self._windows:
            bias = self.hidden_where(self.near(self.positions(), window))
            self._windows[window] = self.draft.add("Unsqueeze", bias, self.draft.integers(0, 1))
        return self._windows[window]

    def beyond(self, window: int) -> str:
        """Return the mask of tokens beyond the window of their pair's first token, [tokens]."""
        return self.hidden_where(self.draft.add("LessOrEqual", self.positions(), self.draft.integer(window)))

    def padding(self) -> str:
        """Return the mask of padding for the first tokens of padded rows, [pairs, 1, tokens]."""
        return self.draft.add("Unsqueeze", self.hidden_where(self.real()), self.draft.integers(1))

    def real(self) -> str:
        """Return whether each token of padded rows is real, not padding, [pairs, tokens]."""
        draft = self.draft
        column = draft.add("Unsqueeze", draft.add("Cast", "lengths", to=INT64), draft.integers(1))
        return draft.add("Less", self.positions(), column)

    def mean_of_real(self, x: str) -> str:
        """Return the mean of the real tokens of padded rows [pairs, tokens, width]: [pairs, width]."""
        draft = self.draft
        weight = draft.add("Unsqueeze", draft.add("Cast", self.real(), to=draft.float_type), draft.integers(2))
        total = draft.add("ReduceSum", draft.add("Mul", x, weight), draft.integers(1), keepdims=0)
        return draft.add("Div", total, draft.add("ReduceSum", weight, draft.integers(1), keepdims=0))

    def first_of_rows(self, x: str) -> str:
        """Return the first token of padded rows, [pairs, 1, width]."""
        return self.draft.add("Slice", x, self.draft.integers(0), self.draft.integers(1), self.draft.integers(1))


def by_head(draft: Draft, x: str, heads: int) -> str:
    """Return [pairs, tokens, width] as [pairs, heads, tokens, width of a head]."""
    return draft.add("Transpose", draft.add("Reshape", x, draft.integers(0, 0, heads, -1)), perm=[0, 2, 1, 3])
