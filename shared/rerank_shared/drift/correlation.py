"""Rank correlation, in plain Python: clients, which compare scores behind their callers, have no numpy. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the rank correlation; tied values share their mean rank. 0 where all values of a list are equal."""
    first, second = _centred(ranks(one)), _centred(ranks(other))
    spread = math.sqrt(math.fsum(rank * rank for rank in first) * math.fsum(rank * rank for rank in second))
    return math.fsum(rank * beside for rank, beside in zip(first, second, strict=True)) / spread if spread else 0.0


def ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value, from 1; equal values share their mean rank."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for place in order[start:end]:
            found[place] = (start + 1 + end) / 2
        start = end
    return found


def _centred(places: Sequence[float]) -> list[float]:
    middle = (len(places) + 1) / 2
    return [place - middle for place in places]
