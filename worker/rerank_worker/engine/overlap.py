"""Two runs under way at once, for engines whose work is done by something else than the thread that asks for it.

While a GPU computes one run, the next can be laid out and copied to it, and the scores of the one before delivered.
Engines on CPU have nothing to overlap: the same loop then starts a run when its scores are asked for.
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
    """An engine that takes a run while another one is under way."""

    def start(self, pairs: Sequence[EncodedPair]) -> Callable[[], Floats]:
        """Begin a run; what is returned waits for its logits, or raises what the run raised. Raises nothing itself."""
        ...


def runs_at_once(engine: Engine) -> int:
    """Return how many runs may be under way."""
    return 2 if isinstance(engine, Overlapping) else 1


def starter(engine: Engine) -> Callable[[Sequence[EncodedPair]], Callable[[], Floats]]:
    """Return what begins a run as far as the engine can; what that returns gives the run's logits or raises."""
    return engine.start if isinstance(engine, Overlapping) else partial(partial, engine.score)
