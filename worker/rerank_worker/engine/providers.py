"""Execution providers: chooses the ONNX Runtime providers that sessions run on, with their options and the reason.

`choose` is pure; `providers_for` inspects this machine. A requested device is never replaced by another: a GPU that
can't be used is an error that names the missing part, and only `auto` may choose the CPU. Options for CUDA and TensorRT
follow ONNX Runtime's documentation and sources; they have not run on a GPU yet (docs/gpu.md).
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnxruntime

from rerank_shared.errors import ConfigurationError
from rerank_shared.models.cpu import host_features, refuse_reason
from rerank_shared.models.precision import PrecisionName
from rerank_shared.settings import DeviceName, Settings
from rerank_shared.user_cache import user_cache

log = logging.getLogger(__name__)
CPU_PROVIDER = "CPUExecutionProvider"
CUDA_PROVIDER = "CUDAExecutionProvider"
TENSORRT_PROVIDER = "TensorrtExecutionProvider"
_INSTALL = (
    "`pip uninstall --yes onnxruntime onnxruntime-gpu`, then `pip install 'rerank-fleet[gpu]'` (the two share their "
    "files, so only one may be installed; see docs/gpu.md)"
)
Option = tuple[str, dict[str, str]]
_CUDA: tuple[Option, ...] = (
    (
        CUDA_PROVIDER,
        {
            # CUDA_VISIBLE_DEVICES chooses among several GPUs.
            "device_id": "0",
            # The arena grows by the requested size, not to the next power of two: other processes use the card too.
            "arena_extend_strategy": "kSameAsRequested",
            # TF32 products have 19-bit floats, and their scores would be cached as fp32.
            "use_tf32": "0",
        },
    ),
    (CPU_PROVIDER, {}),
)
#: Returns the reason why CUDA can't be used on this machine, None if it can.
Trouble = Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Providers:
    """Providers in order of preference, their options, and the reason for the choice."""

    options: tuple[Option, ...]
    reason: str
    cuda_graphs: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """ONNX Runtime's names of the providers, the preferred one first."""
        return tuple(name for name, _ in self.options)

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """The device that holds the inputs and outputs of a run."""
        return "cpu" if self.names[0] == CPU_PROVIDER else "cuda"


ON_CPU = Providers(((CPU_PROVIDER, {}),), "nothing else was asked for")


def choose(
    wanted: DeviceName,
    precision: PrecisionName,
    offered: Sequence[str],
    trouble: Trouble,
    *,
    cuda_graphs: bool = False,
    unsafe: bool = False,
) -> Providers:
    """Return the providers for a model of `precision`. `offered`: the providers of the installed ONNX Runtime.

    `trouble` is called only if a GPU may be used, since it wakes the GPU. Raises ConfigurationError if the wanted
    device can't be used, if it does not suit the precision (unless `unsafe`), or if CUDA graphs are set for another
    device.
    """
    found = _wanted(wanted, precision, offered, trouble, unsafe=unsafe)
    return with_cuda_graphs(found) if cuda_graphs else found


def with_cuda_graphs(providers: Providers) -> Providers:
    """Return the same providers with CUDA graphs enabled. Raises ConfigurationError if CUDA is not the first.

    TensorRT captures only graphs that it runs as a whole, and it lacks the attention operator.
    """
    (first, options), *others = providers.options
    if first != CUDA_PROVIDER:
        raise ConfigurationError(
            f"RERANK_CUDA_GRAPHS is set, but sessions run on {first} ({providers.reason}): unset it, or set "
            "RERANK_DEVICE=cuda"
        )
    return Providers(((first, options | {"enable_cuda_graph": "1"}), *others), providers.reason, cuda_graphs=True)


def providers_for(settings: Settings, precision: PrecisionName) -> Providers:
    """Return the providers for a model of `precision` on this machine, by the settings. Raises as `choose`."""
    offered = onnxruntime.get_available_providers()
    chosen = choose(
        settings.device,
        precision,
        offered,
        cuda_trouble,
        cuda_graphs=settings.cuda_graphs,
        unsafe=settings.unsafe,
    )
    log.info("device chosen providers=%s reason=%r", ",".join(chosen.names), chosen.reason)
    return chosen


def cuda_trouble() -> str | None:
    """Return the reason why CUDA can't be used here, None if it can. The check puts a few bytes on the first GPU.

    The list of available providers does not suffice: it names the providers that the package was built with, also on
    machines without a GPU, and a session then falls back to the CPU.
    """
    _preload_libraries()
    try:
        onnxruntime.OrtValue.ortvalue_from_shape_and_type([1], np.float32, "cuda", 0)
    except Exception as error:
        # onnxruntime's exceptions share no base class below Exception.
        return str(error).strip() or repr(error)
    return None


def _wanted(
    wanted: DeviceName, precision: PrecisionName, offered: Sequence[str], trouble: Trouble, *, unsafe: bool
) -> Providers:
    if wanted == "cpu":
        return Providers(ON_CPU.options, "RERANK_DEVICE is cpu")
    provider = TENSORRT_PROVIDER if wanted == "tensorrt" else CUDA_PROVIDER
    if wanted == "auto":
        if (reason := _why_not(provider, precision, offered, trouble, unsafe=False)) is not None:
            return Providers(ON_CPU.options, reason)
        return Providers(_CUDA, f"a GPU is there and {precision} runs on it")
    if (reason := _why_not(provider, precision, offered, trouble, unsafe=unsafe)) is not None:
        raise ConfigurationError(f"RERANK_DEVICE={wanted} can't be had: {reason}; or set RERANK_DEVICE=cpu")
    options = _CUDA if wanted == "cuda" else (_tensorrt(precision), *_CUDA)
    return Providers(options, f"RERANK_DEVICE is {wanted}")


def _why_not(
    provider: str, precision: PrecisionName, offered: Sequence[str], trouble: Trouble, *, unsafe: bool
) -> str | None:
    if provider not in offered:
        return f"the installed ONNX Runtime has no {provider} (it has {', '.join(offered)}): install it by {_INSTALL}"
    if not unsafe and (reason := refuse_reason(precision, host_features(), (provider, CPU_PROVIDER))) is not None:
        return reason
    if (told := trouble()) is not None:
        return (
            f"ONNX Runtime can't use a GPU here ({told}): check that nvidia-smi shows one, and that the CUDA and cuDNN "
            f"that this build needs are installed, for instance by {_INSTALL}"
        )
    return None


def _tensorrt(precision: PrecisionName) -> Option:
    cache = user_cache() / "tensorrt"
    options = {
        "device_id": "0",
        # Building an engine takes minutes, and each start would do it again.
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(cache),
    }
    # A model runs in the precision in which it was exported, measured and cached.
    if precision == "fp16":
        options["trt_fp16_enable"] = "1"
    return TENSORRT_PROVIDER, options


def _preload_libraries() -> None:
    """Load CUDA and cuDNN from Python packages, which the dynamic loader does not search."""
    # Since ONNX Runtime 1.21.
    preload: Any = getattr(onnxruntime, "preload_dlls", None)
    if preload is None:
        return
    # It prints the libraries that it can't find, which may be installed elsewhere.
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        preload()
    if said := printed.getvalue().strip():
        log.debug("cuda libraries preloaded output=%r", said)
