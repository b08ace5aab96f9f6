"""Result of a tuning, read by the chart, the terminal output, JSON and the profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rerank_ops.tune.grid import Curve
from rerank_ops.tune.policy import Choice
from rerank_ops.tune.rounds import Series
from rerank_ops.tune.team import Team
from rerank_shared.models.precision import LayoutName


@dataclass(frozen=True, slots=True)
class Tuning:
    """The measurements, the chosen settings, and `made_for`: host, model and text, as in the profile."""

    series: Sequence[Series]
    teams: Sequence[Team]
    choice: Choice
    request_pairs: int
    source: str
    made_for: Mapping[str, Any]

    @property
    def layouts(self) -> list[LayoutName]:
        """The layouts that were measured."""
        return list(dict.fromkeys(point.cell.layout for point in self.series))

    @property
    def title(self) -> str:
        """Model, precision and CPU, in one line."""
        return f"{self.made_for['model']} ({self.made_for['precision']}) on {self.made_for['cpu']}"

    @property
    def method(self) -> str:
        """The method of measurement, in a sentence."""
        rounds = [len(point.seconds) for point in self.series]
        return (
            f"One thread, medians of {min(rounds)} to {max(rounds)} rounds in turns, pairs of "
            f"{self.made_for['mean_tokens']:.0f} tokens on average."
        )

    def on(self, curve: Curve) -> list[Series]:
        """Return the points of a curve, layout by layout, sizes ascending."""
        found = [point for point in self.series if point.cell.curve == curve]
        return sorted(found, key=lambda point: (self.layouts.index(point.cell.layout), point.cell.size))

    def shown(self, point: Series) -> tuple[float, float, float]:
        """Return a point's median and the quartiles of its rounds, in its curve's unit (ms, or tokens/s)."""
        low, middle, high = (float(value) for value in np.percentile(point.seconds, (25, 50, 75)))
        if point.cell.curve == "pairs":
            return middle * 1000, low * 1000, high * 1000
        return point.tokens / middle, point.tokens / high, point.tokens / low

    def as_plain(self) -> dict[str, Any]:
        """Return the tuning as plain data, for JSON."""
        return {
            "made_for": dict(self.made_for),
            "text": self.source,
            "profile": dict(self.choice.values),
            "reasons": dict(self.choice.reasons),
            "notes": list(self.choice.notes),
            "curves": [
                {
                    "curve": point.cell.curve,
                    "layout": point.cell.layout,
                    "size": point.cell.size,
                    "pairs": point.pairs,
                    "tokens": point.tokens,
                    "seconds": point.seconds,
                }
                for point in self.series
            ],
            "teams": [
                {"processes": team.processes, "threads": team.threads, "tokens_per_s": team.tokens_per_s}
                for team in self.teams
            ],
        }
