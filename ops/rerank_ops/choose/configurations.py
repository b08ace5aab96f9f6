"""Configurations: what is chosen among. A model is measured once a length; k and weight are cut from that. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rerank_shared.keys import FusionMethod

#: Lengths in tokens that are tried where none is named.
LENGTHS = (128, 256, 512)
#: Weights of the first stage that are tried where none is named; 0 is the model alone.
WEIGHTS = (0.0, 0.5, 1.0, 2.0)
_KS = (10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1_000)


@dataclass(frozen=True, slots=True)
class Configuration:
    """A way to rerank: a model by its row's name, at most so many tokens a pair and so many candidates a request.

    `weight` is how much the first stage counts by `method`.
    """

    model: str
    max_length: int
    k: int
    weight: float
    method: FusionMethod = "weighted"

    @property
    def name(self) -> str:
        """What a table calls it."""
        return f"{self.model}, {self.max_length} tokens, k {self.k}, weight {weight_text(self.weight)}"


def weight_text(weight: float) -> str:
    """Return a weight as text; ∞ for the first stage alone."""
    return "∞" if math.isinf(weight) else f"{weight:g}"


def ks_of(most: int, wanted: Sequence[int] = ()) -> tuple[int, ...]:
    """Return the numbers of candidates to compare, ascending: wanted or usual ones, and the largest, `most`."""
    return tuple(sorted({k for k in wanted or _KS if k < most} | {most}))


def lengths_of(wanted: Iterable[int], most: int) -> tuple[int, ...]:
    """Return the lengths to measure, ascending; what is beyond the `most` that a model reads becomes that."""
    return tuple(sorted({min(length, most) for length in wanted}))


def timed_ks(ks: Sequence[int]) -> tuple[int, ...]:
    """Return the numbers of candidates that are timed: least, largest, and about halfway between.

    Times of the others lie between those, since a pair's time depends on that pair alone.
    """
    halfway = min(ks, key=lambda k: (abs(k - ks[-1] / 2), k))
    return tuple(sorted({ks[0], halfway, ks[-1]}))
