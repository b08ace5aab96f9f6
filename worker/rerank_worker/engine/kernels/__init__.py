"""Kernels: runs the layers of an int8 artefact by the library `rerank-fleet-kernels`, where that is there and right."""

from rerank_worker.engine.kernels.choice import Choice, Kernel
from rerank_worker.engine.kernels.prepared import KernelDiffers, PreparedKernel, pack_weights
from rerank_worker.engine.kernels.start import choice_for, kernel_for, kernels_here, trial_feeds

__all__ = [
    "Choice",
    "Kernel",
    "KernelDiffers",
    "PreparedKernel",
    "choice_for",
    "kernel_for",
    "kernels_here",
    "pack_weights",
    "trial_feeds",
]
