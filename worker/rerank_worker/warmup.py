"""Warm-up: runs a scorer over growing lengths before the first job, so that no caller pays for first runs.

It also gives the cost model its first measurements. The text is real words, not one repeated id.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from rerank_shared.errors import ConfigurationError, ModelDamaged
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.scorers import Scorer

log = logging.getLogger(__name__)
_SHORTEST = 16
#: Stop after a run this long: warming longer pairs would delay the start by more than it saves the first caller.
_ENOUGH_S = 0.3
_TEXT = "which of these passages answers the question best, and how many of them have anything to say about it? "


def warm_up(scorer: Scorer[Any], run_cost: RunCost, budget_tokens: int) -> float:
    """Run pairs of doubling length until a run takes long or the length is the model's; return the total seconds.

    Where pairs share a run, each length runs in the largest run that the layout allows, as a device needs it. In layout
    unpadded each length runs as one pair. A model must not take jobs that it would fail, so this raises
    ConfigurationError if the model is not a reranker, and ModelDamaged if it can't run or gives no finite logits.
    """
    started = time.perf_counter()
    scored = 0
    together = scorer.work.layout != "unpadded"
    for length in lengths(scorer.identity.max_length):
        (pair,) = scorer.encode("warm up", [_TEXT * (1 + length // 16)], length)
        pairs = [pair] * (max(1, budget_tokens // pair.tokens) if together else 1)
        run = scorer.runs(pairs)[0]
        begun = time.perf_counter()
        try:
            logits = scorer.score([pairs[i] for i in run])
        except ConfigurationError:
            # The first run shows that the model is of another kind.
            raise
        except Exception as error:
            # onnxruntime's exceptions share no base class below Exception.
            raise _damaged(f"can't score plain English text of {pair.tokens} tokens: {error}", scored) from None
        took = time.perf_counter() - begun
        if not np.isfinite(logits).all():
            told = f"gives {logits[~np.isfinite(logits)][0]} for plain English text of {pair.tokens} tokens"
            raise _damaged(f"{told}: its weights are damaged, or too large for its precision", scored)
        scored = pair.tokens
        run_cost.observe([pair.tokens] * len(run), took)
        if took > _ENOUGH_S:
            break
    seconds = time.perf_counter() - started
    log.info("worker warm seconds=%.2f longest=%d tokens_per_s=%.0f", seconds, length, run_cost.rate.tokens_per_s)
    return seconds


def _damaged(what: str, scored: int) -> ModelDamaged:
    """Return the error for a model that scored pairs of up to `scored` tokens (0: none) and no longer ones."""
    way_out = f". It scored {scored} tokens: RERANK_MAX_LENGTH={scored} serves it so far" if scored else ""
    return ModelDamaged(f"the model {what}{way_out}")


def lengths(max_length: int) -> Iterator[int]:
    """Yield lengths in tokens, doubling from 16; the last one is `max_length`."""
    length = _SHORTEST
    while length < max_length:
        yield length
        length *= 2
    yield max_length
