"""The installed library of kernels: its variants, one for each set of instructions, and why one does not run here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rerank_worker.engine.kernels.choice import Kernel

INSTALL = "install it with `pip install 'rerank-fleet[kernels]'`, or `make kernels` in a checkout"


@dataclass(frozen=True, slots=True)
class Library:
    """The kernels of the installed package, best first, and the reason against each that this CPU can't run."""

    kernels: tuple[Kernel, ...]
    unfit: Mapping[str, str]


def installed() -> Library | None:
    """Return the installed library, None where the package is missing or was never built."""
    package = _package()
    if package is None:
        return None
    version = int(package.KERNEL_VERSION)
    try:
        kernels = tuple(Kernel(name, version, package.library(name)) for name in package.VARIANTS)
    except FileNotFoundError:
        return None
    reasons = {kernel.variant: _unfit(package, kernel.variant) for kernel in kernels}
    return Library(kernels, {variant: reason for variant, reason in reasons.items() if reason is not None})


def pack(weight: Any) -> Any:
    """Return an int8 weight [in, out] in the form that the kernels read; the package must be installed."""
    package = _package()
    assert package is not None
    return package.pack(weight)


def _unfit(package: Any, variant: str) -> str | None:
    try:
        reason: str | None = package.runs_here(variant)
    except OSError as error:
        # Built for another machine, or cut short.
        return f"its library can't be loaded: {error}"
    return reason


def _package() -> Any:
    try:
        import rerank_kernels
    except ImportError:
        return None
    return rerank_kernels
