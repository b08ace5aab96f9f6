"""Graphs of one artefact: a body for each layout in one precision, and the tail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import onnx

from rerank_ops.export.graph.architecture import AnyBody, body_graph, tail_graph
from rerank_ops.export.graph.arithmetic import Arithmetic, Dynamic, Full, Static, bfloat16, half
from rerank_ops.export.graph.bodies.body import Floats
from rerank_ops.export.graph.calibrate import Ids, channel_ranges
from rerank_ops.export.graph.smoothing import fixed_ranges, smoothing_of
from rerank_shared.models.precision import LayoutName, PrecisionName

TAIL_FILE = "tail.onnx"


def build_graphs(
    body: AnyBody, arithmetic: Arithmetic, layout_names: Sequence[LayoutName]
) -> dict[str, onnx.ModelProto]:
    """Return the graphs by file name: `unpadded.onnx` and so on, and `tail.onnx`."""
    graphs = {graph_file(layout_name): body_graph(body, layout_name, arithmetic) for layout_name in layout_names}
    return {**graphs, TAIL_FILE: tail_graph(body)}


def graph_file(layout_name: LayoutName) -> str:
    """Return the name of a layout's graph file."""
    return f"{layout_name}.onnx"


def arithmetic_of(
    precision: PrecisionName,
    body: AnyBody,
    calibration: Iterable[tuple[Ids, Ids]],
    weight_bits: int = 8,
    smoothing: Mapping[str, Floats] | None = None,
) -> Arithmetic:
    """Return the arithmetic of a precision; int8 measures activations on `calibration` pairs (ids, type ids).

    `smoothing`: of int8, by layer; None: as those pairs need.
    """
    if precision == "fp32":
        return Full()
    if precision == "fp16":
        return half()
    if precision == "bf16":
        return bfloat16()
    if precision == "int8" and smoothing is not None:
        return Dynamic(smoothing, weight_bits)
    ranges = channel_ranges(body, calibration)
    smoothing = smoothing_of(ranges)
    if precision == "int8":
        return Dynamic(smoothing, weight_bits)
    return Static(fixed_ranges(ranges, smoothing), smoothing, weight_bits)
