"""Poison isolation: when a run fails, halve it until the guilty pair stands alone, so that only its request fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

P = TypeVar("P")


def score_bisected(
    score: Callable[[Sequence[P]], Sequence[float]], pairs: Sequence[P]
) -> Iterator[tuple[P, float | Exception]]:
    """Yield each pair with its logit, or with the exception that it alone raises.

    A batch of n pairs with one guilty among them costs about 2·log2(n) runs more.
    """
    try:
        logits = score(pairs)
    except Exception as error:
        if len(pairs) == 1:
            yield pairs[0], error
            return
        middle = len(pairs) // 2
        yield from score_bisected(score, pairs[:middle])
        yield from score_bisected(score, pairs[middle:])
        return
    for pair, logit in zip(pairs, logits, strict=True):
        yield pair, float(logit)
