"""ONNX outline: a graph's nodes, outputs and weight types, read from the protobuf without the onnx package or weights.

Workers read two facts from it that a session does not give: whether the graph ends in a probability, and the type in
which its weights are stored. A file that can't be read gives an empty outline; ONNX Runtime then reports the mistake.
"""

from __future__ import annotations

import math
import mmap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

#: Numbers of the fields that are read, of onnx.proto's ModelProto, GraphProto, NodeProto, TensorProto, ValueInfoProto.
_GRAPH, _NODE, _INITIALIZER, _OUTPUT = 7, 1, 5, 12
_NODE_INPUT, _NODE_OUTPUT, _OP_TYPE = 1, 2, 4
_DIMS, _DATA_TYPE, _VALUE_NAME = 1, 2, 1
#: Wire types of protobuf.
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
#: Operators that pick some of the numbers, and all that only move numbers.
_PICKS = frozenset({"Gather", "Slice", "Split"})
_MOVES = _PICKS | {"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
#: Values of TensorProto.DataType.
FLOAT, FLOAT16, BFLOAT16 = 1, 10, 16

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of a graph and the names of its values."""

    op_type: str
    inputs: Sequence[str]
    outputs: Sequence[str]


@dataclass(frozen=True, slots=True)
class Ending:
    """The operator that turns logits into probabilities; `picked`: only some of several labels were kept after it."""

    op_type: Literal["Sigmoid", "Softmax"]
    picked: bool


@dataclass(frozen=True, slots=True)
class Outline:
    """The nodes and outputs of a graph, and how many numbers its weights hold in each TensorProto.DataType."""

    nodes: Sequence[Node] = ()
    outputs: Sequence[str] = ()
    elements: Mapping[int, int] | None = None

    def ending(self, output: str) -> Ending | None:
        """Return the operator that makes a probability of `output`, None where it is a logit as far as can be seen."""
        makers = {name: node for node in self.nodes for name in node.outputs}
        picked = False
        # A graph has no loops, but a damaged file may.
        for _ in self.nodes:
            node = makers.get(output)
            if node is None:
                return None
            if node.op_type == "Sigmoid":
                return Ending("Sigmoid", picked)
            if node.op_type == "Softmax":
                return Ending("Softmax", picked)
            if node.op_type not in _MOVES or not node.inputs:
                return None
            picked = picked or node.op_type in _PICKS
            output = node.inputs[0]
        return None

    def most_weights_are(self, data_type: int) -> bool:
        """Whether over half of the numbers in the weights are of one TensorProto.DataType."""
        elements = self.elements or {}
        return 2 * elements.get(data_type, 0) > sum(elements.values())


def scores_output(outputs: Sequence[str]) -> str:
    """Return the name of the output that holds the scores: the one called logits, else the first."""
    return "logits" if "logits" in outputs else outputs[0]


def read_outline(path: Path) -> Outline:
    """Return the outline of an ONNX file; an empty one where it can't be read."""
    if path.stat().st_size == 0:
        return Outline()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _outline(data)
        except (ValueError, UnicodeDecodeError):
            return Outline()


def _outline(data: mmap.mmap) -> Outline:
    nodes: list[Node] = []
    outputs: list[str] = []
    elements = Counter[int]()
    for graph in _spans(data, (0, len(data)), _GRAPH):
        for number, _, value in _fields(data, graph):
            if number == _NODE:
                nodes.append(_node(data, _as_span(value)))
            elif number == _OUTPUT:
                outputs += [_text(data, name) for name in _spans(data, _as_span(value), _VALUE_NAME)]
            elif number == _INITIALIZER:
                elements.update(_tensor(data, _as_span(value)))
    return Outline(nodes, outputs, elements)


def _node(data: mmap.mmap, span: Span) -> Node:
    op_type = ""
    inputs: list[str] = []
    outputs: list[str] = []
    for number, _, value in _fields(data, span):
        if number == _NODE_INPUT:
            inputs.append(_text(data, value))
        elif number == _NODE_OUTPUT:
            outputs.append(_text(data, value))
        elif number == _OP_TYPE:
            op_type = _text(data, value)
    return Node(op_type, inputs, outputs)


def _tensor(data: mmap.mmap, span: Span) -> dict[int, int]:
    """Return the count of numbers in a tensor, by their type."""
    dims: list[int] = []
    data_type = 0
    for number, wire_type, value in _fields(data, span):
        if number == _DATA_TYPE and isinstance(value, int):
            data_type = value
        elif number == _DIMS:
            dims += [value] if isinstance(value, int) else _packed(data, value)
        elif wire_type == _BYTES and dims and data_type:
            # Only the name and the data follow.
            break
    return {data_type: math.prod(dims)}


def _packed(data: mmap.mmap, span: Span) -> list[int]:
    numbers: list[int] = []
    at, end = span
    while at < end:
        number, at = _varint(data, at, end)
        numbers.append(number)
    return numbers


def _text(data: mmap.mmap, value: int | Span) -> str:
    start, end = _as_span(value)
    return data[start:end].decode()


def _spans(data: mmap.mmap, span: Span, wanted: int) -> Iterator[Span]:
    for number, wire_type, value in _fields(data, span):
        if number == wanted and wire_type == _BYTES:
            yield _as_span(value)


def _fields(data: mmap.mmap, span: Span) -> Iterator[tuple[int, int, int | Span]]:
    """Yield number, wire type and value of each field; a value is a whole number or the span of its bytes.

    Raises ValueError for bytes that are no protobuf.
    """
    at, end = span
    while at < end:
        key, at = _varint(data, at, end)
        number, wire_type = key >> 3, key & 7
        value: int | Span
        if wire_type == _VARINT:
            value, at = _varint(data, at, end)
        else:
            size, at = _size(data, wire_type, at, end)
            value, at = (at, at + size), at + size
        if at > end or number == 0:
            raise ValueError("no protobuf message")
        yield number, wire_type, value


def _size(data: mmap.mmap, wire_type: int, at: int, end: int) -> tuple[int, int]:
    if wire_type == _BYTES:
        return _varint(data, at, end)
    if wire_type in (_FIXED_32, _FIXED_64):
        return (4 if wire_type == _FIXED_32 else 8), at
    raise ValueError("no protobuf message")


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """Return a number and the offset of its end."""
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("no protobuf message")


def _as_span(value: int | Span) -> Span:
    if isinstance(value, int):
        raise ValueError("no protobuf message")
    return value
