"""The table of comparisons in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from rerank_ops.simulate.autoscale.account import Account
from rerank_ops.simulate.autoscale.compare import Comparison
from rerank_ops.simulate.table import milliseconds, share

_LEGEND = (
    "over s: seconds in windows of ten whose p95 was over {target:g} s; missed: late, partial or refused; h: "
    "process-hours; spare: processes above need, mean; most: processes; turns/h: changes of direction; mean, peak: "
    "fleets of that fixed size"
)


def print_comparisons(comparisons: Sequence[Comparison], target_s: float, console: Console) -> None:
    """Print one row for each fleet of each load."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("load", "fleet"):
        table.add_column(heading, no_wrap=True)
    for heading in ("over s", "p95 ms", "missed", "h", "spare", "most", "turns/h"):
        table.add_column(heading, justify="right", no_wrap=True)
    for comparison in comparisons:
        for number, account in enumerate(comparison.accounts):
            first = number == 0
            table.add_row(comparison.load if first else "", account.name, *_row(account), style="bold" if first else "")
    console.print(table)
    console.print("\n" + _LEGEND.format(target=target_s), style="dim", soft_wrap=True)


def _row(account: Account) -> list[str]:
    return [
        f"{account.over_s:,.0f}",
        milliseconds(account.p95_ms),
        share(account.late + account.refused),
        f"{account.process_hours:.2f}",
        f"{account.overshoot:.2f}",
        f"{account.peak:,}",
        f"{account.turns_per_hour:.1f}",
    ]
