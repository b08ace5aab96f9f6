"""Arithmetic of a graph in each precision: its linear layers, lookups in large tables, and activation functions.

int8 takes the scale of activations from each run (DynamicQuantizeMatMul), int8-static from the export's calibration.
Both quantise weights by output channel, symmetrically over the full 8 bits. That is right where the CPU multiplies u8
by s8 into 32 bits (VNNI, ARM dotprod); older CPUs saturate unless `weight_bits` is 7. Both store tables as int8 by row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import ml_dtypes
import numpy as np
import numpy.typing as npt

from rerank_ops.export.graph.bodies.body import Dense, Floats, Function
from rerank_ops.export.graph.draft import FLOAT, Draft

Int8s = npt.NDArray[np.int8]


class Arithmetic(Protocol):
    """The computations of one precision."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the floats between operators."""
        ...

    def linear(self, draft: Draft, x: str, dense: Dense) -> str:
        """Return the name of x·weight + bias."""
        ...

    def lookup(self, draft: Draft, name: str, table: Floats, index: str) -> str:
        """Return the rows of `table` that `index` names."""
        ...

    def apply(self, draft: Draft, function: Function, x: str) -> str:
        """Return the activation function of x."""
        ...


@dataclass(frozen=True, slots=True)
class Full:
    """Floats throughout, 32 bits wide unless `dtype` says otherwise."""

    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))

    def linear(self, draft: Draft, x: str, dense: Dense) -> str:
        """See Arithmetic."""
        product = draft.add("MatMul", x, draft.weight(f"{dense.name}.weight", dense.weight))
        return draft.add("Add", product, draft.weight(f"{dense.name}.bias", dense.bias))

    def lookup(self, draft: Draft, name: str, table: Floats, index: str) -> str:
        """See Arithmetic."""
        return draft.add("Gather", draft.weight(name, table), index)

    def apply(self, draft: Draft, function: Function, x: str) -> str:
        """See Arithmetic."""
        if function == "none":
            return x
        if function == "gelu_tanh":
            return draft.add("Gelu", x, approximate="tanh")
        return draft.add({"gelu": "Gelu", "relu": "Relu", "tanh": "Tanh"}[function], x)


def half() -> Full:
    """16-bit floats, for GPUs."""
    return Full(np.dtype(np.float16))


def bfloat16() -> Full:
    """16-bit floats with the range of 32-bit ones, for GPUs."""
    return Full(np.dtype(ml_dtypes.bfloat16))


@dataclass(frozen=True, slots=True)
class Dynamic:
    """int8 with the activations' scale taken from each run; `smoothing` holds the factors from smoothing.py."""

    smoothing: Mapping[str, Floats] = field(default_factory=dict)
    weight_bits: int = 8
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))

    def linear(self, draft: Draft, x: str, dense: Dense) -> str:
        """See Arithmetic."""
        x, dense = smoothed(draft, x, dense, self.smoothing)
        weight, scale, bias = _quantised(draft, dense, self.weight_bits)
        return draft.fused("DynamicQuantizeMatMul", x, weight, scale, "", bias)

    def lookup(self, draft: Draft, name: str, table: Floats, index: str) -> str:
        """See Arithmetic."""
        return _lookup_int8(draft, name, table, index)

    def apply(self, draft: Draft, function: Function, x: str) -> str:
        """See Arithmetic. GELU by tanh is faster and off by 5e-4 at most, a fortieth of a step of its int8 output."""
        return Full().apply(draft, "gelu_tanh" if function == "gelu" else function, x)


@dataclass(frozen=True, slots=True)
class Static:
    """int8 with fixed ranges: `ranges[name]` is the lowest and highest input value of the layer with that name."""

    ranges: Mapping[str, tuple[float, float]]
    smoothing: Mapping[str, Floats] = field(default_factory=dict)
    weight_bits: int = 8
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))

    def linear(self, draft: Draft, x: str, dense: Dense) -> str:
        """See Arithmetic."""
        x, dense = smoothed(draft, x, dense, self.smoothing)
        low, high = self.ranges[dense.name]
        low, high = min(low, 0.0), max(high, 0.0)
        step = max(high - low, 1e-6) / 255
        scale = draft.weight(f"{dense.name}.input_scale", np.array(step, dtype=np.float32))
        zero_point = draft.weight(f"{dense.name}.input_zero", np.array(round(-low / step), dtype=np.uint8))
        weight, weight_scale, bias = _quantised(draft, dense, self.weight_bits)
        quantised = draft.add("QuantizeLinear", x, scale, zero_point)
        inputs = (quantised, weight, scale, weight_scale, zero_point, "", bias)
        return draft.fused("MatMulIntegerToFloat", *inputs)

    def lookup(self, draft: Draft, name: str, table: Floats, index: str) -> str:
        """See Arithmetic."""
        return _lookup_int8(draft, name, table, index)

    def apply(self, draft: Draft, function: Function, x: str) -> str:
        """See Dynamic."""
        return Dynamic().apply(draft, function, x)


def quantise_weight(weight: Floats, bits: int = 8) -> tuple[Int8s, Floats]:
    """Return int8 weights [in, out] and the scale of each output channel [out], so that weight ≈ int8 * scale."""
    limit = 2 ** (bits - 1) - 1
    largest = np.abs(weight).max(axis=0)
    scale = np.where(largest > 0, largest / limit, 1.0).astype(np.float32)
    return np.clip(np.round(weight / scale), -limit, limit).astype(np.int8), scale


def smoothed(draft: Draft, x: str, dense: Dense, smoothing: Mapping[str, Floats]) -> tuple[str, Dense]:
    """Return x divided and the weights multiplied by the layer's smoothing factors, if any; the product is the same."""
    factors = smoothing.get(dense.name)
    if factors is None:
        return x, dense
    divided = draft.add("Mul", x, draft.weight(f"{dense.name}.smoothing", (1 / factors).astype(np.float32)))
    return divided, Dense(dense.name, dense.weight * factors[:, None], dense.bias)


def _quantised(draft: Draft, dense: Dense, bits: int) -> tuple[str, str, str]:
    weight, scale = quantise_weight(dense.weight, bits)
    name = dense.name
    return (
        draft.weight(f"{name}.weight_int8", weight),
        draft.weight(f"{name}.weight_scale", scale),
        draft.weight(f"{name}.bias", dense.bias),
    )


def _lookup_int8(draft: Draft, name: str, table: Floats, index: str) -> str:
    rows, scale = quantise_weight(np.ascontiguousarray(table.T))
    values = draft.add("Gather", draft.weight(f"{name}_int8", np.ascontiguousarray(rows.T)), index)
    scales = draft.add("Gather", draft.weight(f"{name}_scale", scale[:, None]), index)
    return draft.add("Mul", draft.add("Cast", values, to=FLOAT), scales)
