"""Store of graphs: writes graphs with their shared weights in one weights.bin, which every process maps into memory.

A name stands for one array in all graphs. Small constants stay inside the graphs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import onnx
from onnx import TensorProto
from onnx.external_data_helper import set_external_data

from rerank_shared.errors import InternalError

WEIGHTS_FILE = "weights.bin"
_INSIDE_BYTES = 1_024
#: Page size: a mapping starts at a page.
_ALIGNMENT = 4_096


def save_graphs(directory: Path, graphs: Mapping[str, onnx.ModelProto]) -> list[str]:
    """Write each graph under its file name, and the weights of all; return the files' names.

    The graphs are changed: their weights move out. Raises InternalError where graphs differ in a weight of one name.
    """
    places: dict[str, tuple[int, bytes]] = {}
    with (directory / WEIGHTS_FILE).open("wb") as file:
        for model in graphs.values():
            for tensor in model.graph.initializer:
                if len(tensor.raw_data) >= _INSIDE_BYTES:
                    _move(tensor, file, places)
    for name, model in graphs.items():
        onnx.save(model, directory / name)
    return [*graphs, WEIGHTS_FILE]


def _move(tensor: TensorProto, file: BinaryIO, places: dict[str, tuple[int, bytes]]) -> None:
    data = tensor.raw_data
    if tensor.name not in places:
        file.seek(-(-file.tell() // _ALIGNMENT) * _ALIGNMENT)
        places[tensor.name] = (file.tell(), data)
        file.write(data)
    offset, first = places[tensor.name]
    if first != data:
        raise InternalError(f"two graphs disagree about the weight {tensor.name}")
    set_external_data(tensor, WEIGHTS_FILE, offset=offset, length=len(data))
    tensor.ClearField("raw_data")
