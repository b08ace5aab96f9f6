"""Tuning policy: chooses the settings of a profile from measurements. Pure functions, without clock or engine.

A default stays unless another value is clearly faster: by a margin, in most of enough rounds. By the same rule a
layout in which a score depends on its pair alone stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rerank_ops.tune.grid import SETTING, Curve
from rerank_ops.tune.rounds import Series
from rerank_ops.tune.team import Team
from rerank_shared.models.precision import PRECISION, LayoutName, PrecisionName
from rerank_shared.settings import Settings

#: Least ratio, by median and by lower quartile of the rounds, at which a faster value is taken: noise alone makes the
#: fastest of many equal points about 5 % faster.
_MARGIN, _LEAST = 1.10, 1.05
#: Sizes this close to the best count as equal; the smallest is taken, since it checks deadlines most often.
_AS_GOOD = 1.02
_MOST_WAIT_MS = 5.0
#: Fewer rounds than this decide nothing.
_FEW = 3


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen settings by name, the reason for each in words, and `notes`: warnings about the measurements."""

    values: Mapping[str, Any]
    reasons: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ratio:
    """Speed-up of one point over another, round by round: the median and the middle half of the rounds."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, slower: Sequence[float], faster: Sequence[float]) -> Ratio:
        """Return the ratio of times in the same rounds; rounds that only one side has are left out."""
        rounds = min(len(slower), len(faster))
        ratios = np.array(slower[:rounds]) / np.array(faster[:rounds])
        low, median, high = (float(value) for value in np.percentile(ratios, (25, 50, 75)))
        return cls(median, low, high, rounds)

    @property
    def is_clear(self) -> bool:
        """Whether the speed-up is larger than noise explains."""
        return self.rounds >= _FEW and self.median > _MARGIN and self.low > _LEAST

    def __str__(self) -> str:
        return f"{self.median:.2f}x ({self.low:.2f} to {self.high:.2f})"


def default(name: str) -> Any:
    """Return the default of a setting, because the value in force may come from the profile to be replaced."""
    return Settings.model_fields[name].default


def choose(
    series: Sequence[Series], teams: Sequence[Team], *, precision: PrecisionName, max_length: int, cores: int
) -> Choice:
    """Return the settings that the measurements support.

    `series` holds points of each layout on each curve, default sizes included; `max_length` is the model's, in tokens.
    """
    layout, why_layout = choose_layout(series, precision)
    values: dict[str, Any] = {"layout": layout}
    reasons = {"layout": why_layout}
    for curve, name in SETTING.items():
        values[name], reasons[name] = _choose_size(_of_layout(series, curve, layout), default(name))
    budget = max(default("budget_tokens"), values["run_tokens"], max_length)
    values["budget_tokens"] = budget
    held_s = budget * _best(_of_layout(series, "tokens", layout)).seconds_per_token
    reasons["budget_tokens"] = f"a full batch holds an urgent job up for {held_s * 1000:.0f} ms" + (
        "" if budget == default("budget_tokens") else "; it must hold a run and the longest pair"
    )
    waits_for_none = layout == "unpadded" or values["run_pairs"] == 1
    values["max_wait_ms"], reasons["max_wait_ms"] = (
        (0.0, "a pair that is alone gains little by company")
        if waits_for_none
        else _choose_wait(_of_layout(series, "pairs", layout), values["run_pairs"])
    )
    more, reasons["threads"] = _choose_threads(teams, cores)
    return Choice(values | more, reasons, _notes(series, teams))


def choose_layout(series: Sequence[Series], precision: PrecisionName) -> tuple[LayoutName, str]:
    """Return the layout to run and the reason, by the latency of one request at each layout's best size."""
    best = {layout: _best(_of_layout(series, "pairs", layout)) for layout in _layouts(series)}
    invariant = [layout for layout in PRECISION[precision].invariant_layouts if layout in best]
    # The default layout comes first, so that it wins ties.
    preferred = sorted(invariant or best, key=lambda layout: layout != default("layout"))[0]
    for layout in invariant:
        if Ratio.of(best[preferred].per_token, best[layout].per_token).is_clear:
            preferred = layout
    fastest = min(best, key=lambda layout: best[layout].seconds_per_token)
    kept = "a score in it is the same bits in any company" if preferred in invariant else "the first of its layouts"
    if len(best) == 1:
        return preferred, f"the model has no other; {kept}" if invariant else "the model has no other"
    if fastest == preferred:
        return preferred, f"{_ahead(best, preferred)}; {kept}"
    ratio = Ratio.of(best[preferred].per_token, best[fastest].per_token)
    if ratio.is_clear:
        lost = f"; scores of {precision} then vary with their company" if fastest not in invariant and invariant else ""
        return fastest, f"{ratio} as fast as {preferred}{lost}"
    return preferred, f"{kept}, and {fastest} is only {ratio} as fast, not clearly over {_MARGIN:.2f}x"


def _choose_size(series: Sequence[Series], usual: int) -> tuple[int, str]:
    by_size = {one.cell.size: one for one in series}
    if usual not in by_size:
        return usual, "the default: in this layout the model runs each pair by itself, whatever the setting"
    best = _best(series)
    if best.cell.size == usual:
        return usual, "the default, and the fastest"
    ratio = Ratio.of(by_size[usual].per_token, best.per_token)
    if not ratio.is_clear:
        return usual, f"the default: {best.cell.size} is {ratio} as fast, not clearly over {_MARGIN:.2f}x"
    size = min(size for size, one in by_size.items() if Ratio.of(one.per_token, best.per_token).median <= _AS_GOOD)
    return size, f"{Ratio.of(by_size[usual].per_token, by_size[size].per_token)} as fast as the default of {usual}"


def _choose_wait(series: Sequence[Series], run_pairs: int) -> tuple[float, str]:
    """Return the wait for company: half of the time that running pairs together saves over one by one, 0 if none."""
    by_size = {one.cell.size: one for one in series}
    alone, together = by_size[1], by_size[run_pairs]
    ratio = Ratio.of(alone.per_token, together.per_token)
    if not ratio.is_clear:
        return 0.0, f"runs of {run_pairs} pairs are {ratio} as fast as single ones, nothing to wait for"
    saved_ms = 1000 * run_pairs * (_median(alone) - _median(together)) / alone.pairs
    wait_ms = round(min(_MOST_WAIT_MS, saved_ms / 2), 1)
    return wait_ms, f"a run of {run_pairs} pairs saves {saved_ms:.1f} ms over single ones: half of it, 5 ms at most"


def _choose_threads(teams: Sequence[Team], usable: int) -> tuple[dict[str, Any], str]:
    usual = int(default("threads"))
    if len(teams) < 2:
        return {"threads": usual}, "the default: there is one core to use"
    single = max((team for team in teams if team.threads == 1), key=lambda team: team.processes)
    best = max((team for team in teams if team.threads > 1), key=lambda team: float(np.median(team.tokens_per_s)))
    ratio = Ratio.of([1 / rate for rate in single.tokens_per_s], [1 / rate for rate in best.tokens_per_s])
    told = f"{best} threads do {ratio} the work of {single}"
    if not ratio.is_clear:
        return {"threads": usual}, f"the default: {told}"
    # Pinning is off: it would put all threads of a process on one core.
    return {"threads": best.threads, "processes": max(1, usable // best.threads), "pin": False}, told


def _notes(series: Sequence[Series], teams: Sequence[Team]) -> tuple[str, ...]:
    notes = []
    if max(len(one.seconds) for one in series) < _FEW:
        notes.append(f"fewer than {_FEW} rounds: give it more --seconds")
    samples = [one.seconds for one in series] + [team.tokens_per_s for team in teams]
    spread = max((_spread(values) for values in samples if len(values) >= _FEW), default=0.0)
    if spread > _MARGIN - 1:
        notes.append(
            f"the middle half of the rounds spreads over up to {spread:.0%} of the median: the host was busy, try again"
        )
    return tuple(notes)


def _ahead(best: Mapping[LayoutName, Series], layout: LayoutName) -> str:
    """Return the speed-up of one request in `layout` over the next layout, in words; throughput is not compared."""
    others = {name: one for name, one in best.items() if name != layout}
    second = min(others, key=lambda name: others[name].seconds_per_token)
    ratio = Ratio.of(others[second].per_token, best[layout].per_token)
    told = "the least latency of a request" if ratio.is_clear else "no other has clearly less latency of a request"
    return f"{told}, {ratio} as fast as the next, {second}"


def _spread(values: Sequence[float]) -> float:
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float((high - low) / middle)


def _layouts(series: Sequence[Series]) -> list[LayoutName]:
    return list(dict.fromkeys(one.cell.layout for one in series))


def _of_layout(series: Sequence[Series], curve: Curve, layout: LayoutName) -> list[Series]:
    return [one for one in series if (one.cell.curve, one.cell.layout) == (curve, layout)]


def _best(series: Sequence[Series]) -> Series:
    return min(series, key=lambda one: one.seconds_per_token)


def _median(one: Series) -> float:
    return float(np.median(one.seconds))
