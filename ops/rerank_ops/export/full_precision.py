"""De-quantising: rewrites a quantised ONNX graph as the fp32 graph of the same weights.

So the loss by quantised activations can be measured apart from the loss that the weights have already. It reads the
output of ONNX Runtime's quantiser: dynamic int8 (MatMulInteger on DynamicQuantizeLinear), and weights, tables and
activations behind DequantizeLinear, with scales by tensor or by channel. Fused graphs are refused.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from rerank_ops.export.sources.onnx_view import Array, OnnxView, attribute
from rerank_shared.errors import ConfigurationError

#: Quantised operators, none of which may remain.
_QUANTISED = frozenset(
    {"DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QLinearMatMul", "QuantizeLinear"}
)
_HALF = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)


def to_fp32(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of the model without quantised operators.

    Raises ConfigurationError for graphs in half precision or of fused operators, which hide their weights.
    """
    _refuse_unreadable(model)
    view, fp32 = OnnxView(model), onnx.ModelProto()
    fp32.CopyFrom(model)
    rewrite = _Rewrite(view)
    nodes = [rewrite.node(node) for node in view.nodes]
    del fp32.graph.node[:]
    fp32.graph.node.extend(node for node in nodes if node is not None)
    fp32.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in rewrite.arrays.items())
    _drop_unused(fp32.graph)
    if left := next((node for node in fp32.graph.node if node.op_type in _QUANTISED), None):
        raise _unreadable(left)
    return fp32


class _Rewrite:
    """One pass over a graph. `arrays` collects the initialisers that the new nodes read."""

    def __init__(self, view: OnnxView) -> None:
        self._view = view
        self.arrays: dict[str, Array] = {}
        self._replaced = dict(filter(None, (self._linear(n) for n in view.nodes if n.op_type == "MatMulInteger")))

    def node(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """Return a node's replacement: itself, its fp32 form, or None where an initialiser has its output's name."""
        if node.output[0] in self._replaced:
            return self._replaced[node.output[0]]
        return self._dequantised(node) if node.op_type == "DequantizeLinear" else node

    def _linear(self, node: onnx.NodeProto) -> tuple[str, onnx.NodeProto]:
        """Return a quantised product's final value, after both scales, by name, and the plain product of that name."""
        (cast,) = self._view.consumers[node.output[0]]
        (scaled,) = self._view.consumers[cast.output[0]]
        scales = self._view.producers[next(name for name in scaled.input if name != cast.output[0])]
        source = self._view.producers[node.input[0]]
        weight = self._constant(node, 1)
        scale = next((array for name in scales.input if (array := self._view.constant(name)) is not None), None)
        if (
            scale is None
            or source.op_type != "DynamicQuantizeLinear"
            or {cast.op_type, scaled.op_type} != {"Cast", "Mul"}
        ):
            raise _unreadable(node)
        zero = self._constant(node, 3) if len(node.input) > 3 and node.input[3] else np.zeros((), dtype=np.int32)
        # A new name: quantisers transpose the weights of Gemm and keep their name.
        name = f"{scaled.output[0]}_weight"
        self.arrays[name] = _real(weight, zero, scale)
        return scaled.output[0], helper.make_node(
            "MatMul", [source.input[0], name], [scaled.output[0]], name=node.name.removesuffix("_quant")
        )

    def _dequantised(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        producer = self._view.producers.get(node.input[0])
        if producer is not None and producer.op_type == "QuantizeLinear":
            return helper.make_node("Identity", [producer.input[0]], [node.output[0]], name=node.name)
        if producer is not None and producer.op_type == "Gather":
            name = self._table(node, producer)
            return helper.make_node("Gather", [name, producer.input[1]], [node.output[0]], name=producer.name)
        name = self._stored(node, node.input[0])
        return (
            helper.make_node("Identity", [name], [node.output[0]], name=node.name) if name != node.output[0] else None
        )

    def _table(self, node: onnx.NodeProto, gather: onnx.NodeProto) -> str:
        if self._constant(node, 1).size != 1:
            raise _unreadable(node)
        return self._stored(node, gather.input[0])

    def _stored(self, node: onnx.NodeProto, quantised: str) -> str:
        """Store a tensor de-quantised by the scale of its DequantizeLinear; return the name of the result."""
        array = self._view.constant(quantised)
        if array is None:
            raise _unreadable(node)
        scale = self._constant(node, 1)
        zero = self._constant(node, 2) if len(node.input) > 2 and node.input[2] else np.zeros((), dtype=np.int32)
        if scale.size > 1:
            shape = [1] * array.ndim
            shape[attribute(node, "axis", 1)] = scale.size
            scale, zero = scale.reshape(shape), zero.reshape(shape if zero.size > 1 else ())
        name = quantised.removesuffix("_quantized")
        self.arrays[name] = _real(array, zero, scale)
        return name

    def _constant(self, node: onnx.NodeProto, position: int) -> Array:
        array = self._view.constant(node.input[position])
        if array is None:
            raise _unreadable(node)
        return array


def _real(array: Array, zero: Array, scale: Array) -> Array:
    zero, scale = (part.reshape(()) if part.size == 1 else part for part in (zero, scale))
    return np.ascontiguousarray((array.astype(np.int32) - zero.astype(np.int32)).astype(np.float32) * scale)


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes and initialisers that no output needs, such as quantisers without their products."""
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed |= set(node.input) | _captured(node)
            kept.append(node)
    initializers = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(initializers)


def _captured(node: onnx.NodeProto) -> set[str]:
    """Return the names that the branches of an If read from the surrounding graph."""
    inner = [branch for a in node.attribute for branch in (a.g, *a.graphs) if branch.node]
    return {name for graph in inner for n in graph.node for name in {*n.input, *_captured(n)}} | {
        output.name for graph in inner for output in graph.output
    }


def _refuse_unreadable(model: onnx.ModelProto) -> None:
    fused = sorted({node.op_type for node in model.graph.node if node.domain not in ("", "ai.onnx")})
    if fused:
        raise ConfigurationError(
            f"the ONNX graph has fused operators ({', '.join(fused)}), which hide its weights: export from the model's "
            "weights or from the ONNX file before it was optimised"
        )
    if any(tensor.data_type in _HALF for tensor in model.graph.initializer):
        raise ConfigurationError("the ONNX file is in half precision: export from the fp32 file or from the weights")


def _unreadable(node: onnx.NodeProto) -> ConfigurationError:
    return ConfigurationError(
        f"{node.op_type} {node.name} is quantised in a way that can't be undone: export from the model's weights or "
        "from the ONNX file before it was quantised"
    )
