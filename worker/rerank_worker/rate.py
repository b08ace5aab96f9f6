"""How many tokens a second this process runs while it runs, as a moving average that weighs recent runs more."""

from __future__ import annotations

import math

#: A measurement loses half its weight after this many seconds of running.
_HALF_LIFE_S = 10.0


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
