"""Poison isolation: halves a failed run until the failing pair is alone, so that only the jobs of that pair fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

P = TypeVar("P")


def score_bisected(
    score: Callable[[Sequence[P]], Sequence[float]], pairs: Sequence[P]
) -> Iterator[tuple[P, float | Exception]]:
    """Yield each pair with its logit, or with the exception that it raises when it runs alone.

    One failing pair among n costs about 2·log2(n) extra runs.
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
