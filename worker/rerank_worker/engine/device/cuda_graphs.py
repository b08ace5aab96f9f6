"""CUDA graphs: chooses the graph that a run captures or replays, by ONNX Runtime's run option gpu_graph_id.

A graph is fixed to addresses and shapes, so there is one for each slot, state of its buffers, and shape. None has been
captured on a GPU yet.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnxruntime

from rerank_worker.engine.device.slot import Part, Slot

#: The most graphs: each keeps its work memory for ever, so later shapes run uncaptured.
MOST_GRAPHS = 64
_OPTION = "gpu_graph_id"
_UNCAPTURED = "-1"


class CudaGraphs:
    """The graphs of one engine's sessions. `capturing` is held during a capture: no other thread may copy then."""

    def __init__(self) -> None:
        self.capturing = threading.Lock()
        self._ids: dict[tuple[Any, ...], int] = {}
        self._used = 0

    @contextmanager
    def run_options(self, slot: Slot, part: Part) -> Iterator[Any]:
        """Yield the run options of one execution. The first over a shape captures it; a failed capture is repeated."""
        key = (slot.index, slot.moves, part.shapes)
        if key in self._ids:
            yield _options(str(self._ids[key]))
        elif self._used == MOST_GRAPHS:
            yield _options(_UNCAPTURED)
        else:
            self._used += 1
            graph_id = self._used
            with self.capturing:
                yield _options(str(graph_id))
            self._ids[key] = graph_id


def _options(graph_id: str) -> Any:
    options = onnxruntime.RunOptions()
    options.add_run_config_entry(_OPTION, graph_id)
    return options
