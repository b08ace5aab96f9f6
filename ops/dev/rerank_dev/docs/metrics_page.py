"""The tables of docs/metrics.md, made from the metrics themselves so that none falls behind.

python -m rerank_dev.docs.metrics_page docs/metrics.md     bring the tables up to date
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase

from rerank_dev.docs.marked import replace_part
from rerank_producer import metrics as client_metrics
from rerank_shared.collectors import all_collectors
from rerank_shared.settings import load_settings
from rerank_worker import metrics as worker_metrics
from rerank_worker.counting.collectors import Counter, Histogram
from rerank_worker.supervisor.metrics_endpoint import SupervisorCollector

#: The marked part of the document.
PART = "metrics"


@dataclass(frozen=True, slots=True)
class Row:
    """One metric, under the name that a query asks for; a histogram is asked for by `_bucket`, `_sum` and `_count`."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


class _NoProcesses:
    restarts = 0

    def pids(self) -> list[int]:
        return []


def sections() -> dict[str, list[Row]]:
    """Return the metrics by where they are counted."""
    settings = load_settings()
    return {
        "Client": list(_of_client()),
        "Worker processes": list(_of_worker()),
        "Supervisor": [_row(each) for each in SupervisorCollector(_NoProcesses()).collect()],
        "Fleet and server": [_row(each) for collector in all_collectors(settings) for each in _described(collector)],
    }


def render() -> str:
    """Return a section with a table for each place."""
    return "\n\n".join(_section(title, rows) for title, rows in sections().items())


def main(arguments: list[str]) -> int:
    """Bring the tables of a document up to date."""
    (path,) = map(Path, arguments)
    path.write_text(replace_part(path.read_text(encoding="utf-8"), PART, render()), encoding="utf-8")
    return 0


def _of_client() -> Iterator[Row]:
    for metric in vars(client_metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            yield _row(family, metric._labelnames)


def _of_worker() -> Iterator[Row]:
    for metric in vars(worker_metrics).values():
        if isinstance(metric, Counter | Histogram):
            yield Row(_asked(metric.name, metric.kind), metric.kind, metric.label_names, metric.text)


def _described(collector: Any) -> Iterable[Metric]:
    described: Iterable[Metric] = collector.describe()
    return described


def _row(family: Any, labels: Iterable[str] | None = None) -> Row:
    names = tuple(getattr(family, "_labelnames", ()) if labels is None else labels)
    return Row(_asked(family.name, family.type), family.type, names, family.documentation)


def _asked(name: str, kind: str) -> str:
    return name + {"counter": "_total", "info": "_info"}.get(kind, "")


def _section(title: str, rows: Iterable[Row]) -> str:
    lines = [f"## {title}", "", "| metric | type | labels | meaning |", "|---|---|---|---|"]
    for row in rows:
        labels = ", ".join(f"`{label}`" for label in row.labels)
        lines.append(f"| `{row.name}` | {row.kind} | {labels} | {row.text.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
