"""Times in words."""

from __future__ import annotations

import math


def duration(seconds: float) -> str:
    """Return a time in the two largest units that it has."""
    if not math.isfinite(seconds):
        return "unknown time"
    whole = max(0, round(seconds))
    for size, unit, smaller_size, smaller in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"
