"""Report of several simulated models: latencies by kind of traffic and class, and the load of their processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rerank_ops.simulate.model.call import Call
from rerank_ops.simulate.pools.run import PoolsResult
from rerank_ops.simulate.report import Latencies, latencies_of
from rerank_shared.keys import JOB_CLASSES, JobClass


@dataclass(frozen=True, slots=True)
class TrafficRow:
    """Latencies of requests of one kind and class; None: of all classes."""

    traffic: str
    job_class: JobClass | None
    latencies: Latencies


@dataclass(frozen=True, slots=True)
class GroupRow:
    """The load of processes that serve the same models."""

    pool: str
    processes: int
    utilisation: float
    pairs_per_s: float
    tokens_per_s: float


@dataclass(frozen=True, slots=True)
class PoolsReport:
    """`rows` start with all requests, then each kind of traffic; `groups` are in the order in which they were given."""

    requests: int
    seconds: float
    rows: tuple[TrafficRow, ...]
    groups: tuple[GroupRow, ...]

    def as_plain(self) -> dict[str, Any]:
        """Return the report as plain data, for JSON."""
        return {
            "requests": self.requests,
            "seconds": self.seconds,
            "traffic": [_row(row) for row in self.rows],
            "pools": [asdict(group) for group in self.groups],
        }


def summarise_pools(result: PoolsResult) -> PoolsReport:
    """Return the report of one result."""
    meter = result.loads[0].meter
    seconds = meter.ends - meter.begins
    groups = tuple(
        GroupRow(
            load.group.name,
            load.group.processes,
            load.utilisation,
            load.meter.pairs / seconds,
            load.meter.tokens / seconds,
        )
        for load in result.loads
    )
    return PoolsReport(len(result.calls), seconds, tuple(_rows(result)), groups)


def _rows(result: PoolsResult) -> list[TrafficRow]:
    by_kind: dict[str, list[Call]] = {}
    for traffic, call in result.calls:
        by_kind.setdefault(traffic.name, []).append(call)
    every = [call for _, call in result.calls]
    rows = [TrafficRow("all", None, latencies_of("all", every))]
    for name, calls in sorted(by_kind.items()):
        rows += _by_class(name, calls)
    return rows


def _by_class(name: str, calls: Sequence[Call]) -> list[TrafficRow]:
    rows = [TrafficRow(name, None, latencies_of(name, calls))]
    classes = [each for each in JOB_CLASSES if any(call.request.job_class == each for call in calls)]
    if len(classes) > 1:
        for job_class in classes:
            some = [call for call in calls if call.request.job_class == job_class]
            rows.append(TrafficRow(name, job_class, latencies_of(name, some)))
    return rows


def _row(row: TrafficRow) -> dict[str, Any]:
    found = asdict(row.latencies)
    del found["k"]
    # JSON knows no NaN.
    numbers = {name: None if value != value else value for name, value in found.items()}
    return {"traffic": row.traffic, "class": row.job_class, **numbers}
