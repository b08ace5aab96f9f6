"""Draft of a graph: a thin layer over onnx.helper, whose calls add nodes and return the names of their outputs.

Weights are added once under one name, so that the graphs of one artefact can share a file of external data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from rerank_shared.errors import InternalError

OPSET = 20
#: The oldest file format that holds opset 20; a newer one would exclude older runtimes without need.
IR_VERSION = 9
MICROSOFT = "com.microsoft"
#: Domain of this project's own operators: functions of a graph, and kernels of the same names.
DOMAIN = "rerank"
INT64, INT32, FLOAT = TensorProto.INT64, TensorProto.INT32, TensorProto.FLOAT

Array = npt.NDArray[Any]


class Draft:
    """A graph under construction."""

    def __init__(self, name: str, floats: npt.DTypeLike = np.float32) -> None:
        self._name = name
        self.floats = floats
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._functions: dict[str, onnx.FunctionProto] = {}

    @property
    def float_type(self) -> int:
        """The draft's float type, as ONNX's number of it."""
        return int(helper.np_dtype_to_tensor_dtype(np.dtype(self.floats)))

    def input(self, name: str, dtype: int, shape: Sequence[str | int]) -> str:
        """Declare an input, once; names in `shape` are free dimensions."""
        if all(known.name != name for known in self._inputs):
            self._inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def weight(self, name: str, array: Array) -> str:
        """Add a constant under its name, once, and return the name; float32 is cast to the draft's float type."""
        if name not in self._weights:
            if array.dtype == np.float32:
                array = array.astype(self.floats)
            self._weights[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def integers(self, *values: int) -> str:
        """Add a small int64 vector, such as a shape or an axis."""
        return self.weight("const/" + "_".join(map(str, values)), np.array(values, dtype=np.int64))

    def integer(self, value: int) -> str:
        """Add an int64 scalar."""
        return self.weight(f"const/scalar_{value}", np.array(value, dtype=np.int64))

    def scalar(self, value: float) -> str:
        """Add a scalar of the draft's float type."""
        return self.weight(f"const/{value!r}", np.array(value, dtype=np.float32))

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        (output,) = self.add_many(1, operator, *inputs, domain=domain, **attributes)
        return output

    def add_many(self, outputs: int, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> list[str]:
        """Add a node and return its outputs' names; an empty input name leaves an optional input out."""
        stem = f"{operator}_{len(self._nodes)}"
        names = [stem if i == 0 else f"{stem}.{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(operator, inputs, names, name=stem, domain=domain, **attributes))
        return names

    def fused(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add one of ONNX Runtime's own operators (domain com.microsoft)."""
        return self.add(operator, *inputs, domain=MICROSOFT, **attributes)

    def call(self, function: onnx.FunctionProto, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a call of a function and return its output. Raises InternalError where two of one name differ."""
        if self._functions.setdefault(function.name, function) != function:
            raise InternalError(f"two functions {function.name} of one graph differ")
        return self.add(function.name, *inputs, domain=DOMAIN, **attributes)

    def output(self, name: str, value: str, shape: Sequence[str | int], dtype: int = FLOAT) -> None:
        """Declare `value` as an output called `name`."""
        self._nodes.append(helper.make_node("Identity", [value], [name], name=f"output/{name}"))
        self._outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def finish(self) -> onnx.ModelProto:
        """Return the model, with its weights inside."""
        # Workers save weights in the CPU's own format one after another in this order, and can use each only at a
        # multiple of 64 bytes: weights of odd sizes come last, where they shift no other.
        weights = sorted(self._weights.values(), key=lambda tensor: len(tensor.raw_data) % 64 != 0)
        graph = helper.make_graph(self._nodes, self._name, self._inputs, self._outputs, weights)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        functions = list(self._functions.values())
        if functions:
            opsets.append(helper.make_opsetid(DOMAIN, 1))
        return helper.make_model(
            graph, opset_imports=opsets, functions=functions, ir_version=IR_VERSION, producer_name="rerank-fleet"
        )
