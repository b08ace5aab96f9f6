"""An engine over any number of pairs at once, for those that measure or compare one.

Pairs are sorted and split as the scorer does it; deadlines and other jobs are the scorer's alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rerank_worker.engine.onnx_engine import Engine
from rerank_worker.tokenizing import EncodedPair

Floats = npt.NDArray[np.float32]


def run_engine(engine: Engine, pairs: Sequence[EncodedPair]) -> Floats:
    """Return the logit of each pair, in the order given, shape [pairs]; raises what the engine raises."""
    order = sorted(range(len(pairs)), key=lambda index: pairs[index].tokens)
    ordered = [pairs[index] for index in order]
    logits = np.empty(len(pairs), dtype=np.float32)
    for run in engine.runs(ordered):
        logits[order[run.start : run.stop]] = engine.score(ordered[run.start : run.stop])
    return logits
