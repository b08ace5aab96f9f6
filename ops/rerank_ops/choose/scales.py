"""Scales of a chart: from values to places on an axis, with round ticks. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

#: Ticks of an axis, about.
_TICKS = 6
#: Share of the range that is left free at each end.
_AIR = 0.06


@dataclass(frozen=True, slots=True)
class Scale:
    """A scale from `low` to `high`, drawn from `begin` to `end`; `ticks` are values with their labels.

    `of` brings values to what is drawn evenly.
    """

    low: float
    high: float
    begin: float
    end: float
    ticks: tuple[tuple[float, str], ...]
    of: Callable[[float], float] = float

    def at(self, value: float) -> float:
        """Return the place of a value."""
        low, high = self.of(self.low), self.of(self.high)
        return self.begin + (self.of(value) - low) / (high - low) * (self.end - self.begin)


def linear(values: Iterable[float], begin: float, end: float, ticks: Sequence[float] | None = None) -> Scale:
    """Return a scale that holds all values, with some air; `ticks` in place of round ones."""
    known = list(values)
    low, high = min(known), max(known)
    air = (high - low or abs(high) or 1.0) * _AIR
    low, high = low - air, high + air
    step = _step((high - low) / _TICKS)
    first, last = math.ceil(low / step), math.floor(high / step)
    round_ones = [number * step for number in range(first, last + 1)]
    digits = max(0, -math.floor(math.log10(step)))
    shown = [(each, f"{each:.{digits}f}") for each in round_ones] if ticks is None else [(t, f"{t:g}") for t in ticks]
    return Scale(low, high, begin, end, tuple(shown))


def logarithmic(values: Iterable[float], begin: float, end: float) -> Scale:
    """Return a scale of powers that holds all values, above 0; its ticks are 1, 2 and 5 times powers of 10."""
    known = [max(value, 1e-3) for value in values]
    low, high = min(known) / 1.15, max(known) * 1.15
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    shown = tuple((tick, f"{tick:,g}") for tick in ticks if low <= tick <= high)
    return Scale(low, high, begin, end, shown, math.log10)


def _step(least: float) -> float:
    """Return the least of 1, 2 and 5 times a power of 10 that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))
