"""Operators for ONNX Runtime that compute an encoder layer in int8: their libraries, and which of them run here.

A session takes them by `SessionOptions.register_custom_ops_library(str(library(variant)))`.
"""

from __future__ import annotations

import ctypes
import math
from functools import cache
from pathlib import Path

import numpy
from numpy.typing import NDArray

__all__ = ["KERNEL_VERSION", "VARIANTS", "library", "pack", "runs_here"]

#: Raised with every change that changes a bit of any result. The libraries hold the same number.
KERNEL_VERSION = 1

#: The best first. `portable` is slow: it is for tests.
VARIANTS = ("avx512-bf16", "avx512", "avx2", "portable")


def library(variant: str) -> Path:
    """Return the file of a variant's library; ValueError for an unknown name, FileNotFoundError if not built."""
    if variant not in VARIANTS:
        raise ValueError(f"there is no variant {variant!r} of the kernels; there are {', '.join(VARIANTS)}")
    path = Path(__file__).with_name(f"rerank_kernels_{variant.replace('-', '_')}.so")
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: install rerank-fleet-kernels from its wheel or sdist")
    return path


def runs_here(variant: str) -> str | None:
    """Return None where this CPU runs a variant, else why not, in words."""
    reason: bytes | None = _loaded(variant).rerank_kernels_missing()
    return None if reason is None else reason.decode()


def pack(weight: NDArray[numpy.int8]) -> NDArray[numpy.int8]:
    """Return weights [K, N] in the order in which the kernels read them: [N / 32, K / 64, 16, 128], at a cache line.

    All variants read the same order. ValueError if K is not a multiple of 64, or N not one of 32.
    """
    if weight.dtype != numpy.int8 or weight.ndim != 2:
        raise ValueError(f"weights to pack are int8 [K, N], not {weight.dtype} {list(weight.shape)}")
    k, n = weight.shape
    source = numpy.ascontiguousarray(weight)
    packed = _aligned((n // 32, k // 64, 16, 128))
    if _loaded("portable").rerank_kernels_pack(source.ctypes.data, k, n, packed.ctypes.data):
        raise ValueError(
            f"weights [{k}, {n}] can't be packed: K must be a multiple of 64, N of 32, both at most 65,536"
        )
    return packed


def _aligned(shape: tuple[int, ...]) -> NDArray[numpy.int8]:
    """Return an array that begins at a cache line, where the kernels read it."""
    size = math.prod(shape)
    room = numpy.empty(size + 63, numpy.int8)
    start = -room.ctypes.data % 64
    return room[start : start + size].reshape(shape)


@cache
def _loaded(variant: str) -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(library(variant)))
    loaded.rerank_kernels_missing.restype = ctypes.c_char_p
    loaded.rerank_kernels_variant.restype = ctypes.c_char_p
    loaded.rerank_kernels_version.restype = ctypes.c_int32
    loaded.rerank_kernels_pack.restype = ctypes.c_int32
    loaded.rerank_kernels_pack.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
    return loaded
