"""Engines of one model, one a layout, as workers run them; measures the time that each takes for a point's work."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rerank_ops.tune.grid import Cell, Layouts
from rerank_shared.models.catalogue import ModelFiles
from rerank_shared.models.precision import LAYOUTS, LayoutName
from rerank_shared.scheduling.runs import RunShape
from rerank_worker.engine import Engine, PreparedKernel, graph_layout, open_engine
from rerank_worker.tokenizing import EncodedPair


def layouts_of(files: ModelFiles, kernel: PreparedKernel | None = None) -> Layouts:
    """Return the layouts that a model can run in, each graph once: by a kernel, unpadded may run by that of another.

    Without a tail, layout unpadded runs one pair at any size.
    """
    manifest = files.manifest
    if manifest is None:
        return Layouts(("unpadded", "padded"), frozenset({"unpadded"}))
    by_graph: dict[LayoutName, LayoutName] = {}
    for layout in LAYOUTS:
        if layout in manifest.layouts:
            by_graph.setdefault(graph_layout(layout, manifest.layouts, by_kernel=kernel is not None), layout)
    names = tuple(by_graph.values())
    return Layouts(names, frozenset({"unpadded"}) if manifest.tail is None else frozenset())


class Engines:
    """Open engines of one thread each; their weights are shared where the model's files allow it."""

    def __init__(
        self, files: ModelFiles, layouts: Layouts, longest: EncodedPair, kernel: PreparedKernel | None = None
    ) -> None:
        """Open the engines and warm each up with the pair `longest`. Raises as `open_engine` does."""
        self._engines: dict[str, Engine] = {
            layout: open_engine(files, RunShape(layout), kernel=kernel) for layout in layouts.names
        }
        self._fixed = layouts.fixed
        for engine in self._engines.values():
            engine.score([longest])

    def seconds(self, cell: Cell, pairs: Sequence[EncodedPair]) -> float:
        """Return the seconds that a layout takes for pairs, shortest first, in runs of the point's size."""
        engine = self._engines[cell.layout]
        groups = runs_of(RunShape(cell.layout, 1) if cell.layout in self._fixed else cell.shape(), pairs)
        started = time.perf_counter()
        for group in groups:
            engine.score(group)
        return time.perf_counter() - started


def runs_of(shape: RunShape, pairs: Sequence[EncodedPair]) -> list[list[EncodedPair]]:
    """Return the pairs of each run of this shape."""
    return [[pairs[i] for i in run] for run in shape.split([pair.tokens for pair in pairs])]
