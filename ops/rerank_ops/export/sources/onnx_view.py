"""View of an ONNX graph: its constant arrays, and the producer and consumers of each value."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

Array = npt.NDArray[Any]


class OnnxView:
    """An index of one graph; later changes to the graph are not visible."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.nodes = list(model.graph.node)
        self._stored = {tensor.name: tensor for tensor in model.graph.initializer}
        self._arrays: dict[str, Array] = {}

    @cached_property
    def producers(self) -> dict[str, onnx.NodeProto]:
        """The node that outputs each value."""
        return {output: node for node in self.nodes for output in node.output}

    @cached_property
    def consumers(self) -> dict[str, list[onnx.NodeProto]]:
        """The nodes that read each value."""
        found: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                found[name].append(node)
        return found

    @property
    def stored(self) -> list[str]:
        """Names of the graph's initialisers."""
        return list(self._stored)

    def root(self, name: str) -> str:
        """Return the value behind an alias, since exporters store equal tensors once; else `name` itself."""
        while (node := self.producers.get(name)) is not None and node.op_type == "Identity":
            name = node.input[0]
        return name

    def constant(self, name: str) -> Array | None:
        """Return the array behind a name, or None where it is known only at run time."""
        name = self.root(name)
        if name not in self._arrays:
            array = self._read(name)
            if array is None:
                return None
            self._arrays[name] = array
        return self._arrays[name]

    def _read(self, name: str) -> Array | None:
        if name in self._stored:
            return numpy_helper.to_array(self._stored[name])
        node = self.producers.get(name)
        if node is None or node.op_type != "Constant":
            return None
        value = onnx.helper.get_attribute_value(node.attribute[0])
        return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return a node's attribute, or `default`, the operator's own, where it is not set."""
    found = next((a for a in node.attribute if a.name == name), None)
    return default if found is None else onnx.helper.get_attribute_value(found)
