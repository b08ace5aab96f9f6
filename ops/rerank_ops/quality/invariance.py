"""Invariance: tests with a fixed seed that a pair's score is the same bits in any order and batch. Not a proof."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np

from rerank_ops.quality.agreement import Scores, same_bits

TextPair = tuple[str, str]
#: Logits of (query, document) pairs, float32, in the order of the pairs.
ScoreTexts = Callable[[Sequence[TextPair]], Scores]
#: Enough that pairs of every length of the frozen set meet others; all calls cost about as much as the whole set.
_WATCHED = 24
_SEED = 11


def is_invariant(score: ScoreTexts, pairs: Sequence[TextPair], seed: int = _SEED) -> bool:
    """Score some of the pairs in several orders, alone and among others; return False at the first different score."""
    chance = random.Random(seed)
    by_length = sorted(set(pairs), key=lambda pair: (len(pair[0]) + len(pair[1]), pair))
    watched = by_length[:: max(1, len(by_length) // _WATCHED)]
    others = [pair for pair in by_length if pair not in set(watched)]
    company = chance.sample(others, min(_WATCHED, len(others)))
    expected = dict(zip(watched, score(watched), strict=True))
    calls = [
        chance.sample(watched, len(watched)),
        watched[::-1],
        *([pair] for pair in watched),
        # Some pairs twice, since equal pairs can share a call too.
        chance.sample([*watched, *company, *watched[::3]], len(watched) + len(company) + len(watched[::3])),
        *_parts(chance.sample([*watched, *company], len(watched) + len(company)), chance),
    ]
    return all(_as_expected(call, score(call), expected) for call in calls)


def _parts(pairs: Sequence[TextPair], chance: random.Random) -> list[Sequence[TextPair]]:
    """Return a list cut into parts of one to seven pairs."""
    parts, start = [], 0
    while start < len(pairs):
        end = start + chance.randint(1, 7)
        parts.append(pairs[start:end])
        start = end
    return parts


def _as_expected(call: Sequence[TextPair], scores: Scores, expected: dict[TextPair, np.float32]) -> bool:
    known = [place for place, pair in enumerate(call) if pair in expected]
    return same_bits(scores[known], np.array([expected[call[place]] for place in known], dtype=np.float32))
