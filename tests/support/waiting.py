"""Waiting for a condition without timing assertions: poll until it holds, fail loudly when it never does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
POLL_S = 0.02


def wait_until(condition: Callable[[], T], what: str, bound_s: float = 60.0) -> T:
    """Return the first true value of `condition`; fails after `bound_s`, far above what a busy machine needs."""
    end = time.monotonic() + bound_s
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {bound_s:g} s")
        time.sleep(POLL_S)
    return value
