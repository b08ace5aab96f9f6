"""External data: finds the files beside an ONNX file that hold its weights, without the onnx package.

Models above 2 GB must keep their weights in such files and others may; the ONNX file names them, relative to itself.
"""

from __future__ import annotations

import mmap
from pathlib import Path

#: Start of a tensor's reference to its data: StringStringEntryProto{1: "location", 2: ...} in protobuf's wire format.
_LOCATION = b"\n\x08location\x12"
_LONGEST_NAME = 4096


def external_data_names(model: Path) -> list[str]:
    """Return the names of the data files that an ONNX file needs, sorted; none for a file that holds its weights
    itself.
    """
    names: set[str] = set()
    if model.stat().st_size == 0:
        return []
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(_LOCATION)
        while at >= 0:
            at += len(_LOCATION)
            length, start = _varint(data, at)
            if 0 < length <= _LONGEST_NAME:
                names.add(data[start : start + length].decode("utf-8", errors="replace"))
            at = data.find(_LOCATION, at)
    return sorted(names)


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    """Return a protobuf length and the offset of its end; a file that is cut off may end within it."""
    value = shift = 0
    while at < len(data) and shift < 28:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
    return value, at
