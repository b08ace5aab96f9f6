"""Runs the engine over a grid of lengths before the process takes its first job, so that the first caller pays nothing.

It also gives the first measurements of what runs cost. Text is real words, not one repeated id.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import numpy as np

from rerank_shared.errors import ConfigurationError, ModelDamaged
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.engine import Engine
from rerank_worker.tokenizing import PairTokenizer

log = logging.getLogger(__name__)
_SHORTEST = 16
#: Longer pairs are left to the first caller that has some: what they add to the start would be more than they save him.
_ENOUGH_S = 0.3
_TEXT = "which of these passages answers the question best, and how many of them have anything to say about it? "


def warm_up(
    engine: Engine,
    tokenizer: PairTokenizer,
    run_cost: RunCost,
    max_length: int,
    budget_tokens: int,
    *,
    together: bool = True,
) -> float:
    """Run pairs of doubling length until one takes long or has `max_length`; returns the seconds it took.

    `together`: pairs share a run, so each length is run in the largest batch that the layout allows, as a device wants
    it; else in one pair. A model must not take jobs that it would fail. Raises ConfigurationError if it is no reranker,
    ModelDamaged if it can't run or gives no numbers.
    """
    started = time.perf_counter()
    scored = 0
    for length in lengths(max_length):
        (pair,) = tokenizer.encode("warm up", [_TEXT * (1 + length // 16)], length)
        pairs = [pair] * (max(1, budget_tokens // pair.tokens) if together else 1)
        run = engine.runs(pairs)[0]
        begun = time.perf_counter()
        try:
            logits = engine.score([pairs[i] for i in run])
        except ConfigurationError:
            # No cross-encoder, which its first run shows.
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
    """Return the error for a model that scored texts of up to `scored` tokens, if any, and no longer ones."""
    way_out = f". It scored {scored} tokens: RERANK_MAX_LENGTH={scored} serves it so far" if scored else ""
    return ModelDamaged(f"the model {what}{way_out}")


def lengths(max_length: int) -> Iterator[int]:
    """Yield tokens of a pair, doubling, the last of them `max_length` itself."""
    length = _SHORTEST
    while length < max_length:
        yield length
        length *= 2
    yield max_length
