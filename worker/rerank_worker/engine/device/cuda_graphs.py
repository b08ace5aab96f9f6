"""Which CUDA graph a run captures or replays, told to ONNX Runtime by the run option gpu_graph_id.

A graph is work over fixed addresses in fixed shapes: there is one for each slot, state of its buffers, and shape. None
has been captured on a GPU yet.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnxruntime

from rerank_worker.engine.device.slot import Part, Slot

#: Graphs keep their work memory for ever; shapes met after so many run uncaptured.
MOST_GRAPHS = 64
_OPTION = "gpu_graph_id"
_UNCAPTURED = "-1"


class CudaGraphs:
    """The graphs of one engine's sessions. `capturing` is held while one is captured: no other thread may copy then."""

    def __init__(self) -> None:
        self.capturing = threading.Lock()
        self._ids: dict[tuple[Any, ...], int] = {}
        self._used = 0

    @contextmanager
    def run_options(self, slot: Slot, part: Part) -> Iterator[Any]:
        """Give the run options of one execution; the first over a shape captures it, and is tried again if it fails."""
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
