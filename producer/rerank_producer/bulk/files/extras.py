"""Packages of the extra `bulk`, which are imported where they are first needed and nowhere else."""

from __future__ import annotations

import importlib
from typing import Any

from rerank_shared.errors import ConfigurationError


def needed(module: str, what: str) -> Any:
    """Return a module of the extra. Raises ConfigurationError, which says how to install what `what` needs."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ConfigurationError(
            f"{what} needs {package}, which can't be imported here ({error}). "
            "Install it with: pip install 'rerank-fleet[bulk]'"
        ) from None
