"""Tables of several simulated models in the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from rerank_ops.simulate.model.call import ENDS
from rerank_ops.simulate.pools.report import PoolsReport
from rerank_ops.simulate.table import milliseconds, share

#: Room for the names of classes.
_LEAST = 13


def print_pools(report: PoolsReport, console: Console, one_fewer: Mapping[str, PoolsReport] | None = None) -> None:
    """Print a row for each kind of traffic and class, then one for each group of processes.

    `one_fewer` are reports of fleets that have one process fewer of a group.
    """
    console.print(f"{report.requests:,} requests in {report.seconds:,.1f} s", style="bold")
    console.print(_traffic(report))
    console.print()
    console.print(_groups(report, one_fewer))


def _traffic(report: PoolsReport) -> Table:
    table = _table("traffic", "requests", "p50 ms", "p95 ms", "p99 ms", *ENDS)
    for row in report.rows:
        found = row.latencies
        cells = [milliseconds(value) for value in (found.p50_ms, found.p95_ms, found.p99_ms)]
        ends = [share(found.shares[end]) for end in ENDS]
        name = row.traffic if row.job_class is None else f"  {row.job_class}"
        style = "bold" if row.traffic == "all" else ""
        table.add_row(name, f"{found.requests:,}", *cells, *ends, style=style)
    return table


def _groups(report: PoolsReport, one_fewer: Mapping[str, PoolsReport] | None) -> Table:
    fewer = () if one_fewer is None else ("with one fewer",)
    table = _table("pool", "processes", "utilisation", "pairs/s", "tokens/s", *fewer)
    for group in report.groups:
        cells = [share(group.utilisation), f"{group.pairs_per_s:,.0f}", f"{group.tokens_per_s:,.0f}"]
        if one_fewer is not None:
            cells.append(_fewer(one_fewer.get(group.pool)))
        table.add_row(group.pool, f"{group.processes:,}", *cells)
    return table


def _fewer(report: PoolsReport | None) -> str:
    """Return the worst latency of any kind of traffic, and the largest share that is lost."""
    if report is None:
        return ""
    rows = [row.latencies for row in report.rows if row.traffic != "all"]
    p95_ms = max(row.p95_ms for row in rows)
    lost = max(row.shares["refused"] + row.shares["late"] for row in rows)
    return f"p95 {milliseconds(p95_ms)} ms, {share(lost)} lost"


def _table(*headings: str) -> Table:
    """Return a table whose first column folds where the terminal is narrow: names of cascades are long."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column(headings[0], overflow="fold", min_width=_LEAST)
    for heading in headings[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
