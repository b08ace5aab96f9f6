"""Device buffers: memory on a device that all runs reuse, instead of an allocation for each run.

A buffer is flat and only grows; a run uses the front of it in its own shape. Its address changes only when it grows, so
a CUDA graph over it stays valid until then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

Array = npt.NDArray[Any]


class Buffer:
    """One flat tensor on `device`, and a tensor on the host from which it is filled."""

    def __init__(self, device: str, dtype: npt.DTypeLike) -> None:
        self.device = device
        self.dtype = np.dtype(dtype)
        #: The number of times its address has changed.
        self.moves = 0
        self._host = np.zeros(0, dtype=self.dtype)
        self._value: Any = None

    def reserve(self, count: int) -> None:
        """Make room for `count` numbers; the content is lost if the buffer has to grow."""
        if count <= len(self._host):
            return
        capacity = 1 << (count - 1).bit_length()
        self._host = np.zeros(capacity, dtype=self.dtype)
        self._value = onnxruntime.OrtValue.ortvalue_from_shape_and_type([capacity], self.dtype, self.device, 0)
        self.moves += 1

    def write(self, arrays: Sequence[Array]) -> None:
        """Copy arrays end to end to the front; return when they are on the device."""
        self.reserve(sum(array.size for array in arrays))
        end = 0
        for array in arrays:
            start, end = end, end + array.size
            self._host[start:end] = array.ravel()
        # The whole buffer is copied: ONNX Runtime copies whole tensors only, and a part would have another address.
        self._value.update_inplace(self._host)

    def read(self, count: int) -> Array:
        """Return a copy of the first `count` numbers."""
        found: Array = self._value.numpy()[:count].copy()
        return found

    def pointer(self, offset: int = 0) -> int:
        """Return the address of the number at `offset`."""
        return int(self._value.data_ptr()) + offset * self.dtype.itemsize
