"""Extras that this installation has, found without importing their packages."""

from __future__ import annotations

from importlib.util import find_spec

from rerank_shared.errors import ConfigurationError

#: Packages of the extra `worker` that a worker process imports.
WORKER = ("onnxruntime", "tokenizers", "numpy")
WORKER_HINT = "pip install 'rerank-fleet[worker]'"
#: Packages of the extra `gateway` that the gateway imports.
GATEWAY = ("starlette", "uvicorn", "httpx")
GATEWAY_HINT = "pip install 'rerank-fleet[gateway]'"
#: Packages that judge rankings, and the one that finds candidates in a collection.
EVALUATION = ("ir_measures", "numpy", "scipy")
BM25 = ("bm25s",)
REPORT = ("jinja2",)
EVALUATION_HINT = "pip install 'rerank-fleet[demo]'"
#: Packages that a student is trained and exported with.
DISTIL = ("torch", "transformers", "safetensors", "onnx", "ml_dtypes", "tokenizers")
DISTIL_HINT = "pip install 'rerank-fleet[distil]' (a CPU build of torch before it, or pip brings gigabytes of CUDA)"


def missing(modules: tuple[str, ...]) -> list[str]:
    """Return those of `modules` that are not installed."""
    return [name for name in modules if find_spec(name) is None]


def require_worker() -> None:
    """Raise ConfigurationError if worker processes can't start here; the supervisor would restart them for ever."""
    if lacking := missing(WORKER):
        raise ConfigurationError(f"workers need {', '.join(lacking)}: {WORKER_HINT}")


def require_embedder() -> None:
    """Raise ConfigurationError if texts can't be embedded here. A bundle that is missing is told where it is opened."""
    if lacking := missing(WORKER):
        raise ConfigurationError(f"a dense first stage needs {', '.join(lacking)}: {EVALUATION_HINT}")


def require_gateway() -> None:
    """Raise ConfigurationError if the HTTP gateway can't be imported here."""
    if lacking := missing(GATEWAY):
        raise ConfigurationError(f"the gateway needs {', '.join(lacking)}: {GATEWAY_HINT}")


def require_evaluation(*, bm25: bool, report: bool = False) -> None:
    """Raise ConfigurationError if rankings can't be judged here, with `bm25` candidates be found, or with `report`
    one be written.
    """
    if lacking := missing((*EVALUATION, *(BM25 if bm25 else ()), *(REPORT if report else ()))):
        raise ConfigurationError(f"judging rankings needs {', '.join(lacking)}: {EVALUATION_HINT}")


def require_distil() -> None:
    """Raise ConfigurationError if no student can be trained, exported or measured here."""
    if lacking := missing((*DISTIL, *WORKER, *EVALUATION, *BM25)):
        raise ConfigurationError(f"distil needs {', '.join(lacking)}: {DISTIL_HINT}")
