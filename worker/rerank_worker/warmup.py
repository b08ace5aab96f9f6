"""Runs the engine over a grid of lengths before the process takes its first job, so that the first caller pays nothing.

It also gives the first measurement of the token rate. Text is real words, not one repeated id.
"""

from __future__ import annotations

import logging
import time

from rerank_shared.errors import ModelDamaged
from rerank_worker.engine import Engine
from rerank_worker.rate import TokenRate
from rerank_worker.tokenizing import PairTokenizer

log = logging.getLogger(__name__)
_LENGTHS = (16, 32, 64, 128, 256, 512)
_TEXT = "which of these passages answers the question best, and how many of them have anything to say about it? "


def warm_up(engine: Engine, tokenizer: PairTokenizer, rate: TokenRate, max_length: int, budget_tokens: int) -> float:
    """Run each length up to `max_length`, in the largest batch the plan allows; returns the seconds it took.

    Raises ModelDamaged if the model can't run: it must not take jobs that it would fail.
    """
    started = time.perf_counter()
    for length in sorted({min(length, max_length) for length in _LENGTHS}):
        (pair,) = tokenizer.encode("warm up", [_TEXT * (1 + length // 16)], length)
        pairs = [pair] * max(1, budget_tokens // pair.tokens)
        run = engine.runs(pairs)[0]
        begun = time.perf_counter()
        try:
            engine.score([pairs[i] for i in run])
        except Exception as error:
            # onnxruntime's exceptions share no base class below Exception.
            raise ModelDamaged(f"the model can't score plain English text of {pair.tokens} tokens: {error}") from None
        rate.add(len(run) * pair.tokens, time.perf_counter() - begun)
    seconds = time.perf_counter() - started
    log.info("worker warm seconds=%.2f tokens_per_s=%.0f", seconds, rate.tokens_per_s)
    return seconds
