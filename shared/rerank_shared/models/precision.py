"""Precisions and layouts: their names, and the promise that each combination makes about a score.

A score's cache key holds the name that `score_precision` gives, so that scores which may differ never share a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

PrecisionName = Literal["fp32", "int8", "int8-row", "int8-static", "fp16", "bf16"]
LayoutName = Literal["unpadded", "padded", "varlen", "packed"]
#: Instruction sets of the kernels; `portable` is their plain statement, for tests and other CPUs.
KernelVariant = Literal["avx512-bf16", "avx512", "avx2", "portable"]
PRECISIONS: tuple[PrecisionName, ...] = get_args(PrecisionName)
KERNEL_VARIANTS: tuple[KernelVariant, ...] = get_args(KernelVariant)
_ROW = "int8-row"
LAYOUTS: tuple[LayoutName, ...] = get_args(LayoutName)
#: Names of layouts in manifests, profiles and variables of earlier releases. They are read for one more release.
_FORMER: dict[str, LayoutName] = {"single": "unpadded", "buckets": "padded", "ragged": "varlen", "packs": "packed"}


@dataclass(frozen=True, slots=True)
class Precision:
    """One precision. `invariant_layouts`: those in which a pair's score has the same bits beside any other pairs."""

    name: PrecisionName
    summary: str
    devices: tuple[Literal["cpu", "cuda"], ...]
    invariant_layouts: tuple[LayoutName, ...]


PRECISION: dict[PrecisionName, Precision] = {
    precision.name: precision
    for precision in (
        Precision("fp32", "32-bit floats throughout", ("cpu", "cuda"), ("unpadded",)),
        Precision(
            "int8",
            "8-bit linear layers, weights by channel; the scale of activations is taken from each run, so a score "
            "depends on its pair alone only where a run holds one pair",
            ("cpu",),
            ("unpadded",),
        ),
        Precision(
            "int8-row",
            "int8 by a kernel of rerank-fleet-kernels; the scale of activations is taken from each token's row, so a "
            "score depends on its pair alone in every layout. Exported with int8",
            ("cpu",),
            LAYOUTS,
        ),
        Precision(
            "int8-static",
            "8-bit linear layers with activation scales fixed at export, for runs of many pairs",
            ("cpu",),
            ("unpadded",),
        ),
        # It has not been measured yet whether a GPU gives the same bits beside any other pairs.
        Precision("fp16", "16-bit floats (GPU)", ("cuda",), ()),
        Precision("bf16", "16-bit floats with the range of 32-bit ones (GPU)", ("cuda",), ()),
    )
}


def layout_of_today(name: Any) -> Any:
    """Return the present name for a layout's former name; any other value unchanged."""
    return _FORMER.get(name, name) if isinstance(name, str) else name


def settings_of_today(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by name, with a former `plan` as `layout`."""
    renamed = {"layout" if name == "plan" else name: value for name, value in values.items()}
    return renamed | ({"layout": layout_of_today(renamed["layout"])} if "layout" in renamed else {})


def score_precision(precision: PrecisionName, layout: LayoutName) -> str:
    """Return the name under which a precision's scores are cached: with the layout where other pairs change a score."""
    return precision if layout in PRECISION[precision].invariant_layouts else f"{precision}-{layout}"


def kernel_precision(variant: str, version: int) -> str:
    """Return the name under which a kernel's scores are cached; `version` is the library's, raised when bits change."""
    return f"{_ROW}-{variant}-{version}"


def by_kernel(precision: str) -> bool:
    """Return whether scores of this name are made by a kernel, of any release."""
    return precision.startswith(f"{_ROW}-")


def kernel_variant(precision: str) -> KernelVariant | None:
    """Return the kernel whose scores have this name, None where ONNX Runtime's operators make them."""
    variant = precision.removeprefix(f"{_ROW}-").rpartition("-")[0] if by_kernel(precision) else ""
    return next((known for known in KERNEL_VARIANTS if known == variant), None)
