"""The table of comparisons in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from rerank_ops.simulate.autoscale.account import Account
from rerank_ops.simulate.autoscale.compare import Comparison
from rerank_ops.simulate.table import milliseconds, share


def print_comparisons(comparisons: Sequence[Comparison], target_s: float, console: Console) -> None:
    """Print one row for each fleet of each load."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("load", "fleet"):
        table.add_column(heading, no_wrap=True)
    for heading in (
        f"s over {target_s:g} s",
        "p95 ms",
        "late",
        "refused",
        "processes h",
        "over need",
        "most",
        "turns/h",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for comparison in comparisons:
        for number, account in enumerate(comparison.accounts):
            table.add_row(
                "" if number else comparison.load, account.name, *_row(account), style="" if number else "bold"
            )
    console.print(table)


def _row(account: Account) -> list[str]:
    return [
        f"{account.over_s:,.0f}",
        milliseconds(account.p95_ms),
        share(account.late),
        share(account.refused),
        f"{account.process_hours:.2f}",
        f"{account.overshoot:.2f}",
        f"{account.peak:,}",
        f"{account.turns_per_hour:.1f}",
    ]
