"""ONNX Runtime sessions: opens a graph with one thread by default, bounded memory and no silent fallback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime

from rerank_shared.errors import ConfigurationError, ModelDamaged
from rerank_shared.models.cpu import host_features
from rerank_worker.engine.providers import ON_CPU, Providers


def session_options(*, optimise: bool, threads: int = 1) -> Any:
    """Return the SessionOptions of all sessions; see open_session."""
    options = onnxruntime.SessionOptions()
    # Two processes of one thread have 1.5 times the throughput of one of two, and without a pool no thread spins.
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A memory pattern is kept for ever for each input shape, and unpadded pairs have hundreds of shapes.
    options.enable_mem_pattern = False
    # A failing run raises and the scoring thread logs it, so the runtime need not print it as well.
    options.log_severity_level = 4
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    return options


def exact_options() -> Any:
    """Return the SessionOptions of int8 products that saturate on no CPU; they are slow where others saturate."""
    # It is a rewrite of the graph, which ONNX Runtime does only where it may optimise.
    features = host_features()
    options = session_options(optimise=features.saturates or not features.known)
    options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def open_session(
    path: Path, *, optimise: bool, threads: int = 1, options: Any = None, providers: Providers = ON_CPU
) -> Any:
    """Return an InferenceSession. `optimise`: let ONNX Runtime fuse operators, for plain ONNX graphs and GPUs.

    Exported graphs run on the CPU as they are: the fusions (SkipLayerNormalization above all) are slower there than the
    operators they replace. `options` overrides `optimise` and `threads`. Raises ModelDamaged if the file can't be
    loaded, ConfigurationError if the session did not get the first of its `providers`.
    """
    options = options or session_options(optimise=optimise, threads=threads)
    try:
        session = onnxruntime.InferenceSession(
            # Without enable_fallback=0 it would print and continue with other providers.
            str(path),
            options,
            providers=list(providers.options),
            enable_fallback=0,
        )
    except Exception as error:
        # onnxruntime's exceptions share no base class below Exception.
        raise ModelDamaged(f"{path} can't be loaded by ONNX Runtime {onnxruntime.__version__}: {error}") from None
    got = session.get_providers()
    if got[:1] != [providers.names[0]]:
        raise ConfigurationError(
            f"ONNX Runtime was asked to run {path} on {providers.names[0]} and took {', '.join(got)}: its libraries "
            "could not be loaded; see docs/gpu.md, or set RERANK_DEVICE=cpu"
        )
    return session
