"""Which extras of the distribution this installation has, asked without importing what they install."""

from __future__ import annotations

from importlib.util import find_spec

from rerank_shared.errors import ConfigurationError

#: What a worker process imports from its extra.
WORKER = ("onnxruntime", "tokenizers", "numpy")
WORKER_HINT = "pip install 'rerank-fleet[worker]'"
#: What the gateway imports from its extra.
GATEWAY = ("starlette", "uvicorn", "httpx")
GATEWAY_HINT = "pip install 'rerank-fleet[gateway]'"


def missing(modules: tuple[str, ...]) -> list[str]:
    """Return those of `modules` that are not installed."""
    return [name for name in modules if find_spec(name) is None]


def require_worker() -> None:
    """Raise ConfigurationError if worker processes could not even start here; they would be restarted for ever."""
    if lacking := missing(WORKER):
        raise ConfigurationError(f"workers need {', '.join(lacking)}: {WORKER_HINT}")


def require_gateway() -> None:
    """Raise ConfigurationError if the HTTP gateway could not even be imported here."""
    if lacking := missing(GATEWAY):
        raise ConfigurationError(f"the gateway needs {', '.join(lacking)}: {GATEWAY_HINT}")
