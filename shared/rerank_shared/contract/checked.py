"""What a value that came as bytes has to be: each check returns it under its type, or raises TypeError or ValueError.

`wire.py` turns those into MalformedMessage; nothing else calls these.
"""

from __future__ import annotations

import math
from typing import Any, cast

from rerank_shared.keys import CACHE_SCOPES, JOB_CLASSES, CacheScope, JobClass


def as_text(value: Any) -> str:
    """Return a value that must be text."""
    if not isinstance(value, str):
        raise TypeError(f"text expected, not {type(value).__name__}")
    return value


def as_list(value: Any) -> list[Any]:
    """Return a value that must be a list."""
    if not isinstance(value, list):
        raise TypeError(f"a list expected, not {type(value).__name__}")
    return value


def as_job_class(value: Any) -> JobClass:
    """Return a value that must be the name of a class of jobs."""
    if value not in JOB_CLASSES:
        raise ValueError(f"class {value!r}")
    return cast(JobClass, value)


def as_cache_scope(value: Any) -> CacheScope:
    """Return a value that must say who may find a cached score."""
    if value not in CACHE_SCOPES:
        raise ValueError(f"cache scope {value!r}")
    return cast(CacheScope, value)


def as_whole(value: Any) -> int:
    """Return a value that must be a whole number."""
    if not isinstance(value, int):
        raise TypeError(f"a whole number expected, not {type(value).__name__}")
    return value


def as_finite(value: Any) -> float:
    """Return a value that must be a finite number, whole or not."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"a finite number expected, not {value!r}")
    return float(value)
