"""Checks of decoded values: each returns the value under its type, or raises TypeError or ValueError.

Only `wire.py` calls them; it turns the errors into MalformedMessage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from rerank_shared.contract.token_ids import Content, TokenIds
from rerank_shared.keys import CACHE_SCOPES, FIRST_STAGE_ORDERS, FUSION_METHODS, JOB_CLASSES

T = TypeVar("T")


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


def as_weight(value: Any) -> float:
    """Return a value that must be a number of at least 0; it may be infinite."""
    if not isinstance(value, int | float) or not value >= 0:
        raise ValueError(f"a number of at least 0 expected, not {value!r}")
    return float(value)


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


def as_contents(value: Any) -> tuple[Content, ...]:
    """Return a list that must hold documents: text, or the bytes of token ids."""
    return tuple(TokenIds(each) if isinstance(each, bytes) else as_text(each) for each in as_list(value))


def optional(check: Callable[[Any], T]) -> Callable[[Any], T | None]:
    """Return the check of a value that may be None."""
    return lambda value: None if value is None else check(value)


def many(check: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    """Return the check of a list, each value of which must pass `check`."""
    return lambda value: tuple(map(check, as_list(value)))


def one_of(what: str, names: Sequence[T]) -> Callable[[Any], T]:
    """Return the check of a value that must be one of `names`; its error calls it `what`."""

    def check(value: Any) -> T:
        if value not in names:
            raise ValueError(f"{what} {value!r}")
        return cast(T, value)

    return check


as_job_class = one_of("class", JOB_CLASSES)
as_cache_scope = one_of("cache scope", CACHE_SCOPES)
as_fusion_method = one_of("fusion", FUSION_METHODS)
as_first_stage_order = one_of("first-stage order", FIRST_STAGE_ORDERS)
