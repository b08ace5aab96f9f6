"""Missing packages of the extra `export`: the one error for them. Importing this module needs none of them."""

from __future__ import annotations

from importlib.util import find_spec

from rerank_shared.errors import ConfigurationError

EXPORT_HINT = "pip install 'rerank-fleet[export]' (a CPU build of torch before it, or pip brings gigabytes of CUDA)"
#: Packages that every export imports, and those for ranking collections. torch is needed for torch weights only.
_ALWAYS = ("numpy", "ml_dtypes", "onnx", "onnxruntime", "tokenizers")
_EVALUATION = ("bm25s", "ir_measures")


def export_extra(package: str) -> ConfigurationError:
    """Return the error that says how to get `package`."""
    return ConfigurationError(f"this export needs {package}: {EXPORT_HINT}")


def require_export(*, evaluation: bool = False) -> None:
    """Raise ConfigurationError if a package for any export, or with `evaluation` for collections, is missing."""
    needed = (*_ALWAYS, *_EVALUATION) if evaluation else _ALWAYS
    if lacking := [name for name in needed if find_spec(name) is None]:
        raise export_extra(", ".join(lacking))
