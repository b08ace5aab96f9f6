"""Chart of a tuning: draws the curves. matplotlib is imported only to draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rerank_ops.tune.grid import CURVES, SETTING, Curve
from rerank_ops.tune.result import Tuning
from rerank_shared.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHART_HINT = "the chart needs matplotlib: pip install 'rerank-fleet[tune]', or leave it out with --no-chart"
#: Okabe and Ito's palette, which the colour-blind can distinguish, and a marker each for print in grey.
_LOOKS = {
    "unpadded": ("#0072B2", "o"),
    "padded": ("#E69F00", "s"),
    "varlen": ("#009E73", "^"),
    "packed": ("#CC79A7", "D"),
}
_INK, _FAINT = "#333333", "#888888"
_LABELS: dict[Curve, tuple[str, str]] = {
    "pairs": ("pairs a run", "latency of a request of {pairs} pairs (ms)"),
    "tokens": ("tokens a run", "throughput (tokens/s)"),
}
#: Least distance of two labels, as a share of the axis.
_APART = 0.06


@dataclass(frozen=True, slots=True)
class _End:
    """The last point of a layout's line."""

    x: float
    y: float
    layout: str
    colour: str


def require_matplotlib() -> None:
    """Raise ConfigurationError if matplotlib is missing; called before anything is measured."""
    if find_spec("matplotlib") is None:
        raise ConfigurationError(CHART_HINT)


def draw_chart(tuning: Tuning, path: Path) -> None:
    """Write the two curves as PNG. Raises ConfigurationError without matplotlib."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chart(tuning).savefig(path, dpi=150, format="png")


def chart(tuning: Tuning) -> Figure:
    """Return the two curves side by side. Raises as `draw_chart` does."""
    require_matplotlib()
    # Not pyplot, which keeps figures and chooses a backend for the whole process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(11.0, 4.6), layout=ConstrainedLayoutEngine(wspace=0.06))
    FigureCanvasAgg(figure)
    for axes, curve in zip(figure.subplots(1, 2), CURVES, strict=True):
        _panel(axes, tuning, curve)
    figure.suptitle(tuning.title, color=_INK, fontsize=12)
    figure.supxlabel(f"{tuning.method} Bands: middle half of the rounds.", color=_FAINT, fontsize=8)
    return figure


def _panel(axes: Axes, tuning: Tuning, curve: Curve) -> None:
    sizes = sorted({point.cell.size for point in tuning.on(curve)})
    ends: list[_End] = []
    for layout in tuning.layouts:
        points = [point for point in tuning.on(curve) if point.cell.layout == layout]
        colour, marker = _LOOKS[layout]
        # In a layout that runs pairs one by one at any size, one point stands for all.
        xs = [point.cell.size for point in points] if len(points) > 1 else [sizes[0], sizes[-1]]
        middle, low, high = np.array([tuning.shown(point) for point in points] * (len(xs) // len(points))).T
        axes.fill_between(xs, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(xs, middle, color=colour, marker=marker if len(points) > 1 else "", linewidth=1.8, markersize=5)
        ends.append(_End(xs[-1], float(middle[-1]), layout, colour))
        if layout == tuning.choice.values["layout"]:
            # The label is on the side where no better value can be.
            above, size = curve == "tokens", tuning.choice.values[SETTING[curve]]
            if len(points) == 1:
                # No size is chosen where all are the same: the label goes to the middle of the logarithmic axis.
                _say(axes, float(np.sqrt(xs[0] * xs[-1])), float(middle[0]), "chosen, at any size", colour, above=above)
            else:
                _mark(axes, size, float(np.interp(size, xs, middle)), colour, above=above)
    _dress(axes, curve, sizes, tuning.request_pairs)
    _label(axes, ends)


def _dress(axes: Axes, curve: Curve, sizes: Sequence[int], request_pairs: int) -> None:
    x_label, y_label = _LABELS[curve]
    axes.set_xlabel(x_label, color=_INK)
    axes.set_ylabel(y_label.format(pairs=request_pairs), color=_INK)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(0, axes.get_ylim()[1] * 1.12)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_INK)
    axes.spines[["top", "right"]].set_visible(False)


def _mark(axes: Axes, x: float, y: float, colour: str, *, above: bool) -> None:
    axes.plot([x], [y], marker="o", markersize=13, markerfacecolor="none", markeredgecolor=colour, markeredgewidth=2)
    _say(axes, x, y, f"chosen: {x:,.0f}", colour, above=above)


def _say(axes: Axes, x: float, y: float, text: str, colour: str, *, above: bool) -> None:
    axes.annotate(
        text, (x, y), xytext=(0, 14 if above else -14), textcoords="offset points", ha="center",
        va="bottom" if above else "top", color=colour,
        fontsize=9, fontweight="bold",
    )  # fmt: skip


def _label(axes: Axes, ends: Sequence[_End]) -> None:
    """Write each layout's name behind its line; names of lines that end close together are moved apart."""
    bottom, top = axes.get_ylim()
    taken: dict[float, float] = {}
    for end in sorted(ends, key=lambda end: end.y):
        at = taken[end.x] = max(taken.get(end.x, -np.inf) + (top - bottom) * _APART, end.y)
        axes.annotate(
            end.layout, (end.x, end.y), xytext=(end.x * 1.12, at), textcoords="data", va="center", color=end.colour,
            fontsize=10, annotation_clip=False,
        )  # fmt: skip
