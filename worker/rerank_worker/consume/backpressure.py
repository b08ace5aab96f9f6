"""When a worker process takes another job: while little waits in it, so that what waits is there for whoever is free.

What runs does not count, since the next job shall be there when it ends. Jobs that were taken and not tokenized yet
count with their sender's estimate. Pure: no thread, no clock, no queue.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rerank_shared.scheduling.cost import Work

#: An estimate in tokens says nothing of how many pairs they are; a passage and a question have about so many.
_PAIR_TOKENS = 128


@dataclass(frozen=True, slots=True)
class Intake:
    """Holds at most `lookahead_s` of waiting work, by prediction, and never more than one batch."""

    lookahead_s: float
    budget_tokens: int
    predict_s: Callable[[Work], float]

    def open(self, waiting: Work, untokenized: int) -> bool:
        """Whether to take a job: `waiting` is the batcher's work, `untokenized` the estimated tokens on their way."""
        if waiting.tokens + untokenized >= self.budget_tokens:
            return False
        coming = Work(untokenized / _PAIR_TOKENS, untokenized, untokenized * _PAIR_TOKENS)
        return self.predict_s(waiting + coming) < self.lookahead_s
