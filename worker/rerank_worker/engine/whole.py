"""Runs an engine over any number of pairs, for benchmarks and comparisons.

Pairs are sorted and split as the scoring thread does, but without deadlines and other jobs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rerank_worker.engine.onnx_engine import Engine
from rerank_worker.tokenizing import EncodedPair

Floats = npt.NDArray[np.float32]


def run_engine(engine: Engine, pairs: Sequence[EncodedPair]) -> Floats:
    """Return the logits of `pairs` in their order, shape [pairs]. Raises the engine's errors."""
    order = sorted(range(len(pairs)), key=lambda index: pairs[index].tokens)
    ordered = [pairs[index] for index in order]
    logits = np.empty(len(pairs), dtype=np.float32)
    for run in engine.runs(ordered):
        logits[order[run.start : run.stop]] = engine.score(ordered[run.start : run.stop])
    return logits
