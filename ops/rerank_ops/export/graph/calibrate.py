"""Calibration: measures on real text the lowest and highest value of each input channel of the linear layers.

int8 needs them to smooth outliers, int8-static also to fix its ranges.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from rerank_ops.export.graph.architecture import AnyBody, body_graph
from rerank_ops.export.graph.arithmetic import Full
from rerank_ops.export.graph.bodies.body import Dense, Floats, Function
from rerank_ops.export.graph.draft import FLOAT, Draft
from rerank_ops.export.graph.store import save_graphs

#: Ids and type ids of a pair, both [tokens].
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ChannelRange:
    """Lowest and highest value of each input channel of one linear layer, both [in]."""

    low: Floats
    high: Floats

    @property
    def largest(self) -> Floats:
        """Largest magnitude of each channel."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    def joined(self, other: ChannelRange) -> ChannelRange:
        """Return the range that covers both."""
        return ChannelRange(np.minimum(self.low, other.low), np.maximum(self.high, other.high))


def channel_ranges(body: AnyBody, pairs: Iterable[tuple[Ids, Ids]]) -> dict[str, ChannelRange]:
    """Run the model in fp32 over pairs (ids, type ids) and return each linear layer's input ranges, by layer name."""
    taps = _Taps()
    model = body_graph(body, "unpadded", taps)
    values = [value for pair in taps.values.values() for value in pair]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(value, FLOAT, None) for value in values)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as directory:
        # The model goes through files, because a protobuf message is limited to 2 GB.
        save_graphs(Path(directory), {"taps.onnx": model})
        path = str(Path(directory) / "taps.onnx")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return _run(session, taps, values, pairs)


def _run(session: Any, taps: _Taps, values: Sequence[str], pairs: Iterable[tuple[Ids, Ids]]) -> dict[str, ChannelRange]:
    inputs = {node.name for node in session.get_inputs()}
    ranges: dict[str, ChannelRange] = {}
    if not taps.values:
        # A one-layer model has all linear layers in its tail; a session asked for no output would return all outputs.
        return ranges
    for ids, type_ids in pairs:
        feeds = {"input_ids": ids[None], "token_type_ids": type_ids[None]}
        found = session.run(values, {name: feeds[name] for name in inputs})
        for name, low, high in zip(taps.values, found[::2], found[1::2], strict=True):
            seen = ChannelRange(low, high)
            ranges[name] = ranges[name].joined(seen) if name in ranges else seen
    return ranges


@dataclass(frozen=True, slots=True)
class _Taps:
    """fp32 arithmetic that also outputs the range of each linear layer's input."""

    values: dict[str, tuple[str, str]] = field(default_factory=dict)
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))

    def linear(self, draft: Draft, x: str, dense: Dense) -> str:
        rows = draft.add("Reshape", x, draft.integers(-1, dense.weight.shape[0]))
        low, high = (draft.add(f"Reduce{end}", rows, draft.integers(0), keepdims=0) for end in ("Min", "Max"))
        self.values[dense.name] = (low, high)
        return Full().linear(draft, x, dense)

    def lookup(self, draft: Draft, name: str, table: Floats, index: str) -> str:
        return Full().lookup(draft, name, table, index)

    def apply(self, draft: Draft, function: Function, x: str) -> str:
        return Full().apply(draft, function, x)
