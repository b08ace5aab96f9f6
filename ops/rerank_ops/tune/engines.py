"""The engines of one model, one a plan, as workers run them, and the time that each takes for a point's work."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rerank_ops.tune.grid import Cell, Plans
from rerank_shared.models.catalogue import ModelFiles
from rerank_shared.models.precision import PLANS
from rerank_shared.scheduling.runs import RunShape
from rerank_worker.engine import Engine, open_engine
from rerank_worker.tokenizing import EncodedPair


def plans_of(files: ModelFiles) -> Plans:
    """Return the plans that a model can run in; a plain ONNX file does every single pair by itself."""
    manifest = files.manifest
    if manifest is None:
        return Plans(("single", "buckets"), frozenset({"single"}))
    names = tuple(plan for plan in PLANS if plan in manifest.plans)
    return Plans(names, frozenset({"single"}) if manifest.tail is None else frozenset())


class Engines:
    """Open engines of one thread each; their weights are shared where the model's files allow it."""

    def __init__(self, files: ModelFiles, plans: Plans, longest: EncodedPair) -> None:
        """`longest` warms each engine up; raises as `open_engine`."""
        self._engines: dict[str, Engine] = {plan: open_engine(files, RunShape(plan)) for plan in plans.names}
        self._fixed = plans.fixed
        for engine in self._engines.values():
            engine.score([longest])

    def seconds(self, cell: Cell, pairs: Sequence[EncodedPair]) -> float:
        """Return how long a plan takes for some pairs, shortest first, in runs of the point's size."""
        engine = self._engines[cell.plan]
        groups = runs_of(RunShape(cell.plan, 1) if cell.plan in self._fixed else cell.shape(), pairs)
        started = time.perf_counter()
        for group in groups:
            engine.score(group)
        return time.perf_counter() - started


def runs_of(shape: RunShape, pairs: Sequence[EncodedPair]) -> list[list[EncodedPair]]:
    """Return the pairs of each run."""
    return [[pairs[i] for i in run] for run in shape.split([pair.tokens for pair in pairs])]
