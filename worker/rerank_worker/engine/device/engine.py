"""Device engine: runs the graphs of an artefact on a GPU, with inputs bound to device memory and two runs under way.

Inputs are copied once, into lasting buffers. The body's rows stay on the device on their way to the tail, and only
logits come back. The caller's thread lays out and copies a run while the engine's own thread has the device compute the
run before. On CPUExecutionProvider the same code runs over host memory, which is how it is tested; no GPU has run it
yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from rerank_shared.errors import ConfigurationError
from rerank_shared.scheduling.runs import RunShape
from rerank_worker.engine.device.cuda_graphs import CudaGraphs
from rerank_worker.engine.device.shapes import device_feeds, round_tokens
from rerank_worker.engine.device.slot import LOGITS, ROWS, Part, Slot
from rerank_worker.engine.providers import Providers
from rerank_worker.engine.session import open_session
from rerank_worker.tokenizing import EncodedPair

Floats = npt.NDArray[np.float32]
#: One slot is computed while the next one is filled.
_SLOTS = 2


class DeviceEngine:
    """Scores pairs on a device. Call `start` and `score` from one thread only, and `close` after the last run."""

    def __init__(
        self, body: Path, tail: Path, shape: RunShape, providers: Providers, max_length: int | None = None
    ) -> None:
        """Open the sessions of body and tail. `max_length`: the most tokens of a pair; no pair is padded beyond it.

        Raises ConfigurationError if CUDA graphs are set in layout unpadded, and as `open_session`.
        """
        if providers.cuda_graphs and shape.layout == "unpadded":
            raise ConfigurationError(
                "RERANK_CUDA_GRAPHS needs runs of recurring shapes, and in layout unpadded each length is one: set "
                "RERANK_LAYOUT to padded, varlen or packed"
            )
        optimise = providers.device != "cpu"
        self._body = open_session(body, optimise=optimise, providers=providers)
        self._tail = open_session(tail, optimise=optimise, providers=providers)
        self._inputs = [node.name for node in self._body.get_inputs()]
        self._width = int(self._tail.get_inputs()[0].shape[1])
        self._shape = shape
        self._max_length = max_length
        self._graphs = CudaGraphs() if providers.cuda_graphs else None
        self._free: SimpleQueue[Slot] = SimpleQueue()
        for index in range(_SLOTS):
            self._free.put(Slot(index, providers.device))
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="device")

    def runs(self, pairs: Sequence[EncodedPair]) -> list[range]:
        """Return runs of the layout's size; in layout padded, rounded lengths count."""
        lengths = [pair.tokens for pair in pairs]
        if self._shape.layout == "padded":
            lengths = [round_tokens(length, self._max_length) for length in lengths]
        return self._shape.split(lengths)

    def start(self, pairs: Sequence[EncodedPair]) -> Callable[[], Floats]:
        """Lay out and copy a run, and submit it to the device. Blocks only while two other runs are under way."""
        slot = self._free.get()
        try:
            layout, recurring = self._shape.layout, self._graphs is not None
            groups = [[pair] for pair in pairs] if layout == "unpadded" else [pairs]
            parts = [device_feeds(layout, group, recurring=recurring, most=self._max_length) for group in groups]
            with self._graphs.capturing if self._graphs else nullcontext():
                slot.fill(self._inputs, parts, self._width)
        except Exception as error:
            self._free.put(slot)
            return partial(_fail, error)
        return self._thread.submit(self._compute, slot, len(pairs)).result

    def score(self, pairs: Sequence[EncodedPair]) -> Floats:
        """Return the logit of each pair, shape [pairs]; raises whatever ONNX Runtime raises."""
        return self.start(pairs)()

    def close(self) -> None:
        """Wait for the runs under way and end the thread."""
        self._thread.shutdown()

    def _compute(self, slot: Slot, count: int) -> Floats:
        try:
            for part in slot.parts:
                with self._graphs.run_options(slot, part) if self._graphs else nullcontext() as options:
                    self._run(self._body, slot, part, part.inputs, ROWS, options)
                    # In layout unpadded each row runs through the tail alone, so that a score depends on its pair only.
                    self._run(self._tail, slot, part, [ROWS], LOGITS, options)
            # Fillers come after the pairs, and only a run of one part has any.
            logits: Floats = slot.logits()[:count]
        finally:
            self._free.put(slot)
        return logits

    def _run(self, session: Any, slot: Slot, part: Part, inputs: Sequence[str], output: str, options: Any) -> None:
        binding = session.io_binding()
        for name in inputs:
            binding.bind_input(name, *slot.place(name, part))
        binding.bind_output(output, *slot.place(output, part))
        session.run_with_iobinding(binding, options)


def _fail(error: Exception) -> NoReturn:
    raise error
