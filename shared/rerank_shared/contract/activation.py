"""Activations: turn a raw logit into a relevance score. Applied on reading, so a cached logit serves any activation.

Computed in double precision: in float32 a sigmoid rounds every logit above 17 to exactly 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable


def sigmoid(logit: float) -> float:
    """Return 1 / (1 + exp(-logit)) without overflow at either end."""
    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))
    power = math.exp(logit)
    return power / (1.0 + power)


def identity(logit: float) -> float:
    """Return the logit itself."""
    return logit


ACTIVATIONS: dict[str, Callable[[float], float]] = {"sigmoid": sigmoid, "identity": identity}
