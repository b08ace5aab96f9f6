"""Functions that other processes call. They import this module by its name, as they can't a test's."""

from __future__ import annotations

import os
import signal

from rerank_ops.choose.load import Cut, Fleet
from rerank_ops.simulate.model.spec import FleetSpec
from support.choice import COST


def where(number: int) -> tuple[int, int]:
    """Return the number, and the process that was asked."""
    return number, os.getpid()


def killed_elsewhere(parent: int, number: int) -> int:
    """Kill the process that is asked, unless it is `parent`; return the number."""
    if os.getpid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def refuses(number: int) -> int:
    """Raise ValueError, with the process that was asked."""
    raise ValueError(f"number {number} in {os.getpid()}")


def p95_ms(cut: Cut) -> float:
    """Return the simulated P95 of a small fleet."""
    return cut.latency(Fleet(4, 4.0, FleetSpec(4, COST), 30.0, requests=100)).p95_ms
