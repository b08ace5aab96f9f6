"""Moving averages of a worker process: tokens a second while it runs, and pairs a batch. Recent values weigh more."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from rerank_shared.scheduling.cost import Work

#: A measurement loses half its weight after this many seconds of running.
_HALF_LIFE_S = 10.0
#: The most runs that are remembered.
_RUNS = 1_000
#: A run counts with at most twice its usual time, or its usual time and this much more. This covers the pause of a
#: container at its CPU limit; a suspension lasts longer.
_LONGEST_STALL_S = 0.2
#: A batch loses half its weight after this many later batches.
_HALF_LIFE_BATCHES = 16


@dataclass(frozen=True, slots=True)
class _Run:
    tokens: int
    work: Work
    seconds: float


class TokenRate:
    """Tokens per busy second. One thread writes; other threads may read a slightly old value.

    The clock goes on while a process is frozen in mid-run, by a signal or with its whole machine. So the measured time
    of a run is bounded by a multiple of its usual time. When all runs become slower, the usual time follows.
    """

    def __init__(self, usual_s: Callable[[Work], float]) -> None:
        """`usual_s`: the seconds that such work usually takes, 0 while unknown."""
        self._usual_s = usual_s
        self._runs: deque[_Run] = deque(maxlen=_RUNS)

    def add(self, tokens: int, work: Work, seconds: float) -> None:
        """Count a run."""
        if seconds > 0:
            self._runs.append(_Run(tokens, work, seconds))

    @property
    def tokens_per_s(self) -> float:
        """The average; 0 before the first run."""
        tokens = seconds = passed_s = 0.0
        # The copy is one step for the interpreter, so no run is added in between.
        for run in reversed(tuple(self._runs)):
            weight, counted_s = math.exp2(-passed_s / _HALF_LIFE_S), self._counted_s(run)
            tokens += weight * run.tokens
            seconds += weight * counted_s
            passed_s += counted_s
        return tokens / seconds if seconds > 0 else 0.0

    def _counted_s(self, run: _Run) -> float:
        usual_s = self._usual_s(run.work)
        return min(run.seconds, usual_s + max(usual_s, _LONGEST_STALL_S)) if usual_s > 0 else run.seconds


class BatchSize:
    """Average pairs of recent batches. Threads as for `TokenRate`."""

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
