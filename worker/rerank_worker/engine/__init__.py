"""Engine: takes encoded pairs and returns their logits, in the layout of the settings."""

from rerank_worker.engine.device.engine import DeviceEngine
from rerank_worker.engine.identity import identity_of, model_precision, precision_of, run_precision
from rerank_worker.engine.kernels import PreparedKernel, choice_for, kernel_for
from rerank_worker.engine.layouts import graph_layout
from rerank_worker.engine.onnx_engine import ArtefactEngine, Engine, PlainEngine, open_engine
from rerank_worker.engine.overlap import joins_runs, runs_at_once, starter
from rerank_worker.engine.packed import PackedWeights
from rerank_worker.engine.providers import Providers, providers_for

__all__ = [
    "ArtefactEngine",
    "DeviceEngine",
    "Engine",
    "PackedWeights",
    "PlainEngine",
    "PreparedKernel",
    "Providers",
    "choice_for",
    "graph_layout",
    "identity_of",
    "joins_runs",
    "kernel_for",
    "model_precision",
    "open_engine",
    "precision_of",
    "providers_for",
    "run_precision",
    "runs_at_once",
    "starter",
]
