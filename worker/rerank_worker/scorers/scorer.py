"""Scorer: all that a worker asks of a model: encoding, runs, and the work of runs, in numbers.

There is an implementation for each kind of model. Batcher, cost model, admission and the rest know none of them: they
deal in tokens, seconds and scores, and hand a scorer what it encoded itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from rerank_shared.contract.messages import ScoringIdentity
from rerank_shared.contract.token_ids import Content
from rerank_shared.models.precision import LayoutName
from rerank_shared.scheduling.cost import Work

Floats = npt.NDArray[np.float32]


class Encoded(Protocol):
    """One (query, document) pair as its scorer encoded it. What else it holds is the scorer's own."""

    @property
    def tokens(self) -> int:
        """The tokens that a run computes for it: budgets, costs and shares count them."""
        ...

    @property
    def truncated(self) -> bool:
        """Whether text was cut to fit the length."""
        ...


class RunWork(Protocol):
    """The work of a scorer's runs, as arithmetic on the tokens of their pairs. Pure: no model and no clock."""

    @property
    def layout(self) -> LayoutName:
        """How pairs share a run, for the batcher: in layout padded it takes pairs of similar length."""
        ...

    @property
    def batch_pairs(self) -> int | None:
        """The largest batch that pays; None: as many pairs as fit."""
        ...

    def pair_work(self, tokens: int, /) -> Work:
        """Return the work that one pair of so many tokens adds to a full run."""
        ...

    def run_work(self, lengths: Sequence[int], /) -> Work:
        """Return the work of one run of pairs of these lengths in tokens."""
        ...

    def padding(self, lengths: Sequence[int], /) -> int:
        """Return the tokens of padding that such a run computes besides."""
        ...


Pair = TypeVar("Pair", bound=Encoded)


class Scorer(Protocol[Pair]):
    """Scores the pairs of one model. Any thread may call `encode`; one thread at a time calls the rest."""

    @property
    def identity(self) -> ScoringIdentity:
        """All that its scores depend on."""
        ...

    @property
    def work(self) -> RunWork:
        """The work of its runs."""
        ...

    @property
    def runs_at_once(self) -> int:
        """The number of runs that may be under way at once."""
        ...

    @property
    def joins_runs(self) -> bool:
        """Whether the runs of a batch may be joined into one: no score changes, and nothing is padded."""
        ...

    def encode(self, query: str, documents: Sequence[Content], max_length: int, /) -> list[Pair]:
        """Return the pair of `query` with each document, at most `max_length` tokens each.

        Raises InvalidRequest where the length leaves no room for text, or a document's token ids are not the model's.
        """
        ...

    def runs(self, pairs: Sequence[Pair], /) -> list[range]:
        """Return the runs of a batch: consecutive ranges of indices into `pairs`."""
        ...

    def start(self, pairs: Sequence[Pair], /) -> Callable[[], Floats]:
        """Begin a run, without raising. The returned function waits for what `score` gives, or raises its error."""
        ...

    def score(self, pairs: Sequence[Pair], /) -> Floats:
        """Run the pairs once and return one logit a pair, shape [pairs].

        Raises ConfigurationError if the model is of another kind after all, and whatever its runtime raises.
        """
        ...
