"""How this process runs of late, as moving averages that weigh what is recent more: its tokens a second while it runs,
and the pairs of its batches."""

from __future__ import annotations

import math

#: A measurement loses half its weight after this many seconds of running.
_HALF_LIFE_S = 10.0
#: A batch loses half its weight after this many others.
_HALF_LIFE_BATCHES = 16


class TokenRate:
    """Tokens per busy second. Written by one thread; reading a slightly old value elsewhere is harmless."""

    def __init__(self) -> None:
        self._tokens = 0.0
        self._seconds = 0.0

    def add(self, tokens: int, seconds: float) -> None:
        """Count a run."""
        keep = math.exp2(-seconds / _HALF_LIFE_S)
        self._tokens = self._tokens * keep + tokens
        self._seconds = self._seconds * keep + seconds

    @property
    def tokens_per_s(self) -> float:
        """The average; 0 before the first run."""
        return self._tokens / self._seconds if self._seconds > 0 else 0.0


class BatchSize:
    """Pairs of recent batches. Written by one thread, as `TokenRate` is."""

    def __init__(self) -> None:
        self._pairs = 0.0
        self._batches = 0.0

    def add(self, pairs: int) -> None:
        """Count a batch."""
        keep = math.exp2(-1 / _HALF_LIFE_BATCHES)
        self._pairs = self._pairs * keep + pairs
        self._batches = self._batches * keep + 1

    @property
    def pairs_per_batch(self) -> float:
        """The average; 0 before the first batch."""
        return self._pairs / self._batches if self._batches else 0.0
