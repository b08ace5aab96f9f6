"""Plot of reports: draws the distribution of latencies, and the shares of ends.

matplotlib is imported only to draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_ops.simulate.model.call import ENDS, End
from rerank_ops.simulate.model.run import Result
from rerank_ops.simulate.report import Report, percentile
from rerank_shared.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOT_HINT = "the picture needs matplotlib: pip install 'rerank-fleet[tune]', or leave out --plot"
#: Okabe and Ito's palette, which the colour-blind can distinguish.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_END_COLOURS: dict[End, str] = {"met": "#009E73", "partial": "#F0E442", "late": "#D55E00", "refused": "#999999"}
_INK = "#333333"
_POINTS = 400


def require_matplotlib() -> None:
    """Raise ConfigurationError if matplotlib is missing; called before anything is simulated."""
    if find_spec("matplotlib") is None:
        raise ConfigurationError(PLOT_HINT)


def draw_reports(results: Sequence[Result], reports: Sequence[Report], path: Path) -> None:
    """Write the picture as PNG. Raises ConfigurationError without matplotlib."""
    require_matplotlib()
    # Not pyplot, which keeps figures and chooses a backend for the whole process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    latency, ends = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_latency(latency, results, reports)
    _draw_ends(ends, reports)
    first = reports[0]
    figure.suptitle(f"{first.processes:,} processes, {first.requests:,} requests in {first.seconds:,.0f} s", color=_INK)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, format="png")


def _draw_latency(axes: Axes, results: Sequence[Result], reports: Sequence[Report]) -> None:
    shares = [number / _POINTS for number in range(_POINTS + 1)]
    for number, (result, report) in enumerate(zip(results, reports, strict=True)):
        ascending = sorted(1000 * call.latency_s for call in result.calls if call.end != "refused")
        if ascending:
            values = [percentile(ascending, share) for share in shares]
            colour = _COLOURS[number % len(_COLOURS)]
            axes.plot(values, [100 * share for share in shares], color=colour, linewidth=1.8, label=report.name)
    axes.axhline(95, color="#bbbbbb", linewidth=0.8, linestyle="--")
    axes.set_xscale("log")
    axes.set_xlabel("latency (ms), refused requests left out", color=_INK)
    axes.set_ylabel("requests within it (%)", color=_INK)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)


def _draw_ends(axes: Axes, reports: Sequence[Report]) -> None:
    names = [report.name for report in reports]
    left = [0.0] * len(reports)
    for end in ENDS:
        widths = [100 * report.overall.shares[end] for report in reports]
        axes.barh(names, widths, left=left, color=_END_COLOURS[end], label=end, height=0.6)
        left = [before + width for before, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("requests (%)", color=_INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=len(ENDS), loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=8)
