"""The one error for what only the extra `export` installs. Importing this needs none of it."""

from __future__ import annotations

from importlib.util import find_spec

from rerank_shared.errors import ConfigurationError

EXPORT_HINT = "pip install 'rerank-fleet[export]' (a CPU build of torch before it, or pip brings gigabytes of CUDA)"
#: What every export imports, and what ranking a collection does; torch and its kin only where weights are torch's.
_ALWAYS = ("numpy", "ml_dtypes", "onnx", "onnxruntime", "tokenizers")
_EVALUATION = ("bm25s", "ir_measures")


def export_extra(package: str) -> ConfigurationError:
    """Return the error that says how to get `package`."""
    return ConfigurationError(f"this export needs {package}: {EXPORT_HINT}")


def require_export(*, evaluation: bool = False) -> None:
    """Raise ConfigurationError if this installation lacks what any export needs, or to rank collections."""
    needed = (*_ALWAYS, *_EVALUATION) if evaluation else _ALWAYS
    if lacking := [name for name in needed if find_spec(name) is None]:
        raise export_extra(", ".join(lacking))
