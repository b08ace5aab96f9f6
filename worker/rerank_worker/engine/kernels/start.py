"""Start of a kernel: chooses one for a worker's model on this host, prepares it, and falls back where that fails."""

from __future__ import annotations

import logging

import numpy as np

from rerank_shared.errors import ConfigurationError, ModelDamaged
from rerank_shared.models.catalogue import ModelFiles
from rerank_shared.models.cpu import host_features
from rerank_shared.models.exported import bounds_of, check_device
from rerank_shared.models.precision import LayoutName
from rerank_shared.settings import KernelName, Settings
from rerank_worker.engine.kernels.agreement import agree
from rerank_worker.engine.kernels.choice import PORTABLE, Choice, Kernel, choose
from rerank_worker.engine.kernels.library import INSTALL, installed
from rerank_worker.engine.kernels.prepared import KernelDiffers, PreparedKernel
from rerank_worker.engine.layouts import LAYOUTS, Feeds, graph_layout
from rerank_worker.engine.packed import PackedWeights
from rerank_worker.engine.providers import Providers
from rerank_worker.tokenizing import EncodedPair

log = logging.getLogger(__name__)
#: Token ids that every vocabulary has, and lengths of one vector and of many.
_IDS = 8
_LENGTHS = (3, 17, 64, 150)


def choice_for(settings: Settings, files: ModelFiles, providers: Providers) -> Choice:
    """Return the kernel for a model on this host, by the settings. Raises ConfigurationError; see `choose`."""
    library = None if settings.kernel == "onnxruntime" or providers.device != "cpu" else installed()
    missing = f"the kernels' library is not installed: {INSTALL}" if library is None else None
    return choose(
        settings.kernel,
        files.manifest,
        host_features(),
        library.kernels if library else (),
        library.unfit if library else {},
        missing=f"the model runs on {providers.names[0]}" if providers.device != "cpu" else missing,
        threads=settings.threads,
        bounds=bounds_of(settings),
        unsafe=settings.unsafe,
    )


def kernel_for(
    settings: Settings,
    files: ModelFiles,
    providers: Providers,
    packed: PackedWeights,
    served: str | None = None,
) -> PreparedKernel | None:
    """Return the kernel that runs the layers of a model here, None for ONNX Runtime's operators; log which, and why.

    `served` is the precision in which the fleet serves this model now, None where it does not. Raises
    ConfigurationError if a kernel is named in the settings and can't be had, if this host can't score as the fleet
    does, or if what then runs the layers is not for the precision of the model.
    """
    choice = choice_for(settings, files, providers)
    if served is not None:
        choice = agree(choice, settings.kernel, served, lambda name: _named(settings, files, providers, name))
    prepared = _prepared(choice.kernel, settings, files, packed, served) if choice.kernel else None
    if prepared is not None or choice.kernel is None:
        log.info("kernel chosen kernel=%s reason=%r", choice.name, choice.reason)
    by_kernel = prepared is not None
    check_device(files.manifest, host_features(), providers.names, by_kernel=by_kernel, unsafe=settings.unsafe)
    return prepared


def kernels_here(wanted: KernelName) -> list[Kernel]:
    """Return the kernels to measure a model with on this host: the one that is named, else all fast ones that run here.

    `auto` may pass over one of them here and take it on another host, which needs the report.
    """
    library = None if wanted == "onnxruntime" else installed()
    if library is None:
        return []
    named = {wanted} if wanted != "auto" else {each.variant for each in library.kernels} - {PORTABLE}
    return [each for each in library.kernels if each.variant in named and each.variant not in library.unfit]


def _named(settings: Settings, files: ModelFiles, providers: Providers, variant: KernelName) -> Choice:
    named = settings.model_copy(update={"kernel": variant})
    return choice_for(named, files, providers)


def _prepared(
    kernel: Kernel, settings: Settings, files: ModelFiles, packed: PackedWeights, served: str | None
) -> PreparedKernel | None:
    manifest = files.manifest
    if manifest is None or manifest.kernels is None or settings.layout not in manifest.layouts:
        # open_engine refuses a layout that the model lacks, with the way out.
        return None
    layout = graph_layout(settings.layout, manifest.layouts, by_kernel=True)
    graph, feeds = files.model_path.parent / manifest.layouts[layout], trial_feeds(layout, manifest.max_length)
    try:
        return PreparedKernel.of(kernel, manifest.kernels, graph, feeds, packed.directory)
    except (KernelDiffers, ModelDamaged) as error:
        told = f"{kernel.precision} failed its trial on {files.source}: {error}"
    if settings.kernel != "auto" or served == kernel.precision:
        raise ConfigurationError(f"{told}; set RERANK_KERNEL=onnxruntime on every worker and report it")
    log.warning("kernel not used, ONNX Runtime's operators run instead: %s", told)
    return None


def trial_feeds(layout: LayoutName, max_length: int) -> list[Feeds]:
    """Return the inputs of a trial in a layout: frozen, of any vocabulary, at most `max_length` tokens a pair."""
    lengths = sorted({min(length, max_length) for length in _LENGTHS})
    pairs = [
        EncodedPair(np.arange(length, dtype=np.int64) % _IDS, np.zeros(length, dtype=np.int64), truncated=False)
        for length in lengths
    ]
    return [LAYOUTS[layout]([pair]) for pair in pairs] if layout == "unpadded" else [LAYOUTS[layout](pairs)]
