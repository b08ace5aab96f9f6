"""Slot: the device memory of one run, and the places of each execution's tensors in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rerank_worker.engine.device.buffers import Buffer
from rerank_worker.engine.layouts import Feeds

ROWS, LOGITS = "rows", "logits"
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """The tensors of one execution: `places` holds the offset in its buffer and the shape of each."""

    rows: int
    inputs: tuple[str, ...]
    places: dict[str, tuple[int, Shape]]

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """All shapes, in the order of the tensors' names."""
        return tuple(shape for _, (_, shape) in sorted(self.places.items()))


class Slot:
    """The buffers of a run. The caller's thread fills it, then it is the engine's until the logits are read."""

    def __init__(self, index: int, device: str) -> None:
        self.index = index
        self.parts: list[Part] = []
        self._buffers: dict[str, Buffer] = {}
        self._device = device

    @property
    def moves(self) -> int:
        """The number of times that any buffer's address has changed."""
        return sum(buffer.moves for buffer in self._buffers.values())

    def fill(self, names: Sequence[str], parts: Sequence[Feeds], width: int) -> None:
        """Copy the inputs `names` of all parts, end to end for each name, and make room for rows [pairs, `width`]."""
        self.parts = []
        ends = dict.fromkeys((*names, ROWS, LOGITS), 0)
        for feeds in parts:
            rows = _rows_of(feeds)
            shapes: dict[str, Shape] = {name: feeds[name].shape for name in names}
            shapes |= {ROWS: (rows, width), LOGITS: (rows, 1)}
            places = {name: (ends[name], shape) for name, shape in shapes.items()}
            self.parts.append(Part(rows, tuple(names), places))
            for name, shape in shapes.items():
                ends[name] += math.prod(shape)
        for name in names:
            self._buffer(name, parts[0][name].dtype).write([feeds[name] for feeds in parts])
        for name in (ROWS, LOGITS):
            self._buffer(name, np.dtype(np.float32)).reserve(ends[name])

    def place(self, name: str, part: Part) -> tuple[str, int, Any, Shape, int]:
        """Return the arguments of a tensor's binding: device, device number, type, shape and address."""
        buffer, (offset, shape) = self._buffers[name], part.places[name]
        return buffer.device, 0, buffer.dtype.type, shape, buffer.pointer(offset)

    def logits(self) -> Any:
        """Return the logits of all parts, shape [pairs], copied from the device."""
        return self._buffers[LOGITS].read(sum(part.rows for part in self.parts))

    def _buffer(self, name: str, dtype: np.dtype[Any]) -> Buffer:
        if name not in self._buffers:
            self._buffers[name] = Buffer(self._device, dtype)
        return self._buffers[name]


def _rows_of(feeds: Feeds) -> int:
    """Return the number of pairs of a part, fillers included."""
    counted = feeds.get("first", feeds.get("lengths"))
    return 1 if counted is None else len(counted)
