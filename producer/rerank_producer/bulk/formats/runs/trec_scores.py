"""Scores of a TREC run, spelled so that every evaluator reads the same order. Pure.

Evaluators ignore the rank of a line. They sort by score and break ties by document id, and trec_eval reads scores as
32-bit floats. So within a query each score is written as a 32-bit float below the one before, in the nine digits that
tell any two of them apart (FLT_DECIMAL_DIG of the C standard).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator

_LARGEST = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]


def spelled(scores: Iterable[float], *, keep_ties: bool = False) -> Iterator[str]:
    """Yield the text of each score of one query, which come best first.

    A score that is not below the one before it as a 32-bit float becomes the next float below that. With `keep_ties`
    it stays as it is.
    """
    before = math.inf
    for score in scores:
        value = _as_float32(score)
        if not keep_ties and value >= before:
            value = _next_below(before)
        before = value
        yield f"{value:.9g}"


def to_the_end(scores: Iterable[float | None], count: int) -> list[float]:
    """Return a score for each of `count` documents: those that there are, best first, and `below` them the rest."""
    known = [score for score in scores if score is not None]
    return known + below(known[-1] if known else 0.0, count - len(known))


def below(last: float, count: int) -> list[float]:
    """Return scores for `count` documents that were not scored, each below the one before, and all below `last`."""
    scores: list[float] = []
    for _ in range(count):
        lower = _as_float32(last - 1.0)
        last = lower if lower < _as_float32(last) else _next_below(_as_float32(last))
        scores.append(last)
    return scores


def _as_float32(value: float) -> float:
    """Return the nearest 32-bit float; the largest for one that is beyond it."""
    bounded = max(-_LARGEST, min(_LARGEST, value))
    rounded: float = struct.unpack("<f", struct.pack("<f", bounded))[0]
    return rounded + 0.0


def _next_below(value: float) -> float:
    """Return the next 32-bit float below one."""
    if value == 0.0:
        return float(struct.unpack("<f", b"\x01\x00\x00\x80")[0])
    (bits,) = struct.unpack("<i", struct.pack("<f", value))
    bits += -1 if value > 0 else 1
    lower: float = struct.unpack("<f", struct.pack("<i", bits))[0]
    if math.isinf(lower):
        raise ValueError("no 32-bit float is left below the lowest")
    return lower
