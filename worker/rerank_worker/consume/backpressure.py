"""Backpressure: a worker process takes another job only while little work waits in it.

Work that waits in the queue instead is free for any idle process. The current batch does not count, so the next job is
ready when the batch ends. Jobs that are taken but not tokenized count with their sender's estimate. Where a process
serves several models, the work of all of them counts. Pure: no thread, no clock, no queue.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rerank_shared.scheduling.cost import Work
from rerank_worker.batching.batcher import Waiting

#: Typical tokens of a question and a passage together: an estimate counts tokens, not pairs.
_PAIR_TOKENS = 128


@dataclass(frozen=True, slots=True)
class Backpressure:
    """Bounds waiting work to `lookahead_s` predicted seconds and to `budget_tokens`, the tokens of one batch.

    `predict_s` gives the seconds of work whose model is not known yet.
    """

    lookahead_s: float
    budget_tokens: int
    predict_s: Callable[[Work], float]

    def open(self, waiting: Waiting, untokenized: int) -> bool:
        """Return whether to take a job. `waiting`: work in the batchers; `untokenized`: tokens of other taken jobs."""
        if waiting.tokens + untokenized >= self.budget_tokens:
            return False
        coming = Work(untokenized / _PAIR_TOKENS, untokenized, untokenized * _PAIR_TOKENS)
        return waiting.seconds + self.predict_s(coming) < self.lookahead_s
