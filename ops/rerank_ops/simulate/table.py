"""Tables of reports in the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from rerank_ops.simulate.model.call import ENDS
from rerank_ops.simulate.report import Latencies, Report


def print_reports(reports: Sequence[Report], console: Console) -> None:
    """Print one row for each policy and range of k, then the load of each fleet."""
    first = reports[0]
    console.print(f"{first.processes:,} processes, {first.requests:,} requests in {first.seconds:,.1f} s", style="bold")
    console.print(_outcomes(reports))
    console.print()
    console.print(_load(reports))


def print_trials(reports: Sequence[Report], console: Console) -> None:
    """Print one row for each number of processes."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("processes", "p50 ms", "p95 ms", "p99 ms", "utilisation", *ENDS):
        table.add_column(heading, justify="right", no_wrap=True)
    for report in reports:
        latencies = _row(report.overall)[2:5]
        ends = [share(report.overall.shares[end]) for end in ENDS]
        table.add_row(f"{report.processes:,}", *latencies, share(report.utilisation), *ends)
    console.print(table)


def _outcomes(reports: Sequence[Report]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("policy")
    for heading in ("k", "requests", "p50 ms", "p95 ms", "p99 ms", *ENDS):
        table.add_column(heading, justify="right", no_wrap=True)
    for report in reports:
        for number, row in enumerate(report.latencies):
            style = "bold" if number == 0 and len(report.latencies) > 1 else ""
            table.add_row("" if number else report.name, *_row(row), style=style)
    return table


def _row(row: Latencies) -> list[str]:
    latencies = [milliseconds(value) for value in (row.p50_ms, row.p95_ms, row.p99_ms)]
    return [row.k, f"{row.requests:,}", *latencies, *(share(row.shares[end]) for end in ENDS)]


def _load(reports: Sequence[Report]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("policy")
    for heading in ("utilisation", "pairs/s", "tokens/s", "cached", "jobs a request"):
        table.add_column(heading, justify="right", no_wrap=True)
    for report in reports:
        table.add_row(
            report.name,
            share(report.utilisation),
            f"{report.pairs_per_s:,.0f}",
            f"{report.tokens_per_s:,.0f}",
            share(report.cached_share),
            f"{report.parts_mean:.2f}",
        )
    return table


def milliseconds(value: float) -> str:
    """Return a latency in milliseconds as text."""
    return "-" if math.isnan(value) else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def share(value: float) -> str:
    """Return a share as text; a small share does not read as 0."""
    return "0" if value == 0 else f"{value:.1%}" if value >= 0.001 else f"{value:.2%}"
