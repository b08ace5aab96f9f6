"""Shapes of load over time: each gives the share of the peak rate at each second. Requests come at random by it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

_MINUTE, _DAY = 60.0, 7_200.0


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape: `share_at` gives the share of the peak rate, 0 to 1, at a second."""

    says: str
    duration_s: float
    share_at: Callable[[float], float]


def _step(at_s: float) -> float:
    return 1.0 if 5 * _MINUTE <= at_s < 15 * _MINUTE else 0.15


def _ramp(at_s: float) -> float:
    return 0.1 + 0.9 * (1 - abs(at_s - 20 * _MINUTE) / (20 * _MINUTE))


def _boundary(_: float) -> float:
    # With the peak at 0.7 of 4 processes, 0.7 of it keeps 1.96 busy: at 0.8 each that is 2.45 processes.
    return 0.7


def _square(at_s: float) -> float:
    return 1.0 if at_s % (4 * _MINUTE) < 2 * _MINUTE else 0.1


def _minutely(at_s: float) -> float:
    return 1.0 if at_s % _MINUTE < 5 else 0.02


def _day(at_s: float) -> float:
    return 0.1 + 0.9 * (0.5 - 0.5 * math.cos(2 * math.pi * at_s / _DAY)) ** 2


SHAPES: Mapping[str, Shape] = {
    "step": Shape("calm, ten minutes at the peak, calm", 30 * _MINUTE, _step),
    "ramp": Shape("slowly up to the peak and down", 40 * _MINUTE, _ramp),
    "boundary": Shape("the same rate all the time, near the load at which a fleet grows", 30 * _MINUTE, _boundary),
    "square": Shape("two minutes at the peak, two calm", 30 * _MINUTE, _square),
    "minutely": Shape("five seconds at the peak in every minute", 20 * _MINUTE, _minutely),
    "day": Shape("a day in two hours", _DAY, _day),
}


def times(shape: Shape, peak_rps: float, seed: int) -> Iterator[float]:
    """Yield the times of requests, in seconds: Poisson at the rate of the shape, by thinning of its peak."""
    rng, at_s = random.Random(f"{seed}:arrivals"), 0.0
    while (at_s := at_s + rng.expovariate(peak_rps)) < shape.duration_s:
        if rng.random() < shape.share_at(at_s):
            yield at_s
