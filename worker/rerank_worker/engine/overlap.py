"""Overlap: keeps two runs under way at once, on engines that compute outside the calling thread.

While a GPU computes one run, the scoring thread lays out and copies the next one and delivers the scores of the last
one. An engine on the CPU has nothing to overlap: there the same loop starts a run when its logits are read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from rerank_worker.engine.onnx_engine import Engine
from rerank_worker.tokenizing import EncodedPair

Floats = npt.NDArray[np.float32]


@runtime_checkable
class Overlapping(Protocol):
    """An engine that accepts a run while another one is under way."""

    def start(self, pairs: Sequence[EncodedPair]) -> Callable[[], Floats]:
        """Begin a run, without raising. The returned function waits for the logits and raises the run's error."""
        ...


def runs_at_once(engine: Engine) -> int:
    """Return the number of runs that may be under way at once."""
    return 2 if isinstance(engine, Overlapping) else 1


def starter(engine: Engine) -> Callable[[Sequence[EncodedPair]], Callable[[], Floats]]:
    """Return the function that begins a run, as `Overlapping.start`. On other engines the run begins when awaited."""
    return engine.start if isinstance(engine, Overlapping) else partial(partial, engine.score)


def joins_runs(engine: Engine) -> bool:
    """Return whether several runs of the engine may be joined into one: no score changes, and nothing is padded."""
    return bool(getattr(engine, "joins_runs", False))
