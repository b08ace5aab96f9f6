"""How far two models agree on one request's documents: in value, in rank, and at the top. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from rerank_shared.drift.correlation import spearman

#: The documents that most pages show.
TOP = 10


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the scores of a shadow agree with the live ones.

    - `differences`: absolute differences of relevance scores, one a document.
    - `spearman`: the rank correlation over all documents.
    - `overlap`: the share of the live top 10 that is in the shadow's top 10 too.
    - `order`: the share of the pairs of the live top 10 that the shadow has in the same order; a tie is half of one.
    - `live_first`, `shadow_first`: the index of each model's first document.
    """

    differences: tuple[float, ...]
    spearman: float
    overlap: float
    order: float
    live_first: int
    shadow_first: int

    @property
    def mean_difference(self) -> float:
        """The mean of the differences."""
        return sum(self.differences) / len(self.differences)

    @property
    def same_first(self) -> bool:
        """Whether both models put the same document first."""
        return self.live_first == self.shadow_first

    @property
    def rank(self) -> float:
        """A number by which queries are sorted, the worst first: by overlap, and by Spearman where that is equal."""
        return self.overlap + 0.04 * (1 + self.spearman)


def agreement(live: Sequence[float], shadow: Sequence[float]) -> Agreement:
    """Return the agreement of two lists of scores for the same documents, of which there are two at least."""
    live_top, shadow_top = _best(live), _best(shadow)
    pairs = list(combinations(live_top, 2))
    return Agreement(
        differences=tuple(abs(one - other) for one, other in zip(live, shadow, strict=True)),
        spearman=spearman(live, shadow),
        overlap=len(set(live_top) & set(shadow_top)) / len(live_top),
        order=sum(_agrees(shadow[better], shadow[worse]) for better, worse in pairs) / len(pairs),
        live_first=live_top[0],
        shadow_first=shadow_top[0],
    )


def _best(scores: Sequence[float]) -> list[int]:
    """Return the indexes of the top, best first; ties keep the order of the request, as they do in an answer."""
    return sorted(range(len(scores)), key=lambda index: -scores[index])[:TOP]


def _agrees(better: float, worse: float) -> float:
    return 0.5 if better == worse else float(better > worse)
