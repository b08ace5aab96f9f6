"""Engines on ONNX Runtime: one for artefacts, with a graph for each layout, and one for plain ONNX files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rerank_shared.errors import ConfigurationError
from rerank_shared.models.catalogue import ModelFiles
from rerank_shared.models.precision import LayoutName
from rerank_shared.scheduling.runs import SHARED_ROWS, RunShape
from rerank_worker.engine.device.engine import DeviceEngine
from rerank_worker.engine.kernels.prepared import PreparedKernel
from rerank_worker.engine.layouts import LAYOUTS, graph_layout
from rerank_worker.engine.packed import PackedWeights
from rerank_worker.engine.providers import ON_CPU, Providers
from rerank_worker.engine.session import open_session
from rerank_worker.engine.signature import signature_of
from rerank_worker.engine.tail import Tail
from rerank_worker.tokenizing import EncodedPair

Floats = npt.NDArray[np.float32]
#: Token ids that every vocabulary has, for a first run.
_SAMPLE = EncodedPair(np.arange(8, dtype=np.int64), np.zeros(8, dtype=np.int64), truncated=False)
_UNPACKED = PackedWeights(None)


class Engine(Protocol):
    """Scores encoded pairs. Called from one thread only."""

    def runs(self, pairs: Sequence[EncodedPair]) -> list[range]:
        """Return the runs of a batch: consecutive ranges of pair indices."""
        ...

    def score(self, pairs: Sequence[EncodedPair]) -> Floats:
        """Run the pairs once and return their logits, shape [pairs]."""
        ...


class ArtefactEngine:
    """Runs the graphs of an artefact: the body of one layout, then the tail that all layouts share.

    `graph`: the layout of the body, if it is not the shape's; see `graph_layout`.
    """

    def __init__(
        self,
        body: Path,
        tail: Path,
        shape: RunShape,
        threads: int = 1,
        packed: PackedWeights = _UNPACKED,
        kernel: PreparedKernel | None = None,
        graph: LayoutName | None = None,
    ) -> None:
        graph = graph or shape.layout
        layout = LAYOUTS[graph]
        self._pairs_share = graph != "unpadded"
        # The sample has several rows if later runs do: a product of one row takes another path and form of weights.
        sample = [_SAMPLE, _SAMPLE] if self._pairs_share else [_SAMPLE]
        self._body = packed.open(body, layout(sample), threads) if kernel is None else kernel.open(body)
        # Its sessions read the weights that it holds.
        self._kernel = kernel
        self._inputs = [node.name for node in self._body.get_inputs()]
        self._layout = layout
        self._shape = shape
        #: Whether runs may be joined into one.
        self.joins_runs = shape.joins
        rows = np.repeat(self._rows([_SAMPLE]), SHARED_ROWS, axis=0)
        self._tail = Tail(packed.open(tail, {"rows": rows}, threads))

    def runs(self, pairs: Sequence[EncodedPair]) -> list[range]:
        """Return runs of the layout's size. By the graph of layout unpadded, the pairs of a run share only the tail."""
        return self._shape.split([pair.tokens for pair in pairs])

    def score(self, pairs: Sequence[EncodedPair]) -> Floats:
        """Return the logit of each pair, shape [pairs]; raises whatever ONNX Runtime raises."""
        together = [pairs] if self._pairs_share else [[pair] for pair in pairs]
        rows = [self._rows(group) for group in together]
        return self._tail.logits(np.concatenate(rows))

    def _rows(self, pairs: Sequence[EncodedPair]) -> Floats:
        feeds = self._layout(pairs)
        (rows,) = self._body.run(None, {name: feeds[name] for name in self._inputs})
        found: Floats = rows
        return found


class PlainEngine:
    """Runs one plain ONNX file with the inputs of a cross-encoder; see signature.py."""

    def __init__(
        self, path: Path, shape: RunShape | None = None, threads: int = 1, providers: Providers = ON_CPU
    ) -> None:
        shape = shape or RunShape()
        if shape.layout not in ("unpadded", "padded"):
            raise ConfigurationError(
                f"{path} is a plain ONNX model, which runs as unpadded or padded, not {shape.layout}: "
                "`rerank-fleet export` writes the other layouts for the architectures it knows"
            )
        self._session = open_session(path, optimise=True, threads=threads, providers=providers)
        self._shape = shape if shape.layout == "padded" else RunShape("unpadded", pairs=1)
        self._signature = signature_of(self._session, path)

    def runs(self, pairs: Sequence[EncodedPair]) -> list[range]:
        """Return runs of one pair in layout unpadded, runs of the layout's size in layout padded."""
        return self._shape.split([pair.tokens for pair in pairs])

    def score(self, pairs: Sequence[EncodedPair]) -> Floats:
        """Return the logit of each pair, shape [pairs]; raises whatever ONNX Runtime raises."""
        feeds = self._signature.feeds(LAYOUTS["padded"](pairs))
        (scores,) = self._session.run([self._signature.output], feeds)
        return self._signature.logits(scores, len(pairs))


def open_engine(
    files: ModelFiles,
    shape: RunShape | None = None,
    threads: int = 1,
    packed: PackedWeights = _UNPACKED,
    providers: Providers = ON_CPU,
    kernel: PreparedKernel | None = None,
) -> Engine:
    """Return the engine for a model's files. `threads`, `packed` and `kernel` apply to the CPU only.

    Raises ConfigurationError if the model has no graph for the layout, or if CUDA graphs are set for a plain ONNX
    model. Raises ModelDamaged if a graph can't be loaded.
    """
    shape = shape or RunShape()
    manifest = files.manifest
    if manifest is None or manifest.tail is None:
        if providers.cuda_graphs:
            raise ConfigurationError(
                f"{files.source} is a plain ONNX model, and CUDA graphs are for those that `rerank-fleet export` has "
                "graphs of its own for: unset RERANK_CUDA_GRAPHS"
            )
        return PlainEngine(files.model_path, shape, threads, providers)
    if shape.layout not in manifest.layouts:
        raise ConfigurationError(
            f"{files.source} holds no graph for layout {shape.layout}; it has {', '.join(manifest.layouts)}: set "
            f"RERANK_LAYOUT to one of them, or export it with `--layouts {shape.layout}`"
        )
    directory = files.model_path.parent
    graph = graph_layout(shape.layout, manifest.layouts, by_kernel=kernel is not None)
    body, tail = directory / manifest.layouts[graph], directory / manifest.tail
    if providers.device != "cpu":
        return DeviceEngine(body, tail, shape, providers, manifest.max_length)
    return ArtefactEngine(body, tail, shape, threads, packed, kernel, graph)
