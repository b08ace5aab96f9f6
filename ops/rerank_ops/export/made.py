"""Graphs of an export in one precision: writes a built graph for each layout, or the plain graph, into a directory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from rerank_ops.export.graph.bodies.body import Floats
from rerank_ops.export.graph.build import TAIL_FILE, arithmetic_of, build_graphs, graph_file
from rerank_ops.export.graph.functions.stored_calls import kernel_calls
from rerank_ops.export.graph.store import save_graphs
from rerank_ops.export.plain import MODEL_FILE, plain_files
from rerank_ops.export.sources.opened import Opened
from rerank_shared.errors import ConfigurationError
from rerank_shared.models.manifest import KernelCalls
from rerank_shared.models.precision import LayoutName, PrecisionName
from rerank_shared.scheduling.runs import RunShape
from rerank_worker.engine import ArtefactEngine, Engine, PlainEngine, PreparedKernel
from rerank_worker.engine.kernels import Kernel, pack_weights, trial_feeds
from rerank_worker.tokenizing import EncodedPair

#: No model that is exported takes fewer in a pair.
TRIAL_TOKENS = 64
#: The layouts in which a plain graph can run.
PLAIN_LAYOUTS: tuple[LayoutName, ...] = ("unpadded", "padded")


@dataclass(frozen=True, slots=True)
class Made:
    """Graphs in `directory`: the file of each layout, and the tail's; `tail` is None for a plain graph."""

    directory: Path
    layouts: Mapping[LayoutName, str]
    tail: str | None

    @property
    def opset(self) -> int:
        """The version of ONNX's operator set that the graphs need."""
        model = onnx.load(self.directory / next(iter(self.layouts.values())), load_external_data=False)
        return next(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))

    @property
    def kernel_calls(self) -> KernelCalls | None:
        """The calls of kernels in the graphs, not measured yet; None where there are none."""
        return kernel_calls(self.directory / next(iter(self.layouts.values()))) if self.tail else None

    def prepared(self, kernels: Sequence[Kernel]) -> list[PreparedKernel]:
        """Return kernels over the weights of the graphs, which are packed once for all; there must be calls of them."""
        calls = self.kernel_calls
        weights = pack_weights(calls, self.directory) if calls and kernels else {}
        return [PreparedKernel.reading(kernel, weights) for kernel in kernels]

    def engine(self, layout: LayoutName, threads: int = 1, kernel: PreparedKernel | None = None) -> Engine:
        """Return an engine on the graph of a layout; `kernel` runs its calls.

        Raises KernelDiffers where a kernel gives other results than the operators that it replaces.
        """
        shape, graph = RunShape(layout), self.directory / self.layouts[layout]
        if self.tail is None:
            return PlainEngine(graph, shape, threads)
        if kernel is not None:
            kernel.check(graph, trial_feeds(layout, TRIAL_TOKENS))
        return ArtefactEngine(graph, self.directory / self.tail, shape, threads, kernel=kernel)


@dataclass(frozen=True, slots=True)
class Maker:
    """Writes the graphs of one opened source in any precision. `calibration` returns pairs of ordinary text.

    `smoothing`: of int8; None: measured on those pairs.
    """

    opened: Opened
    layouts: Sequence[LayoutName]
    calibration: Callable[[], Sequence[EncodedPair]]
    reduced_range: bool
    scratch: Path
    smoothing: Mapping[str, Floats] | None = None

    def make(self, precision: PrecisionName, directory: Path) -> Made:
        """Write the graphs in `precision` into `directory`.

        Raises ConfigurationError where the model can't be made in this precision or these layouts.
        """
        if self.opened.body is None:
            return self._plain(precision, directory)
        pairs = () if precision in ("fp32", "fp16", "bf16") else self.calibration()
        arithmetic = arithmetic_of(
            precision,
            self.opened.body,
            [(pair.ids, pair.type_ids) for pair in pairs],
            weight_bits=7 if self.reduced_range else 8,
            smoothing=self.smoothing,
        )
        save_graphs(directory, build_graphs(self.opened.body, arithmetic, self.layouts))
        return Made(directory, {layout: graph_file(layout) for layout in self.layouts}, TAIL_FILE)

    def _plain(self, precision: PrecisionName, directory: Path) -> Made:
        layouts = [layout for layout in PLAIN_LAYOUTS if layout in self.layouts]
        if not layouts:
            raise ConfigurationError(
                f"a plain export runs as {' or '.join(PLAIN_LAYOUTS)}, not {', '.join(self.layouts)}; it is one "
                f"because {self.opened.plain_because}"
            )
        traced = self.scratch / "traced"
        traced.mkdir(exist_ok=True)
        path = next(traced.glob(MODEL_FILE), None) or self.opened.write_plain(traced)
        plain_files(path, directory, precision, reduced_range=self.reduced_range)
        return Made(directory, dict.fromkeys(layouts, MODEL_FILE), None)
