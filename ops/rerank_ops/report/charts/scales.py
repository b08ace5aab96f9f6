"""Scales: where a value stands on an axis, and at which round values it has ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: Steps of a linear axis, and ticks of a logarithmic one, within a power of ten.
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_DECADE = (1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Scale:
    """A range of values that is drawn from `start` to `end`, linearly or by logarithm, with its ticks."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Return where a value is drawn; one outside the range at its nearer end."""
        inside = min(max(value, self.low), self.high)
        if self.logarithmic:
            share = math.log(inside / self.low) / math.log(self.high / self.low)
        else:
            share = (inside - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def linear(values: Sequence[float], start: float, end: float, count: int = 5) -> Scale:
    """Return a scale of about `count` steps that holds all values, which may be equal."""
    low, high = min(values), max(values)
    # Less would be noise of floating point, and no step could be added to a value so much larger.
    room = max(high - low, abs(high) * 1e-9, 1e-9)
    if high - low < room:
        low, high = low - 0.05, high + 0.05
        room = 0.1
    step = _step(room / count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(number * step, 12) for number in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], start, end, ticks)


def logarithmic(values: Sequence[float], start: float, end: float) -> Scale:
    """Return a scale by logarithm that holds all values, each above 0, with air at both sides and two ticks or more."""
    air = 1.4 if max(values) > 4 * min(values) else 2.5
    low, high = min(values) / air, max(values) * air
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = [mantissa * 10.0**power for power in range(first, last + 1) for mantissa in _DECADE]
    ticks = [tick for tick in every if low <= tick <= high]
    if len(ticks) > 7:
        ticks = [tick for tick in ticks if math.log10(tick).is_integer()]
    return Scale(low, high, start, end, tuple(ticks), logarithmic=True)


def tick_text(value: float, ticks: Sequence[float]) -> str:
    """Return the text of a tick, with no more decimals than the ticks need."""
    for decimals in range(7):
        if all(abs(round(tick, decimals) - tick) < 1e-9 * max(1.0, abs(tick)) for tick in ticks):
            return f"{value:,.{decimals}f}"
    return f"{value:g}"


def _step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in _STEPS if step * power >= rough * (1 - 1e-9))
