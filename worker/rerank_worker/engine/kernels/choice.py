"""Choice of a kernel: whether a worker runs the layers of a model by a kernel, which one, and the reason. Pure.

A kernel's scores differ from those of ONNX Runtime's int8 operators within the error of int8, so they have a precision
name of their own. A kernel that is named and can't be had is an error; only `auto` may fall back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rerank_shared.errors import ConfigurationError
from rerank_shared.models.cpu import CpuFeatures, Feature
from rerank_shared.models.exported import broken_bounds
from rerank_shared.models.manifest import Bounds, Manifest
from rerank_shared.models.precision import kernel_precision
from rerank_shared.settings import KernelName

#: The plain statement of what the kernels compute. It runs everywhere and is slower than ONNX Runtime.
PORTABLE = "portable"
#: The kernel that the most x86 CPUs run.
AVX2: Literal["avx2"] = "avx2"
#: Instructions for which ONNX Runtime has products that nobody has measured avx2 against.
_WIDER: Mapping[Feature, str] = {"avx512f": "AVX-512", "avx_vnni": "AVX-VNNI"}


@dataclass(frozen=True, slots=True)
class Kernel:
    """One variant of the kernels: its set of instructions, the version of its bits, and its shared library."""

    variant: str
    version: int
    path: Path

    @property
    def precision(self) -> str:
        """The name under which its scores are cached."""
        return kernel_precision(self.variant, self.version)


@dataclass(frozen=True, slots=True)
class Choice:
    """A kernel, or None for ONNX Runtime's operators, and the reason."""

    kernel: Kernel | None
    reason: str

    @property
    def name(self) -> str:
        """The name of the kernel's scores, or `onnxruntime`."""
        return self.kernel.precision if self.kernel else "onnxruntime"


def choose(
    wanted: KernelName,
    manifest: Manifest | None,
    features: CpuFeatures,
    kernels: Sequence[Kernel],
    unfit: Mapping[str, str],
    *,
    missing: str | None,
    threads: int,
    bounds: Bounds,
    unsafe: bool,
) -> Choice:
    """Return the kernel for a model. `kernels`: those installed, best first; `unfit`: why some can't run here.

    `missing` is how to install the library where it is not there, None where it is. Raises ConfigurationError if the
    wanted kernel can't be had.
    """
    if wanted == "onnxruntime":
        return Choice(None, "RERANK_KERNEL is onnxruntime")
    if (reason := _not_for(manifest, missing, threads)) is not None:
        return _without(wanted, reason)
    assert manifest is not None
    if wanted == "auto":
        if "amx_int8" in features.names:
            return Choice(None, "ONNX Runtime has products for this CPU's AMX, which no kernel was measured against")
        kernels = [kernel for kernel in kernels if kernel.variant != PORTABLE]
        unfit = {**_passed_over(features), **unfit}
    else:
        kernels = [kernel for kernel in kernels if kernel.variant == wanted]
    refused = []
    for kernel in kernels:
        reason = unfit.get(kernel.variant) or (None if unsafe else _unmeasured(kernel, manifest, bounds))
        if reason is None:
            return Choice(
                kernel, f"{kernel.variant} runs on this CPU" if wanted == "auto" else f"RERANK_KERNEL is {wanted}"
            )
        refused.append(f"{kernel.variant}: {reason}")
    return _without(wanted, "; ".join(refused) or "the installed rerank-fleet-kernels has no such kernel")


def _not_for(manifest: Manifest | None, missing: str | None, threads: int) -> str | None:
    """Return why no kernel takes this model here, None where one may."""
    if manifest is None or manifest.tail is None:
        return "the model is a plain ONNX file: `rerank-fleet export` makes one whose layers kernels can take"
    if manifest.precision != "int8":
        return f"kernels are for int8, the model is {manifest.precision}"
    if manifest.kernels is None:
        return f"no kernel is for the shapes of this {manifest.family}, or an earlier release exported it"
    if threads > 1:
        return f"kernels run on one thread, RERANK_THREADS is {threads}"
    return missing


def _passed_over(features: CpuFeatures) -> dict[str, str]:
    """Return the kernels that `auto` does not take on this CPU even where they run, each with the reason."""
    wider = [name for feature, name in _WIDER.items() if feature in features.names]
    if wider:
        reason = f"ONNX Runtime has products for this CPU's {' and '.join(wider)}, and nobody has measured the two"
    elif not features.known:
        reason = "the instructions of this CPU can't be read, and it may have some for which ONNX Runtime is faster"
    else:
        return {}
    return {AVX2: f"{reason}; RERANK_KERNEL={AVX2} takes it all the same"}


def _unmeasured(kernel: Kernel, manifest: Manifest, bounds: Bounds) -> str | None:
    """Return why the quality of a kernel's scores does not allow them, None if it does."""
    assert manifest.kernels is not None
    quality = manifest.kernels.quality.get(kernel.precision)
    if quality is None:
        return "its scores of this model were never measured: export the model again on this kind of CPU"
    broken = broken_bounds(quality, "int8-row", manifest.layouts, bounds)
    return f"it failed the quality gate: {'; '.join(broken)}" if broken else None


def _without(wanted: KernelName, reason: str) -> Choice:
    if wanted == "auto":
        return Choice(None, reason)
    raise ConfigurationError(f"RERANK_KERNEL={wanted} can't be had: {reason}; or set RERANK_KERNEL=auto")
