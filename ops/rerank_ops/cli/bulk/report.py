"""What became of a run, as text for a person and as plain data for JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rerank_ops.cli.bulk.durations import duration
from rerank_ops.cli.bulk.exits import COMPLETE, PARTIAL
from rerank_producer.bulk.bulk_run import Summary


def status_after(summary: Summary) -> int:
    """Return the exit status of a run that is complete."""
    return PARTIAL if summary.totals.failed_queries else COMPLETE


def summary_text(summary: Summary, seconds: float, output: Path | None, failed: Path | None) -> str:
    """Return what was done, in a few lines."""
    totals, place = summary.totals, "stdout" if output is None else str(output)
    if summary.was_complete:
        return f"{place} is complete already: {totals.queries:,} rows{_failed_text(summary, failed)}"
    lines = [f"{totals.queries - totals.failed_queries:,} rows in {place}{_failed_text(summary, failed)}"]
    if summary.earlier.queries:
        lines.append(f"{summary.earlier.queries:,} of them were done before this command")
    work = f"{totals.pairs_run:,} pairs scored, {totals.pairs_cached:,} cached, {totals.tokens:,} tokens"
    lines.append(f"{work}, in {duration(seconds)}")
    if summary.ratio is not None:
        lines.append(f"first-stage scores counted with ratio {summary.ratio:.6g}")
    return "\n".join(lines)


def summary_plain(
    summary: Summary, seconds: float, retries: int, output: Path | None, failed: Path | None
) -> dict[str, Any]:
    """Return the same for JSON."""
    return {
        "output": None if output is None else str(output),
        "failed": str(failed) if summary.totals.failed_queries and failed is not None else None,
        "was_complete": summary.was_complete,
        "rows": summary.totals.queries,
        "rows_before": summary.earlier.queries,
        "failed_rows": summary.totals.failed_queries,
        "pairs": summary.totals.pairs,
        "hit_rate": summary.totals.hit_rate,
        **{name: value for name, value in asdict(summary.totals).items() if name in _COUNTS},
        "retries": retries,
        "seconds": round(seconds, 3),
        "fusion_ratio": summary.ratio,
        "identity": summary.identity,
    }


_COUNTS = ("chunks", "pairs_run", "pairs_cached", "tokens")


def _failed_text(summary: Summary, failed: Path | None) -> str:
    if not (count := summary.totals.failed_queries):
        return ""
    where = "" if failed is None or not failed.exists() else f", which are in {failed}"
    return f"; {count:,} rows failed{where}"
