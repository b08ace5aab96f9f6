"""Stored calls: reads back from a written graph which of its weights the kernels take, and where they lie."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from rerank_ops.export.graph.draft import DOMAIN
from rerank_ops.export.graph.store import WEIGHTS_FILE
from rerank_shared.models.manifest import KernelCalls


def kernel_calls(graph: Path) -> KernelCalls | None:
    """Return the calls of kernels in a graph that `save_graphs` wrote, None where it has none."""
    model = onnx.load(graph, load_external_data=False)
    taken = {name for node in model.graph.node if node.domain == DOMAIN for name in node.input}
    weights = {
        tensor.name: (int(ExternalDataInfo(tensor).offset or 0), int(tensor.dims[0]), int(tensor.dims[1]))
        for tensor in model.graph.initializer
        if tensor.name in taken and tensor.data_type == TensorProto.INT8 and uses_external_data(tensor)
    }
    return KernelCalls(file=WEIGHTS_FILE, weights=weights) if weights else None
