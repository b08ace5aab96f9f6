"""The micro-batching policy: which pairs run next, and when. Pure: no thread, no clock, no session of its own.

Pairs run earliest deadline first. A batch takes the most urgent pairs up to its token budget, padding counted where
there is any, and runs them sorted by length. It closes at once when the budget is full, when its oldest pair has
waited long enough, or when waiting longer would eat the tightest slack. Equal pairs (same digest) are one entry.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

#: A padded batch picks its neighbours in length among this many budgets' worth of the most urgent pairs.
_WINDOW_BUDGETS = 4
#: Places in the order that may be stale before they are cleared away; so many more than waiting pairs, at least.
_STALE_PLACES = 64


@dataclass(frozen=True, slots=True)
class Candidate:
    """One pair that waits. Times are seconds of the caller's clock; `sequence` keeps first-stage order in a job."""

    digest: bytes
    tokens: int
    deadline: float
    entered: float
    sequence: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Pairs to run now, shortest first."""

    candidates: tuple[Candidate, ...]

    @property
    def tokens(self) -> int:
        """Tokens without padding."""
        return sum(candidate.tokens for candidate in self.candidates)


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to run before `until` (seconds of the clock), unless something is added. None: nothing waits at all."""

    until: float | None


class Batcher:
    """Holds waiting pairs and decides. Not thread-safe: its owner locks."""

    def __init__(
        self, *, budget_tokens: int, max_wait_s: float, padded: bool, predict_s: Callable[[int], float]
    ) -> None:
        self._budget = budget_tokens
        self._max_wait_s = max_wait_s
        self._padded = padded
        self._predict_s = predict_s
        self._waiting: dict[bytes, Candidate] = {}
        # Entries whose deadline is no longer that of the waiting candidate are stale and skipped.
        self._heap: list[tuple[float, int, bytes]] = []
        self.tokens = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, candidate: Candidate) -> None:
        """Let a pair wait. One with the digest of a waiting pair joins it, and the earlier deadline holds."""
        present = self._waiting.get(candidate.digest)
        if present is not None:
            if candidate.deadline >= present.deadline:
                return
            candidate = Candidate(
                candidate.digest, present.tokens, candidate.deadline, present.entered, candidate.sequence
            )
        else:
            self.tokens += candidate.tokens
        self._waiting[candidate.digest] = candidate
        heapq.heappush(self._heap, (candidate.deadline, candidate.sequence, candidate.digest))
        if len(self._heap) > 2 * len(self._waiting) + _STALE_PLACES:
            self._heap = [(c.deadline, c.sequence, c.digest) for c in self._waiting.values()]
            heapq.heapify(self._heap)

    def discard(self, digest: bytes) -> None:
        """Forget a waiting pair; its place in the order goes stale."""
        if (candidate := self._waiting.pop(digest, None)) is not None:
            self.tokens -= candidate.tokens

    def next(self, now: float) -> Batch | Wait:
        """Return the batch to run now, or how long to wait for one."""
        if not self._waiting:
            self._heap.clear()
            return Wait(None)
        if self._max_wait_s > 0 and self.tokens < self._budget and (close_at := self._close_at()) > now:
            return Wait(close_at)
        chosen = self._fill()
        return Batch(tuple(sorted(chosen, key=lambda c: (c.tokens, c.sequence))))

    def _close_at(self) -> float:
        oldest = min(candidate.entered for candidate in self._waiting.values())
        tightest = min(candidate.deadline for candidate in self._waiting.values())
        return min(oldest + self._max_wait_s, tightest - self._predict_s(self.tokens))

    def _fill(self) -> list[Candidate]:
        if not self._padded:
            return self._pop(self._budget)
        window = self._pop(self._budget * _WINDOW_BUDGETS)
        seed = window[0]
        by_likeness = sorted(window, key=lambda c: (abs(c.tokens - seed.tokens), c.deadline, c.sequence))
        chosen: list[Candidate] = []
        longest = 0
        for candidate in by_likeness:
            padded = max(longest, candidate.tokens) * (len(chosen) + 1)
            if chosen and padded > self._budget:
                break
            chosen.append(candidate)
            longest = max(longest, candidate.tokens)
        for candidate in by_likeness[len(chosen) :]:
            self.add(candidate)
        return chosen

    def _pop(self, tokens: int) -> list[Candidate]:
        """Take the most urgent pairs that fit in `tokens`; at least one, which settings promise to fit a budget."""
        taken: list[Candidate] = []
        total = 0
        while self._heap:
            deadline, sequence, digest = self._heap[0]
            candidate = self._waiting.get(digest)
            if candidate is None or (candidate.deadline, candidate.sequence) != (deadline, sequence):
                heapq.heappop(self._heap)
                continue
            if taken and total + candidate.tokens > tokens:
                break
            heapq.heappop(self._heap)
            taken.append(candidate)
            total += candidate.tokens
            self.discard(digest)
        return taken
