"""Terminal output of a tuning: the curves as bars, and the chosen settings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rerank_ops.tune.grid import SETTING, Curve
from rerank_ops.tune.result import Tuning

_HEADINGS: dict[Curve, tuple[str, str]] = {
    "pairs": ("pairs a run", "ms"),
    "tokens": ("tokens a run", "tokens/s"),
}
_BAR = 20
#: Eighths of a block, from none to seven.
_EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")
_STYLES = {"unpadded": "blue", "padded": "yellow", "varlen": "green", "packed": "magenta"}


def print_tuning(tuning: Tuning, console: Console) -> None:
    """Print both curves, the teams, and the profile with its reasons."""
    console.print(tuning.title, style="bold")
    console.print(f"{tuning.method} Text: {tuning.source}.", style="dim")
    console.print(f"\nLatency of a request of {tuning.request_pairs} pairs")
    console.print(curve_table(tuning, "pairs"))
    console.print("\nThroughput of one process")
    console.print(curve_table(tuning, "tokens"))
    if len(tuning.teams) > 1:
        console.print("\nThroughput of all cores")
        console.print(_teams_table(tuning))
    console.print()
    console.print(_choice_grid(tuning))
    for note in tuning.choice.notes:
        console.print(f"note: {note}", style="yellow")


def curve_table(tuning: Tuning, curve: Curve) -> Table:
    """Return one row a point: its median, the middle half of its rounds, a bar, and a mark at the chosen point."""
    size_heading, unit = _HEADINGS[curve]
    table = Table("layout", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in (size_heading, unit, "middle half", "rounds"):
        table.add_column(heading, justify="right")
    table.add_column("")
    points = tuning.on(curve)
    longest = max(tuning.shown(point)[0] for point in points)
    for point in points:
        middle, low, high = tuning.shown(point)
        layout, chosen = point.cell.layout, tuning.choice.values
        fixed = sum(other.cell.layout == layout for other in points) == 1
        is_chosen = layout == chosen["layout"] and (fixed or point.cell.size == chosen[SETTING[curve]])
        table.add_row(
            layout,
            "any" if fixed else f"{point.cell.size:,}",
            f"{middle:,.0f}",
            f"{low:,.0f} to {high:,.0f}",
            str(len(point.seconds)),
            Text(bar(middle / longest) + (" ◀" if is_chosen else ""), style=_STYLES[layout]),
            style="bold" if is_chosen else "",
        )
    return table


def bar(share: float) -> str:
    """Return a bar of block characters; `share` is its part of the full width, 0 to 1."""
    eighths = round(share * _BAR * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8]


def _teams_table(tuning: Tuning) -> Table:
    table = Table("processes x threads", box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("tokens/s", justify="right")
    table.add_column("")
    medians = [float(np.median(team.tokens_per_s)) for team in tuning.teams]
    for team, middle in zip(tuning.teams, medians, strict=True):
        table.add_row(str(team), f"{middle:,.0f}", bar(middle / max(medians)))
    return table


def _choice_grid(tuning: Tuning) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for name, value in _values(tuning):
        grid.add_row(Text(name, style="bold"), Text(value, style="bold"), tuning.choice.reasons.get(name, ""))
    return grid


def _values(tuning: Tuning) -> Iterator[tuple[str, str]]:
    for name, value in tuning.choice.values.items():
        yield name, str(value).lower() if isinstance(value, bool) else str(value)
